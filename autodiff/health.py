"""Where did the nan come from?  One value checked, or every operation in a context, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .array import Array, Readable
from .errors import ArgumentError, NumericsError, TraceError
from .interpret import number
from .pattern import GRADIENT
from .recording import ACTIVE, Event, Place, name_of_operation


def check_numerics(x: Any, message: str = "") -> Any:
    """x itself; raises NumericsError, with `message`, how many elements are not finite, and the first of them.

    Raises ArgumentError, a TypeError, for anything but floats.
    """
    if isinstance(x, Readable):
        x = x.read()
    if isinstance(x, Array) and type(x.number) is Array:  # traced by a function: looked at when that has run
        if x.dtype.kind == "f" and ACTIVE.trace is not None:
            ACTIVE.trace.check(x, message)
            return x
    value = np.asarray((number(x.node) if x.number is None else x.number) if isinstance(x, Array) else x)
    if value.dtype.kind != "f":
        raise ArgumentError(f"check_numerics needs floats, not {value.dtype}", why="only floats can be nan or infinite",
                            fix="leave it out, or check what the integers are made of", code="check-integer")  # fmt: skip
    if not np.isfinite(value).all():
        nan, inf = bool(np.isnan(value).any()), bool(np.isinf(value).any())
        kinds = "Inf and NaN" if nan and inf else "NaN" if nan else "Inf"
        raise NumericsError(f"{message} : Tensor had {kinds} values", why=describe(value), code="not-finite",
                            fix="with ad.debug_numerics(): ... names the operation that made them")  # fmt: skip
    return x


def describe(value: np.ndarray) -> str:
    """How many elements are not finite and where the first is, and the range of the others."""
    value = np.asarray(value)
    kinds = (("nan", np.isnan(value)), ("+inf", np.isposinf(value)), ("-inf", np.isneginf(value)))
    told = ", ".join(f"{int(where.sum())} {kind}" for kind, where in kinds if where.any()) or "all finite"
    bad = np.argwhere(~np.isfinite(value))
    first = f", first index {tuple(bad[0].tolist())}" if len(bad) and value.ndim else ""
    good = value[np.isfinite(value)]
    extent = f", others from {good.min():.6g} to {good.max():.6g}" if good.size else ""
    return f"{told} of {value.size}{first}{extent}; shape {value.shape}, {value.dtype}"


@contextmanager
def debug_numerics() -> Iterator[None]:
    """A context in which every operation on our arrays is checked, forward and backward.

    The first result that is not finite raises NumericsError, which names the operation, its line, and its inputs.
    """
    watcher, home = Check(), ACTIVE.__dict__
    ACTIVE.add(watcher)
    try:
        yield
    finally:
        ACTIVE.remove(watcher, home)


class Check:
    """The watcher of `debug_numerics`; functions run as Python while it looks on."""

    needs_numbers = True

    def operation(self, event: Event) -> None:
        for k, y in enumerate(event.outputs):
            if type(y.number) is Array:
                raise TraceError("debug_numerics inside a function that is compiled", why="there are no numbers to look at",
                                 fix="with ad.debug_numerics(): f(...), around the call", code="debug-inside")  # fmt: skip
            value = np.asarray(y.number)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise _culprit(event, k, value)

    def used(self, variable: Any) -> bool:
        return True

    def read(self, variable: Any, value: Any) -> None:
        pass

    def written(self, variable: Any, value: Any) -> None:
        pass

    def left(self, array: Any, how: str, number: Any) -> None:
        pass

    def entered(self, array: Any, given: Any) -> None:
        pass


def _culprit(event: Event, k: int, value: np.ndarray) -> NumericsError:
    name, place = name_of_operation(event.function), str(Place(event.code, event.at))
    backward = event.rule is None and isinstance(event.function, str) and event.function.startswith(GRADIENT)
    result = f"result {k} of {name}" if len(event.outputs) > 1 else name
    what = f"{result} is not finite: {describe(value)}"
    inputs, already = [], False
    for i, x in enumerate(event.args):
        x = x.number if isinstance(x, Array) else x
        if isinstance(x, (np.ndarray, np.generic)) and np.asarray(x).dtype.kind == "f":
            inputs.append(f"input {i}: {describe(x)}")
            already = already or not np.isfinite(x).all()
    where = f"{place}, {'on the way back from this line' if backward else 'forward'}"
    fix = ("the input was not finite before: check what it is made from with ad.check_numerics" if already else
           "keep the input where the function is finite: np.where(ok, f(np.where(ok, x, 1.0)), other)")  # fmt: skip
    return NumericsError(what, where=where, why="; ".join(inputs), fix=fix, code="operation-not-finite")
