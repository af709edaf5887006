"""Pattern: one operation with its numbers left out, and with all its derivatives.

A tape keeps, for every operation, a pattern and the numbers to put into it.  The pattern is a graph over leaves that stand for
the arguments; it is traced once for each signature (function, shapes, dtypes).  Its pullback, the map from the cotangents of
the results to those of the arguments, is a graph too, hence a pattern: it can be recorded and pulled back again, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .array import Array, lift, unknown
from .errors import NoRuleError, TraceError
from .graph import Node, constant, substitute, walk
from .primitive import FUNCTIONS, broadcast
from .program import flatten
from .recording import ACTIVE, Event, name_of_operation
from .straight import straight_line
from .transforms import Batch, rebuild, reverse

LARGEST_CACHE = 4096
ZERO = constant(0.0)
GRADIENT = "the gradient of "


class Pattern:
    """`outputs` as nodes over `leaves`; `connected[i]` says whether argument i leads to a result through derivatives.

    `compiler(leaves, outputs, name)` makes the function that computes it, and its derivatives.
    """

    __slots__ = ("name", "leaves", "outputs", "connected", "whole", "selects", "needs", "coarse", "compiler", "_pullbacks",
                 "_run")  # fmt: skip

    def __init__(self, name: str, leaves: Sequence[Node], outputs: Sequence[Node], compiler: Callable = straight_line):
        self.name, self.leaves, self.outputs, self.compiler = name, tuple(leaves), tuple(outputs), compiler
        reached = walk([y for y in outputs if _differentiable(y)], stop=lambda n: not _differentiable(n))
        live = {n.serial for n in reached if n.dtype.kind == "f"}
        self.connected = tuple(leaf.serial in live for leaf in self.leaves)
        self.whole = all(self.connected)
        self.selects = any(n.op.sort == "select" for n in reached)
        # a derivative of a derivative in single precision
        self.coarse = name.startswith(GRADIENT) and any(leaf.dtype == np.float32 for leaf in leaves)
        self.needs: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        self._pullbacks: dict[tuple, Pullback] = {}
        self._run: Callable[..., tuple] | None = None

    def run(self, numbers: Sequence[Any]) -> tuple:
        """The numbers of the results; symbolic ones give a graph."""
        if ACTIVE.trace is not None and any([type(x) is Array for x in numbers]):
            return tuple([Array(n) for n in self.nodes(numbers)])
        if self._run is None:
            self._run = self.compiler(self.leaves, self.outputs, self.name)
        return self._run(*numbers)

    def nodes(self, args: Sequence[Any]) -> list[Node]:
        """The results as nodes over arguments that are traced, or numbers."""
        given = {leaf: _like(lift(x), leaf) for leaf, x in zip(self.leaves, args, strict=True)}
        return substitute(self.outputs, given, rebuild)

    def pullback(self, wants: tuple[bool, ...], seeded: tuple[bool, ...], masked: bool, batch: int = 0) -> Pullback:
        """How the cotangents of the `seeded` results become those of the arguments in `wants`.

        With `batch` the cotangents have a leading axis of that length.
        """
        key = (wants, seeded, masked, batch)
        found = self._pullbacks.get(key)
        if found is None:
            found = self._pullbacks[key] = Pullback(self, wants, seeded, masked, batch)
        return found

    def needed(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Which arguments and which results a pullback may ask for: the others need not be kept."""
        if self.needs is None:
            every = (True,) * len(self.outputs)
            pulls = [self.pullback(self.connected, every, masked) for masked in ((False,) if self.selects else (False, True))]
            self.needs = (tuple(sorted({i for p in pulls for i in p.arguments})),
                          tuple(sorted({i for p in pulls for i in p.results})))  # fmt: skip
        return self.needs


class Pullback:
    """The pattern of a derivative: its leaves are some `arguments`, then some `results`, then the `seeds` of the operation.

    Its outputs are the cotangents of the arguments `to`.  `takes` counts arguments and results in one.
    """

    __slots__ = ("pattern", "arguments", "results", "takes", "seeds", "to")

    def __init__(self, of: Pattern, wants: tuple[bool, ...], seeded: tuple[bool, ...], masked: bool, batch: int):
        seeds = [unknown("cotangent", y.shape, y.dtype) if s else None for y, s in zip(of.outputs, seeded, strict=True)]
        to = [i for i, (want, c) in enumerate(zip(wants, of.connected, strict=True)) if want and c]
        pulled = reverse(of.outputs, seeds, [of.leaves[i] for i in to], masked)
        # a result is at hand, it need not be computed again
        results = {y: unknown("result", y.shape, y.dtype) for y in of.outputs if y.args}
        # a path with derivative zero is a path: only what is not connected has no cotangent
        nodes = [_like(ZERO if c is None else c, of.leaves[i]) for i, c in zip(to, pulled, strict=True)]
        nodes = substitute(nodes, results, rebuild)
        cotangents = {seed: unknown("cotangents", (batch, *seed.shape), seed.dtype) for seed in seeds if seed} if batch else {}
        if batch:
            batched = Batch(cotangents, batch)
            nodes = [batched.of(n) for n in nodes]
        reached = {n.serial for n in walk(nodes)}
        self.arguments = tuple(i for i, leaf in enumerate(of.leaves) if leaf.serial in reached)
        self.results = tuple(i for i, y in enumerate(of.outputs) if y in results and results[y].serial in reached)
        self.takes = self.arguments + tuple(len(of.leaves) + i for i in self.results)
        self.seeds = tuple(i for i, seed in enumerate(seeds) if seed is not None)
        self.to = tuple(to)
        leaves = [of.leaves[i] for i in self.arguments] + [results[of.outputs[i]] for i in self.results]
        leaves += [cotangents[s] if batch else s for s in seeds if s is not None]
        self.pattern = Pattern(GRADIENT + of.name, leaves, nodes, of.compiler)


