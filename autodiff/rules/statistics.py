"""Numbers that sum up an array: products, variances, norms, any and all; each made of primitives that exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..array import Array, lift
from ..errors import NoRuleError
from ..primitive import implements
from .layout import normal_axes, plain, wide
from .linalg import singular_norm


def kept(y: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """y with the summed axes put back at length one."""
    return np.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(shape)))


@implements(np.prod)
def prod(a, axis=None, dtype=None, out=None, keepdims=False, **options):
    """By halves, so that the derivative is exact where factors are zero and the graph has log n products."""
    plain("np.prod", dtype=dtype, out=out, **options)
    axes = normal_axes(axis, a.ndim)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    y = np.reshape(np.transpose(wide(a), axes + rest), (-1, *(a.shape[i] for i in rest)))
    if not y.shape[0]:
        return np.ones(y.shape[1:], y.dtype)
    while y.shape[0] > 1:
        half = y.shape[0] // 2
        products = y[:half] * y[half : 2 * half]
        y = products if y.shape[0] % 2 == 0 else np.concatenate([products, y[2 * half :]])
    return kept(y[0], a.shape, axes) if keepdims is True else y[0]


@implements(np.var)
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, correction=None, **options):
    plain("np.var", dtype=dtype, out=out, **options)
    ddof = ddof if correction is None or correction is np._NoValue else correction
    axes = normal_axes(axis, a.ndim)
    count = math.prod(a.shape[i] for i in axes)
    d = a - np.mean(a, axis=axes, keepdims=True)
    y = np.sum(d * d, axis=axes) / (count - ddof)
    return kept(y, a.shape, axes) if keepdims is True else y


def root(y: Array) -> Array:
    """sqrt with derivative 0 at 0: of a sum of squares, whose smallest subgradient that is."""
    zero = y == 0
    return np.where(zero, 0.0, np.sqrt(np.where(zero, 1.0, y)))


@implements(np.std)
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **options):
    return root(np.var(a, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims, **options))


@implements(np.average)
def average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if returned:
        raise NoRuleError("np.average with returned= has no derivative rule here", fix="np.average(x, weights=w), np.sum(w)",
                          code="no-rule-option")  # fmt: skip
    a = Array(lift(a))
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    w = Array(lift(weights))
    if w.ndim == 1 and a.ndim > 1 and isinstance(axis, int):
        w = np.reshape(w, tuple(w.size if i == axis % a.ndim else 1 for i in range(a.ndim)))
    w = np.broadcast_to(w, a.shape)
    return np.sum(a * w, axis=axis, keepdims=keepdims) / np.sum(w, axis=axis, keepdims=keepdims)


@implements(np.any)
def any_(a, axis=None, out=None, keepdims=False, **options):
    plain("np.any", out=out, **options)
    return np.sum(a != 0, axis=axis, keepdims=keepdims is True) > 0


@implements(np.all)
def all_(a, axis=None, out=None, keepdims=False, **options):
    plain("np.all", out=out, **options)
    return np.sum(a == 0, axis=axis, keepdims=keepdims is True) == 0


@implements(np.count_nonzero)
def count_nonzero(a, axis=None, *, keepdims=False):
    return np.sum(a != 0, axis=axis, keepdims=keepdims)


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """np.linalg.norm; the derivative of the Euclidean norm at the zero vector is 0, its smallest subgradient."""
    if axis is None:
        axes = tuple(range(x.ndim))
    else:  # a matrix norm asks which axis is which, so their order stays
        axes = (axis % x.ndim,) if isinstance(axis, int) else tuple(i % x.ndim for i in axis)
    y = _norm(x, ord, axes)
    return kept(y, x.shape, axes) if keepdims else y


def _norm(x: Array, ord: Any, axes: tuple[int, ...]) -> Array:
    if ord is None or (ord in (2, "fro") and len(axes) == (1 if ord == 2 else 2)):
        return root(np.sum(x * x, axis=axes))
    if len(axes) == 1:
        if ord in (np.inf, -np.inf):
            return (np.max if ord > 0 else np.min)(np.abs(x), axis=axes)
        if ord == 0:
            return np.sum((x != 0).astype(x.dtype), axis=axes)
        if ord == 1:
            return np.sum(np.abs(x), axis=axes)
        if isinstance(ord, (int, float)):
            total = np.sum(np.abs(x) ** float(ord), axis=axes)
            zero = total == 0
            return np.where(zero, 0.0, np.where(zero, 1.0, total) ** (1.0 / ord))
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        rows, columns = axes
        first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = np.sum(np.abs(x), axis=first)
        return (np.max if ord > 0 else np.min)(sums, axis=second - (second > first))
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        return singular_norm(x, ord, axes)
    raise NoRuleError(f"np.linalg.norm with ord={ord!r} over {len(axes)} axes has no derivative rule here",
                      fix="use ord=None, 'fro', 'nuc', 1, 2, inf, or a number for vectors", code="no-rule-option")  # fmt: skip
