"""The Allen-Cahn benchmark on (-1, 1) x (0, 1], periodic in x:   u_t = 1e-4 u_xx + 5 (u - u^3),   u(x, 0) = x^2 cos(pi x).

Two fronts form, which do not move and steepen to a width of 0.006 (Raissi, Perdikaris & Karniadakis 2019).  The data have a
kink at x = +-1, which diffuses at once; so u is trained to start from them, since a kink built into it would stay.
No exact solution is known: errors are measured against our own ETDRK4 with 16,384 points, known to 1e-6, see
`benchmarks/references/allen_cahn.py`.
    $ pinn solve allen_cahn
"""
from importlib.resources import files

import numpy as np

import pinn
from pinn import Box, Initial, Problem, Reference, Time


def problem():
    domain = Box(x=(-1, 1), periodic="x") * Time(t=(0, 1))

    def allen_cahn(u, x, t):
        return u.t - 1e-4 * u.xx - 5 * (u - u**3)

    return Problem(
        unknowns="u", domain=domain, equations=[allen_cahn],
        conditions=[Initial(u=lambda x: x**2 * np.cos(np.pi * x))],
        exact=Reference.read(files("problems") / "data" / "allen_cahn.npz"))


if __name__ == "__main__":
    pinn.main(__file__)
