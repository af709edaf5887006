"""Derivatives of plain numpy functions: each transform takes a function and answers with numbers, or, inside another transform,
with Arrays.

Every call opens leaves of its own, differentiates the program of these leaves, and only then puts the outer values in their
place.  So two transforms never see each other's leaves, and nesting cannot confuse perturbations (Siskind & Pearlmutter 2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import Argument, Array, Held, Readable, argument, call, lift, unknown
from .errors import ArgumentError, AxisError, DifferentiationError, ShapeError
from .graph import SYMBOL, VIEW, Node, constant, datum, substitute, walk
from .interpret import evaluate
from .primitive import TABLE, broadcast
from .program import ONE_VALUE, Structure, argument_names, check_function, flatten, name_of, trace
from .record import settle
from .transforms import Batch, Forward, Laplacian, rebuild, reverse, taylor

ONE, ZERO = constant(1.0), constant(0.0)


# ---- opening and closing a program -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A function, called once: its outputs as nodes over fresh leaves, and what the leaves stand for outside."""

    name: str
    outputs: list[Node]
    structure: Structure
    leaves: list[list[Node]]  # one list an argument that is differentiated
    nested: list[Structure]  # how each of these arguments was nested
    names: list[str]
    outside: dict[Node, Node]
    inside: bool  # an argument was an Array, so the answer is one too

    def sources(self) -> list[Node]:
        return [leaf for leaves in self.leaves for leaf in leaves]


def _fresh(x: Any, name: str, outside: dict[Node, Node]) -> Array:
    if isinstance(x, Array):
        node = x.node
        _floating(node.dtype, name)
        if any(n.op is SYMBOL or n.op is VIEW for n in walk([node])):
            leaf = unknown(name, node.shape, node.dtype, node.lane)
        else:
            leaf = argument(node, name)
        outside[leaf] = node
        return Array(leaf)
    if not isinstance(x, (bool, int, float, complex, np.generic, np.ndarray)):
        raise ArgumentError(f"the argument {name!r} is a {type(x).__name__}, which has no derivative",
                            why="only numbers can move by a small amount", code="argument-kind",
                            fix="pass floats, arrays of floats, or tuples, lists and dicts of them")  # fmt: skip
    value = np.asarray(x)
    _floating(value.dtype, name)
    leaf = argument(value.copy(), name)  # a copy: the caller may change the array before a pullback reads it
    outside[leaf] = datum(leaf.attr.value)
    return Array(leaf)


def _floating(dtype: np.dtype, name: str) -> None:
    if dtype.kind == "c":
        raise ArgumentError(f"the argument {name!r} has dtype {dtype}, and only real numbers have derivatives here",
                            fix="differentiate with respect to the real and the imaginary part: f(x.real, x.imag)",
                            code="not-real")  # fmt: skip
    if dtype.kind != "f":
        raise ArgumentError(f"the argument {name!r} has dtype {dtype}, and derivatives need floating point",
                            why="an integer cannot move by a small amount",
                            fix=f"pass floats: np.asarray({name.split('[')[0].split(' ')[0]}, float)",
                            code="argument-integer")  # fmt: skip


def _read(tree: Any) -> Any:
    """The same argument with variables read."""
    leaves, structure = flatten(tree)
    if not any(isinstance(x, Readable) for x in leaves):
        return tree
    return structure.build([x.read() if isinstance(x, Readable) else x for x in leaves])


