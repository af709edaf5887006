"""The Cole-Hopf solution to the last digits: against 40-digit quadrature, the published slope, its symmetries, its limits."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from problems.nonlinear.burgers import cole_hopf

NU = 0.01 / np.pi


def quadrature(x: float, t: float, nu: float = NU) -> float:
    """Adaptive quadrature of both integrals at 40 digits, cut where the integrand has fallen by 41 digits."""
    with mp.workdps(40):
        x, t, nu = mp.mpf(x), mp.mpf(t), mp.mpf(nu)
        reach = mp.sqrt(4 * t * (95 * nu + 1 / mp.pi))
        pieces = [k * reach / 12 for k in range(-12, 13)]

        def weight(e: mp.mpf) -> mp.mpf:
            return mp.exp(-mp.cos(mp.pi * (x - e)) / (2 * mp.pi * nu) - e**2 / (4 * nu * t))

        return float(-mp.quad(lambda e: mp.sin(mp.pi * (x - e)) * weight(e), pieces) / mp.quad(weight, pieces))


@pytest.mark.parametrize(
    ("x", "t"),
    [(0.3, 0.001), (-0.001, 0.001), (0.97, 0.05), (1e-3, 0.3), (-2e-4, 0.4), (5e-3, 0.51), (-1e-2, 0.7), (0.02, 0.99),
     (-0.6, 1.0), (1e-6, 1.0)])
def test_agrees_with_quadrature(x, t):
    assert abs(cole_hopf(np.array([x]), np.array([t]), NU)[0] - quadrature(x, t)) <= 1e-14


@pytest.mark.parametrize(("x", "t", "nu"), [(0.1, 0.6, 0.001), (-0.4, 1.0, 0.1), (0.7, 0.2, 1.0), (-0.02, 1.0, 6e-4)])
def test_agrees_with_quadrature_at_other_viscosities(x, t, nu):
    # the exponent is as large as 1 / (pi nu), and so is the loss of digits by rounding it
    assert abs(cole_hopf(np.array([x]), np.array([t]), nu)[0] - quadrature(x, t, nu)) <= 1e-14 * max(1, NU / nu)


def test_the_published_slope():
    """u_x(0, 1.6037 / pi) = -152.005161576 (Basdevant et al. 1986 give -152.00516), by Richardson's extrapolation."""
    t = 1.6037 / np.pi
    slope = [float(cole_hopf(np.array([h]), np.array([t]), NU)[0]) / h for h in (4e-4, 2e-4, 1e-4)]
    first = [(4 * fine - coarse) / 3 for coarse, fine in zip(slope, slope[1:], strict=False)]
    assert (16 * first[1] - first[0]) / 15 == pytest.approx(-152.005161576, abs=2e-7)


def test_the_initial_condition_is_exact():
    x = np.linspace(-1, 1, 101)
    np.testing.assert_array_equal(cole_hopf(x, np.zeros(101), NU), -np.sin(np.pi * x))


def test_starts_continuously():
    x = np.linspace(-1, 1, 101)
    slope = np.pi * np.sin(np.pi * x) * np.cos(np.pi * x) - NU * np.pi**2 * np.sin(np.pi * x)
    initial = -np.sin(np.pi * x)
    for t in (1e-12, 1e-8, 1e-6):
        np.testing.assert_allclose(cole_hopf(x, np.full(101, t), NU) - initial + t * slope, 0, atol=1e-14 + 60 * t**2)


def test_odd_in_x_and_zero_at_the_walls():
    x, t = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 21))
    np.testing.assert_allclose(cole_hopf(-x, t, NU), -cole_hopf(x, t, NU), atol=1e-14)
    np.testing.assert_allclose(cole_hopf(np.array([-1.0, 0.0, 1.0]), np.array([[0.0], [0.2], [1.0]]), NU), 0, atol=1e-14)
