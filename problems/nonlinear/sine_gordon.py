"""The sine-Gordon equation on (-10, 10) x (0, 10]:   u_tt = u_xx - sin(u),   u_t(x, 0) = 0.

A breather: two kinks bound to each other that swing with the frequency w.  Exact solution (on the line, given at x = +-10):
u = 4 atan(q / w cos(w t) / cosh(q x)),   q = (1 - w^2)^(1/2).
    $ pinn solve sine_gordon
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(w=0.6):
    domain = Box(x=(-10, 10)) * Time(t=(0, 10))
    q = np.sqrt(1 - w**2)

    def breather(x, t):
        return 4 * np.arctan(q / w * np.cos(w * t) / np.cosh(q * x))

    def sine_gordon(u, x, t):
        return u.tt - u.xx + np.sin(u)

    return Problem(
        unknowns="u", domain=domain, equations=[sine_gordon],
        conditions=[Initial(u=lambda x: breather(x, 0.0), u_t=0), Dirichlet(u=breather)],
        exact=breather)

if __name__ == "__main__":
    pinn.main(__file__)
