"""What is found by comparing values: sorting, extremes, and picking by computed positions.

Where the order is found has no derivative; the derivative of what is picked is picked the same way, ties shared evenly.
"""

from __future__ import annotations

import math

import numpy as np

from ..array import Array, call, lift, space_of
from ..errors import ShapeError
from ..graph import Node
from ..primitive import Opaque, broadcast, implements
from .layout import around, normal_axes, plain

INTEGER = np.dtype(np.int64)


def no_tangent(node: Node, tangents: list[Node | None]) -> None:
    return None


def no_cotangents(node: Node, ct: Node) -> list[None]:
    return [None] * len(node.args)


def _position(name: str, function) -> Opaque:
    """A position of an element along an axis: an integer, so the derivative is zero."""
    primitive = Opaque(
        name, lambda axis, batch, x: function(x, axis + batch),
        lambda axis, x: x.shape if function is _stable else x.shape[:axis] + x.shape[axis + 1 :],
        no_tangent, no_cotangents, picks=True, dtype=INTEGER, batch=lambda n, axis, x: primitive.make((x,), axis + 1),
        kernel=lambda axis, x: (name, *around(x.shape, axis)),
    )  # fmt: skip
    return primitive


def _stable(x: np.ndarray, axis: int) -> np.ndarray:
    return np.argsort(x, axis, kind="stable")


ARGSORT, ARGMAX, ARGMIN = _position("argsort", _stable), _position("argmax", np.argmax), _position("argmin", np.argmin)


# ---- picking along an axis by positions that are themselves computed ----------------------------------------------------


def _pairing(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, int, int, int]:
    """For kernels: positions of this shape meet an axis of this length."""
    outer, count, inner = around(shape, axis)
    return outer, count, length, inner


GATHER = Opaque(
    "gather", lambda axis, batch, indices, x: np.take_along_axis(x, indices, axis + batch),
    lambda axis, indices, x: indices.shape,
    lambda node, tangents: None if tangents[1] is None else GATHER.make((node.args[0], tangents[1]), node.attr),
    lambda node, ct: [None, PUT.make((node.args[0], ct), (node.attr, node.args[1].shape[node.attr]))],
    picks=True, batch=lambda n, axis, indices, x: GATHER.make((indices, x), axis + 1),
    kernel=lambda axis, indices, x: ("gather", *_pairing(indices.shape, axis, x.shape[axis])),
)  # fmt: skip


def _put_value(attr: tuple[int, int], batch: int, indices: np.ndarray, ct: np.ndarray) -> np.ndarray:
    axis, length = attr[0] + batch, attr[1]
    out = np.zeros(ct.shape[:axis] + (length,) + ct.shape[axis + 1 :], ct.dtype)
    places = list(np.ogrid[tuple(slice(n) for n in ct.shape)])
    places[axis] = indices
    np.add.at(out, tuple(places), ct)  # duplicates accumulate
    return out


PUT = Opaque(
    "put", _put_value, lambda attr, indices, ct: ct.shape[: attr[0]] + (attr[1],) + ct.shape[attr[0] + 1 :],
    lambda node, tangents: None if tangents[1] is None else PUT.make((node.args[0], tangents[1]), node.attr),
    lambda node, ct: [None, GATHER.make((node.args[0], ct), node.attr[0])],
    picks=True, batch=lambda n, attr, indices, ct: PUT.make((indices, ct), (attr[0] + 1, attr[1])),
    kernel=lambda attr, indices, ct: ("put", *_pairing(indices.shape, *attr)),
)  # fmt: skip


def _axis(a: Array, axis: int | None) -> tuple[Array, int]:
    if axis is None:
        return np.reshape(a, -1), 0
    return a, normal_axes(axis, a.ndim)[0]


