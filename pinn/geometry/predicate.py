"""Predicates: a user's condition on coordinates, called by argument names with one array per coordinate."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import GeometryError, locate

_HINT = "lambda {names}: {name} > 0"


@dataclass(frozen=True)
class Predicate:
    """`function(x=..., y=...)` of the coordinates it names, as a filter of points `(n, dim) -> (n,)` of bool.

    Raises `GeometryError` (code `predicate`) for what is no function of these coordinates, and, when called,
    for an answer that is not one bool a point.
    """

    function: Callable[..., Any]
    coordinates: tuple[str, ...]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise self._refuse(f"a predicate must be a function, not a {type(self.function).__name__}",
                               why="it is asked at every point whether the point belongs to the region")
        self.arguments()

    def arguments(self) -> tuple[str, ...]:
        """The coordinates the function asks for; an argument with a default that is no coordinate keeps its default."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError) as unknown:
            raise self._refuse("the argument names of the predicate cannot be read",
                               why="coordinates are handed over by name") from unknown
        asked = []
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                asked += [name for name in self.coordinates if name not in asked]
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise self._refuse(f"the predicate's argument {str(parameter)!r} has no name to hand a coordinate to",
                                   why=f"coordinates are handed over by name; there are {', '.join(self.coordinates)}")
            if parameter.name in self.coordinates:
                asked.append(parameter.name)
            elif parameter.default is parameter.empty:
                close = difflib.get_close_matches(parameter.name.lower(), self.coordinates, 1, 0.3) or self.coordinates[:1]
                raise self._refuse(f"the predicate asks for {parameter.name!r}, which is no coordinate",
                                   why=f"the coordinates here are {', '.join(self.coordinates)}",
                                   fix=_HINT.format(names=close[0], name=close[0]))
        return tuple(asked)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        columns = {name: points[:, self.coordinates.index(name)].copy() for name in self.arguments()}
        try:
            answer = np.asarray(self.function(**columns))
        except Exception as error:
            if isinstance(error, ValueError) and "truth value" in str(error):
                raise self._refuse("the predicate takes many points for one", why="`and`, `or`, `not`, `if` and chains such as "
                                   "0 < x < 1 ask an array of points for a single truth value",
                                   fix="write & | ~ with brackets: lambda x: (x > 0) & (x < 1)") from error
            raise self._refuse(f"the predicate raised {type(error).__name__}: {error}",
                               why=f"it was called with arrays of {len(points)} points") from error
        if answer.dtype != np.bool_:
            raise self._refuse(f"the predicate returned {answer.dtype}, not bool",
                               why="it must answer true or false at every point; compare something")
        if answer.shape != (len(points),):
            raise self._refuse(f"the predicate returned shape {answer.shape} for {len(points)} points",
                               why=f"it must answer once a point, shape ({len(points)},)")
        return answer

    def _refuse(self, what: str, why: str, fix: str = "") -> GeometryError:
        names = self.coordinates
        return GeometryError(what, where=locate(self.function) or "in .where(...)", why=why, code="predicate",
                             fix=fix or f"region.where({_HINT.format(names=', '.join(names), name=names[0])})")