def _open(f: Callable, args: Sequence[Any], argnums: Sequence[int], kwargs: dict) -> Opened:
    names, args = argument_names(f, len(args)), [_read(x) for x in args]
    outside: dict[Node, Node] = {}
    given, leaves, nested = list(args), [], []
    for i in argnums:
        if args[i] is None:
            raise ArgumentError(f"the argument {names[i]!r} is None, which has no derivative", code="argument-kind",
                                why="only numbers can move by a small amount", fix="pass floats, or leave it out of argnums")
        values, structure = flatten(args[i])
        one = structure == ONE_VALUE
        arrays = [_fresh(x, names[i] if one else f"{names[i]}[{k}]", outside) for k, x in enumerate(values)]
        given[i] = structure.build(arrays)
        leaves.append([a.node for a in arrays])
        nested.append(structure)
    outputs, structure = trace(f, *given, **kwargs)
    inside = any(isinstance(x, Array) for i in argnums for x in flatten(args[i])[0])
    return Opened(name_of(f), outputs, structure, leaves, nested, [names[i] for i in argnums], outside, inside)


def _floating_outputs(program: Opened, transform: str) -> None:
    for node in program.outputs:
        if node.dtype.kind != "f":
            raise DifferentiationError(f"{program.name} returns {node.dtype}, which has no derivative",
                                       why="an integer or a condition moves in steps, which have no slope",
                                       fix=f"return floats from the function given to {transform}",
                                       code="result-integer")  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """One array of an answer: its node (None is zero), and the shape and dtype in which it is to come."""

    node: Node | None
    shape: tuple[int, ...]
    dtype: np.dtype


def _close(program: Opened, wanted: Sequence[Wanted], extra: dict[Node, Any] | None = None) -> list[Any]:
    """The answers as numbers if all is known, else as Arrays.  `extra` gives values to leaves made after the trace."""
    extra = extra or {}
    nodes = [broadcast(ZERO if w.node is None else w.node, w.shape) for w in wanted]
    own = {leaf.serial for leaf in program.outside} | {leaf.serial for leaf in extra}
    inside = program.inside or any(isinstance(x, Array) for x in extra.values()) or any(
        n.serial not in own and (n.op is SYMBOL or n.op is VIEW or isinstance(n.attr, (Argument, Held))) for n in walk(nodes)
    )  # fmt: skip
    if inside:
        replacement = program.outside | {leaf: x.node if isinstance(x, Array) else datum(x) for leaf, x in extra.items()}
        arrays = [Array(n) for n in substitute(nodes, replacement, rebuild)]
        typed = [a if a.dtype == w.dtype else a.astype(w.dtype) for a, w in zip(arrays, wanted, strict=True)]
        return settle(typed, program.name)
    values = evaluate(nodes, symbols=extra)
    with np.errstate(over="ignore"):  # what is too large for single precision is infinite there
        return [np.array(np.broadcast_to(v, w.shape), w.dtype)[()] for v, w in zip(values, wanted, strict=True)]


def _like(node: Node | None, model: Node, lead: tuple[int, ...] = ()) -> Wanted:
    return Wanted(node, lead + model.shape, model.dtype)


def _argnums(f: Callable, argnums: int | Sequence[int], count: int) -> tuple[list[int], bool]:
    """The positions as a list of non-negative numbers, and whether a single one was asked for."""
    single = isinstance(argnums, (int, np.integer)) and not isinstance(argnums, bool)
    numbers: Any = [argnums] if single else argnums
    if not isinstance(numbers, (list, tuple)) or not all(isinstance(n, (int, np.integer)) for n in numbers):
        raise ArgumentError(f"argnums must be an int or a tuple of ints, not {argnums!r}", fix="argnums=0, or argnums=(0, 1)",
                            code="argnums")  # fmt: skip
    for n in numbers:
        if not -count <= n < count:
            raise ArgumentError(f"argnums={argnums} asks for argument {n} of {name_of(f)}, which was called with "
                                f"{count} positional argument{'s' * (count != 1)}",
                                fix="pass what is differentiated by position", code="argnums")  # fmt: skip
    normal = [int(n) % count for n in numbers]
    if len(set(normal)) < len(normal):
        raise ArgumentError(f"argnums={argnums} names an argument twice", fix=f"argnums={tuple(dict.fromkeys(normal))}",
                            code="argnums")  # fmt: skip
    return normal, single


