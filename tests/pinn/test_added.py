"""Features added to fields: residuals and their derivatives beside those of compiled kernels, steps beside exact answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import autodiff as ad
from pinn import MLP, Box, Dirichlet, Initial, Neumann, Problem, Time
from pinn.added import Added
from pinn.blockwise import columns_of
from pinn.imposition import impose_by
from pinn.networks import RandomFeatures, Waves
from pinn.objective import Objective, patches_of
from pinn.recipe import complete
from pinn.supply import Supply, frozen

PLANE = Box(x=(0, 2), y=(-1, 1))


def linear():
    return Problem("u", PLANE, [lambda u, x, y: u.xx + u.yy + x * u.y - np.sin(x)], [Dirichlet(u=lambda x, y: x * y)])


def nonlinear():
    return Problem("u", Box(x=(0, 1)) * Time(t=(0, 1)), [lambda u: u.t + u * u.x - 0.1 * u.xx],
                   [Initial(u=lambda x: np.sin(np.pi * x)), Dirichlet(u=0)])


def several():
    return Problem(("u", "v"), Box(x=(0, 1), periodic="x") * Time(t=(0, 1)),
                   [lambda u, v: u.t + v.x + u * v, lambda u, v: v.t - 2 * u.x],
                   [Initial(u=lambda x: np.sin(2 * np.pi * x), v=0)])


def sloped():
    return Problem("u", Box(x=(0, 1), y=(0, 1)), [lambda u: u.xx + u.yy - 1],
                   [Neumann(u=lambda x, y: y, on=Box(x=(0, 1), y=(0, 1)).face(x=0)),
                    Dirichlet(u=0, on=Box(x=(0, 1), y=(0, 1)).face(x=1))])


CASES = {"linear": (linear, "exact"), "penalty": (linear, "penalty"), "nonlinear": (nonlinear, "exact"),
         "two unknowns, periodic": (several, "exact"), "a trace": (sloped, "exact")}


def added_and_objective(make, impose, base=False, count=12, per_field=False):
    """The same features: as Added, and as a network in an Objective with kernels, over the same points."""
    problem, rng = make(), np.random.default_rng(0)
    imposition, recipe = impose_by(impose, problem), complete(None, problem)
    fields = None
    if base:
        network = Supply(problem, MLP(width=4, depth=1), imposition)
        fields = frozen(network, network.initial(rng) + 0.3)
    features = RandomFeatures(count, 3.0, per_field=per_field)
    weights = [np.linspace(1, 2, len(patch.owners)) for patch in patches_of(Supply(problem, features, imposition), recipe)]
    added = Added.of(problem, imposition, fields, features, recipe, weights, rng, 1)
    supply = Supply(problem, features, imposition, fields)
    objective = Objective.of(problem, supply, replace(recipe, points={"interior": 8}), rng)
    return added, objective.with_clouds(added.clouds).with_weights(weights)


@pytest.mark.parametrize("base", [False, True], ids=["alone", "on a base"])
@pytest.mark.parametrize("case", CASES)
def test_rows_are_derivatives_of_the_residuals_of_the_same_network(case, base):
    added, objective = added_and_objective(*CASES[case], base=base, per_field=case.startswith("two"))
    rng = np.random.default_rng(1)
    c = rng.normal(size=added.size)
    assert added.size == objective.size == added.supply.layout.size

    def residual(theta):
        parts = [patch.residuals_at(cloud, theta, 1, "float64")
                 for patch, cloud in zip(objective.patches, added.clouds, strict=True)]
        return np.concatenate([(factor * part).ravel() for factor, part in zip(added.factors, parts, strict=True)])

    r, jacobian = added.both(c)
    assert r == pytest.approx(residual(c), rel=1e-11, abs=1e-12)
    for d in rng.normal(size=(3, c.size)):  # quadratic in c at most, so that differences are exact
        assert jacobian @ d == pytest.approx(0.5 * (residual(c + d) - residual(c - d)), rel=1e-9, abs=1e-10)
    assert added.loss(c.copy()) == pytest.approx(r @ r)
    assert added.points() == objective.points()


def test_rows_and_terms_are_those_of_the_kernels():
    added, objective = added_and_objective(*CASES["penalty"])
    c = np.random.default_rng(1).normal(size=added.size)
    expected = objective.jacobian(c)
    assert np.abs(added.both(c)[1] - expected).max() <= 1e-11 * np.abs(expected).max()
    assert added.terms(c) == pytest.approx(objective.terms(c), rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_threads_leave_the_bits_alone(case):
    added, _ = added_and_objective(*CASES[case], count=40)
    c = np.random.default_rng(1).normal(size=added.size)
    two = replace(added, threads=2, last={})
    assert all(np.array_equal(a, b) for a, b in zip(added.both(c), two.both(c.copy()), strict=True))


def test_other_frequencies_are_other_features():
    added, _ = added_and_objective(linear, "exact")
    features = RandomFeatures(12, (1.0, 9.0), seed=5)
    other = added.faster(features, None)
    c = np.random.default_rng(1).normal(size=added.size)
    supply = Supply(linear(), features, added.waves.imposition)
    patch, = patches_of(supply, complete(None, linear()))
    expected = patch.residuals_at(added.clouds[0], c, 1, "float64")
    assert other.both(c)[0] == pytest.approx((added.factors[0] * expected).ravel(), rel=1e-12, abs=1e-13)
    assert other.supply.network == features and not np.array_equal(other.fixed, added.fixed)


def test_one_step_solves_a_linear_equation():
    added, _ = added_and_objective(linear, "exact", count=60)
    before, foreseen = added.foreseen()
    c, loss, _ = added.step(np.zeros(added.size), 0)
    r, jacobian = added.both(np.zeros(added.size))
    best = np.linalg.lstsq(jacobian, -r, rcond=1e-15)[0]
    assert foreseen < 0.1 * before
    assert loss == pytest.approx(foreseen**2, rel=1e-6) == pytest.approx(np.sum((r + jacobian @ best) ** 2), rel=1e-6)
    assert added.loss(c) == pytest.approx(loss)


@pytest.mark.parametrize("make, affine", [(linear, True), (nonlinear, False), (several, False), (sloped, True)])
def test_what_is_affine_is_known_as_such(make, affine):
    assert added_and_objective(make, "exact")[0].is_linear() is affine


@pytest.mark.parametrize("residual", [lambda u, x: u.xx - u**3, lambda u, x: u.xx + np.sin(u), lambda u, x: u.xx + np.abs(u)],
                         ids=["odd", "bounded", "homogeneous"])
def test_what_is_bent_is_not_affine(residual):
    problem = Problem("u", Box(x=(0, 1)), [residual], [Dirichlet(u=0)])
    recipe, imposition = complete(None, problem), impose_by("exact", problem)
    features = RandomFeatures(30, 6.0)
    assert not Added.of(problem, imposition, None, features, recipe, [np.ones(1)], np.random.default_rng(0), 1).is_linear()


def test_coarse_steps_are_those_of_fewer_features_on_fewer_points():
    added, _ = added_and_objective(nonlinear, "exact", count=80)
    coarse = added.coarse()
    assert sum(cloud.count for cloud in coarse.clouds) == -(-sum(cloud.count for cloud in added.clouds) // 4)
    c, loss, _ = coarse.step(np.zeros(added.size), 0)
    assert np.count_nonzero(c) == 20 and not c[1::4].any()
    assert added.loss(c) < 0.1 * added.loss(np.zeros(added.size))
    assert loss == pytest.approx(coarse.loss(c.copy())) == pytest.approx(added.loss(c), rel=1.0)


def test_dear_operations_are_done_once():
    added, _ = added_and_objective(nonlinear, "exact", count=16)
    for plain, rows in zip(added.plain, added.rows, strict=True):
        names = [{node.op.name for node in ad.walk(one.nodes) if node.args} for one in (plain, rows)]
        assert "sin" in names[0] and not {"sin", "cos"} & names[1]


def test_steps_converge_quadratically_where_the_residual_can_vanish():
    # as many features as residuals, so that Gauss-Newton is Newton
    problem = Problem("u", Box(x=(0, 1)), [lambda u, x: u.xx - u**3 - np.exp(x)], [Dirichlet(u=0)])
    recipe, imposition = complete(None, problem), impose_by("exact", problem)
    added = Added.of(problem, imposition, None, RandomFeatures(30, 6.0), recipe, [np.ones(1)], np.random.default_rng(0), 1)
    c, losses = np.zeros(added.size), []
    for _ in range(4):
        step = added.step(c, 0)
        if step is None:
            break
        c, loss, _ = step
        losses.append(loss)
    assert losses[1] < 1e-5 * losses[0] or losses[1] < 1e-20


def test_what_is_not_finite_is_no_step():
    problem = Problem("u", Box(x=(0, 1)), [lambda u, x: u.xx - np.log(u.x - 1e6)], [Dirichlet(u=0)])
    recipe, imposition = complete(None, problem), impose_by("exact", problem)
    added = Added.of(problem, imposition, None, RandomFeatures(9, 6.0), recipe, [np.ones(1)], np.random.default_rng(0), 1)
    assert added.step(np.zeros(added.size), 0) is None and added.foreseen()[1] == np.inf


def test_frequencies_are_no_unknowns():
    added, _ = added_and_objective(sloped, "exact")
    names = {block.network.__class__ for block in added.waves.blocks}
    assert names == {Waves} and added.size < added.waves.layout.size
    table = added.patches[0].table(added.clouds[0])
    assert all(np.array_equal(columns_of(added.patches[0].columns, table)[k], v) for k, v in added.columns[0].items())
    # what frequencies and points say already is computed once
    assert set(added.columns[0]) < set(added.symbols[0])


def test_a_lean_one_is_the_same_with_less_in_memory():
    added, _ = added_and_objective(nonlinear, "exact")
    c = np.random.default_rng(2).normal(size=added.size)
    lean = added.lean()
    np.testing.assert_allclose(lean.residual(c), added.residual(c), rtol=1e-10, atol=1e-12)
    assert set(lean.symbols[0]) < set(added.symbols[0]) and "rows" not in lean.last
