"""What happens while a `@function` is traced: arguments, variables and captured arrays have symbolic numbers.

The function runs as Python, once, on eager arrays whose numbers are traced arrays.  Tapes, transforms and records do inside it
what they do outside.  What is left is a program: inputs (arguments, variables, arrays of outside) and outputs (results, and the
new numbers of the variables that were assigned).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .array import Array, eager, lift, now
from .errors import CompileError, TraceError
from .graph import CONSTANT, SYMBOL, Node, constant, symbol, walk
from .leaves import Argument, Input, escaped, is_input, leaf_name
from .primitive import SAME, Opaque, broadcast
from .program import flatten
from .record import Record, record_of
from .recording import ACTIVE, Event, Place, user_place
from .rules.choice import Choice
from .rules.loop import Loop
from .transforms import rebuild, reverse
from .transforms.lane_derivative import lane_derivative
from .types import SHARED

ONE = constant(1.0)
SINGLE = np.dtype(np.float32)

# a variable that is read after it was assigned: its derivative is that of the variable, not of what was assigned
ASSIGNED = Opaque("assigned", lambda attr, batch, old, new: new, lambda attr, old, new: new.shape,
                  lambda node, tangents: tangents[0], lambda node, ct: [ct, None])  # fmt: skip
ASSIGNED.passes = 1


@dataclass(eq=False)
class State:
    """A variable in a program: the input that has its number, and its number at this point of the program."""

    variable: Any
    leaf: Node
    number: Array
    written: bool = False


@dataclass(frozen=True, eq=False)
class Check:
    """A number that must be finite when the program has run."""

    node: Node
    message: str
    place: Place


@dataclass(eq=False)
class Tracing:
    """One trace of one function: it watches every operation (a Watcher) and stands in for the variables (a Trace)."""

    name: str
    lanes: list[Node] = field(default_factory=list)
    start: int = field(default_factory=now)
    inputs: list[Input] = field(default_factory=list)
    variables: dict[int, State] = field(default_factory=dict)
    captured: dict[int, tuple[Array, Node]] = field(default_factory=dict)
    made: list[tuple[Any, Place]] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    floats: list[Node] = field(default_factory=list)  # inputs that are floats of Python's
    arrays: bool = False  # whether arrays were made inside
    marks: int = 0

    def leaf(self, text: str, shape: tuple[int, ...], dtype: np.dtype) -> Node:
        """A new input of the program."""
        self.inputs.append(Input(text, self.name))
        return symbol(self.inputs[-1], shape, dtype, SHARED)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Nobody outside is told what happens in here."""
        home = ACTIVE.__dict__
        before, home["watchers"], home["trace"] = home["watchers"], [self], self
        try:
            yield
        finally:
            home["watchers"], home["trace"] = before, None
            for one in self.inputs:
                one.tracing = False

    # -- variables (Trace)
    def number_of(self, variable: Any) -> Array:
        return self._state(variable).number

    def _state(self, variable: Any) -> State:
        state = self.variables.get(variable.serial)
        if state is None:
            leaf = self.leaf(variable.name, variable.shape, variable.dtype)
            state = self.variables[variable.serial] = State(variable, leaf, Array(leaf))
        return state

    def assign(self, variable: Any, number: Any) -> None:
        state = self._state(variable)
        new = Array(lift(number)).astype(variable.dtype)
        state.number, state.written = Array(ASSIGNED.make((state.leaf, np.broadcast_to(new, variable.shape).node))), True

    def created(self, variable: Any) -> None:
        self.made.append((variable, variable.identity.place))

    def check(self, array: Any, message: str) -> None:
        self.checks.append(Check(array.number.node, message, user_place()))

    # -- derivatives by points: in a function with lanes tapes ask the graph, which knows that points are independent
    def mark(self, x: Array) -> Node:
        """A node of its own for an array that a tape watches from now on: what is made of it before does not count."""
        self.marks += 1
        node = SAME.make((x.number.node,), ("mark", self.marks))
        x.number = Array(node)
        return node

    def derivatives(self, targets: Sequence[Node], seeds: Sequence[Node | None], sources: Sequence[Node]) -> list[Node | None]:
        """The cotangents of the sources; those of points by forward mode, as the solvers do it."""
        found: list[Node | None] = [None] * len(sources)
        if len(targets) == 1:
            found = [lane_derivative(targets[0], s, self.lanes, seeds[0]) for s in sources]
        rest = [k for k, c in enumerate(found) if c is None]
        if rest:
            ones = [ONE if s is None else s for s in seeds]
            for k, c in zip(rest, reverse(targets, ones, [sources[k] for k in rest]), strict=True):
                found[k] = c
        return [None if c is None else broadcast(c, s.shape) for c, s in zip(found, sources, strict=True)]

    # -- operations (Watcher)
    def operation(self, event: Event) -> None:
        if self.lanes and event.rule is None and not isinstance(record_of(event), Record):
            raise CompileError("a custom gradient in a function with lanes", fix="leave lanes= out", code="lanes",
                               why="derivatives by points are taken from the formulas themselves")  # fmt: skip
        if any([self._is_outside(x) for x in event.arrays]):
            self._capture(event)
        for y in event.outputs:
            if type(y.number) is Array:
                self.places.setdefault(y.number.node.serial, Place(event.code, event.at))

    def _is_outside(self, x: Any) -> bool:
        """Whether an array with numbers was made before the trace: its derivative may be asked for, so it is an input."""
        if type(x) is not Array or x.number is None or type(x.number) is Array:
            return False
        return x.serial < self.start and x.dtype.kind == "f"

    def twin(self, x: Array) -> Array:
        """The same array with a symbolic number."""
        if x.serial not in self.captured:
            self.captured[x.serial] = x, self.leaf(f"an array of shape {x.shape}", x.shape, x.dtype)
        return eager(Array(self.captured[x.serial][1]), x.origin, x.root, x.serial)

    def _capture(self, event: Event) -> None:
        """Does the operation again, with inputs of the program for the arrays of outside."""
        event.args = _replaced(event.args, self._inside)
        event.kwargs = {k: _replaced(v, self._inside) for k, v in event.kwargs.items()}
        event.arrays = [self._inside(x) for x in event.arrays]
        if event.rule is not None:
            raw = [_replaced(x, _number) for x in event.args]
            made = flatten(event.rule(*raw, **{k: _replaced(v, _number) for k, v in event.kwargs.items()}))[0]
        else:
            record = event.record() if callable(event.record) else event.record
            if not isinstance(record, Record):  # a custom gradient: what it is made of was captured
                return
            numbers, serials = [_number(x) for x in event.args], [getattr(x, "serial", 0) for x in event.args]
            made, outputs = [Array(n) for n in record.pattern.nodes(numbers)], event.outputs
            event.record = lambda: Record(event.function, record.pattern, numbers, serials, outputs, event.code, event.at)
        for y, new in zip(event.outputs, made, strict=True):
            if isinstance(new, Array):
                y.number = new

    def _inside(self, x: Any) -> Any:
        return self.twin(x) if self._is_outside(x) else x

    def read(self, variable: Any, value: Any) -> None:
        pass

    def written(self, variable: Any, value: Any) -> None:
        pass

    def left(self, array: Any, how: str, number: Any) -> None:
        pass

    def entered(self, array: Any, given: Any) -> None:
        self.arrays = True

    # -- what came of it
    def result(self, x: Any) -> Node:
        """The node of something that the function returned."""
        x = self._inside(x)
        return lift(x.number if type(x) is Array and x.number is not None else x)


