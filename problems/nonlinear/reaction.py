"""Logistic growth at every x of (0, 2 pi) x (0, 1]:   u_t = rho u (1 - u),   u(x, 0) = h(x) = exp(-8 (x - pi)^2 / pi^2).

Nothing couples one x to the next, and yet plain training of a plain network fails at rho = 5 (Krishnapriyan et al. 2021).
Exact solution: u = h exp(rho t) / (h exp(rho t) + 1 - h).
    $ pinn solve reaction
"""
import numpy as np

import pinn
from pinn import Box, Initial, Problem, Time


def bump(x):
    return np.exp(-8 * (x - np.pi)**2 / np.pi**2)


def problem(rho=5.0):
    domain = Box(x=(0, 2 * np.pi)) * Time(t=(0, 1))

    def reaction(u, x, t):
        return u.t - rho * u * (1 - u)

    return Problem(
        unknowns="u", domain=domain, equations=[reaction],
        conditions=[Initial(u=bump)],
        exact=lambda x, t: bump(x) * np.exp(rho * t) / (bump(x) * np.exp(rho * t) + 1 - bump(x)))

if __name__ == "__main__":
    pinn.main(__file__)
