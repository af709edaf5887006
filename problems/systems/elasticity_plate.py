"""Linear elasticity of a plate, (0, 1)^2:   div sigma + f = 0,   sigma = lam tr(eps) I + 2 mu eps,   eps the strain.

Tangential displacements and normal stresses are given at three sides, both displacements at the bottom: the plate of Haghighat
et al. (2021).  Exact solution by construction: u = cos(2 pi x) sin(pi y),   v = Q y^4 sin(pi x) / 4.
    $ pinn solve elasticity_plate
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Problem, Residual


def problem(lam=1.0, mu=0.5, Q=4.0):
    domain = Box(x=(0, 1), y=(0, 1))
    left, right, bottom, top = (domain.face(**side) for side in ({"x": 0}, {"x": 1}, {"y": 0}, {"y": 1}))

    def force_x(x, y):
        wave = np.cos(2 * np.pi * x) * np.sin(np.pi * y)
        return (4 * (lam + 2 * mu) + mu) * np.pi**2 * wave - (lam + mu) * np.pi * Q * y**3 * np.cos(np.pi * x)

    def force_y(x, y):
        wave = 2 * (lam + mu) * np.pi**2 * np.sin(2 * np.pi * x) * np.cos(np.pi * y)
        return wave + np.sin(np.pi * x) * Q * (mu * np.pi**2 * y**4 / 4 - 3 * (lam + 2 * mu) * y**2)

    def equilibrium(u, v, x, y):
        return ((lam + 2 * mu) * u.xx + mu * u.yy + (lam + mu) * v.xy + force_x(x, y),
                mu * v.xx + (lam + 2 * mu) * v.yy + (lam + mu) * u.xy + force_y(x, y))

    def stress_x(u, v):
        return (lam + 2 * mu) * u.x + lam * v.y

    def stress_top(u, v, x):
        return (lam + 2 * mu) * v.y + lam * u.x - (lam + 2 * mu) * Q * np.sin(np.pi * x)

    return Problem(
        unknowns=("u", "v"), domain=domain, equations=[equilibrium],
        conditions=[Dirichlet(u=0, on=bottom | top), Dirichlet(v=0, on=left | right | bottom),
                    Residual(stress_x, on=left | right), Residual(stress_top, on=top)],
        exact=lambda x, y: {"u": np.cos(2 * np.pi * x) * np.sin(np.pi * y), "v": Q * y**4 * np.sin(np.pi * x) / 4})

if __name__ == "__main__":
    pinn.main(__file__)