def _matching(tree: Any, structure: Structure, models: Sequence[Node], what: str, of: str) -> list[Any]:
    """The leaves of `tree`, each an Array or an ndarray with the shape and dtype of its model."""
    leaves, given = flatten(structure.order(tree))
    if given != structure and not (structure.size == 1 and structure == ONE_VALUE and _is_nested_numbers(tree)):
        raise ArgumentError(f"{what} is nested as {given}, but {of} as {structure}",
                            why="each number needs one of its own", fix=f"give {what} the structure of {of}",
                            code="nesting")  # fmt: skip
    if given != structure:
        leaves = [np.asarray(tree)]
    out = []
    for i, (x, model) in enumerate(zip(leaves, models, strict=True)):
        place = f"[{i}]" if structure != ONE_VALUE else ""
        if not isinstance(x, Array):
            x = np.asarray(x)
            if x.dtype.kind not in "fiub":
                raise ArgumentError(f"{what}{place} has dtype {x.dtype}, but {of}{place} has {model.dtype}",
                                    why="only real numbers have derivatives here", fix="pass floats", code="not-real")
            x = x.astype(model.dtype)
        if x.shape != model.shape:
            raise ShapeError(f"{what}{place} has shape {x.shape}, but {of}{place} has shape {model.shape}",
                             why="a small change of an array has the shape of the array",
                             fix=f"pass an array of shape {model.shape}", code="tangent-shape")  # fmt: skip
        out.append(x)
    return out


def _is_nested_numbers(tree: Any) -> bool:
    return isinstance(tree, (list, tuple)) and all(isinstance(x, (int, float, np.generic)) for x in flatten(tree)[0])


def _tuple(primals: Any, transform: str, what: str = "primals") -> tuple:
    if not isinstance(primals, (tuple, list)):
        raise ArgumentError(f"{transform} needs a tuple of {what}, one for each argument, not a {type(primals).__name__}",
                            fix="write (x,) for a single one", code="not-a-tuple")  # fmt: skip
    return tuple(primals)


def _unknowns(models: Sequence[Node], name: str) -> list[Node]:
    return [unknown(name, m.shape, m.dtype, m.lane) for m in models]


# ---- reverse mode ----------------------------------------------------------------------------------------------------


def value_and_grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """A function that answers (f(*args), gradient), reverse mode.

    The gradient has the structure and shapes of the argument `argnums`, or is a tuple of such for a tuple of argnums.
    Raises DifferentiationError if f does not return a scalar or an argument holds integers.
    """

    check_function(f, "ad.value_and_grad")

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        numbers, single = _argnums(f, argnums, len(args))
        program = _open(f, args, numbers, kwargs)
        if program.structure != ONE_VALUE or program.outputs[0].shape != ():
            what = f"an array of shape {program.outputs[0].shape}" if program.structure == ONE_VALUE else str(program.structure)
            raise DifferentiationError(f"grad needs a scalar, but {program.name} returns {what}",
                                       why="a gradient is the slope of one number",
                                       fix="use jacobian, or sum() the result", code="not-scalar")  # fmt: skip
        _floating_outputs(program, "grad")
        (y,), sources = program.outputs, program.sources()
        cotangents = reverse([y], [ONE], sources)
        value, *parts = _close(program, [_like(y, y), *map(_like, cotangents, sources)])
        gradients = _nest(parts, program.nested)
        return value, gradients[0] if single else tuple(gradients)

    return _called(value_and_gradient, f"value_and_grad_{name_of(f)}", f)


def _called(derived: Callable, name: str, f: Callable) -> Callable:
    """A function made of f, which says so, and whose arguments are called what f calls them."""
    derived.__name__ = derived.__qualname__ = name
    derived.__wrapped__ = f  # type: ignore[attr-defined]
    return derived


def _nest(parts: Sequence[Any], structures: Sequence[Structure]) -> list[Any]:
    rest = iter(parts)
    return [s.build([next(rest) for _ in range(s.size)]) for s in structures]


def grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """The gradient of a function that returns a scalar; see `value_and_grad`."""
    check_function(f, "ad.grad")
    both = value_and_grad(f, argnums)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return _called(gradient, f"grad_{name_of(f)}", f)


def vjp(f: Callable, *primals: Any) -> tuple[Any, Callable]:
    """(f(*primals), pullback), where pullback(ct) is the tuple of J^T ct, one for each primal; `ct` is nested and shaped as f's
    result, which is checked."""
    check_function(f, "ad.vjp")
    program = _open(f, primals, range(len(primals)), {})
    _floating_outputs(program, "vjp")
    sources = program.sources()
    value = program.structure.build(_close(program, [_like(y, y) for y in program.outputs]))
    seeds = _unknowns(program.outputs, "cotangent")
    cotangents = reverse(program.outputs, seeds, sources)

    def pullback(cotangent: Any) -> tuple:
        given = _matching(cotangent, program.structure, program.outputs, "the cotangent", f"the result of {program.name}")
        parts = _close(program, list(map(_like, cotangents, sources)), dict(zip(seeds, given, strict=True)))
        return tuple(_nest(parts, program.nested))

    return value, pullback


# ---- forward mode ----------------------------------------------------------------------------------------------------


def _tangents(program: Opened, tangents: Any, transform: str) -> dict[Node, Any]:
    tangents = _tuple(tangents, transform, "tangents")
    if len(tangents) != len(program.nested):
        raise ArgumentError(f"{transform} got {len(program.nested)} primals but {len(tangents)} tangents",
                            fix="give one tangent for each primal, zeros for one that stays", code="count")  # fmt: skip
    seeds: dict[Node, Any] = {}
    for t, structure, leaves, name in zip(tangents, program.nested, program.leaves, program.names, strict=True):
        given = _matching(t, structure, leaves, f"the tangent of {name!r}", f"the argument {name!r}")
        seeds.update(zip(leaves, given, strict=True))
    return seeds


def jvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*primals), J tangents), forward mode; tangents are nested and shaped as the primals, which is checked."""
    check_function(f, "ad.jvp")
    primals = _tuple(primals, "jvp")
    program = _open(f, primals, range(len(primals)), {})
    _floating_outputs(program, "jvp")
    # a zero tangent is not even entered: infinite slopes in directions that are not taken shall not matter
    given = {leaf: t for leaf, t in _tangents(program, tangents, "jvp").items() if isinstance(t, Array) or np.any(t)}
    seeds = dict(zip(given, _unknowns(list(given), "tangent"), strict=True))
    forward = Forward(seeds)
    ys = program.outputs
    extra = {seeds[leaf]: t for leaf, t in given.items()}
    parts = _close(program, [_like(y, y) for y in ys] + [_like(forward.of(y), y) for y in ys], extra)
    return program.structure.build(parts[: len(ys)]), program.structure.build(parts[len(ys) :])


def hvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of a scalar function with the tangents, forward over reverse, without the Hessian.

    One array for one primal, else a tuple with the part of each primal.
    """
    check_function(f, "ad.hvp")
    primals = _tuple(primals, "hvp")
    numbers = tuple(range(len(primals)))
    _, products = jvp(grad(f, numbers), primals, tangents)
    return products[0] if len(primals) == 1 else products


# ---- whole matrices --------------------------------------------------------------------------------------------------


