"""Terms: residuals on a region, with the numbers that they need at its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import NumericsError, ProblemError, locate
from pinn.geometry import Region
from pinn.jetspace import JetSpace, Residuals, call, demands, leaf_key
from pinn.sampling import uniform


@dataclass(frozen=True)
class Column:
    """A function of the coordinates, evaluated in plain numpy at points `(n, dim)`, wherever its leaf appears."""

    name: str
    function: Callable[..., Any]
    coordinates: tuple[str, ...]
    role: str

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values `(n,)`.  Raises `ProblemError` (codes `argument`, `user-function`, `shape`)."""
        known = {name: points[:, i].copy() for i, name in enumerate(self.coordinates)}
        return check_values(call(self.function, known, self.role), len(points), self.role, locate(self.function))


def check_values(answer: Any, n: int, role: str, where: str) -> np.ndarray:
    """What a user's function gave for n points as float64 `(n,)`.  Raises `ProblemError` (code `shape`)."""
    if answer is None:
        raise ProblemError(f"{role} returns nothing", where=where, why="its values at the points are needed", code="shape",
                           fix="return the value")
    try:
        values = np.asarray(answer)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{role} returns no array", where=where, why=str(error), code="shape") from error
    if values.dtype.kind not in "fiu":
        raise ProblemError(f"{role} returns {values.dtype} values", where=where, why="values must be real", code="shape",
                           fix="return the real part: np.real(...)" if values.dtype.kind == "c" else "")
    if values.shape not in ((), (n,)):
        raise ProblemError(f"{role} returns shape {values.shape} for {n} points", where=where, code="shape",
                           why=f"each coordinate arrives with shape ({n},), and so must the values leave",
                           fix=".ravel()" if values.size == n else "write it elementwise, with numpy functions")
    return np.array(np.broadcast_to(values, (n,)), float)


@dataclass(frozen=True)
class Prescribed:
    """What a condition says of one unknown: sum_k coefficients[k] d^k u / dn^k = value, where n is the outward normal, or time.

    `value` is a number or a function of the coordinates.
    """

    unknown: str
    coefficients: tuple[float, ...]
    value: Any


@dataclass(frozen=True, eq=False)
class Term:
    """Residuals that must vanish on a region: an equation, or one part of a condition; `kind` says which.

    `residuals` are scalar expressions of jets, coordinates, normals and the leaves of `data`; `weight` multiplies the mean
    of their squares; `where` is the user's line; `prescribed` says the same as the residual where it is linear in one unknown
    with constant coefficients, else it is None.  Raises `ProblemError` (code `normals`) if it needs normals and has none.
    """

    name: str
    kind: str
    region: Region
    residuals: Residuals
    space: JetSpace
    data: tuple[Column, ...] = ()
    where: str = ""
    weight: float = 1.0
    prescribed: Prescribed | None = None

    def __post_init__(self) -> None:
        if self.uses_normals and sample_points(self.region, 1, 0)[1] is None:
            raise ProblemError(f"{self.name} uses the outward normal, which {self.region.name} does not have", where=self.where,
                               why="only faces of space have normals", fix="on=domain.boundary", code="normals")

    @property
    def demands(self) -> dict[str, list[tuple[str, ...]]]:
        """The derivatives it uses, by unknown."""
        return demands(self.residuals)

    @property
    def uses_normals(self) -> bool:
        return any((leaf_key(node) or ("",))[0] == "normal" for node in _nodes(self.residuals))

    @property
    def columns(self) -> tuple[ad.Array, ...]:
        """The leaves that are numbers known at each point, in the order of the columns of `table`."""
        normals = self.space.spatial if self.uses_normals else ()
        return (*map(self.space.coordinate, self.space.coordinates), *map(self.space.normal, normals),
                *(self.space.data(column.name) for column in self.data))

    def table(self, points: np.ndarray, normals: np.ndarray | None = None) -> np.ndarray:
        """The numbers of `columns` at points `(n, dim)` with normals `(n, spatial)`: shape `(n, len(columns))`.

        Raises `NumericsError` with the term and the point where a value is not finite.
        """
        parts = [points]
        if self.uses_normals:
            if normals is None:
                raise ProblemError(f"{self.name} needs normals", why="it was given points without them", code="normals")
            parts.append(normals)
        for column in self.data:
            values = column(points)
            check_finite(values, points, self.space.coordinates, f"{column.role} is", locate(column.function) or self.where)
            parts.append(values[:, None])
        return np.concatenate(parts, axis=1)


def sample_points(region: Region, n: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Points `(n, dim)` of a region and their normals, the same every time, to try functions on."""
    points = region.sample(n, uniform, np.random.default_rng(seed))
    return points.x, points.normals


def check_finite(values: np.ndarray, points: np.ndarray, coordinates: Sequence[str], subject: str, where: str) -> None:
    """Raises `NumericsError` with the first point `(dim,)` at which one of the values `(n,)` is not finite."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        place = ", ".join(f"{name} = {x:.6g}" for name, x in zip(coordinates, points[bad[0]], strict=True))
        raise NumericsError(f"{subject} {values[bad[0]]} at {place}", where=where,
                            why=f"{len(bad)} of {len(values)} values at sample points are not finite",
                            fix="check the formula there: a division by zero, a root or logarithm of a negative number?")


def _nodes(residuals: Residuals) -> list[ad.Node]:
    return ad.walk([residual.node for residual in residuals])
