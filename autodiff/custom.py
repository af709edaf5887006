"""Gradients of the user's own: `custom_gradient`, and `recompute_grad`, which trades time for memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from .array import Argument, Array, eager, lift, unknown
from .errors import ArgumentError, DifferentiationError, TraceError
from .graph import SYMBOL, VIEW, Node, substitute, walk
from .primitive import Opaque, broadcast
from .program import check_function, flatten, name_of
from .record import Step, needs_tracing
from .recording import ACTIVE, Event, Watcher, user_code
from .tape import GradientTape
from .transforms import Batch, rebuild, reverse
from .variable import Variable


class Reads:
    """Notes which trainable variables are read."""

    def __init__(self) -> None:
        self.variables: dict[int, Variable] = {}

    def used(self, variable: Variable) -> bool:
        return False

    def read(self, variable: Variable, value: Array) -> None:
        if variable.trainable:
            self.variables[variable.serial] = variable

    def operation(self, event: Event) -> None:
        pass

    def written(self, variable: Any, value: Any) -> None:
        pass

    def left(self, array: Any, how: str, number: Any) -> None:
        pass

    def entered(self, array: Any, given: Any) -> None:
        pass


@contextmanager
def _watching(watcher: Watcher) -> Iterator[None]:
    home = ACTIVE.__dict__
    ACTIVE.add(watcher)
    try:
        yield
    finally:
        ACTIVE.remove(watcher, home)


class CustomRecord:
    """An operation whose pullback the user wrote."""

    __slots__ = ("step", "gradient", "shapes", "models", "variables")
    selects = False
    pattern, kept = None, ()

    def __init__(self, name: str, gradient: Callable, inputs: Sequence[Any], variables: Sequence[Variable],
                 outputs: Sequence[Array], code: Any, at: int):  # fmt: skip
        models = [*inputs, *variables]
        serials = [x.serial if isinstance(x, (Array, Variable)) else 0 for x in models]
        connected = [isinstance(x, (Array, Variable)) and x.dtype.kind == "f" for x in models]
        self.step = Step("operation", name, serials, [y.serial for y in outputs], connected, code, at)
        self.gradient, self.variables = gradient, tuple(variables)
        self.shapes = [(y.shape, y.dtype) for y in outputs]
        self.models = [(x.shape, x.dtype) if c else None for x, c in zip(models, connected, strict=True)]

    def spent(self) -> Step:
        return self.step

    def pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...], masked: bool, batch: int) -> Iterable[tuple[int, Any]]:
        if not batch:
            return self._pull(cotangents, wants)
        rows = [dict(self._pull([None if c is None else c[k] for c in cotangents], wants)) for k in range(batch)]
        return [(i, np.stack([row[i] for row in rows])) for i in rows[0]]

    def _pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...]) -> list[tuple[int, Any]]:
        recorded = any(type(c) is Array for c in cotangents)
        origin = ("gradient", self.step.code, self.step.at)
        given = [c if type(c) is Array else eager(np.zeros(shape, dtype) if c is None else np.asarray(c), origin)
                 for c, (shape, dtype) in zip(cotangents, self.shapes, strict=True)]  # fmt: skip
        count = len(self.step.ins) - len(self.variables)
        grads = [*call_gradient(self.gradient, given, count, self.variables)]
        found: list[tuple[int, Any]] = []
        for i, (g, want, model) in enumerate(zip(grads, wants, self.models, strict=True)):
            if not want or g is None or model is None:
                continue
            if isinstance(g, Variable):
                g = g.read()
            shape, dtype = model
            value = g if isinstance(g, Array) else eager(np.asarray(g), origin)
            if value.shape != shape:
                raise DifferentiationError(f"gradient {i} of the custom gradient of {self.step.function} has shape "
                                           f"{value.shape}, but argument {i} has shape {shape}", where=str(self.step.place),
                                           why="the cotangent of an array has the shape of the array",
                                           fix=f"np.sum(gradient, axis=...) down to {shape}",
                                           code="custom-shape")  # fmt: skip
            value = value if value.dtype == dtype else value.astype(dtype)
            found.append((i, value if recorded or value.number is None else value.number))
        return found


def call_gradient(gradient: Callable, cotangents: Sequence[Any], count: int, variables: Sequence[Variable]) -> list[Any]:
    """What the user's function answers, one for each argument and then one for each variable; their numbers are checked."""
    if variables:
        answer = gradient(*cotangents, variables=list(variables))
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise DifferentiationError("grad_fn with `variables` must return (gradients, gradients of variables)",
                                       fix="return dy * w, [dy * x]", code="custom-pair")  # fmt: skip
        answer, extra = answer
        of_variables = list(extra)
        if len(of_variables) != len(variables):
            raise DifferentiationError("Must return gradient for each variable from @custom_gradient grad_fn.",
                                       why=f"{len(variables)} variables are used, {len(of_variables)} gradients came",
                                       fix="return gradients, [gradient_of(v) for v in variables]",
                                       code="custom-count")  # fmt: skip
    else:
        answer, of_variables = gradient(*cotangents), []
    grads = _entries(answer)
    if len(grads) != count:
        raise DifferentiationError(f"custom_gradient function expected to return {count} gradients, but returned "
                                   f"{len(grads)} instead.", fix="return one for each argument, None for zero",
                                   code="custom-count")  # fmt: skip
    return grads + of_variables


