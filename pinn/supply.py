"""Supply: a network becomes fields over the coordinates, and the jets that residuals demand become graphs of its weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.imposition import Imposition, as_data, nothing_imposed
from pinn.jetspace import Index, JetSpace, Key, Residuals, demands, leaf_key
from pinn.networks import Layout, Network, Sum, trace_of
from pinn.problem import Problem
from pinn.work import Work, meets

Directions = Mapping[str, ad.Forward]

VECTOR = "theta"
MOST = 4   # operators of which every choice is counted
MANY = 24  # derivatives, above which nothing is counted: the graphs of the losers would take seconds to make
ONE = ad.lift(1.0)


@dataclass(frozen=True, eq=False)
class Supply:
    """The fields of a problem as a network gives them: `fields`, their derivatives `jet`, whole programs `program`.

    Coordinates reach the network scaled to [-1, 1]; a periodic axis as (cos, sin) of 2 pi (x - a) / (b - a), which makes
    every field exactly periodic (Dong & Ni 2021).  An `imposition` has conditions built into the fields, and its `terms` are
    those that are left (see `pinn.imposition`); without one fields are bare networks.  All weights are windows of one flat
    vector of length `layout.size`: `blocks` are (unknowns, network, layout), first the network's, then those of its traces.

    With a `base`, fields that are expressions of the coordinates alone (see `frozen`), the network is what is added to them,
    times `scale`: fields are base + scale factor N, and what is built in holds if it does for the base.

    What fields are made of besides weights, the lift of an imposition or a base, stands in them as a leaf, its derivatives as
    others: numbers known at each point, so that kernels do not depend on the data.  `lifts` are their expressions of the
    coordinates, and `resolved` puts them in.
    """

    problem: Problem
    network: Network
    imposition: Imposition = None  # type: ignore[assignment]
    base: InitVar[Mapping[str, ad.Array] | None] = None
    scale: InitVar[float] = 1.0
    space: JetSpace = field(init=False, repr=False)
    blocks: tuple[Block, ...] = field(init=False, repr=False)
    layout: Layout = field(init=False, repr=False)
    fields: Mapping[str, ad.Array] = field(init=False, repr=False)
    lifts: Mapping[str, ad.Array] = field(init=False, repr=False)
    directions: Directions = field(init=False, repr=False)
    slabs: tuple[Network, ...] = field(init=False, repr=False, default=())
    reaches: tuple[float, ...] = field(init=False, repr=False, default=())

    def __post_init__(self, base: Mapping[str, ad.Array] | None, scale: float) -> None:
        space = self.problem.space
        imposition = nothing_imposed(self.problem) if self.imposition is None else self.imposition
        inputs = self._inputs(space)
        separate = bool(getattr(self.network, "per_field", False)) and len(space.unknowns) > 1
        blocks: list[Block] = []

        def outputs(network: Network, unknowns: tuple[str, ...], prefix: str, without: tuple[str, ...] = ()) -> list[ad.Array]:
            reached = [one for name in space.coordinates if name not in without for one in inputs[name]]
            given = network.layout(len(reached), len(unknowns))
            layout = given.moved(sum(block.layout.size for block in blocks), prefix)
            blocks.append(Block(unknowns, network, layout))
            weights = {named.name: ad.Array(ad.view(VECTOR, slot.offset, slot.shape))
                       for named, slot in zip(given, layout, strict=True)}
            found = network.apply(weights, np.stack(reached) if reached else None)
            return [ad.Array(found[k].node, space) for k in range(len(unknowns))]

        order = [name for name in space.coordinates for _ in inputs[name]]
        bare: dict[str, ad.Array] = {}
        for unknowns in [(unknown,) for unknown in space.unknowns] if separate else [space.unknowns]:
            prefix = f"{unknowns[0]}." if separate else ""
            bare |= dict(zip(unknowns, outputs(self.network, unknowns, prefix), strict=True))
        fields: dict[str, ad.Array] = {}
        lifts: dict[str, ad.Array] = {}
        for unknown, dressing in imposition.dressings.items():
            moving = dressing.factor * bare[unknown]
            for factor, without in dressing.traces:
                rest = [name for name in space.coordinates if name not in without]
                kept = tuple(k for k, name in enumerate(order) if name in rest)
                network = trace_of(self.network, kept) if rest else constants_of(self.network)
                trace, = outputs(network, (unknown,), f"{unknown} free of {', '.join(without)}{len(blocks)}.", without)
                moving = moving + factor * trace
            if base is not None:  # a scale is data, not a number of the program: a new one needs no new kernel
                moving = as_data(scale) * moving
            lifts[unknown] = dressing.lift if base is None else base[unknown]
            known = lifts[unknown] if is_number(lifts[unknown]) else lift_leaf(space, unknown)
            fields[unknown] = known + moving
        for name, value in {"space": space, "imposition": imposition, "blocks": tuple(blocks), "fields": fields,
                            "lifts": lifts, "directions": along(space),
                            "layout": Layout(tuple(slot for block in blocks for slot in block.layout))}.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def of_fields(problem: Problem, slabs: tuple[Network, ...], fields: Mapping[str, ad.Array],
                  blocks: tuple[Block, ...], reaches: tuple[float, ...]) -> Supply:  # fmt: skip
        """A supply of fields that are already made, slab by slab (see pinn.march), of the weights of these blocks."""
        supply, space = object.__new__(Supply), problem.space
        layout = Layout(tuple(slot for block in blocks for slot in block.layout))
        for name, value in {"problem": problem, "network": slabs[-1], "imposition": nothing_imposed(problem), "space": space,
                            "slabs": slabs, "reaches": reaches,
                            "blocks": blocks, "layout": layout, "fields": dict(fields), "lifts": {},
                            "directions": along(space)}.items():
            object.__setattr__(supply, name, value)
        return supply

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """A first guess of all weights, `(layout.size,)`."""
        return np.concatenate([block.network.initial(block.layout, rng) for block in self.blocks])

    def jet(self, unknown: str, index: Index = (), directions: Directions | None = None) -> ad.Array:
        """A derivative of a field; orders are built up in the order of the coordinates, so u_xt starts from u_x."""
        node = self.fields[unknown].node
        for name in self.space.sorted(index):
            tangent = (directions or self.directions)[name].of(node)
            if tangent is None:
                return ad.Array(ad.lift(0.0), self.space)
            node = tangent
        return ad.Array(node, self.space)

    def lift_leaves(self, nodes: Sequence[ad.Node]) -> list[ad.Node]:
        """The leaves below nodes that stand for lifts and their derivatives, in an order that their data play no part in."""
        found = {node: key for node in ad.walk(nodes) if (key := leaf_key(node)) is not None and key[0] == "lift"}
        return sorted(found, key=lambda node: (found[node][1], len(found[node][2]), found[node][2]))

    def lifted(self, leaf: ad.Node) -> ad.Node:
        """What such a leaf stands for, as an expression of the coordinates."""
        key = leaf_key(leaf)
        assert key is not None
        return self.space.derivative(self.lifts[key[1]], key[2]).node

    def resolved(self, nodes: Sequence[ad.Node]) -> list[ad.Node]:
        """Nodes with the expressions of lifts in the places of their leaves: graphs of coordinates and weights."""
        leaves = self.lift_leaves(nodes)
        return ad.substitute(nodes, {leaf: self.lifted(leaf) for leaf in leaves}, ad.rebuild) if leaves else list(nodes)

    def program(self, residuals: Sequence[ad.Array], collapse: bool = True) -> Residuals:
        """The residuals with the jets of the network in them: graphs of coordinates, normals, data and weights.

        With `collapse` the cheapest of `plans`, else derivatives one by one.  Give all residuals that share points at once: a
        derivative that one of them needs by itself is then not carried twice.
        """
        if not collapse:
            return self._stated(residuals, ())
        ways = self._ways(residuals)
        return self._stated(residuals, ways[0]) if len(ways) == 1 else self.plans(residuals)[0].residuals

    def plans(self, residuals: Sequence[ad.Array]) -> list[Plan]:
        """All ways of carrying what the residuals demand, the cheapest first.

        Derivatives one by one, each made once from a lower one; and every choice of the operators that `find_collapses` sees
        carried as one channel, the square of an operator in both of its ways.  Of more than MANY derivatives only the collapsed
        way is made, of more than MOST operators only that and the plain one.
        """
        made = [(chosen, self._stated(residuals, chosen)) for chosen in self._ways(residuals)]
        return sorted((Plan(chosen, stated, Work.of(stated)) for chosen, stated in made), key=lambda plan: plan.work.cost)

    def _ways(self, residuals: Sequence[ad.Array]) -> list[tuple[Collapse, ...]]:
        found = find_collapses(residuals, self.space)
        each = [(one, replace(one, summed=True), None) if one.root else (one, None) for one in found]
        if sum(map(len, demands(residuals).values())) > MANY:  # a sum of many derivatives is one channel, whatever else is
            return [tuple(replace(one, summed=bool(one.root)) for one in found)]
        if len(found) > MOST:  # all choices would be too many to count: all, or none
            return [tuple(replace(one, summed=bool(one.root)) for one in found), ()]
        return [tuple(one for one in chosen if one is not None) for chosen in itertools.product(*each)]

    def _stated(self, residuals: Sequence[ad.Array], collapses: Sequence[Collapse]) -> Residuals:
        """The residuals with these sums as one channel each, and all other derivatives one by one."""
        # directions of its own: what else was asked before must not show in the graph, nor in the text of a kernel
        replacement, directions = {}, along(self.space)
        for sum_ in collapses:
            # A residual is linear in the sum, so the sum may stand in the place of its first part, and zero elsewhere.
            for place, (index, _) in enumerate(sum_.parts):
                leaf = self.space.jet(sum_.unknown, index).node
                replacement[leaf] = ad.lift(0.0) if place else self._collapsed(sum_, directions)
        for unknown, indices in demands(residuals).items():
            for index in indices:
                leaf = self.space.jet(unknown, index).node
                if leaf not in replacement:
                    replacement[leaf] = self.jet(unknown, index, directions).node
        nodes = ad.substitute([residual.node for residual in residuals], replacement, ad.rebuild)
        return tuple(ad.Array(node, self.space) for node in nodes)

    def _collapsed(self, sum_: Collapse, directions: Directions) -> ad.Node:
        field = self.fields[sum_.unknown].node
        if sum_.root:
            squares = [(directions[name], a) for name, a in sum_.root]
            operator = ad.Collapsed(squares, constant=True)
            once = operator.of(field)
            twice = None if once is None else operator.of(once)
            if twice is None:
                return ad.lift(0.0)
            return add_up(operator, squares, field, twice) if sum_.summed else twice
        first = [(directions[index[0]], ratio) for index, ratio in sum_.parts if len(index) == 1]
        total = ad.Collapsed(squares_of(sum_, directions), first).of(field)
        return ad.lift(0.0) if total is None else total

    def plan(self, residuals: Sequence[ad.Array]) -> str:
        """What the residuals ask of the network, for people: derivatives, the plan with its work, the plans that it beat."""
        lines = []
        for unknown, indices in demands(residuals).items():
            names = [unknown + ("_" + "".join(index) if index else "") for index in indices]
            lines.append(f"{unknown}: {', '.join(names)}")
        best, *beaten = self.plans(residuals)
        lines += [f"{sum_} carried as one channel" for sum_ in best.collapses]
        work = best.work
        lines.append(f"{self.layout.size} parameters; {work.channels} channels through the widest layer")
        lines.append(f"{work.flops} floating point operations in products for loss and gradient at one point, "
                     f"and {work.elementwise} others")
        lines += [f"chosen before: {one} ({one.work.channels} channels, {one.work.flops} operations in products, "
                  f"{one.work.cost / work.cost:.2f} times the work in all)" for one in beaten]
        return "\n".join(lines)

    def _inputs(self, space: JetSpace) -> dict[str, list[Any]]:
        domain = self.problem.domain
        inputs: dict[str, list[Any]] = {}
        for name in space.coordinates:
            (low, high), x = domain.bounds[name], space.coordinate(name)
            if name in domain.periodic:
                angle = (2 * np.pi / (high - low)) * (x - low)
                inputs[name] = [np.cos(angle), np.sin(angle)]
            else:
                scale, middle = 2 / (high - low), 0.5 * (low + high)
                inputs[name] = [as_data(scale) * (x - as_data(middle)) if name in self.problem.moving else scale * (x - middle)]
        return inputs


def frozen(supply: Supply, theta: np.ndarray) -> dict[str, ad.Array]:
    """The fields of a supply at fixed weights `(size,)`: expressions of the coordinates alone."""
    nodes = supply.resolved([array.node for array in supply.fields.values()])
    fixed = ad.substitute(nodes, numbers_of(nodes, theta), ad.rebuild)
    return {name: ad.Array(node, supply.space) for name, node in zip(supply.fields, fixed, strict=True)}


def summed(
    base: Supply, theta: np.ndarray, more: Supply, correction: np.ndarray, scale: float = 1.0,
) -> tuple[Supply, np.ndarray]:  # fmt: skip
    """The fields of a supply and `scale` times what `more` adds to them as those of one network, with the weights of both."""
    parts = base.network.networks if isinstance(base.network, Sum) else (base.network,)
    scales = base.network.scales if isinstance(base.network, Sum) else (1.0,)
    supply = Supply(base.problem, Sum((*parts, more.network), (*scales, scale)), base.imposition)
    pieces = []
    for one, two in zip(base.blocks, more.blocks, strict=True):
        for block, weights in ((one, theta), (two, correction)):
            pieces.append(weights[block.layout.start:block.layout.start + block.layout.size])
    return supply, np.concatenate(pieces)


def numbers_of(nodes: Sequence[ad.Node], theta: np.ndarray) -> dict[ad.Node, ad.Node]:
    """The numbers in the windows of the weights that nodes look through, by window."""
    found = {}
    for node in ad.walk(nodes):
        if node.op is ad.VIEW:
            _, offset, shape, strides = node.attr
            window = np.lib.stride_tricks.as_strided(theta[offset:], shape, [8 * one for one in strides])
            found[node] = ad.datum(np.array(window))
    return found


@dataclass(frozen=True)
class Block:
    """A network, the unknowns that are its outputs, and its window of the weights."""

    unknowns: tuple[str, ...]
    network: Network
    layout: Layout


def constants_of(network: Network) -> Network:
    """A constant for each network of a sum."""
    return Sum((Constant(),) * len(network.networks), network.scales) if isinstance(network, Sum) else Constant()


@dataclass(frozen=True)
class Constant:
    """The network of no coordinates: one weight for each output, zero at first."""

    def layout(self, inputs: int, outputs: int) -> Layout:
        return Layout.of({"constant": (outputs,)})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(layout.size)

    def apply(self, weights: Mapping[str, Any], inputs: Any) -> Any:
        return weights["constant"]


@dataclass(frozen=True)
class Collapse:
    """A sum of derivatives of one unknown, sum_k ratio_k u_k, that residuals need only as a whole: one channel carries it.

    If the sum is (sum_i a_i D_i^2)^2 u, such as the biharmonic operator, `root` has the a_i.  With L for the root and `summed`,
    what a layer makes of L h is added up from what it makes of the D_i^2 h, which are carried anyway: nine channels in two
    dimensions instead of ten.
    """

    unknown: str
    parts: tuple[tuple[Index, float], ...]
    root: tuple[tuple[str, float], ...] = ()
    summed: bool = False

    def __str__(self) -> str:
        return " + ".join(("" if ratio == 1 else f"{ratio:.4g} ") + f"{self.unknown}_{''.join(index)}"
                          for index, ratio in self.parts).replace("+ -", "- ")


@dataclass(frozen=True, eq=False)
class Plan:
    """One way of carrying what residuals demand: sums that are one channel each, the graphs, and their counted work."""

    collapses: tuple[Collapse, ...]
    residuals: Residuals
    work: Work

    def __str__(self) -> str:
        told = [f"{one}{' with its root by itself' * bool(one.root and not one.summed)}" for one in self.collapses]
        return "; ".join(told) + " as one channel" * bool(told) or "derivatives one by one"


@dataclass(frozen=True, eq=False)
class Oblique:
    """The derivative sum_i v_i D_i along a fixed vector that is no axis: made from the D_i, which are carried anyway."""

    parts: Sequence[tuple[ad.Forward, float]]

    def of(self, node: ad.Node) -> ad.Node | None:
        """The tangent of a node, None for zero."""
        moved = [v * ad.Array(tangent) for direction, v in self.parts if (tangent := direction.of(node)) is not None]
        return sum(moved[1:], start=moved[0]).node if moved else None

    def hold(self, node: ad.Node) -> ad.Node:
        """The node, which moves along none of the axes from now on."""
        for direction, _ in self.parts:
            direction.hold(node)
        return node


def along(space: JetSpace) -> Directions:
    """One Forward for each coordinate, for everybody who asks, so that no derivative is made twice."""
    directions: dict[str, ad.Forward] = {}
    for name in reversed(space.coordinates):
        directions[name] = ad.Forward(leaf_rule(space, name), later=tuple(directions.values()))
    return directions


def leaf_rule(space: JetSpace, name: str) -> Callable[[ad.Node], ad.Node | None]:
    """How leaves move along an axis: its coordinate by one, a lift by its derivative, which is a leaf, too."""
    coordinate = space.coordinate(name).node

    def tangent(node: ad.Node) -> ad.Node | None:
        if node is coordinate:
            return ONE
        key = leaf_key(node)
        return lift_leaf(space, key[1], (*key[2], name)).node if key is not None and key[0] == "lift" else None

    return tangent


def lift_leaf(space: JetSpace, unknown: str, index: Index = ()) -> ad.Array:
    """A derivative of what a field is without its network, a number known at each point."""
    return ad.Array(ad.symbol(Key(("lift", unknown, space.sorted(index)))), space)


def is_number(array: ad.Array) -> bool:
    """Whether an expression is one number, wherever."""
    return not array.node.args and leaf_key(array.node) is None


def squares_of(sum_: Collapse, directions: Directions) -> list[tuple[Any, float]]:
    """Directions and coefficients with sum_k a_k D_k^2 = the second derivatives of a sum; mixed ones turn the axes."""
    second = {index: ratio for index, ratio in sum_.parts if len(index) == 2}
    if all(i == j for i, j in second):
        return [(directions[i], ratio) for (i, _), ratio in second.items()]
    axes = list(dict.fromkeys(name for index in second for name in index))
    form = np.zeros((len(axes), len(axes)))
    for (i, j), ratio in second.items():
        form[axes.index(i), axes.index(j)] += ratio / 2
        form[axes.index(j), axes.index(i)] += ratio / 2
    values, vectors = np.linalg.eigh(form)
    size = np.max(np.abs(values))
    return [(Oblique([(directions[name], float(part)) for name, part in zip(axes, vector, strict=True) if part]), float(value))
            for value, vector in zip(values, vectors.T, strict=True) if abs(value) > 1e-15 * size]


def add_up(operator: ad.Collapsed, squares: Sequence[tuple[ad.Forward, float]], field: ad.Node, node: ad.Node) -> ad.Node:
    """`node` with W (L h) made from the W (D_i^2 h) that are there: one product less in every layer of `field`."""
    replacement = {}
    for one in ad.walk([field]):
        whole = operator.known.get(one.serial) if meets(one) is not None else None
        parts = [(a, direction.of(tangent)) for direction, a in squares if (tangent := direction.of(one)) is not None]
        present = [a * ad.Array(part) for a, part in parts if part is not None]
        if whole is not None and meets(whole) is not None and present:
            replacement[whole] = sum(present[1:], start=present[0]).node
    return ad.substitute([node], replacement, ad.rebuild)[0]


def find_collapses(residuals: Sequence[ad.Array], space: JetSpace) -> list[Collapse]:
    """Operators such as u_t - k u_xx, or c (u_xx + u_xy + u_yy), that enter all residuals only as a whole.

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
    """Whether a derivative is u_i, u_ii or u_ij, and no other one is made from it."""
    if len(index) not in (1, 2):
        return False
    return not any(all(other.count(name) >= index.count(name) for name in index) for other in indices if other != index)


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


__all__ = ["VECTOR", "Collapse", "Plan", "Supply", "find_collapses"]
