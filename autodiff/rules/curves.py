"""Samples along a line: interpolation, convolution, differences, quantiles, polynomials, and samples that are missing (nan)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array, lift, space_of
from ..errors import NoRuleError, ShapeError
from ..primitive import implements
from .layout import normal_axes, plain, take_flat


def _arrays(*xs: Any) -> list[Array]:
    space = space_of(*xs)
    return [Array(lift(x), space) for x in xs]


# ---- between samples ----------------------------------------------------------------------------------------------------


@implements(np.searchsorted)
def searchsorted(a, v, side="left", sorter=None):
    """How many of a are smaller than v (left), or not larger (right): a position, so it has no derivative."""
    plain("np.searchsorted", sorter=sorter)
    a, v = _arrays(a, v)
    return np.count_nonzero(a <= v[..., None] if side == "right" else a < v[..., None], axis=-1)


@implements(np.interp)
def interp(x, xp, fp, left=None, right=None, period=None):
    """Piecewise linear through (xp, fp); at a knot the slope is that of the piece to its right, at the last one to its left."""
    plain("np.interp", period=period)
    x, xp, fp = _arrays(x, xp, fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(f"np.interp needs knots and values of one length, not shapes {xp.shape} and {fp.shape}",
                         fix="one value for each knot, and at least one knot", code="lengths")  # fmt: skip
    left, right = (end if given is None else given for given, end in ((left, fp[0]), (right, fp[-1])))
    if xp.size == 1:
        inside = np.broadcast_to(fp[0], x.shape)
    else:
        i = np.ravel(searchsorted(xp[1:-1], x, "right")) if xp.size > 2 else np.zeros(x.size, int)
        x0, x1, f0, f1 = (np.reshape(take, x.shape) for take in (xp[i], xp[1:][i], fp[i], fp[1:][i]))
        inside = f0 + (f1 - f0) * ((x - x0) / (x1 - x0))
    return np.where(x < xp[0], left, np.where(x > xp[-1], right, inside))


@implements(np.convolve)
def convolve(a, v, mode="full"):
    a, v = _arrays(a, v)
    if a.ndim > 1 or v.ndim > 1 or not a.size or not v.size:
        raise ShapeError(f"np.convolve needs two vectors that are not empty, not shapes {a.shape} and {v.shape}", code="axes",
                         fix="np.stack([np.convolve(row, v) for row in a]) for the rows of a matrix")  # fmt: skip
    a, v = (np.reshape(x, -1) for x in ((v, a) if v.size > a.size else (a, v)))
    n, m = a.size, v.size
    windows = np.arange(n + m - 1)[:, None] - np.arange(m) + m - 1
    y = take_flat(np.pad(a, m - 1), windows) @ v
    if mode not in ("full", "same", "valid"):
        raise NoRuleError(f"np.convolve knows no mode {mode!r}", fix="use full, same or valid", code="no-rule-option")
    return y if mode == "full" else y[(m - 1) // 2 : (m - 1) // 2 + n] if mode == "same" else y[m - 1 : n]


@implements(np.correlate)
def correlate(a, v, mode="valid"):
    a, v = _arrays(a, v)
    return convolve(a, v[::-1], mode) if v.size <= a.size else convolve(a[::-1], v, mode)[::-1]


@implements(np.gradient)
def gradient(f, *varargs, axis=None, edge_order=1):
    """Central differences, one-sided at the ends."""
    (f,) = _arrays(f)
    axes = normal_axes(axis, f.ndim)
    spacings = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    if len(spacings) != len(axes):
        raise ShapeError(f"np.gradient along {len(axes)} axes needs as many spacings, not {len(spacings)}", code="lengths",
                         fix="one spacing for all axes, or one for each")  # fmt: skip
    out = [np.moveaxis(_slopes(np.moveaxis(f, i, -1), h, edge_order), -1, i) for i, h in zip(axes, spacings, strict=True)]
    return out[0] if len(out) == 1 else tuple(out)


def _slopes(f: Array, spacing: Any, edge_order: int) -> Array:
    h = _arrays(spacing)[0].astype(f.dtype)
    if f.shape[-1] < edge_order + 1:
        raise ShapeError(f"np.gradient with edge_order={edge_order} needs {edge_order + 1} samples, not {f.shape[-1]}",
                         why="a difference takes two samples, a parabola three", fix="edge_order=1, or more samples",
                         code="too-few")  # fmt: skip
    d = np.diff(f)
    steps = np.diff(h) if h.ndim else np.broadcast_to(h, (f.shape[-1] - 1,))
    slopes = d / steps
    first, second = steps[:-1], steps[1:]
    middle = (second * slopes[..., :-1] + first * slopes[..., 1:]) / (first + second)
    low, high = slopes[..., :1], slopes[..., -1:]
    if edge_order == 2:  # the parabola through the last three samples
        bend = (slopes[..., 1:] - slopes[..., :-1]) / (first + second)
        low, high = low - steps[:1] * bend[..., :1], high + steps[-1:] * bend[..., -1:]
    return np.concatenate([low, middle, high], axis=-1)


def _quantile(name: str, share: float):
    def quantile(a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, **options):
        """By sorting: between two samples the value and its derivatives are those of the line through them."""
        plain(name, out=out, **options)
        if method != "linear" or isinstance(q, Array):
            raise NoRuleError(f"{name} needs a known {'q' if isinstance(q, Array) else 'method'} here",
                              fix="use method='linear' and a plain number for q", code="no-rule-option")  # fmt: skip
        (a,), q = _arrays(a), np.asarray(q, float) * share
        axes = normal_axes(axis, a.ndim)
        rest = tuple(i for i in range(a.ndim) if i not in axes)
        ordered = np.sort(np.reshape(np.transpose(a, axes + rest), (-1, *(a.shape[i] for i in rest))), axis=0)
        places = q * (ordered.shape[0] - 1)
        below = np.floor(places).astype(int)
        above = np.minimum(below + 1, ordered.shape[0] - 1)
        y = [ordered[i] + float(w) * (ordered[j] - ordered[i]) if w else ordered[i]
             for i, j, w in zip(below.ravel(), above.ravel(), (places - below).ravel(), strict=True)]  # fmt: skip
        shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else y[0].shape
        return np.reshape(np.stack(y), q.shape + shape)

    return quantile


implements(np.quantile)(_quantile("np.quantile", 1.0))
implements(np.percentile)(_quantile("np.percentile", 0.01))


# ---- polynomials --------------------------------------------------------------------------------------------------------


implements(np.polymul)(lambda a1, a2: convolve(a1, a2))


def _same_degree(a1: Any, a2: Any) -> tuple[Array, Array]:
    a1, a2 = _arrays(a1, a2)
    n = max(a1.size, a2.size)
    return np.pad(a1, (n - a1.size, 0)), np.pad(a2, (n - a2.size, 0))


@implements(np.polyadd)
def polyadd(a1, a2):
    a1, a2 = _same_degree(a1, a2)
    return a1 + a2


@implements(np.polysub)
def polysub(a1, a2):
    a1, a2 = _same_degree(a1, a2)
    return a1 - a2


@implements(np.polyder)
def polyder(p, m=1):
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p, m=1, k=None):
    plain("np.polyint", k=k)
    for _ in range(m):
        p = np.pad(p * (1.0 / np.arange(len(p), 0, -1)), (0, 1))
    return p


@implements(np.vander)
def vander(x, N=None, increasing=False):
    """Columns of powers."""
    n = x.size if N is None else N
    powers = [x**k for k in range(n)]
    return np.stack(powers if increasing else powers[::-1], axis=-1) if n else np.zeros((x.size, 0), x.dtype)


@implements(np.linspace)
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, **options):
    plain("np.linspace", dtype=dtype, **options)
    start, stop = _arrays(start, stop)
    step = (stop - start) / max(num - bool(endpoint), 1)
    places = np.reshape(np.arange(num, dtype=step.dtype), (num,) + (1,) * step.ndim)
    y = np.moveaxis(start + step * places, 0, axis)
    return (y, step) if retstep else y


# ---- statistics of several variables ------------------------------------------------------------------------------------


@implements(np.cov)
def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    plain("np.cov", y=y, fweights=fweights, aweights=aweights, dtype=dtype)
    x = np.atleast_2d(m)
    x = x if rowvar or m.ndim < 2 else x.T
    d = x - np.mean(x, axis=1, keepdims=True)
    return np.squeeze(d @ d.T / (x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)))


@implements(np.corrcoef)
def corrcoef(x, y=None, rowvar=True, *, dtype=None):
    plain("np.corrcoef", y=y, dtype=dtype)
    c = np.cov(x, rowvar=rowvar)
    s = np.sqrt(np.diag(c)) if c.ndim else np.sqrt(c)
    return c / np.outer(s, s) if c.ndim else c / c


# ---- samples that are missing -------------------------------------------------------------------------------------------


def _without_nan(name: str, function, value: float):
    def ours(a, axis=None, dtype=None, out=None, keepdims=False, **options):
        plain(name, dtype=dtype, out=out, **options)
        return function(np.where(np.isnan(a), value, a), axis=axis, keepdims=keepdims is True)

    return ours


for _nan_function, _function, _value in ((np.nansum, np.sum, 0.0), (np.nanprod, np.prod, 1.0), (np.nanmax, np.max, -np.inf),
                                         (np.nanmin, np.min, np.inf)):  # fmt: skip
    implements(_nan_function)(_without_nan(f"np.{_nan_function.__name__}", _function, _value))
implements(np.nancumsum)(lambda a, axis=None: np.cumsum(np.where(np.isnan(a), 0.0, a), axis=axis))
implements(np.nancumprod)(lambda a, axis=None: np.cumprod(np.where(np.isnan(a), 1.0, a), axis=axis))


@implements(np.nanmean)
def nanmean(a, axis=None, dtype=None, out=None, keepdims=False, **options):
    plain("np.nanmean", dtype=dtype, out=out, **options)
    keepdims = keepdims is True
    return np.nansum(a, axis=axis, keepdims=keepdims) / np.sum(~np.isnan(a), axis=axis, keepdims=keepdims).astype(a.dtype)


@implements(np.nanvar)
def nanvar(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **options):
    plain("np.nanvar", dtype=dtype, out=out, **options)
    keepdims = keepdims is True
    d = a - nanmean(a, axis, keepdims=True)
    count = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims).astype(a.dtype)
    return np.nansum(d * d, axis=axis, keepdims=keepdims) / (count - ddof)


@implements(np.nanstd)
def nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **options):
    y = nanvar(a, axis, dtype, out, ddof, keepdims, **options)
    return np.where(y == 0, 0.0, np.sqrt(np.where(y == 0, 1.0, y)))


# ---- other names for what exists ----------------------------------------------------------------------------------------


implements(np.amax)(lambda a, *args, **kwargs: np.max(a, *args, **kwargs))
implements(np.amin)(lambda a, *args, **kwargs: np.min(a, *args, **kwargs))
implements(np.around)(lambda a, decimals=0: np.round(a, decimals))
implements(np.fix)(lambda x: np.trunc(x))
implements(np.cumulative_sum)(lambda x, /, *, axis=None: np.cumsum(x, axis=axis))
implements(np.cumulative_prod)(lambda x, /, *, axis=None: np.cumprod(x, axis=axis))
implements(np.matvec)(lambda x1, x2: np.einsum("...ij,...j->...i", x1, x2))
implements(np.vecmat)(lambda x1, x2: np.einsum("...i,...ij->...j", x1, x2))
implements(np.divmod)(lambda a, b: (np.floor_divide(a, b), np.remainder(a, b)))
implements(np.modf)(lambda a: (np.fmod(a, 1.0), np.trunc(a)))
implements(np.ediff1d)(lambda ary: np.diff(np.ravel(ary)))
implements(np.partition)(lambda a, kth, axis=-1: np.sort(a, axis=axis))
implements(np.hsplit)(lambda ary, parts: np.split(ary, parts, 0 if ary.ndim == 1 else 1))
implements(np.vsplit)(lambda ary, parts: np.split(ary, parts, 0))
implements(np.dsplit)(lambda ary, parts: np.split(ary, parts, 2))
implements(np.unstack)(lambda x, /, *, axis=0: tuple(np.moveaxis(x, axis, 0)))
implements(np.compress)(lambda condition, a, axis=None: np.take(a, np.flatnonzero(condition), axis))
implements(np.triu_indices_from)(lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1]))
implements(np.tril_indices_from)(lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1]))
