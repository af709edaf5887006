"""The kinds of conditions: initial values, the three boundary conditions, and the general residual."""

from __future__ import annotations

import difflib
import math
import numbers
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

import autodiff as ad
from pinn.conditions.term import Column, Prescribed, Term, sample_points
from pinn.errors import GeometryError, NumericsError, ProblemError, locate
from pinn.geometry import Domain, Region
from pinn.jetspace import JetSpace, arguments, call, describe, normal_derivative, trace, user_location

Value = Any  # a number, or a function of what its argument names ask for


class Condition(Protocol):
    """What a problem asks of a condition."""

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        """Its terms.  Raises `ProblemError` or `GeometryError` with the user's line."""


@dataclass(frozen=True, init=False)
class Initial:
    """`Initial(u=f, u_t=g)`: values, and time derivatives, at the first moment."""

    values: tuple[tuple[str, Value], ...]
    where: str = field(compare=False, repr=False)

    def __init__(self, **values: Value):
        _set(self, values=_named(values, "Initial", "Initial(u=lambda x: np.sin(x))"), where=user_location())

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        if domain.time is None:
            raise ProblemError("an initial condition without time", where=self.where, why=f"{domain!r} has no time axis",
                               fix=f"domain = {domain!r} * Time(t=(0, 1))", code="no-time")
        terms = []
        for name, value in self.values:
            unknown, order = self._read(name, space)
            role = f"the initial value of {name}"
            given, data = _value(space, value, role, self.where, numbers_are_data=True)
            residual = space.jet(unknown, (domain.time,) * order) - given
            terms.append(Term(f"Initial({name})", "condition", domain.initial, (residual,), space, data, self.where,
                              prescribed=_prescribed(unknown, (0.0,) * order + (1.0,), value, space)))
        return terms

    def _read(self, name: str, space: JetSpace) -> tuple[str, int]:
        if name in space.unknowns:
            return name, 0
        unknown, _, subscript = name.rpartition("_")
        index = space.read(subscript)
        if unknown in space.unknowns and index and set(index) == {space.time}:
            return unknown, len(index)
        if unknown in space.unknowns:
            raise ProblemError(f"Initial({name}=...) is no time derivative", where=self.where, code="condition",
                               why=f"initial values are {unknown}, {unknown}_{space.time}, ...; "
                                   "derivatives in space follow from them",
                               fix=f"Initial({unknown}=...), or Residual(..., on=domain.initial)")
        raise _unknown_name(name, space, "Initial", self.where)


@dataclass(frozen=True, init=False)
class Dirichlet:
    """`Dirichlet(u=g, on=domain.face(x=0))`: u = g on a region, the whole boundary of space if none is named."""

    values: tuple[tuple[str, Value], ...]
    on: Region | None
    where: str = field(compare=False, repr=False)

    def __init__(self, on: Region | None = None, **values: Value):
        _set(self, values=_named(values, "Dirichlet", "Dirichlet(u=0)"), on=on, where=user_location())

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        return [_boundary_term("Dirichlet", self.where, space, domain, name, self.on, value, lambda u, g: u - g,
                               coefficients=(1.0,))
                for name, value in self.values]


@dataclass(frozen=True, init=False)
class Neumann:
    """`Neumann(u=g, on=...)`: du/dn = g, the outward normal derivative, on faces of space."""

    values: tuple[tuple[str, Value], ...]
    on: Region | None
    where: str = field(compare=False, repr=False)

    def __init__(self, on: Region | None = None, **values: Value):
        _set(self, values=_named(values, "Neumann", "Neumann(u=0)"), on=on, where=user_location())

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        return [_boundary_term("Neumann", self.where, space, domain, name, self.on, value,
                               lambda u, g: normal_derivative(u) - g, coefficients=(0.0, 1.0))
                for name, value in self.values]


