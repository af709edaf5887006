"""Running along an axis: cumulative sums and products, differences, and the trapezoidal rule."""

from __future__ import annotations

import numpy as np

from ..array import Array, call, lift
from ..errors import ShapeError
from ..primitive import Linear, implements
from .layout import around, normal_axes, plain, wide


def _cumsum_value(attr: tuple[int, bool], batch: int, x: np.ndarray) -> np.ndarray:
    axis, backward = attr[0] + batch, attr[1]
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if backward else np.cumsum(x, axis)


CUMSUM = Linear("cumsum", _cumsum_value, lambda attr, x: x.shape,
                lambda ct, i, node: CUMSUM.make((ct,), (node.attr[0], not node.attr[1])),
                batch=lambda n, attr, x: CUMSUM.make((x,), (attr[0] + 1, attr[1])),
                kernel=lambda attr, x: ("cumsum", *around(x.shape, attr[0]), int(attr[1])))  # fmt: skip


def _along(a: Array, axis: int | None) -> tuple[Array, int]:
    return (np.reshape(a, -1), 0) if axis is None else (a, normal_axes(axis, a.ndim)[0])


@implements(np.cumsum)
def cumsum(a, axis=None, dtype=None, out=None):
    plain("np.cumsum", dtype=dtype, out=out)
    a, axis = _along(a, axis)
    return call(CUMSUM, wide(a), attr=(axis, False))


@implements(np.cumprod)
def cumprod(a, axis=None, dtype=None, out=None):
    """By doubling shifts: no division, so zeros are exact (Hillis & Steele 1986, log n products of arrays)."""
    plain("np.cumprod", dtype=dtype, out=out)
    a, axis = _along(a, axis)
    y, shift = np.moveaxis(wide(a), axis, 0), 1
    while shift < y.shape[0]:
        y = np.concatenate([y[:shift], y[shift:] * y[:-shift]])
        shift *= 2
    return np.moveaxis(y, 0, axis)


@implements(np.diff)
def diff(a, n=1, axis=-1, prepend=None, append=None):
    axis = normal_axes(axis, a.ndim)[0]
    ends = [None if e is None or e is np._NoValue else Array(lift(e)) for e in (prepend, append)]
    one = a.shape[:axis] + (1,) + a.shape[axis + 1 :]
    first, last = [[] if e is None else [np.broadcast_to(e, one) if e.ndim == 0 else e] for e in ends]
    a = np.concatenate([*first, a, *last], axis) if first or last else a
    lead = (slice(None),) * axis
    for _ in range(n):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    y = Array(lift(y))
    axis = normal_axes(axis, y.ndim)[0]
    if x is not None:
        x = Array(lift(x))
        if x.ndim not in (1, y.ndim):
            raise ShapeError(f"np.trapezoid cannot meet x of shape {x.shape} with y of shape {y.shape}", code="lengths",
                             fix="one x for each sample along the axis, or an x of the shape of y")  # fmt: skip
        d = np.diff(x, axis=axis if x.ndim == y.ndim else 0)
        dx = d if x.ndim == y.ndim else np.reshape(d, tuple(-1 if i == axis else 1 for i in range(y.ndim)))
    lead = (slice(None),) * axis
    return np.sum(0.5 * dx * (y[(*lead, slice(1, None))] + y[(*lead, slice(None, -1))]), axis=axis)
