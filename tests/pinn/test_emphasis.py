"""Emphasis: later moments wait for earlier ones and end up alike; points with large residuals pull harder; and who may ask."""

from dataclasses import replace

import numpy as np
import pytest

from pinn import (
    MLP,
    Adam,
    Attention,
    Balance,
    Box,
    Causal,
    Dirichlet,
    Initial,
    LevenbergMarquardt,
    Problem,
    Recipe,
    SSBroyden,
    Stage,
    Time,
)
from pinn.adaptive import Adaptive
from pinn.emphasis import Front, Look
from pinn.errors import RecipeError
from pinn.events import Progress
from pinn.objective import Objective
from pinn.recipe import complete
from pinn.renewal import Renewal
from pinn.sampling import Cloud, sample, sobol
from pinn.solver import train
from pinn.supply import Supply

DOMAIN = Box(x=(0, 1)) * Time(t=(0, 2))
SPAN = (1, 0.0, 2.0)


def look(size=lambda t: np.ones_like(t), n=1024, kept=0) -> Look:
    """A residual of a size that depends on the time."""
    cloud = sample(DOMAIN.interior, n, sobol, np.random.default_rng(0))
    return Look(cloud, size(cloud.points[:, 1]), kept, SPAN)


def growth(rate=3.0, **changes) -> Problem:
    """u' = rate u cos(rate t): an error at one moment is an error at all that follow."""
    def equation(u, t):
        return u.t - rate * np.cos(rate * t) * u

    return Problem(**{"unknowns": "u", "domain": Time(t=(0, 2)), "equations": [equation], "conditions": [Initial(u=1)],
                      "exact": lambda t: np.exp(np.sin(rate * t)), "name": "growth"} | changes)


PROBLEM = growth()
SMALL = Recipe(network=MLP(width=10, depth=1), points=64, resample=False, tolerance=0.0, stages=[Adam(1e-2)],
               weighting={"equations": 1.0})


def started(recipe: Recipe) -> tuple[Renewal, Objective, np.ndarray]:
    """A renewal, the first objective, and the weights of the network."""
    recipe = complete(recipe, PROBLEM)
    supply = Supply(PROBLEM, recipe.network)
    objective = Objective.of(PROBLEM, supply, recipe, np.random.default_rng(0))
    return Renewal(recipe, PROBLEM, np.random.default_rng(1)), objective, supply.initial(np.random.default_rng(2))


# -- causal weights, as numbers
def test_the_first_slab_pulls_fully_and_later_ones_less_by_what_is_left_before_them():
    causal = Causal(slabs=4, steepness=2.0, least=0.01)
    held = causal.look(causal.begin(), [look()], 0)
    # all slabs have the same loss, which is that of the start
    np.testing.assert_allclose(held.weights, [1, np.exp(-2.0), np.exp(-4.0), 0.01])
    held = causal.look(held, [look(lambda t: np.where(t < 1.0, 0.5, 1.0))], 0)
    np.testing.assert_allclose(held.weights, np.exp(-2.0 * np.array([0, 0.25, 0.5, 1.5])))


def test_the_units_of_an_equation_do_not_matter():
    causal = Causal(slabs=8, steepness=(1.0,))
    one, other = (causal.look(causal.begin(), [look(lambda t: scale * (1 + t))], 0) for scale in (1.0, 1e6))  # noqa: B023
    np.testing.assert_allclose(one.weights, other.weights)


def test_steepness_goes_on_when_all_slabs_are_reached_and_is_over_after_the_last():
    causal = Causal(slabs=4, steepness=(0.1, 1.0, 10.0))
    held, levels = causal.look(causal.begin(), [look()], 0), []
    for size in (1.0, 0.03, 0.01, 1e-3):
        held = causal.look(held, [look(lambda t: np.full_like(t, size))], 0)  # noqa: B023
        levels.append((held.level, held.over))
    assert levels == [(0, False), (2, False), (2, True), (2, True)]
    assert np.array_equal(held.weights, np.ones(4)) and causal.factors(held, 0, look().cloud, SPAN) is None
    assert not causal.holds_back(held) and causal.holds_back(causal.begin())


def test_points_get_the_weight_of_their_slab_and_the_end_belongs_to_the_last():
    causal, held = Causal(slabs=4), Front(np.array([1.0, 0.5, 0.25, 0.125]))
    points = np.array([[0.0, t] for t in (0.0, 0.49, 0.5, 1.2, 2.0)])
    cloud = Cloud(points, np.full(5, 0.2), None, DOMAIN.interior, 5, 2.0)
    np.testing.assert_array_equal(causal.factors(held, 0, cloud, SPAN), [1, 1, 0.5, 0.25, 0.125])


def test_slabs_without_points_or_residuals_that_are_no_numbers_change_nothing():
    causal = Causal(slabs=64)
    assert np.isfinite(causal.look(causal.begin(), [look(n=16)], 0).weights).all()
    held = causal.look(causal.begin(), [look()], 0)
    assert causal.look(held, [look(lambda t: np.full_like(t, np.nan))], 0) is held


