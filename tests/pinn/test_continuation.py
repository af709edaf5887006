"""A curriculum: every problem begins where the one before came to, as one run with one clock and one history."""

import numpy as np
import pytest

import pinn
from pinn import MLP, Adam, Adaptive, Box, Dirichlet, Initial, Problem, Recipe, SSBroyden, Stage, Time, curriculum
from pinn.errors import NumericsError, RecipeError
from pinn.events import Compiled, Finished, Progress, StageEnded, Started, Stop


def wave(k):
    """u'' = -(k pi)^2 sin(k pi x)."""
    def equation(u, x):
        return u.xx / np.pi**2 + k**2 * np.sin(k * np.pi * x)

    return Problem(unknowns="u", domain=Box(x=(0, 1)), equations=[equation], conditions=[Dirichlet(u=0)],
                   exact=lambda x: np.sin(k * np.pi * x), name="wave", parameters={"k": k})


RECIPE = Recipe(network=MLP(width=10, depth=1), points=64, resample=False,
                stages=[Stage(Adam(1e-2), iterations=50), Stage(SSBroyden(), iterations=150)])


def test_each_value_begins_from_the_weights_of_the_one_before_and_it_is_one_run(tmp_path):
    events = []
    solution = curriculum(wave, [1.0, 1.5, 2.0], RECIPE, callbacks=[events.append], enough=1e-30)
    kinds = [type(event) for event in events]
    assert kinds[0] is Started and kinds[-1] is Finished and kinds.count(Started) == kinds.count(Finished) == 1
    assert events[-1].solution is solution and solution.problem.parameters == {"k": 2.0}
    assert [event.stage for event in events if type(event) is StageEnded] == [
        "1, Adam", "1, self scaled broyden", "1.5, self scaled broyden", "2, self scaled broyden"]
    assert solution.steps == 50 + 3 * 150 == solution.history.iteration[-1]
    assert list(solution.history.seconds) == sorted(solution.history.seconds)
    seconds = [event.seconds for event in events if type(event) is Progress]
    assert seconds == sorted(seconds)
    assert solution.errors["u"]["relative_l2"] < 1e-3
    # what is new begins from a field that is nearly right, not from noise
    first = next(event for event in events if type(event) is Progress and event.stage.startswith("1.5,"))
    assert first.errors["u"] < 1.0
    assert kinds.count(Compiled) == 3
    again = pinn.load(solution.save(tmp_path / "wave.npz"))
    np.testing.assert_array_equal(again.u(x=np.linspace(0, 1, 5)), solution.u(x=np.linspace(0, 1, 5)))


def test_a_value_is_left_when_enough_of_its_loss_is_gone_and_the_seed_decides():
    one, two = (curriculum(wave, (1.0, 1.5), RECIPE, enough=0.5, seed=4) for _ in range(2))
    assert one.steps < 350 and np.array_equal(one.theta, two.theta)
    assert one.stop_reason == "150 iterations done"


def test_one_value_is_an_ordinary_solve():
    assert np.array_equal(curriculum(wave, [1.0], RECIPE, seed=2).theta, pinn.solve(wave(1.0), RECIPE, seed=2).theta)


def test_the_time_is_shared():
    seconds = {}

    def listen(event):
        if isinstance(event, Progress):
            seconds[event.stage.split(",")[0]] = event.seconds
            assert event.budget_seconds == 0.9

    solution = curriculum(wave, [1.0, 1.5, 2.0], Recipe(network=MLP(width=10, depth=1), points=64, stages=[Adam(1e-4)],
                          resample=Adaptive(every=10_000)), seconds=0.9, callbacks=[listen], enough=1e-12)
    assert solution.stop_reason == "time budget of 0.9 s used up"
    assert seconds["1"] == pytest.approx(0.3, abs=0.1) and seconds["2"] == pytest.approx(0.9, abs=0.2)


def test_what_is_stopped_before_the_end_has_no_solution_and_at_the_end_has_one():
    def stop_at(name):
        return lambda event: Stop("enough") if isinstance(event, Progress) and event.stage.startswith(name) else None

    with pytest.raises(NumericsError, match="stopped at 1"):
        curriculum(wave, [1.0, 2.0], RECIPE, callbacks=[stop_at("1,")])
    assert curriculum(wave, [1.0, 2.0], RECIPE, callbacks=[stop_at("2,")]).stop_reason == "enough"


def turned(k):
    return Problem(unknowns="u", domain=Box(x=(0, 1)) * Time(t=(0, k)), equations=[lambda u, t: u.t - k * u],
                   conditions=[Initial(u=1)])


@pytest.mark.parametrize(("given", "why"), [
    ((3, [1]), "a function of its parameter"), ((wave, []), "at least one"), ((wave, "12"), "at least one"),
    ((wave, 3), "at least one"), ((lambda k: k, [1]), "a function that returns one"),
    ((lambda k: wave(k) if k == 1 else turned(k), [1, 2]), "one network goes through all"),
    ((turned, [1, 2], Recipe(march=2)), "for every slab"),
], ids=("no function", "no value", "a word", "a number", "no problem", "another problem", "marching"))
def test_what_is_no_curriculum_is_refused(given, why):
    with pytest.raises(RecipeError, match=why) as caught:
        curriculum(*given)
    assert caught.value.fix
    with pytest.raises(RecipeError, match="positive number"):
        curriculum(wave, [1], RECIPE, enough=0)