def _differentiable(node: Node) -> bool:
    """Whether a derivative can pass: not through integers and conditions, nor through steps."""
    return node.dtype.kind == "f" and not (node.op.sort == "elementwise" and node.op.derivative is None)


def _like(cotangent: Node, leaf: Node) -> Node:
    node = broadcast(cotangent, leaf.shape)
    return node if node.dtype == leaf.dtype else FUNCTIONS[np.astype](Array(node), leaf.dtype).node


# ---- the pattern of an event ---------------------------------------------------------------------------------------------

known_patterns: dict[tuple, Pattern] = {}
_by_content: set[tuple] = set()  # signatures whose integers must be known while they are traced


def _signature(x: Any, key: list, numbers: list, serials: list, ufunc: bool) -> None:
    """Adds to `key` what is left of an argument without its numbers; and the numbers, with the serials of arrays.

    Numbers written in a formula (x**2, axis=1) belong to the key, except those that an ufunc gets as data.
    """
    kind = type(x)
    if kind is Array:
        number = x.number
        key.append(number.shape)
        key.append(number.dtype)
        numbers.append(number)
        serials.append(x.serial)
    elif kind is np.ndarray or isinstance(x, np.generic):
        key += (x.shape, x.dtype)
        numbers.append(x)
        serials.append(0)
    elif kind is float or kind is int:
        key.append(kind)
        if ufunc and not is_simple(x):
            numbers.append(x)
            serials.append(0)
        else:
            key.append(x)
    elif kind is tuple or kind is list:
        key += (kind, len(x))
        for y in x:
            _signature(y, key, numbers, serials, ufunc)
    elif kind is slice:
        key += (slice, _plain(x.start), _plain(x.stop), _plain(x.step))
    else:
        key += (kind, x)


def is_simple(x: float) -> bool:
    """Whether a number is part of a formula (x**2, 2 * x, x / 2) and not data: small halves, but not 0, which erases."""
    return x == x and x != 0 and abs(x) <= 64 and 2 * x == int(2 * x)


def _plain(x: Any) -> Any:
    return None if x is None else int(x)


def pattern_of(event: Event) -> tuple[Pattern, list, list]:
    """The pattern of an event, traced if it is the first of its kind, and its numbers, with the serials of arrays."""
    ufunc = type(event.function) is np.ufunc
    parts: list[Any] = [event.function if ufunc else event.rule]
    numbers: list[Any] = []
    serials: list[int] = []
    for x in event.args:
        if type(x) is Array:  # as below, without the call
            number = x.number
            parts.append(number.shape)
            parts.append(number.dtype)
            numbers.append(number)
            serials.append(x.serial)
        else:
            _signature(x, parts, numbers, serials, ufunc)
    if event.kwargs:
        for name, x in event.kwargs.items():
            parts.append(name)
            _signature(x, parts, numbers, serials, ufunc)
    key = tuple(parts)
    try:
        pattern = known_patterns.get(key)
    except TypeError:  # something that cannot be compared
        return _trace(event, False), numbers, serials
    if pattern is None:
        if key not in _by_content:
            try:
                pattern = _trace(event, False)
            except TraceError:
                _by_content.add(key)
        if pattern is None:  # integers become part of the pattern, which then serves only once
            return _trace(event, True), numbers, serials
        if len(known_patterns) >= LARGEST_CACHE:
            for old in list(known_patterns)[: LARGEST_CACHE // 2]:
                known_patterns.pop(old, None)
        known_patterns[key] = pattern
    return pattern, numbers, serials


def _symbolic(x: Any, leaves: list[Node], ufunc: bool, by_content: bool) -> Any:
    """An argument with leaves for its numbers, which are listed in `leaves`."""
    kind = type(x)
    if kind is Array or kind is np.ndarray or isinstance(x, np.generic):
        number = x.number if kind is Array else x
        leaves.append(unknown("argument", number.shape, number.dtype))
        return np.asarray(number) if by_content and number.dtype.kind != "f" else Array(leaves[-1])
    if ufunc and (kind is float or kind is int) and not is_simple(x):
        leaves.append(unknown("number", (), np.dtype(np.float64 if kind is float else np.int64)))
        return Array(leaves[-1])
    return kind([_symbolic(y, leaves, ufunc, by_content) for y in x]) if kind is tuple or kind is list else x


def _trace(event: Event, by_content: bool) -> Pattern:
    leaves: list[Node] = []
    ufunc = type(event.function) is np.ufunc
    name = name_of_operation(event.function)
    args = [_symbolic(x, leaves, ufunc, by_content) for x in event.args]
    result = event.rule(*args, **{k: _symbolic(x, leaves, ufunc, by_content) for k, x in event.kwargs.items()})  # type: ignore[misc]
    outputs = [lift(y) for y in flatten(result)[0]]
    if len(outputs) != len(event.outputs):
        raise NoRuleError(f"{name} has no derivative rule for these arguments", fix="leave its options out, or use others",
                          code="no-rule")  # fmt: skip
    return Pattern(name, leaves, [broadcast(y, x.shape) for y, x in zip(outputs, event.outputs, strict=True)])
