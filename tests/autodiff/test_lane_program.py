"""Lane programs against the whole arrays they were written for: every program runs compiled by points, and as it stands."""

from __future__ import annotations

import numpy as np
import pytest

from autodiff.array import Array
from autodiff.compile.lane_program import LaneProgram
from autodiff.errors import CompileError
from autodiff.graph import Node, constant, symbol
from autodiff.interpret import evaluate
from autodiff.primitive import broadcast
from autodiff.transforms import lane_derivative, reverse
from autodiff.types import SHARED
from tests.autodiff.whole_arrays import POINTS, PROGRAMS, WEIGHTS, N, fields, layered, net, normal, trace

# programs of one point that a tile has no form for: it does linear algebra
WITH_MATRICES = {"a batch of matrices"}


def build(f, values: dict[str, np.ndarray], lanes: str, threads: int = 1) -> tuple[LaneProgram, list[Node], dict[str, Node]]:
    outputs, nodes, _ = trace(f, values, lanes.split())
    return LaneProgram(list(nodes.values()), outputs, [nodes[k] for k in lanes.split()], "test", threads), outputs, nodes


def check(f, values: dict[str, np.ndarray], lanes: str, rtol: float = 1e-10, threads: int = 1) -> LaneProgram:
    program, outputs, nodes = build(f, values, lanes, threads)
    expected = evaluate(outputs, {nodes[k]: v for k, v in values.items()})
    for y, want, got in zip(outputs, expected, program(*values.values()), strict=True):
        assert got.shape == y.shape and got.dtype == y.dtype and got.flags.c_contiguous
        np.testing.assert_allclose(got, np.broadcast_to(want, y.shape), rtol=rtol, atol=rtol)
    return program


@pytest.mark.parametrize("name, f, values, lanes", [p for p in PROGRAMS if p[0] not in WITH_MATRICES],
                         ids=[p[0] for p in PROGRAMS if p[0] not in WITH_MATRICES])  # fmt: skip
def test_a_lane_program_is_the_program(name, f, values, lanes):
    check(f, values, lanes)


# ---- derivatives by points -------------------------------------------------------------------------------------------------


def derivative(lanes: list[Node], y: Array, x: Array) -> Array:
    found = lane_derivative(y.node, x.node, lanes)
    assert found is not None and found.shape == x.shape
    return Array(found)


def by_reverse(lanes: list[Node], y: Array, x: Array) -> Array:
    (found,) = reverse([y.node], [broadcast(constant(1.0), y.shape)], [x.node])
    return Array(broadcast(found, x.shape))


def burgers(d, x, t, W, b, V):
    """Loss, its gradients and the residuals of Burgers' equation on columns."""
    lanes = [x.node, t.node]
    u = fields(x, t, W, b, V)
    u_x, u_t = d(lanes, u, x), d(lanes, u, t)
    r = u_t + u * u_x - 0.01 * d(lanes, u_x, x)
    return with_gradients(np.mean(r**2), [W, b, V]) + [r]


def heat_on_vectors(d, x, t, W, b, V):
    """The same on vectors of points, of a field that is put together by hand."""
    lanes = [x.node, t.node]
    u = np.sin(x) * (np.tanh(np.stack([x, t], axis=1) @ W + b) @ V)[:, 0]
    r = d(lanes, u, t) - d(lanes, d(lanes, u, x), x)
    return with_gradients(np.sum(r * r), [W, b, V]) + [r]


def poisson_on_rows(d, x, W, b, V):
    """A Laplacian of rows of coordinates, from the gradient's columns, and a mixed derivative of third order."""
    u = net(x, W, b, V)
    g = d([x.node], u, x)
    u_xx, u_xy = (d([x.node], g[:, 0:1], x)[:, i] for i in (0, 1))
    u_yy = d([x.node], g[:, 1], x)[:, 1]
    u_xxy = d([x.node], u_xx, x)[:, 1]
    r = u_xx + u_yy + u_xy * u_xxy - np.sin(x[:, 0])
    return with_gradients(np.mean(np.square(r)), [W, b, V]) + [g, r]


def of_a_mean(d, x, W, b, V):
    """The target is a sum over points already."""
    u = net(x, W, b, V)
    return [d([x.node], np.mean(u * u), x), d([x.node], np.sum(u), x)]


def with_gradients(loss: Array, weights: list[Array]) -> list[Array]:
    found = reverse([loss.node], [constant(1.0)], [w.node for w in weights])
    return [loss, *(Array(broadcast(c, w.shape)) for c, w in zip(found, weights, strict=True))]


