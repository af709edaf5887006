"""Heat in the unit ball of five dimensions:   u_t = Lap u / d - r^2 / d exp(r^2 / 2 + t),   0 < t <= 1,   du/dn = exp(1/2 + t).

The case "Heat Nd" of PINNacle (Hao et al. 2024), with r^2 = x1^2 + ... + x5^2 and d = 5: no side of it is flat.
Exact solution: u = exp(r^2 / 2 + t), whose Laplacian is (d + r^2) u.
    $ pinn solve heat_5d_ball
"""
import numpy as np

import pinn
from pinn import Ball, Initial, Neumann, Problem, Time, laplacian


def problem(dimensions=5):
    domain = Ball(radius=1, **{f"x{i + 1}": 0 for i in range(dimensions)}) * Time(t=(0, 1))

    def solution(t, **x):
        return np.exp(sum(x_i**2 for x_i in x.values()) / 2 + t)

    def heat(u, t, **x):
        r2 = sum(x_i**2 for x_i in x.values())
        return u.t - laplacian(u) / dimensions + r2 / dimensions * np.exp(r2 / 2 + t)

    return Problem(
        unknowns="u", domain=domain, equations=[heat],
        conditions=[Initial(u=lambda **x: np.exp(sum(x_i**2 for x_i in x.values()) / 2)), Neumann(u=lambda t: np.exp(0.5 + t))],
        exact=solution)


if __name__ == "__main__":
    pinn.main(__file__)
