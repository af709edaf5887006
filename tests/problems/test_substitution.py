"""Substitution away from the defaults: other parameters hold, and a problem file that is slightly wrong is found out."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace

import numpy as np
import pytest

from pinn import Box, Dirichlet, Initial, Problem, Time
from pinn.problem import Proof

OTHERS = [
    ("elliptic.biharmonic", {"q0": 3.0, "D": 0.2}), ("elliptic.helmholtz_2d", {"k": 3.0, "a1": 2, "a2": 3}),
    ("elliptic.poisson_1d", {"k": 5}), ("elliptic.poisson_2d", {"k": 3}), ("elliptic.robin", {"h": 0.5}),
    ("hyperbolic.convection", {"beta": 50.0}), ("hyperbolic.wave_1d", {"c": 1.0}), ("nonlinear.burgers", {"nu": 0.1}),
    ("nonlinear.klein_gordon", {"omega": 2.0}), ("parabolic.heat_1d", {"kappa": 0.4}), ("systems.kovasznay", {"Re": 20.0}),
]  # fmt: skip


def stated(module: str, **parameters: float) -> Problem:
    return importlib.import_module(f"problems.{module}").problem(**parameters)


def failed(rows: list[Proof]) -> set[str]:
    return {row.term for row in rows if not row.holds}


@pytest.mark.parametrize(("module", "parameters"), OTHERS, ids=[module for module, _ in OTHERS])
def test_other_parameters_hold(module, parameters):
    rows = stated(module, **parameters).prove(n=100, seed=3)
    assert not failed(rows)
    assert max(row.max / row.scale for row in rows) < 1e-10  # far below what is tolerated


@pytest.mark.parametrize("module", [module for module, _ in OTHERS])
def test_a_small_error_is_found(module):
    """Every equation notices a smooth addition of a hundred-thousandth to every unknown."""
    problem = stated(module)
    exact = problem.exact

    def wrong(**coordinates):
        bump = 1e-5
        for i, value in enumerate(coordinates.values()):
            bump = bump * np.sin((2 + i) * value + 1)
        return {unknown: value + bump for unknown, value in exact.answer(coordinates).items()}

    wrong.__signature__ = inspect.signature(exact.function)
    rows = replace(problem, exact=wrong).prove(n=50)
    equations = {term.name for term in problem.terms if term.kind == "equation"}
    assert equations <= {name.split(",")[0] for name in failed(rows)}


def heat(kappa=0.1, sign=1.0, start=1.0, wall=0.0):
    return Problem(
        unknowns="u", domain=Box(x=(0, 1)) * Time(t=(0, 1)), equations=[lambda u: u.t - sign * 0.1 * u.xx],
        conditions=[Initial(u=lambda x: start * np.sin(np.pi * x)), Dirichlet(u=wall)],
        exact=lambda x, t: np.exp(-kappa * np.pi**2 * t) * np.sin(np.pi * x))


@pytest.mark.parametrize(("mistake", "terms"), [
    ({}, set()), ({"sign": -1.0}, {"equation"}), ({"kappa": 0.1 + 1e-6}, {"equation"}), ({"start": 1 + 1e-6}, {"Initial(u)"}),
    ({"wall": 1e-6}, {"Dirichlet(u)"})])
def test_the_culprit_is_named(mistake, terms):
    assert failed(heat(**mistake).prove()) == terms


def untraced(x, t):
    """The same solution by a numpy function that cannot be traced."""
    return np.exp(-0.1 * np.pi**2 * t) * np.interp(0.0, [0, 1], [1, 1]) * np.imag(np.exp(1j * np.pi * x))


def test_what_cannot_be_traced_is_proven_by_differences():
    problem = replace(heat(), exact=untraced)
    rows = problem.prove()
    assert {row.method for row in rows} == {"differences"} and not failed(rows)
    assert all(row.tolerance < 1e-6 * row.scale for row in rows)
    assert failed(replace(heat(kappa=0.1, sign=1 + 1e-5), exact=untraced).prove()) == {"equation"}


def test_differences_do_not_prove_what_they_cannot_see():
    """A kink has no second derivative: differences of it must not pass, whatever they answer."""
    rough = replace(heat(), exact=lambda x, t: np.abs(np.imag(np.exp(1j * 40 * x))) * np.exp(-t))
    assert "equation" in failed(rough.prove())


def test_a_field_without_exact_values_is_left_open():
    flow = stated("systems.kovasznay")
    exact = flow.exact
    rows = {row.term: row.holds for row in replace(flow, exact=lambda x, y: {
        name: exact(x=x, y=y)[name] for name in "uv"}).prove(n=20)}
    assert rows["momentum, 1"] is None and rows["Dirichlet(p) on x=1"] is None
    assert rows["continuity"] is True and rows["Dirichlet(u)"] is True
