"""Convection round a circle, (0, 2 pi) x (0, 1]:   u_t + beta u_x = 0,   u(x, 0) = sin(x),   periodic in x.

The profile moves beta / (2 pi) times round without changing its shape.  Exact solution by characteristics:
u = sin(x - beta t).  Plain training of a plain network fails from beta = 30 on (Krishnapriyan et al. 2021).
    $ pinn solve convection
"""
import numpy as np

import pinn
from pinn import Box, Initial, Problem, Time


def problem(beta=50.0):
    domain = Box(x=(0, 2 * np.pi), periodic="x") * Time(t=(0, 1))

    def convection(u, x, t):
        return u.t + beta * u.x

    return Problem(
        unknowns="u", domain=domain, equations=[convection],
        conditions=[Initial(u=lambda x: np.sin(x))],
        exact=lambda x, t: np.sin(x - beta * t))


if __name__ == "__main__":
    pinn.main(__file__)
