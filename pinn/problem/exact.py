"""The exact solution: called by name in plain numpy, as one array or a dict by unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.conditions import check_finite, check_values
from pinn.errors import ProblemError, locate
from pinn.jetspace import JetSpace, arguments, call, user_location

ROLE = "the exact solution"


@dataclass(frozen=True)
class Exact:
    """A user's exact solution.  Raises `ProblemError` (code `argument`) for a function that asks for what is not there."""

    function: Callable[..., Any]
    space: JetSpace

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ProblemError(f"exact is a {type(self.function).__name__}, not a function", code="exact",
                               where=user_location(), why="it is called with arrays of coordinates, by name",
                               fix=f"exact=lambda {', '.join(self.space.coordinates)}: "
                                   + (self._dict() if len(self.space.unknowns) > 1 else "..."))
        arguments(self.function, self.space.coordinates, ROLE)

    def __call__(self, **coordinates: Any) -> Any:
        """What the function says at these coordinates, of which it receives those that it asks for."""
        return call(self.function, coordinates, ROLE)

    def answer(self, coordinates: Mapping[str, Any]) -> dict[str, Any]:
        """The answer by unknown, as it came.  Raises `ProblemError` (code `exact`)."""
        answer, unknowns = self(**coordinates), self.space.unknowns
        if not isinstance(answer, Mapping):
            if len(unknowns) > 1:
                raise self._refuse(f"{ROLE} returns one {type(answer).__name__} for {len(unknowns)} unknowns")
            return {unknowns[0]: answer}
        strange = [name for name in answer if name not in unknowns]
        if strange or not answer:
            raise self._refuse(f"{ROLE} speaks of {strange[0]!r}, which is no unknown" if strange else f"{ROLE} is empty")
        return dict(answer)

    def fields(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Values `(n,)` at points `(n, dim)` by unknown.  Raises `ProblemError` (codes `exact`, `shape`)."""
        columns = {name: points[:, i].copy() for i, name in enumerate(self.space.coordinates)}
        return {unknown: check_values(value, len(points), f"{ROLE} of {unknown}", locate(self.function))
                for unknown, value in self.answer(columns).items()}

    def check(self, points: np.ndarray) -> None:
        """Raises `NumericsError` with the point where a value is not finite, and what `fields` raises."""
        for unknown, values in self.fields(points).items():
            check_finite(values, points, self.space.coordinates, f"{ROLE} of {unknown} is", locate(self.function))

    def _refuse(self, what: str) -> ProblemError:
        unknowns = self.space.unknowns
        return ProblemError(what, where=locate(self.function), why=f"the unknowns are {', '.join(unknowns)}", code="exact",
                            fix=f"return {self._dict()}")

    def _dict(self) -> str:
        return "{" + ", ".join(f'"{name}": ...' for name in self.space.unknowns) + "}"
