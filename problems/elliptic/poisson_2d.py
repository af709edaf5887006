"""Poisson's equation on the unit square:   -Lap u = 2 (k pi)^2 sin(k pi x) sin(k pi y),   u = 0 on the boundary.

Exact solution by construction: u = sin(k pi x) sin(k pi y), k a whole number.
    $ pinn solve poisson_2d
    $ pinn solve poisson_2d --set k=3
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, laplacian


def problem(k=1):
    domain = Box(x=(0, 1), y=(0, 1))

    def poisson(u, x, y):
        source = 2 * (k * np.pi)**2 * np.sin(k * np.pi * x) * np.sin(k * np.pi * y)
        return laplacian(u) + source

    return Problem(
        unknowns="u", domain=domain, equations=[poisson],
        conditions=[Dirichlet(u=0)],
        exact=lambda x, y: np.sin(k * np.pi * x) * np.sin(k * np.pi * y))


if __name__ == "__main__":
    pinn.main(__file__)
