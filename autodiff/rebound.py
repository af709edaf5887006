"""Where a function finds its variables, and whether it still would: a program keeps those that it was traced with."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .array import Array
from .variable import Variable

FAR, DEEP = 300, 3  # how many objects, and how deep, are looked through


@dataclass(frozen=True, slots=True)
class Found:
    """A value of outside at its place: a name among the globals, a cell, an attribute, an item."""

    home: Any
    key: Any
    value: Any

    def is_there(self) -> bool:
        """Whether the place still holds the value."""
        home, key = self.home, self.key
        if isinstance(home, dict):
            return home.get(key) is self.value
        if isinstance(home, list):
            return key < len(home) and home[key] is self.value
        if isinstance(home, types.CellType):
            return content(home) is self.value
        return getattr(home, key, None) is self.value  # a slot

    def told(self, name: str) -> str:
        """What to say of it when it is gone, `name` being that of the function."""
        fix = f"use {self.key}.assign(value) to change the value of a variable"
        fix = fix if isinstance(self.value, Variable) else "use a Variable for what changes"
        return f"{self.key} was rebound since {name} was traced, so that is traced again now; {fix}"


def find(python: Callable, arguments: Sequence[Any], wanted: set[int]) -> list[Found]:
    """The places of the objects with these ids, as far as names, attributes, lists and dicts lead to them."""
    python, owners = _unwrapped(python)
    code = getattr(python, "__code__", None)
    if code is None:
        return []
    space = python.__globals__
    cells = zip(code.co_freevars, python.__closure__ or (), strict=True)
    todo: list[tuple[Any, Any, Any, int]] = [(space, name, space[name], 0) for name in code.co_names if name in space]
    todo += [(cell, name, content(cell), 0) for name, cell in cells]
    todo += [(None, None, x, 0) for x in (*owners, *arguments)]
    found: list[Found] = []
    seen: set[int] = set()
    while todo and len(seen) < FAR:
        home, key, value, depth = todo.pop(0)
        if id(value) in wanted and home is not None:
            found.append(Found(home, key, value))
        elif id(value) not in seen and depth < DEEP:
            seen.add(id(value))
            inner = value if isinstance(value, (dict, list)) else _attributes(value)
            pairs = enumerate(inner) if isinstance(inner, list) else inner.items()
            holders = (Variable, Array, list, dict)
            todo += [(inner, k, x, depth + 1) for k, x in pairs if isinstance(x, holders) or _attributes(x)]
            slots = [(k, getattr(value, k, None)) for k in _slots(value)]
            todo += [(value, k, x, depth + 1) for k, x in slots if isinstance(x, holders) or _attributes(x)]
    return found


def _unwrapped(python: Any) -> tuple[Any, list[Any]]:
    """The plain function behind a bound method, a partial or an object that is called, and the objects that it works on."""
    owners: list[Any] = []
    while isinstance(python, (functools.partial, types.MethodType)):
        if isinstance(python, functools.partial):
            owners += [*python.args, *python.keywords.values()]
            python = python.func
        else:
            owners.append(python.__self__)
            python = python.__func__
    if not hasattr(python, "__code__"):
        owners.append(python)
        python = type(python).__call__
    return getattr(python, "python", python), owners


def _slots(x: Any) -> tuple[str, ...]:
    """The names of the slots of an object of a user's class."""
    names = getattr(type(x), "__slots__", ())
    return (names,) if isinstance(names, str) else () if isinstance(x, (Array, Variable)) else tuple(names)


def _attributes(x: Any) -> dict:
    """The attributes of an object of a user's class."""
    own = getattr(x, "__dict__", None)
    return own if isinstance(own, dict) and not isinstance(x, (type, types.ModuleType, types.FunctionType)) else {}


def content(cell: types.CellType) -> Any:
    """What a variable of an enclosing function is bound to; None if it is not."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
