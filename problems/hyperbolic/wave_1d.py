"""The wave equation on (0, 1) x (0, 1]:   u_tt = c^2 u_xx,   u(0, t) = u(1, t) = 0,   u_t(x, 0) = 0.

Two modes of a string, the fourth four times faster than the first: u(x, 0) = sin(pi x) + sin(4 pi x) / 2.  Exact solution by
separation of variables: u = sin(pi x) cos(c pi t) + sin(4 pi x) cos(4 c pi t) / 2 (Wang, Yu and Perdikaris 2022, with c = 2).
    $ pinn solve wave_1d
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(c=2.0):
    domain = Box(x=(0, 1)) * Time(t=(0, 1))

    def string(x, t):
        return np.sin(np.pi * x) * np.cos(c * np.pi * t) + np.sin(4 * np.pi * x) * np.cos(4 * c * np.pi * t) / 2

    def wave(u, x, t):
        return u.tt - c**2 * u.xx

    return Problem(
        unknowns="u", domain=domain, equations=[wave],
        conditions=[Initial(u=lambda x: np.sin(np.pi * x) + np.sin(4 * np.pi * x) / 2, u_t=0), Dirichlet(u=0)],
        exact=string)


if __name__ == "__main__":
    pinn.main(__file__)
