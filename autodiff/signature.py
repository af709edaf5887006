"""What a compiled program is made for: shapes, dtypes and Python values of the arguments, not the numbers in arrays."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import Array
from .errors import ArgumentError
from .variable import Variable


class Promoted:
    """Stands in a signature for a float whose value is not part of it."""


PROMOTED = Promoted()


class Thing:
    """An object in a signature that is compared by identity, and not kept alive by it."""

    __slots__ = ("id", "ref", "told")

    def __init__(self, x: Any):
        self.id, self.told = id(x), f"the {type(x).__name__} at {id(x):#x}"
        try:
            self.ref: Any = weakref.ref(x)
        except TypeError:
            self.ref = lambda: x

    def __hash__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.id == other.id and self.ref() is other.ref() is not None


def entry(x: Any, promote: bool) -> Any:
    """What the signature keeps of one argument."""
    kind = type(x)
    if kind is np.ndarray:
        return x.shape, x.dtype
    if kind is Array:
        return Array, x.number.shape, x.number.dtype
    if kind is float:
        return PROMOTED if promote else (float, repr(x))
    if kind is int or kind is str or kind is bool:
        return kind, x
    if isinstance(x, np.generic):
        return (), x.dtype
    if kind is Variable:
        return Variable, x.serial
    if kind is slice:
        return slice, (x.start, x.stop, x.step)
    if kind.__hash__ is None and kind.__module__ in ("builtins", "collections"):
        raise ArgumentError(f"a {kind.__name__} cannot be an argument of a function that is compiled",
                            why="it may change from call to call, and the program would not",
                            fix="pass arrays, numbers, strings, or tuples, lists and dicts of them",
                            code="function-argument")  # fmt: skip
    if kind.__hash__ is None or kind.__eq__ is object.__eq__ or _has_state(x):
        return Thing(x)
    return kind, x


def _has_state(x: Any) -> bool:
    """Whether an object has arrays or variables of its own: another that is equal to it is another model."""
    return any([isinstance(v, (Variable, Array, list, dict)) for v in getattr(x, "__dict__", {}).values()])


def _told(entry: Any) -> str:
    """An entry of a signature, for people."""
    if entry is PROMOTED:
        return "a float"
    if isinstance(entry, Thing):
        return entry.told
    if entry[0] is Array:
        return f"an Array of shape {entry[1]}, {entry[2]}"
    if entry[0] is Variable:
        return f"the Variable number {entry[1]}"
    if isinstance(entry[0], tuple):
        return f"shape {entry[0]}, {entry[1]}"
    return f"{entry[1]}" if entry[0] is float else f"{entry[1]!r}"


@dataclass(frozen=True)
class Signature:
    """The part of a call that a program is made for: how the arguments are nested, and an entry for each."""

    structure: Any  # the number of arguments, if none of them is nested
    entries: tuple

    def difference(self, other: Signature, names: Sequence[str]) -> list[str]:
        """What is different from an earlier one, in words."""
        if self.structure != other.structure:
            if isinstance(self.structure, int) and isinstance(other.structure, int):
                return [f"{self.structure} arguments now, {other.structure} before"]
            return [f"the arguments are nested as {self.structure} now, as {other.structure} before"]
        return [f"{name}: {_told(a)} now, {_told(b)} before"
                for name, a, b in zip(names, self.entries, other.entries, strict=True) if a != b]  # fmt: skip
