"""The Korteweg-de Vries equation on (-10, 10) x (0, 2]:   u_t + 6 u u_x + u_xxx = 0.

A fast soliton runs through a slow one.  Exact solution (Hirota 1971) of the line, given at the ends, with its slope at x = 10:
u = 2 (ln F)_xx,   F = 1 + e^a + e^b + ((k - m) / (k + m))^2 e^(a + b),   a = k (x - p) - k^3 t,   b = m (x - q) - m^3 t.
    $ pinn solve kdv_two_solitons
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Neumann, Problem, Time


def problem(k=1.6, m=1.0, p=-4.0, q=0.0):
    domain = Box(x=(-10, 10)) * Time(t=(0, 2))
    overlap = ((k - m) / (k + m))**2

    def derivatives(x, t):
        """F and its derivatives by x up to the third."""
        a, b = np.exp(k * (x - p) - k**3 * t), np.exp(m * (x - q) - m**3 * t)
        return [(n == 0) + k**n * a + m**n * b + overlap * (k + m)**n * a * b for n in range(4)]

    def solitons(x, t):
        f, f1, f2, _ = derivatives(x, t)
        return 2 * (f * f2 - f1**2) / f**2

    def slope(x, t):
        f, f1, f2, f3 = derivatives(x, t)
        return 2 * (f3 / f - 3 * f1 * f2 / f**2 + 2 * f1**3 / f**3)

    def kdv(u, x, t):
        return u.t + 6 * u * u.x + u.xxx

    return Problem(
        unknowns="u", domain=domain, equations=[kdv],
        conditions=[Initial(u=lambda x: solitons(x, 0.0)), Dirichlet(u=solitons), Neumann(u=slope, on=domain.face(x=10))],
        exact=solitons)

if __name__ == "__main__":
    pinn.main(__file__)
