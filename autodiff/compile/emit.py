"""From a plan to readable Python source for numba: straight loops over one flat workspace.

Identical loop nests, such as the layers of a network, become one function called with other offsets; every offset is a
parameter, every stride and size a literal.
"""

from __future__ import annotations

import math
import re

from ..errors import CompileError
from ..graph import CONSTANT, SYMBOL, VIEW, Node
from ..primitive import BROADCAST, TABLE
from ..types import SHARED
from . import products
from .elementary import LARGE, VECTOR
from .schedule import HEAVY, Loop, Pairs, Plan, Product, cost

HEADER = """import math
import numpy as np
from autodiff.compile.elementary import VECTOR, wide_vectors
from autodiff.compile.memory import get, put
from autodiff.compile.products import nn_tile, nt_tile
from autodiff.compile.scalar import cbrt, sinc
from autodiff.compile.store import jit, main
from autodiff.compile.target import part_of_kernel, whole_kernel
{vectors}
f64, f32, i8 = np.float64, np.float32, np.int64

"""

CALL = """
@main
def call(c0, c1, last, per, tiles, total, {args}):
 whole_kernel()
 for c in range(c0, c1):
  a = acc[c]
  for i in range(a.size): a[i] = 0.0
  for i in range(c*per, min((c + 1)*per, tiles)):
   tile(i*i8({columns}), i*i8({rows}), {args_a})
 if last:
  for i in range(total.size): total[i] = 0.0
  for c in range(acc.shape[0]):
   a = acc[c]
   for i in range(total.size): total[i] += a[i]
"""


