"""Supply: a network becomes fields over the coordinates, and the jets that residuals demand become graphs of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        fields: dict[str, ad.Array] = {}
        for unknowns, layout in blocks:
            given = self.network.layout(len(inputs), len(unknowns))
            weights = {named.name: ad.Array(ad.view(VECTOR, slot.offset, slot.shape))
                       for named, slot in zip(given, layout, strict=True)}
            outputs = self.network.apply(weights, np.stack(inputs))
            fields |= {unknown: ad.Array(outputs[k].node, space) for k, unknown in enumerate(unknowns)}
        # One Forward for each coordinate, shared by everybody who asks, so that no derivative is made twice.
        directions: dict[str, ad.Forward] = {}
        for name in reversed(space.coordinates):
            directions[name] = ad.Forward({space.coordinate(name).node: ONE}, later=tuple(directions.values()))
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

    def program(self, residuals: Sequence[ad.Array], collapse: bool = True) -> Residuals:
        """The residuals with the jets of the network in them: graphs of coordinates, normals, data and weights.

        With `collapse`, operators such as u_t - k u_xx are carried as one channel (see `find_collapses`).  Give all residuals
        that share points at once: a derivative that one of them needs by itself is then not carried twice.
        """
        replacement = {}
        for sum_ in find_collapses(residuals, self.space) if collapse else ():
            # A residual is linear in the sum, so the sum may stand in the place of its first part, and zero elsewhere.
            for place, (index, _) in enumerate(sum_.parts):
                leaf = self.space.jet(sum_.unknown, index).node
                replacement[leaf] = ad.lift(0.0) if place else self._collapsed(sum_)
        for unknown, indices in demands(residuals).items():
            for index in indices:
                leaf = self.space.jet(unknown, index).node
                if leaf not in replacement:
                    replacement[leaf] = self.jet(unknown, index).node
        nodes = ad.substitute([residual.node for residual in residuals], replacement, ad.rebuild)
        return tuple(ad.Array(node, self.space) for node in nodes)

    def _collapsed(self, sum_: Collapse) -> ad.Node:
        if sum_.root:
            operator = ad.Collapsed([(self.directions[name], a) for name, a in sum_.root], constant=True)
            once = operator.of(self.fields[sum_.unknown].node)
            twice = None if once is None else operator.of(once)
            return ad.lift(0.0) if twice is None else twice
        parts = {order: [(self.directions[index[0]], ratio) for index, ratio in sum_.parts if len(index) == order]
                 for order in (1, 2)}
        total = ad.Collapsed(parts[2], parts[1]).of(self.fields[sum_.unknown].node)
        return ad.lift(0.0) if total is None else total

    def plan(self, residuals: Sequence[ad.Array]) -> str:
        """What the residuals ask of the network, for people: derivatives, channels and work of a point."""
        lines = []
        for unknown, indices in demands(residuals).items():
            names = [unknown + ("_" + "".join(index) if index else "") for index in indices]
            lines.append(f"{unknown}: {', '.join(names)}")
        lines += [f"{sum_} carried as one channel" for sum_ in find_collapses(residuals, self.space)]
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


@dataclass(frozen=True)
class Collapse:
    """A sum of derivatives of one unknown, sum_k ratio_k u_k, that residuals need only as a whole: one channel carries it.

    If the sum is (sum_i a_i D_i^2)^2 u, such as the biharmonic operator, `root` has the a_i.
    """

    unknown: str
    parts: tuple[tuple[Index, float], ...]
    root: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return " + ".join(("" if ratio == 1 else f"{ratio:.4g} ") + f"{self.unknown}_{''.join(index)}"
                          for index, ratio in self.parts).replace("+ -", "- ")


def find_collapses(residuals: Sequence[ad.Array], space: JetSpace) -> list[Collapse]:
    """Operators such as u_t - k u_xx, or c (u_xx + u_yy), that enter all residuals only as a whole.

    That is: the partial derivatives of every residual by u_t and u_xx have a constant ratio and are free of both; u_t alone
    is not a step on the way to another derivative, such as u_tt, nor u_xx to u_xxy.
    """
    found = []
    for unknown, indices in demands(residuals).items():
        groups: dict[tuple, list[tuple[Index, float]]] = {}
        for index in indices:
            if not _is_last(index, indices) and not _is_fourth(index, indices):
                continue
            partials = ad.forward([residual.node for residual in residuals], {space.jet(unknown, index).node: ONE})
            split = [(1.0, None) if partial is None else _split_number(partial) for partial in partials]
            size = next((number for (number, _), partial in zip(split, partials, strict=True) if partial is not None), 0.0)
            if size:
                shape: tuple = tuple((number / size if partial is not None else 0.0, rest)
                              for (number, rest), partial in zip(split, partials, strict=True))
                groups.setdefault((len(index) == 4, shape), []).append((index, size))
        for (fourth, shape), members in groups.items():
            leaves = {space.jet(unknown, index).node for index, _ in members}
            below = ad.walk([rest for _, rest in shape if rest is not None])
            parts = tuple((index, size / members[0][1]) for index, size in members)
            root = find_root(parts) if fourth else ()
            if len(members) > 1 and leaves.isdisjoint(below) and (root or not fourth):
                found.append(Collapse(unknown, parts, root))
    return found


def find_root(parts: Sequence[tuple[Index, float]]) -> tuple[tuple[str, float], ...]:
    """The a_i with sum_k ratio_k u_k = (sum_i a_i D_i^2)^2 u for fourth derivatives u_k; nothing if there are none."""
    ratios = {tuple(sorted(index)): ratio for index, ratio in parts}
    axes = sorted({name for index in ratios for name in index})
    first = (axes[0],) * 2
    if ratios.get(first * 2, 0.0) <= 0.0:
        return ()
    start = np.sqrt(ratios[first * 2])
    root = {name: ratios.get((*first, name, name), 0.0) / start / (1 if name == axes[0] else 2) for name in axes}
    square = {(i, i, j, j): root[i] * root[j] * (1 if i == j else 2) for i in axes for j in axes if i <= j}
    same = set(square) == set(ratios) and all(np.isclose(square[k], ratios[k], rtol=1e-14) for k in square)
    return tuple(root.items()) if same else ()


def _is_last(index: Index, indices: list[Index]) -> bool:
    """Whether a derivative is u_i or u_ii, and no other one is made from it."""
    axis = index[:1]
    if not axis or index not in (axis, axis * 2):
        return False
    return not any(other.count(axis[0]) >= len(index) for other in indices if other != index)


def _is_fourth(index: Index, indices: list[Index]) -> bool:
    """Whether a derivative is u_iiii or u_iijj, and no other one of so high an order is made from it."""
    return len(index) == 4 and index[0] == index[1] and index[2] == index[3] and all(len(other) <= 4 for other in indices)


def _split_number(node: ad.Node) -> tuple[float, ad.Node | None]:
    """A node as a number times the rest, None where there is no rest; numbers stand in front in every product."""
    if node.op.name == "constant":
        return float(node.attr), None
    if node.op.name == "multiply" and node.args[0].op.name == "constant":
        return float(node.args[0].attr), node.args[1]
    return 1.0, node


def count_products(residuals: Sequence[ad.Array]) -> tuple[int, int]:
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


__all__ = ["VECTOR", "Collapse", "Supply", "count_products", "find_collapses"]
