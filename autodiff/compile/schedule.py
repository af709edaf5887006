"""From a graph for one point to steps on a tile of points.

Three kinds of step.  A `Loop` is a fused elementwise nest over (feature, point); a `Product` multiplies one weight with all the
channels that meet it, stacked side by side; `Pairs` are outer products, summed over the points (a gradient) or kept per point
(rows of a Jacobian).  What one step needs from another is *stored*; everything cheaper is recomputed in every loop that
needs it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import CompileError
from ..graph import SYMBOL, VIEW, Node, constant, walk
from ..primitive import BROADCAST, TABLE
from ..types import POINT, SHARED

HEAVY = 8  # the cost from which an elementwise value is stored and never recomputed
LINE = 64  # bytes: buffers and rows start on cache lines


@dataclass(frozen=True, eq=False)
class Target:
    """Where a value goes: summed over points into `acc[offset + i * strides]`, or kept in that row of `out`."""

    node: Node
    kind: str  # "sum" | "row"
    offset: int
    strides: tuple[int, ...] = ()

    def cells(self) -> frozenset[int]:
        """The offsets it writes."""
        steps = [range(0, n * s, s) if s else (0,) * n for n, s in zip(self.node.shape, self.strides, strict=True)]
        places = {self.offset}
        for step in steps:
            places = {p + q for p in places for q in step}
        return frozenset(places)


@dataclass(eq=False)
class Loop:
    """Elementwise work of one stage over one shape: values to store, sums over features, targets."""

    stage: int
    shape: tuple[int, ...]
    stores: list[Node] = field(default_factory=list)
    sums: list[Node] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    @property
    def roots(self) -> list[Node]:
        return self.stores + [n.args[0] for n in self.sums] + [t.node for t in self.targets]


@dataclass(eq=False)
class Product:
    """One weight times all the channels that meet it at this stage."""

    stage: int
    weight: Node
    nodes: list[Node]
    runs: list[list[int]] = field(default_factory=list)


@dataclass(eq=False)
class Pairs:
    """sum_j outer(a_j, b_j) into one target."""

    stage: int
    target: Target
    pairs: list[tuple[Node, Node]]
    runs: list[list[int]] = field(default_factory=list)


def is_free(node: Node) -> bool:
    """Readable in any loop at no cost: constants, weights and what is made of them alone, columns of the points."""
    return node.lane is SHARED or node.op is SYMBOL


def is_fused(node: Node) -> bool:
    """Computed inside a loop, element by element."""
    return (
        node.op.sort in ("elementwise", "select")
        or node.op is TABLE["gated"]
        or (node.op is BROADCAST and node.args[0].shape == ())
    )


def is_product(node: Node) -> bool:
    return node.op is TABLE["contract"] and node.attr == "ab,b->a" and node.args[0].op is VIEW


def is_sum(node: Node) -> bool:
    return node.op is TABLE["sum"] and node.args[0].ndim == 1


def cost(node: Node) -> int:
    return getattr(node.op, "cost", 0)


def outer_terms(node: Node) -> list[tuple[Node, Node]]:
    """A matrix cotangent as a list of outer products."""
    if node.op is TABLE["contract"] and node.attr == "a,b->ab":
        return [node.args]  # type: ignore[list-item]
    if node.op is TABLE["add"]:
        return outer_terms(node.args[0]) + outer_terms(node.args[1])
    if node.op is TABLE["subtract"]:
        minus = constant(-1.0)
        return outer_terms(node.args[0]) + [(TABLE["multiply"].make((minus, a)), b) for a, b in outer_terms(node.args[1])]
    if node.op is TABLE["multiply"] and node.args[0].shape == ():
        return [(TABLE["multiply"].make((node.args[0], a)), b) for a, b in outer_terms(node.args[1])]
    raise unsupported(node, "a matrix per point that is not a sum of outer products")


def unsupported(node: Node, why: str) -> CompileError:
    return CompileError(
        f"the tile compiler has no form for {node.op.name} of shape {node.shape}",
        why=why,
        fix="write the equation with elementwise functions, sums and products of weights with vectors",
        code="no-kernel",
        node=node,
    )


class Plan:
    """The steps for a list of targets, with every stored value placed in a buffer."""

    def __init__(self, targets: Iterable[Target]):
        self.targets = list(targets)
        self.level_of: dict[int, int] = {}
        self.stored: dict[int, Node] = {}
        self.base: dict[int, Target] = {}
        self._find_overlaps()
        self._build()
        self._place()
        self._measure_lifetimes()

    # -- when: the stage of a value is the first level at which it can be computed -------------------------------------
    def domain(self, node: Node) -> tuple[int, ...]:
        """The shape of the loop in which a node is computed."""
        if is_sum(node):
            return node.args[0].shape
        return () if node.op in (TABLE["stack"], TABLE["index"]) else node.shape

    def level(self, node: Node) -> int:
        return 0 if is_free(node) else self.level_of[node.serial]

    def _visible(self, a: Node, node: Node) -> int:
        """The level at which `node` can read `a`: at once within one nest, one level later from another."""
        if is_free(a):
            return 0
        return self.level(a) + (0 if is_fused(a) and a.shape == self.domain(node) else 1)

    def _set_level(self, node: Node) -> None:
        if is_product(node):
            self.level_of[node.serial] = self.level(node.args[1]) + 1
        elif is_fused(node) or is_sum(node) or (node.op is TABLE["stack"] and node.attr == 0 and node.ndim == 1):
            self.level_of[node.serial] = max(self._visible(a, node) for a in node.args)
        elif node.op is TABLE["index"] and node.args[0].ndim == 1 and isinstance(node.attr[0], int):
            self.level_of[node.serial] = self._visible(node.args[0], node)
        else:
            raise unsupported(node, "it is neither elementwise, a sum over features, nor a weight times a vector")

    # -- what is stored, and by which loop -------------------------------------------------------------------------------
    def _find_overlaps(self) -> None:
        """Rows may share cells (a weight used whole and by columns): the matrix writes first, the others add."""
        rows = [t for t in self.targets if t.kind == "row"]
        wide = [(t, t.cells()) for t in rows if t.node.ndim == 2]
        for t in rows:
            if t.node.ndim < 2 and wide:
                cells = t.cells()
                for matrix, taken in wide:
                    if cells & taken:
                        self.base[id(t)] = matrix
                        break

    def _keep(self, node: Node) -> None:
        if node.op is not SYMBOL:
            self.stored[node.serial] = node

    def _build(self) -> None:
        nodes = []
        pairs_of = {id(t): outer_terms(t.node) for t in self.targets if t.node.ndim == 2}
        roots = [n for ps in pairs_of.values() for p in ps for n in p] + [t.node for t in self.targets if t.node.ndim < 2]
        below = walk(roots, stop=is_free)
        # places in the program, not ages of nodes: equal programs must be equal text, or the cache would miss
        self.rank = {n.serial: i for i, n in enumerate(below)}
        for n in below:
            if is_free(n):
                continue
            if n.ndim > 1:
                raise unsupported(n, "values per point are scalars and vectors here")
            nodes.append(n)
            self._set_level(n)
        self._nodes = nodes
        loops: dict[tuple, Loop] = {}
        products: dict[tuple, list[Node]] = defaultdict(list)
        self.pairs: list[Pairs] = []

        def loop(stage: int, shape: tuple[int, ...]) -> Loop:
            return loops.setdefault((stage, shape), Loop(stage, shape))

        def after(ps: list[tuple[Node, Node]]) -> int:
            return max(self.level(n) for p in ps for n in p) + 1

        for t in self.targets:
            if t.node.ndim == 2:
                ps = pairs_of[id(t)]
                for p in ps:
                    for n in p:
                        self._keep(n)
                self.pairs.append(Pairs(after(ps), t, ps))
                continue
            n = t.node
            stage = self.level(n) + (0 if is_fused(n) or is_free(n) else 1)
            if id(t) in self.base:
                stage = max(stage, after(pairs_of[id(self.base[id(t)])]) + 1)
                if not is_free(n):
                    self._keep(n)
            loop(stage, n.shape).targets.append(t)
            if not is_fused(n) and not is_free(n):
                self._keep(n)
        for n in nodes:
            if is_product(n):
                products[self.level(n), n.args[0].serial].append(n)
                self._keep(n.args[1])
                self._keep(n)
                continue
            if is_sum(n):
                loop(self.level(n), n.args[0].shape).sums.append(n)
                self._keep(n)
            elif n.op in (TABLE["stack"], TABLE["index"]):
                self._keep(n)
                if n.op is TABLE["index"]:
                    self._keep(n.args[0])
            elif cost(n) >= HEAVY:
                self._keep(n)
            for a in n.args:
                if not is_free(a) and (not is_fused(a) or a.shape != self.domain(n)):
                    self._keep(a)
        for n in self._sorted_stored():
            if not is_product(n) and not is_sum(n):
                loop(self.level(n), self.domain(n)).stores.append(n)
        self.products = [Product(stage, ns[0].args[0], ns) for (stage, _), ns in products.items()]
        self.loops = [loops[key] for key in sorted(loops)]

    def _sorted_stored(self) -> list[Node]:
        return sorted(self.stored.values(), key=lambda n: self.rank[n.serial])

    def is_local(self, node: Node, loop: Loop) -> bool:
        """Whether a loop computes this node itself rather than loading it."""
        if is_free(node) or is_product(node) or is_sum(node):
            return False
        return node.serial not in self.stored or (self.level(node) == loop.stage and self.domain(node) == loop.shape)

    def cone(self, loop: Loop) -> tuple[list[Node], list[Node]]:
        """(what a loop computes, what it loads), from its roots down to stored values."""
        below = walk(loop.roots, stop=lambda n: not self.is_local(n, loop))
        work = [n for n in below if self.is_local(n, loop)]
        loads = [n for n in below if not self.is_local(n, loop) and (n.lane is POINT or n.serial in self.stored)]
        return sorted(work, key=lambda n: self.rank[n.serial]), loads

    # -- where: channels of one product sit side by side, so that a stack of jets is one matrix ----------------------------
    def _place(self) -> None:
        self.buffer: dict[int, tuple[int, int]] = {}
        self.rows: list[int] = []
        self.channels: list[int] = []

        def place(nodes: Iterable[Node]) -> None:
            new = [n for n in {n.serial: n for n in nodes}.values() if n.serial not in self.buffer]
            for shape in dict.fromkeys(n.shape for n in new):
                group = [n for n in new if n.shape == shape]
                self.rows.append(math.prod(shape))
                self.channels.append(len(group))
                for channel, n in enumerate(group):
                    self.buffer[n.serial] = (len(self.rows) - 1, channel)

        def at(n: Node) -> tuple[int, int]:
            return self.buffer[n.serial]

        groups: list[tuple[int, int, Pairs | Product]] = [(p.stage, 0, p) for p in self.pairs]
        groups += [(p.stage, 1, p) for p in self.products]
        for _, _, group in sorted(groups, key=lambda g: g[:2]):
            if isinstance(group, Pairs):
                # the side that has its place already says the order: the channels of a product, the other side follows
                placed = all(a.serial in self.buffer for a, _ in group.pairs)
                lead = 0 if placed and not all(b.serial in self.buffer for _, b in group.pairs) else 1
                place(p[lead] for p in group.pairs)
                group.pairs.sort(key=lambda p: (at(p[lead]), self.rank[p[1 - lead].serial]))
                place(p[1 - lead] for p in group.pairs)
                group.runs = _runs([(at(a), at(b)) for a, b in group.pairs])
            else:
                place(n.args[1] for n in group.nodes)
                group.nodes.sort(key=lambda n: at(n.args[1]))
                place(group.nodes)
                group.runs = _runs([(at(n.args[1]), at(n)) for n in group.nodes])
        for n in self._sorted_stored():
            place([n])
        steps: list[Loop | Pairs | Product] = [*self.loops, *self.pairs, *self.products]
        self.steps = sorted(steps, key=lambda s: (s.stage, isinstance(s, Product)))

    def _measure_lifetimes(self) -> None:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for i, step in enumerate(self.steps):
            if isinstance(step, Loop):
                touched = step.stores + step.sums + [n for n in self.cone(step)[1] if n.serial in self.stored]
            elif isinstance(step, Product):
                touched = step.nodes + [n.args[1] for n in step.nodes]
            else:
                touched = [n for p in step.pairs for n in p]
            for n in touched:
                b = self.buffer[n.serial][0]
                first.setdefault(b, i)
                last[b] = i
        self.life = [(first[b], last[b]) for b in range(len(self.rows))]

    def allocate(self, points: int, itemsize: int) -> Workspace:
        """First fit by lifetime.  Rows are one cache line longer than channels * points: no power-of-two distances."""
        line = LINE // itemsize
        strides = [c * points + (line if r > 1 else 0) for c, r in zip(self.channels, self.rows, strict=True)]
        sizes = [-(-r * s // line) * line + line for r, s in zip(self.rows, strides, strict=True)]
        offsets = [0] * len(sizes)
        live: list[int] = []
        for b in sorted(range(len(sizes)), key=lambda b: (self.life[b][0], -sizes[b], b)):
            live = [c for c in live if self.life[c][1] >= self.life[b][0]]
            at = 0
            for c in sorted(live, key=lambda c: offsets[c]):
                if at + sizes[b] <= offsets[c]:
                    break
                at = max(at, offsets[c] + sizes[c])
            offsets[b] = at
            live.append(b)
        size = max([o + s for o, s in zip(offsets, sizes, strict=True)], default=line)
        return Workspace(tuple(offsets), tuple(strides), size)

    def gemm_flops(self) -> int:
        """Floating point operations of the products, per point."""
        count = 0
        for product in self.products:
            count += 2 * math.prod(product.weight.shape) * len(product.nodes)
        for pairs in self.pairs:
            count += 2 * math.prod(pairs.target.node.shape) * len(pairs.pairs)
        return count

    def __str__(self) -> str:
        lines = []
        for s in self.steps:
            if isinstance(s, Loop):
                work, loads = self.cone(s)
                lines.append(f"stage {s.stage:2d} loop {s.shape}: {len(work)} operations, {len(loads)} loads, "
                             f"{len(s.stores)} stores, {len(s.sums)} sums, {len(s.targets)} targets")  # fmt: skip
            elif isinstance(s, Product):
                lines.append(f"stage {s.stage:2d} product {s.weight.shape} x {len(s.nodes)} channels in {len(s.runs)} runs")
            else:
                lines.append(f"stage {s.stage:2d} outer {s.target.node.shape} x {len(s.pairs)} channels in {len(s.runs)} runs")
        return "\n".join(lines)


@dataclass(frozen=True)
class Workspace:
    """Offsets and row strides of the buffers for one tile size, in elements."""

    offsets: tuple[int, ...]
    strides: tuple[int, ...]
    size: int


def _runs(places: list[tuple[tuple[int, int], tuple[int, int]]]) -> list[list[int]]:
    """Maximal runs of channels adjacent on both sides: [buffer, channel, buffer, channel, length]."""
    runs: list[list[int]] = []
    for (b, c), (d, e) in places:
        if runs:
            last = runs[-1]
            if (last[0], last[2]) == (b, d) and (last[1] + last[4], last[3] + last[4]) == (c, e):
                last[4] += 1
                continue
        runs.append([b, c, d, e, 1])
    return runs

