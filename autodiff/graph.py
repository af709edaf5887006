"""The one language of the engine: immutable, interned nodes, written for one point.

A node is `op(*args, attr)` with a shape, a dtype and a lane.  Two nodes with the same op, arguments and attribute are the
*same* object, so common sub-expressions do not exist and "is it the same expression?" is `is`.  The pool holds nodes weakly:
a graph lives exactly as long as somebody holds one of its outputs, and there are no cycles.
"""

from __future__ import annotations

import hashlib
import itertools
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from .types import FLOAT, POINT, SHARED, Lane, Shape

_pool: weakref.WeakValueDictionary[tuple, Node] = weakref.WeakValueDictionary()
_serial = itertools.count()


class Node:
    """One value of a program.  Never built directly: `intern` makes it, the constructors in `primitive.py` simplify first."""

    __slots__ = ("op", "args", "attr", "shape", "dtype", "lane", "serial", "memo", "mark", "__weakref__")

    def __init__(self, op: Any, args: tuple[Node, ...], attr: Any, shape: Shape, dtype: np.dtype, lane: Lane):
        self.op, self.args, self.attr, self.shape, self.dtype, self.lane = op, args, attr, shape, dtype, lane
        self.serial = next(_serial)
        self.memo: np.ndarray | None = None
        self.mark: int | None = None

    def __repr__(self) -> str:
        return f"%{self.serial}"

    @property
    def ndim(self) -> int:
        return len(self.shape)


class Leaf:
    """An op without arguments.  Its name is for printing; identity is what counts."""

    def __init__(self, name: str):
        self.name = name

    sort = "leaf"

    def __repr__(self) -> str:
        return self.name


CONSTANT = Leaf("constant")  # attr: a Python number, weakly typed as in NEP 50
SYMBOL = Leaf("symbol")      # attr: a hashable key that says what it stands for: a coordinate, a jet, an argument
DATUM = Leaf("datum")        # attr: a Datum, an array of the user's
VIEW = Leaf("view")          # attr: (vector, offset, shape, strides): a strided window of a flat SHARED vector


class Datum:
    """An array inside a graph, compared by identity so that large data are never hashed or compared."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray):
        self.value = value


def intern(op: Any, args: tuple[Node, ...], attr: Hashable, shape: Shape, dtype: np.dtype, lane: Lane) -> Node:
    """The node with this content, made if it does not exist yet."""
    key = (op, tuple([a.serial for a in args]), attr)
    node = _pool.get(key)
    if node is None:
        node = Node(op, args, attr, shape, dtype, lane)
        _pool[key] = node
    return node


# ---- leaves ----------------------------------------------------------------------------------------------------------


def constant(value: float | int | bool) -> Node:
    """A number written in the program."""
    dtype = np.result_type(type(value))
    # repr keeps -0.0 apart from 0.0 and lets nan meet itself
    key = (CONSTANT, type(value), repr(value))
    node = _pool.get(key)
    if node is None:
        node = _pool[key] = Node(CONSTANT, (), value, (), dtype, SHARED)
    return node


def symbol(key: Hashable, shape: Shape = (), dtype: np.dtype = FLOAT, lane: Lane = POINT) -> Node:
    """A named input without a value: equal keys are the same input."""
    return intern(SYMBOL, (), (key, shape, dtype, lane), shape, dtype, lane)


def datum(value: np.ndarray) -> Node:
    """A leaf of its own for an array: two calls never give the same node."""
    return Node(DATUM, (), Datum(value), value.shape, value.dtype, SHARED)


def view(vector: str, offset: int, shape: Shape, strides: Shape | None = None) -> Node:
    """A window of the flat SHARED vector called `vector`: element i sits at offset + sum(i * strides)."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return intern(VIEW, (), (vector, int(offset), tuple(shape), tuple(strides)), tuple(shape), FLOAT, SHARED)


def is_constant(node: Node, value: float | None = None) -> bool:
    """Whether a node is a number, and, if given, that very number."""
    return node.op is CONSTANT and (value is None or node.attr == value)


def digest(node: Node) -> int:
    """A number that depends on what a node says and not on when it was made, the same in every process."""
    if node.mark is None:
        for n in walk([node], stop=lambda n: n.mark is not None):
            if n.mark is None:
                said = repr(n.attr) if n.op is not DATUM else f"{n.shape} {n.dtype}"
                words = f"{n.op.name} {said} {[a.mark for a in n.args]}"
                n.mark = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")
    assert node.mark is not None
    return node.mark


# ---- reading a graph -------------------------------------------------------------------------------------------------


def walk(outputs: Iterable[Node], stop: Callable[[Node], bool] = lambda node: False) -> list[Node]:
    """All nodes below `outputs`, arguments before their users; nodes for which `stop` holds are kept but not entered."""
    seen: set[int] = set()
    order: list[Node] = []
    todo: list[tuple[Node, bool]] = [(node, False) for node in reversed(list(outputs))]
    while todo:
        node, entered = todo.pop()
        if entered:
            order.append(node)
        elif node.serial not in seen:
            seen.add(node.serial)
            todo.append((node, True))
            if not stop(node):
                todo.extend([(a, False) for a in reversed(node.args)])
    return order


def depends(outputs: Iterable[Node], sources: Iterable[Node]) -> set[int]:
    """Serials of the nodes below `outputs` that lead to one of `sources` (the sources included)."""
    live = {s.serial for s in sources}
    for node in walk(outputs):
        if node.args and any(a.serial in live for a in node.args):
            live.add(node.serial)
    return live


def substitute(outputs: Iterable[Node], replacement: Mapping[Node, Node], rebuild: Callable[..., Node]) -> list[Node]:
    """The same expressions with some nodes exchanged; `rebuild(op, args, attr)` makes the changed nodes, simplified anew."""
    outputs = list(outputs)
    new: dict[int, Node] = {old.serial: r for old, r in replacement.items()}
    for node in walk(outputs, stop=lambda n: n.serial in new):
        if node.serial not in new:
            args = tuple(new[a.serial] for a in node.args)
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            new[node.serial] = node if same else rebuild(node.op, args, node.attr)
    return [new[o.serial] for o in outputs]


def text(outputs: Iterable[Node]) -> str:
    """A listing of the graph, one node a line, for people."""
    lines = []
    for node in walk(outputs):
        attr = "" if node.attr is None or node.op is DATUM else f" {node.attr}"
        kind = f"{node.dtype.name}{list(node.shape)}{' per point' if node.lane else ''}"
        lines.append(f"%{node.serial} = {node.op.name}({', '.join(map(repr, node.args))}){attr}: {kind}")
    return "\n".join(lines)
