"""Choices and loops: `cond`, `while_loop` and `scan`.

Where numbers are known they are plain Python: one branch runs, a loop loops, and tapes and transforms see what happens.  Where
they are not, in a `@function` and under `vmap`, the bodies are traced and become one node (see rules/choice and rules/loop).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from .array import Argument, Array, Readable, eager, lift, unknown
from .errors import ArgumentError, ShapeError
from .graph import SYMBOL, VIEW, Node, walk
from .inside import NUMERIC, Body, has_number, told, trace_body, unchanging
from .program import Structure, check_function, flatten, name_of
from .record import settle
from .recording import ACTIVE, user_code
from .rules.choice import choose
from .rules.loop import repeat
from .types import BOOL, POINT

SHORT = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.int32), np.dtype(np.int16), np.dtype(np.int8))

# ---- what values look like -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """Shape and dtype of a value; a number of Python's is `weak`: it takes the precision of what it meets."""

    shape: tuple[int, ...]
    dtype: np.dtype
    weak: bool = False

    def meets(self, other: Look) -> bool:
        return self.dtype == other.dtype or (self.weak or other.weak) and self.dtype.kind == other.dtype.kind

    def joined(self, other: Look) -> Look:
        return other if self.weak else self


def look(x: Any) -> Look:
    weak = isinstance(x, (bool, int, float))
    x = x if isinstance(x, (Array, Readable)) else np.asarray(x)
    return Look(x.shape, x.dtype, weak)


def _looks(body: Body) -> list[Look]:
    return [Look(n.shape, n.dtype, weak) for n, weak in zip(body.nodes, body.weak, strict=True)]


