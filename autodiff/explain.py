"""Why is a gradient None?  The history of a tape, read backwards from the target to the first cause.

The causes are a closed list, each with a stable code: `not-watched`, `watched-late`, `not-recorded`, `stop-gradient`,
`no-derivative`, `left`, `assigned`, `rebound`, `branch`, `independent`, `inner-outside`.
"""

from __future__ import annotations

import ast
import linecache
import weakref
from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from .array import Array, now
from .errors import AutodiffError
from .pattern import is_simple, pattern_of
from .program import flatten
from .record import Step
from .recording import Event, Place, name_of_operation
from .variable import Variable

LATEST = 64  # so many values that left are remembered


class Reason(str):
    """A sentence with the `code` of its cause, empty if nothing is missing."""

    code: str

    def __new__(cls, code: str, what: str, why: str, fix: str = "") -> Reason:
        self = super().__new__(cls, f"{what}: {why}" + (f"\n  fix: {fix}" if fix else ""))
        self.code = code
        return self


@dataclass(frozen=True)
class Watch:
    """When something was watched, and (code, position, function) of its first use before that, if there was one."""

    place: Place
    used: tuple | None


class Escape:
    """A value that left as plain numbers: `number` is found again by identity, a float by value."""

    def __init__(self, serial: int, how: str, place: Place, number: Any):
        self.serial, self.how, self.place = serial, how, place
        self._array = weakref.ref(number) if isinstance(number, np.ndarray) else None
        self._value = None if self._array else number

    def is_source_of(self, x: Any) -> bool:
        if self._array is None:
            return isinstance(x, (int, float, np.generic)) and not isinstance(x, bool) and x == self._value
        array = self._array()
        return array is not None and (x is array or isinstance(x, np.ndarray) and x.base is array)


@dataclass(slots=True)
class Interval:
    """A time in which a tape recorded: serials and places of its beginning and end."""

    start: int
    place: Place
    stop: int | None = None
    end: Place | None = None


class History:
    """What a tape remembers besides its records: events that cut, without numbers.

    `shadow` are the values that come from watched ones, but not through derivatives.
    """

    __slots__ = ("automatic", "done", "cuts", "shadow", "watches", "unwatched_reads", "writes", "escapes", "seen", "intervals",
                 "reset", "closed")  # fmt: skip

    def __init__(self, automatic: bool):
        self.automatic = automatic
        self.done: list[Any] = []  # steps, and records without their numbers
        self.cuts: list[Step] = []
        self.shadow: set[int] = set()
        self.watches: dict[int, Watch] = {}
        self.unwatched_reads: dict[int, Place] = {}
        self.writes: dict[int, tuple[int, Place]] = {}
        self.escapes: deque[Escape] = deque(maxlen=LATEST)
        self.seen: deque[int] = deque(maxlen=LATEST)  # what came of nothing that is watched
        self.intervals: list[Interval] = []
        self.reset: tuple[int, Place] | None = None
        self.closed: tuple[int, Place] | None = None

    def started(self, place: Place) -> None:
        self.intervals.append(Interval(now(), place))

    def ended(self, place: Place) -> None:
        self.intervals[-1].stop, self.intervals[-1].end = now(), place

    def step(self, kind: str, function: Any, ins: Iterable[int], outs: Iterable[int], origin: tuple) -> None:
        ins, outs = list(ins), list(outs)
        self.cuts.append(Step(kind, function, ins, outs, (False,) * len(ins), origin[1], origin[2]))
        self.shadow.update(outs)

    def cut(self, kind: str, event: Event) -> None:
        """An operation on values that come from watched ones, whose results do not, as far as derivatives go."""
        self.step(kind, event.function, [a.serial for a in event.arrays], [y.serial for y in event.outputs],
                  (None, event.code, event.at))  # fmt: skip

    def unwatched(self, event: Event) -> None:
        """An operation on nothing that is watched: kept only if it comes from a cut."""
        if self.shadow and any(a.serial in self.shadow for a in event.arrays):
            self.cut("operation" if _cuts(event, self.shadow) else "after", event)
            return
        for y in event.outputs:
            self.seen.append(y.serial)
        for a in event.arrays:
            if a.used is None:
                a.used = (event.code, event.at, event.function)
        if self.escapes:
            for y in event.outputs:
                for x in event.args:
                    if isinstance(x, np.ndarray) or type(x) is float and not is_simple(x):
                        self.returned(y, x)

    def rewritten(self, variable: Variable, value: Array) -> None:
        """A variable was read whose number was computed by the tape."""
        serial, place = self.writes[variable.serial]
        self.step("written", variable.name, [serial], [value.serial], (None, place.code, place.at))

    def returned(self, array: Array, given: Any) -> None:
        """An array was made from something of the user's: did that leave before?"""
        for escape in reversed(self.escapes):
            if escape.is_source_of(given):
                self.step("left", escape.how, [escape.serial], [array.serial], (None, escape.place.code, escape.place.at))
                return

    def interval_of(self, serial: int) -> Interval | None:
        return next((i for i in self.intervals if i.start < serial and (i.stop is None or serial < i.stop)), None)


