"""The memory that a run will need, and the time of one evaluation, told before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.adaptive import DENSER
from pinn.objective import Patch, patches_of
from pinn.optimizers import LBFGS, LevenbergMarquardt, NaturalGradient, NewtonCG, QuasiNewton
from pinn.problem import Problem
from pinn.recipe import Recipe, share_points
from pinn.supply import Supply
from pinn.work import Work

DOUBLE = 8    # bytes
VECTORS = 12  # of parameters that any optimizer and a line search hold at a time


@dataclass(frozen=True)
class Footprint:
    """Bytes by what they are for, at the moment when a run holds the most, and the work of one loss and gradient.

    What Python, its libraries and the compiler take comes on top: about a quarter of a gigabyte.
    """

    points: int
    columns: int
    workspaces: int
    optimizer: int
    fresh: int
    work: tuple[tuple[int, Work], ...]

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.points + self.columns + self.workspaces + self.optimizer + self.fresh

    def milliseconds(self, peak: float) -> float:
        """The time of one loss and gradient on one thread, where large products run at `peak` operations a second."""
        return sum(work.milliseconds(count, peak) for count, work in self.work)

    @property
    def flops(self) -> int:
        """Operations of the matrix products of one loss and gradient."""
        return sum(count * work.flops for count, work in self.work)


def footprint(problem: Problem, recipe: Recipe, supply: Supply, threads: int = 1) -> Footprint:
    """What a complete recipe without ways will need; nothing is sampled, compiled or run.

    Points have coordinates, a weight and normals.  Columns lie in tiles, in each dtype that is used, and once in rows.  Fresh
    points are drawn while the old ones are there, by adaptive sampling and to measure the residual at the end.
    """
    patches = patches_of(supply, recipe)
    counts = [share_points(recipe.points, patch.region, patch.names, patch.is_interior) for patch in patches]
    if recipe.adaptive is not None and recipe.adaptive.add:  # points that are added stay
        counts = [max(count, recipe.adaptive.most) if patch.is_interior else count
                  for patch, count in zip(patches, counts, strict=True)]
    emphasised = DOUBLE if recipe.emphasis is not None else 0
    dtypes = sorted({dtype for stage in recipe.stages or () for dtype in recipe.dtypes(stage)}) or ["float64"]
    points = columns = fresh = residuals = 0
    workspace = 0
    for patch, first in zip(patches, counts, strict=True):
        adaptive = recipe.adaptive if patch.is_interior else None
        count = adaptive.grown(first) if adaptive is not None and not recipe.points else first
        row, packed = row_of(patch) + emphasised, sum(np.dtype(dtype).itemsize for dtype in dtypes)
        columns_each = width_of(patch) * (DOUBLE + packed)
        points, columns = points + count * row, columns + count * columns_each
        residuals += count * len(patch.owners)
        real = "f64" if "float64" in dtypes else "f32"
        workspace = max(workspace, patch.program.kernel("loss_and_gradient", real).workspace_bytes(count))
        if patch.is_interior:
            drawn = count if adaptive is None else max(count, adaptive.candidates)
            drawn = drawn if count == first else max(drawn, DENSER * count)
            # coordinates of the cube and of the domain, and the table a second time while it is put together
            fresh += drawn * (2 * row + columns_each + width_of(patch) * DOUBLE + 2 * len(patch.owners) * DOUBLE)
    size = supply.layout.size
    optimizer = max((held(stage.optimizer, size, residuals) for stage in recipe.stages or ()), default=0)
    return Footprint(points, columns, workspace * threads * len(patches), optimizer, fresh,
                     tuple((count, Work.of(patch.residuals)) for count, patch in zip(counts, patches, strict=True)))


def row_of(patch: Patch) -> int:
    """Bytes of one point of a cloud: its coordinates, its weight, its normal where a term uses it."""
    space = patch.terms[0].space
    normals = len(space.spatial) if any(term.uses_normals for term in patch.terms) else 0
    return DOUBLE * (len(space.coordinates) + 1 + normals)


def width_of(patch: Patch) -> int:
    """The columns of a program: what the user gives and what coordinates alone decide, a weight, a factor by residual."""
    return patch.program.weight_column + 1 + len(patch.owners)


def held(optimizer: Any, size: int, residuals: int) -> int:
    """Bytes that an optimizer holds: dense quasi-Newton a matrix (and the identity it begins from), L-BFGS its log of pairs,
    Levenberg-Marquardt and natural gradient four copies of the Jacobian, Newton-CG its preconditioner and what it is made from.
    """
    vectors = VECTORS * size * DOUBLE
    if isinstance(optimizer, QuasiNewton):
        return vectors + size * size * DOUBLE
    if isinstance(optimizer, (LevenbergMarquardt, NaturalGradient)):
        return vectors + 4 * residuals * size * DOUBLE
    if isinstance(optimizer, NewtonCG):
        return vectors + 6 * min(optimizer.rank, size) * size * DOUBLE
    if isinstance(optimizer, LBFGS):
        return vectors + 4 * optimizer.memory * size * DOUBLE
    return vectors
