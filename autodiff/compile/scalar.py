"""Scalar functions that kernels may call where neither `math` nor the vectorised table has one."""

from __future__ import annotations

import math

import numba as nb

from ..rules.elementwise import NODES, WEIGHTS


@nb.njit
def cbrt(x):
    """The real cube root, one Newton step after the power."""
    if x == 0 or x != x or abs(x) == math.inf:
        return x
    y = math.copysign(abs(x) ** (1.0 / 3.0), x)
    return y - (y - x / (y * y)) / 3.0


@nb.njit
def sinc(x, order):
    """The order-th derivative of sin(pi x) / (pi x).

    With z = pi x: near 0 the integral of t^k cos(z t + k pi / 2) over (0, 1) by Gauss quadrature, which has no cancellation;
    elsewhere z s_k + k s_{k-1} = sin^(k)(z).
    """
    z = math.pi * x
    if order == 0:
        return math.sin(z) / z if z != 0 else 1.0
    if abs(z) < order + 1.0:
        total = 0.0
        for t, weight in zip(NODES, WEIGHTS):  # noqa: B905  (numba knows no strict=)
            total += weight * t**order * (math.sin(z * t) if order % 2 else math.cos(z * t))
        return math.pi**order * (-total if (order + 1) // 2 % 2 else total)
    s = math.sin(z) / z
    for k in range(1, order + 1):
        s = (math.sin(z + 0.5 * math.pi * k) - k * s) / z
    return math.pi**order * s


@nb.njit
def integer_remainder(a, b):
    """a - b floor(a / b) as numpy has it: 0 where b is."""
    return a % b if b != 0 else 0 * a


@nb.njit
def integer_fmod(a, b):
    """a - b trunc(a / b) as numpy has it: the sign is that of a, and 0 where b is."""
    if b == 0:
        return 0 * a
    r = a % b
    return r - b if r != 0 and (r < 0) != (a < 0) else r
