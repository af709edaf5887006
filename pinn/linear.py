"""Residuals and fields linearised in weights, by the interpreter: a Jacobian that is asked for too rarely to compile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

import autodiff as ad
from pinn.blockwise import Numbers, in_blocks

DEAR = 8         # the cost of an operation that is not done twice


@dataclass(frozen=True, eq=False)
class Rows:
    """Numbers per point, `nodes`, and their derivatives with respect to the weights in `windows`, (offset, size) each.

    `at` gives both at points; columns are the weights of the windows, one window after the other.
    """

    nodes: tuple[ad.Node, ...]
    columns: int
    found: tuple[tuple[int, np.ndarray, ad.Node], ...]  # number, columns, derivative
    width: int  # of what is in between
    place: np.ndarray  # of the columns, by weight, -1 for none

    @staticmethod
    def of(nodes: Sequence[ad.Node], windows: Sequence[tuple[int, int]]) -> Rows:
        """The rows of `nodes`, which are graphs of symbols and of views of the weights."""
        place = np.full(max((start + size for start, size in windows), default=0), -1)
        columns = 0
        for start, size in windows:
            place[start:start + size] = np.arange(columns, columns + size)
            columns += size
        found = []
        for k, node in enumerate(nodes):
            views = [view for view in ad.walk([node]) if view.op is ad.VIEW and wanted(view, place)]
            for view, one in zip(views, ad.reverse([node], [ad.lift(1.0)], views), strict=True):
                if one is not None:
                    found.append((k, place[weights_of(view)], one))
        return Rows(tuple(nodes), columns, tuple(found), columns, place)

    def split(self) -> tuple[dict[ad.Node, ad.Node], Rows]:
        """What is dear and does not depend on the weights in the windows, as symbol: node, and the rows of these symbols."""
        outputs = [*self.nodes, *(one for _, _, one in self.found)]
        moving: set[int] = set()
        known: dict[ad.Node, ad.Node] = {}
        for node in ad.walk(outputs):
            if node.op is ad.VIEW and wanted(node, self.place) or any(a.serial in moving for a in node.args):
                moving.add(node.serial)
            elif node.lane is ad.POINT and getattr(node.op, "cost", 0) >= DEAR:
                known[node] = ad.symbol(("known", node.serial), node.shape, node.dtype)
        changed = ad.substitute(outputs, known, ad.rebuild)
        count = len(self.nodes)
        found = tuple((k, columns, one) for (k, columns, _), one in zip(self.found, changed[count:], strict=True))
        return {symbol: node for node, symbol in known.items()}, replace(self, nodes=tuple(changed[:count]), found=found)

    def at(self, symbols: dict[ad.Node, np.ndarray], theta: np.ndarray, count: int,
           threads: int = 1) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Values `(points, nodes)` and derivatives `(points, nodes, columns)` at `count` points, given the symbols there."""
        values = np.empty((count, len(self.nodes)))
        rows = np.zeros((count, len(self.nodes), self.columns))
        asked = [*self.nodes, *(one for _, _, one in self.found)]

        def fill(part: slice, block: Numbers, size: int) -> None:
            numbers = ad.evaluate(asked, block, {"theta": theta}, size)
            for k, number in enumerate(numbers[:len(self.nodes)]):
                values[part, k] = number
            for (k, columns, one), number in zip(self.found, numbers[len(self.nodes):], strict=True):
                add_columns(rows[part, k], columns, number if one.lane is ad.POINT else np.asarray(number)[None])

        in_blocks(fill, symbols, self.width, count, threads)
        return values, rows

    def values_at(self, symbols: dict[ad.Node, np.ndarray], theta: np.ndarray, count: int, threads: int = 1) -> np.ndarray:
        """The values alone `(points, nodes)`."""
        return replace(self, columns=0, found=()).at(symbols, theta, count, threads)[0]


def weights_of(view: ad.Node) -> np.ndarray:
    """The weights that a view shows, in the order of its entries."""
    _, offset, shape, strides = view.attr
    index = np.array(offset)
    for axis, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        index = index + (np.arange(n) * stride).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return np.asarray(index).reshape(-1)


def wanted(view: ad.Node, place: np.ndarray) -> bool:
    """Whether the weights that a view shows are among those that have a column."""
    index = weights_of(view)
    return bool(index.size and index.max() < place.size and (place[index] >= 0).all())


def add_columns(rows: np.ndarray, columns: np.ndarray, number: np.ndarray) -> None:
    """rows[:, columns] += number `(points or 1, ...)`."""
    flat = np.asarray(number, float).reshape(len(number), -1)
    low = int(columns[0])
    if np.array_equal(columns, np.arange(low, low + columns.size)):
        rows[:, low:low + columns.size] += flat
    else:
        np.add.at(rows, (slice(None), columns), np.broadcast_to(flat, (len(rows), columns.size)))
