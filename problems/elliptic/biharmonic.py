"""A simply supported plate (Kirchhoff, Navier) on the unit square:   D Lap^2 w = q0 sin(pi x) sin(pi y).

On every edge the deflection and the bending moment vanish: w = 0 and w_nn = 0, which on a straight edge with w = 0 is the
same as Lap w = 0.  Exact solution by Navier's series, one term: w = q0 / (4 pi^4 D) sin(pi x) sin(pi y) (Timoshenko and
Woinowsky-Krieger 1959, section 27).  The default D makes the deflection of the centre one.
    $ pinn solve biharmonic
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, Residual, laplacian


def problem(q0=1.0, D=1 / (4 * np.pi**4)):
    domain = Box(x=(0, 1), y=(0, 1))
    centre = q0 / (4 * np.pi**4 * D)

    def plate(w, x, y):
        return D * laplacian(laplacian(w)) - q0 * np.sin(np.pi * x) * np.sin(np.pi * y)

    return Problem(
        unknowns="w", domain=domain, equations=[plate],
        conditions=[
            Dirichlet(w=0),
            Residual(lambda w: laplacian(w), on=domain.boundary, name="bending moment")],
        exact=lambda x, y: centre * np.sin(np.pi * x) * np.sin(np.pi * y))


if __name__ == "__main__":
    pinn.main(__file__)