@dataclass(frozen=True, init=False)
class Robin:
    """`Robin(u=g, alpha=1, beta=1, on=...)`: alpha u + beta du/dn = g; all three are numbers or functions."""

    values: tuple[tuple[str, Value], ...]
    alpha: Value
    beta: Value
    on: Region | None
    where: str = field(compare=False, repr=False)

    def __init__(self, on: Region | None = None, alpha: Value = 1, beta: Value = 1, **values: Value):
        _set(self, values=_named(values, "Robin", "Robin(u=0, alpha=1, beta=1)"), on=on, alpha=alpha, beta=beta,
             where=user_location())

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        if all(isinstance(c, numbers.Real) and c == 0 for c in (self.alpha, self.beta)):
            raise ProblemError("a Robin condition with alpha = beta = 0", where=self.where, why="it says 0 = g",
                               fix="Robin(u=0, alpha=1, beta=1)", code="condition")
        terms = []
        for name, value in self.values:
            alpha, data_alpha = _value(space, self.alpha, f"alpha of Robin({name})", self.where, "alpha")
            beta, data_beta = _value(space, self.beta, f"beta of Robin({name})", self.where, "beta")

            def residual(u: ad.Array, g: Any, alpha: Any = alpha, beta: Any = beta) -> ad.Array:
                return alpha * u + beta * normal_derivative(u) - g

            constant = isinstance(alpha, float) and isinstance(beta, float)
            terms.append(_boundary_term("Robin", self.where, space, domain, name, self.on, value, residual,
                                        data_alpha + data_beta, (alpha, beta) if constant else None))
        return terms


@dataclass(frozen=True, init=False)
class Residual:
    """`Residual(lambda u, x: u.xx, on=domain.face(x=0), name="free end")`: what the function returns vanishes on a region.

    The interior if no region is named.
    """

    function: Callable[..., Any]
    on: Region | None
    name: str | None
    where: str = field(compare=False, repr=False)

    def __init__(self, function: Callable[..., Any], on: Region | None = None, name: str | None = None):
        where = user_location()
        if not callable(function):
            raise ProblemError(f"Residual needs a function, not a {type(function).__name__}", where=where, code="condition",
                               fix="Residual(lambda u, x: u.xx, on=domain.boundary)")
        if name is not None and not (isinstance(name, str) and name):
            raise ProblemError(f"the name of a Residual is {name!r}", where=where, why="it is shown in tables",
                               fix='Residual(..., name="free end")', code="condition")
        _set(self, function=function, on=on, name=name, where=where)

    def residuals(self, space: JetSpace, domain: Domain) -> list[Term]:
        region = domain.interior if self.on is None else check_region(self.on, domain, "Residual", self.where)
        known = describe(self.function)
        name = self.name or (f"Residual on {region.name}" if known == "(...)" else known)
        traced = trace(space, self.function, role=f"the residual {self.name or known}")
        return [Term(name, "condition", region, traced, space, (), self.where)]


def check_region(on: Any, domain: Domain, word: str, where: str) -> Region:
    """A region that belongs to a domain and holds points.  Raises `ProblemError` (code `region`) or `GeometryError`."""
    if not isinstance(on, Region):
        raise ProblemError(f"on= of {word} must be a region, not {reprlib.repr(on)}", where=where, code="region",
                           fix="on=domain.boundary, on=domain.face(x=0), on=domain.initial")
    if on.coordinates != domain.coordinates:
        raise ProblemError(f"the region {on.name} of {word} belongs to another domain", where=where, code="region",
                           why=f"its coordinates are {on.coordinates}, those of the problem are {domain.coordinates}",
                           fix="take the region from the domain of the problem")
    if on.empty:
        raise GeometryError(f"{word} holds nowhere: the {on.name} has no points", where=where, why=on.reason,
                            fix="leave this condition out", code="empty-region")
    if not domain.contains(sample_points(on, 16, 0)[0]).all():
        raise ProblemError(f"the region {on.name} of {word} reaches out of the domain", where=where, code="region",
                           why=f"the domain is {domain!r}", fix="take the region from the domain of the problem")
    return on


