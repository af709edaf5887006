"""The Allen-Cahn equation on (-1, 1) x (0, 1]:   u_t = D u_xx + k (u - u^3).

A front that moves into the unstable state.  Exact solution, given at both ends:
u = (1 - tanh(((k / 2D)^(1/2) x - 3 k t / 2) / 2)) / 2.
    $ pinn solve allen_cahn_front
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(D=1.0, k=10.0):
    domain = Box(x=(-1, 1)) * Time(t=(0, 1))

    def front(x, t):
        return (1 - np.tanh((np.sqrt(k / (2 * D)) * x - 1.5 * k * t) / 2)) / 2

    def allen_cahn(u, x, t):
        return u.t - D * u.xx - k * (u - u**3)

    return Problem(
        unknowns="u", domain=domain, equations=[allen_cahn],
        conditions=[Initial(u=lambda x: front(x, 0.0)), Dirichlet(u=front)],
        exact=front)

if __name__ == "__main__":
    pinn.main(__file__)