def _entries(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [y for x in tree for y in _entries(x)] if isinstance(tree, (tuple, list)) else [tree]


def custom_gradient(f: Callable) -> Callable:
    """A function with a gradient of your own: f(*args) returns (y, grad_fn), grad_fn(*dy) the gradients of the arguments.

    grad_fn may be differentiated in turn.  If f reads variables that are not arguments, grad_fn takes `variables=` and returns
    (gradients, gradients of variables).  Raises DifferentiationError for the wrong number of gradients.
    """

    check_function(f, "ad.custom_gradient")

    @wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        inputs, _ = flatten(args)
        if any(needs_tracing(x) for x in inputs):
            return _traced(f, args, kwargs, inputs)
        reads = Reads()
        with _watching(reads):
            result, gradient = _pair(f, f(*args, **kwargs))
        given = {x.serial for x in inputs if isinstance(x, Variable)}
        variables = [v for v in reads.variables.values() if v.serial not in given]
        if variables and not _takes_variables(gradient):
            raise ArgumentError("@custom_gradient grad_fn must accept keyword argument 'variables', since function uses "
                                f"variables: {[v.name for v in variables]}",
                                fix="def grad_fn(dy, variables): return gradients, gradients_of_variables",
                                code="custom-variables")  # fmt: skip
        values, structure = flatten(result)
        if not variables and not any(isinstance(x, (Array, Variable)) for x in [*inputs, *values]):
            return result  # plain numbers in, plain numbers out
        code, at = user_code(2)
        values = [v.read() if isinstance(v, Variable) else v for v in values]
        numbers = [v.number if isinstance(v, Array) else np.asarray(v) for v in values]
        if ACTIVE.trace is not None and not hasattr(gradient, "repeats"):
            numbers = _noted(gradient, [*inputs, *variables], variables, numbers)
        outputs = [eager(y, (name_of(f), code, at)) for y in numbers]
        if ACTIVE.watchers:
            for v in [*variables, *[x for x in inputs if isinstance(x, Variable)]]:
                v.read()  # a tape that was paused while f ran watches them too
            arrays = [x for x in [*inputs, *variables] if isinstance(x, (Array, Variable))]
            event = Event(name_of(f), None, args, {}, arrays, outputs, code, at,
                          lambda: CustomRecord(name_of(f), gradient, inputs, variables, outputs, code, at))  # fmt: skip
            for watcher in ACTIVE.watchers:
                watcher.operation(event)
        return structure.build(outputs)

    return decorated


def _pair(f: Callable, answer: Any) -> tuple[Any, Callable]:
    """What the user's function answers, which must be (result, grad_fn)."""
    if not isinstance(answer, tuple) or len(answer) != 2 or not callable(answer[1]):
        raise DifferentiationError(f"{name_of(f)} under @custom_gradient must return (result, grad_fn), a value and a function",
                                   why=f"it returned {type(answer).__name__}",
                                   fix="return y, lambda dy: dy * slope", code="custom-form")  # fmt: skip
    return answer


def _takes_variables(gradient: Callable) -> bool:
    parameters = inspect.signature(gradient).parameters.values()
    return any(p.name == "variables" or p.kind is p.VAR_KEYWORD for p in parameters)


# ---- inside a transform ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rule:
    """The user's pullback as a graph: `gradients` over the cotangents `seeds` of all results and stand-ins of the arguments."""

    result: int
    seeds: tuple[Node, ...]
    arguments: tuple[Node, ...]
    gradients: tuple[Node | None, ...]
    error: Exception | None = None  # why there is no such graph, to be raised by who needs it

    def at(self, args: Sequence[Node], cotangent: Node) -> list[Node | None]:
        """The gradients for the cotangent of one result."""
        if self.error is not None:
            raise self.error
        seeds = {s: broadcast(lift(0.0), s.shape) for s in self.seeds}
        seeds[self.seeds[self.result]] = broadcast(cotangent, self.seeds[self.result].shape)
        put = seeds | dict(zip(self.arguments, args, strict=True))
        return [None if g is None else substitute([g], put, rebuild)[0] for g in self.gradients]


def _pull(node: Node, ct: Node) -> list[Node | None]:
    return [*node.attr.at(node.args[:-1], ct), None]


def _push(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    """The pullback is linear in the cotangent; its transpose is the tangent map."""
    seed = unknown("cotangent", node.shape, node.dtype)
    gradients = node.attr.at(node.args[:-1], seed)
    pairs = [(g, t) for g, t in zip(gradients, tangents[:-1], strict=True) if g is not None and t is not None]
    return reverse([g for g, _ in pairs], [t for _, t in pairs], [seed])[0] if pairs else None


def _batched(n: int, rule: Rule, *args: Node) -> Node:
    seeds = {s: unknown("cotangent", (n, *s.shape), s.dtype) for s in rule.seeds}
    arguments = {a: unknown("argument", (n, *a.shape), a.dtype) for a in rule.arguments}
    batch = Batch(seeds | arguments, n)
    gradients = tuple(None if g is None else batch.of(g) for g in rule.gradients)
    return CUSTOM.make(args, Rule(rule.result, tuple(seeds.values()), tuple(arguments.values()), gradients))


CUSTOM = Opaque("custom_gradient", lambda rule, batch, *xs: xs[-1], lambda rule, *xs: xs[-1].shape, _push, _pull,
                batch=_batched)  # fmt: skip
CUSTOM.passes = -1


def _traced(f: Callable, args: tuple, kwargs: dict, inputs: Sequence[Any]) -> Any:
    result, gradient = _pair(f, f(*args, **kwargs))
    values, structure = flatten(result)
    nodes, ys = [lift(x) for x in inputs], [lift(y) for y in values]
    seeds = [unknown("cotangent", y.shape, y.dtype, y.lane) for y in ys]
    grads = call_gradient(gradient, [Array(s) for s in seeds], len(nodes), ())
    stand_ins = [unknown("argument", x.shape, x.dtype, x.lane) for x in nodes]
    exchange = {x: s for x, s in zip(nodes, stand_ins, strict=True) if x.args or x.op is SYMBOL or isinstance(x.attr, Argument)}
    found = [None if g is None else substitute([broadcast(lift(g), x.shape)], exchange, rebuild)[0]
             for g, x in zip(grads, nodes, strict=True)]  # fmt: skip
    own = {n.serial for n in (*seeds, *stand_ins)}
    for n in walk([g for g in found if g is not None]):
        if n.serial not in own and (n.op is SYMBOL or n.op is VIEW or isinstance(n.attr, Argument)):
            raise TraceError(f"the custom gradient of {name_of(f)} uses a traced value that is not one of its arguments",
                             why="its gradient would be lost", fix=f"pass it to {name_of(f)} as an argument",
                             code="custom-captures")  # fmt: skip
    outputs = [Array(CUSTOM.make((*nodes, y), Rule(k, tuple(seeds), tuple(stand_ins), tuple(found)))) for k, y in enumerate(ys)]
    return structure.build(outputs)


def _noted(gradient: Callable, models: Sequence[Any], variables: Sequence[Variable], numbers: Sequence[Any]) -> list[Any]:
    """In a function that is traced: the same results, of which derivatives from outside are taken by the user's pullback."""
    trace, home = ACTIVE.trace, ACTIVE.__dict__
    at = [i for i, x in enumerate(models) if isinstance(x, (Array, Variable)) and x.dtype.kind == "f"]
    if trace is None or not at or not any(type(y) is Array for y in numbers):
        return list(numbers)
    nodes = [trace.result(x.read_unwatched() if isinstance(x, Variable) else x) for x in (models[i] for i in at)]
    ys = [lift(y) for y in numbers]
    seeds = [unknown("cotangent", y.shape, y.dtype) for y in ys]
    watchers, home["watchers"] = ACTIVE.watchers, [trace]  # tapes do not record what may never be asked for
    grads: list[Any] = [None] * len(models)
    error: Exception | None = None
    try:
        given = [eager(Array(s), ("gradient", *user_code(2))) for s in seeds]
        grads = call_gradient(gradient, given, len(models) - len(variables), variables)
    except (TraceError, DifferentiationError) as refused:
        error = refused
    finally:
        home["watchers"] = watchers
    stand_ins = [unknown("argument", x.shape, x.dtype) for x in nodes]
    exchange = {x: s for x, s in zip(nodes, stand_ins, strict=True) if x.args or x.op is SYMBOL}
    wanted = [None if grads[i] is None else _of_shape(trace.result(_read(grads[i])), x) for i, x in zip(at, nodes, strict=True)]
    found = [None if g is None else substitute([g], exchange, rebuild)[0] for g in wanted]
    # what the user's function uses besides its arguments are inputs of the program, which count in the second order
    own = {n.serial for n in (*seeds, *stand_ins)}
    others = [n for n in walk([g for g in found if g is not None]) if n.op is SYMBOL and n.serial not in own]
    more = [unknown("argument", n.shape, n.dtype) for n in others]
    found = [None if g is None else substitute([g], dict(zip(others, more, strict=True)), rebuild)[0] for g in found]
    rules = [Rule(k, tuple(seeds), (*stand_ins, *more), (*found, *[None] * len(more)), error) for k in range(len(ys))]
    return [Array(CUSTOM.make((*nodes, *others, y), rule)) for y, rule in zip(ys, rules, strict=True)]


def _read(x: Any) -> Any:
    return x.read_unwatched() if isinstance(x, Variable) else x


def _of_shape(gradient: Node, argument: Node) -> Node:
    node = broadcast(gradient, argument.shape)
    return node if node.dtype == argument.dtype else Array(node).astype(argument.dtype).node


# ---- recomputing -------------------------------------------------------------------------------------------------------


@contextmanager
def _unrecorded() -> Iterator[None]:
    """Nothing is recorded, only reads of variables are noted."""
    home, watchers = ACTIVE.__dict__, ACTIVE.watchers
    home["watchers"] = [w for w in watchers if isinstance(w, Reads)]
    try:
        yield
    finally:
        home["watchers"] = watchers


def recompute_grad(f: Callable) -> Callable:
    """The same function, of which a tape keeps the arguments only: it runs again when its gradient is asked for."""

    check_function(f, "ad.recompute_grad")

    @wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        if any(needs_tracing(x) for x in flatten(args)[0]):
            return f(*args, **kwargs)

        @wraps(f)
        def once(*args: Any) -> tuple[Any, Callable]:
            with _unrecorded():
                result = f(*args, **kwargs)

            def gradient(*cotangents: Any, variables: Sequence[Variable] = ()) -> Any:
                inputs, _ = flatten(args)
                moving = [x for x in inputs if isinstance(x, (Array, Variable)) and x.dtype.kind == "f"]
                with GradientTape() as tape:
                    tape.watch(moving)
                    again = f(*args, **kwargs)
                found = tape.gradient(flatten(again)[0], [*moving, *variables], list(cotangents), "zero")
                rest = iter(found)
                grads = [next(rest) if isinstance(x, (Array, Variable)) and x.dtype.kind == "f" else None for x in inputs]
                return (grads, list(rest)) if variables else grads

            gradient.repeats = True  # type: ignore[attr-defined]  # its derivative is that of f itself
            return result, gradient

        return custom_gradient(once)(*args)

    return decorated
