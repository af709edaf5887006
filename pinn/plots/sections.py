"""A section: the solution, and the exact one where it is known, on a grid over some of the coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pinn.errors import NumericsError


@dataclass(frozen=True, eq=False)
class Section:
    """Fields on the grid of `axes`, with all other coordinates `fixed`; NaN marks points outside the domain.

    Every array of `predicted` and `exact` has one axis per name in `axes`, in that order.
    """

    axes: tuple[str, ...]
    values: dict[str, np.ndarray]
    fixed: dict[str, float]
    predicted: dict[str, np.ndarray]
    exact: dict[str, np.ndarray] = field(default_factory=dict)

    def error(self, unknown: str) -> np.ndarray | None:
        """|predicted - exact| on the grid, or None where the exact solution is not known."""
        return np.abs(self.predicted[unknown] - self.exact[unknown]) if unknown in self.exact else None


def cut(solution: Any, axes: Sequence[str], fixed: Mapping[str, float] | None = None, n: int = 256) -> Section:
    """Evaluate a solution on an `n`-fold grid over `axes`; coordinates neither there nor in `fixed` sit at the middle.

    Raises `NumericsError` where the solution or the exact one is not finite inside the domain.
    """
    domain = solution.problem.domain
    fixed = {name: (fixed or {}).get(name, middle(domain.bounds[name])) for name in domain.coordinates if name not in axes}
    values = {name: np.linspace(*domain.bounds[name], n) for name in axes}
    mesh = dict(zip(axes, np.meshgrid(*values.values(), indexing="ij"), strict=True))
    shape = (n,) * len(axes)
    points = np.stack([np.broadcast_to(mesh.get(name, fixed.get(name, 0.0)), shape).ravel()
                       for name in domain.coordinates], axis=1)
    inside = np.asarray(domain.contains(points), dtype=bool)
    predicted = solution.fields(points[inside])
    exact = solution.exact_fields(points[inside]) or {}
    return Section(
        tuple(axes), values, fixed,
        {name: _place(predicted[name], inside, shape, points, domain.coordinates, f"the solution {name}")
         for name in solution.problem.unknowns},
        {name: _place(exact[name], inside, shape, points, domain.coordinates, f"the exact solution {name}")
         for name in solution.problem.unknowns if name in exact})


def middle(bounds: tuple[float, float]) -> float:
    """The centre of an interval."""
    return 0.5 * (bounds[0] + bounds[1])


def _place(field: np.ndarray, inside: np.ndarray, shape: tuple[int, ...], points: np.ndarray, coordinates: Sequence[str],
           what: str) -> np.ndarray:
    field = np.broadcast_to(np.asarray(field, dtype=np.float64), (int(inside.sum()),))
    bad = ~np.isfinite(field)
    if bad.any():
        where = points[inside][int(np.argmax(bad))]
        raise NumericsError(
            f"{what} is not finite, so there is nothing true to draw",
            where=", ".join(f"{name} = {value:.6g}" for name, value in zip(coordinates, where, strict=True)),
            why=f"{int(bad.sum())} of {bad.size} points are NaN or infinite",
            fix="give a formula that is finite on the whole domain" if what.startswith("the exact") else
                "look at the loss history: a training that diverged needs a smaller learning rate")
    placed = np.full(inside.size, np.nan)
    placed[inside] = field
    return placed.reshape(shape)
