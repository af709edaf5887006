"""Rearranging without arithmetic: sum, reshape, transpose, index, stack; linear, so each needs only its transpose."""

from __future__ import annotations

import hashlib
import math
import operator
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from ..array import Array, call, lift, space_of
from ..errors import AxisError, IndexingError, NoRuleError, ShapeError, TraceError
from ..graph import CONSTANT, SYMBOL, VIEW, Node, constant, view, walk
from ..interpret import number
from ..primitive import BROADCAST, FUNCTIONS, TABLE, Elementwise, Linear, Select, broadcast, implements, is_zero, normal_key
from ..types import POINT
from .arithmetic import ADD, MULTIPLY


def total(nodes: list[Node]) -> Node:
    """Their sum, zero for none."""
    return reduce(lambda a, b: ADD.make((a, b)), nodes) if nodes else constant(0.0)


def _axes_shape(axes: tuple[int, ...], x: Node) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


# ---- sum ---------------------------------------------------------------------------------------------------------------


def _sum_simplify(axes: tuple[int, ...], x: Node) -> Node | None:
    if not axes:
        return x
    if x.op is BROADCAST and x.args[0].shape == ():
        count = math.prod(x.shape[i] for i in axes)
        return broadcast(MULTIPLY.make((constant(float(count)), x.args[0])), _axes_shape(axes, x))
    if x.lane is POINT and x.ndim == 1:
        if x.op is STACK:
            return total(list(x.args))
        if x.op is CONCATENATE:
            return total([SUM.make((a,), (0,)) for a in x.args])
    if x.op is MULTIPLY and axes == tuple(range(x.ndim)):
        for scalar, rest in (x.args, x.args[::-1]):
            if scalar.shape == ():
                return MULTIPLY.make((scalar, SUM.make((rest,), axes)))
    return None


def _sum_transpose(ct: Node, index: int, node: Node) -> Node:
    (x,), axes = node.args, node.attr
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return broadcast(ct if ct.shape in ((), kept) else RESHAPE.make((ct,), kept), x.shape)


@lru_cache(maxsize=16)
def _ones(count: int, dtype: np.dtype) -> np.ndarray:
    return np.ones(count, dtype)


def _sum_value(axes: tuple[int, ...], batch: int, x: np.ndarray) -> np.ndarray:
    if not batch and x.ndim == 2 and x.dtype.char in "df":  # a product adds short rows and columns in half the time
        if axes == (0,) and x.shape[0] <= 4096:
            return _ones(x.shape[0], x.dtype) @ x
        if axes == (1,) and x.shape[1] <= 64:
            return x @ _ones(x.shape[1], x.dtype)
    return np.add.reduce(x, tuple([a + batch for a in axes]) if batch else axes)


SUM = Linear("sum", _sum_value, _axes_shape, _sum_transpose, _sum_simplify,
             batch=lambda n, axes, x: SUM.make((x,), tuple(a + 1 for a in axes)))  # fmt: skip


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes as sorted non-negative numbers; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if any(not -ndim <= a < ndim for a in axes):
        raise AxisError(f"axis {axis} is out of bounds for an array of dimension {ndim}", code="axis",
                        why=f"its axes are numbered from {-ndim} to {ndim - 1}" if ndim else "a scalar has no axes",
                        fix="axis=-1 is the last one, axis=None all of them")  # fmt: skip
    return tuple(sorted(a % ndim for a in axes))


def wide(x: Array) -> Array:
    """Small integers and conditions as those integers in which numpy adds and multiplies many of them."""
    if x.dtype.kind not in "iub" or x.dtype.itemsize == 8:
        return x
    return x.astype(np.uint64 if x.dtype.kind == "u" else np.int64)


def _sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    axes = normal_axes(axis, x.ndim)
    y = call(SUM, wide(x), attr=axes)
    return np.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims is True else y


@implements(np.sum)
def sum_(a, axis=None, dtype=None, out=None, keepdims=False, **options):
    plain("np.sum", dtype=dtype, out=out, **options)
    return _sum(a, axis, keepdims)


@implements(np.mean)
def mean(a, axis=None, dtype=None, out=None, keepdims=False, **options):
    plain("np.mean", dtype=dtype, out=out, **options)
    count = math.prod(a.shape[i] for i in normal_axes(axis, a.ndim))
    a = a if a.dtype.kind == "f" else a.astype(np.float64)  # as numpy does: a sum of large integers may not fit
    return _sum(a, axis, keepdims) * (1.0 / count if count else np.nan)


