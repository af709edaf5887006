"""Who is watching: the tapes and checks that are active in this thread, and the events that eager arrays tell them.

An eager array holds only a serial number; whatever is recorded belongs to the watcher, so dropping the watcher frees it.
"""

from __future__ import annotations

import dis
import operator
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple, Protocol

import numpy as np

from .errors import is_library


class Watcher(Protocol):
    """What a tape, or a check of numbers, is told.

    One that has a method `quick(rule, args, kwargs, result)` is told of operations with one result in this way while it is
    alone, if it answers True; the rule of a ufunc is the ufunc.
    """

    def operation(self, event: Event) -> None:
        """An operation on eager arrays was done."""

    def used(self, variable: Any) -> bool:
        """A variable is used in an operation: may it stand for itself there?  Else it is read; this too is told."""

    def read(self, variable: Any, value: Any) -> None:
        """A variable was read: `value` is the array that stands for its number from now on."""

    def written(self, variable: Any, value: Any) -> None:
        """The number of the array `value` was assigned to a variable."""

    def left(self, array: Any, how: str, number: Any) -> None:
        """The number of an array left through `.numpy()`, `float()` or numpy: `number` is what is outside now."""

    def entered(self, array: Any, given: Any) -> None:
        """An array was made from `given`, something of the user's."""


class Trace(Protocol):
    """What the function that is being traced is asked for by variables and tapes: all numbers are symbolic meanwhile.

    `lanes` are the inputs whose leading axis counts points; if there are some, tapes ask for derivatives here.
    """

    lanes: list

    def mark(self, x: Any) -> Any:
        """A node of its own for an array that a tape watches from now on."""

    def derivatives(self, targets: Any, seeds: Any, sources: Any) -> list:
        """The cotangents of source nodes."""

    def result(self, x: Any) -> Any:
        """The node of a value, whatever it is."""

    def number_of(self, variable: Any) -> Any:
        """The number of a variable at this point of the program."""

    def assign(self, variable: Any, number: Any) -> None:
        """A variable has this number from here on."""

    def created(self, variable: Any) -> None:
        """A variable was made."""

    def check(self, array: Any, message: str) -> None:
        """A number must be finite when the program runs."""


USUAL = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # what numpy does if nobody asked
WARNING = {kind: what for kind, what in USUAL.items() if what == "warn"}


class Active(threading.local):
    """The watchers of one thread, outermost first."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.trace: Trace | None = None  # the function that is being traced
        self.errstate: dict[str, str] = {}
        self.owed: dict[str, str] = {}  # what another thread, that ended the last watcher, could not give back

    def add(self, watcher: Watcher) -> None:
        """Starts watching.  Meanwhile numpy does not warn of what is not finite: gradients are asked for at such points too."""
        if not self.watchers:
            if self.owed:
                np.seterr(**self.owed)
                self.owed = {}
            before = np.seterr(all="ignore")
            if before != USUAL:
                np.seterr(**{kind: what for kind, what in before.items() if what != "warn"})
            self.errstate = WARNING if before == USUAL else {kind: what for kind, what in before.items() if what == "warn"}
        self.watchers = [*self.watchers, watcher]

    def remove(self, watcher: Watcher, home: dict[str, Any]) -> None:
        """Stops watching in the thread whose `__dict__` of this is `home`; generators may end out of order, and anywhere."""
        home["watchers"] = rest = [w for w in home["watchers"] if w is not watcher]
        if not rest:
            if home is self.__dict__:
                np.seterr(**self.errstate)
            else:
                home["owed"] = home["errstate"]


ACTIVE = Active()


class Place(NamedTuple):
    """A line of the user's code: which code, and how far into it."""

    code: CodeType
    at: int

    @property
    def line(self) -> int:
        for start, stop, line in self.code.co_lines():
            if start <= self.at < stop and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def file(self) -> str:
        return self.code.co_filename

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


known_files: dict[str, bool] = {}  # whether a file belongs to this package or numpy


def user_code(depth: int = 1) -> tuple[CodeType, int]:
    """The innermost code that does not belong to this package or numpy, and the position in it; `depth` as for _getframe."""
    frame = sys._getframe(depth)
    while True:
        code = frame.f_code
        try:
            inside = known_files[code.co_filename]
        except KeyError:
            inside = known_files[code.co_filename] = is_library(code.co_filename)
        if not inside or frame.f_back is None:
            return code, frame.f_lasti
        frame = frame.f_back


def user_frame() -> FrameType:
    """The innermost frame that does not belong to this package or numpy."""
    frame = sys._getframe(1)
    while is_library(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def user_place() -> Place:
    """Where the user is."""
    frame = sys._getframe(2)
    code = frame.f_code
    if known_files.get(code.co_filename, True):
        return Place(*user_code(2))
    return Place(code, frame.f_lasti)


class Event:
    """One operation on eager arrays: `function` on `args` gave `outputs`; `rule` does the same on traced arrays.

    `record` is what tapes make of it, made once for all of them.
    """

    __slots__ = ("function", "rule", "args", "kwargs", "arrays", "outputs", "code", "at", "record")

    def __init__(self, function: Any, rule: Callable | None, args: Any, kwargs: dict, arrays: list, outputs: list,
                 code: CodeType, at: int, record: Any = None):  # fmt: skip
        self.function, self.rule, self.args, self.kwargs = function, rule, args, kwargs
        self.arrays, self.outputs, self.code, self.at, self.record = arrays, outputs, code, at, record


def name_of_operation(function: Any) -> str:
    """What an operation is called in messages: `np.sin`, `x[...]`, `stop_gradient`."""
    if isinstance(function, str):
        return function
    if function is operator.getitem:
        return "x[...]"
    name = getattr(function, "__name__", type(function).__name__)
    module = getattr(function, "__module__", None) or "numpy"
    if isinstance(function, np.ufunc) and getattr(np, name, None) is function or module.partition(".")[0] == "numpy":
        return f"{'np.linalg' if 'linalg' in module else 'np'}.{name}"
    return name


STORING = "storing into a plain ndarray"
SUBSCRIPT = 26  # NB_SUBSCR, the argument of BINARY_OP


def is_storing(code: CodeType, at: int) -> bool:
    """Whether the user's code is at `y[i] = x`."""
    return dis.opname[code.co_code[at]] in ("STORE_SUBSCR", "STORE_SLICE")  # the second since Python 3.12


def is_indexing(code: CodeType, at: int) -> bool:
    """Whether the user's code is at `x[i]`."""
    name = dis.opname[code.co_code[at]]
    return name == "BINARY_SUBSCR" or name == "BINARY_OP" and code.co_code[at + 1] == SUBSCRIPT  # the second since 3.14


def tell_left(array: Any, how: str, number: Any) -> Any:
    """Tells the watchers that a number left; answers the number."""
    watchers = ACTIVE.watchers
    if watchers:
        code, at = user_code(2)
        # numpy asks for the number in `y[i] = x` as it does in float(x), but there x is not meant to leave
        if is_storing(code, at):
            how = STORING
        for watcher in watchers:
            watcher.left(array, how, number)
    return number
