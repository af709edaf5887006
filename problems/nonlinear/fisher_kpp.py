"""The equation of Fisher and Kolmogorov, Petrovsky and Piskunov on (-1, 1) x (0, 1]:   u_t = D u_xx + k u (1 - u).

A population spreads as a wave of constant shape.  Exact solution (Ablowitz and Zeppetella 1979), given at both ends:
u = (1 + exp((k / 6D)^(1/2) x - 5 k t / 6))^-2.
    $ pinn solve fisher_kpp
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(D=1.0, k=25.0):
    domain = Box(x=(-1, 1)) * Time(t=(0, 1))

    def wave(x, t):
        return (1 + np.exp(np.sqrt(k / (6 * D)) * x - 5 * k * t / 6))**-2

    def fisher_kpp(u, x, t):
        return u.t - D * u.xx - k * u * (1 - u)

    return Problem(
        unknowns="u", domain=domain, equations=[fisher_kpp],
        conditions=[Initial(u=lambda x: wave(x, 0.0)), Dirichlet(u=wave)],
        exact=wave)

if __name__ == "__main__":
    pinn.main(__file__)
