"""The peak of this machine: how fast BLAS multiplies two square matrices, the measure of every kernel."""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

SIDE = 1024  # large enough to be within a few percent of the rate of any larger product, at 25 ms of one core


def measure_peak(threads: int = 1, dtype: str = "float64", seconds: float = 0.3) -> float:
    """Floating point operations a second, 2 SIDE^3 over the shortest time of a product of `dtype` in about so many seconds."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((SIDE, SIDE)).astype(dtype) for _ in range(3))
    with threadpool_limits(threads, "blas"):
        np.matmul(a, b, out=c)
        shortest, end = np.inf, time.perf_counter() + seconds
        while not np.isfinite(shortest) or time.perf_counter() < end:
            start = time.perf_counter()
            np.matmul(a, b, out=c)
            shortest = min(shortest, time.perf_counter() - start)
    return 2.0 * SIDE**3 / shortest
