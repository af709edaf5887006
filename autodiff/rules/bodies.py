"""Programs inside programs: what choices and loops have in common.

A body is a graph over leaves of its own, which stand for the operands; nothing else reaches into it, so it is a function.  The
leaves are named by their position ("carry 0"), so equal bodies are the same nodes, and say the same in every process.  A body
inside a body may have the same leaves: each is a scope of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..array import unknown
from ..graph import Node, digest, substitute, symbol, text, walk
from ..primitive import BROADCAST, TABLE, broadcast
from ..transforms import Forward, rebuild, taylor
from ..types import FLOAT, SHARED
from .layout import RESHAPE
from .packing import ZERO, Window, cast, is_fill, typed


def enclosed(outputs: Sequence[Node], *groups: tuple[str, Mapping[Node, Node]], keep: int = 0) -> tuple[list[Node], list, list]:
    """(outputs over named leaves, these leaves, what they stand for), leaves and nodes in one list a group.

    A group is a name and the leaves with what each stands for.  Leaves that are not used, that are numbers, or that stand for
    the same as another disappear, but for those of the first `keep` groups.
    """
    reached = {n.serial for n in walk(outputs)}
    put: dict[Node, Node] = {}
    leaves: list[list[Node]] = []
    nodes: list[list[Node]] = []
    for k, (name, given) in enumerate(groups):
        known: dict[int, Node] = {}
        leaves.append([])
        nodes.append([])
        for leaf, node in given.items():
            if k >= keep and leaf.serial not in reached:
                continue
            if k >= keep and is_fill(node) and node.shape == leaf.shape:
                put[leaf] = node
                continue
            if k < keep or node.serial not in known:
                known[node.serial] = symbol(f"{name} {len(leaves[-1])}", leaf.shape, leaf.dtype, SHARED)
                leaves[-1].append(known[node.serial])
                nodes[-1].append(node)
            put[leaf] = known[node.serial]
    return substitute(outputs, put, rebuild), leaves, nodes


def moved(outputs: Iterable[Node], sources: Iterable[Node]) -> set[int]:
    """Serials of the nodes below `outputs` through which a derivative by one of `sources` passes, the sources included."""
    live = {s.serial for s in sources}
    for n in walk(outputs):
        if n.dtype.kind == "f" and not (n.op.sort == "elementwise" and n.op.derivative is None):
            if any(a.serial in live for a in n.args):
                live.add(n.serial)
    return live


def said(*parts: Any) -> str:
    """What a body says, the same in every process."""
    return " ".join(str([digest(n) for n in p] if isinstance(p, tuple) else p) for p in parts)


def listed(title: str, **outputs: Sequence[Node]) -> str:
    """A body for people: one node a line, then which of them are the outputs."""
    lines = text([n for nodes in outputs.values() for n in nodes]).splitlines()
    lines += [f"{name}: {', '.join(map(repr, nodes))}" for name, nodes in outputs.items() if nodes]
    return "\n    ".join([f"{title} {{", *lines]) + "\n}"


def row_by_row(value: Callable, attr: Any, batch: int, numbers: Sequence[np.ndarray]) -> np.ndarray:
    """A value for each of `batch` leading axes, one after the other."""
    return np.stack([value(attr, batch - 1, *row) for row in zip(*numbers, strict=True)])


def coefficient_leaves(leaf: Node, model: Node, terms: Sequence[Node | None], group: dict[Node, Node],
                        always: bool = False) -> list[Node | None]:  # fmt: skip
    """Leaves for the Taylor coefficients of a leaf that stands for `model`; `group` is told what they stand for."""
    leaves: list[Node | None] = []
    for term in terms:
        new = None if term is None and not always else unknown("coefficient", leaf.shape, leaf.dtype)
        if new is not None:
            group[new] = typed(or_zero(term), model.shape, leaf.dtype)
        leaves.append(new)
    return leaves


def coefficients(outputs: Sequence[Node], series: Mapping[Node, Sequence[Node | None]], order: int) -> list[list[Node | None]]:
    """Taylor coefficients 1..order of outputs; the first is the tangent."""
    if order > 1:
        return taylor(outputs, series, order)
    mode = Forward({leaf: cs[0] for leaf, cs in series.items() if cs[0] is not None})
    return [[mode.of(y)] for y in outputs]


def or_zero(node: Node | None) -> Node:
    return ZERO if node is None else node


def spread(found: Iterable[Any], at: Sequence[int], count: int) -> list[Any]:
    """A list of `count` with what was found at its places, None elsewhere."""
    out: list[Any] = [None] * count
    for i, x in zip(at, found, strict=True):
        out[i] = x
    return out


def paired(leaves: Sequence[Node], nodes: Sequence[Node]) -> dict[Node, Node]:
    return dict(zip(leaves, nodes, strict=True))


def unrepeated(x: Node) -> Node | None:
    """One row of what is the same along its first axis, else None."""
    if x.op is BROADCAST and x.args[0].ndim < x.ndim:
        return broadcast(x.args[0], x.shape[1:])
    return None


def align(flags: Node, ndim: int) -> Node:
    """A flag for each example, with axes of length one behind."""
    return RESHAPE.make((flags,), flags.shape + (1,) * ndim)


def example_rows(x: Node | None, window: Window, n: int) -> Node:
    """The numbers of one window for each of n examples: (n, size), float64."""
    whole = broadcast(ZERO if x is None else x, (n, *window.shape))
    return RESHAPE.make((cast(whole, FLOAT),), (n, window.size))


def side_by_side(rows: Sequence[Node], n: int) -> Node:
    rows = [r for r in rows if r.shape[1]]
    return TABLE["concatenate"].make(tuple(rows), 1) if rows else broadcast(ZERO, (n, 0))
