"""What every node of a program over whole arrays reads, and where its value lies.

Views lie where the array underneath lies.  What cannot be read as it lies (a reshape that needs a copy, an operand that BLAS
cannot walk through, an output that is also an input) is read through a copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import CompileError
from ..graph import CONSTANT, DATUM, SYMBOL, Node, walk
from ..leaves import leaf_name
from ..primitive import TABLE
from .strides import VIEWS, Window, natural
from .whole_lower import Letters, lengths, letters, lowered

REDUCTIONS = ("sum", "max", "min")
JOINS = ("stack", "concatenate", "scatter")
BODIES = ("cond", "loop")
INTEGER = np.dtype(np.int64)
DTYPES = {np.dtype(d) for d in "? b h i l B H I L f d".split()}


class Copy:
    """The op of a value that lies in a block of its own, whatever it is a copy of."""

    name, sort, source, cost, vector, commutes, dtype = "copy", "elementwise", "{0}", 1, None, False, "same"

    def __repr__(self) -> str:
        return self.name


COPY = Copy()


def is_fused(node: Node) -> bool:
    """Computed inside a loop, element by element."""
    return node.op.sort in ("elementwise", "select") or node.op is TABLE["gated"]


def is_leaf(node: Node) -> bool:
    return node.op is SYMBOL or node.op is DATUM


def no_form(node: Node, why: str = "") -> CompileError:
    name = leaf_name(node) if node.op is SYMBOL else node.op.name
    return CompileError(f"{name} has no compiled form", node=node, why=why, code="not-compiled")


class Reads:
    """`operands[serial]` are the nodes that a node reads, `window[serial]` is where a value lies; `nodes` come in order."""

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], dtypes: Sequence[np.dtype] | None = None):
        self.inputs = list(inputs)
        self.operands: dict[int, tuple[Node, ...]] = {}
        self.window: dict[int, Window] = {}
        self.copies: dict[tuple[int, np.dtype], Node] = {}
        known = {n.serial for n in self.inputs}
        for node in self.inputs:
            self._add(node)
        done = lowered(outputs)
        for node in walk(done):
            if node.op is SYMBOL and node.serial not in known:
                raise CompileError(f"the program needs {node.attr[0]!r}, which is not among its inputs", node=node,
                                   code="traced-outside")  # fmt: skip
            if node.serial not in known:
                self._add(node)
        self.outputs: list[Node] = []
        for node, dtype in zip(done, dtypes or [n.dtype for n in done], strict=True):
            fresh = self.root(node) is node and not is_leaf(node) and self._is_block(node) and node.dtype == dtype
            self.outputs.append(node if fresh and node not in self.outputs else self._new_copy(node, dtype))
        self.nodes = self._in_order()
        self.rank = {n.serial: i for i, n in enumerate(self.nodes)}

    def root(self, node: Node) -> Node:
        return self.window[node.serial].root

    def _in_order(self) -> list[Node]:
        """The nodes that are no views, what is read before what reads it."""
        done: set[int] = set()
        order: list[Node] = []
        todo: list[tuple[Node, bool]] = [(n, False) for n in reversed(self.outputs)]
        while todo:
            node, entered = todo.pop()
            if entered:
                order.append(node)
            elif node.serial not in done:
                done.add(node.serial)
                todo.append((node, True))
                todo.extend((self.root(a), False) for a in reversed(self.operands[node.serial]))
        return order

    def _add(self, node: Node) -> None:
        if node.dtype not in DTYPES:
            raise no_form(node, f"kernels work on float64, float32, integers and booleans, not on {node.dtype}")
        self.operands[node.serial] = node.args
        if getattr(node.op, "view", False):
            self._add_view(node)
            return
        self.window[node.serial] = Window(node, 0, node.shape, natural(node.shape))
        if node.op is TABLE["contract"]:
            self._add_product(node)
        elif node.op.sort in ("linear", "opaque") and node.op.name not in (*JOINS, *REDUCTIONS):
            if node.op.name not in BODIES and node.op.kernel is None:
                raise no_form(node)
            self.operands[node.serial] = tuple(map(self._as_block, node.args, self._wanted(node)))

    def _add_view(self, node: Node) -> None:
        if node.op.name not in VIEWS:
            raise no_form(node)
        (arg,) = node.args
        below = self.window[arg.serial]
        if below.root.op is CONSTANT:
            self.window[node.serial] = Window(below.root, 0, node.shape, (0,) * node.ndim)
            return
        window = VIEWS[node.op.name](below, node.attr)
        if window is None:
            arg = self._copy(arg)
            self.operands[node.serial] = (arg,)
            window = VIEWS[node.op.name](self.window[arg.serial], node.attr)
            assert window is not None
        self.window[node.serial] = window

    def _is_block(self, node: Node) -> bool:
        return self.root(node).op is not CONSTANT and self.window[node.serial].is_whole

    def _as_block(self, node: Node, dtype: np.dtype) -> Node:
        return node if self._is_block(node) and node.dtype == dtype else self._copy(node, dtype)

    def _wanted(self, node: Node) -> list[np.dtype]:
        """The dtypes in which a step takes its arguments; a body may want a number written in the program in its own."""
        if node.op.name not in BODIES:
            return [a.dtype for a in node.args]
        body = node.attr
        leaves = body.leaves if node.op.name == "cond" else (*body.carry, *body.xs, *body.shared)
        rest = len(node.args) - len(leaves)
        if node.op.name == "cond":
            return [node.args[0].dtype, *(leaf.dtype for leaf in leaves)]
        return [*(leaf.dtype for leaf in leaves), *([INTEGER] * rest)]

    def _new_copy(self, node: Node, dtype: np.dtype) -> Node:
        copy = Node(COPY, (node,), None, node.shape, dtype, node.lane)
        self.operands[copy.serial] = (node,)
        self.window[copy.serial] = Window(copy, 0, node.shape, natural(node.shape))
        return copy

    def _copy(self, node: Node, dtype: np.dtype | None = None) -> Node:
        key = node.serial, dtype or node.dtype
        if key not in self.copies:
            self.copies[key] = self._new_copy(node, key[1])
        return self.copies[key]

    # -- products of matrices ----------------------------------------------------------------------------------------------
    def _add_product(self, node: Node) -> None:
        """Operands that BLAS cannot walk through are copied; the result lies as it is written."""
        names, size = letters(node.attr), lengths(node)
        a, b = node.args
        if names.out.index(names.columns[0]) < names.out.index(names.rows[0]):  # as it is asked for, if that is possible
            a, b, names = b, a, Letters(names.b, names.a, names.out)
        batch, rows, inner, columns = names.batch, names.rows, names.inner, names.columns
        left, right = (batch, rows, inner), (batch, inner, columns)
        self.operands[node.serial] = self._matrix(a, names.a, left, size), self._matrix(b, names.b, right, size)
        order = batch + rows + columns
        steps = dict(zip(order, natural(tuple(size[c] for c in order)), strict=True))
        self.window[node.serial] = Window(node, 0, node.shape, tuple(steps[c] for c in names.out))

    def _matrix(self, x: Node, own: str, groups: tuple[str, str, str], size: dict[str, int]) -> Node:
        """x, or a copy, as a view with axes (batch.., rows, columns), one of the last two contiguous."""
        batch, rows, columns = groups
        y = TABLE["transpose"].make((x,), tuple(own.index(c) for c in batch + rows + columns))
        shape = (*(size[c] for c in batch), math.prod(size[c] for c in rows), math.prod(size[c] for c in columns))
        y = TABLE["reshape"].make((y,), shape)
        for node in walk([y], stop=lambda n: n.serial in self.operands):
            if node.serial not in self.operands:
                self._add(node)
        return y if self.root(y).op is not CONSTANT and is_matrix(self.window[y.serial]) else self._copy(y)


def is_matrix(window: Window) -> bool:
    """Whether BLAS can walk through the last two axes: one contiguous, the other at least as far apart as that is long."""
    (m, n), (down, along) = window.shape[-2:], window.strides[-2:]
    return along == 1 and down >= n or down == 1 and along >= m
