"""Poisson's equation in five dimensions:   -Lap u = pi^2 sum_i cos(pi x_i)  on (0, 1)^5,   u given on the boundary.

The case on which natural gradients were first shown (Mueller and Zeinhofer 2023).  Exact solution by construction:
u = sum_i cos(pi x_i).
    $ pinn solve poisson_5d_cosines
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, laplacian


def cosines(x1, x2, x3, x4, x5):
    return sum(np.cos(np.pi * x) for x in (x1, x2, x3, x4, x5))


def problem():
    domain = Box(x1=(0, 1), x2=(0, 1), x3=(0, 1), x4=(0, 1), x5=(0, 1))

    def poisson(u, x1, x2, x3, x4, x5):
        return laplacian(u) + np.pi**2 * cosines(x1, x2, x3, x4, x5)

    return Problem(
        unknowns="u", domain=domain, equations=[poisson],
        conditions=[Dirichlet(u=cosines)],
        exact=cosines)

if __name__ == "__main__":
    pinn.main(__file__)
