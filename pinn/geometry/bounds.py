"""The two sides of an axis: finite numbers, the lower one first."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pinn.errors import GeometryError

Bounds = tuple[float, float]


def read_bounds(name: str, given: Any, owner: str) -> Bounds:
    """The sides `(a, b)` of an axis as floats, a < b, from what the user wrote; `owner` is `Box` or `Time`.

    Raises `GeometryError` (code `bounds`).
    """
    where = f"{owner}({name}={reprlib.repr(given)})"
    fix = f"{owner}({name}=(0, 1))"

    def refuse(what: str, why: str, fix: str = fix) -> GeometryError:
        return GeometryError(f"the bounds of {name!r} {what}", where=where, why=why, fix=fix, code="bounds")

    pair = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise refuse("are not a pair", "an axis has a lower and an upper side, in that order")
    sides = []
    for side in pair:
        if isinstance(side, (bool, np.bool_)) or not isinstance(side, numbers.Real):
            raise refuse("are not numbers", f"{reprlib.repr(side)} is a {type(side).__name__}")
        try:
            # Adding zero turns -0.0 into 0.0, so that names and comparisons of sides are plain.
            sides.append(float(side) + 0.0)
        except OverflowError as overflow:
            raise refuse("are too large", "they must fit a float64") from overflow
    a, b = sides
    if not (math.isfinite(a) and math.isfinite(b)):
        raise refuse("are not finite", "points are spread evenly over the axis, so it must end somewhere")
    if a == b:
        raise refuse("are equal", "an axis of width zero holds no points", f"{owner}({name}=({number(a)}, {number(a + 1)}))")
    if a > b:
        raise refuse("are reversed", "the lower side comes first", f"{owner}({name}=({number(b)}, {number(a)}))")
    if not math.isfinite(b - a):
        raise refuse("are too far apart", "the width must fit a float64; rescale the coordinate")
    return a, b


def number(value: float) -> str:
    """A float as a person would write it: `1` for 1.0, otherwise all its digits."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def side_text(axis: str, value: float, bounds: Bounds) -> str:
    """The name of a face, `x=0`, to six digits unless both sides would then look the same."""
    short = f"{bounds[0]:.6g}" != f"{bounds[1]:.6g}"
    return f"{axis}={value:.6g}" if short else f"{axis}={value!r}"