def _cuts(event: Event, shadow: set[int]) -> bool:
    """Whether an operation on values in `shadow` would cut their derivatives, if they had any."""
    if event.rule is None:
        return False
    try:
        pattern, numbers, serials = pattern_of(event)
    except AutodiffError:
        return False
    passed = [c for x, s, c in zip(numbers, serials, pattern.connected, strict=True) if s in shadow and x.dtype.kind == "f"]
    return bool(passed) and not any(passed)


def where_it_left(history: History, x: Any) -> str:
    """What a tape knows of something plain that should have been an array."""
    for escape in reversed(history.escapes):
        if escape.is_source_of(x):
            return f"it left the tape at {escape.place} ({escape.how})"
    if history.escapes:
        return f"only arrays carry derivatives; the last value left the tape at {history.escapes[-1].place} " \
               f"({history.escapes[-1].how})"  # fmt: skip
    return "only arrays carry derivatives"


# ---- the search ------------------------------------------------------------------------------------------------------


def reason(
    history: History, steps: Sequence[Step], tracked: Container[int], target: Any, source: Any, frame: FrameType
) -> Reason:
    """The first cause, going back from the target, for which d target / d source is None."""
    targets = [t for t in flatten(target)[0] if isinstance(t, (Array, Variable))]
    called = _called(source, frame)
    what = f"no gradient with respect to {called}"
    if not history.intervals:
        return Reason("not-recorded", what, "the tape was never entered, so it recorded nothing",
                      "with GradientTape() as tape: ...")  # fmt: skip
    if not isinstance(source, (Array, Variable)):
        return Reason("not-watched", what, f"it is a plain {type(source).__name__}, which cannot be watched",
                      "wrap it before it is used: x = ad.constant(x); tape.watch(x)")  # fmt: skip
    if not targets:
        return Reason("not-recorded", what, "the target is not an array; " + where_it_left(history, target),
                      "keep the loss an array until the gradient is taken")  # fmt: skip
    traced = [x for x in (*targets, source) if isinstance(x, Array) and x.number is None]
    if traced:
        return Reason("independent", what, "inside a transform the graph is the record, and it has no path between them")
    serials = {t.serial for t in targets}
    if source.dtype.kind != "f":
        return Reason("not-watched", what, f"its dtype is {source.dtype}, and an integer cannot move by a small amount",
                      "ad.Variable(..., dtype=float), ad.constant(..., dtype=float)")  # fmt: skip
    connected = _path(steps, serials, source.serial, only_connected=True)
    if connected and source.serial not in tracked:
        return _never_watched(history, source, called, what, frame, targets)
    if connected or source.serial in serials:
        return Reason("", f"the gradient with respect to {called}", "is not None: a recorded path leads to the target")
    path = _path([*steps, *history.cuts], serials, source.serial, only_connected=False)
    if path:
        return _cause_on(path, source, what, history)
    if source.serial not in tracked:
        return _never_watched(history, source, called, what, frame, targets)
    watch = history.watches.get(source.serial)
    late = watch.used if watch else None
    if late or source.serial in history.unwatched_reads and watch:
        first = Place(*late[:2]) if late else history.unwatched_reads[source.serial]
        assert watch is not None
        return Reason("watched-late", what, f"it was watched at {watch.place}, after it was first used at {first}",
                      f"move tape.watch({_plain(called)}) up, before line {first.line}")  # fmt: skip
    return (_not_recorded(history, targets, tracked, what) or _left(history, steps, source, what)
            or _branch(history, steps, source, what, frame) or Reason(
        "independent", what, "it was watched, but the target does not depend on it",
        f"use {_plain(called)} in the computation of the target, or leave it out of the sources"))  # fmt: skip


