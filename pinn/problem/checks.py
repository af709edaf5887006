"""What makes a problem unsolvable is refused with a sentence; what only looks odd becomes a note."""

from __future__ import annotations

import keyword
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import autodiff as ad
from pinn.conditions import Term, check_finite, sample_points
from pinn.errors import ProblemError
from pinn.geometry import Domain
from pinn.jetspace import JetSpace, leaf_key

CORNERS = 1024  # as many a grid may have that only tries a function
_TRIED = 64  # sample points on which functions of the user's are tried


def read_unknowns(given: Any, domain: Domain) -> tuple[str, ...]:
    """The names of the fields.  Raises `ProblemError` (code `unknowns`)."""
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise _unknowns(f"unknowns must be a name or several, not {given!r}", "they are what is sought", 'unknowns="u"')
    normals = [f"n{axis}" for axis in domain.spatial]
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            parts = [part for part in name.replace(",", " ").split() if part.isidentifier()]
            fix = f"unknowns=({', '.join(map(repr, parts))})" if len(parts) > 1 else 'unknowns="u"'
            raise _unknowns(f"{name!r} cannot name an unknown", "it becomes an argument of equations", fix)
        if name in domain.coordinates:
            raise _unknowns(f"the unknown {name!r} is also a coordinate", "equations could not tell them apart",
                            f"rename one of them; the coordinates are {', '.join(domain.coordinates)}")
        if name in normals:
            raise _unknowns(f"the unknown {name!r} is also a component of the normal", f"normals are {', '.join(normals)}",
                            f"rename it: {name}_")
        if name == "on":
            raise _unknowns("'on' cannot name an unknown", "conditions say where they hold by on=...", 'unknowns="u"')
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise _unknowns(f"the unknown {twice[0]!r} appears twice", "each field needs a name of its own",
                        f"unknowns={tuple(dict.fromkeys(names))}")
    return tuple(names)


def check_unknowns_are_used(equations: Sequence[Term], space: JetSpace) -> None:
    """Raises `ProblemError` (code `unused-unknown`) if no equation speaks of an unknown."""
    for unknown in space.unknowns:
        if not any(unknown in term.demands for term in equations):
            names = ", ".join(term.name for term in equations)
            raise ProblemError(f"no equation uses the unknown {unknown!r}", where=equations[0].where, code="unused-unknown",
                               why=f"nothing would determine it; the equations are {names}",
                               fix=f"use {unknown} in an equation, or leave it out of unknowns")


def check_initial_conditions(equations: Sequence[Term], conditions: Sequence[Term], space: JetSpace, where: str) -> None:
    """Raises `ProblemError` (code `missing-initial`): an equation of order m in time needs m conditions at a moment."""
    if space.time is None:
        return
    for unknown in space.unknowns:
        order, source = max(((index.count(space.time), term.name) for term in equations
                             for index in term.demands.get(unknown, ())), default=(0, ""), key=lambda found: found[0])
        held = sum(len(term.residuals) for term in conditions if unknown in term.demands and _is_moment(term, space))
        if held >= order:
            continue
        names = [unknown] + [f"{unknown}_{space.time * k}" for k in range(1, order)]
        stated = {term.name for term in conditions}
        missing = [name for name in names if f"Initial({name})" not in stated] or names[-1:]
        arguments = ", ".join(space.spatial) or ""
        given = ", ".join(f"{name}=lambda {arguments}: ..." if arguments else f"{name}=..." for name in missing)
        raise ProblemError(
            f"an initial condition on {' and '.join(missing)} is missing", where=where, code="missing-initial",
            why=f"{source} uses {unknown}.{space.time * order}, so {order} value{'s' * (order > 1)} of {unknown} must be known "
                f"at a moment, and {held or 'none'} {'is' if held < 2 else 'are'}",
            fix=f"conditions=[Initial({given}), ...]")


