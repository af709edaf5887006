"""Activations at the ends of the number line, against exact values, in every mode, as tapes see them and for plain numbers."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
import scipy.special

import autodiff as ad

PHI = mp.ncdf

# function, the same in mpmath, points
EXACT = {
    "sigmoid": (ad.sigmoid, lambda x: 1 / (1 + mp.exp(-x)), (-40.0, -1.3, 0.0, 0.7, 40.0)),
    "softplus": (ad.softplus, lambda x: mp.log1p(mp.exp(x)), (-40.0, -1.3, 0.0, 0.7, 40.0)),
    "silu": (ad.silu, lambda x: x / (1 + mp.exp(-x)), (-40.0, -1.3, 0.0, 0.7, 40.0)),
    "gelu": (ad.gelu, lambda x: x * PHI(x), (-9.0, -1.3, 0.0, 0.7, 9.0)),
    "gelu, tanh": (lambda x: ad.gelu(x, approximate=True),
                   lambda x: x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf(0.044715) * x**3))), (-1.3, 0.0, 0.7)),
    "elu": (ad.elu, mp.expm1, (-40.0, -1.3, -1e-20)),
    "leaky_relu": (lambda x: ad.leaky_relu(x, 0.25), lambda x: x / 4, (-1.3,)),
    "relu": (ad.relu, lambda x: x, (0.7,)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_four_derivatives_have_all_digits(name):
    f, exact, points = EXACT[name]
    for x in points:
        with mp.workdps(60):
            expected = [float(c * mp.factorial(k)) for k, c in enumerate(mp.taylor(exact, mp.mpf(x), 4))]
        value, terms = ad.jet(f, (x,), ([1.0, 0.0, 0.0, 0.0],))
        np.testing.assert_allclose([value, *terms], expected, rtol=1e-11, atol=1e-200)
        assert f(x) == pytest.approx(expected[0], rel=1e-13)
        g = f
        for k in range(1, 5):
            g = ad.grad(g)
            assert g(x) == pytest.approx(expected[k], rel=1e-11, abs=1e-200)


# function, point, value, derivative
ENDS = {
    "sigmoid": (ad.sigmoid, -1000.0, 0.0, 0.0),
    "softplus": (ad.softplus, 1000.0, 1000.0, 1.0),
    "softplus, left": (ad.softplus, -1000.0, 0.0, 0.0),
    "relu at 0": (ad.relu, 0.0, 0.0, 0.0),
    "leaky_relu at 0": (ad.leaky_relu, 0.0, 0.0, 0.2),
    "elu at 0": (ad.elu, 0.0, 0.0, 1.0),
    "elu": (ad.elu, 1000.0, 1000.0, 1.0),
    "elu, left": (lambda x: ad.elu(x, 2.0), -1000.0, -2.0, 0.0),
    "silu": (ad.silu, -1000.0, 0.0, 0.0),
    "gelu": (ad.gelu, 1000.0, 1000.0, 1.0),
    "relu of nan": (ad.relu, math.nan, math.nan, math.nan),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_ends(name):
    f, x, value, slope = ENDS[name]
    if name != "relu of nan":
        np.testing.assert_array_equal([f(x), *ad.value_and_grad(f)(x)], [value, value, slope])
        np.testing.assert_array_equal(ad.jvp(f, (x,), (1.0,)), [value, slope])
        assert ad.grad(ad.grad(f))(x) == 0.0 or name == "elu at 0"
    else:
        assert math.isnan(f(x)) and math.isnan(ad.value_and_grad(f)(x)[0])


# function over an axis, array, value, gradient of its weighted sum with weights 1, 2, ...
OVER_AXES = {
    "logsumexp": (ad.logsumexp, [1000.0, 1000.0], 1000.0 + math.log(2.0), [0.5, 0.5]),
    "logsumexp of -inf": (ad.logsumexp, [-np.inf, 0.0], 0.0, [0.0, 1.0]),
    "softmax": (ad.softmax, [1000.0, 0.0], [1.0, 0.0], [0.0, 0.0]),
    "softmax of -inf": (ad.softmax, [-np.inf, 1.0, 1.0], [0.0, 0.5, 0.5], [0.0, -0.25, 0.25]),
    "log_softmax": (ad.log_softmax, [1000.0, 0.0], [0.0, -1000.0], [-2.0, 2.0]),
}


@pytest.mark.parametrize("name", OVER_AXES)
def test_over_axes(name):
    f, x, value, gradient = OVER_AXES[name]
    x = np.array(x)
    np.testing.assert_allclose(f(x), value, rtol=1e-15)
    weights = np.arange(1.0, 1.0 + np.size(value))
    np.testing.assert_allclose(ad.grad(lambda x: np.sum(f(x) * weights))(x), gradient, rtol=1e-14, atol=1e-300)


def test_nothing_but_minus_infinity():
    assert ad.logsumexp([-np.inf, -np.inf]) == -np.inf


X = np.random.default_rng(4).normal(size=(3, 4))
ALL = [ad.sigmoid, ad.softplus, ad.relu, ad.leaky_relu, ad.elu, ad.silu, ad.gelu, ad.softmax, ad.log_softmax, ad.logsumexp]


@pytest.mark.parametrize("f", ALL, ids=lambda f: f.__name__)
def test_every_mode_and_every_kind_of_array(f):
    ad.check_derivatives(f, X, order=3)
    single = X.astype(np.float32)
    assert f(single).dtype == ad.jvp(f, (single,), (single,))[1].dtype == np.float32
    np.testing.assert_allclose(f(X.tolist()), f(X), rtol=1e-15)
    x, v = ad.constant(X), ad.Variable(X)
    with ad.GradientTape() as tape:
        tape.watch(x)
        y = f(x) + f(v)
    for gradient in tape.gradient(y, (x, v)):
        np.testing.assert_allclose(gradient.numpy(), ad.grad(lambda x: np.sum(f(x)))(X), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(ad.vmap(f)(X), np.stack([f(row) for row in X]), rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), -1])
def test_axes_are_those_of_scipy(axis):
    np.testing.assert_allclose(ad.softmax(X, axis), scipy.special.softmax(X, axis), rtol=1e-14)
    np.testing.assert_allclose(ad.log_softmax(X, axis=axis), scipy.special.log_softmax(X, axis), rtol=1e-13)
    for keepdims in (False, True):
        ours, theirs = ad.logsumexp(X, axis, keepdims), scipy.special.logsumexp(X, axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)
        assert ours.shape == theirs.shape
    ad.check_derivatives(lambda x: ad.softmax(x, axis), X, order=2)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_scipys_python_functions_say_what_to_use(name):
    with pytest.raises(ad.TraceError, match=f"scipy.special.{name}.*") as error:
        ad.grad(lambda x: np.sum(getattr(scipy.special, name)(x)))(X)
    assert error.value.fix == f"use ad.{name}" and "test_activations.py:" in error.value.where
