"""Charts: measure-preserving maps of the unit cube onto a piece of a domain; a new shape brings its own chart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pinn.errors import GeometryError


class Chart(Protocol):
    """A map of the unit cube [0, 1)^cube onto a piece of R^dim that spreads uniform points uniformly.

    That is, |d(points)/d(unit)| = measure everywhere: a disk uses (sqrt(u), 2 pi v), a triangle folds the square.
    """

    @property
    def dim(self) -> int:
        """The number of coordinates of a point."""

    @property
    def cube(self) -> int:
        """The dimension of the piece itself: 2 for a face of a 3-D box, 0 for a corner."""

    @property
    def measure(self) -> float:
        """Length, area, volume, ...; 1 for a single point."""

    def points(self, unit: np.ndarray) -> np.ndarray:
        """The points `(n, dim)` of the unit-cube points `(n, cube)`."""

    def normals(self, points: np.ndarray) -> np.ndarray | None:
        """Outward unit normals `(n, spatial)` at points `(n, dim)` of the piece; None where there are none."""


@dataclass(frozen=True)
class Brick:
    """An axis-aligned piece: x_i = low_i + (high_i - low_i) u_j, and x_i = low_i exactly where low_i = high_i.

    `normal` is the outward unit normal `(spatial,)` of a face, None for an interior.
    Raises `GeometryError` (code `bounds`) where the measure is no positive float64.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    normal: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_measure(self.measure)

    @property
    def dim(self) -> int:
        return len(self.low)

    @property
    def cube(self) -> int:
        return sum(a < b for a, b in zip(self.low, self.high, strict=True))

    @property
    def measure(self) -> float:
        return math.prod(b - a for a, b in zip(self.low, self.high, strict=True) if a < b)

    def points(self, unit: np.ndarray) -> np.ndarray:
        points = np.empty((len(unit), self.dim))
        column = 0
        for axis, (a, b) in enumerate(zip(self.low, self.high, strict=True)):
            if a < b:
                # Never beyond b: for u < 1 the product ends an ulp below fl(b - a), and that is at most half an ulp off.
                points[:, axis] = a + (b - a) * unit[:, column]
                column += 1
            else:
                points[:, axis] = a
        return points

    def normals(self, points: np.ndarray) -> np.ndarray | None:
        return None if self.normal is None else np.tile(np.array(self.normal), (len(points), 1))


@dataclass(frozen=True)
class Product:
    """The pairs of a point of a piece of space and a point of time; its normals are those of space."""

    space: Chart
    time: Chart

    def __post_init__(self) -> None:
        check_measure(self.measure)

    @property
    def dim(self) -> int:
        return self.space.dim + self.time.dim

    @property
    def cube(self) -> int:
        return self.space.cube + self.time.cube

    @property
    def measure(self) -> float:
        return self.space.measure * self.time.measure

    def points(self, unit: np.ndarray) -> np.ndarray:
        split = self.space.cube
        return np.hstack([self.space.points(unit[:, :split]), self.time.points(unit[:, split:])])

    def normals(self, points: np.ndarray) -> np.ndarray | None:
        return self.space.normals(points[:, : self.space.dim])


def check_measure(measure: float) -> None:
    """Raises `GeometryError` (code `bounds`) for a measure that overflowed or vanished in float64."""
    if not (math.isfinite(measure) and measure > 0):
        raise GeometryError(f"the measure of the domain is {measure} in float64",
                            why="the product of its widths leaves the range of float64",
                            fix="rescale the coordinates so that widths are near 1", code="bounds")
