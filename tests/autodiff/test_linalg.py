"""Linear algebra where matrices are singular, degenerate or zero, to high order; and what it says when there is no answer."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

import autodiff as ad

L = np.array([[4.0, 2.0], [2.0, 3.0]])
ROOT_17 = math.sqrt(17.0)

# (function, matrix, gradient)
GRADIENTS = {
    "det, rank 1": (np.linalg.det, [[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
    "det of zero": (np.linalg.det, [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
    "det, rank 2": (np.linalg.det, [[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], [[-3.0, 6, -3], [6, -12, 6], [-3, 6, -3]]),
    "det, rank 1 of 3": (np.linalg.det, np.outer([1.0, 2, 3], [1.0, 1, 1]), np.zeros((3, 3))),
    "slogdet, det < 0": (lambda a: np.linalg.slogdet(a)[1], [[0.0, 1.0], [2.0, 0.0]], [[0.0, 1.0], [0.5, 0.0]]),
    "cholesky": (lambda a: np.linalg.cholesky(a)[1, 0], L, [[-0.125, 0.25], [0.25, 0.0]]),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a)[1], L,
                 [[0.5 + 0.5 / ROOT_17, 2 / ROOT_17], [2 / ROOT_17, 0.5 - 0.5 / ROOT_17]]),
    "eigvalsh, degenerate": (lambda a: np.sum(np.linalg.eigvalsh(a)), np.eye(2), np.eye(2)),
    "norm": (np.linalg.norm, np.zeros((2, 2)), np.zeros((2, 2))),
    "norm 2": (lambda a: np.linalg.norm(a, 2), np.zeros((2, 2)), np.zeros((2, 2))),
    "norm nuc": (lambda a: np.linalg.norm(a, "nuc"), np.zeros((2, 2)), np.zeros((2, 2))),
    "norm nuc, rank 1": (lambda a: np.linalg.norm(a, "nuc"), [[3.0, 0.0], [4.0, 0.0]], [[0.6, 0.0], [0.8, 0.0]]),
    "inv": (lambda a: np.linalg.inv(a)[0, 0], [[2.0, 0.0], [0.0, 5.0]], [[-0.25, 0.0], [0.0, 0.0]]),
    "solve": (lambda a: np.linalg.solve(a, np.array([1.0, 0.0]))[0], [[2.0, 0.0], [0.0, 5.0]], [[-0.25, 0.0], [0.0, 0.0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_at_special_matrices(name):
    f, a, expected = GRADIENTS[name]
    a = np.array(a)
    np.testing.assert_allclose(ad.grad(f)(a), expected, rtol=1e-13, atol=1e-14)
    pairs = [(i, j) for i in range(len(a)) for j in range(len(a))]
    units = [np.eye(a.size)[k].reshape(a.shape) for k in range(a.size)]
    for (i, j), unit in zip(pairs, units, strict=True):
        assert ad.jvp(f, (a,), (unit,))[1] == pytest.approx(expected[i][j], rel=1e-13, abs=1e-14)
        assert ad.jet(f, (a,), ([unit],))[1][0] == pytest.approx(expected[i][j], rel=1e-13, abs=1e-14)
    np.testing.assert_allclose(ad.jacobian(f)(a), expected, rtol=1e-13, atol=1e-14)


def test_det_is_a_polynomial_wherever_it_is_expanded():
    """det(A + t B) of a singular A has degree 4; its coefficients are found exactly, in every mode."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    a[3] = a[0] - a[1]
    with mp.workdps(40):
        points = [mp.mpf(k) / 3 for k in range(5)]
        matrices = [mp.matrix(a.tolist()) + t * mp.matrix(b.tolist()) for t in points]
        powers = mp.matrix([[t**k for k in range(5)] for t in points])
        coefficients = mp.lu_solve(powers, mp.matrix([mp.det(m) for m in matrices]))
        expected = [float(coefficients[k] * mp.factorial(k)) for k in range(1, 5)] + [0.0] * 4
    terms = ad.jet(np.linalg.det, (a,), ([b] + [0 * b] * 7,))[1]
    np.testing.assert_allclose(terms, expected, rtol=1e-12, atol=1e-12)
    f = np.linalg.det
    for k in range(4):
        f = (lambda g: lambda x: np.sum(ad.grad(g)(x) * b))(f)
        assert f(a) == pytest.approx(expected[k], rel=1e-12)


def curve(t):
    return np.stack([np.stack([2 + t, t * t]), np.stack([t * t, 3 + np.sin(t)])])


def exact_curve(t):
    return mp.matrix([[2 + t, t * t], [t * t, 3 + mp.sin(t)]])


