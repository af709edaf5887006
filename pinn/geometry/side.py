"""Looking up a face by what the user wrote, `face(x=0)`, with an answer to every way of getting it wrong."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Mapping
from typing import Any

from pinn.errors import GeometryError
from pinn.geometry.bounds import Bounds, number
from pinn.geometry.piece import Side


def find_axis(request: Mapping[str, Any], axes: tuple[str, ...], sides: tuple[Side, ...]) -> str:
    """The one of the `axes` whose face was asked for; `sides` are those that exist.  Raises `GeometryError` (code `face`)."""
    first = f"domain.face({sides[0].axis}={number(sides[0].value)})" if sides else "domain.boundary"
    asked = ", ".join(f"{name}={reprlib.repr(value)}" for name, value in request.items())
    if len(request) != 1:
        what = "names no side" if not request else "names several sides"
        joined = " | ".join(f"domain.face({name}={reprlib.repr(value)})" for name, value in request.items())
        raise GeometryError(f"face({asked}) {what}", why="a face is the set of points where one coordinate is at its side",
                            fix=joined or first, code="face")
    axis = next(iter(request))
    if axis not in axes:
        there = ", ".join(f"{side.axis} = {number(side.value)}" for side in sides)
        raise GeometryError(f"there is no face {asked}: {axis!r} is no axis", where=f"face({asked})",
                            why=f"the axes are {', '.join(axes)}, the faces {there or 'none'}", fix=first, code="face")
    return axis


def find_side(axis: str, value: Any, bounds: Bounds, periodic: bool) -> Side:
    """The side of an axis at `value`.  Raises `GeometryError` (code `face`) where there is none."""
    a, b = bounds
    asked = f"{axis} = {reprlib.repr(value)}"
    sides = f"the sides are {axis} = {number(a)} and {axis} = {number(b)}"
    where = f"face({axis}={reprlib.repr(value)})"
    fix = f"domain.face({axis}={number(a)})"
    place = finite(value)
    if place is None:
        raise GeometryError(f"{asked} is not a finite number", where=where, why=sides, fix=fix, code="face")
    if periodic:
        raise GeometryError(f"the axis {axis!r} is periodic and has no faces", where=where,
                            why=f"{axis} = {number(a)} and {axis} = {number(b)} are the same place",
                            fix=f"leave this condition out, or leave {axis!r} out of periodic=", code="face")
    # Sides are often computed (np.pi / 2, 0.1 * 3), so rounding is forgiven, but never a visible part of the axis.
    slack = min(1e-12 * max(abs(a), abs(b)), 1e-6 * (b - a))
    for side, sign in ((a, -1), (b, 1)):
        if abs(place - side) <= slack:
            return Side(axis, side, sign)
    raise GeometryError(f"{asked} is {'inside' if a < place < b else 'outside'}; {sides}", where=where,
                        why="a face is where a coordinate is at its lower or upper side", fix=fix, code="face")


def finite(value: Any) -> float | None:
    """A finite real number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
