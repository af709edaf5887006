"""Numbers in blocks are those of the interpreter at all points at once, whatever the blocks, the threads and the choices."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from pinn import blockwise
from pinn.blockwise import cases_of, columns_of, in_blocks, numbers_at, stacked

X, T = (ad.Array(ad.symbol(name)) for name in "xt")
W = ad.Array(ad.view("theta", 0, (200,), (1,)))
THETA = np.random.default_rng(0).normal(size=200)
POINTS = np.random.default_rng(1).uniform(size=(1000, 2))


def wave(speed: float) -> ad.Array:
    return np.sum(W * np.sin(speed * X * W + T))


FIRST = T < 0.25
FIELDS = {
    "plain": wave(1.0),
    "slabs": np.where(FIRST, wave(1.0), np.where(T < 0.5, wave(2.0), np.where(T < 0.75, wave(3.0), wave(4.0)))),
    "shared": np.where(FIRST, wave(1.0), wave(2.0)) + np.where(FIRST, X, wave(3.0)) * np.where(X < T, 1.0, T),
    "by weights": np.where(wave(1.0) > 0.0, wave(2.0), wave(3.0)),  # what is chosen is not known from the points alone
    "inside": np.sum(np.where(X < 0.5, W, 2.0 * W) * np.cos(W * T)),
    "all alike": np.where(T < 2.0, wave(1.0), wave(2.0)),
    "narrow": np.where(X < T, np.sin(X), T),
    "number": ad.Array(ad.lift(3.0)),
}


def numbers() -> dict:
    return columns_of([X, T], POINTS)


@pytest.mark.parametrize("name", FIELDS)
def test_numbers_are_those_of_all_points_at_once_with_the_same_bits_on_two_threads(name):
    nodes = [FIELDS[name].node, (2.0 * FIELDS[name] + X).node]
    expected = ad.evaluate(nodes, numbers(), {"theta": THETA}, len(POINTS))
    one, two = (numbers_at(nodes, numbers(), {"theta": THETA}, len(POINTS), threads) for threads in (1, 2))
    for found, again, value in zip(one, two, expected, strict=True):
        assert np.array_equal(found, again)
        np.testing.assert_allclose(found, np.broadcast_to(value, found.shape), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("name", "cases"), [("slabs", 4), ("shared", 4), ("by weights", 1), ("inside", 2), ("all alike", 1)])
def test_points_that_choose_alike_are_treated_together_and_compute_nothing_else(name, cases):
    node = FIELDS[name].node
    found = cases_of([node], numbers(), len(POINTS))
    assert len(found) == cases
    assert np.array_equal(np.sort(np.concatenate([here for here, _ in found])), np.arange(len(POINTS)))
    waves = [sum(one.op.name == "sin" for one in ad.walk(chosen)) for _, chosen in found]
    assert max(waves) <= {"slabs": 1, "shared": 2, "by weights": 3, "inside": 0, "all alike": 1}[name]


def test_more_cases_than_are_worth_it_are_one(monkeypatch):
    monkeypatch.setattr(blockwise, "CASES", 3)
    assert len(cases_of([FIELDS["slabs"].node], numbers(), len(POINTS))) == 1


def test_blocks_cover_all_points_once_and_do_not_depend_on_threads():
    for width in (1, 300, 1 << 20):
        seen = []
        in_blocks(lambda part, block, size, seen=seen: seen.append((part.start, part.stop, size)), {}, width, 20_000, 1)
        assert [start for start, _, _ in seen] == [0, *(stop for _, stop, _ in seen[:-1])] and seen[-1][1] == 20_000
        assert all(stop - start == size <= blockwise.MOST for start, stop, size in seen)
        two = []
        in_blocks(lambda part, block, size, two=two: two.append((part.start, part.stop, size)), {}, width, 20_000, 2)
        assert sorted(two) == seen


def test_no_points_have_no_numbers():
    assert numbers_at([FIELDS["slabs"].node], columns_of([X, T], np.zeros((0, 2))), {"theta": THETA}, 0)[0].shape == (0,)


def test_nodes_side_by_side():
    table = stacked([X.node, (X * T).node], [X, T], POINTS, {})
    assert np.array_equal(table, np.stack([POINTS[:, 0], POINTS[:, 0] * POINTS[:, 1]], axis=1))


@pytest.mark.parametrize("shared", [ad.Array(ad.view("theta", 3, (), ())), ad.Array(ad.datum(np.array(0.5)))])
def test_a_choice_that_is_the_same_for_all_points_needs_no_cases(shared):
    node = np.where(shared > 0.0, wave(1.0), wave(2.0)).node
    assert len(cases_of([node], numbers(), len(POINTS))) == 1
    expected = ad.evaluate([node], numbers(), {"theta": THETA}, len(POINTS))[0]
    found = numbers_at([node], numbers(), {"theta": THETA}, len(POINTS))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
