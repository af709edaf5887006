"""How a generated program names its memory."""

from __future__ import annotations

import numpy as np

from ..types import BOOL
from .strides import Window
from .whole_plan import Plan
from .whole_steps import Block


def name_of(dtype: np.dtype) -> str:
    """float64 -> f64, bool -> b1"""
    return "b1" if dtype == BOOL else f"{dtype.kind}{dtype.itemsize * 8}"


def integer(value: int) -> str:
    # a bare literal would make numba compile the callee once per value
    return f"i64({int(value)})"


def names(plan: Plan) -> list[str]:
    """What the pointers that a plan is given are called: inputs, constants, outputs."""
    counts = ("x", len(plan.reads.inputs)), ("k", len(plan.constants)), ("y", len(plan.reads.outputs))
    return [f"{stem}{i}" for stem, count in counts for i in range(count)]


def place(block: Block, offset: int = 0) -> str:
    """The address of an element of a block."""
    kind, where = block.place
    offset *= block.dtype.itemsize
    if kind == "work":
        return f"at(ws, {where + offset}, {name_of(block.dtype)})"
    name = {"input": "x", "constant": "k", "output": "y"}[kind] + str(where)
    return f"at({name}, {offset}, {name_of(block.dtype)})" if offset else name


def pointer(plan: Plan, window: Window) -> str:
    """The address of the first element of a window."""
    return place(plan.block[window.root.serial], window.offset)