COLUMNS = {"x": normal(45, 1), "t": normal(45, 1)}
DERIVATIVES = [
    (burgers, COLUMNS | WEIGHTS, "x t"),
    (heat_on_vectors, {"x": normal(45), "t": normal(45)} | WEIGHTS, "x t"),
    (poisson_on_rows, {"x": normal(45, 2)} | WEIGHTS, "x"),
    (of_a_mean, {"x": normal(45, 2)} | WEIGHTS, "x"),
]  # fmt: skip


@pytest.mark.parametrize("f, values, lanes", DERIVATIVES, ids=[f.__name__ for f, *_ in DERIVATIVES])
def test_derivatives_by_points_are_those_of_reverse_mode(f, values, lanes):
    arrays = {k: Array(symbol((k,), v.shape, v.dtype, SHARED)) for k, v in values.items()}
    given = {a.node: values[k] for k, a in arrays.items()}
    pairs = zip(f(derivative, **arrays), f(by_reverse, **arrays), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(*(np.broadcast_to(evaluate([y.node], given)[0], y.shape) for y in (ours, theirs)),
                                   rtol=1e-9, atol=1e-10)  # fmt: skip


@pytest.mark.parametrize("d", [derivative, by_reverse])
@pytest.mark.parametrize("f, values, lanes", DERIVATIVES, ids=[f.__name__ for f, *_ in DERIVATIVES])
def test_nested_derivatives_compile(f, values, lanes, d):
    check(lambda **arrays: tuple(f(d, **arrays)), values, lanes, 1e-9)


def test_a_derivative_has_the_weights_of_its_seed():
    x = Array(symbol(("x",), (N, 2), np.dtype(float), SHARED))
    seed = Array(symbol(("seed",), (N, 3), np.dtype(float), SHARED))
    y = np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 1]), x[:, 0] ** 2], axis=1)
    ours = lane_derivative(y.node, x.node, [x.node], seed.node)
    (theirs,) = reverse([y.node], [seed.node], [x.node])
    given = {x.node: normal(N, 2), seed.node: normal(N, 3)}
    np.testing.assert_allclose(*(evaluate([n], given)[0] for n in (ours, theirs)), rtol=1e-12)


def coupled(x):
    return x[:, :1] - np.mean(x)


NO_FORWARD_MODE = [
    ("points that see their mean", lambda x: coupled(x), lambda x: x, (N, 2)),
    ("points that see each other", lambda x: x @ x.T, lambda x: x, (N, 2)),
    ("too many directions", lambda x: np.sin(x), lambda x: x, (N, 30)),
    ("no points", lambda x: np.sum(x, axis=0), lambda x: np.sum(x, axis=0), (N, 2)),
]  # fmt: skip


@pytest.mark.parametrize("name, target, source, shape", NO_FORWARD_MODE, ids=[c[0] for c in NO_FORWARD_MODE])
def test_where_points_do_not_move_by_themselves_there_is_no_forward_mode(name, target, source, shape):
    x = Array(symbol(("x",), shape, np.dtype(float), SHARED))
    assert lane_derivative(target(x).node, source(x).node, [x.node]) is None


# ---- kernels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 31, 64, 80, 97, 1000])
def test_any_number_of_points(count):
    def f(x, y, W, b, V):
        loss = layered(x, y, W, b, V)
        return (*with_gradients(loss, [W, b, V]), net(x, W, b, V))

    check(f, {"x": normal(count, 2)} | {"y": normal(count, 1)} | WEIGHTS, "x y")


