"""Supply: a network becomes fields over the coordinates, and the jets that residuals demand become graphs of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autodiff as ad
from pinn.jetspace import Index, JetSpace, Residuals, demands
from pinn.networks import Layout, Network
from pinn.problem import Problem

VECTOR = "theta"
ONE = ad.lift(1.0)


@dataclass(frozen=True, eq=False)
class Supply:
    """The fields of a problem as a network gives them: `fields`, their derivatives `jet`, whole programs `program`.

    Coordinates reach the network scaled to [-1, 1]; a periodic axis as (cos, sin) of 2 pi (x - a) / (b - a), which makes
    every field exactly periodic (Dong & Ni 2021).  All weights are windows of one flat vector of length `layout.size`.
    """

    problem: Problem
    network: Network
    space: JetSpace = field(init=False, repr=False)
    blocks: tuple[tuple[tuple[str, ...], Layout], ...] = field(init=False, repr=False)
    layout: Layout = field(init=False, repr=False)
    fields: Mapping[str, ad.Array] = field(init=False, repr=False)
    directions: Mapping[str, ad.Forward] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        space = self.problem.space
        inputs = self._inputs(space)
        separate = bool(getattr(self.network, "per_field", False)) and len(space.unknowns) > 1
        blocks, start = [], 0
        for unknowns in [(unknown,) for unknown in space.unknowns] if separate else [space.unknowns]:
            prefix = f"{unknowns[0]}." if separate else ""
            blocks.append((unknowns, self.network.layout(len(inputs), len(unknowns)).moved(start, prefix)))
            start += blocks[-1][1].size
        fields = {}
        for unknowns, layout in blocks:
            given = self.network.layout(len(inputs), len(unknowns))
            weights = {named.name: ad.Array(ad.view(VECTOR, slot.offset, slot.shape))
                       for named, slot in zip(given, layout, strict=True)}
            outputs = self.network.apply(weights, np.stack(inputs))
            fields |= {unknown: ad.Array(outputs[k].node, space) for k, unknown in enumerate(unknowns)}
        # One Forward for each coordinate, shared by everybody who asks, so that no derivative is made twice.
        directions = {name: ad.Forward({space.coordinate(name).node: ONE}) for name in space.coordinates}
        for name, value in {"space": space, "blocks": tuple(blocks), "fields": fields, "directions": directions,
                            "layout": Layout(tuple(slot for _, layout in blocks for slot in layout))}.items():
            object.__setattr__(self, name, value)

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """A first guess of all weights, `(layout.size,)`."""
        return np.concatenate([self.network.initial(layout, rng) for _, layout in self.blocks])

    def jet(self, unknown: str, index: Index = ()) -> ad.Array:
        """A derivative of a field; orders are built up in the order of the coordinates, so u_xt starts from u_x."""
        node = self.fields[unknown].node
        for name in self.space.sorted(index):
            tangent = self.directions[name].of(node)
            if tangent is None:
                return ad.Array(ad.lift(0.0), self.space)
            node = tangent
        return ad.Array(node, self.space)

    def program(self, residuals: Residuals, collapse: bool = True) -> Residuals:
        """The residuals with the jets of the network in them: graphs of coordinates, normals, data and weights.

        With `collapse`, sums c (u_xx + u_yy + ...) are carried as one channel.  Give all residuals that share points at once:
        a second derivative that one of them needs alone keeps the others from collapsing it in vain.
        """
        replacement = {}
        if collapse:
            for unknown, axes in find_laplacians(residuals, self.space):
                total = ad.Laplacian([self.directions[axis] for axis in axes]).of(self.fields[unknown].node)
                # The residual is linear in the sum, so the sum may stand in the place of the first, and zero elsewhere.
                for place, axis in enumerate(axes):
                    leaf = self.space.jet(unknown, (axis, axis)).node
                    replacement[leaf] = total if place == 0 and total is not None else ad.lift(0.0)
        for unknown, indices in demands(residuals).items():
            for index in indices:
                leaf = self.space.jet(unknown, index).node
                if leaf not in replacement:
                    replacement[leaf] = self.jet(unknown, index).node
        nodes = ad.substitute([residual.node for residual in residuals], replacement, ad.rebuild)
        return tuple(ad.Array(node, self.space) for node in nodes)

    def plan(self, residuals: Residuals) -> str:
        """What the residuals ask of the network, for people: derivatives, channels and work of a point."""
        lines = []
        collapsed = dict(find_laplacians(residuals, self.space))
        for unknown, indices in demands(residuals).items():
            names = [unknown + ("_" + "".join(index) if index else "") for index in indices]
            lines.append(f"{unknown}: {', '.join(names)}")
        for unknown, axes in collapsed.items():
            summed = " + ".join(f"{unknown}_{axis}{axis}" for axis in axes)
            lines.append(f"{summed} carried as one channel")
        channels, work = count_products(self.program(residuals))
        lines.append(f"{self.layout.size} parameters; {channels} channels through the widest layer")
        lines.append(f"{6 * work} floating point operations in products for loss and gradient at one point")
        return "\n".join(lines)

    def _inputs(self, space: JetSpace) -> list[Any]:
        domain, inputs = self.problem.domain, []
        for name in space.coordinates:
            (low, high), x = domain.bounds[name], space.coordinate(name)
            if name in domain.periodic:
                angle = (2 * np.pi / (high - low)) * (x - low)
                inputs += [np.cos(angle), np.sin(angle)]
            else:
                inputs.append((2 / (high - low)) * (x - 0.5 * (low + high)))
        return inputs


def find_laplacians(residuals: Residuals, space: JetSpace) -> list[tuple[str, tuple[str, ...]]]:
    """Unknowns and axes whose pure second derivatives enter all residuals only as c (u_xx + u_yy + ...).

    That is: the partial derivatives by u_xx, u_yy, ... are one and the same node, in every residual, and free of them; and
    nothing above them, such as u_xxy, is demanded, since that would need u_xx by itself.
    """
    found = []
    for unknown, indices in demands(residuals).items():
        groups: dict[tuple[ad.Node | None, ...], list[str]] = {}
        for axis in space.coordinates:
            pair = (axis, axis)
            if pair in indices and not any(index.count(axis) >= 2 and index != pair for index in indices):
                partials = ad.forward([residual.node for residual in residuals], {space.jet(unknown, pair).node: ONE})
                groups.setdefault(tuple(partials), []).append(axis)
        for slopes, axes in groups.items():
            leaves = {space.jet(unknown, (axis, axis)).node for axis in axes}
            below = ad.walk([slope for slope in slopes if slope is not None])
            if len(axes) > 1 and leaves.isdisjoint(below):
                found.append((unknown, tuple(axes)))
    return found


def count_products(residuals: Residuals) -> tuple[int, int]:
    """Vectors that meet the busiest matrix of weights, and multiplications of all such products, for one point."""
    meets: dict[int, int] = {}
    work = 0
    for node in ad.walk([residual.node for residual in residuals]):
        if node.op.sort == "multilinear" and len(node.args) == 2:
            matrix, vector = node.args
            if matrix.lane is ad.SHARED and len(matrix.shape) == 2 and vector.lane is ad.POINT and len(vector.shape) == 1:
                meets[matrix.serial] = meets.get(matrix.serial, 0) + 1
                work += matrix.shape[0] * matrix.shape[1]
    return max(meets.values(), default=0), work


__all__ = ["VECTOR", "Supply", "count_products", "find_laplacians"]