class Emitter:
    """The source of one kernel for one tile size and one real type."""

    def __init__(self, plan: Plan, points: int, real: str, columns: dict[Node, int], rows: int, vectors: tuple[str, ...]):
        self.plan, self.P, self.real, self.columns, self.vectors = plan, points, real, columns, vectors
        self.space = plan.allocate(points, int(real[1:]) // 8)
        self.functions: dict[str, str] = {}
        self.calls: list[str] = []
        for step in plan.steps:
            if isinstance(step, Loop):
                self._loop(step)
            elif isinstance(step, Product):
                self._product(step)
            else:
                self._pairs(step)
        args = ", ".join(["pts", *vectors, "ws", "acc", "out"])
        body = "".join(f" {c}\n" for c in self.calls)
        self.source = (
            HEADER.format(vectors="\n".join(f"v_{name} = VECTOR['{name}']" for name in sorted(VECTOR)))
            + "\n".join("@jit\n" + _part(text.replace("$", name, 1)) for text, name in self.functions.items())
            + f"\n@jit\ndef tile(q, r, {args}):\n part_of_kernel()\n{body}"
            + CALL.format(args=args, args_a=args.replace("acc", "a"), columns=max(len(columns), 1) * points, rows=rows * points)
        )

    # -- functions and their calls -----------------------------------------------------------------------------------------
    def _function(self, text: str, stem: str) -> str:
        return self.functions.setdefault(text, f"{stem}{len(self.functions)}")

    def _call(self, name: str, *arguments: str | int) -> None:
        # i8(...): a bare literal would make numba compile the callee once per combination of values
        self.calls.append(f"{name}({', '.join(a if isinstance(a, str) else f'i8({a})' for a in arguments)})")

    def _address(self, buffer: int, channel: int) -> int:
        return self.space.offsets[buffer] + channel * self.P

    # -- products ----------------------------------------------------------------------------------------------------------
    def _product(self, step: Product) -> None:
        vector, offset, (m, k), (by_row, by_column) = step.weight.attr
        for b, c, d, e, n in step.runs:
            text = products.nn(m, k, n * self.P, self.space.strides[b], self.space.strides[d], self.real)
            places = self._address(b, c), self._address(d, e)
            self._call(self._function(text, "nn"), vector, offset, by_row, by_column, "ws", *places)

    def _pairs(self, step: Pairs) -> None:
        (m, k), (by_row, by_column), offset = step.target.node.shape, step.target.strides, step.target.offset
        strides = self.space.strides
        if step.target.kind == "sum":
            for b, c, d, e, n in step.runs:
                text = products.nt(m, k, n * self.P, strides[b], strides[d], self.real)
                addresses = self._address(b, c), self._address(d, e)
                self._call(self._function(text, "nt"), "acc", offset, by_row, by_column, "ws", *addresses)
            return
        places = [(self.plan.buffer[a.serial], self.plan.buffer[b.serial]) for a, b in step.pairs]
        text = products.rows(m, k, self.P, [(strides[a[0]], strides[b[0]]) for a, b in places])
        steps = f"r + {offset * self.P}", by_row * self.P, by_column * self.P
        starts = [self._address(*place) for pair in places for place in pair]
        self._call(self._function(text, "rows"), "out", *steps, "ws", *starts)

    # -- fused elementwise loops ---------------------------------------------------------------------------------------------
    def _loop(self, loop: Loop) -> None:
        writer = LoopWriter(self, loop)
        name = self._function(writer.text(), "loop")
        self._call(name, *writer.inputs, *writer.parameters)


def _part(text: str) -> str:
    """The text of a function that says that it is only a part of the kernel."""
    head, body = text.split("\n", 1)
    return f"{head}\n part_of_kernel()\n{body}"


class LoopWriter:
    """The text of one loop nest and the offsets that its call must pass."""

    def __init__(self, emitter: Emitter, loop: Loop):
        self.emitter, self.plan, self.loop, self.P, self.real = emitter, emitter.plan, loop, emitter.P, emitter.real
        self.work, _ = self.plan.cone(loop)
        self.stored_here = {n.serial for n in loop.stores}
        self.names: dict[object, str] = {}       # offset -> parameter name
        self.parameters: list[int] = []
        self.pointers: dict[tuple, str] = {}
        self.shared: dict[int, str] = {}
        self.top: list[str] = []                 # once per call
        self.row: list[str] = []                 # once per feature
        self.inputs: list[str] = []
        self.buffers: dict[int, int] = {}        # buffer -> its number in this loop

    def _parameter(self, key: object, value: int) -> str:
        if key not in self.names:
            self.names[key] = f"o{len(self.names)}"
            self.parameters.append(value)
        return self.names[key]

    def _pointer(self, node: Node, feature: str = "h") -> str:
        """The start of a stored value's row in the workspace."""
        key = (node.serial, feature)
        if key not in self.pointers:
            buffer, channel = self.plan.buffer[node.serial]
            name = self.pointers[key] = f"r{len(self.pointers)}"
            start = self._parameter(("buffer", buffer), self.emitter.space.offsets[buffer])
            step = f" + {feature}*{self.emitter.space.strides[buffer]}" if node.shape else ""
            lines = self.row if node.shape and feature == "h" else self.top
            lines.append(f"{name} = {start}{step} + {channel * self.P}")
        return self.pointers[key]

    def _scope(self, node: Node) -> int:
        """The number of a stored value's buffer among those of this loop; 0 are the points."""
        return self.buffers.setdefault(self.plan.buffer[node.serial][0], len(self.buffers) + 1)

    def _load(self, node: Node, feature: str = "h") -> str:
        return f"get(ws, {self._pointer(node, feature)} + p, {self._scope(node)})"

    def _store(self, node: Node, value: str, feature: str = "h") -> str:
        return f"put(ws, {self._pointer(node, feature)} + p, {self._scope(node)}, {value})"

    def _number(self, value: float) -> str:
        if isinstance(value, bool):
            return repr(value)
        if math.isfinite(value):
            return f"{self.real}({float(value)!r})"
        return f"{self.real}(np.nan)" if math.isnan(value) else f"{self.real}({'-' if value < 0 else ''}np.inf)"

    def _shared(self, node: Node) -> str:
        """A value that is the same for all points: read once per row, outside the loop over points."""
        if node.serial not in self.shared:
            if node.op is CONSTANT:
                self.shared[node.serial] = self._number(node.attr)
                return self.shared[node.serial]
            if node.op is BROADCAST:
                return self._shared(node.args[0])
            if node.op is VIEW:
                vector, offset, shape, strides = node.attr
                start = self._parameter(("view", vector, offset), offset)
                text = f"{vector}[{start}{f' + h*{strides[0]}' if shape else ''}]"
            else:
                text = self._formula(node, [self._shared(a) for a in node.args], vector=False)
            name = f"w{len(self.shared)}"
            (self.row if node.shape else self.top).append(f"{name} = {text}")
            self.shared[node.serial] = name
        return self.shared[node.serial]

    def _formula(self, node: Node, arguments: list[str], vector: bool = True) -> str:
        op = node.op
        if vector and op.vector in VECTOR:
            return f"v_{op.vector}({', '.join(arguments)})"
        if not getattr(op, "source", ""):
            raise CompileError(f"the tile compiler has no form for {op.name}", why="the primitive declares no source text",
                               fix="write it with other elementwise functions", code="no-kernel")  # fmt: skip
        return op.source.format(*arguments)

    def _body(self, roots: list[Node], done: set[int], keep: set[int], vector: bool = True) -> tuple[list[str], dict[int, str]]:
        """Lines that compute `roots` for one point, with values in `keep` written to the workspace."""
        wanted: set[int] = set()
        todo = list(roots)
        while todo:
            n = todo.pop()
            if n.serial not in wanted and n.serial not in done and self.plan.is_local(n, self.loop):
                wanted.add(n.serial)
                todo.extend(n.args)
        lines: list[str] = []
        value: dict[int, str] = {}

        def read(n: Node) -> str:
            if n.serial not in value:
                if n.lane is SHARED:
                    return self._shared(n)
                value[n.serial] = f"v{len(value)}"
                if n.op is SYMBOL:
                    lines.append(f"{value[n.serial]} = get(pts, q + {self._column(n) * self.P} + p, 0)")
                else:
                    lines.append(f"{value[n.serial]} = {self._load(n)}")
            return value[n.serial]

        for n in (n for n in self.work if n.serial in wanted):
            if n.op is TABLE["stack"]:
                lines.extend(self._store(n, read(a), str(i)) for i, a in enumerate(n.args))
                continue
            if n.op is TABLE["index"]:
                text = self._load(n.args[0], str(n.attr[0]))
            elif n.op is BROADCAST:
                text = read(n.args[0])
            else:
                text = self._formula(n, [read(a) for a in n.args], vector)
            value[n.serial] = f"v{len(value)}"
            lines.append(f"{value[n.serial]} = {text}")
            if n.serial in keep:
                lines.append(self._store(n, value[n.serial]))
        for n in roots:
            if n.op is not TABLE["stack"]:
                read(n)
        return lines, value

    def _column(self, node: Node) -> int:
        if node not in self.emitter.columns:
            raise CompileError(f"the input {node.attr[0]!r} is not among the columns of the points",
                               fix="pass it with the columns of the PointProgram", code="unknown-column")  # fmt: skip
        return self.emitter.columns[node]

    def text(self) -> str:
        P, loop, real = self.P, self.loop, self.real
        done: set[int] = set()
        nests: list[tuple[list[str], list[str], list[str]]] = []
        # a point loop of its own for each transcendental: it vectorises cleanly, and the rest keeps its registers
        for n in self.work:
            if cost(n) >= HEAVY and n.serial in self.stored_here:
                nests.extend(self._heavy(n, done))
                done.add(n.serial)
        lines, value = self._body(loop.roots, done, self.stored_here - done)
        before, after = [], []

        def read(n: Node) -> str:
            return value[n.serial] if n.serial in value else self._shared(n)

        for n in loop.sums:
            self._pointer(n)
            lines.append(self._store(n, f"{self._load(n)} + {read(n.args[0])}"))
        for j, t in enumerate(loop.targets):
            place = self._parameter(("target", t.kind, t.offset), t.offset * (P if t.kind == "row" else 1))
            if t.kind == "sum":
                step = f" + h*{t.strides[0]}" if t.strides else ""
                before.append(f"s{j} = {real}(0.0)")
                lines.append(f"s{j} += {read(t.node)}")
                after.append(f"acc[{place}{step}] += s{j}")
            else:
                step = f" + h*{t.strides[0] * P}" if t.strides else ""
                self.row.append(f"t{j} = r + {place}{step}")
                lines.append(f"out[t{j} + p] {'+=' if id(t) in self.plan.base else '='} {read(t.node)}")
        if lines:
            nests.append((before, lines, after))
        return self._assemble(nests)

    def _heavy(self, n: Node, done: set[int]) -> list[tuple[list[str], list[str], list[str]]]:
        lines, value = self._body([n], done, {n.serial})
        large = LARGE.get((n.op.vector, self.real))
        if large is None:
            return [([], lines, [])]
        # beyond the range of the vectorised reduction the library's scalar function takes over, for the whole row
        last = value.get(n.args[0].serial) or self._shared(n.args[0])
        careful, _ = self._body([n], done, {n.serial}, vector=False)
        counted = [*lines, f"far += {self.real}(1.0) if abs({last}) > {self.real}({large!r}) else {self.real}(0.0)"]
        again = ["if far > 0:", f" for p in range({self.P}):"] + [f"  {line}" for line in careful]
        return [([f"far = {self.real}(0.0)"], counted, again)]

    def _assemble(self, nests: list[tuple[list[str], list[str], list[str]]]) -> str:
        body = "\n".join([*self.top, *self.row, *(line for nest in nests for lines in nest for line in lines)])
        # only what the nest reads: every array argument costs compile time
        used = set(re.findall(r"[a-z]+\b", body)) | {"ws"}
        self.inputs = [name for name in ("q", "r", "pts", *self.emitter.vectors, "ws", "acc", "out") if name in used]
        names = [name for name in ("q", "r") if name in used] + list(self.names.values())
        text = [f"def $({', '.join([*self.inputs, *self.names.values()])}):"]
        text.append(" wide_vectors()")
        # unsigned offsets: a negative index would wrap around, and the doubt alone keeps LLVM from vectorising
        text += [f" {o} &= 0xffffffff" for o in names]
        text += [f" {line}" for line in self.top]
        for n in self.loop.sums:
            text.append(f" for p in range({self.P}): ws[{self.pointers[n.serial, 'h']} + p] = {self.real}(0.0)")
        indent = " "
        if self.loop.shape:
            text.append(f" for h in range({self.loop.shape[0]}):")
            indent = "  "
        text += [indent + line for line in self.row]
        for before, lines, after in nests:
            text += [indent + line for line in before]
            text.append(f"{indent}for p in range({self.P}):")
            text += [f"{indent} {line}" for line in lines]
            text += [indent + line for line in after]
        return "\n".join(text) + "\n"

