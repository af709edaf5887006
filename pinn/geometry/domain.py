"""The protocol of domains: what every shape, with or without time, answers to problems, samplers and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from pinn.geometry.bounds import Bounds
from pinn.geometry.region import Region


class Domain(Protocol):
    """A set of points with named coordinates, space first and time last.

    A new shape (disk, ball, polygon, a difference of two) is a frozen class with these members, and nothing else
    changes: its regions are made of pieces (`piece.py`), each a measure-preserving chart of the unit cube
    (`chart.py`) and filters such as `lambda points: ~hole.contains(points)`; `shape * Time(t=...)` then comes free.
    """

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The columns of a point, `("x", "y", "t")`."""

    @property
    def spatial(self) -> tuple[str, ...]:
        """The coordinates of space, in the order of the components of a normal."""

    @property
    def time(self) -> str | None:
        """The coordinate of time, or None."""

    @property
    def bounds(self) -> dict[str, Bounds]:
        """The smallest box around the domain: `{"x": (a, b), ...}` in the order of `coordinates`."""

    @property
    def periodic(self) -> tuple[str, ...]:
        """The axes whose two sides are the same place."""

    @property
    def measure(self) -> float:
        """Length, area, volume, ... of the interior, times the length of time."""

    @property
    def interior(self) -> Region:
        """All points, where the equations hold."""

    @property
    def boundary(self) -> Region:
        """The boundary of space at all times; empty where every axis is periodic or there is no space."""

    @property
    def initial(self) -> Region:
        """Space at the first moment.  Raises `GeometryError` (code `no-time`) without time."""

    @property
    def final(self) -> Region:
        """Space at the last moment.  Raises `GeometryError` (code `no-time`) without time."""

    def face(self, **side: Any) -> Region:
        """The points where one coordinate is at its side, `face(x=0)`.  Raises `GeometryError` (code `face`)."""

    def point(self, **place: Any) -> Region:
        """A single point of space, `point(x=0, y=0)`, at all times.  Raises `GeometryError` (code `point`)."""

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points `(n, dim)` belong to the closed domain, `(n,)` of bool."""

    def grid(self, n: int | Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
        """A tensor grid over `bounds`, `(prod(shape), dim)` and `shape`, of about n points or n per axis.

        A shape that does not fill its bounds leaves it to the caller to mask with `contains`.
        """
