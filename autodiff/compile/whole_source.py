"""From a plan to readable Python source for numba: one function for each kind of loop nest, and the program that calls them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..graph import Node
from .elementary import VECTOR
from .strides import Window
from .whole_bodies import call_of_bodies
from .whole_loop import LoopText
from .whole_plan import Plan
from .whole_steps import Bodies, Fill, Loop, Product, Step
from .whole_text import integer, name_of, names, pointer

HEADER = """import math
import numpy as np
from autodiff.compile import library
from autodiff.compile.blas import gemm
from autodiff.compile.elementary import VECTOR, wide_vectors
from autodiff.compile.memory import above, at, below, block, get, larger, plus, pointer, put, smaller
from autodiff.compile.scalar import cbrt, integer_fmod, integer_remainder, sinc
from autodiff.compile.store import entry, part
from autodiff.compile.target import part_of_kernel, whole_kernel
b1, f64, f32, i64, i32, i16, i8 = np.bool_, np.float64, np.float32, np.int64, np.int32, np.int16, np.int8
u64, u32, u16, u8 = np.uint64, np.uint32, np.uint16, np.uint8
"""

ZERO = """def $(p0, n0):
 for i0 in range(n0): put(p0, i0, 0, 0)
"""


class Source:
    """A module for numba, put together from programs; equal nests are one function."""

    def __init__(self) -> None:
        self.functions: dict[str, str] = {}
        self.tables: list[np.ndarray] = []
        self.excess: dict[str, int] = {}  # what a loop says that took too many steps, and how many these are

    def function(self, text: str, stem: str) -> str:
        return self.functions.setdefault(text, f"{stem}{len(self.functions)}")

    def program(self, plan: Plan, stem: str = "program") -> str:
        """The name of the function that runs a plan, of pointers: workspace, tables, inputs, constants, outputs."""
        lines = [line for step in plan.steps for line in self._step(plan, step)]
        text = "".join(f" {line}\n" for line in lines or ["pass"])
        return self.function(f"def $({', '.join(['ws', 'tables', *names(plan)])}):\n{text}", stem)

    def module(self, main: str) -> str:
        used = "".join(self.functions)
        vectors = [f"v_{name} = VECTOR['{name}']" for name in sorted(VECTOR) if f"v_{name}(" in used]
        parts = ["@part\n" + _as_part(text.replace("$", name, 1)) for text, name in self.functions.items()]
        return HEADER + "\n".join([*vectors, "", *parts, main])

    # -- steps -------------------------------------------------------------------------------------------------------------
    def _step(self, plan: Plan, step: Step) -> Iterable[str]:
        if isinstance(step, Loop):
            loop = LoopText(plan, step)
            arguments = [pointer(plan, w) for w in loop.pointers] + [integer(i) for i in loop.integers]
            return [f"{self.function(loop.text, 'loop')}({', '.join(arguments)})"]
        if isinstance(step, Fill):
            start = pointer(plan, plan.reads.window[step.node.serial])
            return [f"{self.function(ZERO, 'zero')}({start}, {integer(plan.block[step.node.serial].size)})"]
        if isinstance(step, Product):
            return _product(plan, step)
        if isinstance(step, Bodies):
            return [call_of_bodies(self, plan, step)]
        blocks = [_block(plan, w) for w in (plan.reads.window[step.node.serial], *step.args)]
        return [f"library.{step.name}({', '.join([*blocks, *(self._parameter(p) for p in step.parameters)])})"]

    def _parameter(self, value: int | float | np.ndarray) -> str:
        if isinstance(value, np.ndarray):
            start = 8 * sum(t.size for t in self.tables)
            self.tables.append(np.asarray(value, np.int64).ravel())
            return f"block(at(tables, {start}, i64), {value.size})"
        return integer(value) if isinstance(value, (int, np.integer)) else repr(value)


def _as_part(text: str) -> str:
    head, body = text.split("\n", 1)
    return f"{head}\n part_of_kernel()\n wide_vectors()\n{body}"


def _block(plan: Plan, window: Window) -> str:
    return f"block({pointer(plan, window)}, {math.prod(window.shape)})"


def _product(plan: Plan, step: Product) -> list[str]:
    (m, k), n = step.a.shape[-2:], step.b.shape[-1]
    batch, size = step.a.shape[:-2], step.out.root.dtype.itemsize
    operands = []
    for window in (step.a, step.b, step.out):
        start = pointer(plan, window)
        moves = [f"i{axis}*{s * size}" for axis, (s, n_) in enumerate(zip(window.strides, batch, strict=False)) if s and n_ > 1]
        if moves:
            start = f"at({start}, {' + '.join(moves)}, {name_of(window.root.dtype)})"
        down, along = window.strides[-2:]
        turned = along != 1 or window.shape[-1] == 1 and down == 1
        operands.append(f"{start}, {along if turned else down}, {int(turned)}")
    c = operands[2].rsplit(", ", 1)[0]
    lines = [" " * axis + f"for i{axis} in range({length}):" for axis, length in enumerate(batch)]
    return [*lines, " " * len(batch) + f"gemm({m}, {n}, {k}, {operands[0]}, {operands[1]}, {c})"]


def main_text(plan: Plan, name: str) -> str:
    """The function that Python calls: arrays of the right size become pointers."""

    def told(nodes: Sequence[Node]) -> str:
        return ", ".join(f"{n.dtype.name} {n.ndim}" for n in nodes)

    given = [*plan.reads.inputs, *plan.constants]
    inputs = ", ".join(["int64 1", told(given)] if given else ["int64 1"])
    called = names(plan)
    every = [*given, *plan.reads.outputs]
    wrong = " or ".join(f"{x}.size != {math.prod(n.shape)}" for x, n in zip(called, every, strict=True)) or "False"
    passed = ", ".join(f"pointer({x})" for x in ["ws", "tables", *called])
    return (f'@entry("{inputs}", "{told(plan.reads.outputs)}")\ndef main({", ".join(["ws", "tables", *called])}):\n'
            f" whole_kernel()\n wide_vectors()\n if {wrong}: return 1\n {name}({passed})\n return 0\n")  # fmt: skip
