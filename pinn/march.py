"""Fields slab by slab: networks for one part of the time after another, each beginning from where the one before came to."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

import autodiff as ad
from pinn.imposition import impose_by
from pinn.networks import Network
from pinn.problem import Problem, slab
from pinn.supply import VECTOR, Block, Supply, numbers_of

SLAB = re.compile(r"\w+ \S+ to \S+, ")  # the name of a slab, as stages in it begin


def name_of(problem: Problem, low: float, high: float) -> str:
    """The name of the slab of time between two moments."""
    return f"{problem.domain.time} {low:g} to {high:g}"


class March:
    """The slabs of a problem between `moments`, of which the first `len(parts)` are solved: it grows by `add`.

    `whole` has the fields of all of them as one: that of the slab in which a point lies, with one vector of weights.
    """

    def __init__(self, problem: Problem, impose: str | None, moments: Sequence[float]):
        self.problem, self.impose = problem, impose
        self.moments = [float(t) for t in moments]
        self.reaches: list[float] = []  # to where slabs were solved: an end that is cut off takes its errors with it
        self.parts: list[Supply] = []
        self.weights: list[np.ndarray] = []
        self._fields: list[dict[str, ad.Array]] = []       # of numbers, to begin the next slab from
        self._windows: dict[ad.Node, ad.Node] = {}         # of these numbers: where they lie in the weights of the whole

    @property
    def size(self) -> int:
        """The number of weights so far."""
        return sum(theta.size for theta in self.weights)

    def next(self, reach: float | None = None) -> Problem:
        """The problem of the first slab that is not solved, up to its end, or up to `reach` behind it."""
        k = len(self.parts)
        self.reaches[k:] = [self.moments[k + 1] if reach is None else reach]
        return slab(self.problem, self.moments[k], self.reaches[k], self._before if k else None)

    def add(self, part: Supply, theta: np.ndarray) -> None:
        """The first slab that is not solved has these weights `(part.layout.size,)`."""
        nodes = part.resolved([array.node for array in part.fields.values()])
        numbers = numbers_of(nodes, theta)
        for window, number in numbers.items():
            _, offset, shape, strides = window.attr
            self._windows[number] = ad.view(VECTOR, self.size + offset, shape, strides)
        fixed = ad.substitute(nodes, numbers, ad.rebuild)
        self._fields.append({name: ad.Array(node, part.space) for name, node in zip(part.fields, fixed, strict=True)})
        self.parts.append(part)
        self.weights.append(theta)

    def whole(self) -> tuple[Supply, np.ndarray]:
        """The fields over all slabs that are solved, and their weights."""
        space = self.problem.space
        assert space.time is not None
        t = space.coordinate(space.time)
        fields: dict[str, ad.Array] = {}
        for unknown in space.unknowns:
            nodes = ad.substitute([part[unknown].node for part in self._fields], self._windows, ad.rebuild)
            field = ad.Array(nodes[-1], space)
            for node, moment in reversed(list(zip(nodes[:-1], self.moments[1:], strict=False))):
                field = np.where(t < moment, ad.Array(node, space), field)
            fields[unknown] = ad.Array(ad.lift(field), space)
        blocks, start = [], 0
        for k, part in enumerate(self.parts):
            for block in part.blocks:
                blocks.append(Block(block.unknowns, block.network, block.layout.moved(start, f"slab {k}: ")))
                start += block.layout.size
        slabs = tuple(part.network for part in self.parts)
        return Supply.of_fields(self.problem, slabs, fields, tuple(blocks), tuple(self.reaches)), np.concatenate(self.weights)

    def _before(self, unknown: str, order: int) -> ad.Array:
        """The time derivative of a field at the end of the last slab that is solved."""
        space, moment = self.problem.space, self.moments[len(self.parts)]
        assert space.time is not None
        moved = space.derivative(self._fields[-1][unknown], (space.time,) * order)
        there, = ad.substitute([moved.node], {space.coordinate(space.time).node: ad.lift(np.array(moment))}, ad.rebuild)
        return ad.Array(there, space)


def marched(
    problem: Problem, networks: Sequence[Network], impose: str | None, moments: Sequence[float], theta: np.ndarray,
    reaches: Sequence[float | None] | None = None,
) -> Supply:  # fmt: skip
    """The fields of a march whose weights are known `(size,)`.  Raises ValueError where they are too few or too many."""
    march, start = March(problem, impose, moments), 0
    for network, reach in zip(networks, reaches or [None] * len(networks), strict=True):
        part = march.next(reach)
        supply = Supply(part, network, impose_by(impose, part))
        size = supply.layout.size
        if start + size > theta.size:
            raise ValueError("too few weights")
        march.add(supply, np.array(theta[start:start + size]))
        start += size
    if start != theta.size:
        raise ValueError("too many weights")
    return march.whole()[0]