ALONG_A_CURVE = {
    "solve": (lambda t: np.linalg.solve(curve(t), np.stack([t, np.cos(t)]))[0],
              lambda t: mp.lu_solve(exact_curve(t), mp.matrix([t, mp.cos(t)]))[0]),
    "inv": (lambda t: np.linalg.inv(curve(t))[0, 1], lambda t: mp.inverse(exact_curve(t))[0, 1]),
    "det": (lambda t: np.linalg.det(curve(t)), lambda t: mp.det(exact_curve(t))),
    "slogdet": (lambda t: np.linalg.slogdet(curve(t))[1], lambda t: mp.log(mp.det(exact_curve(t)))),
    "cholesky": (lambda t: np.linalg.cholesky(curve(t))[1, 1], lambda t: mp.cholesky(exact_curve(t))[1, 1]),
    "eigvalsh": (lambda t: np.linalg.eigvalsh(curve(t))[0], lambda t: mp.eigsy(exact_curve(t), eigvals_only=True)[0]),
    "norm 2": (lambda t: np.linalg.norm(curve(t), 2), lambda t: mp.eigsy(exact_curve(t), eigvals_only=True)[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONG_A_CURVE)
def test_eight_derivatives_along_a_curve_of_matrices(name):
    f, exact = ALONG_A_CURVE[name]
    with mp.workdps(60):
        expected = [float(c * mp.factorial(k)) for k, c in enumerate(mp.taylor(exact, mp.mpf(0.3), 8))][1:]
    np.testing.assert_allclose(ad.jet(f, (0.3,), ([1.0] + [0.0] * 7,))[1], expected, rtol=1e-11, atol=1e-11)
    g, h = f, f
    for k in range(4):
        g, h = ad.grad(g), (lambda before: lambda t: ad.jvp(before, (t,), (1.0,))[1])(h)
        assert g(0.3) == pytest.approx(expected[k], rel=1e-11, abs=1e-11)
        assert h(0.3) == pytest.approx(expected[k], rel=1e-11, abs=1e-11)


def test_a_laplacian_through_factorisations():
    def f(x):
        a = np.reshape(x, (2, 2)) + 3.0 * np.eye(2)
        return np.linalg.det(a) ** 2 + np.sum(np.linalg.solve(a, x[:2])) + np.sum(np.linalg.eigvalsh(a) ** 3)

    x = np.array([1.0, 0.2, 0.3, 4.0])
    assert ad.laplacian(f)(x) == pytest.approx(np.trace(ad.hessian(f)(x)), rel=1e-12)


def test_equal_eigenvalues_are_named():
    a = np.diag([2.0, 1.0, 1.0])
    with pytest.warns(ad.DegenerateWarning, match=r"eigenvalues 0 and 1 differ by .*[\s\S]*test_linalg.py:"):
        gradient = ad.grad(lambda a: np.sum(np.linalg.eigh(a)[1] ** 3))(a)
    assert np.all(np.isnan(gradient))
    with pytest.warns(ad.DegenerateWarning, match="singular values 1 and 2"):
        gradient = ad.grad(lambda a: np.sum(np.linalg.svd(a)[0] ** 3))(a)
    assert np.all(np.isnan(gradient))
    np.testing.assert_allclose(ad.grad(lambda a: np.sum(np.linalg.svdvals(a)))(a), np.eye(3), atol=1e-15)


NO_ANSWER = {
    "inv": (lambda a: np.linalg.inv(a), np.ones((2, 2)), ad.MatrixError, "singular values reach from 2"),
    "solve": (lambda a: np.linalg.solve(a, a), np.zeros((2, 2)), ad.MatrixError, "singular"),
    "cholesky": (lambda a: np.linalg.cholesky(a), -np.eye(2), ad.MatrixError, "smallest eigenvalue is -1"),
    "svd of nan": (lambda a: np.linalg.svdvals(a), np.full((2, 2), np.nan), ad.MatrixError, "not finite"),
    "not square": (lambda a: np.linalg.inv(a), np.ones((2, 3)), ad.ShapeError, "square"),
    "a vector": (lambda a: np.linalg.det(a), np.ones(3), ad.ShapeError, "square"),
    "right side": (lambda a: np.linalg.solve(a, np.ones(3)), np.eye(2), ad.ShapeError, "right side"),
    "whole svd": (lambda a: np.linalg.svd(a)[0], np.ones((2, 3)), ad.NoRuleError, "full_matrices=False"),
    "qr of wide": (lambda a: np.linalg.qr(a)[0], np.ones((2, 3)), ad.NoRuleError, "as many rows as columns"),
    "eig": (lambda a: np.linalg.eig(a)[0], np.eye(2), ad.NoRuleError, "np.linalg.eigh"),
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_no_answer_is_told_with_the_reason(name):
    f, a, kind, words = NO_ANSWER[name]
    with pytest.raises(kind, match=words) as error:
        ad.grad(lambda a: np.sum(f(a)))(a)
    assert "test_linalg.py:" in error.value.where
    if kind is ad.MatrixError:
        assert isinstance(error.value, np.linalg.LinAlgError)


def test_one_factorisation_serves_a_whole_jacobian():
    """A matrix that is the same for a batch is not repeated: its right sides stand side by side."""
    a = np.random.default_rng(0).normal(size=(3, 3))
    mapped = ad.vmap(lambda b: np.linalg.solve(a, b))(np.eye(3))
    np.testing.assert_allclose(mapped, np.linalg.inv(a).T, rtol=1e-13)
    both = ad.vmap(np.linalg.solve, in_axes=(0, None))(np.stack([a, a.T]), np.ones(3))
    np.testing.assert_allclose(both[1], np.linalg.solve(a.T, np.ones(3)), rtol=1e-13)


def test_tapes_see_the_same_rules():
    a = ad.constant(L)
    with ad.GradientTape() as tape:
        tape.watch(a)
        w, v = np.linalg.eigh(a)
        y = np.sum(w**2) + v[0, 0] * np.linalg.slogdet(a).logabsdet
    expected = ad.grad(lambda a: np.sum(np.linalg.eigh(a)[0] ** 2) + np.linalg.eigh(a)[1][0, 0] * np.linalg.slogdet(a)[1])(L)
    np.testing.assert_allclose(tape.gradient(y, a).numpy(), expected, rtol=1e-13)