def _path(steps: Sequence[Step], targets: set[int], source: int, only_connected: bool) -> list[tuple[Step, bool]] | None:
    """The edges from a target back to the source, each with whether a derivative passes; None without a path."""
    makers: dict[int, list[Step]] = {}
    for step in steps:
        for y in step.outs:
            makers.setdefault(y, []).append(step)
    came: dict[int, tuple[int, Step, bool] | None] = dict.fromkeys(targets)
    todo = deque(targets)
    while todo:
        serial = todo.popleft()
        if serial == source and came[serial] is not None:
            edges: list[tuple[Step, bool]] = []
            while (edge := came[serial]) is not None:
                serial = edge[0]
                edges.append(edge[1:])
            return edges[::-1]
        for step in makers.get(serial, ()):
            for x, connected in zip(step.ins, step.connected, strict=True):
                if x and x not in came and (connected or not only_connected):
                    came[x] = (serial, step, connected)
                    todo.append(x)
    return None


def _cause_on(path: Sequence[tuple[Step, bool]], source: Any, what: str, history: History) -> Reason:
    step = next((s for s, connected in path if not connected and s.kind != "after"), path[-1][0])
    place = step.place
    if step.kind == "paused":
        return Reason("not-recorded", what, f"{step.name} at {place} ran inside stop_recording()",
                      "move it out of the stop_recording context")  # fmt: skip
    if step.kind == "closed":
        return Reason("not-recorded", what, f"{step.name} at {place} ran after the gradient of this tape had been taken",
                      "GradientTape(persistent=True), or take the gradient after the computation")  # fmt: skip
    if step.kind == "left":
        return Reason("left", what, f"the value left the system through {step.function} at {place} and came back as a "
                      "constant", f"leave {step.function} out: numpy functions work on arrays and are recorded")  # fmt: skip
    if step.kind == "written":
        return Reason("assigned", what, f"the value was assigned to the variable {step.function!r} at {place}, and a tape "
                      "does not follow values through a variable", "use the value itself, not the variable")  # fmt: skip
    if step.function == "stop_gradient" or step.name == "stop_gradient":
        return Reason("stop-gradient", what, f"the path is cut by stop_gradient at {place}",
                      "remove stop_gradient, or differentiate with respect to its result")  # fmt: skip
    return Reason("no-derivative", what, f"the path goes through {step.name} at {place}, which has no derivative",
                  f"replace {step.name} by a smooth function, or differentiate with respect to its result")  # fmt: skip


def _never_watched(history: History, source: Any, called: str, what: str, frame: FrameType, targets: list) -> Reason:
    if isinstance(source, Variable):
        if not source.trainable:
            return Reason("not-watched", what, f"the variable {source.name!r} made at {source.identity.place} has "
                          "trainable=False",
                          f"tape.watch({_plain(called)}) before it is used, or Variable(..., trainable=True)")  # fmt: skip
        if not history.automatic:
            return Reason("not-watched", what, "the tape was made with watch_accessed_variables=False and the variable "
                          f"{source.name!r} was not watched", f"tape.watch({_plain(called)}) before it is used")  # fmt: skip
        before = None if history.interval_of(targets[0].serial) else _not_recorded(history, targets, set(), what)
        return before or _branch(history, [], source, what, frame) or Reason(
            "independent", what, f"the variable {source.name!r} made at {source.identity.place} was not read while this tape "
            "recorded", "use it inside the `with` of the tape")  # fmt: skip
    made, place = source.origin[0], Place(*source.origin[1:3])
    if source.root is not None:
        return Reason("rebound", what, f"it is the result of {name_of_operation(made)} at {place}, not the variable "
                      f"{source.root.name!r} created at {source.root.place}",
                      f"{_plain(called)}.assign(...) keeps the variable, `{_plain(called)} = ...` does not")  # fmt: skip
    if made == "constant":
        late = " and it was not watched"
        if source.used is not None:
            late = f" and it was used at {Place(*source.used[:2])} without being watched"
        return Reason("not-watched", what, f"it is a constant made at {place}{late}",
                      f"call tape.watch({_plain(called)}) before using it")  # fmt: skip
    return Reason("not-watched", what, f"it is the result of {name_of_operation(made)} at {place}, which this tape did not "
                  "record", f"call tape.watch({_plain(called)}) before using it")  # fmt: skip


