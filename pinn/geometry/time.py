"""The interval of time: alone the domain of an ordinary differential equation, times a shape that of an evolution."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds, number, read_bounds, side_text
from pinn.geometry.chart import Brick
from pinn.geometry.grid import check_points, tensor_grid
from pinn.geometry.names import check_names
from pinn.geometry.piece import Side, whole
from pinn.geometry.point import single_point
from pinn.geometry.region import Region
from pinn.geometry.side import find_axis, find_side
from pinn.geometry.spacetime import SpaceTime


@dataclass(frozen=True, init=False, repr=False)
class Time:
    """`Time(t=(t0, t1))`: the moments t0 <= t <= t1; `shape * Time(t=(0, 1))` is a shape over time.

    Raises `GeometryError` (codes `bounds`, `axis-name`, `product`).
    """

    name: str
    interval: Bounds

    def __init__(self, *unnamed: Any, **axes: Any):
        if unnamed or len(axes) != 1:
            written = [reprlib.repr(value) for value in unnamed]
            written += [f"{name}={reprlib.repr(value)}" for name, value in axes.items()]
            raise GeometryError("Time needs exactly one named axis", where=f"Time({', '.join(written)})", code="bounds",
                                why="there is one time, it has a name and is not periodic", fix="Time(t=(0, 1))")
        name, given = next(iter(axes.items()))
        check_names((name,), f"Time({name})")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "interval", read_bounds(name, given, "Time"))

    @property
    def coordinates(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def spatial(self) -> tuple[str, ...]:
        return ()

    @property
    def time(self) -> str:
        return self.name

    @property
    def bounds(self) -> dict[str, Bounds]:
        return {self.name: self.interval}

    @property
    def periodic(self) -> tuple[str, ...]:
        return ()

    @property
    def measure(self) -> float:
        return self.interval[1] - self.interval[0]

    @property
    def interior(self) -> Region:
        low, high = self.interval
        return Region("interior", self.coordinates, (whole("interior", Brick((low,), (high,))),))

    @property
    def boundary(self) -> Region:
        return Region("boundary", self.coordinates, (), reason="there is no space, only time; its ends are initial and final")

    @property
    def initial(self) -> Region:
        return self._moment(Side(self.name, self.interval[0], -1))

    @property
    def final(self) -> Region:
        return self._moment(Side(self.name, self.interval[1], 1))

    def face(self, **side: Any) -> Region:
        """The first or last moment, `face(t=0)`.  Raises `GeometryError` (code `face`)."""
        axis = find_axis(side, self.coordinates, self.initial.faces + self.final.faces)
        return self._moment(find_side(axis, side[axis], self.interval, periodic=False))

    def point(self, **place: Any) -> Region:
        """A moment, `point(t=0.5)`.  Raises `GeometryError` (code `point`)."""
        return single_point(place, self.bounds)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points `(n, 1)` are in the closed interval, `(n,)` of bool.  Raises `GeometryError` (code `points`)."""
        moments = check_points(points, 1)[:, 0]
        return (moments >= self.interval[0]) & (moments <= self.interval[1])

    def grid(self, n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
        """A tensor grid `(n, 1)` and `shape`, see `tensor_grid`."""
        return tensor_grid(self.bounds, n)

    def __mul__(self, other: Any) -> SpaceTime:
        return SpaceTime(other, self) if _is_domain(other) else NotImplemented

    def __rmul__(self, other: Any) -> SpaceTime:
        return self * other

    def __repr__(self) -> str:
        return f"Time({self.name}=({number(self.interval[0])}, {number(self.interval[1])}))"

    def _moment(self, side: Side) -> Region:
        piece = whole(side_text(side.axis, side.value, self.interval), Brick((side.value,), (side.value,)), side)
        return Region(piece.name, self.coordinates, (piece,))


def _is_domain(other: Any) -> bool:
    # Asked of the class, since reading `initial` of a shape without time raises.
    return all(hasattr(type(other), name) for name in ("coordinates", "interior", "boundary", "contains"))
