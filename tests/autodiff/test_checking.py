"""The checker must pass what is right and catch what is wrong, or every test that leans on it is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from autodiff.array import Array, call
from autodiff.primitive import TABLE, Elementwise, Opaque

X = np.array([0.3, -0.7, 1.2])


def declared(name, derivative):
    """A primitive with a value of sin, and a derivative of somebody's; it leaves the table again."""
    primitive = Elementwise(name, np.sin, "", derivative)
    del TABLE[name]
    return lambda x: call(primitive, x) if isinstance(x, Array) else np.sin(x)


def test_what_is_right_passes_and_says_so():
    report = ad.check_derivatives(lambda w, x: np.tanh(w @ x), np.outer(X, X), X, order=3)
    assert report.passed
    assert {c.order for c in report.checks} == {1, 2, 3} and {c.argument for c in report.checks} == {"w", "x"}
    rates = [c.rate for c in report.checks if c.rate is not None]
    assert rates and all(1.8 < r < 2.3 for r in rates)
    table = str(report)
    assert "forward, then reverse" in table and "FAILED" not in table


@pytest.mark.parametrize("wrong", [1.001, 1.0 + 1e-6, -1.0, 0.0])
def test_a_wrong_derivative_is_caught(wrong):
    f = declared("wrong", lambda y, a: (wrong * np.cos(a),))
    with pytest.raises(ad.DifferentiationError) as error:
        ad.check_derivatives(f, X)
    assert "forward in 'x' (order 1)" in str(error.value) and "FAILED" in str(error.value)


def test_a_wrong_second_derivative_is_caught():
    helper = Elementwise("helper", np.cos, "", lambda y, a: (-1.01 * np.sin(a),))
    del TABLE["helper"]
    f = declared("right at first", lambda y, a: (call(helper, a),))
    ad.check_derivatives(f, X, order=1)
    with pytest.raises(ad.DifferentiationError) as error:
        ad.check_derivatives(f, X)
    assert "(order 2)" in str(error.value) and "(order 1)" not in str(error.value)


def test_a_reverse_that_is_not_the_transpose_is_caught():
    def twice(node, tangents):
        return (2.0 * Array(tangents[0])).node

    primitive = Opaque("lopsided", lambda attr, batch, x: 2.0 * x, lambda attr, x: x.shape, twice,
                       lambda node, ct: [(2.001 * Array(ct)).node], picks=True)  # fmt: skip
    del TABLE["lopsided"]
    f = lambda x: call(primitive, x) if isinstance(x, Array) else 2.0 * x  # noqa: E731
    with pytest.raises(ad.DifferentiationError) as error:
        ad.check_derivatives(f, X, order=1)
    assert "reverse in 'x' (order 1)" in str(error.value) and "forward in 'x'" not in str(error.value)


def test_the_argument_that_fails_is_named():
    bad = declared("bad", lambda y, a: (2.0 * np.cos(a),))
    with pytest.raises(ad.DifferentiationError) as error:
        ad.check_derivatives(lambda good, ill: np.sin(good) * bad(ill), X, X, order=1)
    assert "forward in 'ill' (order 1)" in str(error.value) and "in 'good'" not in str(error.value)


def test_the_point_itself_may_be_a_kink_but_is_then_told():
    with pytest.raises(ad.DifferentiationError, match="kink"):
        ad.check_derivatives(lambda x: np.clip(x, 0.0, 2.0), np.array([0.0, 1.0]), order=1)
    ad.check_derivatives(np.abs, np.array([0.01, 1.0]))  # a kink that only long steps cross is none


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-4, 1.0, 1e4, 1e12])
@pytest.mark.parametrize("f", [np.log, np.sqrt, np.square, lambda x: 1.0 / x])
def test_the_scale_is_that_of_the_point(f, scale):
    ad.check_derivatives(f, scale * np.array([0.7, 1.2]))
    if scale < 1e4:
        bad = declared("slightly bad", lambda y, a: (1.01 * np.cos(a),))
        with pytest.raises(ad.DifferentiationError):
            ad.check_derivatives(lambda x: bad(x / scale), scale * np.array([0.7, 1.2]), order=1)


def test_cancellation_inside_is_no_mistake():
    ad.check_derivatives(ad.softmax, np.array([10.0, -10.0, 0.0]))
    ad.check_derivatives(np.abs, np.array([1e-6, -1e-7]))


def test_single_precision_and_structures():
    assert ad.check_derivatives(lambda x: np.exp(np.sin(x)), X.astype(np.float32), order=2).passed
    assert ad.check_derivatives(lambda p, n: p["a"] ** n * p["b"][0], {"a": X, "b": (2.0,)}, 3).passed


def test_it_refuses_what_cannot_be_checked():
    with pytest.raises(ad.ArgumentError):
        ad.check_derivatives(np.sin, np.array([1, 2]))
    with pytest.raises(ad.ArgumentError):
        ad.check_derivatives(np.sin, X, order=0)


def test_a_primitive_of_its_own_has_every_mode_from_its_forward_rule():
    cube = Opaque("cube", lambda attr, batch, x: x**3, lambda attr, x: x.shape,
                  lambda node, tangents: (3.0 * Array(node.args[0]) ** 2 * Array(tangents[0])).node, None)  # fmt: skip
    del TABLE["cube"]

    def f(x):
        return np.sin(call(cube, x))

    def g(x):
        return np.sin(x**3)

    x, v = X, np.array([1.0, 2.0, -1.0])
    series = ([v, x, 0 * v, v, x],)
    np.testing.assert_allclose(ad.jet(f, (x,), series)[1], ad.jet(g, (x,), series)[1], rtol=1e-13)
    ad.check_derivatives(f, x, order=3)
    np.testing.assert_allclose(ad.laplacian(f)(x), ad.laplacian(g)(x), rtol=1e-13)
