"""The solver: which events in which order, what requests do, and that no end of a run loses its best state."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pinn import LBFGS, MLP, Adam, Box, Dirichlet, Problem, Recipe, SSBroyden, Stage, load, solve
from pinn.adaptive import Adaptive
from pinn.errors import NumericsError, RecipeError
from pinn.events import Checkpoint, Compiled, Finished, Progress, Resample, StageEnded, Started, Stop
from pinn.objective import Objective
from pinn.recipe import complete, default, share_points
from pinn.sampling import sample, sobol
from pinn.solver import train
from pinn.way import Settled


def poisson(**changes) -> Problem:
    def equation(u, x):
        return u.xx / np.pi**2 + np.sin(np.pi * x)

    return Problem(**{"unknowns": "u", "domain": Box(x=(0, 1)), "equations": [equation], "conditions": [Dirichlet(u=0)],
                      "exact": lambda x: np.sin(np.pi * x), "name": "poisson"} | changes)


PROBLEM = poisson()
SMALL = Recipe(network=MLP(width=6, depth=1), points=32, resample=False, tolerance=0.0)


def recipe(*stages, **changes) -> Recipe:
    return replace(SMALL, stages=stages, **changes)


class Listener:
    """Remembers events, and answers the first of a kind with a request."""

    def __init__(self, kind=None, answer=None):
        self.events, self.kind, self.answer = [], kind, answer

    def __call__(self, event):
        self.events.append(event)
        if self.kind is not None and isinstance(event, self.kind):
            self.kind = None
            return self.answer
        return None

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_events_come_in_order_and_the_solution_is_that_of_the_last():
    listener = Listener()
    solution = train(PROBLEM, recipe(Stage(Adam(1e-2), iterations=30), Stage(SSBroyden(), iterations=40)), callbacks=[listener])
    kinds = [type(event) for event in listener.events]
    assert kinds[:2] == [Started, Compiled] and kinds[-2:] == [StageEnded, Finished]
    assert listener.of(Finished)[0].solution is solution
    assert [event.stage for event in listener.of(StageEnded)] == ["Adam", "self scaled broyden"]
    assert solution.steps == 70 and solution.stop_reason == "40 iterations done"
    assert solution.errors["u"]["relative_l2"] < 0.05
    assert solution.points == {"interior": 32} == dict(listener.of(Started)[0].points)
    assert listener.of(Started)[0].parameters == solution.theta.size == 19
    last = listener.of(Progress)[-1]
    assert last.loss == pytest.approx(solution.loss) and set(last.terms) == {"equation"}
    assert last.errors["u"] == pytest.approx(solution.errors["u"]["relative_l2"], rel=0.05)
    history = solution.history
    assert list(history.iteration) == sorted(history.iteration) and history.iteration[-1] == 70
    assert history.loss[-1] == pytest.approx(solution.loss) and history.stage[0] == "Adam"


def test_the_same_seed_gives_the_same_parameters_and_another_gives_others():
    one, two, other = (train(PROBLEM, recipe(Stage(Adam(1e-2), iterations=20)), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-9)
    assert np.abs(one.theta - other.theta).max() > 1e-3


def test_a_budget_ends_the_run_and_says_so():
    start = time.perf_counter()
    solution = train(PROBLEM, recipe(Stage(Adam(1e-4)), Stage(SSBroyden())), seconds=0.6)
    assert solution.stop_reason == "time budget of 0.6 s used up"
    assert solution.history.seconds[-1] == pytest.approx(0.6, abs=0.2)
    assert solution.seconds < time.perf_counter() - start + 0.1
    assert 0 <= solution.seconds_compile <= solution.seconds
    assert solution.history.stage.count("Adam") == len(solution.history)


def test_a_stage_has_its_share_of_the_time():
    listener = Listener()
    train(PROBLEM, recipe(Stage(Adam(1e-4), share=0.3), Stage(Adam(1e-4), name="late")), seconds=1.0, callbacks=[listener])
    first, second = (max(event.seconds for event in listener.of(Progress) if event.stage == name) for name in ("Adam", "late"))
    assert first == pytest.approx(0.3, abs=0.15) and second == pytest.approx(1.0, abs=0.2)
    assert "share of the time" in listener.of(StageEnded)[0].reason


def test_progress_is_told_now_and_then_not_at_every_step():
    listener = Listener()
    solution = train(PROBLEM, recipe(Stage(Adam(1e-4))), seconds=1.0, callbacks=[listener])
    assert 5 <= len(listener.of(Progress)) <= 14 < solution.steps / 20


@pytest.mark.parametrize("kind", [Started, Compiled, Progress])
def test_a_request_to_stop_ends_everything_and_keeps_what_there_is(kind):
    listener = Listener(kind, Stop("enough"))
    solution = train(PROBLEM, recipe(Stage(Adam(1e-3)), Stage(SSBroyden())), seconds=20, callbacks=[listener])
    assert solution.stop_reason == "enough" and solution.steps < 5_000
    assert np.isfinite(solution.theta).all() and isinstance(listener.events[-1], Finished)


def test_a_request_to_stop_at_the_end_of_a_stage_skips_the_next():
    listener = Listener(StageEnded, Stop("one is enough"))
    solution = train(PROBLEM, recipe(Stage(Adam(1e-3), iterations=5), Stage(SSBroyden())), callbacks=[listener])
    assert solution.steps == 5 and solution.stop_reason == "one is enough"


def test_a_request_for_fresh_points_changes_the_objective_only():
    def losses(answer):
        listener = Listener(Progress, answer)
        train(PROBLEM, recipe(Stage(LBFGS(), iterations=30)), callbacks=[listener])
        return [event.loss for event in listener.of(Progress)]

    kept, changed = losses(None), losses(Resample())
    assert kept[0] == pytest.approx(changed[0]) and kept[-1] != pytest.approx(changed[-1], rel=1e-9)


def test_a_checkpoint_is_a_solution_of_the_moment():
    kept = []
    listener = Listener(Progress, Checkpoint())
    solution = train(PROBLEM, recipe(Stage(Adam(1e-2), iterations=50)), callbacks=[listener], checkpoint=kept.append)
    assert len(kept) == 1 and kept[0].stop_reason == "running"
    assert kept[0].steps < solution.steps and kept[0].theta.shape == solution.theta.shape


def test_the_goal_ends_the_run():
    solution = train(PROBLEM, recipe(Stage(SSBroyden()), tolerance=1e-4), seconds=20)
    assert "of the first" in solution.stop_reason and solution.steps < 500


def test_training_goes_on_from_given_parameters():
    first = train(PROBLEM, recipe(Stage(SSBroyden(), iterations=60)))
    again = train(PROBLEM, recipe(Stage(SSBroyden(), iterations=2)), start=first.theta)
    assert again.history.loss[0] <= first.loss * (1 + 1e-9)
    with pytest.raises(RecipeError, match="the start has 3 parameters, the network 19"):
        train(PROBLEM, recipe(Stage(SSBroyden(), iterations=2)), start=np.zeros(3))


@dataclass(frozen=True)
class Breaking:
    """Adam whose fourth step leads nowhere finite."""

    inner: Adam = Adam(1e-2)

    def init(self, oracle, theta):
        return self.inner.init(oracle, theta)

    def step(self, oracle, state):
        return (Adam(1e300) if state.iteration == 3 else self.inner).step(oracle, state)

    def carry(self, oracle, state):
        return self.inner.carry(oracle, state)


def test_a_loss_that_is_not_finite_ends_its_stage_and_nothing_is_lost():
    listener = Listener()
    solution = train(PROBLEM, recipe(Breaking(), Stage(SSBroyden(), iterations=30)), callbacks=[listener])
    assert "not finite" in listener.of(StageEnded)[0].reason
    assert np.isfinite(solution.theta).all() and solution.loss < listener.of(Progress)[0].loss
    assert solution.stop_reason == "30 iterations done" and solution.steps == 33


def test_the_best_state_is_kept_when_the_steps_get_worse():
    solution = train(PROBLEM, recipe(Stage(Adam(lambda k: 1e-2 if k < 100 else 0.5), iterations=140)))
    assert solution.loss <= solution.history.loss.min() * (1 + 1e-9)


def test_an_equation_that_is_not_finite_is_refused_before_any_step():
    listener = Listener()
    with pytest.raises(NumericsError, match="equation is nan at x = "):
        train(poisson(equations=[lambda u, x: u.xx + np.log(-1 - u**2)]), recipe(Stage(Adam(1e-3))), callbacks=[listener])
    assert [type(event) for event in listener.events] == [Started]


# -- fresh points
def test_fresh_points_are_drawn_again_and_again_and_the_optimizer_goes_on():
    solution = train(PROBLEM, recipe(Stage(SSBroyden(), iterations=200), resample=Adaptive(every=40, candidates=256)))
    assert solution.errors["u"]["relative_l2"] < 1e-3 and solution.steps == 200


def test_a_run_whose_optimizer_always_stops_at_once_ends():
    """A tiny network reaches the bottom of float64, and fresh points do not take it further."""
    settled = Settled()
    assert [settled.judge(3, "flat"), settled.judge(3, "flat")] == [None, None]
    assert settled.judge(500, None) is None
    assert [settled.judge(3, "flat") for _ in range(3)][-1] == "flat (on 3 fresh clouds of points)"


def test_a_residual_that_no_longer_falls_ends_the_run():
    settled = Settled()
    assert settled.watch(1.0) is None and settled.watch(0.5) is None
    reasons = [settled.watch(0.49) for _ in range(20)]
    assert reasons[:-1] == [None] * 19 and "0.5 was the least" in reasons[-1]


def test_adaptive_points_are_dense_where_the_residual_is_large():
    domain = Box(x=(0, 1))
    fresh = sample(domain.interior, 4096, sobol, np.random.default_rng(0))
    size = np.where(fresh.points[:, 0] < 0.1, 50.0, 1.0)
    chosen = Adaptive(even=0.25).choose(fresh, size, 400, np.random.default_rng(1))
    assert chosen.count == 400 and len(np.unique(chosen.points)) == 400 and chosen.weights.sum() == pytest.approx(1)
    share = np.mean(chosen.points[:, 0] < 0.1)
    # in expectation 0.25 * 0.1 + 0.75 * 0.1 * (50 / 5.9 + 1) / 2
    assert 0.25 < share < 0.45
    even = Adaptive(power=0.0).choose(fresh, size, 400, np.random.default_rng(1))
    assert 0.05 < np.mean(even.points[:, 0] < 0.1) < 0.17
    nothing = Adaptive().choose(fresh, np.zeros(4096), 400, np.random.default_rng(1))
    assert nothing.count == 400
    assert Adaptive().choose(fresh, size, 5000, np.random.default_rng(1)) is fresh


# -- recipes
def test_what_is_left_open_comes_from_the_default():
    standard = default(PROBLEM)
    filled = complete(None, PROBLEM)
    assert replace(filled, ways=None) == replace(standard, ways=None)
    assert [way.stages for way in filled.each] == [way.stages for way in standard.ways]
    assert filled.each[0].network == standard.network and filled.each[1].network.activation is np.sin
    assert all(way.impose == "exact" and way.seconds == 60 for way in filled.each)
    mixed = complete(Recipe(points=100, seconds=5), PROBLEM)
    assert (mixed.points, mixed.seconds, mixed.network, mixed.stages) == (100, 5, standard.network, standard.stages)
    assert complete(Recipe(resample=False), PROBLEM).adaptive is None
    assert complete(Recipe(resample=70), PROBLEM).adaptive == Adaptive(every=70)


def test_points_are_shared_by_name_or_by_dimension():
    domain = Box(x=(0, 1), y=(0, 1))
    assert share_points({}, domain.interior, ("poisson",), True) == 8192
    assert share_points({}, domain.boundary, ("Dirichlet(u)",), False) == 512
    assert share_points(2048, domain.boundary, ("Dirichlet(u)",), False) == 256  # a quarter inside, half on the boundary
    assert share_points({"Dirichlet(u)": 7}, domain.boundary, ("Dirichlet(u)",), False) == 7
    assert share_points({"boundary": 9}, domain.boundary, ("Dirichlet(u)",), False) == 9
    assert share_points({}, Box(x=(0, 1)).boundary, ("Dirichlet(u)",), False) == 1


@pytest.mark.parametrize(("wrong", "said"), [
    ({"points": 0}, "must be positive"), ({"points": -5}, "must be positive"), ({"points": 2.5}, "whole number"),
    ({"points": True}, "whole number"), ({"points": {"interior": 0}}, "of 'interior' is 0"),
    ({"stages": []}, "no stages"), ({"stages": ["adam"]}, "'adam' is no optimizer"), ({"stages": [SSBroyden]}, "no optimizer"),
    ({"ways": [Adam()]}, "no recipes with stages"), ({"ways": [Recipe()]}, "no recipes with stages"),
    ({"ways": [Recipe(stages=[Adam()])], "stages": [Adam()]}, "stages and with ways"), ({"impose": "hope"}, "'penalty'"),
    ({"dtype": "float16"}, "float64 or float32"),
    ({"seconds": 0}, "positive number"), ({"seconds": float("nan")}, "positive number"), ({"weighting": -1}, "positive number"),
    ({"weighting": {"u": 0}}, "of 'u' is 0"), ({"resample": -5}, "must be positive"), ({"resample": 1.5}, "whole number"),
    ({"network": "mlp"}, "no network"), ({"tolerance": 2}, "share of the first loss"), ({"sampling": 3}, "no way of drawing"),
])
def test_recipes_that_cannot_be_followed_are_refused(wrong, said):
    with pytest.raises(RecipeError, match=said) as caught:
        Recipe(**wrong)
    assert caught.value.fix


@pytest.mark.parametrize("limits", [{"iterations": 0}, {"iterations": 1.5}, {"seconds": 0}, {"seconds": -1}, {"share": 0}])
def test_stages_with_impossible_limits_are_refused(limits):
    with pytest.raises(RecipeError):
        Stage(Adam(), **limits)


@pytest.mark.parametrize("options", [
    {"threads": 0}, {"threads": 1.5}, {"threads": "2"}, {"seed": -1}, {"seed": 0.5}, {"seed": None}, {"seed": "a"},
    {"callbacks": print}, {"callbacks": [3]}, {"seconds": 0}, {"seconds": "5"},
])
def test_options_are_read_before_anything_begins(options):
    with pytest.raises(RecipeError) as caught:
        train(PROBLEM, SMALL, **options)
    assert str(next(iter(options))).rstrip("s") in str(caught.value) or "time" in str(caught.value)
    assert caught.value.fix


# -- precision
FLAT = poisson(equations=[lambda u, x: u.xx / 10 + np.sin(np.pi * x)], exact=lambda x: 10 * np.sin(np.pi * x) / np.pi**2)


def test_float32_ends_with_a_reason_and_its_result_loads(tmp_path):
    solution = solve(FLAT, recipe(SSBroyden(), dtype="float32"), seconds=20.0)
    assert solution.seconds < 15
    assert "in float32" in solution.stop_reason or "decrease of the loss below 1.2e-07" in solution.stop_reason
    assert solution.errors["u"]["relative_l2"] < 1e-2 and solution.theta.dtype == np.float64
    kept = load(solution.save(tmp_path / "solution.npz"), FLAT)
    assert kept.recipe.dtype == "float32"
    np.testing.assert_array_equal(kept.theta, solution.theta)


@pytest.mark.parametrize(("said", "dtypes"), [
    ({"dtype": "mixed"}, [("float32", "float64"), ("float32", "float64")]),
    ({"dtype": "float32"}, [("float32",), ("float32",)]), ({}, [("float64",), ("float64",)])])
def test_a_stage_computes_in_what_it_says_and_else_in_what_its_recipe_says(said, dtypes):
    given = recipe(Adam(), SSBroyden(), **said)
    assert [given.dtypes(stage) for stage in given.stages] == dtypes
    assert given.dtypes(Stage(Adam(), dtype="float32")) == ("float32",)


@pytest.mark.parametrize("optimizer", [SSBroyden(), LBFGS()], ids=["SSBroyden", "LBFGS"])
def test_mixed_goes_on_in_float64_where_float32_ends(optimizer):
    coarse, mixed, exact = (train(FLAT, recipe(Stage(optimizer, iterations=1500), dtype=dtype))
                            for dtype in ("float32", "mixed", "float64"))
    assert mixed.steps > coarse.steps and "float32" not in mixed.stop_reason
    # two paths never end at the same loss: float32 stops far above, mixed within the spread of paths
    assert mixed.loss < 0.5 * coarse.loss and mixed.loss < 100 * exact.loss


def test_a_float32_stage_hands_its_parameters_to_a_float64_stage():
    listener = Listener()
    stages = Stage(Adam(1e-2), iterations=50, dtype="float32"), Stage(SSBroyden(), iterations=300)
    solution = train(FLAT, recipe(*stages), callbacks=[listener])
    early, late = (event for event in listener.of(StageEnded))
    assert (early.stage, late.stage) == ("Adam", "self scaled broyden")
    first = next(event for event in listener.of(Progress) if event.stage == late.stage)
    assert first.loss <= listener.of(Progress)[0].loss and solution.loss < 1e-4
    supply = solution.supply
    objective = Objective.of(FLAT, supply, complete(recipe(*stages), FLAT), np.random.default_rng(0))
    assert objective.dtype == "float32" and objective.eps == pytest.approx(1.19e-7, rel=0.01)
    sharp = objective.with_dtype("float64")
    loss, gradient = objective.loss_and_gradient(solution.theta)
    assert loss != sharp.loss_and_gradient(solution.theta)[0] and sharp.with_dtype("float64") is sharp
    theta = supply.initial(np.random.default_rng(3))
    assert objective.loss(theta) == pytest.approx(sharp.loss(theta), rel=1e-5)