def _not_recorded(history: History, targets: Sequence[Any], tracked: Container[int], what: str) -> Reason | None:
    for t in targets:
        if t.serial in tracked or t.serial in history.shadow or isinstance(t, Variable):
            continue
        made, place = t.origin[0], Place(*t.origin[1:3])
        if made == "gradient":
            end = history.intervals[-1].end
            outside = f", outside of this tape{f', which had ended at {end}' if end else ''}"
            return Reason("inner-outside", what, f"the target is a gradient that was taken at {place}{outside}",
                          "take the inner gradient inside the `with` of the outer tape")  # fmt: skip
        if made == "constant":
            continue
        if history.reset is not None and t.serial < history.reset[0]:
            return Reason("not-recorded", what, f"the target was computed at {place}, and tape.reset() at {history.reset[1]} "
                          "forgot it", "compute the target after the reset")  # fmt: skip
        if history.interval_of(t.serial) is None:
            begin, end = history.intervals[0].place, history.intervals[-1].end
            early = t.serial < history.intervals[0].start
            when = f"before the tape began at {begin}" if early else f"after the tape ended at {end}"
            return Reason("not-recorded", what, f"the target was not recorded by this tape: {name_of_operation(made)} at "
                          f"{place} ran {when}", "compute the target inside the `with`")  # fmt: skip
        if history.closed is not None and t.serial > history.closed[0]:
            return Reason("not-recorded", what, f"the target was computed at {place}, after the gradient of this tape was "
                          f"taken at {history.closed[1]}", "GradientTape(persistent=True)")  # fmt: skip
        if t.serial not in history.seen and t.serial > (history.seen[0] if len(history.seen) == LATEST else 0):
            return Reason("not-recorded", what, f"{name_of_operation(made)} at {place} ran in another thread, and a tape "
                          "records the thread that entered it", "compute the target in the thread of the `with`")  # fmt: skip
    return None


def _left(history: History, steps: Sequence[Step], source: Any, what: str) -> Reason | None:
    """Something that comes from the source left, and nobody knows where it came back."""
    for escape in reversed(history.escapes):
        if escape.serial == source.serial or _path([*steps, *history.cuts], {escape.serial}, source.serial, False):
            return Reason("left", what, f"the value left the system through {escape.how} at {escape.place} and came back as a "
                          f"constant, if at all", f"leave {escape.how} out: numpy functions work on arrays and are recorded")
    return None


def _branch(history: History, steps: Sequence[Step], source: Any, what: str, frame: FrameType) -> Reason | None:
    """The source stands in a branch of an `if` of which no line was recorded."""
    name = _name(source, frame)
    if name is None:
        return None
    file, start, stop = frame.f_code.co_filename, history.intervals[0].place.line, frame.f_lineno
    if history.intervals[0].place.code is not frame.f_code:
        return None
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None
    ran = {s.place.line for s in [*steps, *history.cuts] if s.code.co_filename == file}
    for node in ast.walk(tree):
        if not isinstance(node, ast.If) or not start <= node.lineno <= stop:
            continue
        for part in (node.body, node.orelse):
            lines = {line for s in part for line in range(s.lineno, (s.end_lineno or s.lineno) + 1)}
            uses = [n.lineno for s in part for n in ast.walk(s) if isinstance(n, ast.Name) and n.id == name]
            if uses and not lines & ran:
                return Reason("branch", what, f"it is used at {file}:{uses[0]}, in a branch of the `if` at line "
                              f"{node.lineno} that was not taken", "np.where chooses by value, and records both")  # fmt: skip
    return None


# ---- what things are called ------------------------------------------------------------------------------------------


def _name(x: Any, frame: FrameType) -> str | None:
    for names in (frame.f_locals, frame.f_globals):
        for name, value in names.items():
            if value is x and name.isidentifier() and not name.startswith("_"):
                return name
    return None


def _called(x: Any, frame: FrameType) -> str:
    name = _name(x, frame)
    if name is not None:
        return f"`{name}`"
    if isinstance(x, Variable):
        return f"the variable {x.name!r}"
    given = x.origin[3] if isinstance(x, Array) and x.number is not None and len(x.origin) > 3 else None
    return f"the constant {given!r}" if given else "the source"


def _plain(called: str) -> str:
    return called.strip("`") if called.startswith("`") else "x"
