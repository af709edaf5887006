"""Choices and loops inside a program: their bodies are programs too, and work on pointers like the one around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from ..graph import Node
from .whole_plan import Plan
from .whole_steps import LINE, Bodies, lines
from .whole_text import integer, name_of, place, pointer

COPIED = """def $(p0, p1, n0):
 for i0 in range(n0): put(p1, i0, 1, get(p0, i0, 0))
"""


class Functions(Protocol):
    """Where the functions of a module are collected."""

    excess: dict[str, int]

    def function(self, text: str, stem: str) -> str: ...
    def program(self, plan: Plan, stem: str = ...) -> str: ...


def call_of_bodies(functions: Functions, plan: Plan, step: Bodies) -> str:
    """The line that runs a choice or a loop."""
    constants = list(dict.fromkeys(n for inner in step.plans for n in inner.constants))
    write = _choice if step.node.op.name == "cond" else _loop
    name = functions.function(write(functions, step, constants), step.node.op.name)
    arguments = [pointer(plan, w) for w in step.args] + [place(plan.block[n.serial]) for n in constants]
    out = pointer(plan, plan.reads.window[step.node.serial])
    return f"{name}({', '.join([place(plan.block[step.scratch.serial]), 'tables', *arguments, out])})"


def _constants(plan: Plan, every: Sequence[Node]) -> list[str]:
    return [f"k{every.index(n)}" for n in plan.constants]


def _choice(functions: Functions, step: Bodies, constants: Sequence[Node]) -> str:
    choice = step.node.attr
    given = [f"x{i}" for i in range(len(choice.leaves))]
    every = ["ws", "tables", "flag", *given, *(f"k{i}" for i in range(len(constants))), "out"]
    found = [f"at(out, {8 * w.start}, f64)" for w in choice.windows]
    calls = [f"{functions.program(plan, 'body')}({', '.join(['ws', 'tables', *given, *_constants(plan, constants), *found])})"
             for plan in step.plans]  # fmt: skip
    return f"def $({', '.join(every)}):\n if get(flag, 0, 0): {calls[0]}\n else: {calls[1]}\n"


def _loop(functions: Functions, step: Bodies, constants: Sequence[Node]) -> str:
    loop: Any = step.node.attr
    copied = functions.function(COPIED, "copied")
    count = len(loop.carry)
    first, now, then = ([f"{c}{i}" for i in range(count)] for c in "cae")
    stacks, shared = [f"x{i}" for i in range(len(loop.xs))], [f"s{i}" for i in range(len(loop.shared))]
    counted = ["count"] if loop.counted else []
    head = ["ws", "tables", *first, *stacks, *shared, *counted, *(f"k{i}" for i in range(len(constants))), "out"]
    text, offset = [], LINE
    for names in (now, then):
        for name, leaf in zip(names, loop.carry, strict=True):
            text.append(f"{name} = at(ws, {offset}, {name_of(leaf.dtype)})")
            offset += lines(leaf.dtype.itemsize * _size(leaf))
    inner = f"at(ws, {offset}, u8)"
    text += [f"{copied}({c}, {a}, {integer(_size(leaf))})" for c, a, leaf in zip(first, now, loop.carry, strict=True)]
    ends = bool(loop.counted or loop.condition is not None)
    start, stop = (loop.y_windows[0].start, loop.y_windows[-1].stop) if loop.ys else (0, 0)
    if ends and stop > start:  # rows that may not be reached
        text.append(f"for i in range({integer(start)}, {integer(stop)}): put(out, i, 0, 0.0)")
    if loop.counted:
        text.append("limit = get(count, 0, 0)" if loop.length is None else f"limit = min(get(count, 0, 0), {loop.length})")
    elif loop.length is not None:
        text.append(f"limit = {integer(loop.length)}")
    bounded = loop.counted or loop.length is not None
    text += ["done = i64(0)", f"while {'done < limit' if bounded else 'True'}:"]
    test = ""
    if loop.condition is not None:
        passed = [inner, "tables", *now, *shared, *_constants(step.plans[1], constants), "at(ws, 0, b1)"]
        test = f"{functions.program(step.plans[1], 'test')}({', '.join(passed)})"
        text += [f" {test}", " if not get(at(ws, 0, b1), 0, 0): break"]
    text.append(f" slot = {'limit - 1 - done' if loop.backward and bounded else 'done'}")
    rows = [f"at({x}, slot*{_size(leaf) * leaf.dtype.itemsize}, {name_of(leaf.dtype)})"
            for x, leaf in zip(stacks, loop.xs, strict=True)]  # fmt: skip
    found = [f"at(out, {8 * w.start} + slot*{8 * _size(y)}, f64)" for w, y in zip(loop.y_windows, loop.ys, strict=True)]
    passed = [inner, "tables", *now, *rows, *shared, *_constants(step.plans[0], constants), *then, *found]
    text.append(f" {functions.program(step.plans[0], 'body')}({', '.join(passed)})")
    text += [f" {a}, {b} = {b}, {a}" for a, b in zip(now, then, strict=True)]
    text.append(" done += 1")
    if loop.strict and test and bounded:
        functions.excess[loop.excess] = loop.length
        text += ["if done == limit:", f" {test}", f" if get(at(ws, 0, b1), 0, 0): raise OverflowError({loop.excess!r})"]
    text += [f"{copied}({a}, at(out, {8 * w.start}, f64), {integer(w.size)})"
             for a, w in zip(now, loop.carry_windows, strict=True)]  # fmt: skip
    if loop.condition is not None:
        text.append(f"put(out, {loop.count_window.start}, 0, done)")
    return f"def $({', '.join(head)}):\n" + "".join(f" {line}\n" for line in text)


def _size(node: Node) -> int:
    return math.prod(node.shape)
