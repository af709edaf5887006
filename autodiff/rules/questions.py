"""What a program asks of arrays, or does with their numbers, that has no derivative: places of what is true, texts, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..array import Array, lift
from ..errors import TraceError
from ..interpret import number
from ..primitive import implements


def _numbers(tree: Any) -> Any:
    """The numbers of arrays; what has none while it is traced says so."""
    if isinstance(tree, Array):
        return tree.numpy()
    if type(tree) in (tuple, list):
        return type(tree)([_numbers(x) for x in tree])
    return tree


def _asked(function: Callable) -> None:
    implements(function)(lambda *args, **kwargs: function(*_numbers(args), **{k: _numbers(v) for k, v in kwargs.items()}))


for _function in (
    np.array_repr, np.array_str, np.array2string, np.save, np.savez, np.savez_compressed, np.savetxt,
    np.may_share_memory, np.shares_memory,
):  # fmt: skip
    _asked(_function)


def _places(function: Callable) -> None:
    """Where something is true is no number that could move, so it may be known in the middle of a derivative."""

    def places(a: Any) -> Any:
        condition = Array(lift(a))
        if condition.dtype.kind != "f":
            return function(number(condition.node))
        try:
            return function(number((condition != 0).node))
        except TraceError:
            raise TraceError(f"np.{function.__name__} of floats that are being recorded", fix=f"np.{function.__name__}(x != 0)",
                             why="which elements there will be depends on their numbers", code="needs-number") from None

    implements(function)(places)


for _function in (np.nonzero, np.argwhere, np.flatnonzero):
    _places(_function)
