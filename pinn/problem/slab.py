"""A problem on a part of its time: the same equations and sides, and what came before as its first moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.conditions import Column, Prescribed, Term
from pinn.errors import ProblemError
from pinn.geometry import Domain, Piece, Region, SpaceTime, Time
from pinn.geometry.chart import Product
from pinn.problem.statement import Problem

Before = Callable[[str, int], ad.Array]  # (unknown, order) -> its time derivative of that order, of the coordinates


def slab(problem: Problem, begin: float, end: float, before: Before | None) -> Problem:
    """The problem for begin <= t <= end; `before` gives the fields at `begin`, None where that is the first moment.

    Raises ProblemError (code `march`) for a problem without time, and for what is said of the first moment in another way than
    by Initial: it could not be said of a later one.
    """
    time = problem.domain.time
    if time is None:
        raise ProblemError(f"{problem.name or 'the problem'} has no time to march through", code="march",
                           why=f"its domain is {problem.domain!r}", fix="leave march= out of the recipe")
    low, high = problem.domain.bounds[time]
    clock = Time(**{time: (begin, end)})
    domain: Domain = SpaceTime(problem.domain.space, clock) if isinstance(problem.domain, SpaceTime) else clock
    terms = []
    for term in problem.terms:
        first = any(side == (time, low, -1) for side in term.region.faces)
        if before is not None and first:
            terms.append(continued(term, domain, before))
            continue
        pieces = tuple(one for piece in term.region.pieces if (one := cut(piece, clock, (low, high))) is not None)
        if pieces:
            terms.append(replace(term, region=replace(term.region, pieces=pieces)))
    return problem.on(domain, tuple(terms), (time,))


def continued(term: Term, domain: Domain, before: Before) -> Term:
    """A term of the first moment as one of a later one: the same derivative is what it was at the end of the time before."""
    said, space = term.prescribed, term.space
    if said is None or any(said.coefficients[:-1]):
        raise ProblemError(f"{term.name} cannot be said of a later moment", where=term.where, code="march",
                           why="a march continues the values and time derivatives that Initial gives",
                           fix="Initial(u=..., u_t=...), or leave march= out of the recipe")
    order = len(said.coefficients) - 1
    value = before(said.unknown, order)
    leaves = [space.coordinate(name).node for name in space.coordinates]

    def numbers(**at: Any) -> np.ndarray:
        symbols = {leaf: np.asarray(at[name]) for leaf, name in zip(leaves, space.coordinates, strict=True)}
        return ad.evaluate([value.node], symbols, points=len(at[space.coordinates[0]]))[0]

    data = Column("g", numbers, space.coordinates, f"{said.unknown} at the end of the time before")
    assert space.time is not None
    residual = space.jet(said.unknown, (space.time,) * order) - space.data("g")
    region = Region(term.region.name, space.coordinates, domain.initial.pieces)  # type: ignore[attr-defined]
    return replace(term, region=region, residuals=(residual,), data=(data,), prescribed=Prescribed(
        said.unknown, said.coefficients, value))


def cut(piece: Piece, clock: Time, whole: tuple[float, float]) -> Piece | None:
    """What is left of a piece in a part of its time; None for a last moment that is not reached."""
    (low, high), (begin, end) = whole, clock.interval
    if piece.side is not None and piece.side.axis == clock.name:
        return piece if piece.side.value in (begin, end) else None
    now = clock.interior.pieces[0]
    chart = Product(piece.chart.space, now.chart) if isinstance(piece.chart, Product) else now.chart
    share = (end - begin) / (high - low)
    return replace(piece, chart=chart, measure=piece.measure * share, measure_error=piece.measure_error * share)


def edges(problem: Problem, march: int | tuple[float, ...]) -> list[float]:
    """The moments between which slabs lie: equal ones for a number, else the given ones with both ends.

    Raises ProblemError (code `march`) for moments outside the time of the problem.
    """
    if problem.domain.time is None:
        slab(problem, 0.0, 1.0, None)
    low, high = problem.domain.bounds[problem.domain.time or ""]
    if isinstance(march, int):
        return [low + (high - low) * k / march for k in range(march)] + [high]
    inner = [t for t in march if t not in (low, high)]
    if not all(low < t < high for t in inner):
        raise ProblemError(f"march={march} leaves the time of the problem", code="march",
                           why=f"its time is from {low:g} to {high:g}", fix="march=4, or moments in between")
    return [low, *inner, high]


__all__ = ["Before", "edges", "slab"]