@implements(np.argsort)
def argsort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Positions that sort a; equal elements keep their order."""
    plain("np.argsort", order=order)
    a, axis = _axis(a, axis)
    return call(ARGSORT, a, attr=axis)


@implements(np.sort)
def sort(a, axis=-1, kind=None, order=None, *, stable=None):
    plain("np.sort", order=order)
    a, axis = _axis(a, axis)
    return call(GATHER, call(ARGSORT, a, attr=axis), a, attr=axis)


@implements(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    arr, indices = Array(lift(arr), space_of(arr)), Array(lift(indices))
    arr, axis = _axis(arr, axis)
    if indices.ndim != arr.ndim:
        raise ShapeError(f"np.take_along_axis needs as many axes in the indices, {indices.shape}, as in the array, {arr.shape}",
                         fix="np.expand_dims(indices, axis), or np.take for the same places everywhere",
                         code="axes")  # fmt: skip
    lead = tuple(max(m, n) if i != axis else n for i, (m, n) in enumerate(zip(arr.shape, indices.shape, strict=True)))
    whole = lead[:axis] + (arr.shape[axis],) + lead[axis + 1 :]
    return Array(GATHER.make((broadcast(indices.node, lead), broadcast(arr.node, whole)), axis), arr.space)


# ---- extremes -----------------------------------------------------------------------------------------------------------


def _merged(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int, int]:
    """For kernels: axes that stay or vanish together as one, as (lengths, strides in the result, width, step).

    Axes that vanish have stride 0; the last group is apart, as the width of a row and its step in the result.
    """
    groups: list[tuple[int, bool]] = []
    for i, n in enumerate(shape):
        stays = i not in axes
        if groups and groups[-1][1] == stays:
            n *= groups.pop()[0]
        groups.append((n, stays))
    strides = [math.prod(n for n, stays in groups[i + 1 :] if stays) * groups[i][1] for i in range(len(groups))]
    lengths = np.array([n for n, _ in groups[:-1]], np.int64)
    return lengths, np.array(strides[:-1], np.int64), max(groups[-1][0], 1), int(groups[-1][1])


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(n for i, n in enumerate(shape) if i not in axes)


def _shares_value(attr: tuple[str, tuple[int, ...]], batch: int, x: np.ndarray) -> np.ndarray:
    which, axes = attr[0], tuple(a + batch for a in attr[1])
    attained = (x == (np.max if which == "max" else np.min)(x, axes, keepdims=True)).astype(x.dtype)
    return attained / attained.sum(axes, keepdims=True)


# 1 where x attains the extreme, shared evenly among ties
SHARES = Opaque("shares", _shares_value, lambda attr, x: x.shape, no_tangent, no_cotangents, picks=True,
                batch=lambda n, attr, x: SHARES.make((x,), (attr[0], tuple(a + 1 for a in attr[1]))),
                kernel=lambda attr, x: (f"shares_{attr[0]}", *_merged(x.shape, attr[1]), _kept(x.shape, attr[1])))  # fmt: skip


def _shares(node: Node) -> Array:
    return call(SHARES, Array(node.args[0]), attr=(node.op.name, node.attr))


def _extreme_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    (t,) = tangents
    return None if t is None else np.sum(np.where(_shares(node) == 0, 0.0, _shares(node) * Array(t)), axis=node.attr).node


def _extreme_reverse(node: Node, ct: Node) -> list[Node]:
    kept = tuple(1 if i in node.attr else n for i, n in enumerate(node.args[0].shape))
    return [(_shares(node) * np.reshape(Array(ct), kept)).node]


SHORT = 32


def reduce_rows(ufunc: np.ufunc, x: np.ndarray, axes: int | tuple[int, ...] | None, keepdims: bool = False) -> np.ndarray:
    """`ufunc.reduce`; of many short rows numpy would take one at a time, so they are turned into columns first."""
    if x.ndim == 2 and x.shape[1] <= SHORT and axes in (1, -1, (1,), (-1,)):
        y = ufunc.reduce(np.ascontiguousarray(x.T), 0)
        return y[:, None] if keepdims else y
    return ufunc.reduce(x, axes, None, None, keepdims)


def _extreme(name: str, ufunc: np.ufunc) -> Opaque:
    primitive = Opaque(
        name, lambda axes, batch, x: reduce_rows(ufunc, x, tuple([a + batch for a in axes])),
        lambda axes, x: tuple(n for i, n in enumerate(x.shape) if i not in axes), _extreme_forward, _extreme_reverse,
        picks=True, batch=lambda n, axes, x: primitive.make((x,), tuple(a + 1 for a in axes)),
        kernel=lambda axes, x: ("largest" if name == "max" else "smallest", *_merged(x.shape, axes)),
    )  # fmt: skip
    return primitive


def _declare_extreme(numpy_function, primitive: Opaque, position_function, position: Opaque) -> None:
    name = f"np.{numpy_function.__name__}"

    def extreme(a, axis=None, out=None, keepdims=False, **options):
        plain(name, out=out, **options)
        axes = normal_axes(axis, a.ndim)
        if not math.prod(a.shape[i] for i in axes):
            raise ShapeError(f"{name} of nothing: shape {a.shape} along {axes}", why="no element is the largest of none",
                             fix=f"{name}(x) if x.size else 0.0", code="too-few")  # fmt: skip
        y = call(primitive, a, attr=axes) if axes else a
        return np.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(a.shape))) if keepdims is True else y

    def place(a, axis=None, out=None, **options):
        plain(f"np.{position_function.__name__}", out=out, **options)
        a, axis = _axis(a, axis)
        return call(position, a, attr=axis)

    implements(numpy_function)(extreme)
    implements(position_function)(place)


_declare_extreme(np.max, _extreme("max", np.maximum), np.argmax, ARGMAX)
_declare_extreme(np.min, _extreme("min", np.minimum), np.argmin, ARGMIN)


@implements(np.ptp)
def ptp(a, axis=None, out=None, keepdims=False):
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@implements(np.median)
def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """The middle of the sorted values; the mean of the middle two for an even number of them."""
    plain("np.median", out=out)
    axes = normal_axes(axis, a.ndim)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    n = math.prod(a.shape[i] for i in axes)
    ordered = np.sort(np.reshape(np.transpose(a, rest + axes), tuple(a.shape[i] for i in rest) + (n,)), axis=-1)
    middle = np.mean(ordered[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    middle = np.where(np.isnan(ordered[..., n - 1]), np.nan, middle)  # nan is sorted last
    return np.reshape(middle, tuple(1 if i in axes else m for i, m in enumerate(a.shape))) if keepdims else middle
