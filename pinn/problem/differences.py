"""Derivatives of a numpy function by differences of eighth order, with an estimate of their error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import factorial

import numpy as np

_NODES = 9        # a stencil -4 ... 4, shifted where the side of the domain is near
_HALVINGS = 12    # from a tenth of the axis down
_SAFETY = 20.0    # differences of neighbouring step sizes are an estimate, not a bound


def differentiate(
    function: Callable[[np.ndarray], np.ndarray], points: np.ndarray, orders: Sequence[int],
    bounds: Sequence[tuple[float, float]],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The mixed derivative of the given orders at points `(n, dim)`, and an estimate of its error, both `(n,)`.

    At each point the step is halved until the answers of neighbouring steps differ least (as Ridders 1982 does): long steps
    truncate, short ones round.
    """
    if not any(orders):
        return function(points), np.zeros(len(points))
    answers = np.array([_stencil(function, points, orders, bounds, 0.1 * 0.5**k) for k in range(_HALVINGS)])
    steps = np.abs(np.diff(answers, axis=0))
    # Two neighbouring differences must be small: one alone may vanish by chance.
    doubt = np.where(np.isfinite(steps), steps, np.inf)
    doubt = np.maximum(doubt[:-1], doubt[1:])
    best = np.argmin(doubt, axis=0)
    each = np.arange(len(points))
    return answers[best + 1, each], _SAFETY * doubt[best, each]


def _stencil(
    function: Callable[[np.ndarray], np.ndarray], points: np.ndarray, orders: Sequence[int],
    bounds: Sequence[tuple[float, float]], relative: float,
) -> np.ndarray:  # fmt: skip
    axes = [i for i, order in enumerate(orders) if order]
    places, weights = [], []
    for i in axes:
        (low, high), x = bounds[i], points[:, i]
        h = relative * (high - low)
        first = np.rint(np.clip(-(_NODES // 2), np.ceil((low - x) / h), np.floor((high - x) / h) - (_NODES - 1)))
        offsets = first[:, None] + np.arange(_NODES)
        places.append(np.clip(x[:, None] + h * offsets, low, high))
        weights.append(_weights(offsets, orders[i]) / h**orders[i])
    total = np.zeros(len(points))
    for choice in itertools.product(range(_NODES), repeat=len(axes)):
        moved, weight = points.copy(), np.ones(len(points))
        for i, k, place, w in zip(axes, choice, places, weights, strict=True):
            moved[:, i], weight = place[:, k], weight * w[:, k]
        total += weight * function(moved)
    return total


def _weights(offsets: np.ndarray, order: int) -> np.ndarray:
    """Weights `(n, nodes)` that are exact for polynomials: sum_j w_j o_j^k = k! if k = order, else 0."""
    scaled = offsets / _NODES
    system = scaled[:, None, :] ** np.arange(offsets.shape[1])[None, :, None]
    wanted = np.zeros((*offsets.shape, 1))
    wanted[:, order] = factorial(order) / _NODES**order
    return np.linalg.solve(system, wanted)[:, :, 0]