def closed_points(domain: Domain) -> np.ndarray:
    """Points `(n, dim)` of the closed domain to try functions on: a grid, corners and all, or in many dimensions samples."""
    if 2 ** len(domain.coordinates) <= CORNERS:
        points = domain.grid(256)[0]
        return points[domain.contains(points)]
    edge = () if domain.boundary.empty else (sample_points(domain.boundary, CORNERS // 2, 0)[0],)
    return np.concatenate([sample_points(domain.interior, CORNERS // 2, 0)[0], *edge])


def check_repeated(conditions: Sequence[Term]) -> None:
    """Raises `ProblemError` (code `repeated-condition`) for the same kind of condition twice on one region."""
    seen: dict[str, Term] = {}
    for term in conditions:
        before = seen.setdefault(term.name, term)
        if before is not term and term.name.startswith(("Initial(", "Dirichlet(", "Neumann(")) and before.region == term.region:
            raise ProblemError(f"{term.name} is given twice", where=term.where or before.where, code="repeated-condition",
                               why=f"both hold on the {term.region.name}", fix="leave one of them out, or narrow it with on=")


def number_repeated(terms: Iterable[Term]) -> list[str]:
    """Names of terms that are different: the second `wall` becomes `wall (2)`."""
    counts: dict[str, int] = {}
    names = []
    for term in terms:
        counts[term.name] = counts.get(term.name, 0) + 1
        names.append(term.name if counts[term.name] == 1 else f"{term.name} ({counts[term.name]})")
    return names


def check_weights(weights: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Loss weights by term.  Raises `ProblemError` (code `weights`)."""
    if not isinstance(weights, Mapping):
        raise ProblemError(f"weights is a {type(weights).__name__}", why="it gives a weight to terms by name", code="weights",
                           fix=f'weights={{"{names[0]}": 10}}')
    for name, value in weights.items():
        if name not in names:
            raise ProblemError(f"weights speaks of {name!r}, which is no term", why=f"the terms are {', '.join(names)}",
                               fix=f'weights={{"{names[0]}": 10}}', code="weights")
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < float("inf"):
            raise ProblemError(f"the weight of {name} is {value!r}", why="a weight is a positive number", code="weights",
                               fix=f'weights={{"{name}": 10}}')
    return {name: float(value) for name, value in weights.items()}


def try_terms(terms: Sequence[Term]) -> None:
    """Evaluate every function of the user's at sample points of its region.

    Raises `NumericsError` with the term and the point where a value is not finite, `ProblemError` for wrong shapes.
    """
    for term in terms:
        points, normals = sample_points(term.region, _TRIED, 1)
        table = term.table(points, normals)
        _try_coefficients(term, points, table)


def _try_coefficients(term: Term, points: np.ndarray, table: np.ndarray) -> None:
    """Parts of a residual that depend on no unknown must be finite wherever they count."""
    nodes = ad.walk([residual.node for residual in term.residuals])
    jets = [node for node in nodes if (leaf_key(node) or ("",))[0] == "jet"]
    moving = {node.serial for node in jets}
    for node in nodes:
        if any(a.serial in moving for a in node.args):
            moving.add(node.serial)
    fixed = {a.serial: a for node in nodes if node.serial in moving for a in node.args if a.serial not in moving}
    if not fixed:
        return
    known = dict(zip((column.node for column in term.columns), table.T, strict=True))
    # A selection may never use a value that is not finite, so the residual must suffer too, whatever the fields are.
    rng = np.random.default_rng(2)
    trials = [{node: rng.uniform(0.5, 1.5, len(points)) for node in jets} for _ in range(2)]
    roots = [residual.node for residual in term.residuals]
    values = [np.array(ad.evaluate(roots, known | trial, points=len(points)), float) for trial in trials]
    spoilt = ~np.isfinite(values).all(axis=1)
    for value, node in zip(ad.evaluate(fixed.values(), known, points=len(points)), fixed.values(), strict=True):
        per_point = np.asarray(value, float)
        flat = per_point.reshape(len(points), -1) if node.lane is ad.POINT else np.tile(per_point.ravel(), (len(points), 1))
        bad = ~np.isfinite(flat).all(axis=1) & spoilt.all(axis=0)
        if bad.any():
            culprit = np.where(bad, flat[np.arange(len(points)), np.argmax(~np.isfinite(flat), axis=1)], 0.0)
            check_finite(culprit, points, term.space.coordinates, f"a coefficient of {term.name} is", term.where)


def notes(equations: Sequence[Term], conditions: Sequence[Term], space: JetSpace, domain: Domain) -> tuple[str, ...]:
    """Sentences about what is allowed and often a mistake."""
    found = []
    count = sum(len(term.residuals) for term in equations)
    if count != len(space.unknowns):
        more = "more" if count > len(space.unknowns) else "fewer"
        found.append(f"{_many(count, 'equation')} for {_many(len(space.unknowns), 'unknown')}: {more} than usual")
    for unknown in space.unknowns:
        held = [term for term in conditions if unknown in term.demands]
        bounded = [axis for axis in space.spatial if axis not in domain.periodic]
        orders = {axis: max((index.count(axis) for term in equations for index in term.demands.get(unknown, ())), default=0)
                  for axis in bounded}
        sides = {(side.axis, side.value) for term in held for side in term.region.faces}
        if any(orders.values()) and not any(axis in bounded for axis, _ in sides):
            found.append(f"no condition holds {unknown} on the boundary")
            continue
        for axis in bounded:
            missing = [value for value in domain.bounds[axis] if (axis, value) not in sides]
            found.extend(f"no condition holds {unknown} at {axis} = {value:g}" for value in missing if orders[axis] >= 2)
    return tuple(found)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _is_moment(term: Term, space: JetSpace) -> bool:
    return any(side.axis == space.time for side in term.region.faces)


def _unknowns(what: str, why: str, fix: str) -> ProblemError:
    return ProblemError(what, why=why, fix=fix, code="unknowns")
