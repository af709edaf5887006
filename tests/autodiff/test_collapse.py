"""Channels that matter only together, and points that only fill a tile up: fewer products and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from autodiff.array import Array
from autodiff.compile.collapse import collapse
from autodiff.compile.lane_program import LaneProgram
from autodiff.compile.padding import counted
from autodiff.graph import constant, symbol, view, walk
from autodiff.interpret import evaluate
from autodiff.primitive import TABLE
from autodiff.transforms import lane_derivative, reverse
from autodiff.types import POINT, SHARED

N, WIDTH = 41, 10
RNG = np.random.default_rng(11)
WEIGHTS = {"A": (3, WIDTH), "B": (WIDTH, WIDTH), "C": (WIDTH, WIDTH), "d": (WIDTH, 1), "b": (WIDTH,), "k": ()}


def residual_of(equation, x: Array, weights: dict[str, Array]) -> Array:
    """An equation between derivatives of a network of three layers; columns are x, y and t."""
    h = np.tanh(x @ weights["A"] + weights["b"])
    for name in ("B", "C"):
        h = np.tanh(h @ weights[name])
    u = (h @ weights["d"])[:, 0]

    def d(y: Array, *axes: int) -> Array:
        for axis in axes:
            y = Array(lane_derivative(y.node, x.node, [x.node]))[:, axis]
        return y

    return equation(u, d, x, weights)


X_, Y_, T_ = 0, 1, 2
# name, equation, channels that meet a hidden weight on the way forward
EQUATIONS = [
    ("no derivative", lambda u, d, x, w: u - x[:, 0], 1),
    ("heat", lambda u, d, x, w: d(u, T_) - 0.3 * d(u, X_, X_), 3),
    ("Burgers", lambda u, d, x, w: d(u, T_) + u * d(u, X_) - 0.05 * d(u, X_, X_), 3),
    ("Laplace", lambda u, d, x, w: d(u, X_, X_) + d(u, Y_, Y_), 4),
    ("heat in the plane", lambda u, d, x, w: d(u, T_) - 0.3 * (d(u, X_, X_) + d(u, Y_, Y_)), 4),
    ("waves", lambda u, d, x, w: d(u, T_, T_) - 2.25 * d(u, X_, X_), 4),
    ("in three dimensions", lambda u, d, x, w: d(u, X_, X_) + d(u, Y_, Y_) + d(u, T_, T_) - np.sin(u), 5),
    ("a coefficient that varies", lambda u, d, x, w: d(u, T_) - (1.0 + x[:, 0] ** 2) * d(u, X_, X_), 4),
    ("a trainable coefficient", lambda u, d, x, w: d(u, T_) - w["k"] * d(u, X_, X_), 4),
    ("a part used twice", lambda u, d, x, w: (d(u, T_) - 0.3 * d(u, X_, X_)) * d(u, T_), 4),
    ("a square", lambda u, d, x, w: d(u, T_) ** 2 + d(u, X_) ** 2, 3),
]  # fmt: skip


@pytest.mark.parametrize("count", [N, 64])
@pytest.mark.parametrize("name, equation, channels", EQUATIONS, ids=[e[0] for e in EQUATIONS])
def test_as_many_channels_as_matter(name, equation, channels, count):
    x = Array(symbol(("x",), (count, 3), np.dtype(float), SHARED))
    weights = {k: Array(symbol((k,), shape, np.dtype(float), SHARED)) for k, shape in WEIGHTS.items()}
    loss = np.mean(residual_of(equation, x, weights) ** 2).node
    leaves = [w.node for w in weights.values()]
    found = zip(reverse([loss], [constant(1.0)], leaves), leaves, strict=True)
    outputs = [loss, *(c for c, _ in found if c is not None)]
    program = LaneProgram([x.node, *leaves], outputs, [x.node])
    plan = program._rounds[0].clouds[0].kernel.plan
    hidden = {p.stage: len(p.nodes) for p in plan.products}
    assert list(hidden.values()) == [channels] * 4  # two weights, forward and back
    assert all(len(p.pairs) == channels for p in plan.pairs) and len(plan.pairs) == 2
    values = [RNG.uniform(-1, 1, (count, 3)), *(RNG.standard_normal(shape) / 3 for shape in WEIGHTS.values())]
    given = dict(zip([x.node, *leaves], values, strict=True))
    for want, got in zip(evaluate(outputs, given), program(*values), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


def test_what_has_nothing_to_collapse_stays_as_it_is():
    x, W = symbol(("x",), (WIDTH,)), Array(view("theta", 0, (WIDTH, WIDTH)))
    y = np.sum(np.tanh(W @ Array(x)) * (W @ np.tanh(Array(x))) * (W @ np.sin(Array(x)))).node
    assert collapse([y]) == [y]


def point(name: str, shape: tuple[int, ...] = ()) -> Array:
    return Array(symbol((name,), shape, lane=POINT))


def matrix(rows: int, columns: int) -> Array:
    return Array(view("theta", 0, (rows, columns)))


def cotangents(h: Array, r: Array) -> list[Array]:
    """What a small network sends back: a vector, an outer product and a number."""
    c = np.tanh(h) * (matrix(4, 3) @ (np.stack([r, 2.0 * r, -r]) * np.sin(r + point("x"))))
    return [c, np.outer(h, c), r * r]


SUMS = [
    ("cotangents", lambda: cotangents(point("h", (4,)), point("r") * 3.0)),
    ("two origins", lambda: [a + b for a, b in zip(cotangents(point("h", (4,)), point("r") * 3.0),
                                                   cotangents(point("g", (4,)), point("s") - 1.0), strict=True)]),
    ("a vector that is not linear in anything", lambda: [np.exp(point("h", (4,))), np.tanh(point("h", (4,))) * point("r")]),
    ("with what all points share", lambda: [point("h", (4,)) * point("r") + Array(view("theta", 0, (4,)))]),
    ("selected", lambda: [np.where(point("h", (4,)) > 0.0, point("r"), -2.0 * point("r"))]),
    ("divided", lambda: [point("r") / (1.0 + point("h", (4,)) ** 2), 1.0 / point("h", (4,))]),
    ("put together", lambda: [np.concatenate([point("h", (4,)) * point("r"), np.zeros(2), np.stack([point("r")])])]),
]  # fmt: skip


@pytest.mark.parametrize("name, build", SUMS, ids=[s[0] for s in SUMS])
def test_every_sum_has_the_factor_once(name, build):
    nodes, factor = [y.node for y in build()], symbol(("factor",))
    weighed = counted(nodes, factor)
    leaves = [n for n in walk([*nodes, *weighed]) if n.lane is POINT and not n.args]
    symbols = {n: RNG.uniform(0.5, 1.5, (6, *n.shape)) for n in leaves}
    theta = RNG.standard_normal(16)
    for n, want, got in zip(nodes, *(evaluate(ns, symbols, {"theta": theta}, 6) for ns in (nodes, weighed)), strict=True):
        np.testing.assert_allclose(got, want * symbols[factor].reshape(-1, *(1,) * n.ndim), rtol=1e-13)


def test_cotangents_get_their_factor_where_they_begin():
    factor = symbol(("factor",))
    weighed = counted([y.node for y in cotangents(point("h", (4,)), point("r") * 3.0)], factor)
    users = [n for n in walk(weighed) if factor in n.args]
    assert users and all(n.op is TABLE["multiply"] and n.shape == () for n in users)
