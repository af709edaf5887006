"""From a graph over whole arrays to steps on blocks of memory.

A `Loop` is a fused nest over one shape: elementwise work, sums and extremes over axes, copies into windows of larger blocks
(stack, concatenate, scatter).  A `Product` multiplies matrices, a `Call` is a function of the library, a `Fill` writes zeros,
`Bodies` are plans inside the plan (choices and loops).  A step has a level, the first at which all that it reads is there;
loops of one level and shape that share something are one.  What a step needs from another one is stored, unless it is so cheap
that every loop computes it anew.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..graph import CONSTANT, DATUM, Node
from ..primitive import TABLE
from ..types import BOOL, FLOAT
from .strides import VIEWS, Window, natural
from .whole_reads import BODIES, JOINS, REDUCTIONS, Reads, is_fused, is_leaf
from .whole_steps import LINE, SCRATCH, Block, Bodies, Call, Fill, Loop, Product, Step, allocate, lines

CHEAP = 8  # operations and loads that are done again in every loop that needs them
LONG = 50  # operations of one loop


class Plan:
    """The steps that compute `outputs` from `inputs`, with every stored value placed in a block."""

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], dtypes: Sequence[np.dtype] | None = None):
        self.reads = Reads(inputs, outputs, dtypes)
        self.nodes, self.root, self.rank = self.reads.nodes, self.reads.root, self.reads.rank
        self.stored: set[int] = set()
        self.heavy: set[int] = set()  # scalars that are dear: computed once
        self._set_levels()
        self._find_stored()
        steps = self._loops() + self._others()
        self.steps = sorted(steps, key=lambda s: (s.level, s.kind, min(self.rank[n.serial] for n in _written(s))))
        self._place()

    # -- when --------------------------------------------------------------------------------------------------------------
    def host(self, node: Node, a: Node) -> tuple[int, ...] | None:
        """The shape of the loop in which `node` reads `a`."""
        if is_fused(node):
            return node.shape
        return a.shape if node.op.name in REDUCTIONS or node.op.name in JOINS else None

    def inline(self, a: Node, shape: tuple[int, ...] | None) -> bool:
        """Whether a loop over this shape can compute `a` itself."""
        root = self.root(a)
        if shape is None or not is_fused(root):
            return False
        return root is a and a.shape == shape or root.shape == () and root.serial not in self.heavy

    def _seen(self, a: Node, shape: tuple[int, ...] | None) -> float:
        """The level from which on `a` can be read."""
        root = self.root(a)
        if is_leaf(root) or root.op is CONSTANT:
            return 0
        return self.level[root.serial] + (0 if self.inline(a, shape) else 1)

    def _set_levels(self) -> None:
        self.level: dict[int, float] = {}
        self.work: dict[int, int] = {}
        readers: dict[int, list[Node]] = defaultdict(list)
        fixed = {n.serial for n in self.reads.outputs}  # what is stored anyhow
        for node in self.nodes:
            operands = self.reads.operands[node.serial]
            self.level[node.serial] = max([self._seen(a, self.host(node, a)) for a in operands], default=0)
            if is_fused(node) and node.shape == () and self._set_work(node) > CHEAP:
                self.heavy.add(node.serial)
            for a in operands:
                root, shape = self.root(a), self.host(node, a)
                if not self.inline(a, shape):
                    fixed.add(root.serial)
                elif root.shape != () and node.op.name in JOINS:
                    fixed.add(root.serial)
                readers[root.serial].append(node)
        self.readers = readers
        # what only later loops need is computed there, so that it need not be stored
        for node in reversed(self.nodes):
            if is_fused(node) and node.shape != () and node.serial not in fixed:
                self.level[node.serial] = min(self.level[m.serial] for m in readers[node.serial])

    # -- what is stored ----------------------------------------------------------------------------------------------------
    def _set_work(self, node: Node) -> int:
        """Operations and loads behind a value, down to what is stored."""
        work = node.op.cost
        for a in self.reads.operands[node.serial]:
            root = self.root(a)
            near = self.inline(a, node.shape) and self.is_local(root, self.level[node.serial])
            work += self.work[root.serial] if near else root.op is not CONSTANT
        self.work[node.serial] = min(work, 1 << 20)
        return work

    def is_local(self, root: Node, level: float) -> bool:
        """Whether loops of this level compute a fused value themselves rather than load it."""
        return root.serial not in self.stored or self.level[root.serial] >= level

    def _find_stored(self) -> None:
        self.stored.update(n.serial for n in self.reads.outputs)
        for node in self.nodes:
            if not is_fused(node) and not is_leaf(node) and node.op is not CONSTANT:
                self.stored.add(node.serial)
            for a in self.reads.operands[node.serial]:
                if is_fused(self.root(a)) and not self.inline(a, self.host(node, a)):
                    self.stored.add(self.root(a).serial)
        for node in self.nodes:
            if is_fused(node) and self._set_work(node) > CHEAP:
                if any(self.level[m.serial] > self.level[node.serial] for m in self.readers[node.serial] if is_fused(m)):
                    self.stored.add(node.serial)

    # -- steps -------------------------------------------------------------------------------------------------------------
    def _loops(self) -> list[Step]:
        """One loop for all roots of one level and shape that compute or load a common array; long ones in pieces."""
        roots: dict[tuple[float, tuple[int, ...]], list[Loop]] = defaultdict(list)
        for node in self.nodes:
            level, operands = self.level[node.serial], self.reads.operands[node.serial]
            if 0 in node.shape:
                continue
            if is_fused(node) and node.serial in self.stored:
                store = (node, self.reads.window[node.serial])
                roots[level, node.shape].append(Loop(level, node.shape, [store]))
            elif node.op.name in REDUCTIONS and 0 not in operands[0].shape:
                roots[level, operands[0].shape].append(Loop(level, operands[0].shape, sums=[node]))
            elif node.op.name in JOINS:
                for a, window in zip(operands, self._parts(node), strict=True):
                    if 0 not in a.shape:
                        at = self._seen(a, a.shape)
                        roots[at, a.shape].append(Loop(at, a.shape, [(a, window)]))
        loops: list[Step] = []
        for (level, shape), singles in roots.items():
            for loop in self._together(level, shape, singles):
                loops.extend(self._pieces(loop))
        return loops

    def values(self, loop: Loop) -> list[Node]:
        """What a loop stores and sums."""
        return [value for value, _ in loop.stores] + [self.reads.operands[n.serial][0] for n in loop.sums]

    def _together(self, level: float, shape: tuple[int, ...], singles: list[Loop]) -> list[Loop]:
        group = list(range(len(singles)))

        def find(i: int) -> int:
            while group[i] != i:
                group[i] = group[group[i]]
                i = group[i]
            return i

        owner: dict[int, int] = {}
        for i, single in enumerate(singles):
            todo = self.values(single)
            while todo:
                a = todo.pop()
                root = self.root(a)
                if root.op is CONSTANT or root.shape == () != shape:
                    continue
                known = root.serial in owner
                group[find(i)] = find(owner.setdefault(root.serial if shape else 0, i))
                if not known and self.is_computed(a, single):
                    owner[root.serial] = i
                    todo.extend(self.reads.operands[root.serial])
        merged: dict[int, Loop] = {}
        for i, single in enumerate(singles):
            loop = merged.setdefault(find(i), Loop(level, shape))
            loop.stores += single.stores
            loop.sums += single.sums
        return list(merged.values())

    def _pieces(self, loop: Loop) -> list[Loop]:
        """A long loop in pieces, cut where few values are alive: compilers need more than linear time."""
        work, loads = self.cone(loop)
        loop.loads = list(loads.values())
        work = sorted([n for n in work if n.shape == loop.shape], key=lambda n: self.rank[n.serial])
        if len(work) <= LONG:
            return [loop]
        here = {n.serial: i for i, n in enumerate(work)}
        read = [[here[m.serial] for m in self.readers[n.serial] if m.serial in here] for n in work]
        last = [max(places, default=i) for i, places in enumerate(read)]
        cuts = _cuts(last)
        for i, node in enumerate(work):
            self.level[node.serial] = loop.level + bisect_right(cuts, i) / (len(cuts) + 1)
        pieces = [Loop(loop.level + k / (len(cuts) + 1), loop.shape) for k in range(len(cuts) + 1)]
        for i, node in enumerate(work):
            if node.serial not in self.stored and bisect_right(cuts, last[i]) > bisect_right(cuts, i):
                if self._set_work(node) > CHEAP:
                    self.stored.add(node.serial)
                    loop.stores.append((node, self.reads.window[node.serial]))

        def piece_of(a: Node) -> Loop:
            return pieces[bisect_right(cuts, here[self.root(a).serial]) if self.root(a).serial in here else 0]

        for value, window in loop.stores:
            piece_of(value).stores.append((value, window))
        for node in loop.sums:
            piece_of(self.reads.operands[node.serial][0]).sums.append(node)
        pieces = [p for p in pieces if p.stores or p.sums]
        for piece in pieces:
            piece.loads = list(self.cone(piece)[1].values())
        return pieces

    def cone(self, loop: Loop) -> tuple[list[Node], dict[tuple, Window]]:
        """What a loop computes, in no particular order, and what it loads, down to stored values."""
        todo = self.values(loop)
        seen: set[int] = set()
        work: list[Node] = []
        loads: dict[tuple, Window] = {}
        while todo:
            a = todo.pop()
            if a.serial in seen:
                continue
            seen.add(a.serial)
            if self.is_computed(a, loop):
                root = self.root(a)
                if root is a:
                    work.append(a)
                    todo.extend(self.reads.operands[a.serial])
                else:
                    todo.append(root)
            elif self.root(a).op is not CONSTANT:
                loads[_key(self.reads.window[a.serial])] = self.reads.window[a.serial]
        return work, loads

    def is_computed(self, a: Node, loop: Loop) -> bool:
        return self.inline(a, loop.shape) and self.is_local(self.root(a), loop.level)

    def _parts(self, node: Node) -> list[Window]:
        """Where the arguments of a stack, a concatenation or a scatter go."""
        whole = self.reads.window[node.serial]
        if node.op.name == "scatter":
            window = VIEWS["index"](whole, node.attr[0])
            assert window is not None
            return [window]
        axis, start, parts = node.attr, 0, []
        before = tuple((0, n, 1) for n in node.shape[:axis])
        for i, a in enumerate(node.args):
            n = 1 if node.op.name == "stack" else a.shape[axis]
            window = VIEWS["index"](whole, (*before, i if node.op.name == "stack" else (start, start + n, 1)))
            assert window is not None
            parts.append(window)
            start += n
        return parts

    def _others(self) -> list[Step]:
        steps: list[Step] = []
        for node in self.nodes:
            level, operands = self.level[node.serial], self.reads.operands[node.serial]
            if is_fused(node) or is_leaf(node) or node.op is CONSTANT or not math.prod(node.shape):
                continue
            windows = [self.reads.window[a.serial] for a in operands]
            if node.op.name == "scatter":
                steps.append(Fill(self._seen(operands[0], operands[0].shape), node))
            elif node.op.name in REDUCTIONS:
                if not math.prod(operands[0].shape):
                    steps.append(Fill(level, node))
            elif node.op is TABLE["contract"]:
                a, b = windows
                shape = (*a.shape[:-1], b.shape[-1])
                steps.append(Product(level, Window(node, 0, shape, natural(shape)), a, b))
            elif node.op.name in BODIES:
                steps.append(self._bodies(level, node, windows))
            elif node.op.name not in JOINS:
                name, *parameters = node.op.kernel(node.attr, *node.args)
                steps.append(Call(level, name, node, windows, tuple(parameters)))
        return steps

    def _bodies(self, level: float, node: Node, args: list[Window]) -> Bodies:
        body = node.attr
        if node.op.name == "cond":
            plans = [Plan(body.leaves, graphs, [FLOAT] * len(graphs)) for graphs in (body.yes, body.no)]
        else:
            dtypes = [*(leaf.dtype for leaf in body.carry), *[FLOAT] * len(body.ys)]
            plans = [Plan([*body.carry, *body.xs, *body.shared], [*body.next, *body.ys], dtypes)]
            if body.condition is not None:
                plans.append(Plan([*body.carry, *body.shared], [body.condition], [BOOL]))
        # twice the carry besides what the bodies need: that of this step and of the next
        carry = [] if node.op.name == "cond" else [2 * lines(math.prod(n.shape) * n.dtype.itemsize) for n in body.carry]
        size = LINE + sum(carry) + max(plan.workspace for plan in plans)
        return Bodies(level, node, args, plans, Node(SCRATCH, (), None, (size,), np.dtype(np.uint8), node.lane))

    # -- where -------------------------------------------------------------------------------------------------------------
    def _place(self) -> None:
        self.block: dict[int, Block] = {}
        self.constants: list[Node] = []
        numbers = {n.serial: ("output", i) for i, n in enumerate(self.reads.outputs)}
        numbers.update({n.serial: ("input", i) for i, n in enumerate(self.reads.inputs)})
        for i, step in enumerate(self.steps):
            for node in step.touched():
                if node.serial not in self.block:
                    block = self.block[node.serial] = Block(node.dtype, math.prod(node.shape))
                    if node.op is DATUM and node.serial not in numbers:
                        numbers[node.serial] = ("constant", len(self.constants))
                        self.constants.append(node)
                    block.place = numbers.get(node.serial, block.place)
                block = self.block[node.serial]
                block.first, block.last = min(block.first, i), i
        self.workspace = allocate([b for b in self.block.values() if b.place[0] == "work"])


def _key(window: Window) -> tuple:
    return window.root.serial, window.offset, window.strides


def _written(step: Step) -> list[Node]:
    if isinstance(step, Loop):
        return [w.root for _, w in step.stores] + step.sums
    return [step.out.root] if isinstance(step, Product) else [step.node]


def _cuts(last: Sequence[int]) -> list[int]:
    """Where to cut a sequence of values, each of which is read until `last`: where a piece leaves little behind for its length.

    So what repeats itself is mostly cut at the same places, and the pieces are equal.
    """
    cuts, start = [], 0
    while len(last) - start > LONG:
        left = {i: sum(last[j] >= i for j in range(start, i)) / (i - start) for i in range(start + LONG // 2, start + LONG + 1)}
        start = min(left, key=lambda i: (left[i], -i))
        cuts.append(start)
    return cuts
