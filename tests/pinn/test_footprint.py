"""The memory that is told before a run, beside what the arrays of the run take."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pinn import (
    MLP,
    Adam,
    Box,
    Dirichlet,
    Initial,
    LevenbergMarquardt,
    NaturalGradient,
    Neumann,
    NewtonCG,
    Problem,
    Recipe,
    SSBroyden,
    Stage,
    Time,
    solve,
)
from pinn.adaptive import Adaptive
from pinn.footprint import footprint
from pinn.objective import Objective
from pinn.optimizers import LBFGS
from pinn.profile import watched
from pinn.recipe import complete
from pinn.run import check
from pinn.stopwatch import KERNEL, Stopwatch
from pinn.supply import Supply


def heat(**conditions) -> Problem:
    def equation(u, x):
        return u.t - 0.1 * u.xx + np.sin(np.pi * x) ** 3

    return Problem("u", Box(x=(0, 1)) * Time(t=(0, 1)), [equation],
                   [Initial(u=lambda x: np.exp(np.sin(np.pi * x))), Dirichlet(u=0, **conditions)])


def wall() -> Problem:
    domain = Box(x=(0, 1), y=(0, 1))
    conditions = [Dirichlet(u=1, on=domain.face(x=0)), Neumann(u=0, on=domain.face(x=1)), Dirichlet(u=0, on=domain.face(y=0)),
                  Dirichlet(u=0, on=domain.face(y=1))]
    return Problem("u", domain, [lambda u: u.xx + u.yy], conditions)


@pytest.mark.parametrize("stated", [heat, wall])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_points_columns_and_workspaces_are_those_of_the_run(stated, dtype):
    problem = stated()
    recipe = complete(Recipe(network=MLP(width=8, depth=2), points=1000, stages=[Adam()], dtype=dtype, resample=False), problem)
    supply = Supply(problem, recipe.network)
    told = footprint(problem, recipe, supply)
    objective = Objective.of(problem, supply, recipe, np.random.default_rng(0))
    objective.loss_and_gradient(supply.initial(np.random.default_rng(0)))
    clouds = sum(array.nbytes for cloud in objective.clouds for array in (cloud.points, cloud.weights))
    normals = sum(cloud.normals.nbytes for patch, cloud in zip(objective.patches, objective.clouds, strict=True)
                  if any(term.uses_normals for term in patch.terms))
    assert told.points == clouds + normals
    held = [one._run("loss_and_gradient") for one in objective.bound]
    columns = sum(one._table.nbytes for one in objective.bound) + sum(run.packed.data.nbytes for run in held)
    # the last tile of each cloud is filled up
    assert told.columns <= columns <= told.columns + sum(128 * 8 * run.packed.columns for run in held)
    spaces = [run.workspaces[0].nbytes for run in held]
    assert max(spaces) <= told.workspaces == max(spaces) * len(spaces)
    assert told.flops == sum(cloud.count * patch.program.gemm_flops()
                             for patch, cloud in zip(objective.patches, objective.clouds, strict=True))
    assert told.milliseconds(1e9) > 1e3 * told.flops / 1e9


@pytest.mark.parametrize(("optimizer", "least"), [
    (Adam(), lambda n, m: 4 * n), (LBFGS(memory=9), lambda n, m: 4 * 9 * n), (SSBroyden(), lambda n, m: n * n),
    (LevenbergMarquardt(), lambda n, m: 4 * n * m), (NaturalGradient(), lambda n, m: 4 * n * m),
    (NewtonCG(rank=7), lambda n, m: 6 * 7 * n)], ids=["adam", "lbfgs", "broyden", "marquardt", "natural", "newton"])
def test_the_optimizer_counts(optimizer, least):
    problem = heat()
    recipe = complete(Recipe(network=MLP(width=8, depth=2), points=1000, stages=[optimizer]), problem)
    supply = Supply(problem, recipe.network)
    residuals = sum(count for count, _ in footprint(problem, recipe, supply).work)
    n = supply.layout.size
    assert 8 * least(n, residuals) <= footprint(problem, recipe, supply).optimizer <= 8 * (least(n, residuals) + 12 * n)


@pytest.mark.parametrize("resample", [False, Adaptive(every=1, candidates=100_000)], ids=["same", "fresh"])
def test_a_run_needs_what_was_told(resample):
    problem = heat()
    recipe = complete(Recipe(network=MLP(width=8, depth=2), points=100_000, stages=[Stage(Adam(), iterations=3)],
                             resample=resample), problem)
    told = footprint(problem, recipe, Supply(problem, recipe.network)).bytes
    solve(problem, recipe, threads=1)  # compiles
    tracemalloc.start()
    try:
        solve(problem, recipe, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.6 * told < peak < 1.3 * told


def test_fresh_points_count_by_the_larger_of_points_and_candidates():
    problem, told = heat(), []
    for candidates in (500, 1000, 4000):
        recipe = complete(Recipe(network=MLP(width=8, depth=2), points=1000, resample=Adaptive(candidates=candidates)), problem)
        told.append(footprint(problem, recipe, Supply(problem, recipe.network)).fresh)
    assert told[0] == told[1] == told[2] / 4


def test_checking_tells_time_and_memory():
    rows = dict((label, text) for label, text, _ in dict(check(heat()))["a run"])
    assert "ms for loss and gradient" in rows["time"] and "GF/s" in rows["time"]
    assert "MB beside Python" in rows["memory"] and "optimizer" in rows["memory"]


def test_terms_of_the_best_are_told_without_another_evaluation():
    problem = heat()
    recipe = complete(Recipe(network=MLP(width=8, depth=2), points=100), problem)
    supply, stopwatch = Supply(problem, recipe.network), Stopwatch()
    objective = watched(Objective.of(problem, supply, recipe, np.random.default_rng(0)), stopwatch)
    one, two, three = (supply.initial(np.random.default_rng(seed)) for seed in range(3))
    found = {objective.loss_and_gradient(theta)[0]: theta for theta in (one, two, three)}
    best = found[min(found)]
    before = dict(stopwatch.calls)
    told = objective.terms(best)
    assert objective.terms(three) and stopwatch.calls == before
    assert f"{KERNEL}loss_and_gradient, float64" in before or len(before) == 0
    assert told == objective.with_weights(objective.weights).terms(best)
