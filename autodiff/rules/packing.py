"""Several arrays in one flat float64 vector: how a node with one output answers with many.

Integers up to 2^53 and conditions are exact in float64, so what was packed is the same again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..graph import CONSTANT, Node, constant
from ..primitive import BROADCAST, FUNCTIONS, broadcast, is_zero
from ..types import FLOAT, Shape
from .arithmetic import ADD
from .layout import CONCATENATE, INDEX, RESHAPE, SCATTER

ZERO = constant(0.0)

Form = tuple[Shape, np.dtype]  # what an array is without its numbers


@dataclass(frozen=True)
class Window:
    """Where an array lies in a flat vector: its first element, its shape, its dtype."""

    start: int
    shape: Shape
    dtype: np.dtype

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def key(self) -> tuple:
        """The index that cuts it out."""
        return (self.start,) if self.shape == () else ((self.start, self.stop, 1),)

    def of(self, flat: np.ndarray) -> np.ndarray:
        """The numbers in a flat vector, a view of it."""
        return flat[self.start : self.stop].reshape(self.shape)


def windows(forms: Iterable[Form], start: int = 0) -> tuple[Window, ...]:
    """Windows for arrays that lie one behind the other."""
    found = []
    for shape, dtype in forms:
        found.append(Window(start, tuple(shape), dtype))
        start = found[-1].stop
    return tuple(found)


def form(node: Node) -> Form:
    return node.shape, node.dtype


def is_fill(node: Node) -> bool:
    """Whether a node is one number, written in the program, whatever its shape."""
    return node.op is CONSTANT or (node.op is BROADCAST and node.args[0].op is CONSTANT)


def cast(node: Node, dtype: np.dtype) -> Node:
    return node if node.dtype == dtype else FUNCTIONS[np.astype](Array(node), dtype).node


def typed(node: Node, shape: Shape, dtype: np.dtype) -> Node:
    """A node with this shape and dtype; a number written in the program may keep another precision."""
    node = broadcast(node, shape)
    return node if is_fill(node) and node.dtype.kind == dtype.kind else cast(node, dtype)


def cut(flat: Node, window: Window) -> Node:
    """The array in a window, still in the dtype of the vector."""
    return RESHAPE.make((INDEX.make((flat,), window.key),), window.shape)


def part(flat: Node, window: Window) -> Node:
    """The array in a window."""
    return cast(cut(flat, window), window.dtype)


def packed(parts: Sequence[Node | None], places: Sequence[Window]) -> Node:
    """The vector of these arrays, zeros for None; the windows lie one behind the other."""
    flat = []
    for node, window in zip(parts, places, strict=True):
        if window.size:
            whole = broadcast(ZERO if node is None else node, window.shape)
            flat.append(RESHAPE.make((cast(whole, FLOAT),), (window.size,)))
    return CONCATENATE.make(tuple(flat), 0) if flat else broadcast(ZERO, (0,))


def cotangent(ct: Node, window: Window) -> Node | None:
    """What the cotangent of a vector says of one window, None for zero.

    It mostly is a sum of scattered pieces, and most windows meet few of them.
    """
    if window.size == 0 or is_zero(ct):
        return None
    if ct.op is ADD and all(a.shape == ct.shape for a in ct.args):
        some = [c for c in (cotangent(a, window) for a in ct.args) if c is not None]
        return ADD.make(tuple(some)) if len(some) == 2 else some[0] if some else None
    if ct.op is SCATTER and ct.ndim == 1:
        key = ct.attr[0][0]
        low, high, step = (key, key + 1, 1) if isinstance(key, int) else key
        if step == 1 and (high <= window.start or low >= window.stop):
            return None
        if step == 1 and low <= window.start and window.stop <= high:
            inner = RESHAPE.make(ct.args, (high - low,))
            return cut(inner, Window(window.start - low, window.shape, window.dtype))
    found = cut(ct, window)
    return None if is_zero(found) else found
