"""Laplacians estimated along random directions: unbiased, with the variance that theory says, reported as it is."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from pinn import MLP, Adam, Box, Dirichlet, Hutchinson, Problem, Recipe, Stage, Time, laplacian
from pinn.conditions import Initial
from pinn.errors import RecipeError
from pinn.objective import Objective
from pinn.recipe import complete
from pinn.solver import train
from pinn.supply import Supply

N = 6
AXES = {f"x{i}": (0, 1) for i in range(1, N + 1)}
FACTOR = 3.0


def poisson(**changes) -> Problem:
    def equation(u, **x):
        return FACTOR * laplacian(u) + sum(x.values())

    stated = {"unknowns": "u", "domain": Box(**AXES), "equations": [equation], "conditions": [Dirichlet(u=0)]}
    return Problem(**stated | changes)


def objective(problem: Problem, laplacian: Hutchinson | None, points: int = 64) -> tuple[Objective, Supply, np.ndarray]:
    recipe = complete(Recipe(network=MLP((8, 8)), points=points, weighting=1.0, laplacian=laplacian), problem)
    supply = Supply(problem, recipe.network)
    made = Objective.of(problem, supply, recipe, np.random.default_rng(0))
    return made, supply, 2.0 * supply.initial(np.random.default_rng(1))


def values(made: Objective, theta: np.ndarray, directions: np.ndarray | None = None) -> np.ndarray:
    """The residuals `(points, residuals)` of the interior, without compiling, along directions `(points, m, axes)`."""
    patch, cloud = next((p, c) for p, c in zip(made.patches, made.clouds, strict=True) if p.is_interior)
    table = patch.table(cloud)
    if directions is not None:
        table[:, -directions[0].size:] = directions.reshape(len(table), -1)
    symbols = {column.node: table[:, i] for i, column in enumerate(patch.columns)}
    return np.stack(ad.evaluate([r.node for r in patch.residuals], symbols, {"theta": theta}, len(table)), axis=1)


def hessian(problem: Problem, supply: Supply, theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    """All u_ij `(points, n, n)` of the network."""
    names = list(AXES)
    nodes = [supply.jet("u", (a, b)).node for a in names for b in names]
    symbols = {supply.space.coordinate(name).node: points[:, i].copy() for i, name in enumerate(names)}
    flat = [np.broadcast_to(v, len(points)) for v in ad.evaluate(nodes, symbols, {"theta": theta}, len(points))]
    return np.stack(flat, axis=1).reshape(len(points), N, N)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_it_is_unbiased_and_its_variance_falls_as_one_over_m(kind):
    problem, rng, rounds = poisson(), np.random.default_rng(5), 1500
    exact, supply, theta = objective(problem, None)
    truth = values(exact, theta)[:, 0]
    h = hessian(problem, supply, theta, exact.clouds[0].points)
    square = np.sum(h**2, axis=(1, 2)) - (np.einsum("pii,pii->p", h, h) if kind == "rademacher" else 0.0)
    for m in (2, 8):
        made, _, _ = objective(problem, Hutchinson(m, kind))
        drawn = np.empty((rounds, len(truth), 2))
        for k in range(rounds):
            points = rng.random((len(truth), N))
            drawn[k] = values(made, theta, Hutchinson(m, kind).draw(points, N))
        expected = FACTOR**2 * 2 / m * square  # 2/m sum u_ij^2, for signs over i != j
        mean, variance = drawn[..., 0].mean(axis=0), drawn[..., 0].var(axis=0)
        assert np.max(np.abs(mean - truth) / np.sqrt(expected / rounds)) < 5
        assert np.mean(variance / expected) == pytest.approx(1, abs=0.05)
        # what half of the directions says against the other half is the variance of the whole
        assert np.mean(np.mean(drawn[..., 1]**2, axis=0) / expected) == pytest.approx(1, abs=0.05)
        # the square is too large by the variance, and two independent halves take just that away
        assert np.mean(drawn[..., 0]**2) == pytest.approx(np.mean(truth**2 + expected), rel=0.05)
        unbiased = np.mean(drawn[..., 0]**2 - drawn[..., 1]**2)
        assert unbiased == pytest.approx(np.mean(truth**2), abs=6 * np.mean(truth**2 + expected) / np.sqrt(rounds * len(truth)))


def test_one_second_derivative_is_no_laplacian():
    def equation(u, x, t):
        return u.t - u.xx

    one = Problem(unknowns="u", domain=Box(x=(0, 1)) * Time(t=(0, 1)), equations=[equation],
                  conditions=[Dirichlet(u=0), Initial(u=0)])
    with pytest.raises(RecipeError, match="no Laplacian to estimate"):
        objective(one, Hutchinson(2))


def test_first_derivatives_stay_exact_and_compiled_numbers_are_the_same():
    domain = Box(x=(0, 1), y=(0, 2)) * Time(t=(0, 1))
    heat = Problem(unknowns="u", domain=domain, equations=[lambda u, x: u.t - 0.3 * laplacian(u) + x],
                   conditions=[Dirichlet(u=0), Initial(u=0)])
    exact, _, theta = objective(heat, None, 512)
    made, _, _ = objective(heat, Hutchinson(400), 512)
    truth, found = values(exact, theta)[:, 0], values(made, theta)
    np.testing.assert_allclose(np.mean(found[:, 0] - truth), 0, atol=5 * np.std(found[:, 1]) / np.sqrt(len(found)) + 1e-12)
    assert np.std(found[:, 0] - truth) < 0.2 * np.std(truth)
    small, _, _ = objective(heat, Hutchinson(2), 64)
    index = next(k for k, patch in enumerate(small.patches) if patch.is_interior)
    np.testing.assert_allclose(small.bound[index].residual(theta), values(small, theta), rtol=1e-10, atol=1e-12)


def test_directions_change_with_the_points_and_with_nothing_else():
    points = np.random.default_rng(0).random((50, 3))
    one = Hutchinson(4)
    np.testing.assert_array_equal(one.draw(points, 3), one.draw(points.copy(), 3))
    assert set(np.unique(one.draw(points, 3))) == {-1.0, 1.0} and one.draw(points, 3).shape == (50, 4, 3)
    assert np.any(one.draw(points, 3) != one.draw(points + 1e-9, 3))


def test_a_run_reports_the_variance():
    recipe = Recipe(network=MLP((8, 8)), points=64, stages=[Stage(Adam(1e-2), iterations=40)], laplacian=Hutchinson(4),
                    resample=False, impose="penalty")
    events = []
    solution = train(poisson(), recipe, callbacks=[events.append])
    assert set(solution.history.terms) == {"equation", "equation: variance", "Dirichlet(u)"}
    assert solution.history.terms["equation: variance"][-1] > 0
    assert solution.history.loss[-1] < solution.history.loss[0]


@pytest.mark.parametrize("wrong", [{"directions": 3}, {"directions": 0}, {"directions": 2.0}, {"kind": "cauchy"}])
def test_what_cannot_estimate_is_refused(wrong):
    with pytest.raises(RecipeError, match="cannot estimate"):
        Hutchinson(**wrong)
    with pytest.raises(RecipeError, match="no way of estimating"):
        Recipe(laplacian=16)