# -- attention, as numbers
def test_attention_follows_the_residual_and_keeps_the_size_of_the_loss():
    attention = Attention(memory=0.9, floor=0.0, every=10)
    one = look(lambda t: t)
    held = attention.look(attention.begin(), [one], 0)
    np.testing.assert_allclose(attention.factors(held, 0, one.cloud, SPAN), 1.0)
    held = attention.look(held, [replace(one, kept=one.cloud.count)], 10)
    share = one.size / one.size.max()
    np.testing.assert_allclose(held[0], 0.9**10 + (1 - 0.9**10) * share)
    factors = attention.factors(held, 0, one.cloud, SPAN)
    assert one.cloud.weights @ factors == pytest.approx(1.0)
    assert np.all(np.diff(factors[np.argsort(one.size)]) >= 0)


def test_ten_looks_for_one_step_are_one_look_for_ten_steps():
    attention, one = Attention(memory=0.9), look(lambda t: t, kept=1024)
    often = once = attention.look(attention.begin(), [one], 0)
    for _ in range(10):
        often = attention.look(often, [one], 1)
    np.testing.assert_allclose(often[0], attention.look(once, [one], 10)[0])


def test_new_points_have_seen_their_present_residual_for_ever():
    attention, old, new = Attention(memory=0.5), look(n=32), look(lambda t: t, n=64, kept=32)
    held = attention.look(attention.look(attention.begin(), [old], 0), [new], 1)
    share = new.size / new.size.max()
    np.testing.assert_allclose(held[0], [*(0.5 + 0.5 * share[:32]), *share[32:]])
    held = attention.look(held, [replace(new, kept=0)], 1)
    np.testing.assert_allclose(held[0], share)


# -- in an objective
def test_an_emphasis_is_in_loss_gradient_and_residual_alike_and_goes_away():
    renewal, objective, theta = started(replace(SMALL, emphasis=Causal(slabs=4, steepness=(1.0,))))
    plain = objective.loss(theta)
    renewal.enter(True)
    objective = renewal.first(objective, theta)
    interior = next(k for k, patch in enumerate(objective.patches) if patch.is_interior)
    factors = objective.clouds[interior].emphasis
    assert set(factors) == set(renewal.held.weights) and all(
        cloud.emphasis is None for k, cloud in enumerate(objective.clouds) if k != interior)
    by_hand = sum(float(cloud.pull @ (patch.residuals_at(cloud, theta, 1, "float64") ** 2 @ weight)) for patch, cloud, weight in
                  zip(objective.patches, objective.clouds, objective.weights, strict=True))
    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(by_hand) and loss < plain
    residual = objective.residual(theta)
    assert residual @ residual == pytest.approx(loss)
    np.testing.assert_allclose(2 * objective.jacobian(theta).T @ residual, gradient, rtol=1e-9, atol=1e-12)
    assert objective.even().loss(theta) == pytest.approx(plain)
    renewal.release()
    assert renewal.renew(objective, theta, 100, insist=True).objective.loss(theta) == pytest.approx(plain)


def test_fresh_points_go_where_the_front_is():
    """Points that pull at nothing would be wasted."""
    adaptive = Adaptive(every=10, candidates=2048, floor=0.0, even=0.0, power=2.0)
    renewal, objective, theta = started(replace(SMALL, resample=adaptive, emphasis=Causal(slabs=8, steepness=(100.0,))))
    renewal.enter(True)
    found = renewal.renew(renewal.first(objective, theta), theta, 10, insist=False)
    cloud = next(c for patch, c in zip(found.objective.patches, found.objective.clouds, strict=True) if patch.is_interior)
    assert cloud.count == 64 and cloud.emphasis is not None and found.size > 0
    assert cloud.points[:, 0].max() < 1.0


# -- in a run
class Watch:
    """The weights of the slabs at each report of a run, by looking at what training sees."""

    def __init__(self, monkeypatch):
        self.fronts = []
        learn = Causal.look

        def look(causal, held, looks, steps):
            self.fronts.append(learn(causal, held, looks, steps))
            return self.fronts[-1]

        monkeypatch.setattr(Causal, "look", look)


@pytest.mark.parametrize(("stages", "every"), [
    ([Stage(Adam(1e-2), iterations=1500)], 25),
    ([Stage(SSBroyden(), iterations=300)], 10),
    ([Stage(LevenbergMarquardt(), iterations=60)], 2),
], ids=["Adam", "quasi-Newton", "Levenberg-Marquardt"])
def test_weights_fall_with_time_grow_in_training_and_end_at_one(stages, every, monkeypatch):
    watch = Watch(monkeypatch)
    recipe = replace(SMALL, stages=stages, emphasis=Causal(slabs=8, steepness=(0.1, 0.5), every=every))
    solution = train(PROBLEM, recipe)
    weights = np.array([front.weights for front in watch.fronts])
    assert len(weights) > 3 and np.all(np.diff(weights, axis=1) <= 0) and np.all(weights[:, 0] == 1)
    assert weights[0, -1] < 0.9 and np.array_equal(weights[-1], np.ones(8)) and watch.fronts[-1].over
    assert [front.level for front in watch.fronts] == sorted(front.level for front in watch.fronts)
    assert solution.errors["u"]["relative_l2"] < 0.05


