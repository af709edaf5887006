"""Clouds and draws: counts, weights, fresh points, seeds, evenness, and what is refused."""

import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from pinn import MLP, Dirichlet, LevenbergMarquardt, Problem, Recipe, SSBroyden, Stage, solve
from pinn.adaptive import Adaptive, measured
from pinn.errors import GeometryError, RecipeError
from pinn.geometry import Box, Time
from pinn.imposition import impose_by
from pinn.objective import Objective
from pinn.recipe import complete
from pinn.renewal import Renewal
from pinn.sampling import Cloud, latin_hypercube, sample, sobol, uniform
from pinn.supply import Supply

DRAWS = pytest.mark.parametrize("draw", [uniform, latin_hypercube, sobol])


def rng(seed=0):
    return np.random.default_rng(seed)


@DRAWS
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1024])
@pytest.mark.parametrize("dim", [0, 1, 2, 6])
def test_draws_fill_the_unit_cube_without_a_warning(draw, n, dim):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unit = draw(n, dim, rng())
    assert unit.shape == (n, dim) and unit.dtype == np.float64
    assert np.all((unit >= 0) & (unit < 1))


@DRAWS
def test_the_seed_decides_and_the_next_call_is_fresh(draw):
    first, second = rng(5), rng(5)
    a, b = draw(100, 3, first), draw(100, 3, first)
    assert np.array_equal(a, draw(100, 3, second)) and np.array_equal(b, draw(100, 3, second))
    assert not np.isin(a, b).any()
    assert not np.isin(a, draw(100, 3, rng(6))).any()


@DRAWS
def test_the_global_generator_plays_no_part(draw):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    draw(10, 2, rng())
    assert np.array_equal(before, np.random.get_state()[1])


def test_latin_hypercube_has_one_point_in_every_slice():
    unit = latin_hypercube(37, 4, rng())
    assert np.array_equal(np.sort(np.floor(unit * 37), axis=0), np.tile(np.arange(37.0)[:, None], 4))


def test_sobol_is_balanced_in_every_half_and_quarter():
    unit = sobol(256, 3, rng())
    cells = np.ravel_multi_index(np.floor(unit * 4).astype(int).T, (4, 4, 4))
    assert np.array_equal(np.bincount(cells, minlength=64), np.full(64, 4))


def test_sobol_integrates_better_than_chance():
    def error(draw):
        unit = [draw(1000, 2, rng(seed)) for seed in range(20)]
        return np.sqrt(np.mean([(np.prod(points, axis=1).mean() - 0.25) ** 2 for points in unit]))

    assert error(sobol) < 0.1 * error(uniform)


@DRAWS
def test_clouds(draw):
    region = (Box(x=(0, 1), y=(0, 3)) * Time(t=(0, 2))).boundary
    cloud = sample(region, 100, draw, rng())
    assert isinstance(cloud, Cloud) and cloud.region is region and cloud.measure == 16
    assert cloud.points.shape == (100, 3) and cloud.normals.shape == (100, 2) and cloud.count == 100
    assert cloud.points.flags.c_contiguous and cloud.points.dtype == np.float64
    assert cloud.weights.sum() == pytest.approx(1) and cloud.quadrature.sum() == pytest.approx(16)
    with pytest.raises(FrozenInstanceError):
        cloud.count = 3


@DRAWS
def test_clouds_repeat_by_seed_and_renew_by_call(draw):
    region = Box(x=(0, 1), y=(0, 1)).boundary.where(lambda x: x > 0.25)
    generator = rng(1)
    first, second = sample(region, 50, draw, generator), sample(region, 50, draw, generator)
    assert np.array_equal(first.points, sample(region, 50, draw, rng(1)).points)
    assert not (first.points == second.points).all(axis=1).any()


