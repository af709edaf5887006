"""Random directions for Laplacians in many dimensions: how many, of which kind, drawn for every point."""

from __future__ import annotations

import numbers
import zlib
from dataclasses import dataclass

import numpy as np

from pinn.errors import RecipeError

KINDS = ("rademacher", "gaussian")


@dataclass(frozen=True)
class Hutchinson:
    """sum_i a_i u_ii, all a_i of one sign, estimated by the mean of D_v D_v u over m random directions v_i = sqrt(|a_i|) e_i.

    Hutchinson 1989; Hu, Shukla, Karniadakis & Kawaguchi 2024, arXiv:2312.14499, section 3.  It is unbiased, since E[e e^T] = I,
    with the variance 2/m sum_{i != j} a_i a_j u_ij^2 for signs e_i ("rademacher"), and 2/m sum_{i, j} for "gaussian" ones.
    The directions are data of a point: they change with the points, `Recipe(resample=...)`, and with nothing else.

    The *square* of the estimated residual is not unbiased: its mean exceeds r^2 by the variance.  Two halves of the directions
    give independent estimates r1 and r2, and so the variance of their mean, E[((r1 - r2) / 2)^2]; it is reported as a term
    `<equation>: variance` of its own, without weight.  Raises RecipeError unless `directions` is even and positive.
    """

    directions: int = 16
    kind: str = "rademacher"

    def __post_init__(self) -> None:
        m = self.directions
        whole = isinstance(m, numbers.Integral) and not isinstance(m, bool)
        if not whole or m < 2 or m % 2 or self.kind not in KINDS:
            why = f"directions are an even number, two halves that are compared; the kinds are {', '.join(KINDS)}"
            raise RecipeError(f"cannot estimate by {self}", why=why, fix='Hutchinson(directions=16, kind="rademacher")')

    def draw(self, points: np.ndarray, axes: int) -> np.ndarray:
        """Directions `(n, m, axes)` for points `(n, dim)`: the same ones for the same points."""
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(points).tobytes()))
        shape = (len(points), self.directions, axes)
        return rng.standard_normal(shape) if self.kind == "gaussian" else 2.0 * rng.integers(0, 2, shape) - 1.0
