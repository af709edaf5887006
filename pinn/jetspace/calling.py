"""Calling functions of the user's: each receives what its argument names ask for, and what goes wrong is told as theirs."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import PinnError, ProblemError, locate
from pinn.jetspace.location import failure_location

# What Python says of common mistakes, and how to mend them.
FIXES = {
    "truth value": "use np.where, or & and | between conditions",
    "'Array' object is not callable": "write u and u.x, not u(x, t): a field is already its value at the point",
    "a scalar has no length": "an unknown has no list of points: there is nothing to sum or loop over",
    "float() would cut": "use np.sin, not math.sin, and so on",
    "can be converted to Python scalars": "use np.sin, not math.sin, and so on",
    "only length-1 arrays": "use np.sin, not math.sin, and so on",
    "for ^": "write u**2 for a square",
}


def arguments(
    function: Callable[..., Any], known: Iterable[str], role: str, coordinates: Iterable[str] | None = None
) -> tuple[str, ...]:
    """The names of `known` that a function asks for; an argument with a default that is not known keeps its default.

    `**x` asks for all `coordinates` that are not asked for by name; where None are said, for all that is known.

    A numpy function of one argument, `np.sin`, asks for x, as numpy calls it.  `role` says in messages what the function is.
    Raises `ProblemError` (code `argument`).
    """
    known = tuple(known)
    if _of_x(function) and "x" in known:
        return ("x",)
    example = "x" if "x" in known else known[0]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as unknown:
        raise ProblemError(f"the argument names of {role} cannot be read", where=locate(function), code="argument",
                           why="values are handed over by name", fix=f"wrap it: lambda {example}: f({example})") from unknown
    asked = []
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            if parameter.kind is parameter.VAR_KEYWORD:
                asked += [name for name in (known if coordinates is None else coordinates) if name not in asked]
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is not parameter.empty:
                continue
            raise ProblemError(f"{role} has an argument {str(parameter)!r} that has no name to hand a value to",
                               where=locate(function), code="argument", fix=f"wrap it: lambda {example}: f({example})",
                               why=f"values are handed over by name, and the names here are {', '.join(known)}")
        if parameter.name in known:
            asked.append(parameter.name)
        elif parameter.default is parameter.empty:
            close = difflib.get_close_matches(parameter.name.lower(), known, 1, 0.3)
            raise ProblemError(f"{role} asks for {parameter.name!r}, which is not there", where=locate(function),
                               code="argument", why=f"the names here are {', '.join(known)}",
                               fix=f"did you mean {close[0]!r}?" if close else "ask for names from that list only")
    return tuple(asked)


def call(
    function: Callable[..., Any], known: Mapping[str, Any], role: str, coordinates: Iterable[str] | None = None
) -> Any:
    """The answer of a function that receives by name what it asks for.

    Raises `ProblemError` (codes `argument`, `user-function`, and those of the engine) with the user's line.
    """
    asked = arguments(function, known, role, coordinates)
    try:
        with np.errstate(all="ignore"):  # what is not finite is found and named afterwards
            if _of_x(function):
                return function(known["x"])
            return function(**{name: known[name] for name in asked})
    except PinnError:
        raise
    except ad.AutodiffError as error:
        fix = next((fix for said, fix in FIXES.items() if error.what.startswith(said)), error.fix)
        where = failure_location(error.__traceback__) or locate(function)
        raise ProblemError(f"{role}: {error.what}", where=where, why=error.why, fix=fix, code=error.code) from error
    except Exception as error:
        raise ProblemError(
            f"{role} raised {type(error).__name__}: {error}", code="user-function",
            where=failure_location(error.__traceback__) or locate(function),
            why="it received " + (", ".join(asked) or "nothing") + ", and runs as you wrote it",
            fix=next((fix for said, fix in FIXES.items() if said in str(error)), "")) from error


def _of_x(function: Any) -> bool:
    return isinstance(function, np.ufunc) and function.nin == function.nout == 1