def test_points_are_shared_by_measure():
    domain = Box(x=(0, 1), y=(0, 4)) * Time(t=(0, 1))
    assert domain.boundary.sample(100, sobol, rng()).counts == {"x=0": 40, "x=1": 40, "y=0": 10, "y=4": 10}
    thin = Box(x=(0, 1e-6), y=(0, 1)).boundary
    points = thin.sample(100, sobol, rng())
    assert points.counts == {"x=0": 49, "x=1e-06": 49, "y=0": 1, "y=1": 1}
    # A face with more than its share of points weighs no more than its measure.
    assert points.weights[-2:].sum() == pytest.approx(1e-6 / (1 + 1e-6))
    assert domain.boundary.sample(1, sobol, rng()).counts == {"x=0": 1, "x=1": 1, "y=0": 1, "y=4": 1}


def test_the_boundary_of_an_interval_is_two_points():
    cloud = sample(Box(x=(0, 2)).boundary, 100, sobol, rng())
    assert cloud.points.tolist() == [[0.0], [2.0]] and cloud.normals.tolist() == [[-1.0], [1.0]]
    assert cloud.weights.tolist() == [0.5, 0.5] and cloud.measure == 2 and cloud.count == 2
    face = sample(Box(x=(0, 2)).face(x=2), 100, sobol, rng())
    assert face.points.tolist() == [[2.0]] and face.weights.tolist() == [1.0]
    start = sample(Time(t=(1, 2)).initial, 100, uniform, rng())
    assert start.points.tolist() == [[1.0]] and start.normals is None


def test_the_boundary_of_an_interval_over_time_is_two_lines():
    cloud = sample((Box(x=(0, 2)) * Time(t=(0, 3))).boundary, 100, sobol, rng())
    assert cloud.count == 100 and cloud.measure == 6
    assert np.unique(cloud.points[:, 0]).tolist() == [0.0, 2.0] and len(np.unique(cloud.points[:, 1])) == 100


@pytest.mark.parametrize("n", [0, -3, 2.0, "10", None, True, np.float64(4), [5]])
def test_bad_counts(n):
    with pytest.raises(GeometryError, match="number of points") as caught:
        sample(Box(x=(0, 1)).interior, n, sobol, rng())
    assert caught.value.code == "count" and caught.value.fix


def test_numpy_integers_count():
    assert sample(Box(x=(0, 1)).interior, np.int32(5), sobol, rng()).count == 5


@pytest.mark.parametrize("generator", [0, None, np.random, np.random.RandomState(0)])
def test_the_generator_must_be_one(generator):
    with pytest.raises(GeometryError, match="Generator") as caught:
        sample(Box(x=(0, 1)).interior, 5, sobol, generator)
    assert caught.value.code == "generator"


@pytest.mark.parametrize("draw", [lambda n, dim, rng: np.zeros((n, dim + 1)), lambda n, dim, rng: np.ones((n, dim)),
                                  lambda n, dim, rng: np.full((n, dim), np.nan), lambda n, dim, rng: np.zeros((n, dim), int)])
def test_draws_of_others_are_checked(draw):
    with pytest.raises(GeometryError, match="unit cube") as caught:
        sample(Box(x=(0, 1)).interior, 5, draw, rng())
    assert caught.value.code == "draw"


# -- adaptive points
SQUARE = Box(x=(0, 1), y=(0, 1))


def peak(cloud):
    """A residual that is large near one corner."""
    return np.exp(-20 * np.sum(cloud.points**2, axis=1))


def test_points_that_are_added_join_those_that_are_there_until_there_are_enough():
    adaptive = Adaptive(add=32, most=150, candidates=1024, power=2.0, floor=0.0, even=0.25)
    old = first = sample(SQUARE.interior, 64, sobol, rng())
    counts = []
    for seed in range(5):
        fresh = sample(SQUARE.interior, 1024, sobol, rng(seed))
        new = adaptive.renew(old, fresh, peak(fresh), rng(seed))
        assert np.array_equal(new.points[:old.count], old.points) and adaptive.kept(old) == old.count
        assert new.weights.sum() == pytest.approx(1) and len(new.points) == len(new.weights) == new.count
        counts.append(new.count)
        full, old = new is old, new
    assert counts == [96, 128, 150, 150, 150] and full
    # a quarter lies anywhere, the rest where the residual is
    added = old.points[first.count:first.count + 32]
    assert np.count_nonzero(peak(first) < 0.01) > 32 and np.median(np.linalg.norm(added[8:], axis=1)) < 0.3


