"""Points that only fill up a tile must not count: all that is summed is multiplied by a factor that is 0 for them and 1 else.

A cotangent is linear in the few numbers it began with, so the factor is put there, and not at every vector that is summed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..graph import Node, substitute, walk
from ..primitive import TABLE, broadcast, is_zero
from ..transforms import rebuild
from ..types import SHARED
from .schedule import outer_terms


def counted(nodes: Sequence[Node], factor: Node) -> list[Node]:
    """The same values per point, each times `factor`, a scalar per point."""
    large = [n for n in nodes if n.ndim]
    depth: dict[int, int] = {}
    known: dict[int, frozenset[Node] | None] = {}
    for n in walk(large):
        depth[n.serial] = 1 + max([depth[a.serial] for a in n.args], default=0)
        known[n.serial] = _carriers(n, known, depth)
    roots = frozenset().union(*(known[n.serial] or {n} for n in large))
    if large and _are_linear(large, roots):
        times = TABLE["multiply"].make
        moved = substitute(large, {z: broadcast(times((factor, z)), z.shape) for z in roots}, rebuild)
    else:
        moved = [_times(factor, n) for n in large]
    found = iter(moved)
    return [next(found) if n.ndim else _times(factor, n) for n in nodes]


def _carriers(n: Node, known: dict[int, frozenset[Node] | None], depth: dict[int, int]) -> frozenset[Node] | None:
    """The smallest values that a node seems to be linear in, all of them together; None for what all points share."""
    if n.lane is SHARED:
        return None
    itself = frozenset([n])
    if n.shape == ():
        return itself
    sort, args = n.op.sort, [a for a in n.args if not is_zero(a)]
    if n.op in (TABLE["multiply"], TABLE["divide"]) or sort == "multilinear":
        # of two factors the one that more came before: a cotangent has all of the program behind it, a partial derivative less
        args = sorted((a for a in args if known[a.serial] is not None), key=lambda a: depth[a.serial])[-1:]
    elif sort == "select":
        args = [a for a in n.args[1:] if not is_zero(a)]
    elif sort != "linear" and n.op not in (TABLE["add"], TABLE["subtract"]):
        return itself
    found = [known[a.serial] for a in args]
    if not found or any(f is None for f in found):
        return itself
    return min(frozenset().union(*found), itself, key=_size) if n.ndim < 2 else frozenset().union(*found)  # type: ignore[arg-type]


def _size(cut: frozenset[Node]) -> int:
    return sum(math.prod(n.shape) for n in cut)


def _are_linear(nodes: Sequence[Node], roots: frozenset[Node]) -> bool:
    """Whether all nodes are multiplied by t when all roots are."""
    degree: dict[int, int | None] = {}  # the power of t, None for no power
    for n in walk(nodes, stop=roots.__contains__):
        degree[n.serial] = 1 if n in roots else _degree(n, degree)
    return all(degree[n.serial] == 1 for n in nodes)


def _degree(n: Node, degree: dict[int, int | None]) -> int | None:
    sort, args = n.op.sort, n.args
    if sort == "select":
        if degree[args[0].serial] != 0:
            return None
        args = args[1:]
    powers = {degree[a.serial] for a in args if not is_zero(a)}
    if powers <= {0}:
        return 0
    if None in powers:
        return None
    if n.op is TABLE["multiply"] or sort == "multilinear":
        return sum(degree[a.serial] or 0 for a in args)
    if n.op is TABLE["divide"]:
        return degree[args[0].serial] if degree[args[1].serial] == 0 else None
    if sort in ("linear", "select") or n.op in (TABLE["add"], TABLE["subtract"]):
        return powers.pop() if len(powers) == 1 else None
    return None


def _times(factor: Node, node: Node) -> Node:
    if node.ndim < 2:
        return broadcast(TABLE["multiply"].make((factor, node)), node.shape)
    total = None
    for a, b in outer_terms(node):
        term = TABLE["contract"].make((a, _times(factor, b)), "a,b->ab")
        total = term if total is None else TABLE["add"].make((total, term))
    assert total is not None
    return total
