"""The objective as an oracle: its answers agree with each other, with differences, and with the sum that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from pinn import MLP, Box, Initial, Neumann, Problem, Recipe, Residual, Time
from pinn.errors import NumericsError, RecipeError
from pinn.objective import Objective, weigh
from pinn.recipe import complete
from pinn.sampling import sample, sobol
from pinn.solution import evaluate_nodes
from pinn.supply import Supply


def wave() -> Problem:
    """Two data columns of the same name on one region, two residuals in one equation, a normal: everything that is grouped."""
    domain = Box(x=(0, 1)) * Time(t=(0, 1))

    def pair(u, v, x):
        return u.tt - u.xx + x * v, v.t - u.x * np.sin(x)

    return Problem(
        unknowns=("u", "v"), domain=domain, equations=[pair],
        conditions=[Initial(u=lambda x: np.sin(x), u_t=lambda x: np.cos(3 * x), v=0.5),
                    Neumann(u=lambda t: t**2, on=domain.face(x=1))],
        weights={"Initial(u_t)": 3.0})


PROBLEM = wave()
RECIPE = complete(Recipe(network=MLP(width=4, depth=1), points={"interior": 40, "t=0": 16, "conditions": 8},
                         weighting={"conditions": 10.0, "Initial(v)": 2.5}), PROBLEM)
SUPPLY = Supply(PROBLEM, RECIPE.network)


@pytest.fixture(scope="module")
def objective() -> Objective:
    return Objective.of(PROBLEM, SUPPLY, RECIPE, np.random.default_rng(0), threads=2)


@pytest.fixture(scope="module")
def theta() -> np.ndarray:
    return SUPPLY.initial(np.random.default_rng(1))


def plain_terms(objective: Objective, theta: np.ndarray) -> dict[str, float]:
    """Mean squares by the interpreter, point by point, with no kernel and no grouping."""
    found = {}
    for term in PROBLEM.terms:
        patch = next(i for i, patch in enumerate(objective.patches) if term.name in patch.names)
        cloud = objective.clouds[patch]
        table = term.table(cloud.points, cloud.normals)
        known = {column.node: table[:, i] for i, column in enumerate(term.columns)}
        values = evaluate_table(term.residuals, known, theta, cloud.count)
        found[term.name] = sum(float(cloud.weights @ value**2) for value in values)
    return found


def evaluate_table(residuals, known, theta, count):
    nodes = [array.node for array in SUPPLY.program(residuals, collapse=False)]
    return [np.broadcast_to(value, (count,)) for value in ad.evaluate(nodes, known, {"theta": theta}, count)]


def test_terms_are_the_mean_squares_that_they_stand_for(objective, theta):
    assert objective.terms(theta) == pytest.approx(plain_terms(objective, theta), rel=1e-10)


def test_loss_is_the_weighted_sum_of_terms(objective, theta):
    weights = {"pair": 1.0, "Initial(u)": 10.0, "Initial(u_t)": 30.0, "Initial(v)": 2.5,
               "Neumann(u) on x=1": 10.0}
    terms = objective.terms(theta)
    assert set(terms) == set(weights)
    assert objective.loss(theta) == pytest.approx(sum(weights[name] * value for name, value in terms.items()), rel=1e-12)
    assert objective.loss_and_gradient(theta)[0] == pytest.approx(objective.loss(theta), rel=1e-12)
    assert weigh(PROBLEM.terms[0], 100.0) == 1.0 and weigh(PROBLEM.terms[1], 100.0) == 100.0


def test_loss_is_the_sum_of_squares_of_the_residual_vector(objective, theta):
    residual = objective.residual(theta)
    assert residual.shape == (2 * 40 + 3 * 16 + 8,)
    assert float(residual @ residual) == pytest.approx(objective.loss(theta), rel=1e-12)


def test_gradient_jacobian_jvp_and_vjp_are_one_derivative(objective, theta):
    rng = np.random.default_rng(2)
    v, gradient = rng.normal(size=objective.size), objective.loss_and_gradient(theta)[1]
    residual, jacobian = objective.residual(theta), objective.jacobian(theta)
    w = rng.normal(size=residual.size)
    assert jacobian.shape == (residual.size, objective.size)
    np.testing.assert_allclose(2 * jacobian.T @ residual, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())
    np.testing.assert_allclose(objective.jvp(theta, v), jacobian @ v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(objective.vjp(theta, w), jacobian.T @ w, rtol=1e-9, atol=1e-9)


def test_gradient_is_the_derivative_of_the_loss_by_rate(objective, theta):
    v = np.random.default_rng(3).normal(size=objective.size)
    slope = float(objective.loss_and_gradient(theta)[1] @ v)
    errors = [abs((objective.loss(theta + h * v) - objective.loss(theta - h * v)) / (2 * h) - slope) for h in (1e-2, 1e-3)]
    assert errors[1] < 2e-2 * errors[0]  # second order: a tenth of the step, a hundredth of the error


def test_hessian_product_is_the_derivative_of_the_gradient_by_rate(objective, theta):
    v = np.random.default_rng(4).normal(size=objective.size)
    gradient, product = (lambda h: objective.loss_and_gradient(theta + h * v)[1]), objective.hvp(theta, v)
    errors = [np.linalg.norm((gradient(h) - gradient(-h)) / (2 * h) - product) for h in (1e-2, 1e-3)]
    assert errors[1] < 2e-2 * errors[0]


def test_answers_belong_to_the_caller(objective, theta):
    first = objective.loss_and_gradient(theta)[1]
    kept = first.copy()
    objective.loss_and_gradient(theta + 1.0)
    np.testing.assert_array_equal(first, kept)


def test_new_points_and_weights_are_new_values_on_the_same_programs(objective, theta):
    before = objective.loss(theta)
    fresh = sample(objective.patches[0].region, 64, sobol, np.random.default_rng(5))
    other = objective.with_clouds((fresh, *objective.clouds[1:]))
    assert other.patches is objective.patches and other.bound[1:] == objective.bound[1:]
    assert other.points()["interior"] == 64 and objective.points()["interior"] == 40
    assert other.terms(theta)["Initial(u)"] == objective.terms(theta)["Initial(u)"]
    assert other.terms(theta)["pair"] != objective.terms(theta)["pair"]
    heavy = objective.with_weights([2 * weight for weight in objective.weights])
    assert heavy.loss(theta) == pytest.approx(2 * before, rel=1e-12)
    assert objective.loss(theta) == before


def test_threads_change_nothing(objective, theta):
    alone = Objective.of(PROBLEM, SUPPLY, RECIPE, np.random.default_rng(0), threads=1)
    np.testing.assert_allclose(alone.loss_and_gradient(theta)[1], objective.loss_and_gradient(theta)[1], rtol=1e-12, atol=1e-14)


def test_the_size_of_the_residual_is_that_of_its_weighted_parts(objective, theta):
    cloud = objective.clouds[0]
    values = evaluate_nodes(SUPPLY, [array for array in PROBLEM.terms[0].residuals], theta, cloud.points)
    np.testing.assert_allclose(objective.size_of_residual(0, theta, cloud), np.hypot(*values), rtol=1e-10)


@pytest.mark.parametrize(("recipe", "said"), [
    (Recipe(points={"interiour": 10}), "'interiour', which is not there"),
    (Recipe(weighting={"Dirichlet(v)": 10}), "'Dirichlet(v)', which is not there"),
])
def test_points_and_weights_of_nobody_are_refused(recipe, said):
    with pytest.raises(RecipeError, match="the names are pair, interior, Initial") as caught:
        Objective.of(PROBLEM, SUPPLY, complete(recipe, PROBLEM), np.random.default_rng(0))
    assert said in str(caught.value)


def test_what_is_not_finite_at_the_start_is_told_with_term_and_point():
    domain = Box(x=(0, 1))
    problem = Problem(unknowns="u", domain=domain, equations=[lambda u: u.xx],
                      conditions=[Residual(lambda u, x: np.log(-1 - u**2) + x, on=domain.face(x=1), name="wall")])
    recipe = complete(Recipe(network=MLP(width=3, depth=1), points=16), problem)
    supply = Supply(problem, recipe.network)
    objective = Objective.of(problem, supply, recipe, np.random.default_rng(0))
    with pytest.raises(NumericsError, match=r"wall is nan at x = 1") as caught:
        objective.check(supply.initial(np.random.default_rng(0)))
    assert "log" in caught.value.why and "test_objective.py" in caught.value.where
