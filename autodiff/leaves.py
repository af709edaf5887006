"""Leaves that stand for something: an argument, a number that is held elsewhere, an input of a function that is traced."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import TraceError
from .graph import SYMBOL, Node, datum, symbol, walk
from .interpret import number
from .recording import STORING, is_indexing, is_storing, user_code
from .types import SHARED, Lane


class Held:
    """The datum of an eager array: its number, which may leave, and the serial by which watchers know it.

    Where the number is symbolic, the attribute of the node that stands for the array.
    """

    __slots__ = ("value", "serial", "root")

    def __init__(self, value: Any, serial: int, root: Any):
        self.value, self.serial, self.root = value, serial, root


class Argument:
    """The datum of an argument that is being differentiated: it has a number, and leaving the graph would lose a derivative.

    Inside another transform the number is that of the outer node, found only if somebody asks.
    """

    __slots__ = ("_number", "name")

    def __init__(self, number: np.ndarray | Node, name: str):
        self._number, self.name = number, name

    @property
    def value(self) -> np.ndarray:
        return number(self._number) if isinstance(self._number, Node) else self._number


class Name:
    """The key of a symbol that is like no other: identity is what counts, the text is for messages."""

    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return repr(self.text)


def argument(value: np.ndarray | Node, name: str) -> Node:
    """A leaf of its own for a number, or for a node that has one, that is being differentiated with respect to."""
    node = datum(value)
    node.attr = Argument(value, name)
    return node


def unknown(name: str, shape: tuple[int, ...], dtype: np.dtype, lane: Lane = SHARED) -> Node:
    """A leaf of its own that has no number."""
    return symbol(Name(name), shape, dtype, lane)


def leaf_name(leaf: Node) -> str:
    """What a leaf is called in a message."""
    if isinstance(leaf.attr, Argument):
        return f"the argument {leaf.attr.name!r}"
    key = leaf.attr[0]
    return f"the argument {key!r}" if isinstance(key, Name) else f"{key!r}"


# ---- inputs of functions -------------------------------------------------------------------------------------------------


class Input(Name):
    """The name of an input of a function, for messages: of which function, and whether that is still being traced."""

    __slots__ = ("function", "tracing")

    def __init__(self, text: str, function: str):
        super().__init__(text)
        self.function, self.tracing = function, True


def is_input(node: Node) -> bool:
    return node.op is SYMBOL and isinstance(node.attr[0], Input)


def needs_number(leaf: Node, how: str, fix: str) -> TraceError:
    """What to say where Python asks for a number that is not there while a function is traced."""
    name = leaf.attr[0]
    if not name.tracing:
        return escaped(leaf)
    if is_storing(*user_code(2)):
        how, fix = STORING, "y = ad.constant(np.zeros(n)) and y[i] = value is recorded; or np.stack([...])"
    elif is_indexing(*user_code(2)) and how.startswith("np.asarray"):
        how, fix = "an index into a plain ndarray", "ad.constant(table)[i]: our arrays are picked from by computed indices"
    return TraceError(
        f"{how} needs the number of a value that depends on {name!r}, which has none while {name.function} is traced",
        why="the function runs once for all numbers; only then is it compiled", fix=fix, code="needs-number",
    )  # fmt: skip


def escaped(node: Node) -> TraceError:
    """What to say of a value that left the function in which it has no number."""
    name = next(n.attr[0] for n in walk([node]) if is_input(n))
    return TraceError(f"a value left the function {name.function} while that was traced; it depends on {name!r}",
                      why="inside a function values have no numbers; only what is returned gets one",
                      fix=f"return it from {name.function}; do not keep it in a list, an attribute or a global",
                      code="escaped")  # fmt: skip
