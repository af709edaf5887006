"""The product of a shape and an interval of time; it asks both only what every domain answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds
from pinn.geometry.domain import Domain
from pinn.geometry.grid import check_points, tensor_grid
from pinn.geometry.names import check_names
from pinn.geometry.piece import extend
from pinn.geometry.region import Region
from pinn.geometry.side import find_axis


@dataclass(frozen=True, repr=False)
class SpaceTime:
    """`shape * Time(t=(t0, t1))`: the points of a shape at all moments; faces and boundary are those of the shape.

    Raises `GeometryError` (codes `product`, `duplicate-names`, `ambiguous-names`, `bounds`).
    """

    space: Domain
    clock: Domain

    def __post_init__(self) -> None:
        if self.space.time is not None:
            raise GeometryError("a domain has one time axis", where=f"{self.space!r} * {self.clock!r}", code="product",
                                why=f"{self.space!r} already has the time {self.space.time!r}",
                                fix="Box(x=(0, 1)) * Time(t=(0, 1))")
        check_names(self.coordinates, f"{self.space!r} * {self.clock!r}")
        # Building the charts now lets a measure that leaves float64 fail here rather than at a first sample.
        _ = self.interior, self.boundary

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.space.coordinates + self.clock.coordinates

    @property
    def spatial(self) -> tuple[str, ...]:
        return self.space.spatial

    @property
    def time(self) -> str | None:
        return self.clock.time

    @property
    def bounds(self) -> dict[str, Bounds]:
        return self.space.bounds | self.clock.bounds

    @property
    def periodic(self) -> tuple[str, ...]:
        return self.space.periodic

    @property
    def measure(self) -> float:
        return self.space.measure * self.clock.measure

    @property
    def interior(self) -> Region:
        return self._extend("interior", self.space.interior, self.clock.interior)

    @property
    def boundary(self) -> Region:
        return self._extend("boundary", self.space.boundary, self.clock.interior)

    @property
    def initial(self) -> Region:
        return self._extend(self.clock.initial.name, self.space.interior, self.clock.initial)

    @property
    def final(self) -> Region:
        return self._extend(self.clock.final.name, self.space.interior, self.clock.final)

    def face(self, **side: Any) -> Region:
        """The face of space at all times, `face(x=0)`, or space at a first or last moment, `face(t=0)`.

        Raises `GeometryError` (code `face`).
        """
        sides = self.boundary.faces + self.initial.faces + self.final.faces
        axis = find_axis(side, self.coordinates, sides)
        if axis == self.time:
            moment = self.clock.face(**side)
            return self._extend(moment.name, self.space.interior, moment)
        face = self.space.face(**side)
        return self._extend(face.name, face, self.clock.interior)

    def point(self, **place: Any) -> Region:
        """A point of space at all times, `point(x=0, y=0)`.  Raises `GeometryError` (code `point`)."""
        point = self.space.point(**place)
        return self._extend(point.name, point, self.clock.interior)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points `(n, dim)` belong to both, `(n,)` of bool.  Raises `GeometryError` (code `points`)."""
        points = check_points(points, len(self.coordinates))
        split = len(self.spatial)
        return self.space.contains(points[:, :split]) & self.clock.contains(points[:, split:])

    def grid(self, n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
        """A tensor grid `(prod(shape), dim)` and `shape`, see `tensor_grid`."""
        return tensor_grid(self.bounds, n)

    def __repr__(self) -> str:
        return f"{self.space!r} * {self.clock!r}"

    def _extend(self, name: str, space: Region, clock: Region) -> Region:
        pieces = tuple(extend(piece, moment) for piece in space.pieces for moment in clock.pieces)
        return Region(name, self.coordinates, pieces, reason=space.reason)
