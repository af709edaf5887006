"""The heat equation on (0, 1) x (0, 1]:   u_t = kappa u_xx,   u(x, 0) = sin(pi x),   u(0, t) = u(1, t) = 0.

The slowest mode of a cooling rod.  Exact solution by separation of variables: u = exp(-kappa pi^2 t) sin(pi x).
    $ pinn solve heat_1d
    $ pinn solve heat_1d --set kappa=0.4
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(kappa=0.1):
    domain = Box(x=(0, 1)) * Time(t=(0, 1))

    def heat(u, x, t):
        return u.t - kappa * u.xx

    return Problem(
        unknowns="u", domain=domain, equations=[heat],
        conditions=[Initial(u=lambda x: np.sin(np.pi * x)), Dirichlet(u=0)],
        exact=lambda x, t: np.exp(-kappa * np.pi**2 * t) * np.sin(np.pi * x))


if __name__ == "__main__":
    pinn.main(__file__)
