"""Scalar functions that kernels may call where neither `math` nor the vectorised table has one."""

from __future__ import annotations

import math

import numba as nb


@nb.njit
def cbrt(x):
    """The real cube root, one Newton step after the power."""
    if x == 0 or x != x or abs(x) == math.inf:
        return x
    y = math.copysign(abs(x) ** (1.0 / 3.0), x)
    return y - (y - x / (y * y)) / 3.0


@nb.njit
def sinc(x, order):
    """The order-th derivative of sin(pi x) / (pi x): its series near 0, elsewhere x s_k + k s_{k-1} = sin^(k)(pi x) / pi."""
    z = math.pi * x
    if abs(z) < order + 1.0:
        total = 0.0
        m = (order + 1) // 2
        term = (-1.0) ** m / ((2 * m + 1) * math.gamma(2 * m - order + 1.0)) * z ** (2 * m - order)
        for _ in range(24):
            total += term
            power = 2 * m - order
            term *= -z * z * (2 * m + 1) / ((2 * m + 3) * (power + 1) * (power + 2))
            m += 1
        return math.pi**order * total
    s = math.sin(z) / z
    for k in range(1, order + 1):
        s = (math.sin(z + 0.5 * math.pi * k) - k * s) / z
    return math.pi**order * s
