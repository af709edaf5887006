"""Proof by substitution: the exact solution put into its own residuals, with no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import autodiff as ad
from pinn.conditions import Term, sample_points
from pinn.errors import ProblemError
from pinn.geometry import Domain
from pinn.jetspace import Index, JetSpace
from pinn.problem.differences import differentiate
from pinn.problem.exact import Exact
from pinn.problem.reference import Reference

ROUNDING = 1e-8  # of the size of the terms of a residual: what closed forms leave, fourth derivatives included
WORST = 1e-3     # differences that know less than this cannot prove anything

Jets = dict[tuple[str, Index], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Proof:
    """One residual with the exact solution in it: `rms` and `max` over the points, beside the size of its terms.

    `scale` is sum_a |dr/du_a| max|u_a|, rms over the points; `tolerance` what rounding, or differences where the exact
    solution cannot be traced (`method`), may leave of it.  `holds` is None where the exact solution lacks a field.
    """

    term: str
    rms: float
    max: float
    scale: float
    tolerance: float
    method: str
    holds: bool | None


def substitute_exact(exact: Exact, terms: Sequence[Term], domain: Domain, n: int, seed: int) -> list[Proof]:
    """One row for each residual of each term; derivatives by forward mode where the exact solution can be traced."""
    graphs = _trace(exact)
    inside = sample_points(domain.interior, n, seed)[0]
    table = []
    for term in terms:
        points, normals = sample_points(term.region, n, seed)
        wanted = [(unknown, index) for unknown, indices in term.demands.items() for index in indices]
        names = [f"{term.name}, {i + 1}" if len(term.residuals) > 1 else term.name for i in range(len(term.residuals))]
        method = "differences" if graphs is None else "derivatives"
        known = exact.answer({name: points[:, i] for i, name in enumerate(domain.coordinates)})
        if isinstance(exact.function, Reference) or not set(term.demands) <= set(known):
            why = "no exact value"
            if isinstance(exact.function, Reference):
                why = f"a numerical reference, known to {exact.function.error:.1e}"
            table += [Proof(name, np.nan, np.nan, np.nan, np.nan, why, None) for name in names]
            continue
        both = np.concatenate([points, inside])
        jets = _differenced(exact, domain, both, wanted) if graphs is None else _derived(graphs, exact.space, both, wanted)
        with np.errstate(all="ignore"):  # what is not finite does not hold
            table += _rows(term, names, method, points, normals, jets)
    return table


def _rows(term: Term, names: Sequence[str], method: str, points: np.ndarray, normals: np.ndarray | None,
          jets: Jets) -> list[Proof]:
    n, space = len(points), term.space
    symbols = dict(zip((column.node for column in term.columns), term.table(points, normals).T, strict=True))
    symbols |= {space.jet(*key).node: value[:n] for key, (value, _) in jets.items()}
    rows = []
    for name, residual in zip(names, term.residuals, strict=True):
        value = ad.evaluate([residual.node], symbols, points=n)[0]
        size, doubt = np.zeros(n), np.zeros(n)
        for key, (jet, error) in jets.items():
            partial = ad.forward([residual.node], {space.jet(*key).node: ad.lift(1.0)})[0]
            if partial is not None:
                slope = np.abs(ad.evaluate([partial], symbols, points=n)[0])
                size = size + slope * np.max(np.abs(jet))
                doubt = doubt + slope * error[:n]
        scale = float(np.sqrt(np.mean(size**2))) or 1.0
        tolerance = ROUNDING * scale + float(np.max(doubt))
        largest = float(np.max(np.abs(value)))
        holds = bool(largest <= tolerance and tolerance <= WORST * scale)
        rows.append(Proof(name, float(np.sqrt(np.mean(value**2))), largest, scale, tolerance, method, holds))
    return rows


def _trace(exact: Exact) -> dict[str, ad.Node] | None:
    """The exact solution as graphs of the coordinates; None where it uses what cannot be traced."""
    space = exact.space
    try:
        answer = exact.answer({name: space.coordinate(name) for name in space.coordinates})
        graphs = {unknown: ad.lift(value) for unknown, value in answer.items()}
    except (ProblemError, ad.AutodiffError):
        return None
    return None if any(graph.shape for graph in graphs.values()) else graphs


def _derived(graphs: Mapping[str, ad.Node], space: JetSpace, points: np.ndarray, wanted: Sequence[tuple[str, Index]]) -> Jets:
    nodes = [space.derivative(ad.Array(graphs[unknown]), index).node for unknown, index in wanted]
    symbols = {space.coordinate(name).node: points[:, i] for i, name in enumerate(space.coordinates)}
    values = ad.evaluate(nodes, symbols, points=len(points))
    return {key: (np.broadcast_to(np.asarray(value, float), (len(points),)), np.zeros(len(points)))
            for key, value in zip(wanted, values, strict=True)}


def _differenced(exact: Exact, domain: Domain, points: np.ndarray, wanted: Sequence[tuple[str, Index]]) -> Jets:
    bounds = list(domain.bounds.values())
    jets = {}
    for unknown, index in wanted:
        orders = [index.count(name) for name in domain.coordinates]

        def field(x: np.ndarray, unknown: str = unknown) -> np.ndarray:
            return exact.fields(x)[unknown]

        jets[unknown, index] = differentiate(field, points, orders, bounds)
    return jets