def test_every_slab_of_a_march_has_moments_of_its_own(monkeypatch):
    watch = Watch(monkeypatch)
    recipe = replace(SMALL, march=2, emphasis=Causal(slabs=4, every=20), stages=[Stage(SSBroyden(), iterations=200)])
    assert train(PROBLEM, recipe).errors["u"]["relative_l2"] < 0.05
    # at the start of each the last moments wait
    assert sum(front.level == 0 and front.weights[-1] < 0.1 for front in watch.fronts) >= 2


def test_ways_take_turns_under_an_emphasis_and_are_judged_by_the_same_measure():
    ways = [Recipe(stages=[SSBroyden()]), Recipe(stages=[LevenbergMarquardt()])]
    recipe = Recipe(network=MLP(width=8, depth=1), points=64, resample=False, ways=ways, emphasis=Causal(slabs=4, every=10),
                    weighting=Balance(by="gradient", every=20))
    assert train(PROBLEM, recipe, seconds=3).errors["u"]["relative_l2"] < 1e-3


def test_a_front_that_does_not_move_is_given_up_and_the_run_ends_on_the_even_loss():
    recipe = replace(SMALL, network=MLP(width=2, depth=1), emphasis=Causal(slabs=8, steepness=(1e6,), every=5),
                     stages=[Stage(SSBroyden(), iterations=3000)])
    solution = train(PROBLEM, recipe)
    assert "iterations done" not in solution.stop_reason
    assert solution.loss == pytest.approx(solution.history.loss[-1])


def test_a_low_loss_is_no_goal_while_moments_are_held_back():
    recipe = replace(SMALL, tolerance=0.5, emphasis=Causal(slabs=8, steepness=(1e3,), every=10_000),
                     stages=[Stage(Adam(1e-3), iterations=30)])
    assert train(PROBLEM, recipe).stop_reason == "30 iterations done"


@pytest.mark.parametrize(("emphasis", "dtype"), [(Causal(slabs=4, every=20), "float64"), (Causal(slabs=4, every=20), "mixed"),
                                                 (Attention(every=20), "float64")])
def test_the_seed_decides_in_every_precision(emphasis, dtype):
    recipe = replace(SMALL, emphasis=emphasis, resample=Adaptive(every=50, candidates=256), dtype=dtype,
                     stages=[Stage(SSBroyden(), iterations=120)])
    one, two = (train(PROBLEM, recipe, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.theta, two.theta)


def test_attention_works_on_fixed_points_and_is_told_from_the_loss_of_the_solution():
    losses = []
    recipe = replace(SMALL, emphasis=Attention(memory=0.99, every=20), stages=[Stage(SSBroyden(), iterations=300)])
    solution = train(PROBLEM, recipe, callbacks=[lambda e: losses.append(e.loss) if isinstance(e, Progress) else None])
    assert solution.errors["u"]["relative_l2"] < 0.01
    even = train(PROBLEM, replace(recipe, emphasis=None, stages=[Stage(Adam(1e-9), iterations=1)]), start=solution.weights)
    assert solution.loss == pytest.approx(even.loss, rel=1e-3) and losses[-1] != pytest.approx(solution.loss, rel=1e-6)


# -- what is refused
@pytest.mark.parametrize(("make", "why"), [
    (lambda: Causal(slabs=1), "whole number"), (lambda: Causal(slabs=2.5), "whole number"), (lambda: Causal(every=0), "from 1"),
    (lambda: Causal(steepness=()), "that rise"), (lambda: Causal(steepness=(1.0, 0.1)), "that rise"),
    (lambda: Causal(steepness=-1.0), "that rise"), (lambda: Causal(reached=1.0), "between 0 and 1"),
    (lambda: Causal(reached="all"), "between 0 and 1"),
    (lambda: Causal(least=-1e-4), "least below"), (lambda: Causal(least=0.995), "least below"),
    (lambda: Attention(memory=1.0), "between 0 and 1"),
    (lambda: Attention(floor=-0.1), "not negative"), (lambda: Attention(every=True), "whole number"),
    (lambda: Recipe(emphasis=32), "it is a Causal"), (lambda: Recipe(emphasis="causal"), "it is a Causal"),
])
def test_what_cannot_be_is_refused_with_a_way_out(make, why):
    with pytest.raises(RecipeError, match=why) as caught:
        make()
    assert caught.value.fix


def test_moments_need_a_time():
    still = Problem(unknowns="u", domain=Box(x=(0, 1)), equations=[lambda u, x: u.xx - 1], conditions=[Dirichlet(u=0)])
    with pytest.raises(RecipeError, match="the problem has none"):
        complete(Recipe(emphasis=Causal()), still)
    with pytest.raises(RecipeError, match="the problem has none"):
        complete(Recipe(ways=[Recipe(stages=[Adam()], emphasis=Causal())]), still)
    assert complete(Recipe(emphasis=Attention()), still).ways[0].emphasis == Attention()


def test_a_single_steepness_may_be_a_number():
    assert Causal(steepness=2).steepness == (2.0,)
