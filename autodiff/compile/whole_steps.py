"""The steps of a plan over whole arrays, and the blocks of memory that they work on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph import Leaf, Node
from .strides import Window

LINE = 64  # bytes: blocks start on cache lines
SCRATCH = Leaf("scratch")


@dataclass(eq=False)
class Block:
    """Memory for one value: `place` is ("input" | "constant" | "output", its number) or ("work", offset in bytes)."""

    dtype: np.dtype
    size: int
    place: tuple[str, int] = ("work", 0)
    first: int = 1 << 60
    last: int = -1


@dataclass(eq=False)
class Loop:
    """A fused nest over one shape: `stores` are written to windows, `sums` (of their arguments) to their blocks."""

    level: float
    shape: tuple[int, ...]
    stores: list[tuple[Node, Window]] = field(default_factory=list)
    sums: list[Node] = field(default_factory=list)
    loads: list[Window] = field(default_factory=list)
    kind = 1

    def touched(self) -> list[Node]:
        return [w.root for w in self.loads] + [w.root for _, w in self.stores] + self.sums


@dataclass(eq=False)
class Product:
    """out[.., i, j] = sum_k a[.., i, k] b[.., k, j]."""

    level: float
    out: Window
    a: Window
    b: Window
    kind = 2

    def touched(self) -> list[Node]:
        return [self.out.root, self.a.root, self.b.root]


@dataclass(eq=False)
class Call:
    """A function of the library, and what is passed to it after the blocks."""

    level: float
    name: str
    node: Node
    args: list[Window]
    parameters: tuple[Any, ...]
    kind = 2

    def touched(self) -> list[Node]:
        return [self.node, *(w.root for w in self.args)]


@dataclass(eq=False)
class Fill:
    """Zeros in a whole block."""

    level: float
    node: Node
    kind = 0

    def touched(self) -> list[Node]:
        return [self.node]


@dataclass(eq=False)
class Bodies:
    """A choice or a loop: programs inside the program, which work in `scratch`."""

    level: float
    node: Node
    args: list[Window]
    plans: list[Any]  # Plans, which are made of steps
    scratch: Node
    kind = 2

    def touched(self) -> list[Node]:
        constants = [n for plan in self.plans for n in plan.constants]
        return [self.node, self.scratch, *(w.root for w in self.args), *constants]


Step = Loop | Product | Call | Fill | Bodies


def lines(size: int) -> int:
    """Bytes in whole cache lines."""
    return max(-(-size // LINE) * LINE, LINE)


def allocate(blocks: Iterable[Block]) -> int:
    """First fit by lifetime; the size of the workspace in bytes."""
    sizes = {id(b): lines(b.size * b.dtype.itemsize) for b in blocks}
    live: list[Block] = []
    end = LINE
    for block in sorted(blocks, key=lambda b: (b.first, -sizes[id(b)])):
        live = [b for b in live if b.last >= block.first]
        at = 0
        for other in live:  # by offset
            if at + sizes[id(block)] <= other.place[1]:
                break
            at = max(at, other.place[1] + sizes[id(other)])
        block.place = ("work", at)
        live.append(block)
        live.sort(key=lambda b: b.place[1])
        end = max(end, at + sizes[id(block)])
    return end
