"""The work of residuals: what their loss and gradient cost at one point, counted on the graph before anything is compiled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import autodiff as ad

# In units of one floating point operation of a large matrix product: what a number read or written by a product costs, and an
# elementwise operation.  Fitted to results/benchmarks/kernels.md (one thread, float64, 19:09): with them the times of all
# workloads there are within 11 %, but for the smallest, which takes a fifth longer because of what every call costs.
ROW, ELEMENTWISE = 12.0, 1 / 7
ONE = ad.lift(1.0)


@dataclass(frozen=True)
class Work:
    """The work of loss and gradient at one point.

    `channels` vectors meet the busiest matrix of weights on the way to the residuals; `flops` are the floating point operations
    of all matrix products, exactly those that the compiled plan executes; `rows` the numbers that these products read and
    write; `elementwise` everything else, by the costs of the primitives, without what a plan computes twice.
    """

    channels: int
    flops: int
    rows: int
    elementwise: int

    @property
    def cost(self) -> float:
        """All of it, in operations of a large matrix product: flops + ROW rows + ELEMENTWISE elementwise."""
        return self.flops + ROW * self.rows + ELEMENTWISE * self.elementwise

    def milliseconds(self, points: int, peak: float) -> float:
        """The time of loss and gradient over so many points where products run at `peak` operations a second."""
        return 1e3 * points * self.cost / peak

    @staticmethod
    def of(residuals: Sequence[ad.Array]) -> Work:
        """The work of residuals whose jets are graphs of coordinates and weights."""
        squares = [(residual * residual).node for residual in residuals]
        views = [node for node in ad.walk(squares) if node.op is ad.VIEW]
        cotangents = [found for found in ad.reverse(squares, [ONE] * len(squares), views) if found is not None]
        flops = rows = elementwise = 0
        for node in ad.walk([*squares, *cotangents]):
            if node.lane is not ad.POINT:
                continue
            shape = product_shape(node)
            if shape is not None:
                flops += 2 * math.prod(shape)
                rows += sum(shape)
            elif node.op.sort in ("elementwise", "select"):
                elementwise += node.op.cost * math.prod(node.shape)
            elif node.op.sort == "multilinear":
                elementwise += 2 * max(math.prod(argument.shape) for argument in node.args)
        return Work(count_channels(residuals), flops, rows, elementwise)


def product_shape(node: ad.Node) -> tuple[int, int] | None:
    """The shape of the matrix where a node of a point is a matrix times a vector or an outer product, else None."""
    if node.op.name != "contract":
        return None
    matrix = node if len(node.shape) == 2 else node.args[0]
    return (matrix.shape[0], matrix.shape[1]) if len(matrix.shape) == 2 else None


def meets(node: ad.Node) -> ad.Node | None:
    """The matrix of weights that a vector meets in this node, or None."""
    if node.op.sort == "multilinear" and len(node.args) == 2:
        matrix, vector = node.args
        if matrix.lane is ad.SHARED and len(matrix.shape) == 2 and vector.lane is ad.POINT and len(vector.shape) == 1:
            return matrix
    return None


def count_channels(residuals: Sequence[ad.Array]) -> int:
    """The number of vectors that meet the busiest matrix of weights."""
    found: dict[int, int] = {}
    for node in ad.walk([residual.node for residual in residuals]):
        matrix = meets(node)
        if matrix is not None:
            found[matrix.serial] = found.get(matrix.serial, 0) + 1
    return max(found.values(), default=0)