def _boundary_term(
    word: str, where: str, space: JetSpace, domain: Domain, unknown: str, on: Region | None, value: Value,
    residual: Callable[[ad.Array, Any], ad.Array], data: tuple[Column, ...] = (),
    coefficients: tuple[float, ...] | None = None,
) -> Term:  # fmt: skip
    if unknown not in space.unknowns:
        raise _unknown_name(unknown, space, word, where)
    region = check_region(domain.boundary if on is None else on, domain, word, where)
    given, column = _value(space, value, f"the value of {word}({unknown})", where, numbers_are_data=True)
    name = f"{word}({unknown})" + ("" if on is None else f" on {region.name}")
    said = None if coefficients is None else _prescribed(unknown, coefficients, value, space)
    return Term(name, "condition", region, (residual(space.jet(unknown), given),), space, data + column, where, prescribed=said)


def _prescribed(unknown: str, coefficients: tuple[float, ...], value: Value, space: JetSpace) -> Prescribed | None:
    """What is prescribed, if the value depends on the coordinates alone."""
    if callable(value) and not set(arguments(value, space.names(), "", space.coordinates)) <= set(space.coordinates):
        return None
    return Prescribed(unknown, coefficients, value)


def _value(
    space: JetSpace, value: Value, role: str, where: str, name: str = "g", numbers_are_data: bool = False,
) -> tuple[Any, tuple[Column, ...]]:  # fmt: skip
    """What stands for a given value in a residual, and the column of data behind it, if there is one.

    With `numbers_are_data` zero is a column, too: the kernels of u = 0 and u = g are then the same text, compiled once.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        if not math.isfinite(value):
            raise NumericsError(f"{role} is {float(value)}", where=where, fix="give a finite number")
        if numbers_are_data:
            return space.data(name), (Column(name, partial(float, value), space.coordinates, role),)
        return float(value), ()
    if not callable(value):
        shape = f" of shape {np.shape(value)}" if isinstance(value, (np.ndarray, list, tuple)) else ""
        raise ProblemError(f"{role} is a {type(value).__name__}{shape}", where=where, code="shape",
                           why="points are drawn later, so it must be known everywhere: a number, or a function of coordinates",
                           fix=f"lambda {space.coordinates[0]}: ...")
    asked = arguments(value, space.names(), role, space.coordinates)
    if set(asked) <= set(space.coordinates):
        # Evaluated once for each cloud in plain numpy: any function will do, and kernels do not depend on it.
        column = Column(name, value, space.coordinates, role)
        return space.data(name), (column,)
    answer = call(value, space.names(), role, space.coordinates)
    if isinstance(answer, numbers.Real) or (isinstance(answer, ad.Array) and answer.ndim == 0):
        return answer, ()
    shape = f" of shape {np.shape(answer)}" if isinstance(answer, (ad.Array, np.ndarray)) else ""
    raise ProblemError(f"{role} returns a {type(answer).__name__}{shape}", where=locate(value) or where, code="shape",
                       why="it must be one number at each point")


def _named(values: dict[str, Value], word: str, fix: str) -> tuple[tuple[str, Value], ...]:
    if not values:
        raise ProblemError(f"{word}() names no unknown", where=user_location(), why="it must say what is known of which field",
                           fix=fix, code="condition")
    return tuple(values.items())


def _unknown_name(name: str, space: JetSpace, word: str, where: str) -> ProblemError:
    close = difflib.get_close_matches(name, space.unknowns, 1, 0.3) or space.unknowns[:1]
    return ProblemError(f"{word} speaks of {name!r}, which is no unknown", where=where, code="condition",
                        why=f"the unknowns are {', '.join(space.unknowns)}", fix=f"did you mean {word}({close[0]}=...)?")


def _set(condition: Any, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(condition, name, value)
