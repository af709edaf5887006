"""The Hamilton-Jacobi-Bellman equation of a linear-quadratic control, time reversed, on (0, 1)^10 x (0, 1]:

    u_t = Lap u - lam |grad u|^2,     u(x, 0) = c |x|^2,     u given on the boundary.

Exact solution:   u = c |x|^2 / (1 + 4 lam c t) + d / (2 lam) ln(1 + 4 lam c t)   in any number d of dimensions.
    $ pinn solve hjb_10d
"""
import numpy as np

import pinn
from pinn import Box, D, Dirichlet, Initial, Problem, Time, laplacian


def problem(dimensions=10, lam=1.0, c=1.0):
    names = [f"x{i + 1}" for i in range(dimensions)]
    domain = Box(**dict.fromkeys(names, (0, 1))) * Time(t=(0, 1))

    def cost(t, **x):
        growth = 1 + 4 * lam * c * t
        return c * sum(x_i**2 for x_i in x.values()) / growth + dimensions / (2 * lam) * np.log(growth)

    def hjb(u, t, **x):
        return u.t - laplacian(u) + lam * sum(D(u, x_i)**2 for x_i in x.values())

    return Problem(
        unknowns="u", domain=domain, equations=[hjb],
        conditions=[Initial(u=lambda **x: c * sum(x[name]**2 for name in names)), Dirichlet(u=cost)],
        exact=cost)

if __name__ == "__main__":
    pinn.main(__file__)
