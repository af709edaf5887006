"""Balance: the units of an equation do not matter, every term pulls equally, conditions as much harder as said."""

import numpy as np
import pytest

from pinn import Box, Dirichlet, Problem
from pinn.errors import RecipeError
from pinn.networks import MLP
from pinn.objective import Objective
from pinn.recipe import Recipe, complete
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
