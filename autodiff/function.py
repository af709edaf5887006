"""@function: a Python function over arrays becomes one compiled program for each signature of its arguments.

The first call with new shapes, dtypes or Python values traces the function (see tracing), compiles the program and keeps it;
later calls run the program alone.  What cannot be compiled is an error: nothing falls back to Python silently.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .array import Array, Readable, eager
from .concrete import Concrete
from .errors import ArgumentError, AutodiffError, FunctionError, TraceError
from .graph import Node
from .graph import text as listing
from .program import ONE_VALUE, Structure, argument_names, flatten, name_of, run
from .rebound import find
from .recording import ACTIVE, Place, user_code, user_place
from .signature import PROMOTED, Signature, Thing, entry
from .tracing import Tracing
from .variable import Variable

LOG = logging.getLogger("autodiff")
MANY = 5  # traces of one function, from which on something is probably wrong


class RetraceWarning(UserWarning):
    """A function is traced and compiled again and again; the text says what differs from call to call."""


# inputs with their positions among the arguments, results, how these are nested, whether all is plain numbers
Made = tuple[list[tuple[int, Node]], list[Any], Structure, bool]


class Eagerly:
    """Whether functions run as plain Python: for printing and stepping through."""

    on = False


def run_functions_eagerly(run_eagerly: bool) -> None:
    """Lets every `@function` run as the plain Python it is written in, so that one can print and step through; or ends that."""
    Eagerly.on = bool(run_eagerly)


class Function:
    """A Python function with its compiled programs; made by `function`."""

    def __init__(self, python: Callable, lanes: Sequence[str] = ()):
        self.python, self.lanes = python, tuple(lanes)
        functools.update_wrapper(self, python)
        self.retraces: list[str] = []
        self._programs: dict[Any, tuple[Signature, Concrete]] = {}
        self._promoted = False
        try:
            self._parameters: inspect.Signature | None = inspect.signature(python)
        except (TypeError, ValueError):  # it does not tell
            self._parameters = None
        self._lock = threading.RLock()
        self._last: Concrete | None = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> tuple:
        """A copy compiles for itself."""
        return Function, (self.python, self.lanes)

    def __repr__(self) -> str:
        return f"<function {name_of(self.python)}, compiled for {len(self._programs)} signatures>"

    @property
    def traces(self) -> int:
        """For how many signatures the Python function was traced."""
        return len(self._programs)

    @property
    def source(self) -> str:
        """The generated source of the program that ran last, for reading."""
        return self._ran().run.source

    @property
    def graph(self) -> str:
        """The program that ran last as a listing, one operation a line."""
        return listing(self._ran().outputs)

    def _ran(self) -> Concrete:
        if self._last is None:
            raise FunctionError(f"{name_of(self.python)} has not been called, so nothing is compiled",
                                fix="call it once, then look", code="function-not-called")  # fmt: skip
        return self._last

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs and self._parameters is not None:
            args, kwargs = self._bound(args, kwargs)
        arguments, structure = _flat(args, kwargs)
        if Eagerly.on or ACTIVE.trace is not None or any([type(x) is Array and x.number is None for x in arguments]):
            return self.python(*args, **kwargs)  # as a part of the program that is being traced
        if any([getattr(w, "needs_numbers", False) for w in ACTIVE.watchers]):
            return self.python(*args, **kwargs)  # debug_numerics looks at every operation
        key = (structure, *[entry(x, self._promoted) for x in arguments])
        found = self._programs.get(key)
        if found is None and self._promoted:  # of the floats some may decide what the program is
            key = (structure, *[entry(x, False) for x in arguments])
            found = self._programs.get(key)
        if found is not None and found[1].found and self._is_rebound(found[1]):
            found = None
            del self._programs[key]
        program = self._trace(Signature(structure, key[1:]), arguments, args, kwargs) if found is None else found[1]
        self._last = program
        return program(arguments)

    def _bound(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Arguments by position wherever they can be: f(x=x) is f(x)."""
        try:
            bound = self._parameters.bind(*args, **kwargs)  # type: ignore[union-attr]
        except TypeError:
            return args, kwargs  # Python says it better
        return bound.args, bound.kwargs

    # -- tracing
    def _trace(self, signature: Signature, arguments: Sequence[Any], args: tuple, kwargs: dict) -> Concrete:
        with self._lock:
            made = self._programs.get((signature.structure, *signature.entries))
            if made is not None:  # another thread was quicker
                return made[1]
            started = time.perf_counter()
            self._forget_the_dead()
            program = None
            if self._promoted and any([type(x) is float for x in arguments]) or self._only_floats_differ(signature):
                promoted = Signature(signature.structure, tuple([entry(x, True) for x in arguments]))
                try:
                    program = self._make(promoted, arguments, args, kwargs)
                    signature, self._promoted = promoted, True
                except AutodiffError:  # a value that decides what the program is
                    program = None
            program = program or self._make(signature, arguments, args, kwargs)
            self._report(signature, time.perf_counter() - started)
            self._programs[(signature.structure, *signature.entries)] = signature, program
            return program

    def _forget_the_dead(self) -> None:
        """Programs of objects that are gone, such as methods of a model that was dropped."""
        dead = [k for k, (s, _) in self._programs.items() if any(isinstance(e, Thing) and e.ref() is None for e in s.entries)]
        for key in dead:
            del self._programs[key]

    def _only_floats_differ(self, signature: Signature) -> bool:
        def alike(a: Any, b: Any) -> bool:
            return a == b or type(a) is type(b) is tuple and a[0] is b[0] is float

        return any(s.structure == signature.structure and all(map(alike, s.entries, signature.entries))
                   for s, _ in self._programs.values())  # fmt: skip

    def _make(self, signature: Signature, arguments: Sequence[Any], args: tuple, kwargs: dict) -> Concrete:
        tracing, made = self._trace_once(signature, arguments, args, kwargs)
        if tracing.made:
            # as in TensorFlow: what is made at the first call must not be made again
            things = [e for e in signature.entries if isinstance(e, Thing)]
            if any([e for e in s.entries if isinstance(e, Thing)] == things for s, _ in self._programs.values()):
                raise self._created(tracing.made[0], None)
            again, made = self._trace_once(signature, arguments, args, kwargs)
            if again.made:
                raise self._created(again.made[0], tracing.made[0])
            tracing = again
        outside = {id(s.variable) for s in tracing.variables.values()} | {id(x) for x, _ in tracing.captured.values()}
        return Concrete(name_of(self.python), tracing, *made, find(self.python, arguments, outside))

    def _trace_once(self, signature: Signature, arguments: Sequence[Any], args: tuple, kwargs: dict) -> tuple[Tracing, Made]:
        """What happened, and what came of it."""
        name = name_of(self.python)
        tracing = Tracing(name)
        names = self._argument_names(args, kwargs)
        place = (getattr(self.python, "__code__", None) or user_code(3)[0], 0)
        given: list[tuple[int, Node]] = []
        inside: list[Any] = []
        for i, (x, kept) in enumerate(zip(arguments, signature.entries, strict=True)):
            if isinstance(x, (Array, np.ndarray, np.generic)) or kept is PROMOTED:
                number = x.number if type(x) is Array else np.asarray(x)
                if number.dtype.kind not in "fiub":
                    raise ArgumentError(f"the argument {names[i]!r} of {name} is an array of {number.dtype}",
                                        why="a compiled program works on real numbers", fix="pass floats or integers",
                                        code="not-real")  # fmt: skip
                given.append((i, tracing.leaf(names[i], number.shape, number.dtype.newbyteorder("="))))
                if kept is PROMOTED:
                    tracing.floats.append(given[-1][1])
                if names[i].partition("[")[0] in self.lanes:
                    tracing.lanes.append(given[-1][1])
                x = eager(Array(given[-1][1]), ("argument", *place), None, x.serial if type(x) is Array else 0)
            inside.append(x)
        known = [name.partition("[")[0] for name in names]
        unknown = [lane for lane in self.lanes if lane not in known] if _parameters(self.python) is None else []
        if unknown:
            raise _no_lane(unknown[0], name, known)
        structure = flatten((args, kwargs))[1]
        args, kwargs = structure.build(inside)
        with tracing.running():
            leaves, nested = flatten(run(self.python, args, kwargs))
            for x in leaves:
                _check_result(x, name)
            results = [tracing.result(x.read() if isinstance(x, Readable) else x)
                       if isinstance(x, (Array, Readable, np.ndarray, np.generic)) else x for x in leaves]  # fmt: skip
        ours = tracing.variables or tracing.captured or tracing.arrays or any(type(x) is Array for x in arguments)
        return tracing, (given, results, nested, not ours)

    def _argument_names(self, args: tuple, kwargs: dict) -> list[str]:
        """A name for every array among the arguments."""
        groups = [*zip(argument_names(self.python, len(args)), args, strict=True), *kwargs.items()]
        names = []
        for name, x in groups:
            leaves, structure = flatten(x)
            names += [name] if structure == ONE_VALUE else [f"{name}[{k}]" for k in range(len(leaves))]
        return names

    # -- what to say
    def _report(self, signature: Signature, seconds: float) -> None:
        if not self._programs:
            return
        count = len(signature.entries)
        flat = isinstance(signature.structure, int)
        names = argument_names(self.python, count) if flat else [f"value {i}" for i in range(count)]
        others = sorted((s for s, _ in self._programs.values()), key=lambda s: s.structure != signature.structure)
        told = min((signature.difference(s, names) for s in others), key=len)
        self.retraces.append(f"{name_of(self.python)} was traced again at {user_place()}: {'; '.join(told)}")
        LOG.warning("%s (%.1f s)", self.retraces[-1], seconds)
        if len(self._programs) + 1 == MANY:
            code = self.python.__code__
            warnings.warn_explicit(
                f"{MANY} traces of {name_of(self.python)}, each of which is compiled; the last: {'; '.join(told)}. "
                "Pass numbers that vary as arrays (np.asarray(x)), make shapes equal by padding, make the function once",
                RetraceWarning, code.co_filename, code.co_firstlineno)  # fmt: skip

    def _is_rebound(self, program: Concrete) -> bool:
        """Whether a name that led to a variable leads elsewhere now; says so."""
        for one in program.found:
            if not one.is_there():
                warnings.warn(one.told(name_of(self.python)), RetraceWarning, stacklevel=3)
                return True
        return False

    def _created(self, made: tuple[Variable, Place], before: tuple[Variable, Place] | None) -> FunctionError:
        variable, place = made
        first = f"; the first was made at {before[1]}" if before else ""
        return FunctionError(
            "ad.function only supports singleton Variables created on the first call. Make sure the Variable is only created "
            "once or created outside of the function.",
            where=str(place), why=f"the variable {variable.name!r} is made in every call of {name_of(self.python)}{first}",
            fix="make it outside, or guard it: if self.w is None: self.w = ad.Variable(...)", code="variable-created",
        )  # fmt: skip


