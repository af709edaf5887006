"""jetspace as a peer: a problem stated as a user states it, and the objective that `pinn.solve` gives its optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import peer_problems
from peer_problems import DISPERSION, NU, VISCOSITY, Data

import pinn
from pinn import laplacian
from pinn.objective import Objective
from pinn.supply import Supply

VERSIONS = ("jetspace", "numpy", "numba", "llvmlite")
FORMULATIONS = ("pinn",)
TEN = tuple(f"x{i}" for i in range(1, 11))


def wave(*coordinates):
    """prod sin(pi x_i)."""
    product = np.sin(np.pi * coordinates[0])
    for x in coordinates[1:]:
        product = product * np.sin(np.pi * x)
    return product


def burgers(u, x, t):
    return u.t + u * u.x - NU * u.xx


def kdv(u, x, t):
    return u.t + u * u.x + DISPERSION * u.xxx


def navier_stokes(u, v, p, x, y):
    first = u * u.x + v * u.y + p.x - VISCOSITY * laplacian(u)
    return first, u * v.x + v * v.y + p.y - VISCOSITY * laplacian(v), u.x + v.y


def biharmonic(u, x, y):
    return laplacian(laplacian(u)) - peer_problems.SOURCE["biharmonic"](2) * wave(x, y)


def poisson_1d(u, x):
    return u.xx - peer_problems.SOURCE["poisson"](1) * wave(x)


def poisson_2d(u, x, y):
    return laplacian(u) - peer_problems.SOURCE["poisson"](2) * wave(x, y)


def poisson_10d(u, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10):
    return laplacian(u) - peer_problems.SOURCE["poisson"](10) * wave(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10)


STATED: dict[str, tuple[Sequence[str], tuple[str, ...], Callable]] = {
    "W1": ("xt", ("u",), burgers),
    "W2": ("xt", ("u",), burgers),
    "W3": ("xy", ("u",), poisson_2d),
    "W4": ("xy", ("u", "v", "p"), navier_stokes),
    "W5": ("xy", ("u",), biharmonic),
    "W6": (TEN, ("u",), poisson_10d),
    "W7": ("x", ("u",), poisson_1d),
    "W8": ("xt", ("u",), kdv),
}


class Peer:
    """One objective over the given points, at the given weights."""

    def __init__(self, problem: peer_problems.Problem, numbers: Data, formulation: str, threads: int, dtype: str):
        coordinates, unknowns, equation = STATED[problem.key]
        # A Box even where the second axis is time: the loss of the equation alone needs no initial condition.
        box = pinn.Box(**{name: (-1, 1) for name in coordinates})
        stated = pinn.Problem(unknowns, box, [equation])
        points = numbers.points.astype(np.float64)

        def given(n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
            return (points + 1) / 2

        recipe = pinn.Recipe(network=pinn.MLP(problem.sizes[1:-1]), points=len(points), dtype=dtype, sampling=given,
                             stages=[pinn.Adam()])  # fmt: skip
        supply = Supply(stated, recipe.network)
        self.objective = Objective.of(stated, supply, recipe, np.random.default_rng(0), threads)
        # our matrices are (outputs, inputs)
        self.theta = np.concatenate([np.ravel(w.T).astype(np.float64) for w in numbers.weights])
        self.slots, self.plan = supply.layout.shapes().values(), supply.plan(stated.terms[0].residuals)

    def call(self) -> None:
        self.loss, self.gradient = self.objective.loss_and_gradient(self.theta)

    def answer(self) -> tuple[float, np.ndarray]:
        parts, at = [], 0
        for shape in self.slots:
            size = int(np.prod(shape))
            parts.append(self.gradient[at : at + size].reshape(shape).T)
            at += size
        return self.loss, peer_problems.flat(parts)

    @property
    def executed_flops(self) -> int:
        """What the products of the compiled plan do in one call, padding of points aside."""
        return sum(patch.program.gemm_flops() * cloud.count
                   for patch, cloud in zip(self.objective.patches, self.objective.clouds, strict=True))  # fmt: skip
