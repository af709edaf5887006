"""What libraries are compared on: our statement of each problem and the Taylor algebra by hand make the same residuals."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


def load(name: str):
    """A module of the benchmarks, which are scripts and find each other beside themselves."""
    sys.path.insert(0, BENCHMARKS)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(BENCHMARKS)


peer_problems, peer_jetspace = load("peer_problems"), load("peer_jetspace")


def by_hand(problem, numbers):
    """The residuals in plain numpy."""
    kind = problem.equation
    (W, b), *middle, (last, offset) = numbers.layers
    a = np.tanh(numbers.points @ W + b)
    first = peer_problems.first_channels(kind, W, problem.dim)
    h = [a, *(np.broadcast_to(c, a.shape) for c in peer_problems.tanh_channels(kind, a, first))]
    for W, b in middle:
        z = [c @ W for c in h]
        a = np.tanh(z[0] + b)
        h = [a, *peer_problems.tanh_channels(kind, a, z[1:])]
    outputs = [h[k] @ last + (offset if k == 0 else 0) for k in peer_problems.NEEDED[kind]]
    return peer_problems.residuals(kind, peer_problems.derivatives_of(kind, outputs), numbers.source)


@pytest.mark.parametrize("key", peer_problems.PROBLEMS)
def test_ours_and_by_hand(key):
    problem = peer_problems.PROBLEMS[key]
    numbers = peer_problems.data(problem, "float64", 12)
    peer = peer_jetspace.Peer(problem, numbers, "pinn", 1, "float64")
    (patch,) = peer.objective.patches
    symbols = {column.node: numbers.points[:, i] for i, column in enumerate(patch.columns)}
    ours = ad.evaluate([r.node for r in patch.residuals], symbols, {"theta": peer.theta}, 12)
    np.testing.assert_allclose(peer.objective.clouds[0].points, numbers.points, atol=1e-15)
    np.testing.assert_allclose(ours, by_hand(problem, numbers), rtol=1e-10, atol=1e-10)


def test_the_counted_work():
    # 6 x 10,000 points x 4 channels x (2 x 64 + 3 x 64 x 64 + 64)
    assert peer_problems.PROBLEMS["W2"].counted_flops == 6 * 10_000 * 4 * 12_480
    assert peer_problems.PROBLEMS["W6"].channels == 12
