"""The box: an interval, rectangle, cuboid, ... with named axes, some of them periodic."""

from __future__ import annotations

import math
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
from pinn.geometry.piece import Piece, Side, whole
from pinn.geometry.point import single_point
from pinn.geometry.region import Region
from pinn.geometry.side import find_axis, find_side


@dataclass(frozen=True, init=False, repr=False)
class Box:
    """`Box(x=(a, b), y=(c, d), ..., periodic="x")`: all points with a <= x <= b, c <= y <= d, ...

    Any number of axes, in the order written; `periodic` names the axes whose two sides are the same place.
    Raises `GeometryError` (codes `bounds`, `axis-name`, `duplicate-names`, `ambiguous-names`, `periodic`).
    """

    axes: tuple[tuple[str, Bounds], ...]
    periodic: tuple[str, ...]

    def __init__(self, *unnamed: Any, periodic: str | Sequence[str] = (), **axes: Any):
        if unnamed or not axes:
            raise GeometryError("a Box needs named axes", where=f"Box({', '.join(map(reprlib.repr, unnamed))})", code="bounds",
                                why="equations and conditions speak of coordinates by name", fix="Box(x=(0, 1), y=(0, 1))")
        check_names(tuple(axes), f"Box({', '.join(axes)})")
        object.__setattr__(self, "axes", tuple((name, read_bounds(name, given, "Box")) for name, given in axes.items()))
        object.__setattr__(self, "periodic", _read_periodic(periodic, tuple(axes)))
        # Building the charts now lets a box whose measure leaves float64 fail here rather than at a first sample.
        _ = self.interior, self.boundary

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    @property
    def spatial(self) -> tuple[str, ...]:
        return self.coordinates

    @property
    def time(self) -> None:
        return None

    @property
    def bounds(self) -> dict[str, Bounds]:
        return dict(self.axes)

    @property
    def measure(self) -> float:
        return math.prod(b - a for _, (a, b) in self.axes)

    @property
    def interior(self) -> Region:
        low, high = zip(*(bounds for _, bounds in self.axes), strict=True)
        return Region("interior", self.coordinates, (whole("interior", Brick(low, high)),))

    @property
    def boundary(self) -> Region:
        sides = [Side(name, value, sign) for name, bounds in self.axes if name not in self.periodic
                 for value, sign in zip(bounds, (-1, 1), strict=True)]
        return Region("boundary", self.coordinates, tuple(self._piece(side) for side in sides),
                      reason="" if sides else "every axis of space is periodic, so space has no boundary")

    @property
    def initial(self) -> Region:
        raise self._no_time("first")

    @property
    def final(self) -> Region:
        raise self._no_time("last")

    def face(self, **side: Any) -> Region:
        """The face where one coordinate is at its side, `face(x=0)`.  Raises `GeometryError` (code `face`)."""
        axis = find_axis(side, self.coordinates, self.boundary.faces)
        piece = self._piece(find_side(axis, side[axis], self.bounds[axis], axis in self.periodic))
        return Region(piece.name, self.coordinates, (piece,))

    def point(self, **place: Any) -> Region:
        """A single point of the closed box, `point(x=0, y=0)`.  Raises `GeometryError` (code `point`)."""
        return single_point(place, self.bounds)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points `(n, dim)` are in the closed box, `(n,)` of bool.  Raises `GeometryError` (code `points`)."""
        points = check_points(points, len(self.axes))
        low, high = zip(*(bounds for _, bounds in self.axes), strict=True)
        return np.all((points >= low) & (points <= high), axis=1)

    def grid(self, n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
        """A tensor grid `(prod(shape), dim)` and `shape`, see `tensor_grid`."""
        return tensor_grid(self.bounds, n)

    def __mul__(self, other: object) -> Any:
        if isinstance(other, Box):
            raise GeometryError("a Box times a Box", where=f"{self!r} * {other!r}", why="one Box holds all axes of space",
                                fix="Box(x=(0, 1), y=(0, 1))", code="product")
        return NotImplemented

    def __repr__(self) -> str:
        parts = [f"{name}=({number(a)}, {number(b)})" for name, (a, b) in self.axes]
        if self.periodic:
            names = ", ".join(f'"{name}"' for name in self.periodic)
            parts.append(f"periodic={names}" if len(self.periodic) == 1 else f"periodic=({names})")
        return f"Box({', '.join(parts)})"

    def _piece(self, side: Side) -> Piece:
        fixed = [(side.value, side.value) if name == side.axis else bounds for name, bounds in self.axes]
        low, high = zip(*fixed, strict=True)
        normal = tuple(float(side.sign) if name == side.axis else 0.0 for name in self.coordinates)
        return whole(side_text(side.axis, side.value, self.bounds[side.axis]), Brick(low, high, normal), side)

    def _no_time(self, moment: str) -> GeometryError:
        return GeometryError(f"{self!r} has no {moment} moment", why="it has no time axis",
                             fix=f"domain = {self!r} * Time(t=(0, 1))", code="no-time")


def _read_periodic(given: Any, axes: tuple[str, ...]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    listed = isinstance(names, (tuple, list, set, frozenset)) and all(isinstance(name, str) for name in names)
    unknown = [name for name in names if name not in axes] if listed else []
    if not listed or unknown:
        what = f"periodic names {unknown[0]!r}, which is no axis" if listed else "periodic must name axes"
        several = listed and len(unknown[0]) > 1 and set(unknown[0]) <= set(axes)
        fix = f"periodic={tuple(unknown[0])}" if several else f'periodic="{axes[0]}"'
        raise GeometryError(what, where=f"Box(..., periodic={reprlib.repr(given)})", why=f"the axes are {', '.join(axes)}",
                            fix=fix, code="periodic")
    return tuple(name for name in axes if name in names)
