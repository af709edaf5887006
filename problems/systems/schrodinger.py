"""The nonlinear Schroedinger equation on (-5, 5) x (0, pi / 2]:   i h_t + h_xx / 2 + |h|^2 h = 0,   h(x, 0) = 2 / cosh(x).

With h = u + i v:   u_t = -v_xx / 2 - (u^2 + v^2) v,   v_t = u_xx / 2 + (u^2 + v^2) u.  Exact solution (Satsuma and Yajima
1974) of the line, given at x = +-5:   h = 4 e^(it/2) (cosh 3x + 3 e^(4it) cosh x) / (cosh 4x + 4 cosh 2x + 3 cos 4t).
    $ pinn solve schrodinger
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def real(x, t):
    return 4 * (np.cos(t / 2) * np.cosh(3 * x) + 3 * np.cos(9 * t / 2) * np.cosh(x)) / depth(x, t)


def imaginary(x, t):
    return 4 * (np.sin(t / 2) * np.cosh(3 * x) + 3 * np.sin(9 * t / 2) * np.cosh(x)) / depth(x, t)


def depth(x, t):
    return np.cosh(4 * x) + 4 * np.cosh(2 * x) + 3 * np.cos(4 * t)


def problem():
    domain = Box(x=(-5, 5)) * Time(t=(0, np.pi / 2))

    def schrodinger(u, v):
        density = u**2 + v**2
        return u.t + v.xx / 2 + density * v, v.t - u.xx / 2 - density * u

    return Problem(
        unknowns=("u", "v"), domain=domain, equations=[schrodinger],
        conditions=[Initial(u=lambda x: real(x, 0.0), v=0), Dirichlet(u=real, v=imaginary)],
        exact=lambda x, t: {"u": real(x, t), "v": imaginary(x, t)})

if __name__ == "__main__":
    pinn.main(__file__)
