"""A second stage: eps and frequency fit the residual, the sum is an ordinary solution, and nothing gets worse."""

from dataclasses import replace

import numpy as np
import pytest

import pinn
from pinn import MLP, Adam, Box, Dirichlet, Initial, Problem, Recipe, SSBroyden, Stage, Sum, Time, refine, solve
from pinn.errors import ProblemError, RecipeError
from pinn.events import Compiled, Finished, Progress, StageEnded, Started
from pinn.imposition import impose_by
from pinn.networks import Layout
from pinn.objective import patches_of
from pinn.recipe import complete
from pinn.refinement import FASTEST, SLOWEST, frequency_of, scale_of
from pinn.supply import Supply, frozen


def waves(k=1, scale=1.0, **changes) -> Problem:
    """u'' = -(k pi)^2 sin(k pi x), times a scale."""
    def equation(u, x):
        return scale * (u.xx / np.pi**2 + k**2 * np.sin(k * np.pi * x))

    return Problem(**{"unknowns": "u", "domain": Box(x=(0, 1)), "equations": [equation], "conditions": [Dirichlet(u=0)],
                      "exact": lambda x: np.sin(k * np.pi * x), "name": "waves"} | changes)


FIRST = Recipe(network=MLP(width=8, depth=1), points=64, resample=False,
               stages=[Stage(Adam(1e-2), iterations=50), Stage(SSBroyden(), iterations=60)])
SECOND = Recipe(points=128, resample=False, stages=[Stage(Adam(1e-2), iterations=7), Stage(SSBroyden(), iterations=150)])
PROBLEM = waves()


@pytest.fixture(scope="module")
def first():
    return solve(PROBLEM, FIRST)


def test_a_second_network_wins_digits_and_the_sum_is_an_ordinary_solution(first, tmp_path):
    events = []
    second = refine(first, replace(SECOND, network=MLP((12, 12), activation="sin")), callbacks=[events.append])
    kinds = [type(event) for event in events]
    assert kinds[:2] == [Started, Compiled] and kinds[-2:] == [StageEnded, Finished] and events[-1].solution is second
    # what is already in the valley needs no first stage
    assert [event.stage for event in events if type(event) is StageEnded] == ["self scaled broyden"]
    assert second.errors["u"]["relative_l2"] < 0.03 * first.errors["u"]["relative_l2"]
    assert second.residual_rms < 0.03 * first.residual_rms and second.loss < first.loss
    network = second.recipe.network
    assert type(network) is Sum and network.networks[0] == first.recipe.network and network.scales[0] == 1.0
    assert 0.01 < network.scales[1] / first.errors["u"]["max"] < 100
    assert second.steps == first.steps + 150 == second.history.iteration[-1]
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.errors["u"] == pytest.approx(second.errors["u"]["relative_l2"], rel=0.1)
    x = np.linspace(0, 1, 7)
    again = pinn.load(second.save(tmp_path / "second.npz"), problem=PROBLEM)
    np.testing.assert_array_equal(again.u(x=x), second.u(x=x))
    assert again.recipe.network == network


def test_a_second_stage_of_a_second_stage_adds_a_third_network(first):
    recipe = replace(SECOND, network=MLP((8,), activation="sin"), stages=[Stage(SSBroyden(), iterations=30)])
    third = refine(refine(first, recipe), recipe)
    assert len(third.recipe.network.networks) == len(third.recipe.network.scales) == 3
    assert list(third.recipe.network.scales) == sorted(third.recipe.network.scales, reverse=True)
    assert third.residual_rms < first.residual_rms


def test_the_seed_decides(first):
    one, two, other = (refine(first, replace(SECOND, network=MLP((6,))), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.theta, two.theta) and not np.array_equal(one.theta, other.theta)


def test_where_nothing_lower_is_found_all_is_as_it_was(first):
    same = refine(first, replace(SECOND, network=MLP((6,)), stages=[Stage(Adam(1e-12), iterations=2)]))
    assert same.stop_reason.startswith(first.stop_reason) and "nothing lower" in same.stop_reason
    assert np.array_equal(same.theta, first.theta) and same.errors == first.errors


def zero(problem: Problem) -> Supply:
    """Fields that are what is built in, and nothing else."""
    return Supply(problem, MLP((1,)), impose_by("exact", problem))


@pytest.mark.parametrize("k", [8, 40])
def test_the_frequency_is_that_of_the_residual(k):
    problem = waves(k)
    supply = zero(problem)
    found = frequency_of(problem, patches_of(supply, complete(None, problem)), np.zeros(supply.layout.size),
                         np.random.default_rng(0))
    # sin(k pi x) changes its sign k - 1 times in (0, 1), which the network sees as (-1, 1)
    assert found == pytest.approx(0.5 * np.pi * (k - 1) / 2) and SLOWEST < found < FASTEST


def test_a_residual_that_never_changes_its_sign_gets_the_slowest_sines():
    problem = waves(equations=[lambda u, x: u.xx - 2.0], exact=None)
    supply = zero(problem)
    assert frequency_of(problem, patches_of(supply, complete(None, problem)), np.zeros(supply.layout.size),
                        np.random.default_rng(0)) == SLOWEST


def test_eps_makes_the_share_of_the_second_network_as_large_as_the_residual_whatever_the_units():
    found = []
    for scale in (1.0, 1e5):
        problem = waves(3, scale)
        supply = zero(problem)
        base = frozen(supply, np.zeros(supply.layout.size))
        found.append(scale_of(problem, MLP((8,)), supply, base, complete(None, problem), np.random.default_rng(2)))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    exact = waves(exact=None, equations=[lambda u, x: u.xx])
    with pytest.raises(RecipeError, match="nothing to be refined"):
        supply = zero(exact)
        scale_of(exact, MLP((8,)), supply, frozen(supply, np.zeros(supply.layout.size)), complete(None, exact),
                 np.random.default_rng(0))


def test_what_cannot_be_refined_is_refused(first):
    with pytest.raises(RecipeError, match="per_field"):
        refine(first, Recipe(network=MLP((6,), per_field=True)))
    with pytest.raises(ProblemError, match="no equations"):
        refine(replace(first, problem=Problem.outline(("u",), Box(x=(0, 1)), "u", {})))
    growth = Problem(unknowns="u", domain=Time(t=(0, 1)), equations=[lambda u, t: u.t - u], conditions=[Initial(u=1)])
    marched = solve(growth, Recipe(network=MLP((4,)), points=16, march=2, stages=[Stage(Adam(1e-3), iterations=2)]))
    with pytest.raises(RecipeError, match="a march cannot be refined"):
        refine(marched)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, np.inf), (1.0, 1.0, 1.0)])
def test_scales_of_a_sum_are_positive_and_as_many(scales):
    with pytest.raises(RecipeError, match="every network has a positive one"):
        Sum((MLP((4,)), MLP((4,))), scales)


def test_a_sum_multiplies_its_networks():
    one, two = MLP((3,)), MLP((4,))
    both = Sum((one, two), scales=(1.0, 0.25))
    theta = np.random.default_rng(0).standard_normal(both.layout(2, 1).size)
    x, size = np.array([0.3, -0.2]), one.layout(2, 1).size

    def value(network, theta):
        layout: Layout = network.layout(2, 1)
        return network.apply(layout.views(theta), x)

    np.testing.assert_allclose(value(both, theta), value(one, theta[:size]) + 0.25 * value(two, theta[size:]))
    assert Sum((one, two)).scales == (1.0, 1.0)
