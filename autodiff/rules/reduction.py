"""The sum over collocation points: the one primitive that leads from the POINT lane to the SHARED one."""

from __future__ import annotations

from ..array import Array
from ..graph import Node, intern
from ..primitive import Primitive, is_zero
from ..types import SHARED


class SumPoints(Primitive):
    """y = sum of x over all points."""

    sort = "reduction"

    def make(self, args: tuple[Node, ...], attr: None = None) -> Node:
        (x,) = args
        return x if is_zero(x) else intern(self, args, None, x.shape, x.dtype, SHARED)


SUM_POINTS = SumPoints("sum_points")


def sum_points(x: Array) -> Array:
    return Array(SUM_POINTS.make((x.node,)), x.space)
