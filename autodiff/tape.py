"""GradientTape: derivatives of what happens inside a `with`, in the manner of TensorFlow, over plain numpy functions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from .array import INSTEAD, Array, Held, Readable, eager, lift, now
from .errors import ArgumentError, CompileError, DifferentiationError, NoRuleError, ShapeError, TapeError, TraceError
from .explain import Escape, History, Watch, reason, where_it_left
from .graph import Node, constant, walk
from .primitive import broadcast
from .program import Structure, flatten
from .record import Identity, Pullable, Step, backward, quick_record, record_of
from .recording import ACTIVE, STORING, Event, Place, user_code, user_frame, user_place
from .sweep import known_sweep, sweep_of
from .transforms import reverse
from .variable import Variable

LOG = logging.getLogger("autodiff")
ONE = np.ones(())
ONE.flags.writeable = False
SAMPLE = 20240229  # of the weights by which batch_jacobian finds coupled rows
MANY = 100  # so often a tape is entered before it says what it holds


class UnconnectedWarning(UserWarning):
    """The gradient with respect to something that is watched is None; the text says why."""


class TapeWarning(UserWarning):
    """Something was not recorded that looks as if it should be."""


@lru_cache(maxsize=256)
def _tell_slow(place: str) -> None:
    """Once for each line of the user: a loop passes it many times."""
    LOG.warning("gradient of a persistent tape inside its own context at %s: it is recorded too, needed for "
                "higher derivatives only, and costs memory", place)  # fmt: skip


class GradientTape:
    """Records the operations on watched arrays inside its `with`, and differentiates them afterwards.

    Variables are watched when they are read (unless `watch_accessed_variables` is False), constants by `watch`.  A tape answers
    one set of gradients and is freed on the way; a `persistent` one answers many and is freed by `del`.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True):
        self._persistent, self._automatic = bool(persistent), bool(watch_accessed_variables)
        self._entered = self._active = self._closed = self._deaf = False
        self._paused = 0
        self._used: Place | None = None
        self._lost: Event | None = None
        self._slow = False
        self._home: dict[str, Any] = {}
        self._clear()

    def _clear(self) -> None:
        self._records: list[Pullable] = []
        # what the records say but for numbers: (pattern, place of its result, places of its arguments), None for the user's own
        self._links: list[tuple | None] = []
        self._tracked: dict[int, int] = {}  # values by serial, numbered
        self._variables: dict[int, Variable] = {}
        self._nodes: dict[int, Node] = {}
        self._marks: dict[int, list[Node]] = {}  # in a function with lanes: the nodes of what is watched
        self._told: set[int] = set()
        self._history = History(self._automatic)

    # -- the context
    def __enter__(self) -> GradientTape:
        if self._active:
            raise TapeError("Tape is still recording, this can happen if you try to re-enter an already-active tape.",
                            fix="leave the `with` first, or make a second GradientTape", code="tape-active")  # fmt: skip
        if self._used is not None and not self._persistent:  # a fresh tape, as in TensorFlow
            self._used = None
            self._clear()
        if len(self._history.intervals) == MANY and self._records:
            warnings.warn(f"a tape was entered {MANY} times and holds all that it recorded, {self.memory()} bytes: make a new "
                          "GradientTape for each step, or forget with tape.reset() inside the `with`",
                          TapeWarning, stacklevel=2)  # fmt: skip
        self._entered = self._active = True
        self._closed, self._lost = False, None
        self._history.started(user_place())
        ACTIVE.add(self)
        self._home = ACTIVE.__dict__
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if not self._active:
            return
        self._active = False
        ACTIVE.remove(self, self._home)
        self._home = {}
        self._history.ended(user_place())
        if self._lost is not None and kind is None:
            place = Place(self._lost.code, self._lost.at)
            self._lost = None
            warnings.warn(f"operations from {place} on were not recorded: a tape that is not persistent stops recording when "
                          "its gradient is asked for; use GradientTape(persistent=True) or ask after the `with`",
                          TapeWarning, stacklevel=2)  # fmt: skip

    def stop_recording(self) -> AbstractContextManager[None]:
        """A context in which nothing is recorded.  Raises TapeError, a ValueError and RuntimeError, outside of the tape."""
        if not self._active or self._closed:
            raise TapeError("Tape is not recording." if self._entered else
                            "Trying to stop recording a tape which is not recording.",
                            fix="call stop_recording inside `with tape:`", code="tape-not-recording")  # fmt: skip
        return self._pause()

    @contextmanager
    def _pause(self) -> Iterator[None]:
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def reset(self) -> None:
        """Forgets all operations and all that is watched, and goes on recording."""
        if not self._active:
            raise TapeError("Tape is not recording.", why="reset is for a tape that is being recorded",
                            fix="make a new GradientTape", code="tape-not-recording")  # fmt: skip
        self._clear()
        self._history.started(user_place())
        self._history.reset = (now(), user_place())

    # -- what is watched
    def watch(self, tensor: Any) -> None:
        """Watches an array, a variable, or tuples, lists and dicts of them, from now on.

        Raises TapeError before the tape is entered, DifferentiationError for plain numbers, ArgumentError for integers.
        """
        for x in [None] if tensor is None else flatten(tensor)[0]:
            if not isinstance(x, (Array, Variable)):
                raise DifferentiationError(
                    f"Passed in object {_short(x)} of type '{type(x).__name__}', not an Array or a Variable.",
                    why="a plain number cannot be recognised when it is used",
                    fix="pass a list of it" if _is_many(x) else "wrap it: x = ad.constant(x)",
                    code="watch-plain")  # fmt: skip
            if not self._entered:
                raise TapeError("watch before the tape was entered", why="a tape records only inside its `with`",
                                fix="with GradientTape() as tape: tape.watch(x)", code="tape-not-entered")  # fmt: skip
            if x.dtype.kind != "f":
                raise ArgumentError(f"The dtype of the watched tensor must be floating (e.g. float64), got {x.dtype}",
                                    why="an integer cannot move by a small amount",
                                    fix="ad.constant(x, dtype=float)", code="watch-integer")  # fmt: skip
            place = user_place()
            if isinstance(x, Variable):
                self._variables[x.serial] = x
            elif x.number is None:
                self._nodes[x.node.serial] = x.node
                continue
            self._tracked.setdefault(x.serial, len(self._tracked))
            self._history.watches.setdefault(x.serial, Watch(place, getattr(x, "used", None)))
            if ACTIVE.trace is not None and ACTIVE.trace.lanes and isinstance(x, Array):
                self._marks.setdefault(x.serial, []).append(ACTIVE.trace.mark(x))

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that are watched, in the order in which they were made."""
        return tuple(self._variables[s] for s in sorted(self._variables))

    # -- what the tape is told (Watcher)
    @property
    def _recording(self) -> bool:
        return not (self._paused or self._closed)

    def operation(self, event: Event) -> None:
        tracked = self._tracked
        for a in event.arrays:
            if a.serial in tracked:
                break
        else:
            self._history.unwatched(event)
            return
        if self._paused or self._closed:
            if self._closed and not self._deaf:
                self._lost = self._lost or event
            if not self._deaf:
                self._history.cut("paused" if self._paused else "closed", event)
            return
        record = record_of(event)
        step, pattern = record.step, record.pattern
        if not any([s in tracked for s in step.sources]):
            self._history.cut("operation", event)
            return
        self._records.append(record)
        self._links.append((pattern, len(tracked), *[tracked.get(s) for s in step.ins]) if pattern is not None else None)
        for y in step.outs:
            tracked[y] = len(tracked)

    def quick(self, rule: Callable, xs: Sequence[Any], kwargs: dict, y: Array) -> bool:
        """What `operation` does, if this tape alone is watching and the like was recorded before; False asks for the event."""
        if self._paused or self._closed:
            return False
        made = quick_record(rule, xs, kwargs, y, self._tracked)
        if made is None:
            return False
        record, link = made
        self._records.append(record)
        self._links.append(link)
        self._tracked[y.serial] = link[1]
        return True

    def used(self, variable: Any) -> bool:
        serial = variable.identity.serial
        if self._paused or self._closed or serial in self._history.writes:
            return False
        if serial in self._variables:
            return True
        if not (self._automatic and variable.trainable and variable.dtype.kind == "f"):
            return False
        self._variables[serial] = variable
        self._tracked.setdefault(serial, len(self._tracked))
        return True

    def read(self, variable: Any, value: Any) -> None:
        history, serial = self._history, variable.identity.serial
        if serial in history.writes:
            history.rewritten(variable, value)
        if self._closed or self._paused:
            if serial in self._tracked or self._automatic and variable.trainable:
                history.step("paused" if self._paused else "closed", "read", [serial], [value.serial], value.origin)
            return
        if serial not in self._variables:
            if not (self._automatic and variable.trainable and value.dtype.kind == "f"):
                history.unwatched_reads.setdefault(serial, Place(*value.origin[1:3]))
                return
            self._variables[serial] = variable
            self._tracked.setdefault(serial, len(self._tracked))
        tracked = self._tracked
        if ACTIVE.trace is not None and ACTIVE.trace.lanes:
            self._marks.setdefault(serial, []).append(ACTIVE.trace.mark(value))
        self._records.append(Identity(serial, value))
        self._links.append(("read", tracked[serial], len(tracked)))
        tracked[value.serial] = len(tracked)

    def written(self, variable: Any, value: Any) -> None:
        serial = getattr(value, "serial", 0)
        if serial in self._tracked or serial in self._history.shadow:
            self._history.writes[variable.serial] = (serial, user_place())
        else:
            self._history.writes.pop(variable.serial, None)

    def left(self, array: Any, how: str, number: Any) -> None:
        serial = getattr(array, "serial", 0)
        if how == STORING and serial in self._tracked and self._recording:
            raise TraceError(
                "you are storing a watched value into a plain numpy array", code="stored",
                why="a plain array holds numbers, which carry no derivative",
                fix="y = ad.constant(np.zeros(n)) and y[i] = value is recorded; or np.stack([...])")  # fmt: skip
        if how.startswith("scipy.") and serial in self._tracked and self._recording:
            raise NoRuleError(f"{how} has no derivative rule here", fix=f"use {INSTEAD[how]}" if how in INSTEAD else
                              f"write it with numpy functions, or apply {how} to x.numpy()",
                              why=f"{how} asks for plain numbers, which carry no derivative", code="no-rule")  # fmt: skip
        if serial in self._tracked or serial in self._history.shadow:
            self._history.escapes.append(Escape(serial, how, user_place(), number))

    def entered(self, array: Any, given: Any) -> None:
        self._history.returned(array, given)

    # -- gradients
    def gradient(self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: str = "none") -> Any:
        """The gradient of the sum of all elements of `target`, nested as `sources`; None where no recorded path leads.

        `output_gradients`, nested as `target`, weighs the elements (a scalar all of them, None is one).  With
        `unconnected_gradients="zero"` zeros stand for None.  `explain` says why one is None.
        """
        self._begin(unconnected_gradients)
        if output_gradients is None and type(sources) is list and type(target) is Array:
            known = self._by_known_way(target, sources)
            if known is not None:
                return known
        targets, _ = flatten(target)
        if target is None or not targets and not isinstance(target, (tuple, list, dict)):
            raise ArgumentError("Argument `target` should be a list or nested structure of Arrays or Variables to be "
                                "differentiated, but received None.", fix="did you forget to return the loss?",
                                code="target-none")  # fmt: skip
        arrays = [x if type(x) is Array else self._as_target(x, i, len(targets)) for i, x in enumerate(targets)]
        given, structure = self._flat(sources)
        for x in given:
            if type(x) is not Variable:
                self._check_source(x)
        seeds = self._seeds(arrays, output_gradients, target)
        found = self._pull(arrays, seeds, given, 0)
        return structure.build([self._answer(y, x, target, unconnected_gradients) if y is None else y
                                for y, x in zip(found, given, strict=True)])  # fmt: skip

    def jacobian(self, target: Any, sources: Any, unconnected_gradients: str = "none", parallel_iterations: int | None = None,
                 experimental_use_pfor: bool = True) -> Any:  # fmt: skip
        """d target / d source with shape target.shape + source.shape, nested as `sources`; all rows in one batch.

        `experimental_use_pfor=False` goes row by row, which needs a persistent tape and little memory.
        """
        if not experimental_use_pfor and not self._persistent:
            raise TapeError("GradientTape must be created with persistent=True to compute the jacobian with "
                            "experimental_use_pfor=False.", fix="GradientTape(persistent=True)", code="tape-used")  # fmt: skip
        self._begin(unconnected_gradients)
        y = self._as_target(target, 0, 1)
        given, structure = self._flat(sources)
        for x in given:
            self._check_source(x)
        # of nothing one row is pulled back, to see what is connected
        rows = np.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape) if y.size else np.zeros((1, *y.shape), y.dtype)
        found = self._pull([y], [rows], given, len(rows)) if experimental_use_pfor else self._row_by_row(y, rows, given)
        shaped = [None if c is None else np.reshape(c[: y.size], y.shape + x.shape) for c, x in zip(found, given, strict=True)]
        for c in shaped:
            if c is not None:
                c.origin = self._origin()
        return structure.build([self._answer(c, x, target, unconnected_gradients, y.shape)
                                for c, x in zip(shaped, given, strict=True)])  # fmt: skip

    def _row_by_row(self, y: Array, rows: np.ndarray, given: list) -> list:
        found = [self._pull([y], [row], given, 0) for row in rows]
        return [None if not found or found[0][k] is None else np.stack([row[k] for row in found]) for k in range(len(given))]

    def batch_jacobian(self, target: Any, source: Any, unconnected_gradients: str = "none",
                       parallel_iterations: int | None = None, experimental_use_pfor: bool = True) -> Any:  # fmt: skip
        """d target[b] / d source[b] for every row b, with shape (b, *target.shape[1:], *source.shape[1:]).

        Row b of the target may depend on row b of the source only; raises DifferentiationError if it does not.
        """
        if not experimental_use_pfor and not self._persistent:
            raise TapeError("GradientTape must be created with persistent=True to compute the batch_jacobian with "
                            "experimental_use_pfor=False.", fix="GradientTape(persistent=True)", code="tape-used")  # fmt: skip
        self._begin(unconnected_gradients)
        y = self._as_target(target, 0, 1)
        self._check_source(source)
        if y.ndim < 2 or source.ndim < 2 or y.shape[0] != source.shape[0]:
            raise ShapeError(f"Need first dimension of target shape ({y.shape}) and source shape ({source.shape}) to match.",
                             why="batch_jacobian differentiates row by row, so both need two axes and equally many rows",
                             fix="tape.jacobian(target, source)", code="batch-rows")  # fmt: skip
        b, n = y.shape[0], int(np.prod(y.shape[1:]))
        one = np.broadcast_to(np.eye(n, dtype=y.dtype).reshape(n, 1, *y.shape[1:]), (n, *y.shape))
        # weighted by a number for each row, the answer must be weighted in the same way
        weights = np.random.default_rng(SAMPLE).uniform(1.0, 2.0, b).astype(y.dtype)
        seeds = np.concatenate([one, one * weights.reshape(1, b, *(1,) * (y.ndim - 1))])
        (found,) = self._pull([y], [seeds], [source], 2 * n)
        shape = y.shape + source.shape[1:]
        if found is None:
            return eager(np.zeros(shape, source.dtype), self._origin())
        first, second = found[:n], found[n:]
        if type(first.number) is not Array:
            self._check_rows(_number(first), _number(second), weights)
        answer = np.reshape(np.moveaxis(first, 0, 1), shape)
        answer.origin = self._origin()
        return answer

    def _check_rows(self, first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> None:
        expected = first * weights.reshape(1, -1, *(1,) * (first.ndim - 2))
        with np.errstate(all="ignore"):
            off = np.abs(second - expected)
            scale = np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
            wrong = np.isfinite(off) & (off > 1e3 * np.finfo(first.dtype).eps * (np.abs(expected) + scale))
        if wrong.any():
            row = int(np.argwhere(wrong)[0][1])
            raise DifferentiationError(
                "batch_jacobian of a target whose rows are coupled",
                why=f"row {row} of the source moves other rows of the target, so there is no jacobian for each row",
                fix="tape.jacobian(target, source)", code="coupled-rows")  # fmt: skip

    def explain(self, target: Any, source: Any) -> str:
        """Why the gradient of `target` with respect to `source` is None: cause, file:line and fix in a sentence."""
        frame, steps = user_frame(), self._steps()
        told = [reason(self._history, steps, self._tracked, target, x, frame) for x in _leaves(source)]
        return next((t for t in told if t.code), told[0])

    def memory(self) -> int:
        """The bytes of the arrays that the tape holds."""
        held: dict[int, int] = {}
        for record in self._records:
            for x in record.kept:
                if isinstance(x, np.ndarray):
                    base = x if x.base is None else x.base
                    held[id(base)] = getattr(base, "nbytes", x.nbytes)
        return sum(held.values())

    # -- how
    def _steps(self) -> list[Step]:
        records: list[Any] = [*self._history.done, *self._records]
        return [r if type(r) is Step else r.step for r in records]

    def _begin(self, unconnected: str) -> None:
        if unconnected not in ("none", "zero"):
            raise DifferentiationError(f"Unknown value for unconnected_gradients: {unconnected!r}",
                                       fix='use "none" or "zero"', code="unconnected-value")  # fmt: skip
        if not self._entered:
            raise TapeError("the gradient of a tape that was never entered", why="nothing has been recorded",
                            fix="with GradientTape() as tape: ...", code="tape-not-entered")  # fmt: skip
        if self._used is not None and not self._persistent:
            raise TapeError("A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians)",
                            why=f"the first call was at {self._used}, and the tape was freed by it",
                            fix="use GradientTape(persistent=True), or ask for all sources in one call",
                            code="tape-used")  # fmt: skip
        if self._persistent:
            if self._active and not self._paused and not self._slow:
                self._slow = True
                _tell_slow(user_place())

    def _end(self) -> None:
        """After the one use of a tape that is not persistent."""
        if not self._persistent:
            self._used = user_place()
            if self._active:
                self._closed = True
                self._history.closed = (now(), self._used)

    def _as_target(self, x: Any, index: int, count: int) -> Array:
        which = f"target {index}" if count > 1 else "target"
        if isinstance(x, Variable):
            if self._active:
                return x.read()
            value = x.read_unwatched()
            self.read(x, value)
            return value
        if isinstance(x, Array):
            return x
        raise ArgumentError(f"{which} is a {_kind(x)}, not an Array or a Variable",
                            why=where_it_left(self._history, x),
                            fix="one array: np.stack(list(targets))" if _is_many(x) else
                            "keep the loss an array; take .numpy() or float() of it only after the gradient",
                            code="target-plain")  # fmt: skip

    def _flat(self, sources: Any) -> tuple[list[Any], Structure]:
        if sources is None:
            self._check_source(None)
        return flatten(sources)

    def _check_source(self, x: Any) -> None:
        if not isinstance(x, (Array, Variable)):
            raise ArgumentError(f"a source is a {_kind(x)}, not an Array or a Variable",
                                why=where_it_left(self._history, x),
                                fix="pass a list of it: list(sources)" if _is_many(x) else
                                "wrap it before it is used: x = ad.constant(x); tape.watch(x)",
                                code="source-plain")  # fmt: skip

    def _seeds(self, targets: Sequence[Array], output_gradients: Any, target: Any) -> list[Any]:
        if output_gradients is None:
            return [None] * len(targets)
        if not isinstance(output_gradients, (tuple, list, dict)) or _is_numbers(output_gradients) and len(targets) == 1:
            given: list[Any] = [output_gradients]
        else:
            given = _leaves(_ordered(output_gradients, target))
        if len(given) != len(targets):
            raise ArgumentError(f"output_gradients has {len(given)} entries, but target has {len(targets)}",
                                fix="give one for each target; None stands for ones", code="output-gradients")  # fmt: skip
        seeds = []
        for i, (g, y) in enumerate(zip(given, targets, strict=True)):
            if isinstance(g, Readable):
                g = g.read()
            if g is not None:
                g = g if isinstance(g, Array) else np.asarray(g)
                if g.dtype.kind not in "fiub":
                    raise ArgumentError(f"output_gradients[{i}] is a {_kind(given[i])} of dtype {g.dtype}",
                                        why="it weighs the elements of the target", fix="pass floats",
                                        code="output-gradients")  # fmt: skip
                if g.shape not in ((), y.shape):
                    raise ShapeError(f"output_gradients[{i}] has shape {g.shape}, but target {i} has shape {y.shape}",
                                     why="the cotangent of an array has the shape of the array",
                                     fix=f"pass an array of shape {y.shape}, a scalar, or None",
                                     code="output-gradients")  # fmt: skip
                g = _cotangent(g, y)
            seeds.append(g)
        return seeds

    def _pull(self, targets: Sequence[Array], seeds: Sequence[Any], sources: Sequence[Any], batch: int) -> list[Any]:
        """The cotangents of the sources, None without a path, by the operations recorded; frees a tape for one use."""
        if ACTIVE.trace is not None and ACTIVE.trace.lanes:
            return self._by_graph(targets, seeds, sources, batch)
        others = any([w is not self or (self._persistent and self._recording) for w in ACTIVE.watchers])
        serials = [x.serial if type(x) is Variable or x.number is not None else 0 for x in sources]
        # what is not watched has no gradient, although it stands in the records; a target is its own source in any case
        wanted = [s for s in serials if s in self._tracked]
        wanted += [y.serial for y in targets if y.number is not None and y.serial not in self._tracked and y.serial in serials]
        pairs: list[tuple[int, Any]] = []
        traced: list[tuple[Array, Any]] = []
        for y, seed in zip(targets, seeds, strict=True):
            number = y.number
            if number is None:
                if y.dtype.kind == "f":
                    traced.append((y, seed))
                continue
            if number.dtype.kind != "f":
                continue
            if seed is None:
                seed = ONE if type(number) is np.float64 else np.ones(number.shape, number.dtype)
                if type(number) is Array:
                    seed = _filled(constant(1.0), y.number.node).astype(y.dtype)
                    seed = eager(seed, self._origin())
            if others and not isinstance(seed, Array):
                seed = eager(seed, self._origin())
            pairs.append((y.serial, seed))
        found: dict[Any, Any] = {}
        if traced:
            if batch:
                raise NoRuleError("the jacobian of a tape inside a transform", why="there the graph is the record",
                                  fix="use ad.jacobian, or tape.gradient", code="jacobian-inside")  # fmt: skip
            entering, found = self._reverse_graph(traced, sources)
            pairs += entering
        if not self._persistent:
            self._end()
        self._deaf = not self._persistent
        try:
            with np.errstate(all="ignore"):
                pulled = self._go_back(pairs, wanted, batch)
        finally:
            self._deaf = False
            if not self._persistent:
                self._history.done += [self._records.pop().spent() for _ in range(len(self._records))]  # none, unless it failed
        answers = []
        origin = self._origin()
        for x, serial in zip(sources, serials, strict=True):
            c = pulled.get(serial) if serial else found.get(x.node.serial)
            if c is not None and type(c) is not Array:
                c = eager(c if isinstance(c, (np.ndarray, np.generic)) else np.asarray(c), origin)
            answers.append(c)
        return answers

    def _by_known_way(self, target: Array, sources: list) -> list[Array] | None:
        """The gradient of a number where nothing is unusual and the way back is known, `gradient` written out; else None."""
        if self._persistent or self._active or ACTIVE.watchers or type(target.number) is not np.float64:
            return None
        records, tracked = self._records, self._tracked
        starts = [tracked.get(x.identity.serial if type(x) is Variable else getattr(x, "serial", 0)) for x in sources]
        sweep = known_sweep(self._links, tracked.get(target.serial), starts)
        if sweep is None or len(sweep.reached) != len(starts) or ACTIVE.trace is not None:
            return None
        code, at = user_code(2)
        self._used = Place(code, at)
        rows = [records[k].kept for k in sweep.used]
        self._history.done += [r.spent() for r in records]
        records.clear()
        with np.errstate(all="ignore"):
            found = sweep.function(rows.pop, ONE)
        origin = ("gradient", code, at)
        answers: list[Any] = [None] * len(starts)
        for i, c in zip(sweep.reached, found, strict=True):
            answers[i] = eager(c if isinstance(c, (np.ndarray, np.generic)) else np.asarray(c), origin)
        return answers

    def _go_back(self, pairs: Sequence[tuple[int, Any]], wanted: Sequence[int], batch: int) -> dict[int, Any]:
        """The cotangents of what is wanted, by serial; the way is walked until it is known."""
        records, sweep = self._records, None
        if ACTIVE.trace is None and not any([type(seed) is Array for _, seed in pairs]):
            sweep = sweep_of(records, self._links, self._tracked, [y for y, _ in pairs], wanted, batch)
        if sweep is None:
            return backward(records, pairs, set(wanted), batch, None if self._persistent else self._history.done)
        rows = [records[k].kept for k in sweep.used]
        if not self._persistent:
            self._history.done += [r.spent() for r in records]
            records.clear()
        found = sweep.function(rows.pop, *[seed for _, seed in pairs])
        return {wanted[i]: c for i, c in zip(sweep.reached, found, strict=True)}

    def _reverse_graph(self, traced: Sequence[tuple[Array, Any]], sources: Sequence[Any]) -> tuple[list, dict]:
        """Inside a transform the graph itself is the record: cotangents of the eager leaves, and of the traced sources."""
        ys = [y.node for y, _ in traced]
        nodes = walk(ys)
        leaves = [n for n in nodes if isinstance(n.attr, Held) and n.attr.serial in self._tracked]
        watched = {s for s in self._nodes}
        known = {n.serial for n in nodes if n.serial in watched}
        for n in nodes:
            if any(a.serial in known for a in n.args):
                known.add(n.serial)
        wanted = [x.node for x in sources if isinstance(x, Array) and x.number is None and x.node.serial in known | watched]
        seeds = [constant(1.0) if s is None else lift(s) for _, s in traced]
        pulled = reverse(ys, seeds, [*leaves, *wanted])
        arrays = [None if c is None else _filled(c, n) for c, n in zip(pulled, [*leaves, *wanted], strict=True)]
        entering = [(n.attr.serial, c) for n, c in zip(leaves, arrays, strict=False) if c is not None]
        return entering, {n.serial: c for n, c in zip(wanted, arrays[len(leaves) :], strict=True) if c is not None}

    def _by_graph(self, targets: Sequence[Array], seeds: Sequence[Any], sources: Sequence[Any], batch: int) -> list[Any]:
        """In a function with lanes: what the graph says, in which points are known to be independent."""
        assert ACTIVE.trace is not None
        if batch or any(cut.kind == "paused" for cut in self._history.cuts):
            what = "a jacobian" if batch else "a tape that does not record all operations"
            raise CompileError(f"{what} in a function with lanes", why="there derivatives are taken from the formulas",
                               fix="leave lanes= out of ad.function", code="lanes")  # fmt: skip
        pairs = [(lift(_raw(y)), None if s is None else lift(_raw(s))) for y, s in zip(targets, seeds, strict=True)]
        live = [(y, s) for y, s in pairs if y.dtype.kind == "f"]
        marks = [self._marks.get(x.serial) or ([] if isinstance(x, Variable) else [lift(_raw(x))]) for x in sources]
        found = iter(ACTIVE.trace.derivatives([y for y, _ in live], [s for _, s in live], [m for ms in marks for m in ms]))
        if not self._persistent:
            self._end()
        answers: list[Any] = []
        for ms in marks:
            parts = [c for c in [next(found) for _ in ms] if c is not None]
            answers.append(eager(sum([Array(c) for c in parts[1:]], Array(parts[0])), self._origin()) if parts else None)
        return answers

    def _origin(self) -> tuple[Any, Any, int]:
        return "gradient", *user_code(2)

    def _answer(self, found: Any, source: Any, target: Any, unconnected: str, lead: tuple[int, ...] = ()) -> Any:
        if found is not None:
            return found
        if unconnected == "zero":
            return eager(np.zeros(lead + source.shape, source.dtype), self._origin())
        serial = source.serial if isinstance(source, Variable) or source.number is not None else source.node.serial
        if serial in self._tracked and serial not in self._told:
            self._told.add(serial)
            frame = user_frame()
            why = reason(self._history, self._steps(), self._tracked, target, source, frame)
            warnings.warn_explicit(f"a gradient is None: {why}", UnconnectedWarning, frame.f_code.co_filename, frame.f_lineno,
                                   frame.f_globals.get("__name__"), frame.f_globals.setdefault("__warningregistry__", {}))
        return None


def _stack(xs: Any) -> Any:
    return np.stack(xs)


def _raw(x: Any) -> Any:
    return x.number if isinstance(x, Array) and x.number is not None else x


def _number(x: Any) -> np.ndarray:
    return np.asarray(x.number if isinstance(x, Array) else x)


def _filled(c: Node, leaf: Node) -> Array:
    return Array(broadcast(c, leaf.shape))


def _cotangent(g: Any, y: Array) -> Any:
    """A cotangent with the shape and dtype of the target."""
    if isinstance(g, Array):
        g = g if g.shape == y.shape else np.broadcast_to(g, y.shape)
        return g if g.dtype == y.dtype else g.astype(y.dtype)
    return np.broadcast_to(g, y.shape).astype(y.dtype)


def _is_numbers(tree: Any) -> bool:
    """Whether a nested list is a way to write an array."""
    leaves = _leaves(tree)
    return isinstance(tree, (tuple, list)) and bool(leaves) and all(isinstance(x, (int, float, np.generic)) for x in leaves)


def _ordered(tree: Any, like: Any) -> Any:
    """The same with its dicts in the order of those of `like`."""
    if isinstance(tree, dict) and isinstance(like, dict) and tree.keys() == like.keys():
        return {k: _ordered(tree[k], like[k]) for k in like}
    if isinstance(tree, (tuple, list)) and isinstance(like, (tuple, list)) and len(tree) == len(like):
        return [_ordered(x, y) for x, y in zip(tree, like, strict=True)]
    return tree


def _leaves(tree: Any) -> list[Any]:
    """All entries, None among them."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [y for x in tree for y in _leaves(x)] if isinstance(tree, (tuple, list)) else [tree]


def _kind(x: Any) -> str:
    name = type(x).__name__
    return f"numpy.{name}" if isinstance(x, (np.ndarray, np.generic)) else name


def _is_many(x: Any) -> bool:
    """Whether something plain may hold arrays: a list, a set, a generator."""
    return isinstance(x, Iterable) and not isinstance(x, (str, bytes, np.ndarray))


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."
