"""Weights of the terms of a loss: how hard each equation and each condition pulls at the network."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

import autodiff as ad
from pinn.conditions import Term
from pinn.errors import RecipeError
from pinn.sampling import Cloud

POINTS = 256  # at which the pull is measured: a mean of squares, known to a tenth
RULES = ("ntk", "gradient", "loss")
STRIDE = 10.0  # times that a weight may grow or fall at once: a pull near zero is mostly noise


class Patch(Protocol):
    """What is asked of the terms of one region (see pinn.objective)."""

    @property
    def terms(self) -> tuple[Term, ...]: ...
    @property
    def columns(self) -> tuple[ad.Array, ...]: ...
    @property
    def residuals(self) -> tuple[ad.Array, ...]: ...
    @property
    def owners(self) -> tuple[int, ...]: ...
    def table(self, cloud: Cloud) -> np.ndarray: ...


class Bound(Protocol):
    """What is asked of the program of a patch over its cloud."""

    def loss_and_gradient(self, theta: np.ndarray, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Balance:
    """Every term pulls equally hard, and the conditions `conditions` times harder than the equations.

    weight_k = (mean over equations of p_e) / p_k, where the pull p_k of a residual r_k is measured `by`

        "ntk"        mean over points of |d r_k / d theta|^2, the trace of the neural tangent kernel (Wang, Yu & Perdikaris
                     2022, J. Comput. Phys. 449, 110768, eq. 6.5)
        "gradient"   |d L_k / d theta| with L_k = mean r_k^2 (Wang, Teng & Perdikaris 2021, SIAM J. Sci. Comput. 43, A3055,
                     with the norms of Wang, Sankaran, Wang & Perdikaris 2023, arXiv 2308.08468)
        "loss"       L_k itself, so that w_k L_k become equal (as in arXiv 2607.02194); begins with "ntk", since a loss at the
                     start says little

    So it does not matter in which units an equation is written.  Weights are measured before the first step and, with `every`,
    anew every so many iterations: gradually, w <- w^memory w'^(1 - memory) with w' the weight measured, by no more than
    a factor of 10 at a time.  memory=0.95 by="loss" is the rule w <- w (mean wL / wL)^0.05.
    Raises RecipeError for what is no such number.
    """

    conditions: float = 10.0
    by: str = "ntk"
    every: int | None = None
    memory: float = 0.9

    def __post_init__(self) -> None:
        number = isinstance(self.conditions, numbers.Real) and not isinstance(self.conditions, bool)
        if not (number and np.isfinite(self.conditions) and self.conditions > 0):
            raise RecipeError(f"Balance(conditions={self.conditions!r})", why="it must be a positive number",
                              fix="Balance(conditions=10.0)")
        if self.by not in RULES:
            raise RecipeError(f"Balance(by={self.by!r})", why=f"pulls are measured by {', '.join(map(repr, RULES))}",
                              fix='Balance(by="gradient", every=1000)')
        whole = isinstance(self.every, numbers.Integral) and not isinstance(self.every, bool) and self.every >= 1
        if self.every is not None and not whole:
            raise RecipeError(f"Balance(every={self.every!r})", why="it is a positive whole number of iterations, or None for "
                              "once, before the first", fix="Balance(every=1000)")
        share = isinstance(self.memory, numbers.Real) and not isinstance(self.memory, bool) and 0 <= self.memory < 1
        if not share:
            raise RecipeError(f"Balance(memory={self.memory!r})", why="it is a share below 1 of what was known before",
                              fix="Balance(every=1000, memory=0.9)")

    def weights(self, patches: Sequence[Patch], clouds: Sequence[Cloud], theta: np.ndarray,
                bound: Sequence[Bound] = (), old: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:  # fmt: skip
        """The weight of every residual, by patch, for the network at `theta`: afresh, or what becomes of the `old` ones."""
        if self.by == "ntk" or (self.by == "loss" and old is None):
            pulls = [pull(patch, cloud, theta) for patch, cloud in zip(patches, clouds, strict=True)]
        else:
            pulls = [(gradients if self.by == "gradient" else losses)(one, len(patch.residuals), theta)
                     for one, patch in zip(bound, patches, strict=True)]
        kinds = [[patch.terms[owner].kind for owner in patch.owners] for patch in patches]
        pairs = [pair for ps, ks in zip(pulls, kinds, strict=True) for pair in zip(ps, ks, strict=True)]
        equations = [p for p, kind in pairs if kind == "equation" and p > 0]
        unit = float(np.mean(equations)) if equations else 1.0
        found = [
            np.array([(1.0 if kind == "equation" else self.conditions) * (unit / p if p > 0 else 1.0)
                      for p, kind in zip(ps, ks, strict=True)])
            for ps, ks in zip(pulls, kinds, strict=True)
        ]
        if old is None:
            return found
        return [before * np.clip((now / before) ** (1 - self.memory), 1 / STRIDE, STRIDE)
                for before, now in zip(old, found, strict=True)]


def gradients(bound: Bound, count: int, theta: np.ndarray) -> list[float]:
    """|d L_k / d theta| of every residual."""
    found = [float(np.linalg.norm(bound.loss_and_gradient(theta, one)[1])) for one in np.eye(count)]
    return [one if np.isfinite(one) else 0.0 for one in found]


def losses(bound: Bound, count: int, theta: np.ndarray) -> list[float]:
    """L_k of every residual."""
    found = bound.loss_and_gradient(theta, np.ones(count))[0]
    return [float(one) if np.isfinite(one) else 0.0 for one in found]


def pull(patch: Patch, cloud: Cloud, theta: np.ndarray) -> list[float]:
    """mean over points of |d r_k / d theta|^2, for every residual of a patch."""
    some = slice(None, None, max(1, cloud.count // POINTS))
    normals = None if cloud.normals is None else cloud.normals[some]
    points, weights = cloud.points[some], cloud.weights[some]
    rows = patch.table(replace(cloud, points=points, normals=normals, weights=weights, count=len(points), emphasis=None))
    symbols = {column.node: rows[:, i] for i, column in enumerate(patch.columns)}
    answer = []
    for residual in patch.residuals:
        views = [node for node in ad.walk([residual.node]) if node.op is ad.VIEW]
        found = [c for c in ad.reverse([residual.node], [ad.lift(1.0)], views) if c is not None]
        with np.errstate(all="ignore"):
            values = ad.evaluate(found, symbols, {"theta": theta}, len(rows))
            squares = [np.square(np.broadcast_to(v, (len(rows), *c.shape))) for v, c in zip(values, found, strict=True)]
            total = float(sum(np.sum(square) for square in squares))
        answer.append(total / len(rows) if np.isfinite(total) else 0.0)
    return answer
