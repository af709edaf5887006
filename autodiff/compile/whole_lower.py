"""A graph over whole arrays, rewritten into what loops and products can do.

Elementwise functions without a text of their own are written out as their values are defined, so that both tails keep their
digits; a contraction that is no product of matrices becomes a sum over a broadcast product, which joins the loops around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array, call, lift
from ..errors import CompileError
from ..graph import VIEW, Node, walk
from ..primitive import TABLE, broadcast
from ..types import POINT

SMALL = 512  # multiplications from which on a product of matrices is worth a call of BLAS
LN2 = math.log(2.0)


def _sech2(a: Array) -> Array:
    e = np.exp(-2.0 * np.abs(a))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def _expit(a: Array) -> Array:
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, e) / (1.0 + e)


def _cosine(a: Array, b: Array) -> Array:
    r = np.hypot(a, b)
    inside = np.where(np.isinf(a) & np.isfinite(b), np.sign(a), a / np.where(r == 0, 1.0, r))
    return np.where(r == 0, 0.0, inside)


def _logaddexp(a: Array, b: Array) -> Array:
    return np.where(a == b, a + LN2, np.maximum(a, b) + np.log1p(np.exp(-np.abs(a - b))))


def _logaddexp2(a: Array, b: Array) -> Array:
    return np.where(a == b, a + 1.0, np.maximum(a, b) + np.log1p(np.exp(-LN2 * np.abs(a - b))) / LN2)


WRITTEN: dict[str, Callable] = {
    "sech2": _sech2,
    "expit": _expit,
    "cosine": _cosine,
    "logaddexp": _logaddexp,
    "logaddexp2": _logaddexp2,
}


def lowered(outputs: Iterable[Node]) -> list[Node]:
    """The same values, made of what the planner knows; raises CompileError for what belongs to single points."""
    outputs = list(outputs)
    new: dict[int, Node] = {}
    _lower(outputs, new)
    return [new[o.serial] for o in outputs]


def _lower(outputs: Iterable[Node], new: dict[int, Node]) -> None:
    """Adds what became of every node below `outputs`; what is done already stays."""
    for node in walk(outputs, stop=lambda n: n.serial in new):
        if node.serial in new:
            continue
        if node.lane is POINT or node.op is VIEW or node.op.sort == "reduction":
            raise CompileError(f"{node.op.name} belongs to a program for single points", node=node, code="not-compiled")
        args = tuple(new[a.serial] for a in node.args)
        written = _written(node, args)
        if written is not None:
            _lower([written], new)
            done = new[written.serial]
        else:
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            done = node if same else node.op.make(args, node.attr)
        # a simplification may have left a scalar, or a float, of what was none
        done = broadcast(done, node.shape)
        if done.dtype != node.dtype:
            done = Array(done).astype(node.dtype).node
        new[node.serial] = done
        new.setdefault(done.serial, done)


def _written(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What a node is made of, if it is to be written out."""
    op: Any = node.op
    if getattr(op, "passes", None) is not None:
        return args[op.passes]
    if op.name in WRITTEN:
        return lift(WRITTEN[op.name](*[Array(a) for a in args]))
    if op.sort == "elementwise" and op.lowered is not None:
        form = op.lowered(*[Array(a) for a in args])
        return None if form is None else lift(form)
    if op is TABLE["gated"] and any(a.shape not in ((), node.shape) for a in args):
        return op.make(tuple(broadcast(a, node.shape) for a in args))
    if op is TABLE["contract"] and not is_matrix_product(node):
        return _product_in_loops(node.attr, *args)
    return None


# ---- contractions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letters:
    """The letters of the operands and the result of a contraction, and the groups that they form."""

    a: str
    b: str
    out: str

    @property
    def batch(self) -> str:
        return "".join(c for c in self.out if c in self.a and c in self.b)

    @property
    def rows(self) -> str:
        return "".join(c for c in self.a if c in self.out and c not in self.b)

    @property
    def inner(self) -> str:
        return "".join(c for c in self.a if c in self.b and c not in self.out)

    @property
    def columns(self) -> str:
        return "".join(c for c in self.b if c in self.out and c not in self.a)


def letters(spec: str) -> Letters:
    left, out = spec.split("->")
    a, b = left.split(",")
    return Letters(a, b, out)


def lengths(node: Node) -> dict[str, int]:
    """The length of each letter of a contraction."""
    names = letters(node.attr)
    return dict(zip(names.a + names.b, node.args[0].shape + node.args[1].shape, strict=True))


def is_matrix_product(node: Node) -> bool:
    """Whether a contraction is left to BLAS: real matrices on both sides, and large enough."""
    names, size = letters(node.attr), lengths(node)
    groups = names.rows, names.inner, names.columns
    count = math.prod(size[c] for group in groups for c in group)
    return node.dtype.kind == "f" and all(math.prod(size[c] for c in g) > 1 for g in groups) and count > SMALL


def _product_in_loops(spec: str, a: Node, b: Node) -> Node:
    names = letters(spec)
    if names.rows and names.columns and names.out.index(names.columns[0]) < names.out.index(names.rows[0]):
        a, b, names = b, a, Letters(names.b, names.a, names.out)  # the result in the order of its letters
    size = dict(zip(names.a + names.b, a.shape + b.shape, strict=True))
    whole = [names.a] * (not names.columns) + [names.b] * (not names.rows)
    # an operand with every letter is read as it lies; else the columns run fastest, next to each other in b and in the result
    order = whole[0] if whole else names.batch + names.rows + names.inner + names.columns
    shape = tuple(size[c] for c in order)

    def spread(x: Node, own: str) -> Array:
        mine = [c for c in order if c in own]
        y = np.transpose(Array(x), [own.index(c) for c in mine])
        y = np.reshape(y, tuple(size[c] if c in own else 1 for c in order))
        return np.broadcast_to(y, shape)

    y = call(TABLE["multiply"], spread(a, names.a), spread(b, names.b))
    y = call(TABLE["sum"], y, attr=tuple(i for i, c in enumerate(order) if c in names.inner))
    left = [c for c in order if c not in names.inner]
    return np.transpose(np.broadcast_to(y, tuple(size[c] for c in left)), [left.index(c) for c in names.out]).node
