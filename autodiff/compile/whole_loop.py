"""The text of one fused nest over whole arrays, and what its call must pass.

Lengths and steps are parameters wherever they can be, so that nests that differ only in size are one function.  Values that do
not change along the innermost axis are computed outside of it.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..graph import CONSTANT, Node
from ..types import BOOL
from .elementary import LARGE, VECTOR
from .strides import Window, merged, natural
from .whole_formula import combined, computed_in, finished, number, start_of, template
from .whole_plan import Plan
from .whole_steps import Loop
from .whole_text import name_of

FEW = 16  # innermost axes up to this length are written into the text: such loops are unrolled
WIDE = 60  # characters: longer texts get a name


@dataclass
class Value:
    """The text of a value, and where it is computed: before the nest (0), before the innermost loop (1), in it (2)."""

    text: str
    depth: int
    named: bool = False


@dataclass
class Nest:
    """Lines by where they stand: before the nest, before the innermost loop, in it, behind it, behind the nest."""

    top: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    end: list[str] = field(default_factory=list)

    def at(self, depth: int) -> list[str]:
        return (self.top, self.row, self.body)[depth]


class LoopText:
    """`text` is a function named `$`; `pointers` (windows) and `integers` are the arguments of its call."""

    def __init__(self, plan: Plan, loop: Loop):
        self.plan, self.loop = plan, loop
        self.operands = plan.reads.operands
        self.order = self._canonical_order()
        self._merge_axes()
        self.pointers: list[Window] = []
        self.integers: list[int] = []
        self.scopes: dict[int, int] = {}
        self.names: dict[object, str] = {}
        self.far: dict[np.dtype, None] = {}
        nest = self._nest(vector=True)
        lines = self._assemble(nest)
        if self.far:
            # beyond the range of the vectorised reduction the functions of the C library take over
            careful = self._assemble(self._nest(vector=False))
            before = [f"far_{name_of(d)} = {number(0, d)}" for d in self.far]
            lines = before + lines + [f"if {' + '.join('far_' + name_of(d) for d in self.far)} > 0:"]
            lines += [f" {line}" for line in careful]
        head = f"def $({', '.join([f'p{i}' for i in range(len(self.pointers))] + self.integer_names)}):"
        self.text = "\n".join([head, *(f" {line}" for line in lines)]) + "\n"

    # -- order -------------------------------------------------------------------------------------------------------------
    def _canonical_order(self) -> list[Node]:
        """What the loop computes, ordered by what it says and not by its place in the program: equal loops are equal text."""
        plan, loop = self.plan, self.loop
        work, _ = plan.cone(loop)
        self.mark: dict[int, str] = {}
        for node in sorted(work, key=lambda n: plan.rank[n.serial]):
            marks = [self._mark(a) for a in self.operands[node.serial]]
            self._arrange(node, marks)
            said = f"{node.op.name} {node.dtype} {marks}"
            self.mark[node.serial] = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
        loop.stores.sort(key=lambda s: (self._mark(s[0]), s[1].strides, plan.rank[s[1].root.serial], s[1].offset))
        loop.sums.sort(key=lambda n: (self._mark(self.operands[n.serial][0]), n.op.name, n.attr, plan.rank[n.serial]))
        roots = [value for value, _ in loop.stores] + [self.operands[n.serial][0] for n in loop.sums]
        seen: set[int] = set()
        order: list[Node] = []
        todo = [(a, False) for a in reversed(roots)]
        while todo:
            a, entered = todo.pop()
            if entered:
                order.append(a)
                continue
            if plan.is_computed(a, loop) and plan.root(a).serial not in seen:
                root = plan.root(a)
                seen.add(root.serial)
                todo.append((root, True))
                todo.extend((b, False) for b in reversed(self.arguments[root.serial]))
        return order

    def _arrange(self, node: Node, marks: list[str]) -> None:
        """Puts the arguments of a sum or a product in an order that does not depend on the rest of the program."""
        if not hasattr(self, "arguments"):
            self.arguments: dict[int, list[Node]] = {}
        operands = list(self.operands[node.serial])
        if getattr(node.op, "commutes", False):
            pairs = sorted(zip(marks, range(len(marks)), strict=True))
            operands = [operands[i] for _, i in pairs]
            marks.sort()
        self.arguments[node.serial] = operands

    def _mark(self, a: Node) -> str:
        root = self.plan.root(a)
        if root.op is CONSTANT:
            return f"constant {type(root.attr).__name__} {root.attr!r}"
        if self.plan.is_computed(a, self.loop):
            return self.mark[root.serial]
        window = self.plan.reads.window[a.serial]
        flat = not any(window.strides)
        return f"load {a.dtype} {'once' if flat else window.is_whole}"

    # -- axes --------------------------------------------------------------------------------------------------------------
    def _merge_axes(self) -> None:
        loop = self.loop
        windows = [w for w in loop.loads if w.shape == loop.shape] + [w for _, w in loop.stores]
        strides = [w.strides for w in windows] + [self._sum_strides(n) for n in loop.sums]
        order = list(range(len(loop.shape)))
        if not loop.stores and windows:  # sums alone may be walked in the order of what is read
            longest = max(windows, key=lambda w: sum(n for n, s in zip(w.shape, w.strides, strict=True) if s))
            order = sorted(order, key=lambda axis: -abs(longest.strides[axis]))
        self.lengths, steps = merged([loop.shape[i] for i in order], [[s[i] for i in order] for s in strides])
        self.strides = {(w.root.serial, w.offset, w.strides): s for w, s in zip(windows, steps, strict=False)}
        self.sum_strides = steps[len(windows) :]
        self.depth = len(self.lengths)

    def _sum_strides(self, node: Node) -> tuple[int, ...]:
        kept = iter(natural(node.shape))
        return tuple(0 if i in node.attr else next(kept) for i in range(len(self.loop.shape)))

    def _length(self, axis: int) -> str:
        n = self.lengths[axis]
        if axis == self.depth - 1 and self.depth > 1 and n <= FEW:
            return str(n)
        return self._integer(("length", axis), n, "n")

    @property
    def integer_names(self) -> list[str]:
        return [name for key, name in self.names.items() if isinstance(key, tuple) and key[0] in ("length", "step", "size")]

    def _integer(self, key: tuple, value: int, stem: str) -> str:
        if key not in self.names:
            self.names[key] = f"{stem}{len(self.integers)}"
            self.integers.append(value)
        return self.names[key]

    # -- where a value lies ------------------------------------------------------------------------------------------------
    def _pointer(self, window: Window) -> str:
        key = ("pointer", window.root.serial, window.offset)
        if key not in self.names:
            self.names[key] = f"p{len(self.pointers)}"
            self.pointers.append(window)
        return self.names[key]

    def _scope(self, window: Window) -> int:
        return self.scopes.setdefault(window.root.serial, len(self.scopes))

    def _index(self, strides: tuple[int, ...], nest: Nest) -> str:
        """The text of the index of an element, with what does not change along the innermost axis computed before it."""
        if not any(strides):
            return "0"
        inner = strides[-1]
        name = self.rows.get(strides[:-1])
        if name is None:
            if strides == natural(self.lengths):
                row = "i0"
                for axis in range(1, self.depth - 1):
                    row = f"({row}*{self._length(axis)} + i{axis})"
                row = f"{row}*{self._length(self.depth - 1)}" if self.depth > 1 else ""
            else:
                row = " + ".join(f"i{axis}*{self._integer(('step', strides, axis), s, 'd')}" if s != 1 else f"i{axis}"
                                 for axis, s in enumerate(strides[:-1]) if s)  # fmt: skip
            if row:
                name = f"r{len(self.rows)}"
                nest.row.append(f"{name} = {row}")
            self.rows[strides[:-1]] = name or ""
        along = f"i{self.depth - 1}"
        # not "s": the accumulators of sums are called so
        step = "" if inner == 0 else along if inner == 1 else f"{along}*{self._integer(('step', strides), inner, 'd')}"
        return " + ".join(part for part in (name, step) if part)

    def _depth(self, strides: tuple[int, ...]) -> int:
        return 0 if not any(strides) else 1 if strides[-1] == 0 else 2

    # -- lines -------------------------------------------------------------------------------------------------------------
    def _nest(self, vector: bool) -> Nest:
        nest = Nest()
        self.rows: dict[tuple[int, ...], str] = {}
        self.vector = vector
        self.values: dict[object, Value] = {}
        self.count = 0
        uses = self._uses()
        inside = 2 if self.depth else 0
        for node in self.order:
            args = [self._read(a, nest, uses) for a in self.arguments[node.serial]]
            depth = max([a.depth for a in args if a is not None], default=0)
            text = self._formula(node, [self._text(a, depth, nest) for a in args], depth, nest)
            self._keep(node.serial, Value(text, depth), nest, uses)
        for value, window in self.loop.stores:
            text = self._converted(self._text(self._read(value, nest, uses), inside, nest), value, window.root.dtype)
            self._store(window, text, nest)
        for i, node in enumerate(self.loop.sums):
            (arg,) = self.operands[node.serial]
            self._sum(i, node, self._converted(self._text(self._read(arg, nest, uses), inside, nest), arg, node.dtype), nest)
        return nest

    def _uses(self) -> dict[object, int]:
        """How often the text of each value will be written."""
        uses: dict[object, int] = defaultdict(int)
        for node in self.order:
            text = template(node, [self.plan.root(a) for a in self.arguments[node.serial]])
            for i, a in enumerate(self.arguments[node.serial]):
                uses[self._key(a)] += 2 if (node.op.vector, "f64") in LARGE else text.count(f"{{{i}}}")
        for a in self.plan.values(self.loop):
            uses[self._key(a)] += 1
        for node in self.loop.sums:  # these look twice
            uses[self._key(self.operands[node.serial][0])] += node.op.name != "sum"
        return uses

    def _key(self, a: Node) -> object:
        root = self.plan.root(a)
        if root.op is CONSTANT:
            return None
        if self.plan.is_computed(a, self.loop):
            return root.serial
        window = self.plan.reads.window[a.serial]
        strides = self.strides.get((root.serial, window.offset, window.strides), ()) if window.shape == self.loop.shape else ()
        return root.serial, window.offset, strides if any(strides) else ()

    def _read(self, a: Node, nest: Nest, uses: dict[object, int]) -> Value | None:
        """A value that is there, or is loaded; None for a constant, whose text depends on who asks."""
        key = self._key(a)
        if key is not None and key not in self.values:
            assert isinstance(key, tuple)
            window, strides = self.plan.reads.window[a.serial], key[2]
            text = f"get({self._pointer(window)}, {self._index(strides, nest)}, {self._scope(window)})"
            self._keep(key, Value(text, self._depth(strides)), nest, uses)
        return self.values.get(key)

    def _keep(self, key: object, value: Value, nest: Nest, uses: dict[object, int]) -> None:
        self.values[key] = value
        if uses[key] != 1 or len(value.text) > WIDE:
            self._name(value, nest)

    def _name(self, value: Value, nest: Nest) -> None:
        nest.at(value.depth).append(f"v{self.count} = {value.text}")
        value.text, value.named, self.count = f"v{self.count}", True, self.count + 1

    def _text(self, value: Value | None, depth: int, nest: Nest) -> str:
        """What is read once is written where it is read, unless that is in another loop."""
        if value is None:
            return ""
        if not value.named and value.depth != depth:
            self._name(value, nest)
        return value.text

    def _store(self, window: Window, text: str, nest: Nest) -> None:
        strides = self.strides[window.root.serial, window.offset, window.strides]
        line = f"put({self._pointer(window)}, {self._index(strides, nest)}, {self._scope(window)}, {text})"
        nest.at(2 if self.depth else 0).append(line)

    def _sum(self, i: int, node: Node, value: str, nest: Nest) -> None:
        """Sums, largest and smallest values: along the innermost axis in a variable, else where the result lies."""
        name, dtype = node.op.name, node.dtype
        window, strides = self.plan.reads.window[node.serial], self.sum_strides[i]
        pointer, scope = self._pointer(window), self._scope(window)
        if not self.depth:
            nest.top.append(f"put({pointer}, 0, {scope}, {value})")
            return
        start, index, found = start_of(name, dtype), self._index(strides, nest), f"s{i}"
        place, there = f"put({pointer}, {index}, {scope}, ", f"get({pointer}, {index}, {scope})"
        if strides[-1] == 0:
            first = nest.row if self.depth > 1 else nest.top
            first.append(f"s{i} = {start}")
            if name != "sum" and dtype.kind == "f":
                # numbers are compared several at a time; if one was nan, what came of that is not looked at
                one, zero = number(1, dtype), number(0, dtype)
                first.append(f"q{i} = {zero}")
                nest.body.append(f"q{i} = plus(q{i}, {one} if {value} != {value} else {zero})")
                found = f"({number(np.nan, dtype)} if q{i} > {zero} else s{i})"
            nest.body.append(f"s{i} = {combined(name, f's{i}', value, dtype, numbers=True)}")
        else:
            found = value
        at_end = nest.after if strides[-1] == 0 else nest.body
        if not any(strides) and self.depth > 1:
            nest.top.append(f"t{i} = {start}")
            nest.after.append(f"t{i} = {combined(name, f't{i}', found, dtype)}")
            nest.end.append(f"{place}t{i})")
        elif not any(strides):
            nest.end.append(f"{place}{found})")
        elif all(strides[:-1]):
            at_end.append(f"{place}{found})")
        else:
            size = self._integer(("size", i), math.prod(node.shape), "z")
            nest.top.append(f"for k in range({size}): put({pointer}, k, {scope}, {start})")
            at_end.append(f"{place}{combined(name, there, found, dtype)})")

    def _formula(self, node: Node, args: list[str], depth: int, nest: Nest) -> str:
        op, operands = node.op, self.arguments[node.serial]
        roots = [self.plan.root(a) for a in operands]
        kind = computed_in(node, roots)
        kinds = [BOOL, kind, kind] if op.sort == "select" else [kind] * len(args)
        texts = [self._converted(text, a, k) for text, a, k in zip(args, operands, kinds, strict=True)]
        if op.vector in VECTOR and self.vector and depth == 2 and kind.kind == "f":
            large = LARGE.get((op.vector, name_of(kind)))
            if large is not None:
                self.far[kind] = None
                far = f"far_{name_of(kind)}"
                nest.body.append(f"{far} = plus({far}, {number(1, kind)} if abs({texts[0]}) > {number(large, kind)} "
                                 f"else {number(0, kind)})")  # fmt: skip
            return f"v_{op.vector}({', '.join(texts)})"
        return finished(template(node, roots).format(*texts), node, kind)

    def _converted(self, text: str, a: Node, dtype: np.dtype) -> str:
        """A value as this dtype; a constant has no text yet."""
        if not text:
            return number(self.plan.root(a).attr, dtype)
        if a.dtype == dtype:
            return text
        return f"({text} != 0)" if dtype == BOOL else f"{name_of(dtype)}({text})"

    def _assemble(self, nest: Nest) -> list[str]:
        if not self.depth:
            return nest.top + nest.row + nest.body + nest.after + nest.end
        lines = list(nest.top)
        for axis in range(self.depth - 1):
            lines.append(f"{' ' * axis}for i{axis} in range({self._length(axis)}):")
        indent = " " * (self.depth - 1)
        lines += [indent + line for line in nest.row]
        lines.append(f"{indent}for i{self.depth - 1} in range({self._length(self.depth - 1)}):")
        lines += [f"{indent} {line}" for line in nest.body]
        return lines + [indent + line for line in nest.after] + nest.end
