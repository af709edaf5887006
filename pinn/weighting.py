"""Weights of the terms of a loss: how hard each equation and each condition pulls at the network."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

import autodiff as ad
from pinn.conditions import Term
from pinn.errors import RecipeError
from pinn.sampling import Cloud

POINTS = 256  # at which the pull is measured: a mean of squares, known to a tenth


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


@dataclass(frozen=True)
class Balance:
    """Every term pulls equally hard at the start, and the conditions `conditions` times harder than the equations.

    weight_k = (mean over equations of tr_e) / tr_k,  tr_k = mean over points of |d r_k / d theta|^2: the traces of the neural
    tangent kernel (Wang, Yu & Perdikaris 2022, J. Comput. Phys. 449, eq. 6.5).  So it does not matter in which units an
    equation is written.  Raises RecipeError unless `conditions` is a positive number.
    """

    conditions: float = 10.0

    def __post_init__(self) -> None:
        number = isinstance(self.conditions, numbers.Real) and not isinstance(self.conditions, bool)
        if not (number and np.isfinite(self.conditions) and self.conditions > 0):
            raise RecipeError(f"Balance(conditions={self.conditions!r})", why="it must be a positive number",
                              fix="Balance(conditions=10.0)")

    def weights(self, patches: Sequence[Patch], clouds: Sequence[Cloud], theta: np.ndarray) -> list[np.ndarray]:
        """The weight of every residual, by patch, for the network at `theta`."""
        pulls = [pull(patch, cloud, theta) for patch, cloud in zip(patches, clouds, strict=True)]
        kinds = [[patch.terms[owner].kind for owner in patch.owners] for patch in patches]
        pairs = [pair for ps, ks in zip(pulls, kinds, strict=True) for pair in zip(ps, ks, strict=True)]
        equations = [p for p, kind in pairs if kind == "equation" and p > 0]
        unit = float(np.mean(equations)) if equations else 1.0
        return [
            np.array([(1.0 if kind == "equation" else self.conditions) * (unit / p if p > 0 else 1.0)
                      for p, kind in zip(ps, ks, strict=True)])
            for ps, ks in zip(pulls, kinds, strict=True)
        ]


def pull(patch: Patch, cloud: Cloud, theta: np.ndarray) -> list[float]:
    """mean over points of |d r_k / d theta|^2, for every residual of a patch."""
    rows = patch.table(cloud)[:: max(1, cloud.count // POINTS)]
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
