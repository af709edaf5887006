"""What a tape keeps of one operation, and how cotangents flow back over a list of them.

A record refers to values by serial number and holds only those numbers that a pullback can need.  Its `step`, without any
number, outlives it: that is what a missing gradient is explained from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any, Protocol

import numpy as np

from .array import NUMBERS, Argument, Array, Held, eager, operate
from .graph import SYMBOL, VIEW, walk
from .interpret import evaluate
from .pattern import Pattern, is_simple, known_patterns, pattern_of
from .recording import ACTIVE, Event, Place, name_of_operation, user_code

LOG = logging.getLogger("autodiff")
NOTED: list[str] = []  # where single precision was noted, once
NOTHING: tuple[Any, ...] = ()
WRITTEN = {int, float, bool, str, type(None)}  # arguments that are part of a formula
BOUNDS, NUMERIC = {int, type(None)}, {int, float}
_new = object.__new__


class Step:
    """One edge of the history: the values `outs` came from the values `ins`, with derivatives where `connected`.

    `kind` is "operation", "read" (of a variable), "written" (to a variable), "left" (the system, and came back), "paused" or
    "closed" (while the tape did not record), "outside" (a gradient that was taken where this tape did not record).
    """

    __slots__ = ("kind", "function", "ins", "outs", "connected", "code", "at")

    def __init__(self, kind: str, function: Any, ins: Sequence[int], outs: Sequence[int], connected: Sequence[bool],
                 code: CodeType, at: int):  # fmt: skip
        self.kind, self.function, self.ins, self.outs, self.connected = kind, function, ins, outs, connected
        self.code, self.at = code, at

    @property
    def sources(self) -> Sequence[int]:
        """The serials of what is connected; 0, the serial of nothing, for the rest."""
        if False not in self.connected:
            return self.ins
        return [s if c else 0 for s, c in zip(self.ins, self.connected, strict=True)]

    @property
    def place(self) -> Place:
        return Place(self.code, self.at)

    @property
    def name(self) -> str:
        return name_of_operation(self.function)


class Pullable(Protocol):
    """What the way back needs of a record."""

    selects: Any

    @property
    def pattern(self) -> Any:
        """The pattern, or None."""

    @property
    def kept(self) -> Sequence[Any]:
        """The numbers."""

    @property
    def step(self) -> Step:
        """What it is without its numbers."""

    def spent(self) -> Any:
        """Something that has the `step`, and no numbers."""

    def pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...], masked: bool, batch: int) -> Iterable[tuple[int, Any]]:
        """(index of an argument, its cotangent) for the cotangents of the results, None being zero."""


def needs_tracing(x: Any) -> bool:
    return type(x) is Array and x.number is None


class Record:
    """A pattern and the numbers for it: `kept` has a place for every argument and then for every result, if any is needed."""

    __slots__ = ("function", "pattern", "ins", "outs", "code", "at", "kept", "shared", "_step")

    def __init__(self, function: Any, pattern: Pattern, numbers: Sequence[Any], serials: Sequence[int],
                 outputs: Sequence[Array], code: CodeType, at: int):  # fmt: skip
        self.function, self.pattern, self.ins = function, pattern, serials
        self.outs: Sequence[int] = [y.serial for y in outputs]
        self.code, self.at, self.shared = code, at, False
        self._step: Step | None = None
        arguments, results = pattern.needs or pattern.needed()
        self.kept: Sequence[Any] = NOTHING
        if arguments or results:
            count = len(numbers)
            kept = self.kept = [None] * (count + len(outputs))
            for i in arguments:
                x = numbers[i]
                # an array of the user's may change before the way back
                kept[i] = x.copy() if serials[i] == 0 and type(x) is np.ndarray and x.flags.writeable else x
            for i in results:
                kept[count + i] = outputs[i].number

    @property
    def step(self) -> Step:
        if self._step is None:
            self._step = Step("operation", self.function, self.ins, self.outs, self.pattern.connected, self.code, self.at)
        return self._step

    def spent(self) -> Record | Step:
        if self.shared:
            return self.step
        self.kept = NOTHING
        return self

    @property
    def selects(self) -> bool:
        return self.pattern.selects

    def pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...], masked: bool, batch: int) -> Iterable[tuple[int, Any]]:
        if self.pattern.coarse and not NOTED:
            NOTED.append(str(self.step.place))
            LOG.warning("a second derivative in float32 at %s: rounding grows with the order; float64 is the default of "
                        "ad.Variable and ad.constant", self.step.place)  # fmt: skip
        pullback = self.pattern.pullback(wants, tuple([c is not None for c in cotangents]), masked, batch)
        kept = self.kept
        numbers = [kept[i] for i in pullback.takes]
        seeds = [cotangents[i] for i in pullback.seeds]
        if not any([type(c) is Array for c in seeds]):
            return zip(pullback.to, pullback.pattern.run([*numbers, *seeds]), strict=True)
        serials = (*self.step.ins, *self.step.outs)
        made = (self.step.function, self.step.code, self.step.at)
        given = [eager(x, made, None, serials[i]) if serials[i] else x for x, i in zip(numbers, pullback.takes, strict=True)]
        return zip(pullback.to, apply(pullback.pattern, [*given, *seeds], self.step), strict=True)


def apply(pattern: Pattern, args: Sequence[Any], step: Step) -> list[Array]:
    """A pattern on eager arrays, told to the watchers as one operation; on traced arrays, a graph."""
    if any(needs_tracing(x) for x in args):
        return trace(pattern, args)
    arrays = [x for x in args if type(x) is Array]
    numbers = [x.number if type(x) is Array else x for x in args]
    outputs = [eager(y if isinstance(y, NUMBERS) else np.asarray(y), (pattern.name, step.code, step.at))
               for y in pattern.run(numbers)]  # fmt: skip
    watchers = ACTIVE.watchers
    if watchers:
        serials = [x.serial if type(x) is Array else 0 for x in args]
        event = Event(pattern.name, None, args, {}, arrays, outputs, step.code, step.at,
                      lambda: Record(pattern.name, pattern, numbers, serials, outputs, step.code, step.at))  # fmt: skip
        for watcher in watchers:
            watcher.operation(event)
    return outputs


def trace(pattern: Pattern, args: Sequence[Any]) -> list[Array]:
    """The results of a pattern as nodes over the arguments."""
    return [Array(n) for n in pattern.nodes(args)]


def settle(arrays: list[Array], name: str, how: str = "a transform of") -> list[Array]:
    """What a transform made of eager arrays is eager again, told as one operation; what is still traced stays as it is."""
    nodes = [a.node for a in arrays]
    below = walk(nodes, stop=lambda n: isinstance(n.attr, Held))
    held = [n for n in below if isinstance(n.attr, Held)]
    if not held or any(n.op is SYMBOL or n.op is VIEW or isinstance(n.attr, Argument) for n in below):
        return arrays
    if any([getattr(w, "keeps_graphs", False) for w in ACTIVE.watchers]):  # in a branch or a loop that is being traced
        return arrays
    code, at = user_code(2)
    title = f"{how} {name}"
    symbolic = any(type(n.attr.value) is Array for n in held)
    outputs = [eager(y, (title, code, at)) for y in (map(Array, nodes) if symbolic else map(np.asarray, evaluate(nodes)))]
    if ACTIVE.watchers:
        given = [eager(n.attr.value, (title, code, at), n.attr.root, n.attr.serial) for n in held]
        numbers, serials = [x.number for x in given], [x.serial for x in given]
        event = Event(title, None, given, {}, given, outputs, code, at,
                      lambda: Record(title, Pattern(title, held, nodes), numbers, serials, outputs, code, at))  # fmt: skip
        for watcher in ACTIVE.watchers:
            watcher.operation(event)
    return outputs


def record_of(event: Event) -> Any:
    """What tapes keep of an event, made once for all of them."""
    record = event.record
    if record is None:
        pattern, numbers, serials = pattern_of(event)
        record = Record(event.function, pattern, numbers, serials, event.outputs, event.code, event.at)
        event.record = record
    elif callable(record):
        record = event.record = record()
    elif type(record) is Record:
        record.shared = True
    return record


def quick_record(rule: Callable, xs: Sequence[Any], kwargs: dict, y: Array, places: dict[int, int]) -> tuple | None:
    """The record of an operation with one result, and what it says but for numbers: its pattern, the place of the result, and
    those of the arguments, None for what has none.

    Only if one has a place and the like has been recorded before; `pattern_of` and `Record`, written out.
    """
    if not kwargs and len(xs) == 2:  # the usual cases first, without lists
        a, b = xs
        x = a.number if type(a) is Array else a
        z = b.number if type(b) is Array else b
        if type(x) is np.ndarray and type(z) is np.ndarray:
            s, t = (a.serial if x is not a else 0), (b.serial if z is not b else 0)
            pattern = known_patterns.get((rule, x.shape, x.dtype, z.shape, z.dtype))
            first, second = places.get(s), places.get(t)
            if pattern is None or pattern.needs is None or not pattern.whole or first is None and second is None:
                return None
            return _kept(pattern, (s, t), (x, z), y), (pattern, len(places), first, second)
        written = type(b) in WRITTEN and (type(rule) is not np.ufunc or type(b) in NUMERIC and is_simple(b))
        if type(x) is np.ndarray and x is not a and written:
            pattern = known_patterns.get((rule, x.shape, x.dtype, type(b), b))
            if pattern is None or pattern.needs is None or not pattern.whole or a.serial not in places:
                return None
            return _kept(pattern, (a.serial,), (x,), y), (pattern, len(places), places[a.serial])
    elif not kwargs and len(xs) == 1 and type(xs[0]) is Array:
        (a,) = xs
        x = a.number
        pattern = known_patterns.get((rule, x.shape, x.dtype))
        if pattern is None or pattern.needs is None or not pattern.whole or a.serial not in places:
            return None
        return _kept(pattern, (a.serial,), (x,), y), (pattern, len(places), places[a.serial])
    key: list[Any] = [rule]
    link: list[Any] = [None, len(places)]
    numbers: list[Any] = []
    serials: list[int] = []
    connected = False
    for x in xs:
        kind = type(x)
        if kind is Array:
            number, serial = x.number, x.serial
            if serial in places:
                link.append(places[serial])
                connected = True
            else:
                link.append(None)
            serials.append(serial)
        elif kind is np.ndarray:
            number = x
            link.append(None)
            serials.append(0)
        elif kind in WRITTEN and (type(rule) is not np.ufunc or kind in NUMERIC and is_simple(x)):
            key.append(kind)
            key.append(x)
            continue
        elif kind is slice and type(x.start) in BOUNDS and type(x.stop) in BOUNDS and type(x.step) in BOUNDS:
            key += (slice, x.start, x.stop, x.step)
            continue
        else:
            return None
        key.append(number.shape)
        key.append(number.dtype)
        numbers.append(number)
    for name, x in kwargs.items():
        if type(x) not in WRITTEN:
            return None
        key += (name, type(x), x)
    pattern = known_patterns.get(tuple(key))
    if pattern is None or pattern.needs is None or not connected or not pattern.whole:
        return None
    link[0] = pattern
    return _kept(pattern, serials, numbers, y), tuple(link)


def _kept(pattern: Pattern, serials: Sequence[int], numbers: Sequence[Any], y: Array) -> Record:
    record = _new(Record)
    record.function, record.code, record.at = y.origin
    record.pattern, record.ins, record.outs = pattern, serials, (y.serial,)
    record.shared, record._step = False, None
    arguments, results = pattern.needs  # type: ignore[misc]
    if arguments or results:
        kept = record.kept = [None] * (len(numbers) + 1)
        for i in arguments:
            x = numbers[i]
            kept[i] = x.copy() if serials[i] == 0 and x.flags.writeable else x
        if results:
            kept[-1] = y.number
    else:
        record.kept = NOTHING
    return record


CONNECTED = (True,)


class Identity:
    """A variable was read: cotangents go on as they are."""

    __slots__ = ("step",)
    selects = False
    pattern, kept = None, NOTHING

    def spent(self) -> Step:
        return self.step

    def __init__(self, variable: int, value: Array):
        step = self.step = _new(Step)
        step.kind, step.function, step.ins, step.outs, step.connected = "read", "read", (variable,), (value.serial,), CONNECTED
        _, step.code, step.at = value.origin

    def pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...], masked: bool, batch: int) -> Iterable[tuple[int, Any]]:
        return ((0, cotangents[0]),)


def add(a: Any, b: Any) -> Any:
    """The sum of two cotangents."""
    return operate(np.add, a, b) if type(a) is Array or type(b) is Array else a + b


def backward(
    records: list, seeds: Iterable[tuple[int, Any]], sources: set[int], batch: int = 0, done: list[Any] | None = None,
    add: Callable[[Any, Any], Any] = add,
) -> dict[int, Any]:  # fmt: skip
    """The cotangents of `sources`, by serial, for the cotangents `seeds` of some values; a source without a path is missing.

    With `done` the records are consumed on the way, the last one first, and their steps put there: so a tape that is used once
    is freed while it goes back.  Cotangents are whatever the records take and `add` adds.
    """
    live = set(sources)
    on_path: list[tuple[bool, ...] | None] = []
    masked = False
    for record in records:
        step = record.step
        mask = tuple([s in live for s in step.sources])
        if True in mask:
            on_path.append(mask)
            live.update(step.outs)
            masked = masked or record.selects
        else:
            on_path.append(None)
    cotangents: dict[int, Any] = {}
    for serial, seed in seeds:
        if serial in live:
            cotangents[serial] = add(cotangents[serial], seed) if serial in cotangents else seed
    for k in range(len(records) - 1, -1, -1):
        record = records[k] if done is None else records.pop()
        step, wants = record.step, on_path[k]
        if wants is not None:
            given = [cotangents.get(s) if s in sources else cotangents.pop(s, None) for s in step.outs]
            if any([c is not None for c in given]):
                for i, c in record.pull(given, wants, masked, batch):
                    serial = step.ins[i]
                    cotangents[serial] = add(cotangents[serial], c) if serial in cotangents else c
        if done is not None:
            done.append(record.spent())
        record = None
    return {s: c for s, c in cotangents.items() if s in sources}
