"""The decaying vortex of Taylor and Green (1937) on (0, pi)^2 x (0, 1]: the Navier-Stokes equations of an incompressible fluid,

    u_t + u u_x + v u_y + p_x = nu Lap u,     v_t + u v_x + v v_y + p_y = nu Lap v,     u_x + v_y = 0.

Velocities are given on the boundary and at first; only the gradient of p enters, so p is given at x = 0.  Exact solution:
u = -cos x sin y e^(-2 nu t),   v = sin x cos y e^(-2 nu t),   p = -(cos 2x + cos 2y) / 4 e^(-4 nu t).
    $ pinn solve taylor_green
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time, laplacian


def problem(nu=0.1):
    domain = Box(x=(0, np.pi), y=(0, np.pi)) * Time(t=(0, 1))

    def velocity_x(x, y, t):
        return -np.cos(x) * np.sin(y) * np.exp(-2 * nu * t)

    def velocity_y(x, y, t):
        return np.sin(x) * np.cos(y) * np.exp(-2 * nu * t)

    def pressure(x, y, t):
        return -(np.cos(2 * x) + np.cos(2 * y)) / 4 * np.exp(-4 * nu * t)

    def momentum(u, v, p):
        return (u.t + u * u.x + v * u.y + p.x - nu * laplacian(u),
                v.t + u * v.x + v * v.y + p.y - nu * laplacian(v))

    def continuity(u, v):
        return u.x + v.y

    return Problem(
        unknowns=("u", "v", "p"), domain=domain, equations=[momentum, continuity],
        conditions=[Initial(u=lambda x, y: velocity_x(x, y, 0.0), v=lambda x, y: velocity_y(x, y, 0.0)),
                    Dirichlet(u=velocity_x, v=velocity_y), Dirichlet(p=pressure, on=domain.face(x=0))],
        exact=lambda x, y, t: {"u": velocity_x(x, y, t), "v": velocity_y(x, y, t), "p": pressure(x, y, t)})

if __name__ == "__main__":
    pinn.main(__file__)
