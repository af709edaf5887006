"""Heat with two scales on (0, 1)^2 x (0, 5]:   u_t = u_xx / (500 pi)^2 + u_yy / pi^2,   u = 0 on the boundary.

Twenty half waves in x, one in y: the "Heat 2d-MS" case of PINNacle (Hao et al. 2024), where the best of eleven methods comes to
4e-2.  Exact solution by separation of variables: u = sin(20 pi x) sin(pi y) exp(-(1 + 0.0016) t).
    $ pinn solve heat_multiscale
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem():
    domain = Box(x=(0, 1), y=(0, 1)) * Time(t=(0, 5))

    def heat(u):
        return u.t - u.xx / (500 * np.pi)**2 - u.yy / np.pi**2

    def mode(x, y):
        return np.sin(20 * np.pi * x) * np.sin(np.pi * y)

    return Problem(
        unknowns="u", domain=domain, equations=[heat],
        conditions=[Initial(u=mode), Dirichlet(u=0)],
        exact=lambda x, y, t: mode(x, y) * np.exp(-(1 + 0.04**2) * t))

if __name__ == "__main__":
    pinn.main(__file__)
