"""Problems without a closed form: their shipped references against the equations, and against other methods.

And the ball, of which no side is flat: its closed form by mpmath, as test_references.py does for boxes.
"""

from __future__ import annotations

import importlib

import mpmath as mp
import numpy as np
import pytest
from scipy.fft import irfft, rfft
from scipy.integrate import solve_ivp

from pinn import Reference

FILES = ["nonlinear.allen_cahn", "systems.lid_cavity"]


def reference(module: str) -> Reference:
    return importlib.import_module(f"problems.{module}").problem().exact.function


@pytest.mark.parametrize("module", FILES)
def test_a_reference_says_how_good_it_is_and_covers_the_domain(module):
    problem = importlib.import_module(f"problems.{module}").problem()
    known = problem.exact.function
    assert 0 < known.error <= 2e-6
    assert {name: (x[0], x[-1]) for name, x in known.axes.items()} == problem.domain.bounds
    targets = {"allen_cahn": 1e-4, "lid_cavity": 3e-3}
    assert known.error < targets[module.split(".")[1]] / 50


def test_allen_cahn_by_fourier_and_an_explicit_runge_kutta_method():
    """Half a thousand points and an adaptive method of order eight, from t = 1/4, when the kink has diffused."""
    known, n = reference("nonlinear.allen_cahn"), 512
    x = -1 + 2 * np.arange(n) / n
    wave = (np.pi * np.arange(n // 2 + 1)) ** 2

    def slope(t, u):
        return irfft(-1e-4 * wave * rfft(u), n) + 5 * (u - u**3)

    begin = known(x=x, t=0.25)["u"]
    found = solve_ivp(slope, (0.25, 1.0), begin, t_eval=[0.5, 0.8, 1.0], method="DOP853", rtol=1e-9, atol=1e-11)
    for t, u in zip(found.t, found.y.T, strict=True):
        there = known(x=x, t=t)["u"]
        assert np.linalg.norm(u - there) < 3e-6 * np.linalg.norm(there)


def test_allen_cahn_begins_with_its_data():
    known, x = reference("nonlinear.allen_cahn"), np.linspace(-1, 1, 777)
    assert np.max(np.abs(known(x=x, t=0.0)["u"] - x**2 * np.cos(np.pi * x))) < 1e-6


def derivative(spline, order, points):
    return spline(points, nu=order)


def test_the_flow_in_the_cavity_satisfies_the_vorticity_equation():
    """u w_x + v w_y = Lap w / Re with w = v_x - u_y, and u_x + v_y = 0, by derivatives of the splines, away from the walls."""
    known = reference("systems.lid_cavity")
    u, v = known._spline("u"), known._spline("v")
    points = np.random.default_rng(0).uniform(0.15, 0.85, (400, 2))

    def w(i, j):
        return derivative(v, (i + 1, j), points) - derivative(u, (i, j + 1), points)

    transport = u(points) * w(1, 0) + v(points) * w(0, 1)
    diffusion = (w(2, 0) + w(0, 2)) / 100
    assert np.max(np.abs(transport - diffusion)) < 1e-3 * np.max(np.abs(transport))
    divergence = derivative(u, (1, 0), points) + derivative(v, (0, 1), points)
    assert np.max(np.abs(divergence)) < 1e-6 * np.max(np.abs(w(0, 0)))


def test_the_flow_in_the_cavity_keeps_to_its_walls():
    known, s = reference("systems.lid_cavity"), np.linspace(0, 1, 201)
    lid = known(x=s, y=1.0)
    assert np.max(np.abs(lid["u"] - 4 * s * (1 - s))) < 1e-6 and np.max(np.abs(lid["v"])) < 1e-6
    for x, y in ((0.0, s), (1.0, s), (s, 0.0)):
        for field in known(x=x, y=y).values():
            assert np.max(np.abs(field)) < 1e-6


def test_heat_in_the_ball():
    """Derivatives by mpmath, at points inside and on the sphere; the file states the same formula."""
    problem = importlib.import_module("problems.parabolic.heat_5d_ball").problem()
    rng = np.random.default_rng(0)

    def u(*point):
        return mp.exp(sum(x**2 for x in point[:-1]) / 2 + point[-1])

    def along(point, axis, order):
        return mp.diff(u, tuple(point), tuple(order if k == axis else 0 for k in range(6)))

    for _ in range(3):
        direction = rng.normal(size=5)
        direction = [mp.mpf(x) for x in direction / np.linalg.norm(direction)]
        size = mp.sqrt(sum(x**2 for x in direction))
        normal, t = [x / size for x in direction], mp.mpf(rng.uniform())
        inside = [0.7 * x for x in normal] + [t]
        r2 = sum(x**2 for x in inside[:-1])
        laplacian = sum(along(inside, axis, 2) for axis in range(5))
        assert abs(along(inside, 5, 1) - laplacian / 5 + r2 / 5 * mp.exp(r2 / 2 + t)) < 1e-12
        slope = sum(n * along([*normal, t], axis, 1) for axis, n in enumerate(normal))
        assert abs(slope - mp.exp(mp.mpf(1) / 2 + t)) < 1e-12
        stated = problem.exact_fields(np.array([[float(x) for x in inside]]))["u"]
        assert stated[0] == pytest.approx(float(u(*inside)), rel=1e-14)
