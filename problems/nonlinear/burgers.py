"""Viscous Burgers' equation on (-1, 1) x (0, 1]:   u_t + u u_x = nu u_xx,   u(x, 0) = -sin(pi x),   u(+-1, t) = 0.

A sine wave steepens into a shock layer at x = 0, where at nu = 0.01 / pi the slope reaches -152 (t = 0.51).  Exact solution
by Cole-Hopf (Basdevant et al. 1986), see `cole_hopf`.
    $ pinn solve burgers
    $ pinn solve burgers --set nu=0.01
"""
import numpy as np

import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time

NODES = np.linspace(-1, 1, 400)


def cole_hopf(x, t, nu):
    """u = -Int sin(pi (x - e)) E de / Int E de,   E = exp(-cos(pi (x - e)) / (2 pi nu) - e^2 / (4 nu t)),   in any shape.

    The trapezoid rule, spectrally accurate here, on |e| <= (4 t (40 nu + 1 / pi))^(1/2): beyond it E is below exp(-40) of
    E at e = 0, whatever x.  The constant exp(-1 / (2 pi nu)) taken out of E leaves -cos(pi (x - e) / 2)^2 / (pi nu), which
    cannot overflow.  The error is below 1e-14 at nu = 0.01 / pi; below nu = 5e-4 E leaves the range of float64, and u is NaN.
    """
    x, t = np.add(x, 0 * t), np.add(t, 0 * x)
    later = np.where(t > 0, t, 1.0)
    width = np.sqrt(4 * later * (40 * nu + 1 / np.pi))
    angle = np.pi * (x[..., None] - width[..., None] * NODES)
    weight = np.exp(-np.cos(angle / 2)**2 / (np.pi * nu) - (40 + 1 / (np.pi * nu)) * NODES**2)
    wave = np.sum(np.sin(angle) * weight, axis=-1) / np.sum(weight, axis=-1)
    return -np.where(t > 0, wave, np.sin(np.pi * x))


def problem(nu=0.01 / np.pi):
    domain = Box(x=(-1, 1)) * Time(t=(0, 1))

    def burgers(u, x, t):
        return u.t + u * u.x - nu * u.xx

    return Problem(
        unknowns="u", domain=domain, equations=[burgers],
        conditions=[Initial(u=lambda x: -np.sin(np.pi * x)), Dirichlet(u=0)],
        exact=lambda x, t: cole_hopf(x, t, nu))


if __name__ == "__main__":
    pinn.main(__file__)
