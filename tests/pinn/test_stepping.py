"""Features slab by slab: evolutions that they cannot follow at once, and marches in general."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pinn import MLP, Box, Dirichlet, Initial, LevenbergMarquardt, Polish, Problem, Recipe, Time, load, solve
from pinn.archive import save_solution
from pinn.errors import PinnError
from pinn.events import Progress, StageEnded
from pinn.portfolio import Turns
from pinn.recipe import complete
from pinn.stepping import Stepping
from pinn.way import Session, Way


def logistic(rate=1.0, end=1.0):
    """u' = rate u (1 - u), u(0) = 1e-3: an exact solution with a front."""
    return Problem("u", Time(t=(0, end)), [lambda u: u.t - rate * u * (1 - u)], [Initial(u=1e-3)],
                   exact=lambda t: 1e-3 / (1e-3 + (1 - 1e-3) * np.exp(-rate * t)))


def pendulum():
    """u'' = -sin u from nearly upright: long, and no series converges on all of it."""
    return Problem("u", Time(t=(0, 10)), [lambda u: u.tt + np.sin(u)], [Initial(u=3.0, u_t=0)])


def stepped(problem, seconds=60.0):
    """Features slab by slab alone: the stepping, and what it told."""
    recipe = complete(Recipe(network=MLP(width=4, depth=1)), problem)
    rng = np.random.default_rng(0)
    session = Session(problem, seconds, 0, 1)
    turns = Turns([Way(session, recipe.each[0], tuple(rng.spawn(3)))], None)
    stepping = Stepping(session, recipe, Polish(), turns, rng)
    session.waited(0.0)
    seen, turned = [], 0
    assert not stepping.over
    while not stepping.over:
        seen += list(stepping.turn())
        turned += 1
    assert turned >= len(stepping.slabs)
    return stepping, seen


def test_slab_by_slab(tmp_path):
    stepping, seen = stepped(pendulum(), 600.0)  # it takes a hundredth of that: no busy machine can make it fail
    solution = stepping.solution("done")
    t = np.linspace(0, 10, 101)
    known = solve_ivp(lambda _, y: [y[1], -np.sin(y[0])], (0, 10), [3.0, 0.0], t_eval=t, rtol=1e-12, atol=1e-13,
                      method="DOP853")
    assert np.max(np.abs(solution.u(t=t) - known.y[0])) < 1e-5
    moments = solution.recipe.march
    assert moments[0] == 0 and moments[-1] == 10 and len(moments) >= 9 and np.all(np.diff(moments) > 0)
    # values and velocities go on from slab to slab
    for moment in moments[1:-1]:
        below, above = moment - 1e-9, moment + 1e-9
        assert solution.u(t=below) == pytest.approx(solution.u(t=above), abs=1e-7)
        speed = solution.evaluate(lambda u: u.t, t=np.array([below, above]))
        assert speed[0] == pytest.approx(speed[1], abs=1e-6)
    assert any(type(one) is StageEnded and "slabs" in one.stage for one in seen)
    times = [one.seconds for one in seen if type(one) is Progress]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(times))
    again = load(save_solution(solution, tmp_path / "slabs.npz"), problem=pendulum())
    assert np.array_equal(again.u(t=t), solution.u(t=t))


def test_what_cannot_be_marched_is_not():
    problem = Problem("u", Box(x=(0, 1)), [lambda u: u.xx - 1], [Dirichlet(u=0)])
    stepping, seen = stepped(problem, 4.0)
    assert seen == [] and stepping.reached == np.inf


def test_a_march_is_over_when_training_is_better():
    recipe = complete(Recipe(network=MLP(width=4, depth=1)), pendulum())
    rng = np.random.default_rng(0)
    session = Session(pendulum(), 60.0, 0, 1)
    turns = Turns([Way(session, recipe.each[0], tuple(rng.spawn(3)))], None)
    stepping = Stepping(session, recipe, Polish(features=100), turns, rng)
    session.waited(0.0)
    assert not stepping.due(turns)  # not before what is trained had its turns
    while not stepping.slabs and not stepping.over and stepping._worst == -np.inf:
        list(stepping.turn())
    turns.seen[0] = [(1.0, stepping._worst + 5.0)]
    stepping.spent = 0.0
    assert stepping.due(turns)
    turns.seen[0] = [(1.0, stepping._worst - 1.0)]
    assert not stepping.due(turns) and stepping.over


@pytest.mark.parametrize(("each", "solved"), [(0.1375, 8), (0.17, 0)], ids=["a little late", "far too late"])
def test_a_march_that_is_nearly_done_may_be_late(each, solved, monkeypatch):
    recipe = complete(Recipe(network=MLP(width=4, depth=1)), logistic())
    rng, until = np.random.default_rng(0), 1e5  # seconds beside which real ones are nothing
    session = Session(logistic(), 4 * until, 0, 1)
    turns = Turns([Way(session, recipe.each[0], tuple(rng.spawn(3)))], None)
    stepping, real = Stepping(session, recipe, Polish(), turns, rng), Stepping._slab

    def slow(self, *args):
        found, _, reason, before = yield from real(self, *args)
        self.spent += each * until
        return found, each * until, reason, before

    monkeypatch.setattr(Stepping, "_slab", slow)
    session.waited(0.0)
    told = [one for one in stepping._march(8, until) if type(one) is StageEnded]
    assert len(stepping.slabs) == solved and len(told) == 1


@pytest.mark.parametrize("march", [(0.2, 0.5)])
def test_a_march_of_networks(march, tmp_path):
    recipe = Recipe(network=MLP(width=6, depth=1, activation="sin", frequency=2.0), points=64, march=march, polish=False,
                    ways=(Recipe(network=MLP(width=6, depth=1, activation="sin", frequency=2.0), points=64, resample=False,
                                 stages=[LevenbergMarquardt()]),))
    solution = solve(logistic(rate=4.0), recipe, seconds=6, threads=1)
    assert solution.errors["u"]["relative_l2"] < 1e-7
    assert len(solution.recipe.march) == 4
    again = load(solution.save(tmp_path / "march.npz"), problem=logistic(rate=4.0))
    t = np.linspace(0, 1, 40)
    assert np.array_equal(again.u(t=t), solution.u(t=t))
    assert solution.history.seconds.size and np.all(np.diff(solution.history.seconds) >= -1e-6)


@pytest.mark.parametrize(("march", "make"), [
    (0, logistic), (1.5, logistic), ("two", logistic), ((0.5, 0.2), logistic), ((), logistic), ((0.2, np.nan), logistic),
    ((0.5, 7.0), logistic), (2, lambda: Problem("u", Box(x=(0, 1)), [lambda u: u.xx], [Dirichlet(u=0)]))])
def test_bad_marches_are_refused(march, make):
    with pytest.raises(PinnError) as caught:
        solve(make(), Recipe(march=march), seconds=1, threads=1)
    assert caught.value.fix and caught.value.why
