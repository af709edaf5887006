"""The ball: a disk, a ball, ... in two or more dimensions, with named axes; its boundary is the sphere."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds, number
from pinn.geometry.chart import check_measure
from pinn.geometry.grid import check_points, tensor_grid
from pinn.geometry.names import check_names
from pinn.geometry.piece import whole
from pinn.geometry.point import single_point
from pinn.geometry.region import Region

SLACK = 1e-12  # of the radius: points on the sphere are rounded


@dataclass(frozen=True)
class Round:
    """The chart of a ball, or with `hollow` of its sphere.

    r = R u^(1 / d); directions by angles of which cos phi_k is distributed like the coordinates of even points on a sphere:
    (1 + cos phi_k) / 2 ~ Beta((d - k) / 2, (d - k) / 2) for k = 1 ... d - 2, and the last angle is even.
    """

    center: tuple[float, ...]
    radius: float
    hollow: bool = False

    def __post_init__(self) -> None:
        check_measure(self.measure)

    @property
    def dim(self) -> int:
        return len(self.center)

    @property
    def cube(self) -> int:
        return self.dim - self.hollow

    @property
    def measure(self) -> float:
        """pi^(d / 2) / Gamma(d / 2 + 1) R^d, and d / R times as much of the sphere; infinite beyond float64."""
        d = self.dim
        power = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1) + d * math.log(self.radius)
        volume = math.exp(power) if power < 700 else math.inf
        return volume * d / self.radius if self.hollow else volume

    def points(self, unit: np.ndarray) -> np.ndarray:
        d = self.dim
        angles = unit if self.hollow else unit[:, 1:]
        radius = self.radius if self.hollow else self.radius * unit[:, :1] ** (1 / d)
        directions, left = np.empty((len(unit), d)), np.ones(len(unit))
        for k in range(d - 2):
            half = (d - k - 1) / 2
            cosine = 2 * betaincinv(half, half, angles[:, k]) - 1
            directions[:, k] = left * cosine
            left = left * np.sqrt(np.maximum(1 - cosine**2, 0.0))
        last = 2 * np.pi * angles[:, d - 2]
        directions[:, d - 2], directions[:, d - 1] = left * np.cos(last), left * np.sin(last)
        return np.array(self.center) + radius * directions

    def normals(self, points: np.ndarray) -> np.ndarray | None:
        if not self.hollow:
            return None
        outward = points - np.array(self.center)
        return outward / np.linalg.norm(outward, axis=1, keepdims=True)


@dataclass(frozen=True, init=False, repr=False)
class Ball:
    """`Ball(radius=1, x=0, y=0, z=0)`: all points at most `radius` from the center, whose coordinates name the axes.

    Two axes make a disk, any number of them a ball.  Raises `GeometryError` (codes `bounds`, `axis-name`, `duplicate-names`,
    `ambiguous-names`).
    """

    center: tuple[tuple[str, float], ...]
    radius: float

    def __init__(self, radius: Any = 1.0, **center: Any):
        where = f"Ball({', '.join([f'radius={reprlib.repr(radius)}', *(f'{k}={reprlib.repr(v)}' for k, v in center.items())])})"
        fix = "Ball(radius=1, x=0, y=0)"
        if len(center) < 2:
            raise GeometryError("a Ball needs the coordinates of its center", where=where, code="bounds", fix=fix,
                                why="they name its axes, two at least; on a line it is Box(x=(a, b))")
        for name, value in (("radius", radius), *center.items()):
            real = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
            if not real or not math.isfinite(value) or (name == "radius" and value <= 0):
                raise GeometryError(f"{name} is {reprlib.repr(value)}", where=where, code="bounds", fix=fix,
                                    why="a radius is a positive number, and the center has finite coordinates")
        check_names(tuple(center), where)
        object.__setattr__(self, "center", tuple((name, float(value) + 0.0) for name, value in center.items()))
        object.__setattr__(self, "radius", float(radius))
        _ = self.interior, self.boundary  # a measure that leaves float64 fails here

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.center)

    @property
    def spatial(self) -> tuple[str, ...]:
        return self.coordinates

    @property
    def time(self) -> None:
        return None

    @property
    def periodic(self) -> tuple[str, ...]:
        return ()

    @property
    def bounds(self) -> dict[str, Bounds]:
        return {name: (value - self.radius, value + self.radius) for name, value in self.center}

    @property
    def measure(self) -> float:
        return self._chart().measure

    @property
    def interior(self) -> Region:
        return Region("interior", self.coordinates, (whole("interior", self._chart()),))

    @property
    def boundary(self) -> Region:
        return Region("boundary", self.coordinates, (whole("sphere", self._chart(hollow=True)),))

    @property
    def initial(self) -> Region:
        raise self._no_time("first")

    @property
    def final(self) -> Region:
        raise self._no_time("last")

    def face(self, **side: Any) -> Region:
        """A ball has no faces.  Raises `GeometryError` (code `face`)."""
        raise GeometryError(f"{self!r} has no face", why="its boundary is one sphere", code="face",
                            fix="domain.boundary, or a part of it: domain.boundary.where(lambda x: x > 0)")

    def point(self, **place: Any) -> Region:
        """A single point of the closed ball, `point(x=0, y=0)`.  Raises `GeometryError` (code `point`)."""
        point = single_point(place, self.bounds)
        if not self.contains(point.pieces[0].chart.points(np.empty((1, 0))))[0]:
            raise GeometryError(f"point({point.name}) is not in the domain", code="point", why=f"the radius is {self.radius:g}",
                                fix=f"domain.point({', '.join(f'{axis}={number(value)}' for axis, value in self.center)})")
        return point

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points `(n, dim)` are in the closed ball, `(n,)` of bool.  Raises `GeometryError` (code `points`)."""
        points = check_points(points, len(self.center))
        return np.linalg.norm(points - self._chart().center, axis=1) <= self.radius * (1 + SLACK)

    def grid(self, n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
        """A tensor grid `(prod(shape), dim)` over the bounds, not all of it in the ball, and `shape`, see `tensor_grid`."""
        return tensor_grid(self.bounds, n)

    def __repr__(self) -> str:
        return f"Ball({', '.join([f'radius={number(self.radius)}', *(f'{k}={number(v)}' for k, v in self.center)])})"

    def _chart(self, hollow: bool = False) -> Round:
        return Round(tuple(value for _, value in self.center), self.radius, hollow)

    def _no_time(self, moment: str) -> GeometryError:
        return GeometryError(f"{self!r} has no {moment} moment", why="it has no time axis",
                             fix=f"domain = {self!r} * Time(t=(0, 1))", code="no-time")
