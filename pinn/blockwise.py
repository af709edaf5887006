"""Numbers of graphs at many points: a block of points at a time, so that what is in between stays in the cache, on threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

import autodiff as ad
from pinn.optimizers.lapack import spread

BLOCK = 1 << 19          # numbers of the widest node in a block
FEWEST, MOST = 16, 8192  # points in a block
WIDE = 128               # numbers of the widest node, from which it saves work to leave out what `where` does not choose
CASES = 64               # ways in which points may choose, at most

Numbers = Mapping[ad.Node, np.ndarray]


def width_of(nodes: Sequence[ad.Node]) -> int:
    """How many numbers the widest node has at a point."""
    return max((math.prod(node.shape) for node in ad.walk(nodes) if node.lane is ad.POINT), default=1)


def in_blocks(fill: Callable[[slice, Numbers, int], None], symbols: Numbers, width: int, count: int, threads: int = 1) -> None:
    """Calls `fill` with blocks of points, the numbers of the symbols there, and how many points they are.

    Blocks depend on `width` and `count` alone, never on the threads: nor do the bits of what comes of them.
    """
    each = min(max(FEWEST, BLOCK // max(width, 1)), MOST)

    def one(start: int) -> None:
        part = slice(start, min(start + each, count))
        with np.errstate(all="ignore"):
            fill(part, {node: number[part] for node, number in symbols.items()}, part.stop - start)

    spread(threads, one, [(start,) for start in range(0, count, each)])


def numbers_at(nodes: Sequence[ad.Node], symbols: Numbers, vectors: Mapping[str, np.ndarray], count: int,
               threads: int = 1) -> list[np.ndarray]:  # fmt: skip
    """The numbers of nodes at `count` points, each `(points, *shape)`, given those of the symbols there."""
    width, out = width_of(nodes), [np.empty((count, *node.shape)) for node in nodes]
    for here, chosen in cases_of(nodes, symbols, count) if width >= WIDE else [(np.arange(count), list(nodes))]:
        fill = partial(_fill, out, here, chosen, vectors)
        own = symbols if here.size == count else {node: number[here] for node, number in symbols.items()}
        in_blocks(fill, own, width, here.size, threads)
    return out


def _fill(out: list[np.ndarray], here: np.ndarray, nodes: Sequence[ad.Node], vectors: Mapping[str, np.ndarray],
          part: slice, block: Numbers, size: int) -> None:  # fmt: skip
    for whole, number in zip(out, ad.evaluate(nodes, block, vectors, size), strict=True):
        whole[here[part]] = number


def cases_of(nodes: Sequence[ad.Node], symbols: Numbers, count: int) -> list[tuple[np.ndarray, list[ad.Node]]]:
    """Which points choose alike by `where`, and what the nodes are for them: fields of a march are those of one slab there."""
    fixed = {node.serial for node in symbols}
    asked: dict[int, ad.Node] = {}
    for node in ad.walk(nodes):  # what symbols and constants alone decide
        if node.op is not ad.VIEW and node.op is not ad.SYMBOL and all(a.serial in fixed for a in node.args):
            fixed.add(node.serial)
        if getattr(node.op, "sort", "") == "select":
            asks = node.args[0]
            if asks.serial in fixed and asks.lane is ad.POINT and not asks.shape:
                asked[asks.serial] = asks
    whole = [(np.arange(count), list(nodes))]
    if not asked or not count:
        return whole
    told = np.stack(ad.evaluate(asked.values(), symbols, {}, count), axis=1)
    answers, which = np.unique(told, axis=0, return_inverse=True)
    if len(answers) > CASES:
        return whole
    known = [{node: ad.lift(value) for node, value in zip(asked.values(), answer, strict=True)} for answer in answers]
    return [(np.flatnonzero(which.ravel() == k), ad.substitute(nodes, one, ad.rebuild)) for k, one in enumerate(known)]


def columns_of(names: Sequence[ad.Array], table: np.ndarray) -> dict[ad.Node, np.ndarray]:
    """The columns of a table `(points, columns)` by the symbols that they are the numbers of."""
    return {column.node: np.ascontiguousarray(table[:, i]) for i, column in enumerate(names)}


def stacked(nodes: Sequence[ad.Node], names: Sequence[ad.Array], table: np.ndarray, vectors: Mapping[str, np.ndarray],
            threads: int = 1) -> np.ndarray:  # fmt: skip
    """Scalar nodes at the points of a table, whose columns are the numbers of `names`: `(points, nodes)`."""
    return np.stack(numbers_at(nodes, columns_of(names, table), vectors, len(table), threads), axis=1)
