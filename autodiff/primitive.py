"""The sorts of primitives and the table of them.

A transform never asks "is it tanh?", only "of which sort is it?":

* `Elementwise`  numpy broadcasting, one first derivative per argument; forward, reverse and Taylor follow from it.
* `Multilinear`  linear in each of two arguments (a contraction, a masked product); needs only its two transposes.
* `Linear`       linear in all arguments jointly (sum, reshape, index, stack, ...); needs only its transpose.
* `Select`       `where`: picks by a condition that carries no derivative.
* `Opaque`       brings rules of its own: the garden door.

Constructors (`make`) simplify: a node that exists is already simple.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import IndexingError, ShapeError
from .graph import CONSTANT, Node, constant, digest, intern, is_constant
from .types import BOOL, POINT, SHARED, Shape, to_inexact

TABLE: dict[str, Elementwise | Multilinear | Linear | Select | Opaque] = {}
UFUNCS: dict[np.ufunc, Callable] = {}      # numpy ufunc -> what our arrays do instead
FUNCTIONS: dict[Callable, Callable] = {}   # numpy function -> what our arrays do instead


class Primitive:
    """What all sorts share: a name in the table, and perhaps, for kernels, what it is for the features of one point."""

    sort = ""
    written_out: Callable | None = None
    passes: int | None = None  # the argument whose value it has, if it only says something about derivatives

    def __init__(self, name: str):
        self.name = name
        TABLE[name] = self  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.name


class Elementwise(Primitive):
    """y = f(a, b, ...) element by element.

    `derivative(y, a, b, ...)` gives one partial per argument (an array, a number, or None for no derivative); it may use the
    output.  `source` is the text for the compiled loop, `cost` its price (8 and more: never recomputed), `vector` the name of
    the vectorised elementary function if there is one.  `lowered` rewrites the primitive for kernels, `simplify(*args)` may
    answer with a simpler node, `domain` and `avoid` say where the tables of tests may sample it.
    """

    sort = "elementwise"

    def __init__(
        self, name: str, value: Callable, source: str, derivative: Callable | None, *, cost: int = 1, vector: str | None = None,
        dtype: str = "inexact", commutes: bool = False, simplify: Callable | None = None, lowered: Callable | None = None,
        domain: tuple = (-2.0, 2.0), avoid: tuple = (), order: int = 5,
    ):  # fmt: skip
        super().__init__(name)
        self.value, self.source, self.derivative, self.cost, self.vector = value, source, derivative, cost, vector
        self.dtype, self.commutes, self.simplify, self.lowered = dtype, commutes, simplify, lowered
        self.domain, self.avoid, self.order = domain, avoid, order

    def make(self, args: tuple[Node, ...], attr: Any = None) -> Node:
        if all(a.op is CONSTANT for a in args):
            return self.fold(args)
        shape = broadcast_shapes(self.name, args)
        if any(_is_fill(a) for a in args):
            # scalars meet anything: a filled scalar is the scalar again, and the fill moves outward
            args = tuple(a.args[0] if _is_fill(a) else a for a in args)
            if all(a.shape == () for a in args):
                return broadcast(self.make(args), shape)
        args = tuple(a if a.shape in ((), shape) else broadcast(a, shape) for a in args)
        if pieces := dissolve(args, shape):
            return pieces[0](tuple(self.make(piece) for piece in pieces[1]))
        if self.simplify is not None:
            simple = self.simplify(*args)
            if simple is not None:
                return broadcast(simple, shape)
        if self.commutes:
            # by what they say, not by age: the same program is the same text in every process
            args = tuple(sorted(args, key=lambda n: (n.op is not CONSTANT, digest(n), n.serial)))
        return intern(self, args, None, shape, self.result_type(args), max(a.lane for a in args))

    def fold(self, args: tuple[Node, ...]) -> Node:
        with np.errstate(all="ignore"):
            return constant(self.value(*[np.asarray(a.attr) for a in args]).item())

    def result_type(self, args: tuple[Node, ...]) -> np.dtype:
        if self.dtype == "bool":
            return BOOL
        dtype = np.result_type(*[a.attr if a.op is CONSTANT else a.dtype for a in args])
        return dtype if self.dtype == "same" else to_inexact(dtype)


class Multilinear(Primitive):
    """y = f(a, b), linear in a and in b.

    `transposes[i](ct, other, node)` is the cotangent of argument i; `batch(attr, a, b, a_batched, b_batched)` the same with a
    leading axis on one or both.
    """

    sort = "multilinear"

    def __init__(self, name: str, value: Callable, shape: Callable, transposes: tuple[Callable, Callable],
                 simplify: Callable | None = None, source: str = "", cost: int = 1, batch: Callable | None = None):  # fmt: skip
        super().__init__(name)
        self.value, self.shape, self.transposes, self.simplify, self.batch = value, shape, transposes, simplify, batch
        self.source, self.cost, self.vector = source, cost, None

    def make(self, args: tuple[Node, ...], attr: Any = None) -> Node:
        return _make(self, args, attr)


class Linear(Primitive):
    """y = f(a, b, ...), linear in all arguments at once.

    `value(attr, batch, *numbers)` is its meaning with `batch` leading axes that it must leave alone; `transpose(ct, i, node)`
    is the cotangent of argument i; `batch(n, attr, *args)` is the node for arguments with a leading axis of length n.
    `view` says that its value is a numpy view where strides allow, so that a kernel need not move anything; else
    `kernel(attr, *args)` says how a kernel does it: the name of a function of `compile/library.py` and its parameters.
    """

    sort = "linear"

    def __init__(self, name: str, value: Callable, shape: Callable, transpose: Callable, simplify: Callable | None = None,
                 batch: Callable | None = None, *, view: bool = False, kernel: Callable | None = None):  # fmt: skip
        super().__init__(name)
        self.value, self.shape, self.transpose, self.simplify, self.batch = value, shape, transpose, simplify, batch
        self.view, self.kernel = view, kernel

    def make(self, args: tuple[Node, ...], attr: Any = None) -> Node:
        return _make(self, args, attr)


def _make(primitive: Multilinear | Linear, args: tuple[Node, ...], attr: Any) -> Node:
    """The simpler node if there is one, else the node itself."""
    if primitive.simplify is not None:
        simple = primitive.simplify(attr, *args)
        if simple is not None:
            return simple
    dtype = np.result_type(*[a.attr if a.op is CONSTANT else a.dtype for a in args])
    return intern(primitive, args, attr, primitive.shape(attr, *args), dtype, max(a.lane for a in args))


class Select(Primitive):
    """y = where(c, a, b): the tangent is selected too, so that the dead branch cannot spoil it."""

    sort = "select"

    def __init__(self, name: str, value: Callable, source: str):
        super().__init__(name)
        self.value, self.source, self.cost, self.vector = value, source, 1, None

    def make(self, args: tuple[Node, ...], attr: Any = None) -> Node:
        shape = broadcast_shapes(self.name, args)
        args = tuple(a.args[0] if _is_fill(a) else a for a in args)
        condition, a, b = args
        if condition.op is CONSTANT:
            return broadcast(a if condition.attr else b, shape)
        if a is b:
            return broadcast(a, shape)
        if all(n.shape == () for n in args) and shape != ():
            return broadcast(self.make(args), shape)
        args = tuple(n if n.shape in ((), shape) else broadcast(n, shape) for n in args)
        if pieces := dissolve(args, shape):
            return pieces[0](tuple(self.make(piece) for piece in pieces[1]))
        dtype = np.result_type(*[n.attr if n.op is CONSTANT else n.dtype for n in (a, b)])
        return intern(self, args, None, shape, dtype, max(n.lane for n in args))


class Opaque(Primitive):
    """Brings rules of its own.

    `value(attr, batch, *numbers)` is its meaning with `batch` leading axes that it must leave alone; `forward(node, tangents)`
    and `reverse(node, ct)` answer nodes, None for zero; `batch(n, attr, *args)` is the node for arguments with a leading axis.
    Without `reverse` the cotangents are those of the transposed `forward`; a `selective` one is called as
    `reverse(node, ct, wants, masked)` and is told which arguments count.  `picks` says that the tangent is linear in the
    tangents with factors that are constant near the point (sort, max): then the same rule serves every Taylor coefficient;
    `taylor(node, k, coefficient)` is a recurrence of its own.  `kernel(attr, *args)` names the function of
    `compile/library.py` that kernels call, and its parameters.
    """

    sort = "opaque"

    def __init__(self, name: str, value: Callable, shape: Callable, forward: Callable, reverse: Callable | None, *,
                 picks: bool = False, dtype: np.dtype | None = None, batch: Callable | None = None,
                 taylor: Callable | None = None, kernel: Callable | None = None, selective: bool = False):  # fmt: skip
        super().__init__(name)
        self.value, self.shape, self.forward, self.reverse = value, shape, forward, reverse
        self.picks, self.dtype, self.batch, self.taylor, self.kernel = picks, dtype, batch, taylor, kernel
        self.selective = selective

    def make(self, args: tuple[Node, ...], attr: Any = None) -> Node:
        lane = max((a.lane for a in args), default=SHARED)
        return intern(self, args, attr, self.shape(attr, *args), self.dtype or args[-1].dtype, lane)


# ---- the few layout primitives that the constructors themselves need ----------------------------------------------------


def broadcast_shapes(name: str, args: tuple[Node, ...]) -> Shape:
    """The common shape of the arguments by numpy's rules; raises ShapeError with both shapes."""
    shapes = [a.shape for a in args if a.shape != ()]
    if not shapes:
        return ()
    if all(s == shapes[0] for s in shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"{name} cannot combine shapes {' and '.join(map(str, shapes))}",
            why="numpy broadcasting needs equal lengths or ones, counted from the last axis",
            fix="x[:, None] puts an axis of length one behind the others; np.reshape, .T",
            code="broadcast",
        ) from None


