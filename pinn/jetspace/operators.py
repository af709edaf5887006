"""The operators of vector calculus, as words of equations; all are made of total derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import ProblemError
from pinn.jetspace.location import user_location
from pinn.jetspace.space import JetSpace, leaf_key

Expression = Any  # an Array, or a plain number, which is a constant


def D(expression: Expression, *coordinates: Any) -> ad.Array:
    """The derivative of any expression, `D(k * u.x, x)`; several coordinates differentiate again: `D(u, x, x, t)`.

    Coordinates are the arguments of the equation, or their names.  Raises `ProblemError` (code `derivative`).
    """
    space = _space_of(expression, *coordinates)
    names = [_name_of(coordinate, space) for coordinate in coordinates]
    if space is None or not names:
        return ad.Array(ad.lift(expression if not names else 0.0), space)
    return space.derivative(expression, names)


def grad(expression: Expression) -> ad.Array:
    """The gradient over the coordinates of space, shape `(spatial,)`; of a vector `(k,)` its Jacobian `(k, spatial)`.

    Raises `ProblemError` (code `operator`) for a plain number, which belongs to no space, and where there is no space.
    """
    space = _space_of(expression)
    if space is None:
        raise _refuse("grad of a plain number", "a number does not say how many coordinates its space has", "D(k, x)")
    axes = _axes(space, "grad")
    return np.stack([space.derivative(expression, (axis,)) for axis in axes], axis=-1)


def div(vector: Sequence[Expression] | ad.Array) -> ad.Array:
    """The divergence a_x + b_y + ... of a vector with one component for each coordinate of space.

    Raises `ProblemError` (code `operator`).
    """
    space = _space_of(*_listed(vector, "div"))
    if space is None:
        return ad.Array(ad.lift(0.0))
    axes = _axes(space, "div")
    parts = _components(vector, space, "div", (len(axes),))
    return _sum([space.derivative(part, (axis,)) for part, axis in zip(parts, axes, strict=True)])


def laplacian(expression: Expression) -> ad.Array:
    """The Laplacian u_xx + u_yy + ... over the coordinates of space.  Raises `ProblemError` (code `operator`)."""
    space = _space_of(expression)
    if space is None:
        return ad.Array(ad.lift(0.0))
    return _sum([space.derivative(expression, (axis, axis)) for axis in _axes(space, "laplacian")])


def curl(vector: Sequence[Expression] | ad.Array) -> ad.Array:
    """The curl: b_x - a_y of a vector (a, b) in the plane, a vector `(3,)` in space.

    Raises `ProblemError` (code `operator`) in other dimensions.
    """
    listed = _listed(vector, "curl")
    space = _space_of(*listed)
    if space is None:
        return ad.Array(ad.lift(0.0 if len(listed) == 2 else np.zeros(3)))
    axes = _axes(space, "curl")
    parts = _components(vector, space, "curl", (2, 3))
    if len(axes) == 2:
        return space.derivative(parts[1], axes[:1]) - space.derivative(parts[0], axes[1:])
    return np.stack([space.derivative(parts[(i + 2) % 3], (axes[(i + 1) % 3],))
                     - space.derivative(parts[(i + 1) % 3], (axes[(i + 2) % 3],)) for i in range(3)])


def normal_derivative(expression: Expression) -> ad.Array:
    """The outward normal derivative n . grad u; it has a value on faces of space only.

    Raises `ProblemError` (code `operator`) where there is no space.
    """
    space = _space_of(expression)
    if space is None:
        return ad.Array(ad.lift(0.0))
    axes = _axes(space, "normal_derivative")
    return _sum([space.normal(axis) * space.derivative(expression, (axis,)) for axis in axes])


def _space_of(*expressions: Any) -> JetSpace | None:
    return next((e.space for e in expressions if isinstance(e, ad.Array) and e.space is not None), None)


def _name_of(coordinate: Any, space: JetSpace | None) -> str:
    name = coordinate
    if isinstance(coordinate, ad.Array):
        key = leaf_key(coordinate.node)
        name = key[1] if key is not None and key[0] == "coordinate" else None
    if isinstance(name, str) and (space is None or name in space.coordinates):
        return name
    known = ", ".join(space.coordinates) if space else "the arguments of the equation"
    raise ProblemError("D differentiates by coordinates only", where=user_location(), code="derivative",
                       why=f"{name!r} is no coordinate; the coordinates are {known}" if isinstance(name, str)
                       else f"something else was given; the coordinates are {known}", fix="D(u, x)")


def _axes(space: JetSpace, word: str) -> tuple[str, ...]:
    if not space.spatial:
        raise _refuse(f"{word} in a domain without space", f"the only coordinate is {space.time}", f"D(u, {space.time})")
    return space.spatial


def _listed(vector: Any, word: str) -> list[Any]:
    if isinstance(vector, (tuple, list)):
        return list(vector)
    if isinstance(vector, ad.Array) and vector.ndim == 1:
        return [vector]
    if isinstance(vector, np.ndarray) and vector.ndim == 1:
        return list(vector)
    raise _refuse(f"{word} needs a vector", "a scalar has no components", f"{word}((u, v))")


def _components(vector: Any, space: JetSpace, word: str, allowed: tuple[int, ...]) -> list[Any]:
    parts = list(vector)
    if len(parts) != len(space.spatial) or len(parts) not in allowed:
        counted = "one component" if len(parts) == 1 else f"{len(parts)} components"
        raise _refuse(f"{word} of a vector with {counted}", f"the coordinates of space are {', '.join(space.spatial)}"
                      + (", and curl is for the plane and for three dimensions" if len(space.spatial) not in allowed else ""),
                      f"{word}(({', '.join('abc'[:len(space.spatial)])}{',' * (len(space.spatial) == 1)}))")
    return parts


def _sum(parts: list[ad.Array]) -> ad.Array:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _refuse(what: str, why: str, fix: str) -> ProblemError:
    return ProblemError(what, where=user_location(), why=why, fix=fix, code="operator")
