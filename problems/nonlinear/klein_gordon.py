"""The cubic Klein-Gordon equation on (0, 1) x (0, 1]:   u_tt - u_xx + u^3 = f,   u and u_t given at t = 0, u at x = 0 and 1.

Exact solution by construction: u = x cos(5 pi t) + (x t)^3, so that u(x, 0) = x, u_t(x, 0) = 0 and
f = -25 pi^2 x cos(5 pi t) + 6 x^3 t - 6 x t^3 + u^3 (Wang, Teng and Perdikaris 2021).
    $ pinn solve klein_gordon
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(omega=5 * np.pi):
    domain = Box(x=(0, 1)) * Time(t=(0, 1))

    def field(x, t):
        return x * np.cos(omega * t) + (x * t)**3

    def force(x, t):
        return -(omega**2) * x * np.cos(omega * t) + 6 * x**3 * t - 6 * x * t**3 + field(x, t)**3

    def klein_gordon(u, x, t):
        return u.tt - u.xx + u**3 - force(x, t)

    return Problem(
        unknowns="u", domain=domain, equations=[klein_gordon],
        conditions=[Initial(u=lambda x: x, u_t=0), Dirichlet(u=field)],
        exact=field)


if __name__ == "__main__":
    pinn.main(__file__)
