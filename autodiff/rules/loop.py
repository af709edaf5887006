"""LOOP: a body runs again and again, `scan` and `while` in one.

Its tangent is a loop over the carry and its tangent, its cotangent a loop in the opposite direction over the states that the
first one left behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..array import Array, unknown
from ..errors import DifferentiationError
from ..graph import Node, constant, datum, depends, walk
from ..primitive import TABLE, Opaque, broadcast
from ..straight import straight_line
from ..transforms import Batch, reverse
from ..types import FLOAT
from .bodies import (
    align,
    coefficient_leaves,
    coefficients,
    enclosed,
    example_rows,
    listed,
    moved,
    or_zero,
    paired,
    row_by_row,
    said,
    side_by_side,
    spread,
    unrepeated,
)  # fmt: skip
from .layout import TRANSPOSE
from .packing import ZERO, Window, cast, cotangent, form, packed, part, typed, windows

INTEGER = np.dtype(np.int64)
CAPACITY = 1024  # steps that a loop without a known limit may take if its cotangents are asked for


@dataclass(frozen=True, repr=False)
class Loop:
    """A body over (carry, one row of each of the stacks `xs`, shared), and when it ends.

    It runs `length` times; or as long as the `condition` over (carry, shared) holds, but not more than `length` times; or, if
    `counted`, as often as the last argument says, which is not more.  `backward` begins with the last row.

    For a compiler; the arguments are (*first carry, *stacks, *shared, and the number of steps if `counted`):
        flat = zeros(size);  values = copies of the first carry;  done = 0
        while done < limit                  (`length`, or the last argument if `counted`; None is no limit)
              and `condition` holds         (if there is one; a graph over carry = values, shared)
            slot = limit - 1 - done if `backward` else done
            compute the graphs `next` and `ys` over carry = values, xs = row `slot` of each stack, shared
            store ys[i] in row `slot` of the array (length, *shape) in y_windows[i] of flat
            values = next, with the dtypes of the leaves `carry`, when all of it is computed;  done += 1
        if `strict`, done == limit and the condition still holds: raise what `excess` says
        store values[i] in carry_windows[i] of flat;  if there is a condition, store done in the last element
    All is stored in C order as float64.  Outputs have the shapes and dtypes of what they are stored in, but for numbers written
    in the program.  Rows that are not reached are zero, and cost nothing if fresh memory is.
    """

    carry: tuple[Node, ...]
    xs: tuple[Node, ...]
    shared: tuple[Node, ...]
    next: tuple[Node, ...]
    ys: tuple[Node, ...]
    length: int | None
    condition: Node | None = None
    counted: bool = False
    backward: bool = False
    strict: bool = False
    _run: dict[str, Callable] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        condition = () if self.condition is None else (self.condition,)
        return (f"Loop({said(self.carry, self.xs, self.shared, self.next, self.ys, condition)} {self.length} {self.counted} "
                f"{self.backward} {self.strict})")  # fmt: skip

    def __str__(self) -> str:
        most = "" if self.length is None else f", {self.length} times at most"
        often = f"{self.length} times" if self.condition is None else f"while the condition holds{most}"
        title = f"{'as often as the last argument says' if self.counted else often}{', backward' * self.backward}"
        return listed(title, condition=() if self.condition is None else (self.condition,), next=self.next, ys=self.ys)

    @cached_property
    def carry_windows(self) -> tuple[Window, ...]:
        return windows(map(form, self.carry))

    @cached_property
    def y_windows(self) -> tuple[Window, ...]:
        return windows([((self.length or 0, *y.shape), y.dtype) for y in self.ys], _stop(self.carry_windows, 0))

    @cached_property
    def count_window(self) -> Window:
        """Where the number of steps lies, if there is a condition."""
        return Window(_stop(self.y_windows, _stop(self.carry_windows, 0)), (), INTEGER)

    @cached_property
    def size(self) -> int:
        return self.count_window.start + (self.condition is not None)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        return (*self.carry_windows, *self.y_windows, *([] if self.condition is None else [self.count_window]))

    @property
    def excess(self) -> str:
        return f"the loop took more than {self.length} steps; its derivative keeps the state of each"

    def rewritten(self, change: Callable[[Sequence[Node]], Sequence[Node]]) -> Loop:
        """The same with another body: `change` answers as many nodes as it gets, over the same leaves."""
        n, m = len(self.next), len(self.next) + len(self.ys)
        new = change([*self.next, *self.ys, *([] if self.condition is None else [self.condition])])
        return replace(self, next=tuple(new[:n]), ys=tuple(new[n:m]), condition=new[m] if len(new) > m else None, _run={})

    def groups(self, args: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """The arguments of the carry, of the stacks, and those shared."""
        a, b = len(self.carry), len(self.carry) + len(self.xs)
        return args[:a], args[a:b], args[b : b + len(self.shared)]

    @property
    def step(self) -> Callable[..., tuple]:
        """The body as a function of numbers."""
        if "step" not in self._run:
            self._run["step"] = straight_line([*self.carry, *self.xs, *self.shared], [*self.next, *self.ys], "loop")
        return self._run["step"]

    @property
    def goes_on(self) -> Callable[..., tuple]:
        """The condition as a function of numbers."""
        if "condition" not in self._run:
            assert self.condition is not None
            self._run["condition"] = straight_line([*self.carry, *self.shared], [self.condition], "loop condition")
        return self._run["condition"]


def _stop(found: Sequence[Window], start: int) -> int:
    return found[-1].stop if found else start


@dataclass(frozen=True)
class Looped:
    """What a loop leaves behind; `steps` is how many there were, if nobody knew before."""

    carry: list[Node]
    ys: list[Node]
    steps: Node | None


def repeat(
    carry: Mapping[Node, Node], xs: Mapping[Node, Node], shared: Mapping[Node, Node], following: Sequence[Node],
    ys: Sequence[Node], length: int | None, *, condition: Node | None = None, count: Node | None = None, backward: bool = False,
    strict: bool = False,
) -> Looped:  # fmt: skip
    """Runs a body: `carry`, `xs` and `shared` have its leaves with what they stand for, `following` is the carry after a step.

    See `Loop` for when it ends.
    """
    following = [typed(y, *form(leaf)) for y, leaf in zip(following, carry, strict=True)]
    still = {leaf: typed(start, *form(leaf)) for y, (leaf, start) in zip(following, carry.items(), strict=True) if y is leaf}
    moving = {leaf: typed(start, *form(leaf)) for leaf, start in carry.items() if leaf not in still}
    rows = {leaf: unrepeated(stack) for leaf, stack in xs.items()}
    shared = {**shared, **still, **{leaf: row for leaf, row in rows.items() if row is not None}}
    xs = {leaf: stack for leaf, stack in xs.items() if rows[leaf] is None}
    following = [y for y, leaf in zip(following, carry, strict=True) if leaf not in still]
    outputs = [*following, *ys, *([] if condition is None else [condition])]
    outputs, leaves, nodes = enclosed(outputs, ("carry", moving), ("x", xs), ("shared", shared), keep=1)
    n, m = len(following), len(following) + len(ys)
    loop = Loop(tuple(leaves[0]), tuple(leaves[1]), tuple(leaves[2]), tuple(outputs[:n]), tuple(outputs[n:m]), length,
                None if condition is None else outputs[m], count is not None, backward, strict)  # fmt: skip
    flat = LOOP.make((*itertools.chain(*nodes), *([] if count is None else [count])), loop)
    ends = iter([part(flat, w) for w in loop.carry_windows])
    return Looped([still[leaf] if leaf in still else next(ends) for leaf in carry], [part(flat, w) for w in loop.y_windows],
                  None if condition is None else part(flat, loop.count_window))  # fmt: skip


def _loop_value(loop: Loop, batch: int, *numbers: np.ndarray) -> np.ndarray:
    if batch:
        return row_by_row(_loop_value, loop, batch, numbers)
    values, stacks, shared = (list(group) for group in loop.groups(numbers))
    flat = np.zeros(loop.size)  # rows that are never reached cost no memory
    ys = [w.of(flat) for w in loop.y_windows]
    limit, done = int(numbers[-1]) if loop.counted else loop.length, 0
    while limit is None or done < limit:
        if loop.condition is not None and not loop.goes_on(*values, *shared)[0]:
            break
        slot = limit - 1 - done if limit is not None and loop.backward else done
        found = loop.step(*values, *[x[slot] for x in stacks], *shared)
        values = [np.asarray(v, leaf.dtype) for v, leaf in zip(found, loop.carry, strict=False)]
        for y, row in zip(ys, found[len(values) :], strict=True):
            y[slot] = row
        done += 1
    if loop.strict and limit is not None and done == limit and loop.goes_on(*values, *shared)[0]:
        raise DifferentiationError(loop.excess, why="a program must know how many to keep room for", code="loop-capacity",
                                   fix=f"pass maximum_iterations={2 * limit} to ad.while_loop")  # fmt: skip
    for window, value in zip(loop.carry_windows, values, strict=True):
        window.of(flat)[...] = value
    if loop.condition is not None:
        flat[-1] = done
    return flat


def _fixpoint(step: Callable[[set[int]], set[int]], start: set[int]) -> list[int]:
    """The smallest set with `start` that `step` does not enlarge, sorted."""
    while not (more := step(start)) <= start:
        start = start | more
    return sorted(start)


def _moving(loop: Loop, carry: Iterable[int], others: Iterable[Node]) -> list[int]:
    """Positions of the carry that move if these do, and these other leaves."""
    others = list(others)

    def step(known: set[int]) -> set[int]:
        live = moved(loop.next, [loop.carry[i] for i in known] + others)
        return {i for i, y in enumerate(loop.next) if y.serial in live and y.dtype.kind == "f"}

    return _fixpoint(step, {i for i in carry if loop.carry[i].dtype.kind == "f"})


def ending(loop: Loop, args: Sequence[Node]) -> dict[str, Any]:
    """The end of a loop that takes the same steps as this one."""
    return {"length": loop.length, "condition": loop.condition, "count": args[-1] if loop.counted else None,
            "backward": loop.backward, "strict": loop.strict}  # fmt: skip


def _loop_series(node: Node, terms: Sequence[Sequence[Node | None]], order: int) -> Node | None:
    """Coefficient `order` of the results: a loop over the carry and its coefficients 1 to `order`."""
    loop: Loop = node.attr
    groups = (loop.carry, loop.xs, loop.shared)
    starts, stacks, shared = (paired(leaves, nodes) for leaves, nodes in zip(groups, loop.groups(node.args), strict=True))
    given = {leaf: ts for leaf, ts in zip(itertools.chain(*groups), terms, strict=False)
             if leaf.dtype.kind == "f" and any(t is not None for t in ts)}  # fmt: skip
    others = [leaf for leaf in given if leaf not in starts]
    moving = _moving(loop, [i for i, leaf in enumerate(loop.carry) if leaf in given], others)
    series: dict[Node, list[Node | None]] = {}
    for leaf in others:
        group = stacks if leaf in stacks else shared
        series[leaf] = coefficient_leaves(leaf, group[leaf], given[leaf], group)
    for leaf in [loop.carry[i] for i in moving]:
        series[leaf] = coefficient_leaves(leaf, starts[leaf], given.get(leaf, [None] * order), starts, always=True)
    columns = coefficients([*[loop.next[i] for i in moving], *loop.ys], series, order)
    of_ys = [column[-1] for column in columns[len(moving) :]]
    rows = [k for k, y in enumerate(loop.ys) if y.dtype.kind == "f" and of_ys[k] is not None]
    if not moving and not rows:
        return None
    following = [*loop.next, *[or_zero(c) for column in columns[: len(moving)] for c in column]]
    ys = [*loop.ys, *[typed(or_zero(of_ys[k]), *form(loop.ys[k])) for k in rows]]
    found = repeat(starts, stacks, shared, following, ys, **ending(loop, node.args))
    ends = spread(found.carry[len(loop.carry) + order - 1 :: order], moving, len(loop.carry))
    return packed(ends + spread(found.ys[len(loop.ys) :], rows, len(loop.ys)) + [None] * (loop.condition is not None),
                  loop.windows)  # fmt: skip


def _loop_push(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    return _loop_series(node, [[t] for t in tangents], 1)


def _loop_taylor(node: Node, k: int, coefficient: Callable) -> Node | None:
    return _loop_series(node, [[coefficient(a, j) for j in range(1, k + 1)] for a in node.args], k)


def _loop_pull(node: Node, ct: Node, wants: Sequence[bool], masked: bool) -> list[Node | None]:
    """The steps in the opposite order: each pulls the cotangent of the carry back, and collects those of what is shared.

    The carry of each step is kept by running the loop with it among its stacks.
    """
    loop: Loop = node.attr
    groups = (loop.carry, loop.xs, loop.shared)
    starts, stacks, shared = (paired(leaves, nodes) for leaves, nodes in zip(groups, loop.groups(node.args), strict=True))
    wanted = [leaf for leaf, want in zip(itertools.chain(*groups), wants, strict=False) if want and leaf.dtype.kind == "f"]
    others = [leaf for leaf in wanted if leaf not in starts]
    cts = [cotangent(ct, w) if w.dtype.kind == "f" else None for w in loop.windows]
    of_carry, of_ys = cts[: len(loop.carry)], cts[len(loop.carry) : len(loop.carry) + len(loop.ys)]
    moving = _moving(loop, [i for i, leaf in enumerate(loop.carry) if leaf in wanted], others)
    live = moved([*loop.next, *loop.ys], [*[loop.carry[i] for i in moving], *others])
    rows = [k for k, y in enumerate(loop.ys) if of_ys[k] is not None and y.serial in live]

    def reached(known: set[int]) -> set[int]:
        below = {n.serial for n in walk([loop.next[i] for i in known] + [loop.ys[k] for k in rows])}
        return {i for i in moving if loop.carry[i].serial in below}

    active = _fixpoint(reached, {i for i in moving if of_carry[i] is not None})
    seeds = {i: unknown("cotangent", *form(loop.carry[i])) for i in active}
    seeds_of_ys = {k: unknown("cotangent", *form(loop.ys[k])) for k in rows}
    sources = [*[loop.carry[i] for i in active], *others]
    pulled = reverse([*[loop.next[i] for i in active], *[loop.ys[k] for k in rows]],
                     [*seeds.values(), *seeds_of_ys.values()], sources, masked)  # fmt: skip
    rest = {leaf: c for leaf, c in zip(others, pulled[len(active) :], strict=True) if c is not None}
    sums = {leaf: unknown("sum", *form(leaf)) for leaf in rest if leaf in shared}
    collected = [TABLE["add"].make((total, broadcast(rest[leaf], leaf.shape))) for leaf, total in sums.items()]
    stacked = [leaf for leaf in rest if leaf in stacks]
    following = [*map(or_zero, pulled[: len(active)]), *collected]
    ys = [typed(rest[leaf], *form(leaf)) for leaf in stacked]

    below = {n.serial for n in walk([*following, *ys])}
    kept = [leaf for leaf in loop.carry if leaf.serial in below]
    recorded = [*loop.ys, *[leaf for leaf in kept if leaf not in loop.ys]]
    end = ending(loop, node.args)
    if loop.length is None:
        end |= {"length": CAPACITY, "strict": True}
    again = repeat(starts, stacks, shared, loop.next, recorded, **end)
    history = paired(recorded, again.ys)
    stacks |= {leaf: history[leaf] for leaf in kept}
    stacks |= {seed: typed(or_zero(of_ys[k]), loop.y_windows[k].shape, seed.dtype) for k, seed in seeds_of_ys.items()}
    finals = {seed: or_zero(of_carry[i]) for i, seed in seeds.items()} | {total: ZERO for total in sums.values()}
    steps = end["count"] if loop.condition is None else again.steps
    found = repeat(finals, stacks, shared, following, ys, end["length"], count=steps, backward=not loop.backward)
    answers = {loop.carry[i]: c for i, c in zip(active, found.carry, strict=False)}
    answers |= paired(list(sums), found.carry[len(active) :]) | paired(stacked, found.ys)
    return [answers.get(leaf) for leaf in itertools.chain(*groups)] + [None] * loop.counted


def _swapped(x: Node) -> Node:
    """The first two axes exchanged: steps and examples."""
    return TRANSPOSE.make((x,), (1, 0, *range(2, x.ndim)))


def _loop_batch(n: int, loop: Loop, *args: Node) -> Node:
    """One loop over batches.  If examples end at different steps it runs to the last, and those that have ended stay."""
    groups, nodes, singles = (loop.carry, loop.xs, loop.shared), loop.groups(args), [unrepeated(x) for x in args]
    known = {leaf for leaf, x in zip(itertools.chain(*groups), singles, strict=False) if x is None}

    def step(carry: set[int]) -> set[int]:
        live = depends(loop.next, [*known, *[loop.carry[i] for i in carry]])
        return {i for i, y in enumerate(loop.next) if y.serial in live}

    known |= {loop.carry[i] for i in _fixpoint(step, set())}
    masked = loop.counted and singles[-1] is None
    if loop.condition is not None and loop.condition.serial in depends([loop.condition], known):
        masked = True
    known |= set(loop.carry) if masked else set()
    wide = {leaf: unknown("batch", (n, *leaf.shape), leaf.dtype) for leaf in itertools.chain(*groups) if leaf in known}
    batch, live = Batch(wide, n), depends([*loop.ys], known)
    starts, stacks, shared = (
        {wide.get(leaf, leaf): x if leaf in wide else unrepeated(x) or x for leaf, x in zip(leaves, xs, strict=True)}
        for leaves, xs in zip(groups, nodes, strict=True)
    )
    stacks = {leaf: _swapped(x) if leaf in wide.values() else x for leaf, x in stacks.items()}
    following = [batch.of(y) if leaf in wide else y for y, leaf in zip(loop.next, loop.carry, strict=True)]
    ys = [batch.of(y) if masked or y.serial in live else y for y in loop.ys]
    end = ending(loop, args)
    counter = None
    if masked:
        if loop.condition is None:
            slot, counts = unknown("slot", (), INTEGER), unknown("counts", (n,), INTEGER)
            stacks[slot], shared[counts] = datum(np.arange(loop.length)), args[-1]
            runs = TABLE["less"].make((slot, counts))
            end["count"] = np.max(Array(args[-1])).node
        else:
            runs = batch.of(loop.condition)
            end["condition"] = np.any(Array(runs)).node
        where = TABLE["where"].make
        following = [where((align(runs, leaf.ndim), y, wide[leaf])) for y, leaf in zip(following, loop.carry, strict=True)]
        ys = [where((align(runs, y.ndim - 1), y, ZERO)) for y in ys]
        counter = unknown("steps", (n,), INTEGER)
        starts[counter] = constant(0)
        following.append(TABLE["add"].make((counter, cast(runs, INTEGER))))
    elif loop.counted:
        end["count"] = singles[-1]
    found = repeat(starts, stacks, shared, following, ys, **end)
    rows = [example_rows(y, w, n) for y, w in zip(found.carry, loop.carry_windows, strict=False)]
    for y, w in zip(found.ys, loop.y_windows, strict=True):
        rows.append(example_rows(y if y.shape == w.shape else _swapped(y), w, n))
    if loop.condition is not None:
        rows.append(example_rows(found.steps if counter is None else found.carry[-1], loop.count_window, n))
    return side_by_side(rows, n)


LOOP = Opaque("loop", _loop_value, lambda loop, *args: (loop.size,), _loop_push, _loop_pull, dtype=FLOAT, batch=_loop_batch,
              taylor=_loop_taylor, selective=True)  # fmt: skip
