"""COND: one of two bodies runs, as a predicate says.  The derivative of a choice is the choice of the derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..array import unknown
from ..graph import CONSTANT, Node, substitute
from ..primitive import TABLE, Opaque
from ..straight import straight_line
from ..transforms import Batch, rebuild, reverse
from ..types import FLOAT
from .bodies import (
    align,
    coefficient_leaves,
    coefficients,
    enclosed,
    example_rows,
    listed,
    or_zero,
    paired,
    row_by_row,
    said,
    side_by_side,
    spread,
    unrepeated,
)  # fmt: skip
from .packing import Form, Window, cotangent, form, packed, part, typed, windows


@dataclass(frozen=True, repr=False)
class Choice:
    """Two bodies over the same leaves, with outputs of the same forms.

    For a compiler; the arguments are (predicate, *operands):  flat = empty(size);  compute the graphs `yes` if the predicate
    holds, else the graphs `no`, over `leaves` = operands;  store output i in C order in windows[i] of flat, as float64, by way
    of the dtype of the window.
    """

    leaves: tuple[Node, ...]
    yes: tuple[Node, ...]
    no: tuple[Node, ...]
    forms: tuple[Form, ...]
    _run: dict[bool, Callable] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"Choice({said(self.leaves, self.yes, self.no)})"

    def __str__(self) -> str:
        return listed("one of", yes=self.yes, no=self.no)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        return windows(self.forms)

    @cached_property
    def size(self) -> int:
        return self.windows[-1].stop if self.windows else 0

    def body(self, which: bool) -> tuple[Node, ...]:
        return self.yes if which else self.no

    def rewritten(self, change: Callable[[Sequence[Node]], Sequence[Node]]) -> Choice:
        """The same with other bodies: `change` answers as many nodes as it gets, over the same leaves."""
        new, n = change([*self.yes, *self.no]), len(self.yes)
        return replace(self, yes=tuple(new[:n]), no=tuple(new[n:]), _run={})

    def run(self, which: bool) -> Callable[..., tuple]:
        """One of the bodies as a function of the numbers of the operands."""
        if which not in self._run:
            self._run[which] = straight_line(self.leaves, self.body(which), f"cond {which}")
        return self._run[which]


def choose(predicate: Node, operands: Mapping[Node, Node], yes: Sequence[Node], no: Sequence[Node],
           forms: Sequence[Form]) -> list[Node]:  # fmt: skip
    """The outputs `yes` where the predicate holds, else `no`; only one of the bodies runs.

    `operands` has the leaves of both bodies with what they stand for.
    """
    bodies = [typed(y, *f) for y, f in zip([*yes, *no], [*forms, *forms], strict=True)]
    if predicate.op is CONSTANT:
        taken = bodies[: len(forms)] if predicate.attr else bodies[len(forms) :]
        return substitute(taken, operands, rebuild)
    bodies, (leaves,), (nodes,) = enclosed(bodies, ("operand", operands))
    flat = COND.make((predicate, *nodes), Choice(tuple(leaves), tuple(bodies[: len(forms)]), tuple(bodies[len(forms) :]),
                                                 tuple(forms)))  # fmt: skip
    return [part(flat, w) for w in flat.attr.windows]


def _choice_value(choice: Choice, batch: int, predicate: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    if batch:
        return row_by_row(_choice_value, choice, batch, (predicate, *operands))
    flat = np.empty(choice.size)
    for window, y in zip(choice.windows, choice.run(bool(predicate))(*operands), strict=True):
        window.of(flat)[...] = np.asarray(y, window.dtype)
    return flat


def _choice_series(node: Node, terms: Sequence[Sequence[Node | None]], order: int) -> Node | None:
    """Coefficient `order` of the results: a choice of the coefficients of the bodies."""
    choice: Choice = node.attr
    operands = paired(choice.leaves, node.args[1:])
    series = {leaf: coefficient_leaves(leaf, x, ts, operands)
              for leaf, x, ts in zip(choice.leaves, node.args[1:], terms[1:], strict=True)
              if leaf.dtype.kind == "f" and any(t is not None for t in ts)}  # fmt: skip
    yes, no = ([column[-1] for column in coefficients(choice.body(which), series, order)] for which in (True, False))
    moving = [i for i, w in enumerate(choice.windows) if w.dtype.kind == "f" and (yes[i] is not None or no[i] is not None)]
    if not moving:
        return None
    found = choose(node.args[0], operands, [or_zero(yes[i]) for i in moving], [or_zero(no[i]) for i in moving],
                   [choice.forms[i] for i in moving])  # fmt: skip
    return packed(spread(found, moving, len(choice.forms)), choice.windows)


def _choice_push(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    return _choice_series(node, [[t] for t in tangents], 1)


def _choice_taylor(node: Node, k: int, coefficient: Callable) -> Node | None:
    return _choice_series(node, [[coefficient(a, j) for j in range(1, k + 1)] for a in node.args], k)


def _choice_pull(node: Node, ct: Node, wants: Sequence[bool], masked: bool) -> list[Node | None]:
    """A choice of the cotangents: each body runs again, inside its own derivative."""
    choice: Choice = node.attr
    to = [i for i, leaf in enumerate(choice.leaves) if wants[1 + i] and leaf.dtype.kind == "f"]
    cts = [cotangent(ct, w) if w.dtype.kind == "f" else None for w in choice.windows]
    seeded = {i: unknown("cotangent", *choice.forms[i]) for i, c in enumerate(cts) if c is not None}
    pulled = [reverse([choice.body(which)[i] for i in seeded], list(seeded.values()), [choice.leaves[i] for i in to], masked)
              for which in (True, False)]  # fmt: skip
    reached = [k for k in range(len(to)) if pulled[0][k] is not None or pulled[1][k] is not None]
    operands = paired(choice.leaves, node.args[1:])
    operands |= {seed: typed(or_zero(cts[i]), *form(seed)) for i, seed in seeded.items()}
    found = choose(node.args[0], operands, [or_zero(pulled[0][k]) for k in reached], [or_zero(pulled[1][k]) for k in reached],
                   [form(choice.leaves[to[k]]) for k in reached])  # fmt: skip
    return spread(found, [1 + to[k] for k in reached], len(node.args))


def _choice_batch(n: int, choice: Choice, predicate: Node, *operands: Node) -> Node:
    """With one predicate for all, a choice of batches; with a predicate for each example, both bodies and `where`."""
    which, single = unrepeated(predicate), [unrepeated(x) for x in operands]
    if which is None:
        put = {leaf: x for leaf, x in zip(choice.leaves, single, strict=True) if x is not None}
        batch = Batch({leaf: x for leaf, x, s in zip(choice.leaves, operands, single, strict=True) if s is None}, n)
        yes, no = ([batch.of(y) for y in substitute(body, put, rebuild)] for body in (choice.yes, choice.no))
        found = [TABLE["where"].make((align(predicate, len(w.shape)), a, b))
                 for a, b, w in zip(yes, no, choice.windows, strict=True)]  # fmt: skip
    else:
        wide = {leaf: unknown("operand", (n, *leaf.shape), leaf.dtype)
                for leaf, s in zip(choice.leaves, single, strict=True) if s is None}  # fmt: skip
        batch = Batch(wide, n)
        given = {wide.get(leaf, leaf): x if s is None else s
                 for leaf, x, s in zip(choice.leaves, operands, single, strict=True)}  # fmt: skip
        found = choose(which, given, [batch.of(y) for y in choice.yes], [batch.of(y) for y in choice.no],
                       [((n, *shape), dtype) for shape, dtype in choice.forms])  # fmt: skip
    return side_by_side([example_rows(y, w, n) for y, w in zip(found, choice.windows, strict=True)], n)


COND = Opaque("cond", _choice_value, lambda choice, *args: (choice.size,), _choice_push, _choice_pull, dtype=FLOAT,
              batch=_choice_batch, taylor=_choice_taylor, selective=True)  # fmt: skip
