"""What compares or rearranges the features of a point, written out as scalars: so the tile compiler has a form for it.

Each answers None where there are too many features, or too many axes, for that to be sensible.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ..array import Array, lift
from ..primitive import TABLE

FEW, MANY = 16, 64  # features, for what takes n^2 operations and for what takes n


def _features(x: Array, most: int = MANY) -> list[Array] | None:
    return [x[i] for i in range(x.shape[0])] if x.ndim == 1 and x.shape[0] <= most else None


def _extreme(larger: Callable) -> Callable:
    def written(axes: tuple[int, ...], x: Array) -> Array | None:
        parts = _features(x)
        return reduce(larger, parts) if parts else None

    return written


def _shares(attr: tuple[str, tuple[int, ...]], x: Array) -> Array | None:
    parts = _features(x)
    if not parts:
        return None
    extreme = reduce(np.maximum if attr[0] == "max" else np.minimum, parts)
    attained = [np.where(part == extreme, 1.0, 0.0) for part in parts]
    return np.stack(attained) / sum(attained)


def _place(better: Callable) -> Callable:
    def written(axis: int, x: Array) -> Array | None:
        parts = _features(x)
        if not parts:
            return None
        best, place = parts[0], Array(lift(0))
        for i, part in enumerate(parts[1:], 1):
            wins = better(part, best)
            best, place = np.where(wins, part, best), np.where(wins, i, place)
        return place

    return written


def _argsort(axis: int, x: Array) -> Array | None:
    parts = _features(x, FEW)
    if not parts:
        return None
    n = len(parts)
    ranks = [sum(np.where((parts[j] <= parts[i]) if j < i else (parts[j] < parts[i]), 1, 0) for j in range(n) if j != i)
             for i in range(n)]  # fmt: skip
    return np.stack([sum(np.where(ranks[i] == k, i, 0) for i in range(n)) for k in range(n)])


def _gather(axis: int, indices: Array, x: Array) -> Array | None:
    places, parts = _features(indices, FEW), _features(x, FEW)
    if not places or not parts:
        return None

    def pick(place: Array) -> Array:
        return reduce(lambda y, j: np.where(place == j, parts[j], y), range(1, len(parts)), parts[0])

    return np.stack([pick(place) for place in places])


def _cumsum(attr: tuple[int, bool], x: Array) -> Array | None:
    parts = _features(x)
    if not parts:
        return None
    sums: list[Array] = []
    for part in parts[::-1] if attr[1] else parts:
        sums.append(sums[-1] + part if sums else part)
    return np.stack(sums[::-1] if attr[1] else sums)


def _take(indices: Any, x: Array) -> Array | None:
    parts, places = _features(x, x.shape[0]), indices.value
    if not parts or places.ndim != 1 or places.size > MANY:
        return None
    return np.stack([parts[i] for i in places.tolist()])


def _broadcast(shape: tuple[int, ...], x: Array) -> Array | None:
    return np.broadcast_to(x[0], shape) if x.shape == (1,) else None


WRITTEN_OUT: dict[str, Callable] = {
    "max": _extreme(np.maximum), "min": _extreme(np.minimum), "argmax": _place(np.greater), "argmin": _place(np.less),
    "shares": _shares, "argsort": _argsort, "gather": _gather, "cumsum": _cumsum, "take": _take, "broadcast": _broadcast,
}  # fmt: skip
for _name, _written in WRITTEN_OUT.items():
    TABLE[_name].written_out = _written