def test_normals_go_with_the_points_that_are_added():
    fresh = sample(SQUARE.boundary, 256, sobol, rng(1))
    new = Adaptive(add=16).renew(sample(SQUARE.boundary, 40, sobol, rng()), fresh, np.ones(256), rng())
    assert new.count == len(new.normals) == 56 and np.all(np.linalg.norm(new.normals, axis=1) == 1)


def test_a_residual_that_is_zero_nearly_everywhere_leaves_enough_points_to_draw():
    fresh = sample(SQUARE.interior, 512, sobol, rng())
    for size in (np.zeros(512), np.eye(512)[400]):
        cloud = Adaptive(floor=0.0, even=0.0).choose(fresh, size, 128, rng(2))
        assert len(np.unique(cloud.points, axis=0)) == 128
    assert fresh.points[400] in cloud.points


def test_weights_by_measure_make_the_mean_one_over_the_region():
    """Drawn where the residual is, points say too much of it, unless each counts for the part that is nearest to it."""
    fresh = sample(SQUARE.interior, 8192, sobol, rng())
    truth = float(fresh.weights @ peak(fresh))
    for adaptive in (Adaptive(power=2.0, floor=0.5), Adaptive(power=2.0, floor=0.5, add=448)):
        old = sample(SQUARE.interior, 64 if adaptive.add else 512, sobol, rng(5))
        alike = adaptive.renew(old, fresh, peak(fresh), rng(3))
        weighed = replace(adaptive, measure=True).renew(old, fresh, peak(fresh), rng(3))
        assert np.array_equal(alike.points, weighed.points) and np.all(weighed.weights > 0)
        assert weighed.weights.sum() == pytest.approx(1)
        assert alike.weights @ peak(alike) > 1.5 * truth
        assert weighed.weights @ peak(weighed) == pytest.approx(truth, rel=0.05)


def test_measure_knows_no_units():
    """A region much longer than wide is measured as a square."""
    long = Box(x=(0, 1), y=(0, 1e4)).interior
    fresh, few = sample(long, 4096, sobol, rng()), sample(long, 64, sobol, rng(1))
    square = sample(SQUARE.interior, 4096, sobol, rng()), sample(SQUARE.interior, 64, sobol, rng(1))
    np.testing.assert_allclose(measured(few, fresh).weights, measured(square[1], square[0]).weights)


def test_all_even_is_a_fresh_low_discrepancy_cloud_whatever_the_residual():
    fresh = sample(SQUARE.interior, 1024, sobol, rng())
    cloud = Adaptive(even=1.0).choose(fresh, peak(fresh), 256, rng())
    assert np.array_equal(cloud.points, fresh.points[:256])
    cells = np.floor(cloud.points * 4).astype(int)
    assert np.all(np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16) == 16)


