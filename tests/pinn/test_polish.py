"""Random features first and on top: what they solve by themselves, what they add, what they leave to others."""

from __future__ import annotations

import numpy as np
import pytest

from pinn import MLP, Adam, Box, Dirichlet, Initial, Polish, Problem, Recipe, SSBroyden, Stage, Sum, Time, load, solve
from pinn.errors import RecipeError
from pinn.events import Compiled, Progress, StageEnded, Started, Stop
from pinn.networks import RandomFeatures
from pinn.polish import NAME, neighbours, starts
from pinn.solver import train


def poisson(k=1.0, **more):
    return Problem("u", Box(x=(0, 1)), [lambda u, x: u.xx / (k * np.pi) ** 2 + np.sin(k * np.pi * x)], [Dirichlet(u=0)],
                   exact=lambda x: np.sin(k * np.pi * x), **more)


def bratu():
    """u'' = -2 exp(u) / cosh(1/2)^2 ... with u = -2 log(cosh(x - 1/2) / cosh(1/2))."""
    return Problem("u", Box(x=(0, 1)), [lambda u, x: u.xx + 2 * np.exp(u) / np.cosh(0.5) ** 2], [Dirichlet(u=0)],
                   exact=lambda x: -2 * np.log(np.cosh(x - 0.5) / np.cosh(0.5)))


def pair():
    """u_t = v_x, v_t = u_x, periodic."""
    return Problem(("u", "v"), Box(x=(0, 2), periodic="x") * Time(t=(0, 1)), [lambda u, v: u.t - v.x, lambda u, v: v.t - u.x],
                   [Initial(u=lambda x: np.sin(np.pi * x), v=0)],
                   exact=lambda x, t: {"u": np.sin(np.pi * x) * np.cos(np.pi * t), "v": np.cos(np.pi * x) * np.sin(np.pi * t)})


def error_of(solution):
    return max(one["relative_l2"] for one in solution.errors.values())


@pytest.mark.parametrize(("make", "reach"), [(poisson, 1e-12), (bratu, 1e-12), (pair, 1e-10)])
@pytest.mark.parametrize("impose", ["exact", "penalty"])
def test_smooth_solutions_need_no_training(make, reach, impose, tmp_path):
    events = []
    solution = solve(make(), Recipe(impose=impose), seconds=20, threads=1, callbacks=[events.append])
    assert error_of(solution) < reach
    assert Compiled not in [type(event) for event in events] and solution.seconds_compile == 0
    assert type(events[0]) is Started and any(type(one) is Progress and one.stage == NAME for one in events)
    assert solution.verdict.word == "trust"
    assert "of the first" in solution.stop_reason
    again = load(solution.save(tmp_path / "features.npz"), problem=make())
    points = np.random.default_rng(0).uniform(0, 1, (20, len(make().domain.coordinates)))
    for name, values in solution.fields(points).items():
        assert np.array_equal(again.fields(points)[name], values)


def test_frequencies_are_found():
    # 20 half waves across the interval: far from where the search begins
    solution = solve(poisson(k=20.0), seconds=20, threads=1)
    assert error_of(solution) < 1e-10


@pytest.mark.parametrize("per_field", [False, True])
def test_what_is_trained_is_corrected(per_field):
    way = Recipe(network=MLP(width=8, depth=1, per_field=per_field), stages=[Stage(SSBroyden(), iterations=60)],
                 points=256, resample=False)
    first = solve(pair(), Recipe(network=way.network, ways=(way,), polish=False), seconds=20, threads=1)
    seen = []
    # taken up from given weights, features do not begin by themselves
    recipe = Recipe(network=way.network, ways=(way,), polish=Polish())
    solution = train(pair(), recipe, seconds=20, threads=1, start=first.weights, callbacks=[seen.append])
    assert error_of(solution) < 1e-4 * error_of(first)
    last = solution.supply.network
    assert isinstance(last.networks[-1] if isinstance(last, Sum) else last, RandomFeatures)
    assert type(seen[1]) is Compiled and any(type(one) is StageEnded and one.stage == NAME for one in seen)


def test_a_hopeless_equation_is_left_to_the_networks():
    # a layer of width 1e-3 that moves: features by themselves win nothing
    problem = Problem("u", Box(x=(-1, 1)) * Time(t=(0, 1)), [lambda u: u.t + u * u.x - 1e-3 * u.xx],
                      [Initial(u=lambda x: -np.sin(np.pi * x)), Dirichlet(u=0)])
    stages = [Stage(Adam(1e-2), iterations=5)]
    recipe = Recipe(ways=(Recipe(network=MLP(width=4, depth=1), stages=stages, points=64, resample=False),), polish=Polish())
    seen = []
    solution = solve(problem, recipe, seconds=6, threads=1, callbacks=[seen.append])
    assert any(type(one) is Progress and one.stage == "Adam" for one in seen)
    assert solution.verdict.word != "trust"


def test_a_run_can_be_stopped_in_its_first_second():
    def stop(event):
        return Stop("enough") if isinstance(event, Progress) else None

    solution = solve(bratu(), seconds=20, threads=1, callbacks=[stop])
    assert solution.stop_reason == "enough" and np.isfinite(solution.u(x=0.5))


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no"), MemoryError(), ValueError("odd")])
def test_a_failure_of_features_costs_nothing_but_themselves(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("pinn.added.Added.of", fail)
    way = Recipe(network=MLP(width=6, depth=1), stages=[Stage(SSBroyden(), iterations=100)], points=64, resample=False)
    solution = solve(poisson(), Recipe(ways=(way,), polish=Polish()), seconds=5, threads=1)
    assert error_of(solution) < 1e-2


def test_polish_can_be_left_out():
    recipe = Recipe(network=MLP(width=4, depth=1), points=32, polish=False,
                    ways=(Recipe(network=MLP(width=4, depth=1), stages=[Stage(Adam(1e-2), iterations=3)], resample=False),))
    seen = []
    solve(poisson(), recipe, seconds=5, threads=1, callbacks=[seen.append])
    assert all(one.stage != NAME for one in seen if type(one) is Progress)


@pytest.mark.parametrize("make", [lambda: Polish(features=0), lambda: Polish(fastest=-1.0), lambda: Polish(features=1.5),
                                  lambda: Recipe(polish=3)])
def test_bad_polish_is_refused(make):
    with pytest.raises(RecipeError) as caught:
        make()
    assert caught.value.fix


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_search_moves_along_every_axis(n):
    moves, far = np.array(neighbours(n)), np.array(list(starts(np.full(n, 12.0))))
    assert len(np.unique(moves, axis=0)) == len(moves) and np.all(moves.prod(axis=1) != 1)
    assert len(np.unique(far, axis=0)) == len(far) and set(np.unique(far)) <= {3.0, 12.0, 48.0}
    assert len(far) <= 8 + 5 * n