def _broadcast_value(shape: Shape, batch: int, x: np.ndarray) -> np.ndarray:
    lead = x.shape[:batch]
    inner = (1,) * (len(shape) - (x.ndim - batch)) + x.shape[batch:]
    if math.prod(lead + shape) > 4096:
        return np.broadcast_to(x.reshape(lead + inner), lead + shape)
    y = np.empty(lead + shape, x.dtype)  # quicker than a view, as long as it is small
    y[...] = x.reshape(lead + inner)
    return y


def _broadcast_transpose(ct: Node, index: int, node: Node) -> Node:
    return sum_to(ct, node.args[0].shape)


def _broadcast_batch(n: int, shape: Shape, x: Node) -> Node:
    ones = (1,) * (len(shape) - (x.ndim - 1))
    return broadcast(TABLE["reshape"].make((x,), (n,) + ones + x.shape[1:]), (n, *shape))


BROADCAST = Linear("broadcast", _broadcast_value, lambda shape, x: shape, _broadcast_transpose, batch=_broadcast_batch,
                   view=True)  # fmt: skip


def broadcast(x: Node, shape: Shape) -> Node:
    """x repeated to `shape`."""
    if x.shape == shape:
        return x
    if x.op is BROADCAST:
        return broadcast(x.args[0], shape)
    return BROADCAST.make((x,), shape)


