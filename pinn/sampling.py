"""Clouds: collocation points with weights, and the ways of spreading them over a region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from pinn.geometry import Draw, Region


@dataclass(frozen=True)
class Cloud:
    """Collocation points of one condition.

    `points` `(n, dim)`, `weights` `(n,)` with sum 1, so that a mean square is `weights @ r**2`,
    `normals` `(n, spatial)` or None, the `region`, the `count` n and the `measure` of the region.  An `emphasis` `(n,)` is how
    many times harder each point pulls while it is trained on (see `pinn.emphasis`); it is no part of the quadrature.
    """

    points: np.ndarray
    weights: np.ndarray
    normals: np.ndarray | None
    region: Region
    count: int
    measure: float
    emphasis: np.ndarray | None = None

    @property
    def pull(self) -> np.ndarray:
        """Weights `(n,)` of training: those of the mean square, times the emphasis."""
        return self.weights if self.emphasis is None else self.weights * self.emphasis

    @property
    def quadrature(self) -> np.ndarray:
        """Weights `(n,)` of integration: the integral over the region of f is about `quadrature @ f`."""
        return self.weights * self.measure


def sample(region: Region, n: int, draw: Draw, rng: np.random.Generator) -> Cloud:
    """About n points of a region (exactly n but for single points and n below the number of faces), as a cloud.

    Raises `GeometryError` (codes `count`, `generator`, `draw`, `empty-region`).
    """
    points = region.sample(n, draw, rng)
    return Cloud(points.x, points.weights, points.normals, region, len(points.x), points.measure)


# `scipy.stats` is reached through `scipy`, which loads it at the first use: it would be most of the time of `import pinn`.


def uniform(n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Independent uniform points `(n, dim)` in [0, 1)."""
    return rng.random((n, dim))


def latin_hypercube(n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Points `(n, dim)` in [0, 1) with exactly one in each of n slices of every axis (McKay, Beckman & Conover 1979)."""
    if dim == 0:
        return np.empty((n, 0))
    return _below_one(scipy.stats.qmc.LatinHypercube(d=dim, rng=rng).random(n))


def sobol(n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """The first n points `(n, dim)` in [0, 1) of a Sobol sequence, scrambled afresh from `rng` (Matousek 1998)."""
    if dim == 0:
        return np.empty((n, 0))
    # The sequence is balanced in powers of two; its head of n points is as good as n points can be.
    return scipy.stats.qmc.Sobol(d=dim, scramble=True, rng=rng).random_base2((n - 1).bit_length())[:n].copy()


def _below_one(unit: np.ndarray) -> np.ndarray:
    # A slice's upper end may round to 1.
    return np.minimum(unit, np.nextafter(1.0, 0.0))