def _flat(args: tuple, kwargs: dict) -> tuple[Sequence[Any], Any]:
    """The arguments one after the other, and how they are nested: their number, if they are not."""
    if not kwargs and not any([isinstance(x, (tuple, list, dict)) or x is None for x in args]):
        return args, len(args)
    return flatten((args, kwargs))


def function(f: Callable | None = None, *, lanes: str | Sequence[str] = ()) -> Any:
    """Compiles a function over arrays: traced once for each signature, run as one kernel afterwards.

    The signature is made of shapes, dtypes, nesting and Python values; arrays, floats that vary and the values of Variables are
    not part of it.  Python side effects happen while it is traced, so once a signature.  `lanes` names the arguments whose
    leading axis counts points that do not depend on each other: such a program runs tile by tile, as the solvers' own.
    Raises CompileError for what has no compiled form, TraceError for Python that needs the number of a value, FunctionError for
    Variables that are made in every call.
    """
    names = tuple(lanes.replace(",", " ").split()) if isinstance(lanes, str) else lanes
    if not isinstance(names, (tuple, list)) or not all(isinstance(n, str) for n in names):
        raise ArgumentError(f"lanes={lanes!r}, which is no name of an argument", fix='lanes="x, t"', code="lanes")
    names = tuple(names)
    if f is None:
        return lambda g: function(g, lanes=names)
    if isinstance(f, Function):
        return Function(f.python, names or f.lanes)
    if not callable(f):
        raise ArgumentError(f"ad.function needs a function, not a {type(f).__name__}", fix="@ad.function above a def",
                            code="not-a-function")  # fmt: skip
    if inspect.isgeneratorfunction(f) or inspect.iscoroutinefunction(f):
        raise ArgumentError(f"ad.function needs a function that returns, and {name_of(f)} yields or awaits",
                            why="it runs once while it is compiled", fix="return a list", code="not-a-function")  # fmt: skip
    known, unknown = _parameters(f), []
    if known is not None:
        unknown = [n for n in names if n not in known]
    if unknown:
        raise _no_lane(unknown[0], name_of(f), known or [])
    return Function(f, names)


def _no_lane(lane: str, name: str, known: Sequence[str]) -> ArgumentError:
    return ArgumentError(f"lanes names {lane!r}, but {name} has the arguments {', '.join(known)}",
                         fix=f"lanes={known[0]!r}" if known else "leave lanes= out", code="lanes")  # fmt: skip


def _check_result(x: Any, name: str) -> None:
    """Raises TraceError for a result whose arrays would stay without numbers."""
    if isinstance(x, (Array, Readable, np.ndarray, np.generic)):
        return
    parts = x if isinstance(x, (set, frozenset)) else getattr(x, "__dict__", None) or {}
    held = [v for v in (parts.values() if isinstance(parts, dict) else parts) if type(v) is Array and type(v.number) is Array]
    if held or isinstance(x, Iterator):
        raise TraceError(f"{name} returns a {type(x).__name__}, " + ("which holds an array" if held else "which runs later"),
                         why="inside a function arrays have no numbers; those that are returned get one",
                         fix="return arrays in tuples, lists, dicts or named tuples", code="escaped")  # fmt: skip


def _parameters(f: Callable) -> list[str] | None:
    """The names of the arguments; None where any may come."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters) else [p.name for p in parameters]
