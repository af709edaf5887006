"""Evenly spread points for estimating measures: a Kronecker lattice, shifted at random a few times."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

REPLICATES, LENGTH = 16, 1024


def kronecker(length: int, dim: int) -> np.ndarray:
    """Points `(length, dim)` of [0, 1)^dim: frac(k alpha), alpha_j = phi^-j, phi^(dim + 1) = phi + 1.

    Source: M. Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    phi = 2.0
    for _ in range(64):
        phi = (1.0 + phi) ** (1.0 / (dim + 1))
    alpha = phi ** -np.arange(1.0, dim + 1)
    return np.arange(1, length + 1)[:, None] * alpha % 1.0


def estimate_fraction(holds: Callable[[np.ndarray], np.ndarray], dim: int) -> tuple[float, float]:
    """The part of [0, 1)^dim where `holds` `(n, dim) -> (n,) bool` is true, and its standard error.

    The mean over 16 random shifts of one lattice is unbiased; their spread gives the error (Cranley & Patterson 1976),
    which is never reported below one point of the whole sample.  The shifts are fixed, so the answer is always the same.
    In dimension 0 the one point decides, without error.
    """
    if dim == 0:
        return float(holds(np.empty((2, 0)))[0]), 0.0
    shifts = np.random.default_rng(20180425).random((REPLICATES, 1, dim))
    unit = ((kronecker(LENGTH, dim) + shifts) % 1.0).reshape(REPLICATES * LENGTH, dim)
    parts = holds(unit).reshape(REPLICATES, LENGTH).mean(axis=1)
    error = math.hypot(float(np.std(parts, ddof=1)) / math.sqrt(REPLICATES), 1.0 / (REPLICATES * LENGTH))
    return float(parts.mean()), error
