"""Poisson's equation in a hundred dimensions:   -Lap u = (pi^2 / 4) u*   on (0, 1)^100,   u = u* on the boundary.

Exact solution by construction: u* = mean of sin(pi x_i / 2), between 0 and 1 in any number of dimensions.  `**x` receives all
coordinates by name.  The Laplacian is carried as one channel beside a hundred first derivatives (Li et al. 2023); with
Recipe(laplacian=Hutchinson(4)) it is estimated from four random directions at every point (Hu et al. 2024).
    $ pinn solve poisson_100d
"""
import numpy as np

import pinn
from pinn import LBFGS, MLP, Adam, Box, Dirichlet, Problem, Recipe, Stage, laplacian


def problem(dimensions=100):
    domain = Box(**{f"x{i + 1}": (0, 1) for i in range(dimensions)})

    def solution(**x):
        return sum(np.sin(np.pi * x_i / 2) for x_i in x.values()) / dimensions

    def poisson(u, **x):
        return laplacian(u) + np.pi**2 / 4 * solution(**x)

    return Problem(
        unknowns="u", domain=domain, equations=[poisson],
        conditions=[Dirichlet(u=solution)],
        exact=solution)


recipe = Recipe(network=MLP((64, 64, 64)), points=1024, stages=[Stage(Adam(2e-3), share=0.3), LBFGS()], resample=False)

if __name__ == "__main__":
    pinn.main(__file__)