@pytest.mark.parametrize("wrong", [{"add": -1}, {"add": 1.5}, {"add": True}, {"most": 0}, {"measure": 1}, {"every": 0},
                                   {"power": -1.0}, {"even": 2.0}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(RecipeError, match="cannot sample adaptively"):
        Adaptive(**wrong)


@pytest.mark.parametrize("optimizer", [SSBroyden(), LevenbergMarquardt()], ids=["quasi-Newton", "Levenberg-Marquardt"])
def test_a_run_whose_points_become_more(optimizer):
    def front(u, x):
        return 0.05 * u.xx + u.x - 1.0

    problem = Problem(unknowns="u", domain=Box(x=(0, 1)), equations=[front], conditions=[Dirichlet(u=0)],
                      exact=lambda x: x - np.expm1(-20 * x) / np.expm1(-20))
    adaptive = Adaptive(every=20, candidates=512, add=8, most=60, power=2.0, floor=0.0, measure=True)
    recipe = Recipe(network=MLP(width=8, depth=1), points=32, resample=adaptive, stages=[Stage(optimizer, iterations=100)])
    solution, again = solve(problem, recipe), solve(problem, recipe)
    assert solution.points == {"interior": 60} and np.array_equal(solution.theta, again.theta)
    assert solution.errors["u"]["relative_l2"] < 0.05


def test_points_are_doubled_where_nobody_says_how_many():
    problem = Problem("u", Box(x=(0, 1)), [lambda u: u.xx - 1.0], [Dirichlet(u=0)])
    for points, counts in ((None, [1024, 2048]), (100, [])):
        recipe = complete(Recipe(network=MLP(width=4, depth=1), points=points), problem).each[0]
        rng = np.random.default_rng(0)
        supply = Supply(problem, recipe.network, impose_by(recipe.impose, problem))
        objective, theta = Objective.of(problem, supply, recipe, rng, 1), supply.initial(rng)
        renewal = Renewal(recipe, problem, rng)
        assert not renewal.grow(objective)  # fresh points are for the last stage
        renewal.enter(is_last=True)
        seen = []
        while renewal.grow(objective):
            objective = renewal.renew(objective, theta, 500, True).objective
            seen.append(objective.clouds[0].count)
            again = renewal.renew(objective, theta, 500, True).objective
            assert again.clouds[0].count == seen[-1]
        assert seen == counts
        most = recipe.adaptive.grown(512)
        assert most == 2048 and Adaptive(add=8).grown(512) == 512 and recipe.adaptive.grown(20_000) == 20_000


def beginning(points=None, adaptive=None):
    """A way on the square that begins on few points, and what it begins on."""
    problem = Problem("u", Box(x=(0, 1), y=(0, 1)), [lambda u: u.xx + u.yy - 1.0], [Dirichlet(u=0)])
    recipe = complete(Recipe(network=MLP(width=4, depth=1), points=points, resample=adaptive), problem).each[0]
    rng = np.random.default_rng(0)
    supply = Supply(problem, recipe.network, impose_by(recipe.impose, problem))
    objective, theta = Objective.of(problem, supply, recipe, rng, 1), supply.initial(rng)
    renewal = Renewal(recipe, problem, rng)
    return renewal, renewal.first(objective, theta), theta


@pytest.mark.parametrize("adaptive", [None, Adaptive(fewer=8, candidates=1024)], ids=["default", "few candidates"])
def test_training_begins_on_few_points_which_become_all(adaptive):
    renewal, objective, theta = beginning(adaptive=adaptive)
    renewal.enter(is_last=True)
    seen = [objective.clouds[0].count]
    for k in range(1, 9):
        objective = renewal.renew(objective, theta, 500 * k, False).objective
        seen.append(objective.clouds[0].count)
    assert seen == [1024, 1024, 2048, 2048, 4096, 4096, 8192, 8192, 8192]
    assert renewal.grow(objective) and renewal.most == 32768  # a residual that no longer falls doubles all of them


def test_a_residual_between_few_points_makes_them_more_at_once(monkeypatch):
    renewal, objective, theta = beginning()
    renewal.enter(is_last=True)
    assert renewal.period == 100
    points = objective.clouds[0].points
    assert renewal.renew(objective, theta, 100, False).objective.clouds[0].points is points  # a look, and no more
    on = {id(objective.clouds[0])}
    monkeypatch.setattr(Objective, "size_of_residual",
                        lambda self, index, theta, cloud: np.full(cloud.count, 1.0 if id(cloud) in on else 2.1))
    again = renewal.renew(objective, theta, 200, False).objective
    assert again.clouds[0].count == 2048


@pytest.mark.parametrize(("points", "adaptive"), [(8192, None), (None, Adaptive()), (None, Adaptive(add=10, fewer=8)),
                                                  (None, False)])
def test_who_says_the_points_has_them_from_the_first_step(points, adaptive):
    renewal, objective, _ = beginning(points, adaptive)
    renewal.enter(is_last=True)
    assert objective.clouds[0].count == 8192 and not renewal.full and renewal.period in (0, 500)


def test_as_many_points_as_few_are_not_made_fewer():
    assert Adaptive(fewer=8).first(8192) == 1024 and Adaptive(fewer=8).first(2047) == 2047 and Adaptive().first(8192) == 8192
