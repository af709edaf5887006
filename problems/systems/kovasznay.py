"""Kovasznay flow behind a grid: the steady, incompressible Navier-Stokes equations on (-1/2, 1) x (-1/2, 3/2):

    u u_x + v u_y + p_x = Lap u / Re,     u v_x + v v_y + p_y = Lap v / Re,     u_x + v_y = 0.

Velocities are given on the whole boundary.  Only the gradient of p enters, so p is fixed at the outlet x = 1, where it is
the same for every y.  Exact solution (Kovasznay 1948), with lam = Re / 2 - (Re^2 / 4 + 4 pi^2)^(1/2):
u = 1 - exp(lam x) cos(2 pi y),   v = lam / (2 pi) exp(lam x) sin(2 pi y),   p = (1 - exp(2 lam x)) / 2.
    $ pinn solve kovasznay
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, laplacian


def problem(Re=40.0):
    domain = Box(x=(-0.5, 1), y=(-0.5, 1.5))
    lam = Re / 2 - np.sqrt(Re**2 / 4 + 4 * np.pi**2)

    def velocity_x(x, y):
        return 1 - np.exp(lam * x) * np.cos(2 * np.pi * y)

    def velocity_y(x, y):
        return lam / (2 * np.pi) * np.exp(lam * x) * np.sin(2 * np.pi * y)

    def pressure(x, y):
        return (1 - np.exp(2 * lam * x)) / 2 + 0 * y

    def momentum(u, v, p):
        return u * u.x + v * u.y + p.x - laplacian(u) / Re, u * v.x + v * v.y + p.y - laplacian(v) / Re

    def continuity(u, v):
        return u.x + v.y

    return Problem(
        unknowns=("u", "v", "p"), domain=domain, equations=[momentum, continuity],
        conditions=[Dirichlet(u=velocity_x, v=velocity_y), Dirichlet(p=pressure, on=domain.face(x=1))],
        exact=lambda x, y: {"u": velocity_x(x, y), "v": velocity_y(x, y), "p": pressure(x, y)})


if __name__ == "__main__":
    pinn.main(__file__)
