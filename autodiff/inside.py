"""A branch or the body of a loop, run once on arrays without numbers to learn what it computes.

It may use whatever it sees: arguments, arrays of outside, variables.  The numbers of eager arrays are hidden meanwhile, so that
all that is done to them becomes part of the body and not of what happens before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import Array, Held, Readable, lift, now, unknown
from .errors import ArgumentError, TraceError
from .graph import CONSTANT, SYMBOL, VIEW, Node, depends, walk
from .primitive import BROADCAST
from .program import Structure, flatten, name_of
from .recording import ACTIVE, Event
from .types import FLOAT

NUMERIC = (Array, Readable, bool, int, float, np.generic, np.ndarray)


def has_number(x: Any) -> bool:
    """Whether a value has a number while the program is traced: Python can decide by it."""
    if type(x) is not Array or x.number is not None and type(x.number) is not Array:
        return True
    node = x.node if x.number is None else x.number.node
    below = walk([node], stop=lambda n: n.memo is not None)
    return not any(n.memo is None and (n.op is SYMBOL or n.op is VIEW) for n in below)


def told(f: Callable) -> str:
    """A function of the user's and where it begins, for messages."""
    f = getattr(f, "__wrapped__", f)
    code = getattr(f, "__code__", None)
    return name_of(f) if code is None else f"{name_of(f)} ({code.co_filename}:{code.co_firstlineno})"


@dataclass(frozen=True)
class Body:
    """What a function computes: nodes, how they are nested, which are numbers of Python's; older nodes belong outside."""

    function: Callable
    nodes: list[Node]
    structure: Structure
    weak: list[bool]
    start: int

    def outside(self) -> list[Node]:
        """The nodes that were there before."""
        def old(n: Node) -> bool:
            return n.op is not CONSTANT and (n.serial < self.start or not n.args or isinstance(n.attr, Held))

        return [n for n in walk(self.nodes, stop=old) if old(n)]


def unchanging(outputs: Sequence[Node], leaves: Sequence[Node]) -> list[Node]:
    """The largest nodes below `outputs` that do not depend on `leaves`: what a loop need not compute in every step."""
    moving = depends(outputs, leaves)

    def still(n: Node) -> bool:
        return n.serial not in moving and n.op is not CONSTANT and n.op is not BROADCAST

    return [n for n in walk(outputs, stop=still) if still(n)]


class Inside:
    """Watches a body that is traced, and stands in for the function that is traced around it.

    What a body does to arrays of outside is noted, and nobody is told: the body is traced again with their numbers hidden.
    What is left then is told to the watchers of outside as it happens.
    """

    keeps_graphs = True  # transforms leave their results traced, for they belong to the body

    def __init__(self, what: str, watchers: Sequence[Any], trace: Any, live: bool):
        self.what, self.watchers, self.trace, self.live = what, watchers, trace, live
        self.start, self.busy = now(), False
        self.reads: list[tuple[Any, Array]] = []
        self.seen: dict[int, Before] = {}

    def __getattr__(self, name: str) -> Any:  # what the function around it answers
        return getattr(self.trace, name)

    # -- a Trace
    def assign(self, variable: Any, number: Any) -> None:
        raise assigned(f"the variable {variable.name!r}", self.what)

    # -- a Watcher
    def operation(self, event: Event) -> None:
        self.busy = True
        for x in event.arrays:
            if x.serial < self.start and id(x) not in self.seen:
                self.seen[id(x)] = Before(x)
        self._tell("operation", event)

    def used(self, variable: Any) -> bool:
        return False  # it is read, and hidden

    def read(self, variable: Any, value: Any) -> None:
        if self.live:
            self._tell("read", variable, value)
        else:
            self.reads.append((variable, value))
        hide(value)

    def written(self, variable: Any, value: Any) -> None:
        raise assigned(f"the variable {variable.name!r}", self.what)

    def left(self, array: Any, how: str, number: Any) -> None:
        self._tell("left", array, how, number)

    def entered(self, array: Any, given: Any) -> None:
        self._tell("entered", array, given)

    def _tell(self, event: str, *args: Any) -> None:
        if self.live:
            for watcher in self.watchers:
                getattr(watcher, event)(*args)