def jacobian(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """A function that answers dy/dx with shape y.shape + x.shape, by forward or reverse mode, whichever has fewer directions.

    For nested results and arguments: nested as the result, in each place nested as the argument(s).
    """

    check_function(f, "ad.jacobian")

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        numbers, single = _argnums(f, argnums, len(args))
        program = _open(f, args, numbers, kwargs)
        _floating_outputs(program, "jacobian")
        ys, xs = program.outputs, program.sources()
        wide = sum(math.prod(x.shape) for x in xs) <= sum(math.prod(y.shape) for y in ys)
        rows = _columns(ys, xs) if wide else _rows(ys, xs)
        parts = _close(program, [Wanted(rows[i][j], y.shape + x.shape, np.result_type(y.dtype, x.dtype))
                                 for i, y in enumerate(ys) for j, x in enumerate(xs)])  # fmt: skip
        blocks = [_nest(parts[i * len(xs) : (i + 1) * len(xs)], program.nested) for i in range(len(ys))]
        return program.structure.build([b[0] if single else tuple(b) for b in blocks])

    return _called(jacobian_of, f"jacobian_{name_of(f)}", f)


def _identity(model: Node) -> Node:
    n = math.prod(model.shape)
    return datum(np.eye(n, dtype=model.dtype).reshape(n, *model.shape))


def _columns(ys: Sequence[Node], xs: Sequence[Node]) -> list[list[Node | None]]:
    """dy/dx by forward mode: one batch with a direction for every element of x."""
    columns = []
    for x in xs:
        direction = unknown("direction", x.shape, x.dtype, x.lane)
        forward, n = Forward({x: direction}), math.prod(x.shape)
        batch = Batch({direction: _identity(x)}, n)
        column: list[Node | None] = []
        for y in ys:
            t = forward.of(y)
            if t is not None:  # (n, *y.shape) -> (*y.shape, n) -> (*y.shape, *x.shape)
                t = TABLE["transpose"].make((batch.of(t),), (*range(1, y.ndim + 1), 0))
                t = TABLE["reshape"].make((t,), y.shape + x.shape)
            column.append(t)
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


def _rows(ys: Sequence[Node], xs: Sequence[Node]) -> list[list[Node | None]]:
    """dy/dx by reverse mode: one batch with a cotangent for every element of y."""
    rows = []
    for y in ys:
        seed = unknown("cotangent", y.shape, y.dtype, y.lane)
        batch = Batch({seed: _identity(y)}, math.prod(y.shape))
        cts = [None if c is None else broadcast(c, x.shape) for c, x in zip(reverse([y], [seed], xs), xs, strict=True)]
        rows.append([None if c is None else TABLE["reshape"].make((batch.of(c),), y.shape + c.shape) for c in cts])
    return rows


def hessian(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """A function that answers d2f/dx2 with shape x.shape + x.shape: forward over reverse, all columns in one batch."""
    check_function(f, "ad.hessian")
    return jacobian(grad(f, argnums), argnums)


def laplacian(f: Callable) -> Callable:
    """A function of x, shape (n,), that answers sum_i d2f/dx_i^2 with the shape of f(x), carrying only the sum.

    Collapsed forward Laplacian (Li et al. 2023, arXiv:2307.08214).  Further arguments are passed on.
    """

    check_function(f, "ad.laplacian")

    def laplacian_of(x: Any, *args: Any, **kwargs: Any) -> Any:
        program = _open(f, (x, *args), [0], kwargs)
        _floating_outputs(program, "laplacian")
        if program.nested[0] != ONE_VALUE or len(program.sources()[0].shape) > 1:
            raise ShapeError("laplacian needs one array of shape (n,) as the first argument of the function",
                             why="the sum of second derivatives is over the elements of that array",
                             fix="f(np.stack([x, y])); ad.vmap(ad.laplacian(f)) for rows of points",
                             code="laplacian-argument")  # fmt: skip
        (leaf,) = program.sources()
        direction = unknown("direction", leaf.shape, leaf.dtype, leaf.lane)
        batch = Batch({direction: _identity(leaf)}, math.prod(leaf.shape))
        mode = Laplacian([Forward({leaf: direction})], lambda term: TABLE["sum"].make((batch.of(term),), (0,)))
        return program.structure.build(_close(program, [_like(mode.of(y), y) for y in program.outputs]))

    return _called(laplacian_of, f"laplacian_{name_of(f)}", f)


# ---- Taylor mode -----------------------------------------------------------------------------------------------------


def jet(f: Callable, primals: Sequence[Any], series: Sequence[Sequence[Any]]) -> tuple[Any, list[Any]]:
    """(y, [y1, ..., yd]): the derivatives at t = 0 of f along x(t) = x + sum_k series[k-1] t^k / k!.

    `series` has one sequence of d arrays for each primal; raises ArgumentError if their lengths differ.  Inside, coefficients
    are normalised by k! (Griewank & Walther, Evaluating Derivatives, 2nd ed., section 13.2).
    """
    check_function(f, "ad.jet")
    primals, series = _tuple(primals, "jet"), _tuple(series, "jet", "series")
    program = _open(f, primals, range(len(primals)), {})
    _floating_outputs(program, "jet")
    if len(series) != len(primals):
        raise ArgumentError(f"jet got {len(primals)} primals but {len(series)} series",
                            fix="give one series for each primal, zeros for one that stays", code="count")  # fmt: skip
    series = [tuple(s) if isinstance(s, (np.ndarray, Array)) and s.ndim else _tuple(s, "jet", "terms") for s in series]
    if len({len(s) for s in series}) > 1:
        lengths = ", ".join(f"{len(s)} for {name!r}" for s, name in zip(series, program.names, strict=True))
        raise ArgumentError(f"jet needs as many terms for every argument, not {lengths}",
                            why="term k of every series belongs to order k", fix="append zeros to the shorter series",
                            code="series-length")  # fmt: skip
    order = len(series[0]) if series else 0
    extra: dict[Node, Any] = {}
    coefficients: dict[Node, list[Node | None]] = {leaf: [] for leaf in program.sources()}
    for k in range(1, order + 1):
        for terms, structure, leaves, name in zip(series, program.nested, program.leaves, program.names, strict=True):
            what = f"term {k} of the series of {name!r}"
            given = _matching(terms[k - 1], structure, leaves, what, f"the argument {name!r}")
            for leaf, x in zip(leaves, given, strict=True):
                coefficients[leaf].append(_coefficient(leaf, x, k, extra))
    terms = _derivatives_along(program.outputs, coefficients, order)
    wanted = [_like(y, y) for y in program.outputs]
    wanted += [_like(t, y) for row in terms for t, y in zip(row, program.outputs, strict=True)]
    parts, n = _close(program, wanted, extra), len(program.outputs)
    trees = [program.structure.build(parts[k * n : (k + 1) * n]) for k in range(order + 1)]
    return trees[0], trees[1:]


def _coefficient(leaf: Node, x: Any, k: int, extra: dict[Node, Any]) -> Node | None:
    """The normalised coefficient of a leaf, zeros not even entered."""
    if not isinstance(x, Array) and not np.any(x):
        return None
    slope = unknown("series", leaf.shape, leaf.dtype, leaf.lane)
    extra[slope] = x
    return TABLE["multiply"].make((constant(1.0 / math.factorial(k)), slope))


def _derivatives_along(outputs: list[Node], series: dict[Node, list[Node | None]], order: int) -> list[list[Node | None]]:
    """Derivatives 1..order of every output."""
    rows = zip(*taylor(outputs, series, order), strict=True)
    return [[None if c is None else TABLE["multiply"].make((constant(float(math.factorial(k))), c)) for c in row]
            for k, row in enumerate(rows, 1)]  # fmt: skip


# ---- constants on purpose --------------------------------------------------------------------------------------------


def stop_gradient(x: Any) -> Any:
    """x itself, as a constant: derivatives of all transforms stop here."""
    return call(TABLE["stop_gradient"], _read(x)) if isinstance(x, (Array, Readable)) else x


# ---- mapping ---------------------------------------------------------------------------------------------------------


def vmap(f: Callable, in_axes: int | None | Sequence[int | None] = 0) -> Callable:
    """f over the axis `in_axes` of its arguments (None: the argument is the same for all), results stacked along a new axis 0.

    One axis for all arguments, or one for each, which may be nested as the argument is; arguments by keyword are mapped over
    axis 0, as in JAX.  f is called once, on Arrays without numbers and without the axis; it may not decide by their values.
    """

    check_function(f, "ad.vmap")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes: list[Any] = list(in_axes) if isinstance(in_axes, (tuple, list)) else [in_axes] * len(args)
        if len(axes) != len(args):
            raise ArgumentError(f"in_axes={in_axes} has {len(axes)} entries, but {name_of(f)} got {len(args)} arguments",
                                fix="give one for each argument; None for one that is the same for all",
                                code="in-axes")  # fmt: skip
        names = argument_names(f, len(args))
        leaves: dict[Node, tuple[Node, bool]] = {}
        sizes: list[tuple[int, str]] = []

        def without_axis(x: Any, axes: Any, name: str) -> Any:
            x = _read(x)
            values, structure = flatten(x)
            moved = []
            for v, axis in zip(values, _mapped_axes(axes, x, name), strict=True):
                if axis is None:
                    moved.append(v)
                    continue
                a = v if isinstance(v, Array) else np.asarray(v)
                if not -a.ndim <= axis < a.ndim:
                    still = f"functools.partial({name_of(f)}, {name}=...)" if name in kwargs else f"in_axes=None for {name!r}"
                    raise AxisError(f"vmap over axis {axis} of {name!r}, which has shape {a.shape}",
                                    why="an argument that is mapped has that axis", code="vmap-axis",
                                    fix=f"{still}, if it is the same for all")  # fmt: skip
                whole = lift(np.moveaxis(a, axis, 0))
                leaf = unknown(name, whole.shape[1:], whole.dtype, whole.lane)
                leaves[leaf] = (whole, isinstance(v, Array))
                sizes.append((whole.shape[0], name))
                moved.append(Array(leaf))
            return structure.build(moved)

        given = [x if axis is None else without_axis(x, axis, name) for x, axis, name in zip(args, axes, names, strict=True)]
        named = {name: without_axis(x, 0, name) for name, x in kwargs.items()}
        if len({n for n, _ in sizes}) != 1:
            told = ", ".join(f"{n} for {name!r}" for n, name in sizes)
            raise ShapeError(f"vmap needs one length of the mapped axis, not {told or 'none: every axis is None'}",
                             fix="in_axes=0 for what is mapped, None for what is the same for all",
                             code="vmap-length")  # fmt: skip
        outputs, structure = trace(f, *given, **named)
        batch = Batch({leaf: whole for leaf, (whole, _) in leaves.items()}, sizes[0][0])
        nodes = [batch.of(y) for y in outputs]
        program = Opened(name_of(f), nodes, structure, [], [], names, {}, any(traced for _, traced in leaves.values()))
        return structure.build(_close(program, [_like(y, y) for y in nodes]))

    return _called(mapped, f"vmap_{name_of(f)}", f)


def _mapped_axes(axes: Any, tree: Any, name: str) -> list[int | None]:
    """The axis of each value of a tree: one for all, or nested as the tree."""
    if axes is None or (isinstance(axes, (int, np.integer)) and not isinstance(axes, bool)):
        return [axes] * len(flatten(tree)[0])
    if isinstance(axes, dict) and isinstance(tree, dict) and set(axes) == set(tree):
        return [axis for k in tree for axis in _mapped_axes(axes[k], tree[k], name)]
    if isinstance(axes, (tuple, list)) and isinstance(tree, (tuple, list)) and len(axes) == len(tree):
        return [axis for a, x in zip(axes, tree, strict=True) for axis in _mapped_axes(a, x, name)]
    raise ArgumentError(f"in_axes has {axes!r} for {name!r}, which is nested as {flatten(tree)[1]}",
                        why="an axis is an integer or None, or they are nested as the argument",
                        fix="in_axes=0 for all that it holds", code="in-axes")  # fmt: skip


__all__ = ["grad", "hessian", "hvp", "jacobian", "jet", "jvp", "laplacian", "stop_gradient", "value_and_grad", "vjp", "vmap"]
