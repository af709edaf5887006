"""Damped least squares against stacked least squares: tall, wide and square, at every damping, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pinn.optimizers.damped import Exact, Normal, damped, damped_once
from pinn.optimizers.lapack import Bidiagonal, Reflectors, Tridiagonal, gram, stacked_triangle
from pinn.optimizers.sketch import CountSketch, Subspace

SHAPES = [(40, 20), (20, 40), (20, 20), (700, 130), (130, 700), (1, 3), (3, 1), (1, 1)]


@pytest.fixture(scope="module", autouse=True)
def one_thread_of_blas():
    """As in training: the threads here are our own, and those of BLAS beside them would wait for each other."""
    with threadpool_limits(1, "blas"):
        yield


def equations(rows, size, condition=1e4, seed=0):
    """J `(rows, size)` with singular values from 1 to 1 / condition, and r."""
    rng, k = np.random.default_rng(seed), min(rows, size)
    u, v = (np.linalg.qr(rng.normal(size=(n, k)))[0] for n in (rows, size))
    return np.asfortranarray(u * np.geomspace(1, 1 / condition, k) @ v.T), rng.normal(size=rows)


def reference(J, r, damping):
    """d, by least squares on [J; sqrt(lambda) I]."""
    size = J.shape[1]
    stacked = np.concatenate([J, np.sqrt(damping) * np.eye(size)])
    return np.linalg.lstsq(stacked, np.concatenate([-r, np.zeros(size)]), rcond=None)[0]


@pytest.mark.parametrize("damping", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("solver", [Exact, Normal])
@pytest.mark.parametrize("shape", SHAPES)
def test_step_foresight_length_and_second_solve(shape, solver, damping):
    J, r = equations(*shape)
    model, d = solver.of(J, r), reference(J, r, damping)
    near = 1e-12 if solver is Exact else 1e-15 / damping + 1e-13  # what squaring the condition number costs
    step, foreseen = model.step(damping)
    assert np.linalg.norm(step - d) <= near * np.linalg.norm(d)
    assert foreseen == pytest.approx(r @ r - (r + J @ d) @ (r + J @ d), rel=1e-9)
    length, slope = model.measure(damping)
    assert length == pytest.approx(np.linalg.norm(d), rel=10 * near)
    h = 1e-4 * damping
    assert (model.measure(damping - h)[0] - model.measure(damping + h)[0]) / (2 * h) == pytest.approx(slope, rel=1e-5)
    w = np.random.default_rng(1).normal(size=r.size)
    near = 1e-15 / damping + 1e-13
    again = -reference(J, w, damping)
    np.testing.assert_allclose(model.solve(damping, w), again, rtol=0, atol=10 * near * np.linalg.norm(again))
    np.testing.assert_allclose(damped_once(J, r, damping), d, rtol=0, atol=10 * near * np.linalg.norm(d))


@pytest.mark.parametrize("solver", [Exact, Normal])
@pytest.mark.parametrize("shape", SHAPES[:5])
def test_the_damping_of_a_radius(shape, solver):
    J, r = equations(*shape)
    model = solver.of(J, r)
    for damping in (10.0, 1e-2, 1e-5):
        radius = model.measure(damping)[0]
        assert model.measure(model.damping(radius))[0] == pytest.approx(radius, rel=2e-3)
    assert model.damping(1e9) == model.floor


def test_far_below_rounding_only_the_exact_form_bears_it():
    J, r = equations(300, 60, condition=1e10)
    r = J @ np.ones(60)  # consistent: undamped, the step is known
    exact = Exact.of(J, r)
    assert np.linalg.norm(exact.step(exact.floor)[0] + 1) < 1e-4 * np.sqrt(60)
    for expected, solver in ((1e-20, Exact), (1e-3, Normal), (np.inf, Normal)):
        assert isinstance(damped(J, r, expected), solver)
    assert Normal.of(J, r).floor > 1e-12 > exact.floor


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("shape", [(30, 10), (10, 30)])
def test_jacobians_without_full_rank(shape, rank):
    rng = np.random.default_rng(0)
    J, r = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])), rng.normal(size=shape[0])
    model = Exact.of(J, r)
    step, foreseen = model.step(model.floor)
    assert np.isfinite(step).all() and np.isfinite(foreseen)
    gone = np.linalg.norm(r) ** 2 - np.linalg.norm(r + J @ np.linalg.lstsq(J, -r, rcond=1e-10)[0]) ** 2
    assert np.linalg.norm(r) ** 2 - np.linalg.norm(r + J @ model.step(1e-12)[0]) ** 2 == pytest.approx(gone, abs=1e-8)


def test_forms_are_orthogonal_to_what_they_came_from():
    A = np.random.default_rng(0).normal(size=(70, 70))
    form = Bidiagonal.of(np.array(A, order="F"))
    B = np.diag(form.diagonal) + np.diag(form.above, 1)
    x = np.random.default_rng(1).normal(size=70)
    np.testing.assert_allclose(B @ x, form.into_left(A @ form.from_right(x)), atol=1e-12)
    np.testing.assert_allclose(form.into_right(form.from_right(x)), x, atol=1e-13)
    S = A + A.T
    three = Tridiagonal.of(np.array(S, order="F"))
    T = np.diag(three.diagonal) + np.diag(three.beside, 1) + np.diag(three.beside, -1)
    np.testing.assert_allclose(T @ x, three.into(S @ three.out_of(x)), atol=1e-12)
    tall = np.random.default_rng(2).normal(size=(90, 70))
    q = Reflectors.of(np.array(tall, order="F"))
    np.testing.assert_allclose(q.apply(q.triangle() @ x), tall @ x, atol=1e-12)
    np.testing.assert_allclose(q.adjoint(tall @ x), q.triangle() @ x, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_products_in_chunks_are_the_same_bits_on_any_number_of_threads(order):
    J, r = equations(900, 140)
    J = np.array(J, order=order)
    triangles, products = ([f(t) for t in (1, 2, 3)] for f in (lambda t: stacked_triangle(J, r, t), lambda t: gram(J, t)))
    assert all(np.array_equal(one, triangles[0]) for one in triangles)
    assert all(np.array_equal(np.tril(one), np.tril(products[0])) for one in products)
    stacked = np.column_stack([J, r])
    np.testing.assert_allclose(triangles[0].T @ triangles[0], stacked.T @ stacked, atol=1e-12)
    np.testing.assert_allclose(np.tril(products[0]), np.tril(J.T @ J), atol=1e-13)
    assert np.array_equal(triangles[0], np.triu(triangles[0]))


def test_a_sketch_keeps_lengths_in_the_mean_and_a_space_nearly():
    J, _ = equations(3000, 12)
    draws = [CountSketch.draw(400, 3000, np.random.default_rng(seed)) for seed in range(30)]
    x = J @ np.ones(12)
    assert np.mean([np.sum(sketch.of_vector(x) ** 2) for sketch in draws]) == pytest.approx(x @ x, rel=0.03)
    q = np.linalg.qr(J)[0]
    singular = np.linalg.svd(draws[0].of(q), compute_uv=False)
    assert 0.6 < singular[-1] and singular[0] < 1.4
    assert np.array_equal(draws[0].of(J, 2), draws[0].of(J, 1))


@pytest.mark.parametrize("n", [60, 61])
def test_a_subspace_mixes_all_unknowns_and_keeps_lengths(n):
    J = np.random.default_rng(0).normal(size=(300, n))
    subspace = Subspace.draw(n, 20, np.random.default_rng(1))
    C = np.stack([subspace.back(y) for y in np.eye(20)], axis=1)
    np.testing.assert_allclose(subspace.of(J), J @ C, atol=1e-12)
    assert np.array_equal(subspace.of(J, 2), subspace.of(J, 1))
    np.testing.assert_allclose(C.T @ C, np.eye(20), atol=1e-12 if n == 60 else 0.1)  # 60 is a length that transforms like
    assert np.linalg.norm(C, axis=1).min() > 0.1
