"""The Fokker-Planck equation of an Ornstein-Uhlenbeck process on (-4, 4) x (0, 1]:   p_t = theta (x p)_x + D p_xx.

A cloud of particles drifts to the origin and spreads.  Exact solution, a Gaussian of mean m e^(-theta t) and variance
s = s0 e^(-2 theta t) + D / theta (1 - e^(-2 theta t)), given at both ends.
    $ pinn solve fokker_planck
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(theta=1.0, D=0.5, m=1.0, s0=0.25):
    domain = Box(x=(-4, 4)) * Time(t=(0, 1))

    def gaussian(x, t):
        shrunk = np.exp(-2 * theta * t)
        s = s0 * shrunk + D / theta * (1 - shrunk)
        return np.exp(-(x - m * np.exp(-theta * t))**2 / (2 * s)) / np.sqrt(2 * np.pi * s)

    def fokker_planck(p, x, t):
        return p.t - theta * (x * p).x - D * p.xx

    return Problem(
        unknowns="p", domain=domain, equations=[fokker_planck],
        conditions=[Initial(p=lambda x: gaussian(x, 0.0)), Dirichlet(p=gaussian)],
        exact=gaussian)

if __name__ == "__main__":
    pinn.main(__file__)
