"""Steady heat conduction in an uneven plate:   -(k u_x)_x - (k u_y)_y = f  on the unit square,   k = 1 + x + y^2.

    x = 0, y = 1    temperature given                 (Dirichlet)
    y = 0           heat flux given                   (Neumann: u_n = -pi exp(-x))
    x = 1           cooled by the air, coefficient h  (Robin: h u + u_n = (h - 1) exp(-1) (2 + sin(pi y)))

Exact solution by construction: u = exp(-x) (2 + sin(pi y)); f is what the equation makes of it.
    $ pinn solve robin
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Neumann, Problem, Robin


def problem(h=2.0):
    domain = Box(x=(0, 1), y=(0, 1))

    def temperature(x, y):
        return np.exp(-x) * (2 + np.sin(np.pi * y))

    def source(x, y):
        bump, slope = np.sin(np.pi * y), np.pi * np.cos(np.pi * y)
        return np.exp(-x) * ((2 + bump) - (1 + x + y**2) * (2 + bump - np.pi**2 * bump) - 2 * y * slope)

    def conduction(u, x, y):
        k = 1 + x + y**2
        return (k * u.x).x + (k * u.y).y + source(x, y)

    return Problem(
        unknowns="u", domain=domain, equations=[conduction],
        conditions=[
            Dirichlet(u=temperature, on=domain.face(x=0)),
            Dirichlet(u=temperature, on=domain.face(y=1)),
            Neumann(u=lambda x: -np.pi * np.exp(-x), on=domain.face(y=0)),
            Robin(u=lambda y: (h - 1) * np.exp(-1) * (2 + np.sin(np.pi * y)), alpha=h, beta=1, on=domain.face(x=1))],
        exact=temperature)


if __name__ == "__main__":
    pinn.main(__file__)
