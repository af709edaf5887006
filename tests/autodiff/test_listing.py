"""Graphs as lists in a file and back: the same graph, or None where a list cannot say it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import autodiff as ad
from autodiff.graph import symbol

X, T = ad.Array(symbol("x")), ad.Array(symbol("t"))
NAMES = {X.node: "x", T.node: "t"}


def graphs():
    """Expressions that share parts, with numbers of all kinds."""
    wave = np.sin(3 * X - T) * np.exp(-(T**2))
    return [wave, wave + 0.1, np.where(T > 0.5, wave, X / (1 + T * T)), ad.Array(ad.lift(2.5)), np.maximum(X, T) ** 3]


def test_there_and_back_through_a_file():
    said = ad.listed(graphs(), NAMES.get)
    again = ad.restored(json.loads(json.dumps(said)), {"x": X, "t": T})
    # nodes are interned: what is restored is what was listed
    assert [one.node is other.node for one, other in zip(again, graphs(), strict=True)] == [True] * 5
    rng = np.random.default_rng(0)
    symbols = {X.node: rng.normal(size=20), T.node: rng.normal(size=20)}
    values = [ad.evaluate([one.node for one in many], symbols, points=20) for many in (again, graphs())]
    assert all(np.array_equal(a, b) for a, b in zip(*values, strict=True))


def test_shared_parts_are_listed_once():
    said = ad.listed(graphs()[:2], NAMES.get)
    assert sum(row[0] == "sin" for row in said["rows"]) == 1 and len(said["outputs"]) == 2


def test_other_leaves_can_take_their_place():
    said = ad.listed([np.sin(X) * T], NAMES.get)
    one, = ad.restored(said, {"x": T, "t": X})
    assert one.node is (np.sin(T) * X).node


@pytest.mark.parametrize("make", [
    lambda: ad.Array(symbol("unknown")) + X,                        # a leaf that has no name
    lambda: np.stack([X, T]),                                       # not one number
    lambda: ad.Array(ad.lift(np.ones((2, 2)))) @ np.stack([X, T])])  # not elementwise
def test_what_a_list_cannot_say(make):
    assert ad.listed([make()], NAMES.get) is None


def test_what_is_not_known_is_an_error():
    said = ad.listed([np.sin(X)], NAMES.get)
    with pytest.raises(KeyError):
        ad.restored(said, {"t": T})
    with pytest.raises(KeyError):
        ad.restored({"rows": [["number", 1.0], ["sinus", 0]], "outputs": [1]}, {})
