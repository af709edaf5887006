"""Poisson's equation on (0, 1):   -u'' = (k pi)^2 sin(k pi x),   u(0) = u(1) = 0,   k a whole number.

The smallest boundary value problem there is.  Exact solution by construction: u = sin(k pi x), an eigenfunction of the
operator.
    $ pinn solve poisson_1d
    $ pinn solve poisson_1d --set k=5
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem


def problem(k=2):
    domain = Box(x=(0, 1))

    def poisson(u, x):
        return u.xx + (k * np.pi)**2 * np.sin(k * np.pi * x)

    return Problem(
        unknowns="u", domain=domain, equations=[poisson],
        conditions=[Dirichlet(u=0)],
        exact=lambda x: np.sin(k * np.pi * x))


if __name__ == "__main__":
    pinn.main(__file__)
