"""Where the time goes: parts that add up to the whole, kernels counted by kind, and nothing of it unless it was asked."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from pinn import MLP, Adam, Recipe, Stage, cli, load, run, solve
from pinn.callbacks import profile_rows
from pinn.objective import Objective, Patch
from pinn.optimizers import LevenbergMarquardt, NaturalGradient, NewtonCG, SSBroyden
from pinn.peak import measure_peak
from pinn.profile import TimedPatch, watched
from pinn.stopwatch import COMPILE, KERNEL, PYTHON, Stopwatch, timed
from pinn.supply import Supply
from tests.pinn.tiny import write_tiny

PARTS = {"build", "compile", "sampling", "optimizer", "errors", "callbacks", "peak", "python"}


class Hand:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(stopwatch, clock, story):
    """A story of seconds that pass and of parts with a story of their own."""
    for entry in story:
        if isinstance(entry, tuple):
            with stopwatch.section(entry[0]):
                tell(stopwatch, clock, entry[1:])
        else:
            clock.now += entry


@pytest.mark.parametrize(("story", "expected"), [
    ([1], {PYTHON: 1}),
    ([1, ("a", 2), 4], {PYTHON: 5, "a": 2}),
    ([("a", 1, ("b", 2), 4), ("b", 8)], {PYTHON: 0, "a": 5, "b": 10}),
    ([("a", 1, ("a", 2))], {PYTHON: 0, "a": 3}),
    ([(COMPILE, 1, ("a", 2, ("b", 4))), ("a", 8)], {PYTHON: 0, COMPILE: 7, "a": 8}),
])
def test_every_moment_belongs_to_one_part(story, expected):
    clock = Hand()
    stopwatch = Stopwatch(clock)
    tell(stopwatch, clock, story)
    assert stopwatch.read() == expected


def test_a_part_ends_where_an_exception_leaves_it():
    clock = Hand()
    stopwatch = Stopwatch(clock)
    with pytest.raises(KeyError), stopwatch.section("a"):
        clock.now += 1
        raise KeyError
    clock.now += 2
    assert stopwatch.read() == {PYTHON: 2, "a": 1}
    with timed(None, "a"):
        clock.now += 4
    assert stopwatch.read() == {PYTHON: 6, "a": 1}


def stage(optimizer):
    return Recipe(network=MLP(width=6, depth=1), points=32, resample=False, stages=[Stage(optimizer, iterations=15)])


@pytest.mark.parametrize(("optimizer", "kinds"), [
    (Adam(1e-2), {"loss_and_gradient"}), (SSBroyden(), {"loss_and_gradient"}),
    (LevenbergMarquardt(), {"loss_and_gradient", "loss", "residual", "jacobian"}),
    (LevenbergMarquardt(geodesic=True), {"loss_and_gradient", "loss", "residual", "jacobian", "jvp"}),
    (NaturalGradient(), {"loss_and_gradient", "loss", "residual", "jacobian"}),
    (NewtonCG(rank=5), {"loss_and_gradient", "hvp"})], ids=["adam", "broyden", "marquardt", "geodesic", "natural", "newton"])
def test_the_parts_are_the_whole_and_calls_are_told_by_kind(optimizer, kinds, tmp_path):
    problem, _ = run.load_problem(write_tiny(tmp_path))
    start = time.perf_counter()
    solution = solve(problem, stage(optimizer), threads=1, profile=True)
    wall = time.perf_counter() - start
    told = solution.profile
    assert sum(told["parts"].values()) == pytest.approx(told["seconds"], rel=1e-12)
    assert 0.95 * wall <= told["seconds"] <= wall and told["seconds"] >= solution.seconds
    assert min(told["parts"].values()) >= 0 and set(told["parts"]) >= PARTS
    # the residual on fresh points at the end asks for one kind more
    assert {kind.partition(",")[0] for kind in told["kernels"]} - {"residual"} == kinds - {"residual"}
    for kind, kernel in told["kernels"].items():
        assert kernel["calls"] > 0 and kernel["seconds"] == told["parts"][KERNEL + kind]
        assert kernel["share_of_peak"] == pytest.approx(kernel["flops"] / kernel["seconds"] / told["peaks"]["float64"])
    assert told["kernels"]["loss_and_gradient, float64"]["calls"] >= 15


def test_the_work_is_that_of_the_plans(tmp_path):
    problem, _ = run.load_problem(write_tiny(tmp_path))
    stopwatch, recipe = Stopwatch(), Recipe(network=MLP(width=6, depth=2), points=32)
    supply = Supply(problem, recipe.network)
    plain = Objective.of(problem, supply, run.complete(recipe, problem), np.random.default_rng(0))
    objective, theta = watched(plain, stopwatch), supply.initial(np.random.default_rng(0))
    first = objective.loss_and_gradient(theta)
    calls = dict(stopwatch.calls)
    second = objective.loss_and_gradient(theta)
    assert first[0] == second[0] == plain.loss_and_gradient(theta)[0] and np.array_equal(first[1], second[1])
    kind = f"{KERNEL}loss_and_gradient, float64"
    each = sum(cloud.count * patch.program.gemm_flops() for patch, cloud in zip(plain.patches, plain.clouds, strict=True))
    assert each > 0 and stopwatch.calls[kind] - calls.get(kind, 0) == len(plain.patches)
    before = stopwatch.flops[kind]
    objective.with_weights(objective.weights).loss_and_gradient(theta)
    assert stopwatch.flops[kind] == before + each


def test_nothing_is_timed_unless_it_is_asked(tmp_path):
    problem, recipe = run.load_problem(write_tiny(tmp_path))
    objective = Objective.of(problem, Supply(problem, recipe.network), run.complete(recipe, problem), np.random.default_rng(0))
    assert watched(objective, None) is objective
    assert {type(patch) for patch in objective.patches} == {Patch}
    assert {type(patch) for patch in watched(objective, Stopwatch()).patches} == {TimedPatch}
    assert solve(problem, recipe).profile is None


def test_the_command_line_shows_a_profile_and_keeps_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    assert cli.main(["solve", "tiny.py", "--profile", "--out", "out", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["profile"]
    for label, text in profile_rows(told):
        assert label in shown and text.strip() in shown
    assert set(told["parts"]) >= PARTS | {"results"} and "of the peak" in shown
    assert sum(told["parts"].values()) == pytest.approx(told["seconds"], rel=1e-12)
    assert load("out").steps == 80


def test_the_peak_is_a_rate():
    assert 1e8 < measure_peak(1, "float64", 0.01) < 1e14
