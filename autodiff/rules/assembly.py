"""Arrays put together from arrays: padding, triangles, diagonals, grids, and the many numpy names for joining."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array, call, lift
from ..errors import NoRuleError, ShapeError
from ..graph import CONSTANT
from ..primitive import implements
from .layout import SCATTER, plain, take_flat


def _array(x: Any) -> Array:
    return x if isinstance(x, Array) else Array(lift(x))


# ---- padding and triangles ----------------------------------------------------------------------------------------------


@implements(np.pad)
def pad(array, pad_width, mode="constant", **options):
    widths = np.broadcast_to(np.asarray(pad_width, int), (array.ndim, 2)).tolist()
    if mode != "constant":
        positions = np.arange(array.size).reshape(array.shape)
        if mode not in ("edge", "reflect", "symmetric", "wrap") or options:
            raise NoRuleError(f"np.pad with mode={mode!r} has no derivative rule here",
                              fix="use constant, edge, reflect, symmetric or wrap", code="no-rule-option")  # fmt: skip
        return take_flat(array, np.pad(positions, widths, mode=mode))
    value = options.pop("constant_values", 0)
    plain("np.pad", **options)
    shape = tuple(low + n + high for n, (low, high) in zip(array.shape, widths, strict=True))
    key = tuple((low, low + n, 1) for n, (low, _) in zip(array.shape, widths, strict=True))
    y = call(SCATTER, array, attr=(key, shape))
    if np.ndim(value) == 0 and not isinstance(value, Array) and value == 0:
        return y
    inside = np.zeros(shape, bool)
    inside[tuple(slice(*k) for k in key)] = True
    return np.where(inside, y, value)


@implements(np.tril)
def tril(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, 0.0)


@implements(np.triu)
def triu(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), 0.0, m)


@implements(np.diag)
def diag(v, k=0):
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(f"np.diag needs one or two axes, not shape {v.shape}", code="axes",
                         fix="np.diagonal(x, axis1=-2, axis2=-1), or x[..., None] * np.eye(n)")  # fmt: skip
    n = v.size + abs(k)
    places = np.diag(np.arange(1, v.size + 1), k)  # 0 stands for no element
    return np.where(places > 0, np.reshape(take_flat(v, np.maximum(places - 1, 0)), (n, n)), 0.0)


@implements(np.diagflat)
def diagflat(v, k=0):
    return np.diag(np.ravel(v), k)


# ---- joining ------------------------------------------------------------------------------------------------------------


@implements(np.meshgrid)
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    arrays = [np.reshape(_array(x), -1) for x in xi]
    n = len(arrays)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    thin = [np.reshape(x, tuple(-1 if order[i] == j else 1 for j in range(n))) for i, x in enumerate(arrays)]
    shape = np.broadcast_shapes(*[x.shape for x in thin])
    return tuple(x if sparse else np.broadcast_to(x, shape) for x in thin)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args, subok=False):
    arrays = [_array(a) for a in args]
    shape = np.broadcast_shapes(*[a.shape for a in arrays])
    return tuple(np.broadcast_to(a, shape) for a in arrays)


@implements(np.atleast_2d)
def atleast_2d(*arrays):
    out = [a if a.ndim > 1 else np.reshape(a, (1, -1)) for a in map(_array, arrays)]
    return out[0] if len(out) == 1 else tuple(out)


@implements(np.column_stack)
def column_stack(tup):
    return np.concatenate([a if a.ndim > 1 else np.reshape(a, (-1, 1)) for a in map(_array, tup)], 1)


@implements(np.dstack)
def dstack(tup):
    deep = [np.reshape(a, (1, -1, 1)) if a.ndim < 2 else np.reshape(a, (*a.shape, 1)) if a.ndim == 2 else a
            for a in map(_array, tup)]  # fmt: skip
    return np.concatenate(deep, 2)


@implements(np.append)
def append(arr, values, axis=None):
    arr, values = _array(arr), _array(values)
    return np.concatenate([np.ravel(arr), np.ravel(values)]) if axis is None else np.concatenate([arr, values], axis)


@implements(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    if not isinstance(indices_or_sections, int):
        return np.split(ary, indices_or_sections, axis)
    whole, extra = divmod(ary.shape[axis], indices_or_sections)
    sizes = [whole + 1] * extra + [whole] * (indices_or_sections - extra)
    return np.split(ary, np.cumsum(sizes)[:-1].tolist(), axis)


@implements(np.block)
def block(arrays):
    def join(part: Any, axis: int) -> Array:
        return np.concatenate([join(p, axis + 1) for p in part], axis) if isinstance(part, list) else _array(part)

    depth, part = 0, arrays
    while isinstance(part, list):
        depth, part = depth + 1, part[0]
    if depth == 0:
        return _array(arrays)

    def leaves(part: Any) -> Any:
        if isinstance(part, list):
            return [leaves(p) for p in part]
        a = _array(part)
        return np.reshape(a, (1,) * max(depth - a.ndim, 0) + a.shape)

    return join(leaves(arrays), -depth)


# ---- formulas numpy has a name for --------------------------------------------------------------------------------------


@implements(np.select)
def select(condlist, choicelist, default=0):
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = np.where(_array(condition), _array(choice), y)
    return y


@implements(np.cross)
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    a, b = _array(a), _array(b)
    if axis is not None or (axisa, axisb, axisc) != (-1, -1, -1) or a.shape[-1] != 3 or b.shape[-1] != 3:
        raise NoRuleError("np.cross needs vectors of three components along the last axis", fix="np.moveaxis(a, axis, -1)",
                          code="no-rule-option")  # fmt: skip
    (a0, a1, a2), (b0, b1, b2) = (tuple(x[..., i] for i in range(3)) for x in (a, b))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


@implements(np.polyval)
def polyval(p, x):
    """Horner's rule."""
    x = _array(x)
    y: Any = 0.0
    for i in range(len(p)):
        y = y * x + p[i]
    return np.broadcast_to(_array(y), x.shape)


@implements(np.isclose)
def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    a, b = _array(a), _array(b)
    return (a == b) | (np.abs(a - b) <= atol + rtol * np.abs(b))


@implements(np.allclose)
def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    return np.all(np.isclose(_array(a), b, rtol, atol))


@implements(np.array_equal)
def array_equal(a1, a2, equal_nan=False):
    a, b = _array(a1), _array(a2)
    return a.shape == b.shape and np.all(a == b)


@implements(np.result_type)
def result_type(*args):
    return np.result_type(*[a.dtype if isinstance(a, Array) else a for a in args])


implements(np.iscomplexobj)(lambda x: False)
implements(np.isrealobj)(lambda x: True)
implements(np.real)(lambda val: val)
implements(np.conjugate)(lambda x: x)
@implements(np.floor_divide)
def floor_divide(a, b):
    a, b = _array(a), _array(b)
    whole = np.result_type(*[n.attr if n.op is CONSTANT else n.dtype for n in (a.node, b.node)])
    return np.floor(a / b) if whole.kind == "f" else np.floor(a / b).astype(whole)

