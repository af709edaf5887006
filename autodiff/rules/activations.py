"""Activations and their relatives, stable at any argument: plain arrays in, plain arrays out, and everything else as usual.

Each is one operation to a tape.  `scipy.special` has some of them as plain Python functions, which no numpy protocol reaches.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from ..array import QUICK, Array, Readable, call, perform
from .elementwise import STOP_GRADIENT
from .order import reduce_rows

ROOT_HALF, ROOT_TWO_OVER_PI = math.sqrt(0.5), math.sqrt(2.0 / math.pi)


def operation(rule: Callable) -> Callable:
    """A function written with numpy functions of its first argument, as one operation."""

    @functools.wraps(rule)
    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        if rule in QUICK and type(x) is Array:  # it takes care of that itself
            return perform(rule, rule, (x, *args), kwargs)
        with np.errstate(divide="ignore"):  # the logarithm of a sum of nothing
            if isinstance(x, (Array, Readable)):
                return perform(rule, rule, (x, *args), kwargs)
            x = np.asarray(x)
            return QUICK.get(rule, rule)(x if x.dtype.kind == "f" else x.astype(float), *args, **kwargs)

    return apply


def _rule_of(function: Any) -> Callable:
    """What was written under `@operation`."""
    return function.__wrapped__


def _still(x: Any) -> Any:
    return call(STOP_GRADIENT, x) if isinstance(x, Array) else x


def _below_largest(x: Any, axis: Any) -> tuple[Any, Any]:
    """x minus its largest element, and that; an infinite one is left out, so that no nan arises."""
    most = _still(np.max(x, axis=axis, keepdims=True))
    most = np.where(np.isfinite(most), most, 0)
    return x - most, most


@operation
def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise; both tails and their derivatives keep their digits."""
    return scipy.special.expit(x)


@operation
def softplus(x):
    """log(1 + exp(x)), elementwise, without overflow."""
    return np.logaddexp(x, 0)


@operation
def relu(x):
    """max(x, 0), elementwise; the derivative at 0 is 0."""
    return np.where(x <= 0, 0, x)


@operation
def leaky_relu(x, alpha: float = 0.2):
    """x for x > 0, else alpha x, elementwise; the derivative at 0 is alpha."""
    return np.where(x > 0, x, alpha * x)


@operation
def elu(x, alpha: float = 1.0):
    """x for x > 0, else alpha (exp(x) - 1), elementwise (Clevert et al. 2015, arXiv:1511.07289)."""
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


@operation
def silu(x):
    """x sigmoid(x), elementwise, also called swish."""
    return x * scipy.special.expit(x)


swish = silu


@operation
def gelu(x, approximate: bool = False):
    """x P(X <= x) for a standard normal X, elementwise; `approximate` takes the form with tanh.

    Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """
    if approximate:
        return x * scipy.special.expit(2.0 * ROOT_TWO_OVER_PI * (x + 0.044715 * x**3))  # 1 + tanh loses the left tail
    return 0.5 * x * scipy.special.erfc(-ROOT_HALF * x)  # 1 + erf loses the left tail


@operation
def logsumexp(x, axis=None, keepdims: bool = False):
    """log(sum(exp(x))) over `axis` (all of them by default), without overflow."""
    below, most = _below_largest(x, axis)
    y = np.log(np.sum(np.exp(below), axis=axis, keepdims=True)) + most
    return y if keepdims else np.sum(y, axis=axis)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The same on numbers, in place, if the largest ones are finite."""
    if type(x) is np.ndarray and x.dtype.kind == "f" and x.size:
        most = reduce_rows(np.maximum, x, axis, True)
        if np.isfinite(most).all():
            e = np.subtract(x, most)
            y = reduce_rows(np.add, np.exp(e, out=e), axis, True)
            y = np.add(np.log(y, out=y), most)
            return y if keepdims else np.squeeze(y, axis)[()]
    with np.errstate(divide="ignore"):
        return _rule_of(logsumexp)(x, axis, keepdims)


QUICK[_rule_of(logsumexp)] = _logsumexp


@operation
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) over `axis`, without overflow."""
    e = np.exp(_below_largest(x, axis)[0])
    return e / np.sum(e, axis=axis, keepdims=True)


@operation
def log_softmax(x, axis=-1):
    """log(softmax(x)) over `axis`, with all digits where softmax is tiny."""
    below, _ = _below_largest(x, axis)
    return below - np.log(np.sum(np.exp(below), axis=axis, keepdims=True))


__all__ = ["elu", "gelu", "leaky_relu", "log_softmax", "logsumexp", "relu", "sigmoid", "silu", "softmax", "softplus", "swish"]
