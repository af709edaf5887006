"""The statement of a problem: unknowns, domain, equations, conditions, and the exact solution if there is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pinn.conditions import Condition, Term, sample_points
from pinn.errors import ProblemError, locate
from pinn.geometry import Domain
from pinn.jetspace import JetSpace, describe, trace, user_location
from pinn.problem.checks import (
    check_initial_conditions,
    check_repeated,
    check_unknowns_are_used,
    check_weights,
    closed_points,
    notes,
    number_repeated,
    read_unknowns,
    try_terms,
)
from pinn.problem.exact import Exact
from pinn.problem.proof import Proof, substitute_exact

_NAME = re.compile(r"[^./\\\0][^/\\\0]*")
_DOMAIN = ("coordinates", "spatial", "bounds", "interior", "boundary", "contains")


@dataclass(frozen=True, eq=False)
class Problem:
    """Equations for `unknowns` on a `domain`, with conditions; frozen, and checked when it is made.

    `equations` and `Residual` functions return what must vanish; `exact` returns one array, or a dict by unknown;
    `weights` gives loss weights to terms by name; `parameters` are remembered for the record.
    Equations are traced at once, so what they demand is known: `terms`, equations first.  Bounds of `moving` axes are data.
    Raises `ProblemError`, `GeometryError` or `NumericsError`, with the user's line.
    """

    unknowns: str | tuple[str, ...]
    domain: Domain
    equations: Sequence[Callable[..., Any]]
    conditions: Sequence[Condition] = ()
    exact: Callable[..., Any] | None = None
    name: str | None = None
    weights: Mapping[str, float] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    space: JetSpace = field(init=False, repr=False)
    terms: tuple[Term, ...] = field(init=False, repr=False)
    moving: tuple[str, ...] = field(init=False, repr=False)
    notes: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = user_location()
        if self.name is not None and not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise ProblemError(f"name is {self.name!r}", where=where, why="results are kept in a folder of that name",
                               fix='name="heat", without slashes', code="name")
        if not all(hasattr(type(self.domain), name) for name in _DOMAIN):
            raise ProblemError(f"domain is a {type(self.domain).__name__}, not a domain", where=where, code="domain",
                               fix="domain=Box(x=(0, 1)) * Time(t=(0, 1))")
        unknowns = read_unknowns(self.unknowns, self.domain)
        space = JetSpace.over(self.domain, unknowns)
        functions = _listed(self.equations, callable, "equations", "a function", "equations=[heat]", where)
        given = _listed(self.conditions, _is_condition, "conditions", "a condition", "conditions=[Dirichlet(u=0)]", where)
        if not functions:
            raise ProblemError("a problem without equations", where=where, why="nothing would be solved", code="equations",
                               fix="equations=[heat], where heat(u, x, t) returns what must vanish")
        equations = [self._equation(space, self.domain, function) for function in functions]
        conditions = [term for condition in given for term in condition.residuals(space, self.domain)]
        check_unknowns_are_used(equations, space)
        check_repeated(conditions)
        check_initial_conditions(equations, conditions, space, where)
        names = number_repeated([*equations, *conditions])
        weights = check_weights(self.weights or {}, names)
        terms = tuple(replace(term, name=name, weight=weights.get(name, 1.0), where=term.where or where)
                      for term, name in zip([*equations, *conditions], names, strict=True))
        try_terms(terms)
        exact = None
        if self.exact is not None:
            exact = Exact(self.exact.function if isinstance(self.exact, Exact) else self.exact, space)
            # inside and on the sides, where closed forms break down first
            exact.check(sample_points(self.domain.interior, 64, 1)[0])
            exact.check(closed_points(self.domain))
        for key, value in {"unknowns": unknowns, "equations": tuple(functions), "conditions": tuple(given), "exact": exact,
                           "weights": weights, "parameters": dict(self.parameters), "space": space, "terms": terms,
                           "moving": (), "notes": notes(equations, conditions, space, self.domain)}.items():
            object.__setattr__(self, key, value)

    @staticmethod
    def outline(unknowns: tuple[str, ...], domain: Domain, name: str, parameters: Mapping[str, Any]) -> Problem:
        """What is left of a problem whose statement is lost: enough to evaluate its fields, nothing that could be solved."""
        outline = object.__new__(Problem)
        known = {"unknowns": unknowns, "domain": domain, "name": name, "parameters": dict(parameters), "equations": (),
                 "conditions": (), "exact": None, "weights": {}, "space": JetSpace.over(domain, unknowns), "terms": (),
                 "moving": (),
                 "notes": ("only the fields of this problem are known",)}
        for key, value in known.items():
            object.__setattr__(outline, key, value)
        return outline

    def on(self, domain: Domain, terms: tuple[Term, ...], moving: tuple[str, ...]) -> Problem:
        """The same statement on a part of its domain; `moving` are axes that differ from part to part.

        The bounds of these are data, so that one kernel serves all parts.
        """
        part = object.__new__(Problem)
        for key, value in (vars(self) | {"domain": domain, "terms": terms, "moving": moving}).items():
            object.__setattr__(part, key, value)
        return part

    def exact_fields(self, points: np.ndarray) -> dict[str, np.ndarray] | None:
        """The exact solution `(n,)` by unknown at points `(n, dim)`, None where there is none."""
        return self.exact.fields(points) if isinstance(self.exact, Exact) else None

    def prove(self, n: int = 200, seed: int = 0) -> list[Proof]:
        """The exact solution put into every residual at n points of each term, with no training: one row a residual.

        Raises `ProblemError` (code `exact`) where there is no exact solution.
        """
        if not isinstance(self.exact, Exact):
            raise ProblemError("there is no exact solution to substitute", code="exact",
                               fix="Problem(..., exact=lambda x, t: ...)")
        return substitute_exact(self.exact, self.terms, self.domain, n, seed)

    @staticmethod
    def _equation(space: JetSpace, domain: Domain, function: Callable[..., Any]) -> Term:
        known = describe(function)
        name = "equation" if known == "(...)" else known
        residuals = trace(space, function, role=f"the equation {known}")
        return Term(name, "equation", domain.interior, residuals, space, (), locate(function))


def _is_condition(thing: Any) -> bool:
    return callable(getattr(thing, "residuals", None)) and not isinstance(thing, type)


def _listed(given: Any, accepts: Callable[[Any], bool], word: str, what: str, fix: str, where: str) -> list[Any]:
    things = list(given) if isinstance(given, (list, tuple)) else [given]
    for thing in things:
        if not accepts(thing):
            named = thing.__name__ if isinstance(thing, type) else f"a {type(thing).__name__}"
            raise ProblemError(f"{word} holds {named}, which is not {what}", where=where, fix=fix, code=word)
    return things
