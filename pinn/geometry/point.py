"""Single points of a domain, by what the user wrote, `point(x=0, y=0)`."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds, number
from pinn.geometry.chart import Brick
from pinn.geometry.piece import whole
from pinn.geometry.region import Region
from pinn.geometry.side import finite


def single_point(place: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> Region:
    """The region of a point, its coordinates given by name, inside their bounds.  Raises `GeometryError` (code `point`)."""
    x: list[float] = []
    for name, (a, b) in bounds.items():
        value = finite(place.get(name))
        if value is None or not a <= value <= b or set(place) != set(bounds):
            several = set(place) != set(bounds)
            raise GeometryError(
                f"point({', '.join(f'{one}={reprlib.repr(given)}' for one, given in place.items())}) is not in the domain",
                why=f"a point has one value for each of {', '.join(bounds)}" if several
                else f"{name} is a number from {number(a)} to {number(b)}",
                fix=f"domain.point({', '.join(f'{one}={number(low)}' for one, (low, _) in bounds.items())})", code="point")
        x.append(value)
    name = ", ".join(f"{axis}={number(value)}" for axis, value in zip(bounds, x, strict=True))
    return Region(name, tuple(bounds), (whole(name, Brick(tuple(x), tuple(x))),))
