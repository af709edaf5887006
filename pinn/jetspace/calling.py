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


def arguments(function: Callable[..., Any], known: Iterable[str], role: str) -> tuple[str, ...]:
    """The names of `known` that a function asks for; an argument with a default that is not known keeps its default.

    `role` says in messages what the function is.  Raises `ProblemError` (code `argument`).
    """
    known = tuple(known)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as unknown:
        raise ProblemError(f"the argument names of {role} cannot be read", where=locate(function), code="argument",
                           why="values are handed over by name", fix=f"wrap it: lambda {known[0]}: f({known[0]})") from unknown
    asked = []
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is not parameter.empty:
                continue
            raise ProblemError(f"{role} has an argument {str(parameter)!r} that has no name to hand a value to",
                               where=locate(function), code="argument", fix=f"lambda {known[0]}: f({known[0]})",
                               why=f"values are handed over by name, and the names here are {', '.join(known)}")
        if parameter.name in known:
            asked.append(parameter.name)
        elif parameter.default is parameter.empty:
            close = difflib.get_close_matches(parameter.name.lower(), known, 1, 0.3)
            raise ProblemError(f"{role} asks for {parameter.name!r}, which is not there", where=locate(function),
                               code="argument", why=f"the names here are {', '.join(known)}",
                               fix=f"did you mean {close[0]!r}?" if close else f"use {known[0]!r}")
    return tuple(asked)


def call(function: Callable[..., Any], known: Mapping[str, Any], role: str) -> Any:
    """The answer of a function that receives by name what it asks for.

    Raises `ProblemError` (codes `argument`, `user-function`, and those of the engine) with the user's line.
    """
    asked = arguments(function, known, role)
    try:
        with np.errstate(all="ignore"):  # what is not finite is found and named afterwards
            return function(**{name: known[name] for name in asked})
    except PinnError:
        raise
    except ad.AutodiffError as error:
        fix = "use np.sin, not math.sin, and so on" if error.what.startswith("float()") else error.fix
        where = failure_location(error.__traceback__) or locate(function)
        raise ProblemError(f"{role}: {error.what}", where=where, why=error.why, fix=fix, code=error.code) from error
    except Exception as error:
        ambiguous = isinstance(error, ValueError) and "truth value" in str(error)
        raise ProblemError(
            f"{role} raised {type(error).__name__}: {error}", code="user-function",
            where=failure_location(error.__traceback__) or locate(function),
            why="it received " + (", ".join(asked) or "nothing") + ", and runs as you wrote it",
            fix="use np.where, or & and | between conditions" if ambiguous else "") from error
