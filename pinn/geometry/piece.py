"""Pieces: a chart, narrowed by filters, with its measure; regions are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from pinn.errors import GeometryError
from pinn.geometry.chart import Chart, Product
from pinn.geometry.lattice import estimate_fraction

_BATCH = 2**18


class Draw(Protocol):
    """A way of spreading n points over the unit cube: `(n, dim, rng) -> (n, dim)` in [0, 1)."""

    def __call__(self, n: int, dim: int, rng: np.random.Generator, /) -> np.ndarray: ...


class Side(NamedTuple):
    """A face on which one coordinate is constant: the axis, its value there, and the sign of the outward direction."""

    axis: str
    value: float
    sign: int


@dataclass(frozen=True)
class SpatialFilter:
    """A filter of space, applied to points of space and time, whose first `dim` columns are space."""

    test: Callable[[np.ndarray], np.ndarray]
    dim: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.test(points[:, : self.dim])


@dataclass(frozen=True)
class Piece:
    """The points of a chart for which every filter `(n, dim) -> (n,)` of bool is true.

    `measure` is exact and `measure_error` 0 without filters; with filters it is an estimate with its standard error.
    """

    name: str
    chart: Chart
    measure: float
    measure_error: float = 0.0
    side: Side | None = None
    filters: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()

    def keep(self, points: np.ndarray) -> np.ndarray:
        """Which points `(n, dim)` of the chart pass the filters, `(n,)` of bool; a filter sees only what passed before it."""
        kept = np.ones(len(points), bool)
        for test in self.filters:
            passed = np.flatnonzero(kept)
            if len(passed):
                kept[passed] = test(points[passed])
        return kept

    def sample(self, n: int, draw: Draw, rng: np.random.Generator) -> np.ndarray:
        """n points `(n, dim)`, spread evenly; a piece that is a single point gives it once.

        Filters are met by rejection.  Raises `GeometryError` (codes `draw`, `empty-region`).
        """
        if self.chart.cube == 0:
            return self.chart.points(np.empty((1, 0)))
        if not self.filters:
            return self.chart.points(_unit(n, self.chart.cube, draw, rng))
        accepted = min(max(self.measure / self.chart.measure, 1e-6), 1.0)
        # So many trials that running out of them by bad luck is out of the question.
        trials = math.ceil((50 * n + 1000) / accepted)
        batches, found = [], 0
        while found < n and trials > 0:
            size = min(math.ceil(1.1 * (n - found) / accepted) + 8, _BATCH)
            points = self.chart.points(_unit(size, self.chart.cube, draw, rng))
            batches.append(points[self.keep(points)])
            found += len(batches[-1])
            trials -= size
        if found < n:
            raise GeometryError(f"no points found on {self.name}", code="empty-region",
                                why=f"{found} of {n} points met the predicate, far fewer than its estimated measure promises",
                                fix="use a predicate that answers the same at every call")
        return np.concatenate(batches)[:n]


def whole(name: str, chart: Chart, side: Side | None = None) -> Piece:
    """All of a chart, with its exact measure."""
    return Piece(name, chart, chart.measure, side=side)


def narrow(piece: Piece, test: Callable[[np.ndarray], np.ndarray]) -> Piece:
    """The points of a piece that also pass one more filter; its measure is estimated and may come out as 0."""
    narrowed = Piece(piece.name, piece.chart, piece.measure, 0.0, piece.side, (*piece.filters, test))
    fraction, error = estimate_fraction(lambda unit: narrowed.keep(piece.chart.points(unit)), piece.chart.cube)
    measure = piece.chart.measure
    return Piece(piece.name, piece.chart, fraction * measure, error * measure, piece.side, narrowed.filters)


def extend(space: Piece, time: Piece) -> Piece:
    """A piece of space over a piece of time; over a single moment it takes the name and side of that moment."""
    moment = time.chart.cube == 0
    filters = tuple(SpatialFilter(test, space.chart.dim) for test in space.filters)
    return Piece(time.name if moment else space.name, Product(space.chart, time.chart), space.measure * time.measure,
                 space.measure_error * time.measure, time.side if moment else space.side, filters)


def _unit(n: int, dim: int, draw: Draw, rng: np.random.Generator) -> np.ndarray:
    unit = np.asarray(draw(n, dim, rng))
    if unit.shape != (n, dim) or unit.dtype != np.float64 or not (np.all(unit >= 0) and np.all(unit < 1)):
        raise GeometryError(f"{getattr(draw, '__name__', 'draw')} did not return points of the unit cube",
                            why=f"asked for float64 of shape ({n}, {dim}) in [0, 1), got {unit.dtype} of shape {unit.shape}",
                            fix="draw=sobol", code="draw")
    return unit
