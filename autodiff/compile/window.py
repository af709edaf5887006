"""What all points share, as windows of the flat vector that a kernel reads, and what each point has, as its columns."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ..graph import CONSTANT, VIEW, Node, constant, symbol, view, walk
from ..primitive import BROADCAST, TABLE
from ..types import FLOAT, Shape

THETA = "theta"


class Window:
    """The flat vector: every shared value has its place in it from the first time that a point asks for it."""

    def __init__(self) -> None:
        self.offsets: dict[Node, int] = {}
        self.size = 0

    def of(self, node: Node) -> Node:
        """How points read a shared value: numbers as they are, an array as a window, its rows and columns as windows of it."""
        if all(n.op is CONSTANT for n in walk([node]) if not n.args):
            return node
        if node not in self.offsets and getattr(node.op, "view", False):
            seen = node.op.make((self.of(node.args[0]),), node.attr)
            if seen.op is VIEW or seen.op is BROADCAST:
                return seen
        if node not in self.offsets:
            self.offsets[node] = self.size
            self.size += math.prod(node.shape)
        seen = view(THETA, self.offsets[node], node.shape)
        return TABLE["not_equal"].make((seen, constant(0.0))) if node.dtype.kind == "b" else seen


@dataclass(frozen=True, eq=False)
class Column:
    """One number of every point: element `cell` of what is left of `array` without its `axis` of points."""

    array: Node
    axis: int
    cell: int
    length: int


class Columns:
    """The numbers of each point, as symbols: `places` says where they come from."""

    def __init__(self) -> None:
        self.places: dict[Node, Column] = {}
        self._arrays = itertools.count()

    def of(self, array: Node, axis: int = 0) -> Node:
        """What one point has of an array, put together from scalars, so that it dissolves where only some are used."""
        shape, number = array.shape[:axis] + array.shape[axis + 1 :], next(self._arrays)
        cells = []
        for cell in range(math.prod(shape)):
            # numbered, and not named by its age: equal programs must be equal text
            point = symbol(("column", number, cell), (), FLOAT)
            self.places[point] = Column(array, axis, cell, array.shape[axis])
            cells.append(TABLE["not_equal"].make((point, constant(0.0))) if array.dtype.kind == "b" else point)
        return _nested(cells, shape)


def _nested(cells: list[Node], shape: Shape) -> Node:
    if not shape:
        return cells[0]
    size = math.prod(shape[1:])
    return TABLE["stack"].make(tuple(_nested(cells[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])), 0)


def positions(window: Node) -> np.ndarray:
    """Where the elements of a window are in its vector."""
    _, offset, shape, strides = window.attr
    index = np.indices(shape)
    return offset + sum((index[i] * step for i, step in enumerate(strides)), np.zeros(shape, np.int64))