@pytest.mark.parametrize("count", [640, 1001])
def test_any_number_of_threads_gives_the_same_bits(count):
    values = {"x": normal(count, 2)} | WEIGHTS | {"y": normal(count, 1)}

    def f(x, W, b, V, y):
        return (*with_gradients(layered(x, y, W, b, V), [W, b, V]), net(x, W, b, V))

    first, second = (build(f, values, "x y", threads)[0](*values.values()) for threads in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_wide_weights_have_their_gradients_as_outer_products():
    def f(x, y, A, B, C):
        loss = np.mean((np.tanh(np.tanh(x @ A) @ B.T) @ C - y) ** 2)
        return tuple(with_gradients(loss, [A, B, C]))

    values = {"x": normal(33, 9), "y": normal(33, 6), "A": normal(9, 12), "B": normal(10, 12), "C": normal(10, 6)}
    program = check(f, values, "x y")
    kernel = program._rounds[0].clouds[0].kernel
    assert [p.target.node.shape for p in kernel.plan.pairs] == [(9, 12), (12, 10), (10, 6)]


def test_an_interior_and_a_boundary_are_two_clouds():
    def f(x, t, edge, value, W, b, V):
        r = burgers(derivative, x, t, W, b, V)[-1]
        loss = np.mean(r**2) + 3.0 * np.mean((net(edge, W, b, V) - value) ** 2)
        return (*with_gradients(loss, [W, b, V]), r, net(edge, W, b, V))

    program = check(f, COLUMNS | {"edge": normal(13, 2), "value": normal(13, 1)} | WEIGHTS, "x t edge value", 1e-9)
    assert [c.length for c in program._rounds[0].clouds] == [13, 45] and len(program._rounds) == 1


def test_what_points_need_of_their_sums_is_a_second_round():
    def f(x, W, b, V):
        h = np.tanh(x @ W + b)
        h = (h - h.mean(0)) / np.sqrt(np.mean((h - h.mean(0)) ** 2, axis=0) + 1e-3)
        return tuple(with_gradients(np.mean((h @ V) ** 2), [W, b, V]))

    program = check(f, {"x": normal(50, 2)} | WEIGHTS, "x", 1e-8)
    assert len(program._rounds) > 2


def test_one_cloud_may_need_a_sum_over_another():
    def f(x, y):
        centred = x - np.mean(y, axis=0)
        return centred, np.sum(centred**2)

    check(f, {"x": normal(9, 2), "y": normal(6, 2)}, "x y")


def test_shared_values_that_a_loop_cannot_read_are_computed_before_it():
    def f(x, W, s):
        unit = W / np.sqrt(np.sum(W**2, axis=0))
        return np.tanh(np.broadcast_to(x, (N, 9)) @ unit * np.exp(s)) @ unit.T

    check(f, {"x": normal(N, 1), "W": normal(9, 7), "s": normal(7)}, "x")


def test_a_step_of_adam():
    def f(x, y, W, b, V, m):
        loss, *g = with_gradients(layered(x, y, W, b, V), [W, b, V])
        m = 0.9 * m + 0.1 * g[0]
        return loss, W - 0.01 * m / (np.sqrt(g[0] ** 2) + 1e-8), m, b - 0.1 * g[1], W

    check(f, {"x": normal(N, 2), "y": normal(N, 1)} | WEIGHTS | {"m": normal(2, 6)}, "x y")


def test_single_precision_is_run_in_single_precision():
    values = {k: v.astype(np.float32) for k, v in (POINTS | WEIGHTS | {"y": normal(N, 1)}).items()}
    program = check(layered, values, "x y", 1e-5)
    assert program._rounds[0].clouds[0].kernel.real == "f32"


@pytest.mark.parametrize("labels", [np.array([0, 2, 1, 1, 0, 2, 2]), np.array([True, False, True, True, False, False, True])])
def test_points_may_have_integers_and_truths(labels):
    check(lambda x, c: (np.where(c == 1, x, -x), np.sum(c == 1), np.sum(x * c)), {"x": normal(N), "c": labels}, "x c")


def test_an_array_may_be_exchanged_between_calls():
    program, outputs, nodes = build(net, POINTS | WEIGHTS, "x")
    weights = list(WEIGHTS.values())
    x = normal(N, 2)
    first = program(x, *weights)[0]
    x *= 2.0  # the same array with other numbers
    second = program(x, *weights)[0]
    np.testing.assert_allclose(second, np.tanh(x @ weights[0] + weights[1]) @ weights[2], rtol=1e-12)
    assert not np.allclose(first, second)


def test_every_output_is_an_array_of_its_own():
    x, s = normal(N, 2), normal(3)
    program, _, _ = build(lambda x, s: (x, x * 2.0, x * 2.0, s, np.sum(x), np.sum(x), s * s, s * s), {"x": x, "s": s}, "x")
    results = program(x, s)
    before = [y.copy() for y in results]
    for k, y in enumerate([*results, x, s]):
        y[...] = k
    assert all(np.all(y == k) for k, y in enumerate([*results, x, s]))
    np.testing.assert_allclose(before[1], before[2])


def test_its_source_can_be_read_and_is_the_same_for_the_same_program():
    first, second = (build(layered, POINTS | WEIGHTS | {"y": normal(N, 1)}, "x y")[0] for _ in range(2))
    assert "def tile(" in first.source and first.source == second.source
    assert first.compile() > 10 * first.compile() > 0.0


REFUSALS = [
    ("matrices of a point", lambda x: np.linalg.inv(x.reshape(N, 2, 2)), {"x": normal(N, 4)}, "scalars and vectors", "reshape"),
    ("no points", lambda x: x * 2.0, {"x": normal(0, 2)}, "^a lane of shape", "symbol"),
    ("points picked", lambda x: x[::-1], {"x": normal(N)}, "picks some of the points", "index"),
]  # fmt: skip


@pytest.mark.parametrize("name, f, values, message, culprit", REFUSALS, ids=[r[0] for r in REFUSALS])
def test_what_has_no_form_is_refused_with_the_array_that_it_came_from(name, f, values, message, culprit):
    with pytest.raises(CompileError, match=message) as caught:
        build(f, values, "x")
    assert caught.value.node.op.name == culprit and caught.value.node.lane is SHARED
