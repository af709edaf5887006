"""The derivative of values by their points in forward mode: each point moves by itself, so one direction serves all of them.

Reverse mode over reverse mode is the price that nested tapes pay for u_xx; a coordinate has few directions, so its derivatives
cost less forward, and nest without growing.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CompileError
from ..graph import CONSTANT, Node, constant, symbol, walk
from ..primitive import TABLE, broadcast
from .forward import Forward, multiply
from .unbatch import PerPoint, Unbatch

ZERO, ONE = constant(0.0), constant(1.0)
MOST = 8  # directions of a point; with more, reverse mode is cheaper


def lane_derivative(target: Node, source: Node, lanes: Iterable[Node], seed: Node | None = None) -> Node | None:
    """d sum(seed * target) / d source, shaped as the source, by forward mode; None where forward mode cannot say it.

    `lanes` are the leaves whose leading axis counts points; source has the shape (n,) or (n, d) with few d.  It can be said if
    point p of the target depends on point p of the source alone: t[p] = sum_k seed[p, k] d target[p, k] / d source[p, j].
    The target may also be a sum over points, or a multiple of one.
    """
    while target.shape == () and seed is None:  # the sum of a sum is a sum
        if target.op is TABLE["sum"]:
            target = target.args[0]
        elif target.op is TABLE["multiply"] and target.args[0].op is CONSTANT:
            number, target = target.args
            inner = lane_derivative(target, source, lanes)
            return None if inner is None else broadcast(multiply(number, inner), source.shape)
        else:
            return None
    if source.ndim not in (1, 2) or source.ndim == 2 and source.shape[1] > MOST or source.dtype.kind != "f":
        return None
    axis = _common_axis(target, source, list(lanes))
    if axis is None:
        return None
    columns = []
    for direction in _directions(source):
        tangent = Forward({source: direction}).of(target)
        if tangent is None:
            columns.append(broadcast(ZERO, source.shape[:1]))
            continue
        weighted = tangent if seed is None else multiply(broadcast(seed, target.shape), tangent)
        others = tuple(i for i in range(target.ndim) if i != axis)
        columns.append(TABLE["sum"].make((broadcast(weighted, target.shape),), others))
    if source.ndim == 1:
        return columns[0]
    if len(columns) == 1:
        return TABLE["reshape"].make((columns[0],), source.shape)
    return TABLE["stack"].make(tuple(columns), 1)


def _common_axis(target: Node, source: Node, lanes: list[Node]) -> int | None:
    """The axis of the target that counts the points of the source; None if its points depend on others, too."""
    mode = Unbatch({leaf: symbol(("lane", leaf.serial), leaf.shape[1:], leaf.dtype) for leaf in lanes})
    try:
        start = mode.of(source)
        if not isinstance(start, PerPoint) or start.axis:
            return None
        value = mode.of(target)
    except CompileError:
        return None
    if not isinstance(value, PerPoint) or value.length != start.length:
        return None
    moving = {n.serial for n in walk([start.node]) if not n.args}
    sums = [n for n in walk([value.node]) if n.op is TABLE["sum_points"]]
    return None if any(n.serial in moving for n in walk(sums)) else value.axis


def _directions(source: Node) -> list[Node]:
    """One unit step of all points for each of their numbers, shaped as the source."""
    if source.ndim == 1 or source.shape[1] == 1:
        return [broadcast(ONE, source.shape)]
    ones, zeros = (broadcast(number, source.shape[:1]) for number in (ONE, ZERO))
    return [TABLE["stack"].make(tuple(ones if i == j else zeros for i in range(source.shape[1])), 1)
            for j in range(source.shape[1])]  # fmt: skip