def _read(tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return structure.build([x.read() if isinstance(x, Readable) else x for x in leaves])


def _paths(structure: Structure, at: str = "") -> Iterator[str]:
    """Where each value stands: `[0]['w']`."""
    if structure.kind is None:
        yield at
    keys = structure.keys or range(len(structure.children))
    for key, child in zip(keys, structure.children, strict=True):
        yield from _paths(child, f"{at}[{key!r}]")


def _agree(structures: Sequence[Structure], looks: Sequence[Sequence[Look]], who: Sequence[str], what: str, why: str,
           fix: str) -> list[Look]:  # fmt: skip
    """What both look like; raises ArgumentError or ShapeError that says where they differ.  `who` is a clause for each."""
    if structures[0] != structures[1]:
        raise ArgumentError(f"{what}: {who[0]} is nested as {structures[0]}, {who[1]} is nested as {structures[1]}",
                            why=why, fix=fix, code="control-structure")  # fmt: skip
    for path, a, b in zip(_paths(structures[0]), *looks, strict=True):
        if a.shape != b.shape:
            raise ShapeError(f"{what}{path and ' at '}{path}: {who[0]} has shape {a.shape}, {who[1]} has shape {b.shape}",
                             why=why, fix=fix, code="control-shape")  # fmt: skip
        if not a.meets(b):
            raise ArgumentError(f"{what}{path and ' at '}{path}: {who[0]} has dtype {a.dtype}, {who[1]} has dtype {b.dtype}",
                                why=why, fix=fix, code="control-dtype")  # fmt: skip
    return [a.joined(b) for a, b in zip(*looks, strict=True)]


def _predicate(x: Any, of: str) -> Any:
    """A predicate, which must be one condition."""
    if isinstance(x, Readable):
        x = x.read()
    if not isinstance(x, NUMERIC):
        raise ArgumentError(f"{of} is a {type(x).__name__}, not a condition", why="it decides what happens next",
                            fix="compare: x > 0", code="control-predicate")  # fmt: skip
    found = look(x)
    if found.shape:
        raise ShapeError(f"{of} has shape {found.shape}, not ()", why="one branch is taken, or one more step, for all elements",
                         fix="np.all(p) or np.any(p); to choose element by element np.where(p, a, b)",
                         code="control-predicate")  # fmt: skip
    if found.dtype != BOOL:
        raise ArgumentError(f"{of} has dtype {found.dtype}, not bool", why="a number is no condition", fix="compare: x != 0",
                            code="control-predicate")  # fmt: skip
    return x


def _has_lanes() -> bool:
    """Whether a function with lanes is traced: a program for one point knows neither branches nor loops."""
    return ACTIVE.trace is not None and bool(ACTIVE.trace.lanes)


def _finished(nodes: Sequence[Node], f: Callable, how: str) -> list[Array]:
    """The results as arrays of the kind that the operands were, told to the watchers as one operation."""
    arrays = settle([Array(n) for n in nodes], name_of(f), how)
    loose = any(n.op is SYMBOL or n.op is VIEW or isinstance(n.attr, Argument) for n in walk(nodes))
    inside = any(getattr(w, "keeps_graphs", False) for w in ACTIVE.watchers)
    if ACTIVE.trace is not None and not loose and not inside:  # made of numbers alone, which eager arrays are made of
        code, at = user_code(2)
        arrays = [eager(a, (f"{how} {name_of(f)}", code, at)) if a.number is None else a for a in arrays]
    return arrays


# ---- cond ----------------------------------------------------------------------------------------------------------------


def cond(pred: Any, true_fn: Callable, false_fn: Callable, *operands: Any) -> Any:
    """true_fn(*operands) where `pred` holds, else false_fn(*operands); only one of them runs.

    `pred` is a single condition; both functions return arrays nested alike, of the same shapes and dtypes.  With a predicate
    for each example of `ad.vmap`, and in functions with lanes, both run, and `np.where` chooses.  Raises ArgumentError or
    ShapeError.
    """
    check_function(true_fn, "ad.cond")
    check_function(false_fn, "ad.cond")
    pred = _predicate(pred, "the predicate of ad.cond")
    if has_number(pred):
        return (true_fn if bool(pred) else false_fn)(*operands)
    operands = tuple(_read(x) for x in operands)
    if _has_lanes():
        return _chosen_by_point(pred, true_fn, false_fn, operands)
    yes, no = (trace_body(f, operands, "a branch of ad.cond") for f in (true_fn, false_fn))
    outside = {n: n for n in [*yes.outside(), *no.outside()]}
    if any(n.lane is POINT for n in (lift(pred), *outside)):
        return _chosen_by_point(pred, true_fn, false_fn, operands)
    looks = _agree_on_branches((true_fn, false_fn), (yes.structure, no.structure), (_looks(yes), _looks(no)))
    nodes = choose(lift(pred), outside, yes.nodes, no.nodes, [(x.shape, x.dtype) for x in looks])
    return yes.structure.build(_finished(nodes, true_fn, "ad.cond of"))


def _agree_on_branches(functions: Sequence[Callable], structures: Sequence[Structure],
                       looks: Sequence[Sequence[Look]]) -> list[Look]:  # fmt: skip
    return _agree(structures, looks, [told(f) for f in functions], "the branches of ad.cond differ",
                  "what follows has to do with either",
                  "return the same from both: np.broadcast_to(y, shape), y.astype(dtype)")  # fmt: skip


def _chosen_by_point(pred: Any, true_fn: Callable, false_fn: Callable, operands: tuple) -> Any:
    """Both branches as plain Python, and the choice element by element."""
    (yes, structure), (no, other) = (flatten(f(*operands)) for f in (true_fn, false_fn))
    for f, values in ((true_fn, yes), (false_fn, no)):
        _check_numeric(values, f"what {told(f)} returns to ad.cond")
    _agree_on_branches((true_fn, false_fn), (structure, other), ([look(x) for x in yes], [look(x) for x in no]))
    return structure.build([np.where(pred, a, b) for a, b in zip(yes, no, strict=True)])


# ---- loops without numbers -------------------------------------------------------------------------------------------------


def _unknowns(models: Sequence[Look], name: str) -> list[Node]:
    return [unknown(f"{name} {i}", m.shape, m.dtype) for i, m in enumerate(models)]


def _trace_step(call: Callable[[list[Any]], Body], values: Sequence[Any], models: Sequence[Look],
                check: Callable[[Body], list[Look]]) -> tuple[Body, list[Node]]:  # fmt: skip
    """The body of a loop, and the leaves that stand for its carry.

    A number of Python's among the `values` that it begins with takes the precision that the body gives it.
    """
    leaves = _unknowns(models, "carry")
    body = call([Array(leaf) for leaf in leaves])
    joined = check(body)
    if any(m.weak for m in models) and any(n.dtype in SHORT for n in walk(body.nodes)):
        joined = check(call([x if m.weak else Array(leaf) for x, m, leaf in zip(values, models, leaves, strict=True)]))
    while any(a.dtype != b.dtype for a, b in zip(joined, models, strict=True)):
        models, leaves = joined, _unknowns(joined, "carry")
        body = call([Array(leaf) for leaf in leaves])
        joined = check(body)
    return body, leaves


# ---- while_loop ------------------------------------------------------------------------------------------------------------


def while_loop(cond: Callable, body: Callable, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    """Repeats loop_vars = body(*loop_vars) as long as cond(*loop_vars) holds, at most `maximum_iterations` times.

    `loop_vars` is a tuple or list of arrays, or of tuples, lists and dicts of them; anything else (one array, a dict, a named
    tuple) is passed to both functions as their one argument.  The body returns what it was given: nested alike, of the same
    shapes and dtypes.  Where the loop is compiled its reverse derivative keeps the state of each step, `maximum_iterations` of
    them or 1024.  Raises ArgumentError or ShapeError.
    """
    check_function(cond, "ad.while_loop")
    check_function(body, "ad.while_loop")
    limit = None if maximum_iterations is None else _count(maximum_iterations, "maximum_iterations of ad.while_loop")
    several = isinstance(loop_vars, (tuple, list)) and not hasattr(loop_vars, "_fields")
    loop_vars = _read(loop_vars)
    values, structure = flatten(loop_vars)
    _check_numeric(values, "the loop variables")
    models = [look(x) for x in values]

    def called(f: Callable, values: Sequence[Any]) -> Any:
        given = structure.build(values)
        return f(*given) if several else f(given)

    @wraps(body)
    def following(*values: Any) -> Any:
        result = called(body, values)
        if several and isinstance(result, (tuple, list)) and not hasattr(result, "_fields"):
            return type(loop_vars)(result)
        return type(loop_vars)([result]) if several and len(loop_vars) == 1 else result

    def agree(found: Structure, looks: Sequence[Look]) -> list[Look]:
        return _agree([structure, found], [models, looks], ["it", f"what {told(body)} returns"],
                      "the loop variable of ad.while_loop changes", "the next step gets what this one returns",
                      "return what the body was given; begin with an array of that shape and dtype")  # fmt: skip

    values = [x.copy() if type(x) is Array else x for x in values]
    of = f"what {told(cond)} returns to ad.while_loop"
    done, traced = 0, ACTIVE.trace is not None or not all(has_number(x) for x in values)
    while not traced and (limit is None or done < limit):
        predicate = _predicate(called(cond, values), of)
        if not has_number(predicate):
            traced = True
        elif not bool(predicate):
            break
        else:
            values, found = flatten(following(*values))
            _check_numeric(values, f"what {told(body)} returns")
            models = agree(found, [look(x) for x in values])
            done += 1
    if not traced:
        return structure.build(values)

    # the predicate has no number: the rest of the loop becomes a node
    def step(carry: list[Array]) -> Body:
        return trace_body(following, carry, "the body of ad.while_loop", own=True)

    traced_body, leaves = _trace_step(step, values, models, lambda b: agree(b.structure, _looks(b)))
    test = trace_body(lambda *xs: _predicate(called(cond, xs), of), [Array(leaf) for leaf in leaves],
                      "the condition of ad.while_loop", own=True)  # fmt: skip
    _refuse_points([*map(lift, values), *traced_body.outside(), *test.outside()], leaves, "ad.while_loop")
    shared = {n: n for n in unchanging([*traced_body.nodes, *test.nodes], leaves)}
    looped = repeat({leaf: lift(x) for leaf, x in zip(leaves, values, strict=True)}, {}, shared, traced_body.nodes, [],
                    None if limit is None else limit - done, condition=test.nodes[0])  # fmt: skip
    return structure.build(_finished(looped.carry, body, "ad.while_loop of"))


def _count(n: Any, what: str) -> int:
    try:
        number = operator.index(n)
    except TypeError:
        raise ArgumentError(f"{what} is {n!r}, not a whole number", why="it counts steps", fix="pass an int",
                            code="control-length") from None  # fmt: skip
    if number < 0:
        raise ArgumentError(f"{what} is {number}", why="a loop cannot run less than no times", fix="pass 0 or more",
                            code="control-length")  # fmt: skip
    return number


def _check_numeric(values: Sequence[Any], what: str) -> None:
    for x in values:
        if not isinstance(x, NUMERIC) or look(x).dtype.kind not in "fiub":
            raise ArgumentError(f"{what} hold a {type(x).__name__}", why="arrays of real numbers go from step to step",
                                fix="pass arrays, numbers, or tuples, lists and dicts of them; use the rest from outside",
                                code="control-carry")  # fmt: skip


def _refuse_points(nodes: Sequence[Node], leaves: Sequence[Node], what: str) -> None:
    if _has_lanes() or any(n.lane is POINT for n in nodes):
        raise ArgumentError(f"{what} over values that differ from point to point", why="points would end at different steps",
                            fix="a fixed number of steps: a Python loop, or ad.scan", code="control-points")  # fmt: skip


# ---- scan --------------------------------------------------------------------------------------------------------------------


def scan(f: Callable, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """(carry, ys) of carry, y = f(carry, x) for each x along the first axis of `xs`, the ys stacked along a new first axis.

    `init`, `xs` and what f returns may be nested in tuples, lists and dicts; f returns the carry as it got it.  Without `xs`,
    x is None and f runs `length` times.  With `reverse` the last x comes first, and its y is still the last.  In functions with
    lanes all steps are written out.  Raises ArgumentError or ShapeError.
    """
    check_function(f, "ad.scan")
    carry, structure = flatten(_read(init))
    stacks, of_xs = flatten(_read(xs))
    _check_numeric(carry, "the carry of ad.scan")
    _check_numeric(stacks, "the xs of ad.scan")
    stacks = [x if isinstance(x, Array) else np.asarray(x) for x in stacks]
    count = _length(stacks, of_xs, length)
    models = [look(x) for x in carry]

    def step(carry: Sequence[Any], row: Sequence[Any]) -> tuple[Any, Any]:
        result = f(structure.build(carry), of_xs.build(row))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ArgumentError(f"{told(f)} returns a {type(result).__name__} to ad.scan, not a pair", code="control-pair",
                                why="ad.scan needs the next carry, and what to stack", fix="return carry, None")  # fmt: skip
        return tuple(result)

    def agree(found: Structure, looks: Sequence[Look]) -> list[Look]:
        return _agree([structure, found], [models, looks], ["it", f"what {told(f)} returns"], "the carry of ad.scan changes",
                      "the next step gets what this one returns",
                      "return the carry as f got it; begin with an array of that shape and dtype")  # fmt: skip

    points = _has_lanes() or any(n.lane is POINT for n in map(lift, (x for x in [*carry, *stacks] if type(x) is Array)))
    traced = not points and (ACTIVE.trace is not None or not all(has_number(x) for x in [*carry, *stacks]))
    if traced or count == 0:
        return _traced_scan(f, step, agree, carry, structure, stacks, of_xs, count, bool(reverse), traced, models)
    carry = [x.copy() if type(x) is Array else x for x in carry]
    columns: list[Any] = [None] * count
    first: Any = None
    for i in reversed(range(count)) if reverse else range(count):
        after, y = step(carry, [x[i] for x in stacks])
        carry, found = flatten(after)
        _check_numeric(carry, f"what {told(f)} returns")
        models = agree(found, [look(x) for x in carry])
        columns[i], of_ys = flatten(y)
        first = first or (columns[i], of_ys)
        _check_numeric(columns[i], f"what {told(f)} returns to be stacked")
        _agree([first[1], of_ys], [[look(x) for x in ys] for ys in (first[0], columns[i])], ["the first", f"that of step {i}"],
               f"what {told(f)} returns to be stacked differs", "all of it is stacked into one array",
               "return the same in every step")  # fmt: skip
    return structure.build(carry), of_ys.build([np.stack([ys[k] for ys in columns]) for k in range(len(first[0]))])


def _length(stacks: Sequence[Any], of_xs: Structure, length: int | None) -> int:
    """How many steps there are."""
    counts = {path: x.shape for path, x in zip(_paths(of_xs, "xs"), stacks, strict=True)}
    told_shapes = ", ".join(f"{path} has shape {shape}" for path, shape in counts.items())
    if any(not shape for shape in counts.values()):
        raise ShapeError(f"ad.scan goes along the first axis of xs, but {told_shapes}", code="control-xs",
                         why="a number has no axis", fix="stack the numbers: np.asarray(xs), or np.stack(xs)")  # fmt: skip
    lengths = {shape[0] for shape in counts.values()}
    if len(lengths) > 1:
        raise ShapeError(f"ad.scan goes along the first axes of xs together, but they differ: {told_shapes}",
                         why="each step takes one row of each", fix="cut them to the same length: x[:n]",
                         code="control-xs")  # fmt: skip
    if length is None:
        if not lengths:
            raise ArgumentError("ad.scan needs xs or length", why="nothing says how many steps there are", fix="length=10",
                                code="control-length")  # fmt: skip
        return lengths.pop()
    number = _count(length, "length of ad.scan")
    if lengths and number not in lengths:
        raise ShapeError(f"ad.scan with length={number}, but {told_shapes}", why="there is one step for each row of xs",
                         fix="leave length out", code="control-xs")  # fmt: skip
    return number


def _traced_scan(f: Callable, step: Callable, agree: Callable, carry: list, structure: Structure, stacks: list,
                 of_xs: Structure, count: int, reverse: bool, traced: bool, models: list[Look]) -> tuple[Any, Any]:  # fmt: skip
    rows = _unknowns([Look(x.shape[1:], x.dtype) for x in stacks], "x")
    nested: list[Structure] = []

    def call(carry: list[Array]) -> Body:
        @wraps(f)
        def parts(carry: Sequence[Any], row: Sequence[Any]) -> tuple[list, list]:
            (after, inner), (ys, outer) = map(flatten, step(carry, row))
            nested[:] = [inner, outer]
            return after, ys

        return trace_body(parts, (carry, [Array(leaf) for leaf in rows]), "the body of ad.scan", own=True)

    def check(body: Body) -> list[Look]:
        return agree(nested[0], _looks(body)[: nested[0].size])

    body, leaves = _trace_step(call, carry, models, check)
    n = len(carry)
    if not traced:  # no step at all, and only the shapes of what it would return were asked for
        empty = [np.zeros((0, *y.shape), y.dtype) for y in body.nodes[n:]]
        return structure.build(carry), nested[1].build(empty)
    _refuse_points([*map(lift, [*carry, *stacks]), *body.outside()], leaves, "ad.scan")
    shared = {m: m for m in unchanging(body.nodes, [*leaves, *rows])}
    found = repeat({leaf: lift(x) for leaf, x in zip(leaves, carry, strict=True)},
                           {leaf: lift(x) for leaf, x in zip(rows, stacks, strict=True)}, shared,
                           body.nodes[:n], body.nodes[n:], count, backward=reverse)  # fmt: skip
    arrays = _finished([*found.carry, *found.ys], f, "ad.scan of")
    return structure.build(arrays[:n]), nested[1].build(arrays[n:])


__all__ = ["cond", "scan", "while_loop"]