def _is_fill(node: Node) -> bool:
    return node.op is BROADCAST and node.args[0].shape == ()


# x itself, as a node that a transform may treat as it likes: one for each attribute
SAME = Linear("same", lambda attr, batch, x: x, lambda attr, x: x.shape, lambda ct, i, node: ct,
              batch=lambda n, attr, x: SAME.make((x,), attr), view=True)  # fmt: skip
SAME.passes = 0


def is_zero(node: Node) -> bool:
    """Whether a node is the number zero, whatever its shape."""
    return is_constant(node, 0) or (node.op is BROADCAST and is_constant(node.args[0], 0))


def sum_to(x: Node, shape: Shape) -> Node:
    """The adjoint of broadcasting: sums x down to `shape`."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1)
    y = TABLE["sum"].make((x,), axes) if axes else x
    return y if y.shape == shape else TABLE["reshape"].make((y,), shape)


def dissolve(args: tuple[Node, ...], shape: Shape) -> tuple[Callable, list[tuple[Node, ...]]] | None:
    """Elementwise of stacks is a stack of elementwise: (how to put the pieces together, the arguments of each piece)."""
    if len(shape) != 1:
        return None
    stack, concatenate = TABLE.get("stack"), TABLE.get("concatenate")
    for a in args:
        if a.lane is POINT and a.op is stack and a.attr == 0:
            return (lambda parts: stack.make(parts, 0)), [tuple(_piece(b, i) for b in args) for i in range(shape[0])]
    for a in args:
        if a.lane is POINT and a.op is concatenate:
            edges = np.cumsum([0] + [part.shape[0] for part in a.args]).tolist()
            pairs = list(zip(edges, edges[1:], strict=False))
            return (lambda parts: concatenate.make(parts, 0)), [tuple(_piece(b, slice(*p)) for b in args) for p in pairs]
    return None


def _piece(x: Node, key: int | slice) -> Node:
    return x if x.shape == () else TABLE["index"].make((x,), (normal_key(key, x.shape[0]),))


def normal_key(key: int | slice, length: int) -> int | tuple[int, int, int]:
    """An index or slice with its defaults filled in: an int, or (start, stop, step) with a length of its own."""
    if isinstance(key, slice):
        return key.indices(length)
    if not -length <= key < length:
        raise IndexingError(f"index {key} is out of bounds for an axis of length {length}", code="index",
                            fix=f"x[-1] is the last one, x[{length - 1}] too" if length else "the axis is empty")  # fmt: skip
    return int(key) % length


def implements(*functions: Callable) -> Callable:
    """Declares what our arrays do for these numpy functions."""

    def declare(ours: Callable) -> Callable:
        for f in functions:
            (UFUNCS if isinstance(f, np.ufunc) else FUNCTIONS)[f] = ours
        return ours

    return declare
