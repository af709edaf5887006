"""One compiled program of a function, and what happens around a call: variables are read and written, tapes are told."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .array import Array, eager
from .compile import LaneProgram, WholeProgram
from .errors import CompileError, NumericsError
from .graph import Node
from .health import describe
from .pattern import Pattern
from .program import Structure
from .rebound import Found
from .record import Record
from .recording import ACTIVE, Event, Place, user_code
from .rules.tidy import tidied
from .tracing import Tracing, check_inputs, narrowed, settled, values_only


def compiler(places: dict[int, Place], lanes: Sequence[Node] = ()) -> Callable[[Sequence[Node], Sequence[Node], str], Any]:
    """Makes programs; `places` knows where in the user's code a node was made, `lanes` are inputs of many points."""

    def compiled(leaves: Sequence[Node], outputs: Sequence[Node], name: str) -> Any:
        outputs = tidied(values_only(outputs))
        try:
            if lanes and set(lanes) <= set(leaves):
                return LaneProgram(leaves, outputs, lanes, name)
            return WholeProgram(leaves, outputs, name)
        except CompileError as error:
            place = places.get(error.node.serial) if error.node is not None else None
            eagerly = "ad.run_functions_eagerly(True), or take @ad.function away: the same code runs eagerly"
            raise CompileError(error.what, where=str(place) if place else None, why=error.why, node=error.node,
                               fix=f"{error.fix}; {eagerly}" if error.fix else eagerly, code=error.code) from None

    return compiled


class Concrete:
    """The program of one signature, compiled, with what has to happen around it."""

    def __init__(self, name: str, tracing: Tracing, given: Sequence[tuple[int, Node]], results: Sequence[Any],
                 structure: Structure, plain: bool, found: Sequence[Found]):  # fmt: skip
        states = list(tracing.variables.values())
        self.name, self.structure, self.plain, self.checks, self.found = name, structure, plain, tracing.checks, found
        self.positions = [i for i, _ in given]
        self.variables = [s.variable for s in states]
        self.captured = [x for x, _ in tracing.captured.values()]
        self.leaves = [leaf for _, leaf in given] + [s.leaf for s in states] + [leaf for _, leaf in tracing.captured.values()]
        # what is no array is returned as it is
        self.constants = [None if isinstance(x, Node) else (x,) for x in results]
        nodes = [x for x in results if isinstance(x, Node)]
        self.writes = [s.variable for s in states if s.written]
        new = [s.number.node for s in states if s.written]
        self.outputs = settled([*nodes, *new, *[c.node for c in self.checks]])
        if tracing.floats:
            self.outputs = narrowed(self.outputs, tracing.floats)
        self.results = self.outputs[: len(nodes)]
        check_inputs(self.outputs, self.leaves)
        self.compiler = compiler(tracing.places, tracing.lanes)
        self.run = self.compiler(self.leaves, self.outputs, name)
        self.run.compile()
        self._pattern: Pattern | None = None

    @property
    def pattern(self) -> Pattern:
        """The operation that this is for tapes outside; its derivatives are compiled too."""
        if self._pattern is None:
            self._pattern = Pattern(self.name, self.leaves, self.results, self.compiler)
        return self._pattern

    def __call__(self, arguments: Sequence[Any]) -> Any:
        watched = bool(ACTIVE.watchers)
        given = [arguments[i] for i in self.positions]
        if watched:  # variables are read, so that tapes watch them
            given += [v.read() for v in self.variables] + self.captured
            numbers = [x.number if type(x) is Array else x for x in given]
        else:
            numbers = [x.number if type(x) is Array else x for x in given]
            numbers += [v.number for v in self.variables] + [x.number for x in self.captured]
        found = self.run(*numbers)
        if self.checks:
            self._check(found[len(found) - len(self.checks) :])
        count = len(self.results)
        if self.plain:
            outputs = [y if y.ndim else y[()] for y in found[:count]]
        else:
            code, at = user_code(2)
            outputs = [eager(y, (self.name, code, at)) for y in found[:count]]
            if watched:
                self._tell(given, numbers, outputs, code, at)
        for variable, new in zip(self.writes, found[count:], strict=False):
            variable.store(new)
        rest = iter(outputs)
        return self.structure.build([next(rest) if c is None else c[0] for c in self.constants])

    def _tell(self, given: list, numbers: list, outputs: list, code: types.CodeType, at: int) -> None:
        serials = [x.serial if type(x) is Array else 0 for x in given]
        event = Event(self.name, None, given, {}, [x for x in given if type(x) is Array], outputs, code, at,
                      lambda: Record(self.name, self.pattern, numbers, serials, outputs, code, at))  # fmt: skip
        for watcher in ACTIVE.watchers:
            watcher.operation(event)

    def _check(self, values: Sequence[np.ndarray]) -> None:
        for check, value in zip(self.checks, values, strict=True):
            if not np.isfinite(value).all():
                nan, inf = bool(np.isnan(value).any()), bool(np.isinf(value).any())
                kinds = "Inf and NaN" if nan and inf else "NaN" if nan else "Inf"
                raise NumericsError(f"{check.message} : Tensor had {kinds} values", where=str(check.place), why=describe(value),
                                    fix="with ad.debug_numerics(): ... names the operation that made them",
                                    code="not-finite")  # fmt: skip
