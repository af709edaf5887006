"""Tracing equations: a function of the user's becomes expressions on jet space, or a sentence about why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import ProblemError, locate
from pinn.jetspace.calling import call
from pinn.jetspace.space import JetSpace, demands, title

Residuals = tuple[ad.Array, ...]


def trace(space: JetSpace, function: Callable[..., Any], extra: Mapping[str, ad.Array] | None = None,
          role: str = "") -> Residuals:
    """What must vanish at each point, as scalar expressions: one for each value the function returns.

    The function receives by name unknowns, coordinates, normals and what is in `extra`.  Raises `ProblemError`
    (codes `argument`, `user-function`, `return`, `shape`, `reduction`, `no-unknown`, `derivative`).
    """
    role = role or f"the equation {describe(function)}"
    answer = call(function, space.names() | dict(extra or {}), role, space.coordinates)
    several = isinstance(answer, (tuple, list))
    values = list(answer) if several else [answer]
    if not values:
        raise _refuse(function, f"{role} returns an empty {type(answer).__name__}", "there is nothing that could vanish")
    return tuple(_check(space, function, f"{role}, value {i + 1}," if several and len(values) > 1 else role, value)
                 for i, value in enumerate(values))


def describe(function: Callable[..., Any]) -> str:
    """The name of a function, or `(...)` for a lambda."""
    inner = getattr(function, "func", function)
    name = getattr(inner, "__name__", type(inner).__name__)
    return "(...)" if name == "<lambda>" else name


def _check(space: JetSpace, function: Callable[..., Any], role: str, value: Any) -> ad.Array:
    u = space.unknowns[0]
    derivative = f"{u}.{space.coordinates[-1]}"
    if value is None:
        raise _refuse(function, f"{role} returns nothing", "the value that must vanish has to be returned",
                      f"return {derivative} - ...")
    if isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) == np.bool_:
        raise _refuse(function, f"{role} returns a comparison, not a number", "an equation is what must be zero",
                      "return left - right instead of left == right")
    if isinstance(value, (int, float, np.integer, np.floating)):
        raise _refuse(function, f"{role} returns the number {value}, which never uses an unknown",
                      f"the unknowns are {', '.join(space.unknowns)}", f"return {derivative} - ...", "no-unknown")
    if isinstance(value, np.ndarray):
        raise _refuse(function, f"{role} returns a plain array of shape {value.shape}, which never uses an unknown",
                      f"the unknowns are {', '.join(space.unknowns)}", f"return {derivative} - ...", "no-unknown")
    if not isinstance(value, ad.Array):
        raise _refuse(function, f"{role} returns a {type(value).__name__}", "an equation is a number that must be zero, "
                      "or a tuple of such numbers", f"return {derivative} - ...")
    if value.ndim:
        raise _refuse(function, f"{role} returns an array of shape {value.shape} for one point",
                      "each value that must vanish is one number at each point", "return a tuple: return r[0], r[1]", "shape")
    if not demands([value]):
        raise _refuse(function, f"{role} never uses an unknown",
                      f"the unknowns are {', '.join(space.unknowns)}; nothing in {title(value)} can be trained",
                      f"return {derivative} - ...", "no-unknown")
    if value.node.lane is ad.SHARED:
        raise _refuse(function, f"{role} reduces over points", "its value is the same for all points, and an equation holds "
                      "at each of them", "leave np.mean or np.sum out", "reduction")
    return value


def _refuse(function: Callable[..., Any], what: str, why: str, fix: str = "", code: str = "return") -> ProblemError:
    return ProblemError(what, where=locate(function), why=why, fix=fix, code=code)