def _number(x: Any) -> Any:
    return x.number if type(x) is Array and x.number is not None else x


def _replaced(tree: Any, change: Callable[[Any], Any]) -> Any:
    if type(tree) in (tuple, list):
        return type(tree)([_replaced(x, change) for x in tree])
    return change(tree)


# ---- programs without what only derivatives need ---------------------------------------------------------------------------


def settled(outputs: Iterable[Node]) -> list[Node]:
    """The same programs without the nodes by which tapes know arrays."""
    return _without(outputs, lambda n: n.op is SAME)


def values_only(outputs: Iterable[Node]) -> list[Node]:
    """The same numbers without the nodes that only say how to differentiate."""
    return _without(outputs, lambda n: n.op.passes is not None)


def _without(outputs: Iterable[Node], dropped: Callable[[Node], bool]) -> list[Node]:
    outputs = list(outputs)
    new: dict[int, Node] = {}
    for n in walk(outputs):
        if n.args and dropped(n):
            new[n.serial] = new[n.args[n.op.passes].serial]
        else:
            args, attr = tuple(new[a.serial] for a in n.args), n.attr
            if isinstance(attr, (Choice, Loop)):
                attr = attr.rewritten(lambda ys: _without(ys, dropped))
            same = all(a is b for a, b in zip(args, n.args, strict=True)) and (attr is n.attr or attr == n.attr)
            new[n.serial] = n if same else rebuild(n.op, args, attr)
    return [new[o.serial] for o in outputs]


# what Python does with floats, which stay floats of Python's
ARITHMETIC = {"add", "subtract", "multiply", "divide", "power", "remainder", "absolute", "same", "broadcast", "reshape"}


def narrowed(outputs: Sequence[Node], floats: Sequence[Node]) -> list[Node]:
    """The same programs, where floats of Python's are single precision beside arrays of single precision (NEP 50).

    `floats` are the leaves, double precision, that stand for them.
    """
    new: dict[int, Node] = {}
    weak = {n.serial for n in floats}
    for n in walk(outputs):
        args = tuple(new[a.serial] for a in n.args)
        if n.args and all(a.serial in weak or a.op is CONSTANT for a in n.args) and n.op.name in ARITHMETIC:
            weak.add(n.serial)
        elif n.op.sort in ("elementwise", "select", "multilinear") and any(a.serial in weak for a in n.args):
            others = {b.dtype for a, b in zip(n.args, args, strict=True) if a.serial not in weak and b.op is not CONSTANT}
            if {d for d in others if d.kind == "f"} == {SINGLE}:
                args = tuple([Array(b).astype(SINGLE).node if a.serial in weak else b
                              for a, b in zip(n.args, args, strict=True)])  # fmt: skip
        kept = all(a is b for a, b in zip(args, n.args, strict=True))
        if n.op.sort == "opaque" and any(a.dtype != b.dtype for a, b in zip(args, n.args, strict=True)) and n.attr is not None:
            raise TraceError(f"{n.op.name} is made for double precision", code="needs-number",
                             fix="np.float32(x) in place of the float")  # fmt: skip
        new[n.serial] = n if kept else rebuild(n.op, args, n.attr)
    return [new[o.serial] for o in outputs]


def check_inputs(outputs: Iterable[Node], inputs: Sequence[Node]) -> None:
    """Raises TraceError if a program needs a value that belongs to another trace."""
    known = {n.serial for n in inputs}
    for n in walk(outputs):
        if n.op is SYMBOL and n.serial not in known or isinstance(n.attr, Argument):
            raise escaped(n) if is_input(n) else TraceError(
                f"a function uses {leaf_name(n)}, which is traced outside of it", why="its derivative would be lost",
                fix="pass it as an argument", code="traced-outside")  # fmt: skip