def assigned(which: str, what: str) -> TraceError:
    return TraceError(f"{which} is assigned inside {what}", code="control-assign",
                      why="what is inside may run never, or many times, and only what it returns comes out of it",
                      fix="return the new value, and assign the result")  # fmt: skip


class Before:
    """What an array of outside was."""

    __slots__ = ("array", "number", "node", "serial", "origin")

    def __init__(self, array: Array):
        self.array, self.number, self.node = array, array.number, array._node
        self.serial: int = getattr(array, "serial", 0)  # a traced array has none
        self.origin: Any = getattr(array, "origin", None)

    def changed(self) -> bool:
        """Whether it was assigned into; that it became a leaf is no change."""
        return getattr(self.array, "serial", 0) != self.serial or self.node is not None and self.array._node is not self.node

    def restore(self) -> None:
        if self.changed():
            self.array._node = self.node
            if self.serial:
                self.array.serial, self.array.origin = self.serial, self.origin
        self.array.number = self.number


def hide(x: Array) -> Before:
    """An eager array becomes a traced one: its leaf, by which watchers know it."""
    x.node  # noqa: B018  (made while there is a number)
    before = Before(x)
    x.number = None
    return before


def _run(f: Callable, args: Sequence[Any], what: str, hidden: Iterable[Array], own: bool, live: bool) -> tuple[Inside, Any]:
    """The watcher, and (nodes, their structure, which are numbers of Python's)."""
    home = ACTIVE.__dict__
    inside = Inside(what, home["watchers"], home["trace"], live)
    given, nested = flatten(list(args))
    kept = [] if own else [Before(x) for x in given if type(x) is Array and x.number is None]
    try:
        kept += [hide(x) for x in hidden]
        if own:  # it may be assigned into
            args = nested.build([Array(x.node, x.space) if type(x) is Array else x for x in given])
        home["watchers"], home["trace"] = [inside], None if inside.trace is None else inside
        with np.errstate(all="ignore"):
            found = _result(f, f(*args), what)
    except TraceError as error:
        if error.what.startswith(("assign ", "assign_add ", "assign_sub ")):
            raise assigned("a variable", what) from None
        raise
    finally:
        home["watchers"], home["trace"] = inside.watchers, inside.trace
        kept += inside.seen.values()
        changed = [before.array for before in kept if before.changed()]
        for before in kept:
            before.restore()
    if changed:
        raise assigned(f"an array of shape {changed[0].shape} made outside", what)
    return inside, found


def _result(f: Callable, result: Any, what: str) -> tuple[list[Node], Structure, list[bool]]:
    leaves, structure = flatten(result)
    for x in leaves:
        if not isinstance(x, NUMERIC):
            raise ArgumentError(f"{told(f)} returns a {type(x).__name__} to {what}", code="control-result",
                                why="only arrays can be chosen or carried on",
                                fix="return arrays, or tuples, lists and dicts of arrays")  # fmt: skip
    return [lift(x) for x in leaves], structure, [isinstance(x, (bool, int, float)) for x in leaves]


def trace_body(f: Callable, args: Sequence[Any], what: str, own: bool = False) -> Body:
    """What f computes of `args`, arrays without numbers perhaps; `what` it is for messages: "a branch of ad.cond".

    `own` says that the arrays are nobody else's.
    """
    mark = unknown("start", (), FLOAT).serial
    hidden = {id(x): x for x in flatten(list(args))[0] if type(x) is Array and x.number is not None}
    inside, found = _run(f, args, what, hidden.values(), own, False)
    if inside.busy:
        hidden |= {key: before.array for key, before in inside.seen.items()}
        inside, found = _run(f, args, what, hidden.values(), own, True)
    for variable, value in inside.reads:
        for watcher in ACTIVE.watchers:
            watcher.read(variable, value)
    nodes, structure, weak = found
    return Body(f, nodes, structure, weak, mark)


__all__ = ["Body", "NUMERIC", "has_number", "told", "trace_body", "unchanging"]
