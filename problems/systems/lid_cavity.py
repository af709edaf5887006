"""Flow in a cavity under a moving lid: the steady, incompressible Navier-Stokes equations on (0, 1)^2 at Re = 100:

    u u_x + v u_y + p_x = Lap u / Re,     u v_x + v v_y + p_y = Lap v / Re,     u_x + v_y = 0,

u = 4 x (1 - x) on the lid y = 1, u = v = 0 on the other walls, and p = 0 at the lower left corner, as only its gradient
enters.  The case "NS 2d-C" of PINNacle (Hao et al. 2024).  No exact solution is known: errors of the velocities are measured
against our own Chebyshev collocation, see `benchmarks/references/lid_cavity.py`, which is known to 3e-7.
    $ pinn solve lid_cavity
"""
from importlib.resources import files

import pinn
from pinn import Box, Dirichlet, Problem, Reference, laplacian


def problem(Re=100.0):
    domain = Box(x=(0, 1), y=(0, 1))
    walls = domain.face(x=0) | domain.face(x=1) | domain.face(y=0)

    def momentum(u, v, p):
        return u * u.x + v * u.y + p.x - laplacian(u) / Re, u * v.x + v * v.y + p.y - laplacian(v) / Re

    def continuity(u, v):
        return u.x + v.y

    return Problem(
        unknowns=("u", "v", "p"), domain=domain, equations=[momentum, continuity],
        conditions=[Dirichlet(u=lambda x: 4 * x * (1 - x), v=0, on=domain.face(y=1)), Dirichlet(u=0, v=0, on=walls),
                    Dirichlet(p=0, on=domain.point(x=0, y=0))],
        exact=Reference.read(files("problems") / "data" / "lid_cavity.npz") if Re == 100 else None)


if __name__ == "__main__":
    pinn.main(__file__)
