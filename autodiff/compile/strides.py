"""Where the elements of a value lie: an offset and a step for each axis, in elements.

Broadcasting, transposing and indexing only change the steps, so a loop reads the array that lies underneath; so does reshaping,
as long as numpy needs no copy for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Node
from ..types import Shape

_BYTE = np.zeros(1, np.int8)


def natural(shape: Shape) -> Shape:
    """The steps of an array whose last index runs fastest."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True)
class Window:
    """Element i of a value lies at `offset + sum(i * strides)` of the block where `root` is stored."""

    root: Node
    offset: int
    shape: Shape
    strides: Shape

    @property
    def is_whole(self) -> bool:
        """Whether the elements lie one behind the other in the order of their indices."""
        steps = zip(self.shape, self.strides, natural(self.shape), strict=True)
        return math.prod(self.shape) == 0 or all(n == 1 or s == t for n, s, t in steps)

    def moved(self, offset: int, shape: Shape, strides: Sequence[int]) -> Window:
        return Window(self.root, self.offset + offset, shape, tuple(strides))


def _broadcast(window: Window, shape: Shape) -> Window:
    lead = len(shape) - len(window.shape)
    kept = [s if m == n else 0 for m, n, s in zip(window.shape, shape[lead:], window.strides, strict=True)]
    return window.moved(0, shape, [0] * lead + kept)


def _transpose(window: Window, order: Shape) -> Window:
    return window.moved(0, tuple(window.shape[i] for i in order), [window.strides[i] for i in order])


def _index(window: Window, keys: tuple) -> Window:
    keys = keys + tuple((0, n, 1) for n in window.shape[len(keys) :])
    offset, shape, strides = 0, [], []
    for key, step in zip(keys, window.strides, strict=True):
        if isinstance(key, int):
            offset += key * step
            continue
        places = range(*key)
        if len(places):
            offset += places[0] * step
        shape.append(len(places))
        strides.append(key[2] * step)
    return window.moved(offset, tuple(shape), strides)


def _reshape(window: Window, shape: Shape) -> Window | None:
    if math.prod(shape) <= 1:
        return window.moved(0, shape, natural(shape))
    # numpy works out the steps of a pretended array; its elements are never looked at
    pretended = np.lib.stride_tricks.as_strided(_BYTE, window.shape, window.strides)
    try:
        return window.moved(0, shape, np.reshape(pretended, shape, copy=False).strides)
    except ValueError:
        return None


VIEWS: dict[str, Callable[[Window, tuple], Window | None]] = {
    "broadcast": _broadcast, "transpose": _transpose, "index": _index, "reshape": _reshape, "same": lambda window, attr: window,
}  # fmt: skip


def merged(shape: Sequence[int], operands: Sequence[Sequence[int]]) -> tuple[Shape, list[Shape]]:
    """The same walk through several arrays in as few axes as possible: axes of length one go, neighbours become one."""
    lengths: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        if lengths and all(kept[-1] == strides[axis] * n for kept, strides in zip(steps, operands, strict=True)):
            lengths[-1] *= n
            for kept, strides in zip(steps, operands, strict=True):
                kept[-1] = strides[axis]
        else:
            lengths.append(n)
            for kept, strides in zip(steps, operands, strict=True):
                kept.append(strides[axis])
    return tuple(lengths), [tuple(kept) for kept in steps]
