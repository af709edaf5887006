"""Balls of any dimension: exact measures, even points, normals, and problems on them from statement to file."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pinn import MLP, Ball, Box, Dirichlet, Initial, LevenbergMarquardt, Neumann, Problem, Recipe, Time, laplacian, load, solve
from pinn.archive import describe_domain, restore_domain
from pinn.errors import GeometryError
from pinn.geometry import Domain
from pinn.imposition import impose
from pinn.run import write_plots
from pinn.sampling import latin_hypercube, sample, sobol, uniform

BALLS = {2: Ball(radius=2, x=1, y=-1), 3: Ball(x=0, y=0, z=0.5), 4: Ball(0.5, a=0, b=0, c=1, d=0),
         7: Ball(1.5, **{f"x{k}": 0.1 * k for k in range(1, 8)})}  # fmt: skip
EVERY = pytest.mark.parametrize("d", BALLS)


def cloud(region, n=8192, draw=sobol):
    return sample(region, n, draw, np.random.default_rng(3))


@EVERY
def test_measures_are_those_of_the_books(d):
    ball = BALLS[d]
    volume = {2: math.pi * 4, 3: 4 / 3 * math.pi, 4: math.pi**2 / 2 / 16, 7: 16 * math.pi**3 / 105 * 1.5**7}[d]
    assert ball.measure == ball.interior.measure == pytest.approx(volume, rel=1e-14)
    assert ball.boundary.measure == pytest.approx(d * volume / ball.radius, rel=1e-14)
    wanted = [name for name in vars(Domain) if not name.startswith("_")]
    assert [name for name in wanted if not hasattr(type(ball), name)] == []


@EVERY
@pytest.mark.parametrize("draw", [uniform, latin_hypercube, sobol])
def test_points_are_even(d, draw):
    """Moments: E x_i x_j = delta_ij R^2 / (d + 2) in the ball and delta_ij R^2 / d on the sphere; E |x|^4 = R^4 d / (d + 4)."""
    ball = BALLS[d]
    center, n = np.array([value for _, value in ball.center]), 40_000
    inside, around = cloud(ball.interior, n, draw).points - center, cloud(ball.boundary, n, draw).points - center
    assert np.linalg.norm(inside, axis=1).max() <= ball.radius * (1 + 1e-14)
    assert np.allclose(np.linalg.norm(around, axis=1), ball.radius, rtol=1e-14)
    for points, square in ((inside, ball.radius**2 / (d + 2)), (around, ball.radius**2 / d)):
        assert np.allclose(points.T @ points / n, square * np.eye(d), atol=0.04 * square)
        assert np.abs(points.mean(axis=0)).max() < 0.03 * ball.radius
    assert np.mean(np.sum(inside**2, axis=1) ** 2) == pytest.approx(ball.radius**4 * d / (d + 4), rel=0.03)
    # every octant of the first three axes gets its share
    signs = (inside[:, :3] > 0) @ (1 << np.arange(inside[:, :3].shape[1]))
    shares = np.bincount(signs) / n * 2 ** inside[:, :3].shape[1]
    assert np.all(np.abs(shares - 1) < 0.06)


@EVERY
def test_divergence_theorem(d):
    ball = BALLS[d]
    inside, around = cloud(ball.interior, 30_000), cloud(ball.boundary, 30_000)
    volume = inside.quadrature @ np.sum(3 * inside.points**2 + 1, axis=1)
    outflow = around.quadrature @ np.sum((around.points**3 + around.points) * around.normals, axis=1)
    assert volume == pytest.approx(outflow, rel=1e-2)
    step = 1e-6 * around.normals
    assert not ball.contains(around.points + step).any() and ball.contains(around.points - step).all()
    assert ball.contains(around.points).all() and ball.contains(inside.points).all()


def test_what_a_ball_has_not():
    ball = BALLS[3]
    for code, make in (("face", lambda: ball.face(x=0)), ("no-time", lambda: ball.initial), ("point", lambda: ball.point(x=0)),
                       ("point", lambda: ball.point(x=0.9, y=0.9, z=0.5)), ("points", lambda: ball.contains(np.zeros((2, 2)))),
                       ("face", lambda: (ball * Time(t=(0, 1))).face(x=0))):  # fmt: skip
        with pytest.raises(GeometryError) as caught:
            make()
        assert caught.value.code == code and caught.value.why and caught.value.fix
    assert ball.point(x=0, y=0, z=1).sample(5, sobol, np.random.default_rng(0)).x.tolist() == [[0, 0, 1]]
    assert (ball * Time(t=(0, 2))).face(t=0).measure == ball.measure


@pytest.mark.parametrize("make", [
    lambda: Ball(), lambda: Ball(1, x=0), lambda: Ball(0, x=0, y=0), lambda: Ball(-1, x=0, y=0), lambda: Ball(np.inf, x=0, y=0),
    lambda: Ball("1", x=0, y=0), lambda: Ball(True, x=0, y=0), lambda: Ball(1, x=0, y=(0, 1)), lambda: Ball(1, x=np.nan, y=0),
    lambda: Ball(1, T=0, y=0), lambda: Ball(1, x=0, xx=0), lambda: Ball(1e300, x=0, y=0)])
def test_bad_balls_are_explained(make):
    with pytest.raises(GeometryError) as caught:
        make()
    assert caught.value.what and caught.value.why and caught.value.fix


def test_a_problem_on_a_disk_is_solved_saved_and_drawn(tmp_path):
    disk = Ball(radius=2, x=1, y=0)
    problem = Problem("u", disk, [lambda u: laplacian(u) + 4], [Dirichlet(u=0)], exact=lambda x, y: 4 - (x - 1) ** 2 - y**2)
    assert all(row.holds for row in problem.prove())
    solution = solve(problem, seconds=10, threads=1)
    assert solution.errors["u"]["relative_l2"] < 1e-8
    again = load(solution.save(tmp_path / "disk.npz"), problem=problem)
    assert again.u(x=1.5, y=0.5) == solution.u(x=1.5, y=0.5) == pytest.approx(3.5, abs=1e-7)
    assert write_plots(solution, tmp_path)


def test_a_ball_in_time_starts_exactly():
    domain = Ball(x=0, y=0) * Time(t=(0, 1))
    conditions = [Initial(u=lambda x, y: x * y), Neumann(u=lambda x, y: 2 * x * y)]
    problem = Problem("u", domain, [lambda u: u.t - u.xx - u.yy], conditions, exact=lambda x, y, t: x * y)
    assert all(row.holds for row in problem.prove())
    assert impose(problem).held == ("Initial(u)",)
    recipe = Recipe(network=MLP((6,)), march=2, points=256, stages=[LevenbergMarquardt()])
    marched = solve(problem, recipe, seconds=4, threads=1)
    assert marched.errors["u"]["relative_l2"] < 1e-3


def test_domains_are_kept_with_a_solution(tmp_path):
    for domain in (BALLS[3], BALLS[2] * Time(t=(1, 2)), Box(x=(0, 1)) * Time(t=(0, 1))):
        assert restore_domain(describe_domain(domain)) == domain
