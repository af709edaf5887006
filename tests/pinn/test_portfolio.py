"""Ways that take turns: who is next, when the others are given up, and that the lowest residual is the solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pinn import MLP, Adam, Box, Dirichlet, LevenbergMarquardt, Problem, Recipe, SSBroyden, Stage, solve
from pinn.errors import RecipeError
from pinn.events import Progress
from pinn.portfolio import EXPLORE, FAIR, TRIALS, Turns


@dataclass(eq=False)
class Fake:
    """A way whose residual falls by `rate` powers of ten a second, to `floor`."""

    rate: float
    floor: float = -16.0
    ended: str | None = None
    seconds: float = 0.0
    waits: float = 0.0

    def after(self, seconds: float) -> float:
        return max(-self.rate * max(seconds - self.waits, 0.0), self.floor)


def play(ways: list[Fake], seconds: float) -> tuple[Turns, list[int]]:
    """All turns until the end."""
    turns, now, order = Turns(ways, seconds), 0.0, []
    while (way := turns.next(now)) is not None:
        until = turns.until(now)
        way.seconds += until - now
        now = until
        index = ways.index(way)
        turns.seen[index].append((way.seconds, way.after(way.seconds)))
        if way.after(way.seconds) == way.floor:
            way.ended = "converged"
        order.append(index)
    return turns, order


def test_every_way_gets_its_trials_and_the_quicker_most_of_the_time():
    ways = [Fake(0.01), Fake(0.1)]
    turns, order = play(ways, 100.0)
    assert sorted(order[:2 * TRIALS]) == [0] * TRIALS + [1] * TRIALS
    assert turns.leader is ways[1] and ways[1].seconds > 2 * ways[0].seconds
    assert ways[0].seconds <= FAIR * 100.0 + turns.length  # the other cannot come to what is reached


def test_what_may_still_overtake_is_looked_at_now_and_then():
    turns, order = play([Fake(0.09), Fake(0.1)], 100.0)
    looked = [k for k in range(2 * TRIALS, len(order)) if order[k] == 0]
    assert looked and all(k % EXPLORE == EXPLORE - 1 for k in looked)
    assert order[-1] == 1  # not when the end is near


def test_a_slow_beginning_shuts_nobody_out():
    ways = [Fake(0.5, waits=25.0), Fake(0.05)]
    turns, order = play(ways, 200.0)  # both trials of the first end before it begins to fall
    assert ways[0].after(TRIALS * turns.length) == 0.0 and turns.leader is ways[0]
    slow = Fake(0.0)
    play([slow, Fake(0.01)], 1000.0)
    assert slow.seconds == pytest.approx(1000 * FAIR, abs=50.0)  # its share, and no more


def test_what_has_ended_far_ahead_ends_all():
    ways = [Fake(0.01), Fake(1.0, floor=-8.0)]
    turns, _ = play(ways, 1000.0)
    assert turns.leader is ways[1] and sum(way.seconds for way in ways) < 300


def test_what_has_ended_behind_leaves_the_time_to_the_other():
    ways = [Fake(1.0, floor=-0.5), Fake(0.02)]
    turns, _ = play(ways, 200.0)
    assert turns.leader is ways[1] and ways[1].seconds > 150


def test_a_single_way_has_no_turns():
    turns = Turns([Fake(1.0)], 50.0)
    assert turns.until(3.0) == 50.0 and turns.next(49.0) is turns.ways[0] and turns.next(50.0) is None


def poisson():
    return Problem("u", Box(x=(0, 1)), [lambda u, x: u.xx / np.pi**2 + np.sin(np.pi * x)], [Dirichlet(u=0)],
                   exact=lambda x: np.sin(np.pi * x))


def test_the_lowest_residual_on_fresh_points_is_the_solution():
    network = MLP(width=6, depth=1)
    poor = Recipe(network=network, stages=[Stage(Adam(1e-4), iterations=10)], points=32, resample=False)
    good = Recipe(network=network, stages=[LevenbergMarquardt()], points=64, resample=False)
    for ways in ((poor, good), (good, poor)):
        stages = []
        solution = solve(poisson(), Recipe(ways=ways, polish=False), seconds=6, threads=1,
                         callbacks=[lambda event, stages=stages: stages.append(getattr(event, "stage", ""))])
        assert solution.errors["u"]["relative_l2"] < 1e-6
        assert "Adam" in stages and "LevenbergMarquardt" in stages
        assert solution.recipe.stages[0].name == "LevenbergMarquardt"
        assert np.all(np.diff(solution.history.seconds) >= -1e-9)


def test_a_way_that_blows_up_does_not_lose_the_run():
    network = MLP(width=6, depth=1)
    wild = Recipe(network=network, stages=[Stage(Adam(1e300), iterations=50)], points=32, resample=False)
    good = Recipe(network=network, stages=[Stage(SSBroyden(), iterations=200)], points=64, resample=False)
    with np.errstate(all="ignore"):
        solution = solve(poisson(), Recipe(ways=(wild, good), polish=False), seconds=6, threads=1)
    assert solution.errors["u"]["relative_l2"] < 1e-3


def test_an_interrupt_keeps_the_best():
    network = MLP(width=6, depth=1)
    ways = tuple(Recipe(network=network, stages=[SSBroyden()], points=64, resample=False) for _ in range(2))

    def press(event):
        if type(event) is Progress and event.iteration > 30:
            raise KeyboardInterrupt
    try:
        solution = solve(poisson(), Recipe(ways=ways, polish=False), seconds=6, threads=1, callbacks=[press])
    except KeyboardInterrupt:
        pytest.skip("a callback's interrupt is the user's")
    assert solution.errors["u"]["relative_l2"] < 1


@pytest.mark.parametrize("ways", [(), 3, [MLP()], [Recipe()], [Recipe(ways=[Recipe(stages=[Adam()])])]])
def test_bad_ways_are_refused(ways):
    with pytest.raises(RecipeError) as caught:
        Recipe(ways=ways)
    assert caught.value.fix and caught.value.why


def test_stages_and_ways_are_not_both_said():
    with pytest.raises(RecipeError, match="stages and with ways"):
        Recipe(stages=[Adam()], ways=[Recipe(stages=[Adam()])])
