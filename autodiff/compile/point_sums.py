"""Sums over points as a kernel makes them: matrices are outer products, thin ones vectors, what is put together falls apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ..graph import Node, walk
from ..primitive import TABLE
from .schedule import Target
from .unrolled import SHORT, part_of

THIN = 4  # so few rows or columns of a matrix are sums of vectors: an outer product would not fill its block


def merge_sums(roots: Sequence[Node], length: Callable[[Node], int]) -> list[Node]:
    """The same shared values, where a sum of two sums over the same points is one sum: one product then serves all channels."""
    order = walk(roots, stop=lambda n: n.op is TABLE["sum_points"])
    uses = Counter(a.serial for n in order if n.op is not TABLE["sum_points"] for a in n.args)
    uses.update(r.serial for r in roots)
    new: dict[int, Node] = {}
    for n in order:
        if n.op is TABLE["sum_points"] or not n.args:
            new[n.serial] = n
            continue
        args = tuple(new[a.serial] for a in n.args)
        if n.op in (TABLE["add"], TABLE["subtract"]) and all(
            a.op is TABLE["sum_points"] and a.shape == n.shape and uses[old.serial] == 1
            for a, old in zip(args, n.args, strict=True)
        ) and length(args[0]) == length(args[1]):  # fmt: skip
            new[n.serial] = TABLE["sum_points"].make((n.op.make(tuple(a.args[0] for a in args)),))
        else:
            same = all(a is b for a, b in zip(args, n.args, strict=True))
            new[n.serial] = n if same else n.op.make(args, n.attr)
    return [new[r.serial] for r in roots]


def targets_of(node: Node, kind: str, offset: int) -> list[Target]:
    """The targets that put a value per point, in C order, at `offset`."""
    strides = tuple(int(np.prod(node.shape[i + 1 :])) for i in range(node.ndim))
    return [Target(n, kind, at, steps) for n, at, steps in _pieces(node, offset, strides)]


def _pieces(node: Node, offset: int, strides: tuple[int, ...]) -> list[tuple[Node, int, tuple[int, ...]]]:
    """A value as parts that a loop can have: (part, where it begins, its strides)."""
    thin = THIN if node.op is TABLE["contract"] or node.op.sort == "elementwise" else SHORT
    if node.ndim > 1 and (min(node.shape) <= thin or node.ndim > 2):
        axis = int(np.argmin(node.shape))
        rest = strides[:axis] + strides[axis + 1 :]
        parts = [(part_of(node, axis, i), offset + i * strides[axis], rest) for i in range(node.shape[axis])]
    elif node.ndim == 1 and node.op is TABLE["stack"]:
        parts = [(part, offset + i * strides[0], ()) for i, part in enumerate(node.args)]
    elif node.ndim == 1 and node.op is TABLE["concatenate"]:
        starts = np.cumsum([0] + [part.shape[0] for part in node.args]).tolist()
        parts = [(part, offset + start * strides[0], strides) for part, start in zip(node.args, starts, strict=False)]
    else:
        return [(node, offset, strides)]
    return [piece for part in parts for piece in _pieces(*part)]
