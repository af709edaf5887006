"""Poisson's equation in five dimensions:   -Lap u = (pi^2 / 4) sum_i sin(pi x_i / 2)  on (0, 1)^5,   u given on the boundary.

The "PNd" case of PINNacle (Hao et al. 2024).  Exact solution by construction: u = sum_i sin(pi x_i / 2).  No grid reaches
five dimensions cheaply (30 points a side are 24 million); scattered points do not notice.
    $ pinn solve poisson_5d
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, laplacian


def sine(x):
    return np.sin(np.pi * x / 2)


def total(x1, x2, x3, x4, x5):
    return sine(x1) + sine(x2) + sine(x3) + sine(x4) + sine(x5)


def problem():
    domain = Box(x1=(0, 1), x2=(0, 1), x3=(0, 1), x4=(0, 1), x5=(0, 1))

    def poisson(u, x1, x2, x3, x4, x5):
        return laplacian(u) + np.pi**2 / 4 * total(x1, x2, x3, x4, x5)

    return Problem(
        unknowns="u", domain=domain, equations=[poisson],
        conditions=[Dirichlet(u=total)],
        exact=total)


if __name__ == "__main__":
    pinn.main(__file__)
