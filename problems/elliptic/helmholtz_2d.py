"""The Helmholtz equation on (-1, 1)^2:   Lap u + k^2 u = q,   u = 0 on the boundary.

The standard anisotropic test (Wang, Teng and Perdikaris 2021): q = (k^2 - (a1^2 + a2^2) pi^2) u has the exact solution
u = sin(a1 pi x) sin(a2 pi y), a1 and a2 whole numbers.  It is unique unless k^2 = (m^2 + n^2) pi^2 / 4 for whole m, n > 0:
there the square resonates.
    $ pinn solve helmholtz_2d
    $ pinn solve helmholtz_2d --set a1=3 --set a2=3
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, laplacian


def problem(k=1.0, a1=1, a2=4):
    domain = Box(x=(-1, 1), y=(-1, 1))
    square = a1**2 + a2**2

    def mode(x, y):
        return np.sin(a1 * np.pi * x) * np.sin(a2 * np.pi * y)

    def helmholtz(u, x, y):
        return laplacian(u) + k**2 * u - (k**2 - square * np.pi**2) * mode(x, y)

    return Problem(
        unknowns="u", domain=domain, equations=[helmholtz],
        conditions=[Dirichlet(u=0)],
        exact=mode)


if __name__ == "__main__":
    pinn.main(__file__)
