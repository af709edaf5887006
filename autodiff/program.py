"""Tracing: a plain numpy function, called once on Arrays, becomes the nodes of what it returns."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array, Readable, lift
from .errors import ArgumentError, TraceError
from .graph import Node


@dataclass(frozen=True)
class Structure:
    """How values are nested in tuples, lists and dicts; `kind` is None for a single value."""

    kind: Any = None
    keys: tuple = ()
    children: tuple[Structure, ...] = ()

    @property
    def size(self) -> int:
        """The number of values."""
        return 1 if self.kind is None else sum(c.size for c in self.children)

    def build(self, leaves: Sequence[Any]) -> Any:
        """The values of `leaves`, nested again."""
        if self is ONE_VALUE:
            return leaves[0]
        if self.kind is list and len(self.children) == len(leaves) and all([c is ONE_VALUE for c in self.children]):
            return list(leaves)
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        if self.kind is type(None):
            return None
        parts = [c._build(leaves) for c in self.children]
        if issubclass(self.kind, dict):
            made = self.kind.__new__(self.kind)  # a defaultdict, say, is made of something else
            made.update(zip(self.keys, parts, strict=True))
            return made
        return self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)

    def order(self, tree: Any) -> Any:
        """The same tree with its dicts in the order of the keys here, where they have the same keys."""
        if self.kind is None or type(tree) is not self.kind or len(tree) != len(self.children):
            return tree
        if not issubclass(self.kind, dict):
            parts = [c.order(x) for c, x in zip(self.children, tree, strict=True)]
            return self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)
        if set(tree) != set(self.keys):
            return tree
        made = self.kind.__new__(self.kind)
        made.update((k, c.order(tree[k])) for k, c in zip(self.keys, self.children, strict=True))
        return made

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        if self.kind is type(None):
            return "None"
        parts = [str(c) for c in self.children]
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(self.keys, parts, strict=True)) + "}"
        return f"[{', '.join(parts)}]" if issubclass(self.kind, list) else f"({', '.join(parts)}{',' * (len(parts) == 1)})"


ONE_VALUE = Structure()
VIEWS: tuple[type, ...] = (type({}.values()), type(OrderedDict().values()))  # come back as lists


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The values nested in tuples, lists and dicts (by key, in the order of the dict), and how they were nested."""
    if tree is None:
        return [], Structure(type(None))
    if not isinstance(tree, (tuple, list, dict)):
        if type(tree) not in VIEWS:
            return [tree], ONE_VALUE
        tree = list(tree)
    if type(tree) is list or type(tree) is tuple:
        for child in tree:
            if child is None or isinstance(child, (tuple, list, dict)):
                break
        else:
            return list(tree), _row(type(tree), len(tree))
    pairs = [flatten(child) for child in (tree.values() if isinstance(tree, dict) else tree)]
    keys = tuple(tree) if isinstance(tree, dict) else ()
    return [leaf for leaves, _ in pairs for leaf in leaves], Structure(type(tree), keys, tuple([s for _, s in pairs]))


@lru_cache(maxsize=64)
def _row(kind: type, length: int) -> Structure:
    """A list or tuple of so many values."""
    return Structure(kind, (), (ONE_VALUE,) * length)


def name_of(f: Callable) -> str:
    """What a function is called in messages."""
    return getattr(f, "__name__", type(f).__name__)


def check_function(f: Any, asker: str) -> None:
    """Raises ArgumentError for what cannot be called."""
    if not callable(f):
        raise ArgumentError(f"{asker} needs a function, not {type(f).__name__}", fix=f"{asker}(lambda x: ...), not its value",
                            code="not-a-function")  # fmt: skip


def argument_names(f: Callable, count: int) -> list[str]:
    """The names of the first `count` positional arguments of f, numbers where it does not tell."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[i] if i < len(names) else f"argument {i}" for i in range(count)]


def run(f: Callable, args: Sequence[Any], kwargs: dict) -> Any:
    """f(*args, **kwargs) on traced values."""
    try:
        return f(*args, **kwargs)
    except ValueError as error:
        # numpy wraps what stopped a traced value from being stored into an ndarray in a sentence about sequences
        if isinstance(error.__cause__, TraceError):
            raise error.__cause__ from None
        raise


def trace(f: Callable, *args: Any, **kwargs: Any) -> tuple[list[Node], Structure]:
    """The nodes that `f(*args)` returns, and how they are nested.

    `args` are Arrays (or tuples, lists and dicts of them) and whatever else f takes.  Raises TraceError, a TypeError, if f
    returns None or something that is not an array.
    """
    result = run(f, args, kwargs)
    if result is None:
        raise TraceError(f"{name_of(f)} returned None", code="returned-none",
                         fix=f"did you forget to return a value from {name_of(f)}?")  # fmt: skip
    leaves, structure = flatten(result)
    if not leaves:
        raise TraceError(f"{name_of(f)} returned {structure}, which holds no array", fix="return an array",
                         code="returned-plain")  # fmt: skip
    return [_result(f, leaf) for leaf in leaves], structure


def _result(f: Callable, leaf: Any) -> Node:
    if isinstance(leaf, (Array, Readable, bool, int, float, np.generic, np.ndarray)):
        return lift(leaf)
    raise TraceError(f"{name_of(f)} returned a {type(leaf).__name__}, not an array",
                     fix="return arrays, or tuples, lists and dicts of arrays", code="returned-plain")  # fmt: skip
