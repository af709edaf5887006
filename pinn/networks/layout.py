"""Layouts: the weights of a network as named windows of one flat vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Weights = Mapping[str, Any]


@dataclass(frozen=True)
class Slot:
    """One array of weights at `offset` of the flat vector; a matrix maps `fan[0]` numbers to `fan[1]`."""

    name: str
    offset: int
    shape: tuple[int, ...]
    fan: tuple[int, int]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """All weights of a network, one slot after another from `start`."""

    slots: tuple[Slot, ...]
    start: int = 0

    @staticmethod
    def of(shapes: Mapping[str, tuple[int, ...]], start: int = 0) -> Layout:
        """Slots in a row: matrices are `(outputs, inputs)`, and the fan of a vector is that of the matrix before it."""
        slots, offset, fan = [], start, (1, 1)
        for name, shape in shapes.items():
            fan = (shape[1], shape[0]) if len(shape) == 2 else fan
            slots.append(Slot(name, offset, tuple(shape), fan))
            offset += math.prod(shape)
        return Layout(tuple(slots), start)

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(slot.size for slot in self.slots)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {slot.name: slot.shape for slot in self.slots}

    def moved(self, start: int, prefix: str = "") -> Layout:
        """The same slots at another place of a longer vector, under longer names."""
        return Layout.of({prefix + name: shape for name, shape in self.shapes().items()}, start)

    def views(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The weights by name as windows of a flat vector: writing into them writes into it."""
        return {slot.name: theta[slot.offset:slot.offset + slot.size].reshape(slot.shape) for slot in self.slots}


class Network(Protocol):
    """A map from k numbers to m numbers with weights, written for one point in operations that numpy has.

    It knows nothing of derivatives.  If it has `per_field = True`, each unknown gets a network of its own.
    """

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The weights it needs."""

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """A first guess of them, `(layout.size,)`."""

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
