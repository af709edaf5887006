"""Tensor grids over the bounds of a domain, for dense evaluation and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds
from pinn.geometry.region import check_count

LARGEST = 2**24  # points of the coarsest grid that is made


def tensor_grid(bounds: Mapping[str, Bounds], n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Evenly spaced points `(prod(shape), dim)`, both sides included, and `shape`, with one entry per coordinate.

    `values.reshape(shape)` of values `(prod(shape),)` is indexed by x, y, ..., t.
    `n` is about how many points in all (the same number along each axis, at least 2), or one number for each axis.
    Raises `GeometryError` (codes `count`, `grid`).
    """
    dim = len(bounds)
    if isinstance(n, Sequence):
        if len(n) != dim:
            raise GeometryError(f"{len(n)} numbers of grid points for {dim} coordinates", code="grid",
                                why=f"the coordinates are {', '.join(bounds)}", fix=f"domain.grid({(101,) * dim})")
        for count in n:
            check_count(count)
        shape = tuple(int(count) for count in n)
    else:
        check_count(n)
        if 2**dim > LARGEST:
            raise GeometryError(f"a grid over {dim} coordinates", code="grid", why=f"it has at least 2^{dim} points",
                                fix=f"domain.interior.sample({n}, pinn.sampling.sobol, rng).x")
        shape = (max(2, round(int(n) ** (1.0 / dim))),) * dim
    axes = [np.linspace(a, b, count) for (a, b), count in zip(bounds.values(), shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim), shape


def check_points(points: np.ndarray, dim: int) -> np.ndarray:
    """The points as a float64 array `(n, dim)`.  Raises `GeometryError` (code `points`) for another shape."""
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != dim:
        raise GeometryError(f"points of shape {points.shape}", why=f"this domain needs shape (points, {dim})",
                            fix=f"points.reshape(-1, {dim})", code="points")
    return points