def around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """For kernels: the number of elements before an axis, its length, and the number behind it."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def plain(name: str, **options: Any) -> None:
    """Raises NoRuleError if an option of a numpy function is set that has no meaning here."""
    for key, value in options.items():
        if value is not None and value is not np._NoValue and not (key == "where" and value is True):
            raise NoRuleError(f"{name} with {key}= has no derivative rule here", fix=f"leave {key}= out", code="no-rule-option")


# ---- reshape, transpose ------------------------------------------------------------------------------------------------


def _reshape_simplify(shape: tuple[int, ...], x: Node) -> Node | None:
    if x.shape == shape:
        return x
    if x.op is RESHAPE:
        return RESHAPE.make(x.args, shape)
    if x.op is BROADCAST and x.args[0].shape == ():
        return broadcast(x.args[0], shape)
    if x.op is CONSTANT:
        return broadcast(x, shape)
    if x.op is VIEW:
        vector, offset, _, strides = x.attr
        if strides == view(vector, offset, x.shape).attr[3]:
            return view(vector, offset, shape)
    if x.ndim == 0 and shape == (1,):
        return STACK.make((x,), 0)
    if x.shape == (1,) and shape == ():
        return INDEX.make((x,), (0,))
    return None


RESHAPE = Linear("reshape", lambda shape, batch, x: x.reshape(x.shape[:batch] + shape), lambda shape, x: shape,
                 lambda ct, i, node: RESHAPE.make((ct,), node.args[0].shape), _reshape_simplify,
                 batch=lambda n, shape, x: RESHAPE.make((x,), (n, *shape)), view=True)  # fmt: skip


@implements(np.reshape)
def reshape(a, shape, order="C", copy=None):
    if order == "F":  # the first index runs fastest: all axes turned round
        given = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        return np.transpose(np.reshape(np.transpose(a), given[::-1]))
    if order not in ("C", "A", "K"):
        raise NoRuleError(f"np.reshape knows no order {order!r}", fix="use order='C' or 'F'", code="no-rule-option")
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if -1 in shape:
        known = -math.prod(shape)
        shape = tuple(a.size // known if n == -1 and known else n for n in shape)
    if math.prod(shape) != a.size:
        raise ShapeError(f"cannot reshape an array of shape {a.shape} into {shape}", code="reshape",
                         why=f"it has {a.size} elements, and {shape} holds {math.prod(shape)}",
                         fix="np.reshape(x, -1), or -1 for the one length that follows from the others")  # fmt: skip
    return call(RESHAPE, a, attr=tuple(int(n) for n in shape))


implements(np.ravel)(lambda a, order="C": np.reshape(a, -1, order=order))


def _transpose_simplify(order: tuple[int, ...], x: Node) -> Node | None:
    if order == tuple(range(x.ndim)):
        return x
    if x.op is TRANSPOSE:
        return TRANSPOSE.make(x.args, tuple(x.attr[i] for i in order))
    if x.op is VIEW:
        vector, offset, _, strides = x.attr
        return view(vector, offset, tuple(x.shape[i] for i in order), tuple(strides[i] for i in order))
    return None


TRANSPOSE = Linear(
    "transpose", lambda order, batch, x: x.transpose(tuple(range(batch)) + tuple(i + batch for i in order)),
    lambda order, x: tuple(x.shape[i] for i in order),
    lambda ct, i, node: TRANSPOSE.make((ct,), tuple(np.argsort(node.attr).tolist())), _transpose_simplify,
    batch=lambda n, order, x: TRANSPOSE.make((x,), (0, *(i + 1 for i in order))), view=True,
)  # fmt: skip


@implements(np.transpose)
def transpose(a, axes=None):
    return call(TRANSPOSE, a, attr=tuple(range(a.ndim))[::-1] if axes is None else tuple(i % a.ndim for i in axes))


@implements(np.swapaxes)
def swapaxes(a, axis1, axis2):
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return np.transpose(a, order)


@implements(np.moveaxis)
def moveaxis(a, source, destination):
    source = [s % a.ndim for s in np.atleast_1d(source).tolist()]
    destination = [d % a.ndim for d in np.atleast_1d(destination).tolist()]
    order = [i for i in range(a.ndim) if i not in source]
    for d, s in sorted(zip(destination, source, strict=True)):
        order.insert(d, s)
    return np.transpose(a, order)


@implements(np.expand_dims)
def expand_dims(a, axis):
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    ndim = a.ndim + len(axes)
    new = {i % ndim for i in axes}
    rest = iter(a.shape)
    return np.reshape(a, tuple(1 if i in new else next(rest) for i in range(ndim)))


@implements(np.squeeze)
def squeeze(a, axis=None):
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else normal_axes(axis, a.ndim)
    return np.reshape(a, tuple(n for i, n in enumerate(a.shape) if i not in axes))


@implements(np.broadcast_to)
def broadcast_to(array, shape, subok=False):
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if len(shape) < array.ndim or any(n not in (1, m) for n, m in zip(array.shape[::-1], shape[::-1], strict=False)):
        raise ShapeError(f"cannot broadcast shape {array.shape} to {shape}", code="broadcast",
                         why="numpy broadcasting needs equal lengths or ones, counted from the last axis",
                         fix="x[:, None] puts an axis of length one behind the others")  # fmt: skip
    return Array(broadcast(array.node, shape), array.space)


@implements(np.atleast_1d)
def atleast_1d(*arrays):
    out = [np.reshape(a, (1,)) if a.ndim == 0 else a for a in arrays]
    return out[0] if len(out) == 1 else tuple(out)


# ---- index and its transpose --------------------------------------------------------------------------------------------


def _key(attr: tuple) -> tuple:
    return tuple(k if isinstance(k, int) else slice(k[0], k[1] if k[1] >= 0 or k[2] > 0 else None, k[2]) for k in attr)


def _index_shape(attr: tuple, x: Node) -> tuple[int, ...]:
    return tuple(len(range(*k)) for k in attr if not isinstance(k, int)) + x.shape[len(attr) :]


def _index_simplify(attr: tuple, x: Node) -> Node | None:
    if all(not isinstance(k, int) and k == (0, n, 1) for k, n in zip(attr, x.shape, strict=False)):
        return x
    if x.op is VIEW:
        vector, offset, _, strides = x.attr
        shape, steps = [], []
        for axis, n in enumerate(x.shape):
            k = attr[axis] if axis < len(attr) else (0, n, 1)
            start = k if isinstance(k, int) else k[0]
            offset += start * strides[axis]
            if not isinstance(k, int):
                shape.append(len(range(*k)))
                steps.append(strides[axis] * k[2])
        if all(s >= 0 for s in steps):
            return view(vector, offset, tuple(shape), tuple(steps))
    if x.op is BROADCAST and x.args[0].shape == ():
        return broadcast(x.args[0], _index_shape(attr, x))
    if x.op is STACK and x.attr == 0:
        if isinstance(attr[0], int):
            return INDEX.make((x.args[attr[0]],), attr[1:]) if attr[1:] else x.args[attr[0]]
        if len(attr) == 1 and x.ndim == 1:
            return STACK.make(tuple(x.args[_key(attr)[0]]), 0)
    if x.op is CONCATENATE and x.attr == 0 and len(attr) == 1:
        return _index_pieces(attr[0], x)
    if x.lane is POINT and x.ndim == 1:
        # only what is asked for is computed: an index moves inward, through arithmetic and into the rows of a weight
        if isinstance(x.op, Elementwise | Select):
            return x.op.make(tuple(a if a.shape == () else INDEX.make((a,), attr) for a in x.args), x.attr)
        if x.op is TABLE.get("contract") and x.attr == "ab,b->a":
            row = INDEX.make((x.args[0],), attr)
            return TABLE["contract"].make((row, x.args[1]), "a,a->" if row.ndim == 1 else x.attr)
    return None


def _index_pieces(key: int | tuple[int, int, int], x: Node) -> Node | None:
    start = 0
    if isinstance(key, int):
        for part in x.args:
            if key < start + part.shape[0]:
                return INDEX.make((part,), (key - start,))
            start += part.shape[0]
        return None
    if key[2] != 1:
        return None
    parts = []
    for part in x.args:
        low, high = max(key[0] - start, 0), min(key[1] - start, part.shape[0])
        if low < high:
            parts.append(INDEX.make((part,), ((low, high, 1),)))
        start += part.shape[0]
    return CONCATENATE.make(tuple(parts), 0) if parts else None


def _index_transpose(ct: Node, i: int, node: Node) -> Node:
    (x,), attr = node.args, node.attr
    if x.ndim == 1 and x.lane is POINT:
        k = attr[0]
        low, high, step = (k, k + 1, 1) if isinstance(k, int) else k
        if step == 1:
            middle = STACK.make((ct,), 0) if isinstance(k, int) else ct
            zeros = [broadcast(constant(0.0), (n,)) for n in (low, x.shape[0] - high)]
            return CONCATENATE.make(tuple(p for p in (zeros[0], middle, zeros[1]) if p.shape[0]), 0)
    return SCATTER.make((ct,), (attr, x.shape))


def _scatter_value(attr: tuple, batch: int, ct: np.ndarray) -> np.ndarray:
    key, shape = attr
    out = np.zeros(ct.shape[:batch] + shape, ct.dtype)
    out[(slice(None),) * batch + _key(key)] = ct
    return out


INDEX = Linear("index", lambda attr, batch, x: x[(slice(None),) * batch + _key(attr)], _index_shape, _index_transpose,
               _index_simplify, batch=lambda n, attr, x: INDEX.make((x,), ((0, n, 1), *attr)), view=True)  # fmt: skip
SCATTER = Linear("scatter", _scatter_value, lambda attr, ct: attr[1], lambda ct, i, node: INDEX.make((ct,), node.attr[0]),
                 batch=lambda n, attr, ct: SCATTER.make((ct,), (((0, n, 1), *attr[0]), (n, *attr[1]))))  # fmt: skip


class Indices:
    """Integer indices as an attribute: compared by content."""

    __slots__ = ("value", "_key")

    def __init__(self, value: np.ndarray):
        self.value = value
        self._key = (value.shape, value.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indices) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:  # the same in every process: nodes are told apart, and kernels found again, by what they say
        return f"Indices({self.value.shape}, {hashlib.blake2b(self._key[1], digest_size=8).hexdigest()})"


def _spread_value(attr: tuple, batch: int, ct: np.ndarray) -> np.ndarray:
    indices, shape = attr
    lead = ct.shape[:batch]
    out = np.zeros((math.prod(lead), shape[0], math.prod(shape[1:])), ct.dtype)
    flat = ct.reshape(math.prod(lead), indices.value.size, math.prod(shape[1:]))
    np.add.at(out, (slice(None), indices.value.ravel()), flat)  # duplicates accumulate
    return out.reshape(lead + shape)


def _rows(indices: Indices, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """For kernels: which rows of an array of this shape are taken, and how long a row is."""
    return np.arange(shape[0])[indices.value].ravel(), math.prod(shape[1:])


def _last(x: Node) -> Node:
    """The batch axis moved behind the others, where a gather along the first axis leaves it alone."""
    return TRANSPOSE.make((x,), (*range(1, x.ndim), 0))


def _first(x: Node) -> Node:
    return TRANSPOSE.make((x,), (x.ndim - 1, *range(x.ndim - 1)))


TAKE = Linear("take", lambda attr, batch, x: x[(slice(None),) * batch + (attr.value,)],
              lambda attr, x: attr.value.shape + x.shape[1:],
              lambda ct, i, node: SPREAD.make((ct,), (node.attr, node.args[0].shape)),
              batch=lambda n, attr, x: _first(TAKE.make((_last(x),), attr)),
              kernel=lambda attr, x: ("take", *_rows(attr, x.shape)))  # fmt: skip
SPREAD = Linear("spread", _spread_value, lambda attr, ct: attr[1], lambda ct, i, node: TAKE.make((ct,), node.attr[0]),
                batch=lambda n, attr, ct: _first(SPREAD.make((_last(ct),), (attr[0], (*attr[1], n)))),
                kernel=lambda attr, ct: ("spread", *_rows(*attr)))  # fmt: skip


def take_flat(x: Array, positions: np.ndarray) -> Array:
    """x.ravel()[positions], the one gather that every fancy index becomes."""
    return call(TAKE, np.reshape(x, -1), attr=Indices(np.asarray(positions)))


def _getitem(x: Array, key: Any) -> Array:
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(key, Array) and key.dtype.kind in "iu":
        return _pick(x, key)
    if any(isinstance(k, Array) and not _is_known(k) for k in keys):
        return _pick_several(x, keys)
    if any(isinstance(k, Array) for k in keys):  # the shape may depend on the numbers, so they must be known
        keys = tuple(number(k.node) if isinstance(k, Array) else k for k in keys)
        key = keys if isinstance(key, tuple) else keys[0]
    if any(isinstance(k, (list, np.ndarray, bool, np.bool_)) for k in keys):
        return take_flat(x, _positions(x, key))
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise IndexingError(f"too many indices: {used} for an array of shape {x.shape}", fix=f"at most {x.ndim}", code="index")
    full: list = []
    for k in keys:
        full.extend([slice(None)] * (x.ndim - used) if k is Ellipsis else [k])
    attr, shape, axis = [], [], 0
    for k in full:
        if k is None:
            shape.append(1)
            continue
        normal = normal_key(k if isinstance(k, slice) else _place(k), x.shape[axis])
        attr.append(normal)
        if not isinstance(normal, int):
            shape.append(len(range(*normal)))
        axis += 1
    y = call(INDEX, x, attr=tuple(attr)) if attr else x.copy()
    return np.reshape(y, tuple(shape) + x.shape[axis:]) if any(k is None for k in full) else y


def _positions(x: Array, key: Any) -> np.ndarray:
    """Where in x.ravel() the elements of x[key] stand."""
    try:
        return np.arange(x.size).reshape(x.shape)[key]
    except IndexError as error:
        raise IndexingError(str(error), fix="the axes of the array are those of x.shape", code="index") from None


def _place(key: Any) -> int:
    try:
        return operator.index(key)
    except TypeError:
        raise IndexingError(f"an index is an integer, a slice, None, ... or an array, not {key!r}",
                            fix=f"x[{int(key)}]" if isinstance(key, float) else "x[int(i)]",
                            code="index") from None  # fmt: skip


def _is_known(index: Array) -> bool:
    """Whether an index has numbers; one that is being traced has none."""
    return not any(n.op is SYMBOL for n in walk([index.node]))


def _pick_several(x: Array, keys: tuple) -> Array:
    """x[keys] where some of the keys are computed integers: their places in x.ravel() are computed, too."""
    for k in keys:
        if isinstance(k, Array) and k.dtype == bool:
            raise TraceError("an index of conditions gives an array whose shape depends on numbers, which are being traced",
                             fix="np.where(condition, x, 0.0), which keeps the shape", code="traced-mask")  # fmt: skip
    lead = len([k for k in keys if k is not None and k is not Ellipsis])
    full = [j for k in keys for j in ([slice(None)] * (x.ndim - lead) if k is Ellipsis else [k])]
    start = tuple(np.zeros(k.shape, int) if isinstance(k, Array) else k for k in full)
    places = _positions(x, start)
    advanced = [i for i, k in enumerate(full) if isinstance(k, (Array, np.ndarray, list, int, np.integer))]
    shape = np.broadcast_shapes(*[np.shape(start[i]) for i in advanced])
    # numpy puts what indices pick where the first of them stands, and in front if something stands between them
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    after = places.ndim - len(shape) - (advanced[0] if adjacent else 0)
    flat, axis = Array(lift(places)), 0
    for k in full:
        if isinstance(k, Array):
            n, step = x.shape[axis], math.prod(x.shape[axis + 1 :])
            # beyond its axis an index must not reach into the next row: it leaves the whole array, and is refused
            place = np.where((k < -n) | (k >= n), x.size, np.where(k < 0, k + n, k) * step)
            flat = flat + np.reshape(place, place.shape + (1,) * after)
        axis += k is not None
    y = call(TABLE["gather"], np.reshape(flat, -1), np.reshape(x, -1), attr=0)
    return np.reshape(y, places.shape)


def _pick(x: Array, indices: Array) -> Array:
    """x[indices] for computed positions along the first axis."""
    if x.ndim == 0:
        raise IndexingError("a scalar cannot be indexed", fix="leave the index out, or np.reshape(x, 1)", code="index")
    flat = np.reshape(np.where(indices < 0, indices + x.shape[0], indices), (-1,) + (1,) * (x.ndim - 1))
    y = call(TABLE["gather"], Array(broadcast(flat.node, (indices.size, *x.shape[1:]))), x, attr=0)
    return np.reshape(y, indices.shape + x.shape[1:])


def _setitem(x: Array, key: Any, value: Any) -> Array:
    """x with x[key] exchanged for value; where positions meet, the last one wins, as in numpy."""
    value = Array(lift(value))
    if isinstance(key, Array) and key.dtype == bool and value.ndim == 0:  # the shape depends on no number
        mask = np.reshape(key, key.shape + (1,) * (x.ndim - key.ndim))
        return np.where(mask, value.astype(x.dtype), x)
    keys = tuple(number(k.node) if isinstance(k, Array) else k for k in (key if isinstance(key, tuple) else (key,)))
    positions = _positions(x, keys if isinstance(key, tuple) else keys[0])
    last = np.full(x.size, -1)
    last[positions.ravel()] = np.arange(positions.size)
    given = take_flat(np.broadcast_to(value, positions.shape), np.maximum(last, 0))
    return np.where((last >= 0).reshape(x.shape), np.reshape(given, x.shape).astype(x.dtype), x)


FUNCTIONS["getitem"] = _getitem  # type: ignore[index]
FUNCTIONS["setitem"] = _setitem  # type: ignore[index]


@implements(np.take)
def take(a, indices, axis=None, out=None, mode="raise"):
    plain("np.take", out=out)
    if mode != "raise":
        raise NoRuleError(f"np.take with mode={mode!r} has no derivative rule here", fix="np.clip(indices, 0, n - 1)")
    a, indices = Array(lift(a), space_of(a)), indices if isinstance(indices, Array) else np.asarray(indices)
    if axis is None:
        return np.reshape(a, -1)[indices] if indices.ndim else np.reshape(a, -1)[indices[()]]
    return a[(slice(None),) * (axis % a.ndim) + (indices if indices.ndim else indices[()],)]


def _rearranged(function):
    """A numpy function that only moves elements, as a gather of positions."""

    def ours(a, *args, **kwargs):
        return take_flat(a, function(np.arange(a.size).reshape(a.shape), *args, **kwargs))

    return implements(function)(ours)


for _function in (np.flip, np.roll, np.repeat, np.tile, np.diagonal, np.fliplr, np.flipud, np.rot90, np.delete, np.resize,
                  np.rollaxis, np.atleast_3d, np.fft.fftshift, np.fft.ifftshift):  # fmt: skip
    _rearranged(_function)


@implements(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


# ---- stack, concatenate -------------------------------------------------------------------------------------------------


def _stack_value(axis: int, batch: int, *xs: np.ndarray) -> np.ndarray:
    return np.stack(xs, axis + batch)


def _stack_shape(axis: int, *xs: Node) -> tuple[int, ...]:
    shapes = {x.shape for x in xs}
    if len(shapes) > 1:
        raise ShapeError(f"np.stack needs equal shapes, not {' and '.join(map(str, sorted(shapes)))}", code="join",
                         why="every array becomes one slice of the result", fix="np.concatenate, or np.broadcast_to first")
    return xs[0].shape[:axis] + (len(xs),) + xs[0].shape[axis:]


def _stack_simplify(axis: int, *xs: Node) -> Node | None:
    if all(is_zero(x) for x in xs):
        return broadcast(constant(0.0), _stack_shape(axis, *xs))
    return None


STACK = Linear("stack", _stack_value, _stack_shape,
               lambda ct, i, node: INDEX.make((ct,), _at(node.attr, i, ct)), _stack_simplify,
               batch=lambda n, axis, *xs: STACK.make(xs, axis + 1))  # fmt: skip


def _at(axis: int, i: int, ct: Node) -> tuple:
    return tuple((0, n, 1) for n in ct.shape[:axis]) + (i,)


def _concatenate_shape(axis: int, *xs: Node) -> tuple[int, ...]:
    rests = {x.shape[:axis] + x.shape[axis + 1 :] for x in xs}
    if len(rests) > 1 or any(x.ndim != xs[0].ndim for x in xs):
        raise ShapeError(f"np.concatenate cannot join shapes {' and '.join(str(x.shape) for x in xs)} along axis {axis}",
                         why="lengths may differ along that axis only", fix="np.reshape one of them, or another axis=",
                         code="join")  # fmt: skip
    return xs[0].shape[:axis] + (sum(x.shape[axis] for x in xs),) + xs[0].shape[axis + 1 :]


def _concatenate_simplify(axis: int, *xs: Node) -> Node | None:
    if len(xs) == 1:
        return xs[0]
    if all(is_zero(x) for x in xs):
        return broadcast(constant(0.0), _concatenate_shape(axis, *xs))
    if any(x.op is CONCATENATE and x.attr == axis for x in xs):
        flat = [p for x in xs for p in (x.args if x.op is CONCATENATE and x.attr == axis else (x,))]
        return CONCATENATE.make(tuple(flat), axis)
    if xs[0].ndim == 1 and all((x.op is STACK) or (x.shape[0] == 1 and x.lane is POINT) or is_zero(x) for x in xs):
        if any(x.op is STACK for x in xs) and sum(x.shape[0] for x in xs) <= 64:
            parts = [p for x in xs for p in (x.args if x.op is STACK else [INDEX.make((x,), (i,)) for i in range(x.shape[0])])]
            return STACK.make(tuple(parts), 0)
    return None


def _concatenate_transpose(ct: Node, i: int, node: Node) -> Node:
    axis = node.attr
    start = sum(x.shape[axis] for x in node.args[:i])
    stop = start + node.args[i].shape[axis]
    return INDEX.make((ct,), tuple((0, n, 1) for n in ct.shape[:axis]) + ((start, stop, 1),))


CONCATENATE = Linear("concatenate", lambda axis, batch, *xs: np.concatenate(xs, axis + batch), _concatenate_shape,
                     _concatenate_transpose, _concatenate_simplify,
                     batch=lambda n, axis, *xs: CONCATENATE.make(xs, axis + 1))  # fmt: skip


@implements(np.stack)
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    nodes = [lift(a) for a in arrays]
    shape = np.broadcast_shapes(*[n.shape for n in nodes]) if nodes else ()
    if any(n.shape != shape for n in nodes):
        _stack_shape(0, *nodes)
    return Array(STACK.make(tuple(nodes), axis % (len(shape) + 1)), space_of(*arrays))


@implements(np.concatenate)
def concatenate(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    if axis is None:
        return np.concatenate([np.ravel(Array(lift(a))) for a in arrays])
    nodes = [lift(a) for a in arrays]
    if nodes[0].ndim == 0:
        raise ShapeError("np.concatenate cannot join scalars", why="a scalar has no axis to join along", fix="np.stack([a, b])",
                         code="join")  # fmt: skip
    return Array(CONCATENATE.make(tuple(nodes), axis % nodes[0].ndim), space_of(*arrays))


@implements(np.hstack)
def hstack(tup, *, dtype=None, casting="same_kind"):
    arrays = [np.atleast_1d(Array(lift(a), space_of(a))) for a in tup]
    return np.concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


@implements(np.vstack)
def vstack(tup, *, dtype=None, casting="same_kind"):
    arrays = [Array(lift(a), space_of(a)) for a in tup]
    return np.concatenate([np.reshape(a, (1, -1)) if a.ndim < 2 else a for a in arrays], 0)


@implements(np.split)
def split(ary, indices_or_sections, axis=0):
    n = ary.shape[axis]
    cuts = ([n * i // indices_or_sections for i in range(1, indices_or_sections)]
            if isinstance(indices_or_sections, int) else list(indices_or_sections))  # fmt: skip
    if isinstance(indices_or_sections, int) and n % indices_or_sections:
        raise ShapeError(f"np.split cannot divide {n} elements into {indices_or_sections} equal parts", code="split",
                         fix="np.array_split, or a list of the places to cut at")  # fmt: skip
    lead = (slice(None),) * (axis % ary.ndim)
    return [ary[lead + (slice(a, b),)] for a, b in zip([0, *cuts], [*cuts, n], strict=True)]


def _filled(function):
    """An array that may be assigned into, element by element."""

    def ours(a, dtype=None, order="K", subok=True, shape=None):
        return Array(lift(function(a.shape if shape is None else shape, dtype or a.dtype)), a.space)

    return ours


for _like, _function in ((np.zeros_like, np.zeros), (np.empty_like, np.zeros), (np.ones_like, np.ones)):
    implements(_like)(_filled(_function))


@implements(np.full_like)
def full_like(a, fill_value, dtype=None, order="K", subok=True, shape=None):
    value = Array(lift(fill_value), space_of(a, fill_value)).astype(dtype or a.dtype)
    return np.broadcast_to(value, a.shape if shape is None else shape)


implements(np.shape)(lambda a: a.shape)
implements(np.ndim)(lambda a: a.ndim)
implements(np.size)(lambda a, axis=None: a.size if axis is None else a.shape[axis])
implements(np.copy)(lambda a, order="K", subok=False: a.copy())
