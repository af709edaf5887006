"""Balance: the units of an equation do not matter, every term pulls equally, conditions as much harder as said."""

from dataclasses import replace

import numpy as np
import pytest

from pinn import Box, Dirichlet, Initial, Problem, SSBroyden, Stage, Time
from pinn.errors import RecipeError
from pinn.networks import MLP
from pinn.objective import Objective
from pinn.recipe import Recipe, complete
from pinn.solver import train
from pinn.supply import Supply
from pinn.weighting import Balance


def measured(scale: float, conditions: float = 10.0):
    """(weights, pulls measured from the Jacobian) of Poisson's equation written in units of 1 / scale."""
    def poisson(u, x, y):
        return scale * (u.xx + u.yy + np.sin(x))

    problem = Problem(unknowns="u", domain=Box(x=(0, 1), y=(0, 2)), equations=[poisson], conditions=[Dirichlet(u=0)])
    recipe = complete(Recipe(network=MLP((6, 6)), points=512, weighting=Balance(conditions)), problem)
    supply = Supply(problem, recipe.network)
    objective = Objective.of(problem, supply, recipe, np.random.default_rng(0))
    theta = supply.initial(np.random.default_rng(1))
    weights = objective.balanced(recipe, theta).weights
    pulls = []
    for bound, cloud in zip(objective.bound, objective.clouds, strict=True):
        rows = bound.jacobian(theta)
        pulls.append(float(cloud.weights @ np.sum(rows**2, axis=(1, 2))))
    return [float(w[0]) for w in weights], pulls


def test_every_term_pulls_equally_and_conditions_as_said():
    weights, pulls = measured(1.0, conditions=7.0)
    assert weights[0] == pytest.approx(1.0)
    # 256 of the points are looked at: the mean is known to a few per cent
    assert weights[1] * pulls[1] == pytest.approx(7.0 * weights[0] * pulls[0], rel=0.1)


def test_the_units_of_an_equation_do_not_matter():
    (one, condition), _ = measured(1.0)
    (other, scaled), _ = measured(1e3)
    assert one == pytest.approx(other) == pytest.approx(1.0)
    assert scaled == pytest.approx(1e6 * condition, rel=1e-9)


@pytest.mark.parametrize("bad", [0, -1.0, np.nan, np.inf, "much", True])
def test_what_is_no_factor_is_refused(bad):
    with pytest.raises(RecipeError, match="positive number"):
        Balance(conditions=bad)


# -- measured anew
def stated(scale: float = 1.0, **changes):
    """(objective on compiled kernels, weights of the network, recipe) of Poisson's equation times `scale`."""
    def poisson(u, x, y):
        return scale * (u.xx + u.yy + np.sin(x))

    problem = Problem(unknowns="u", domain=Box(x=(0, 1), y=(0, 2)), equations=[poisson], conditions=[Dirichlet(u=0)],
                      weights={"Dirichlet(u)": 3.0})
    recipe = complete(Recipe(network=MLP((6, 6)), points=128, weighting=Balance(**changes)), problem)
    supply = Supply(problem, recipe.network)
    objective = Objective.of(problem, supply, recipe, np.random.default_rng(0))
    return objective, supply.initial(np.random.default_rng(1)), recipe


def test_by_gradient_the_gradients_of_all_terms_are_alike():
    objective, theta, recipe = stated(by="gradient", conditions=2.0)
    weights = objective.balanced(recipe, theta).weights
    norms = [np.linalg.norm(2 * np.einsum("p,pk,pkj->j", cloud.weights, bound.residual(theta), bound.jacobian(theta)))
             for bound, cloud in zip(objective.bound, objective.clouds, strict=True)]
    # the weight of the problem comes on top
    assert weights[0][0] == pytest.approx(1.0) and weights[1][0] * norms[1] == pytest.approx(3.0 * 2.0 * norms[0])


@pytest.mark.parametrize("by", ["ntk", "gradient", "loss"])
def test_anew_weights_go_gradually_to_those_measured_and_know_no_units(by):
    found = []
    for scale in (1.0, 1e3):
        objective, theta, recipe = stated(scale, by=by, every=10, memory=0.9)
        first = objective.balanced(recipe, theta)
        other = theta + 0.3 * np.random.default_rng(4).standard_normal(theta.size)
        known = [weight / own for weight, own in zip(first.weights, (1.0, 3.0), strict=True)]
        aim = Balance(by=by, memory=0.0).weights(first.patches, first.clouds, other, first.bound, known)
        again = first.rebalanced(recipe.weighting, other)
        for old, new, goal, own in zip(known, again.weights, aim, (1.0, 3.0), strict=True):
            assert 0.1 < goal / old < 10.0
            np.testing.assert_allclose(new, own * old**0.9 * goal**0.1)
        found.append(again.weights[1][0] / scale**2)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_one_look_moves_a_weight_by_a_factor_of_ten_at_most():
    objective, theta, _ = stated(by="loss", memory=0.0)
    objective = objective.with_weights([np.ones(1), np.full(1, 3e-9)])
    moved = objective.rebalanced(Balance(by="loss", memory=0.0), theta)
    np.testing.assert_allclose(moved.weights[1], 3e-8)


def test_memory_095_by_loss_is_the_gentle_rule():
    objective, theta, _ = stated()
    losses = np.array([one.loss(theta)[0] for one in objective.bound])
    objective = objective.with_weights([np.ones(1), np.full(1, 3.0)])
    moved = objective.rebalanced(Balance(by="loss", memory=0.95, conditions=1.0), theta)
    assert moved.weights[1][0] == pytest.approx(3.0 * (losses[0] / losses[1]) ** 0.05)


def test_weights_change_in_training_and_the_run_goes_on():
    def rod(u, x, t):
        return u.t - u.xx

    problem = Problem(unknowns="u", domain=Box(x=(0, 1)) * Time(t=(0, 0.2)), equations=[rod],
                      conditions=[Initial(u=lambda x: np.sin(np.pi * x)), Dirichlet(u=0)],
                      exact=lambda x, t: np.exp(-np.pi**2 * t) * np.sin(np.pi * x))
    recipe = Recipe(network=MLP((8, 8)), points=128, impose="penalty", resample=False,
                    stages=[Stage(SSBroyden(), iterations=300)], weighting=Balance(by="gradient", every=50, memory=0.5))
    one, two = train(problem, recipe), train(problem, recipe)
    assert np.array_equal(one.theta, two.theta) and one.errors["u"]["relative_l2"] < 0.01
    once = train(problem, replace(recipe, weighting=Balance(by="gradient")))
    assert not np.array_equal(one.theta, once.theta)


@pytest.mark.parametrize(("wrong", "why"), [
    ({"by": "luck"}, "measured by 'ntk'"), ({"every": 0}, "positive whole number"), ({"every": 2.5}, "positive whole number"),
    ({"every": True}, "positive whole number"), ({"memory": 1.0}, "share below 1"), ({"memory": -0.1}, "share below 1"),
])
def test_what_cannot_be_measured_is_refused(wrong, why):
    with pytest.raises(RecipeError, match=why) as caught:
        Balance(**wrong)
    assert caught.value.fix
