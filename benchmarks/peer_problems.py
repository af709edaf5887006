"""The eight problems on which libraries are compared: sizes, numbers, and what every formulation of them shares.

Residuals and the Taylor algebra are written in operators that arrays of every library have, so that all of them do one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NU = 0.01 / np.pi  # viscosity of Burgers' equation
VISCOSITY = 0.01  # of the Navier-Stokes equations
DISPERSION = 0.0025  # of the Korteweg-de Vries equation
SOURCE = {"poisson": lambda d: -d * np.pi**2, "biharmonic": lambda d: 4 * np.pi**4}  # factor of prod sin(pi x_i)


@dataclass(frozen=True)
class Problem:
    """One equation, one network with tanh, one number of points; the loss is the sum of the residuals' mean squares.

    Coordinates are in [-1, 1].  `title` is for people, `sizes` has the widths of all layers.
    """

    key: str
    title: str
    equation: str
    sizes: tuple[int, ...]
    points: int

    @property
    def dim(self) -> int:
        return self.sizes[0]

    @property
    def channels(self) -> int:
        """Numbers that collapsed Taylor mode carries for every neuron: the fewest of which a formula is known."""
        return {"burgers": 4, "kdv": 5, "navier_stokes": 4, "biharmonic": 9, "poisson": self.dim + 2}[self.equation]

    @property
    def counted_flops(self) -> int:
        """6 points channels sum_l n_l n_(l+1): a multiply and an add for W h, for W^T g and for g h^T, over all layers."""
        cells = sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        return 6 * self.points * self.channels * cells


@dataclass(frozen=True)
class Data:
    """The numbers of a problem: `weights` W0 `(n_in, n_out)`, b0, W1, ...; `points` `(n, dim)`; `source` `(n,)`."""

    weights: tuple[np.ndarray, ...]
    points: np.ndarray
    source: np.ndarray

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return pairs(self.weights)


def data(problem: Problem, dtype: str, count: int | None = None) -> Data:
    """Glorot weights, small biases and uniform points, equal in every process; the first `count` of the points."""
    rng = np.random.default_rng(0)
    weights: list[np.ndarray] = []
    for a, b in zip(problem.sizes, problem.sizes[1:], strict=False):
        weights += [rng.normal(size=(a, b)) * np.sqrt(2 / (a + b)), 0.1 * rng.normal(size=b)]
    points = rng.uniform(-1, 1, (problem.points, problem.dim))[:count]
    source = np.zeros(len(points))
    if problem.equation in SOURCE:
        source = SOURCE[problem.equation](problem.dim) * np.prod(np.sin(np.pi * points), axis=1)
    return Data(tuple(w.astype(dtype) for w in weights), points.astype(dtype), source.astype(dtype))


def pairs(weights: Sequence[Any]) -> list[tuple[Any, Any]]:
    """(W, b) of each layer."""
    return list(zip(weights[::2], weights[1::2], strict=True))


def flat(gradient: Sequence[Any]) -> np.ndarray:
    """The gradients of W0, b0, W1, ... in one vector of float64."""
    return np.concatenate([np.asarray(g, np.float64).ravel() for g in gradient])


def residuals(equation: str, d: Sequence[Any], source: Any) -> list[Any]:
    """What must vanish, from the derivatives that an equation needs, each `(n,)`.

    burgers u, u_x, u_t, u_xx; kdv u, u_x, u_t, u_xxx; poisson and biharmonic the operator of u alone;
    navier_stokes u, v, u_x, u_y, v_x, v_y, p_x, p_y and the Laplacians of u and v.
    """
    if equation == "burgers":
        return [d[2] + d[0] * d[1] - NU * d[3]]
    if equation == "kdv":
        return [d[2] + d[0] * d[1] + DISPERSION * d[3]]
    if equation == "navier_stokes":
        u, v, u_x, u_y, v_x, v_y, p_x, p_y, lap_u, lap_v = d
        first = u * u_x + v * u_y + p_x - VISCOSITY * lap_u
        return [first, u * v_x + v * v_y + p_y - VISCOSITY * lap_v, u_x + v_y]
    return [d[0] - source]


def loss(equation: str, derivatives: Sequence[Any], source: Any) -> Any:
    return sum((r * r).mean() for r in residuals(equation, derivatives, source))


# ---- collapsed Taylor mode by hand: derivatives of the neurons, pushed from layer to layer -----------------------------------
# Channels after the value: poisson, navier_stokes d_1 .. d_n, Laplacian; burgers x, t, xx; kdv x, t, xx, xxx; biharmonic
# x, y, xx, xy, yy, the gradient of the Laplacian, and the bi-Laplacian.  None is a zero known beforehand.
def first_channels(equation: str, W: Any, dim: int) -> list[Any]:
    """The channels after the first linear layer: rows of W, for the coordinates are linear in themselves."""
    rows = [W[i] for i in range(dim)]
    return rows + [None] * {"burgers": 1, "kdv": 2, "biharmonic": 6}.get(equation, 1)


def plus(*terms: Any) -> Any:
    """The sum of what is not None."""
    there = [term for term in terms if term is not None]
    return sum(there[1:], there[0]) if there else None


def times(*factors: Any) -> Any:
    """The product, None where a factor is."""
    if any(factor is None for factor in factors):
        return None
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product


def tanh_channels(equation: str, a: Any, z: Sequence[Any]) -> list[Any]:
    """The channels of a = tanh(z_0) from those of z_0 (Faa di Bruno; collapsed as in Li et al. 2023, forward Laplacian)."""
    s1 = 1 - a * a
    s2 = -2 * a * s1
    if equation in ("poisson", "navier_stokes"):
        *gradient, laplacian = z
        squares = plus(*[g * g for g in gradient])
        return [s1 * g for g in gradient] + [plus(times(s1, laplacian), s2 * squares)]
    if equation == "burgers":
        x, t, xx = z
        return [s1 * x, s1 * t, plus(times(s1, xx), s2 * (x * x))]
    s3 = s1 * (6 * (a * a) - 2)
    if equation == "kdv":
        x, t, xx, xxx = z
        third = plus(times(s1, xxx), times(3, s2 * x, xx), s3 * (x * x * x))
        return [s1 * x, s1 * t, plus(times(s1, xx), s2 * (x * x)), third]
    return _biharmonic(s1, s2, s3, 8 * (a * s1) * (2 - 3 * (a * a)), z)


def _biharmonic(s1: Any, s2: Any, s3: Any, s4: Any, z: Sequence[Any]) -> list[Any]:
    x, y, xx, xy, yy, qx, qy, bi = z  # q is the gradient of the Laplacian
    g = x * x + y * y
    out = [s1 * x, s1 * y, plus(times(s1, xx), s2 * (x * x)), plus(times(s1, xy), s2 * (x * y)),
           plus(times(s1, yy), s2 * (y * y))]  # fmt: skip
    if xx is None:  # after the first layer all second derivatives are zero
        return [*out, s3 * (x * g), s3 * (y * g), s4 * (g * g)]
    lap = xx + yy
    hx, hy = xx * x + xy * y, xy * x + yy * y
    h = xx * xx + 2 * (xy * xy) + yy * yy
    zq = plus(times(x, qx), times(y, qy))
    return [*out,
            plus(times(s1, qx), s2 * (lap * x + 2 * hx), s3 * (x * g)),
            plus(times(s1, qy), s2 * (lap * y + 2 * hy), s3 * (y * g)),
            plus(times(s1, bi), s2 * plus(times(4, zq), lap * lap, 2 * h),
                 s3 * (2 * (lap * g) + 4 * (x * hx + y * hy)), s4 * (g * g))]  # fmt: skip


# Which channels, the value being 0, the last layer has to hand on.
NEEDED = {"poisson": (-1,), "biharmonic": (-1,), "burgers": (0, 1, 2, 3), "kdv": (0, 1, 2, 4), "navier_stokes": (0, 1, 2, 3)}


def derivatives_of(equation: str, outputs: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals` from the needed channels `(k, n, fields)` of the outputs."""
    if equation != "navier_stokes":
        return tuple(outputs[k][:, 0] for k in range(len(NEEDED[equation])))
    (u, v), (u_x, v_x, p_x), (u_y, v_y, p_y), (lap_u, lap_v) = (
        [outputs[k][:, i] for i in range(fields)] for k, fields in enumerate((2, 3, 3, 2)))  # fmt: skip
    return u, v, u_x, u_y, v_x, v_y, p_x, p_y, lap_u, lap_v


PROBLEMS = {p.key: p for p in (
    Problem("W1", "Burgers 2-[20]x8-1", "burgers", (2, *[20] * 8, 1), 10_000),
    Problem("W2", "Burgers 2-[64]x4-1", "burgers", (2, *[64] * 4, 1), 10_000),
    Problem("W3", "Poisson 2-[128]x4-1", "poisson", (2, *[128] * 4, 1), 4_096),
    Problem("W4", "Navier-Stokes 2-[50]x5-3", "navier_stokes", (2, *[50] * 5, 3), 4_096),
    Problem("W5", "biharmonic 2-[64]x4-1", "biharmonic", (2, *[64] * 4, 1), 2_048),
    Problem("W6", "Poisson 10-[64]x4-1", "poisson", (10, *[64] * 4, 1), 2_048),
    Problem("W7", "Poisson 1-[32]x2-1", "poisson", (1, 32, 32, 1), 128),
    Problem("W8", "KdV 2-[64]x4-1", "kdv", (2, *[64] * 4, 1), 4_096),
)}  # fmt: skip
