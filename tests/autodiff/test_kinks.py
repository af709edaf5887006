"""Where functions are not smooth, and where formulas lose their digits: the conventions, in every mode."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
import scipy.special

import autodiff as ad

nan, inf = math.nan, math.inf


def by_reverse(f, xs):
    return ad.grad(f, tuple(range(len(xs))))(*xs)


def units(xs):
    return [tuple(1.0 if i == j else 0.0 for j in range(len(xs))) for i in range(len(xs))]


def by_forward(f, xs):
    return [ad.jvp(f, xs, unit)[1] for unit in units(xs)]


def by_taylor(f, xs):
    return [ad.jet(f, xs, tuple([u] for u in unit))[1][0] for unit in units(xs)]


def by_columns(f, xs):
    """As columns of a Jacobian of the arguments stacked into one array."""
    return ad.jacobian(lambda z: f(*(z[i] for i in range(len(xs)))))(np.array(xs))


MODES = pytest.mark.parametrize("mode", [by_reverse, by_forward, by_taylor])

FIRST = {
    "abs": (np.abs, (0.0,), (0.0,)),
    "sign": (np.sign, (0.0,), (0.0,)),
    "relu": (lambda x: np.maximum(x, 0), (0.0,), (0.5,)),
    "maximum at a tie": (np.maximum, (1.0, 1.0), (0.5, 0.5)),
    "maximum of x and x": (lambda x: np.maximum(x, x), (1.0,), (1.0,)),
    "minimum at a tie": (np.minimum, (1.0, 1.0), (0.5, 0.5)),
    "fmax beside nan": (np.fmax, (nan, 1.0), (0.0, 1.0)),
    "fmin beside nan": (np.fmin, (1.0, nan), (1.0, 0.0)),
    "clip at the lower bound": (lambda x: np.clip(x, 0, 1), (0.0,), (1.0,)),
    "clip at the upper bound": (lambda x: np.clip(x, 0, 1), (1.0,), (1.0,)),
    "clip outside": (lambda x: np.clip(x, 0, 1), (1.5,), (0.0,)),
    "sqrt(0)": (np.sqrt, (0.0,), (inf,)),
    "sqrt(x x) is not hidden": (lambda x: np.sqrt(x * x), (0.0,), (nan,)),
    "hypot(0, 0)": (np.hypot, (0.0, 0.0), (0.0, 0.0)),
    "hypot of giants": (np.hypot, (3e200, 4e200), (0.6, 0.8)),
    "hypot of infinity": (np.hypot, (inf, 1.0), (1.0, 0.0)),
    "hypot of dwarfs": (np.hypot, (3e-200, 4e-200), (0.6, 0.8)),
    "0**0": (np.power, (0.0, 0.0), (0.0, 0.0)),
    "0**1": (np.power, (0.0, 1.0), (1.0, 0.0)),
    "0**2": (np.power, (0.0, 2.0), (0.0, 0.0)),
    "0**0.5": (np.power, (0.0, 0.5), (inf, 0.0)),
    "x**0": (lambda x: x**0, (0.0,), (0.0,)),
    "x**0.0": (lambda x: x**0.0, (0.0,), (0.0,)),
    "x**0.5 at 0": (lambda x: x**0.5, (0.0,), (inf,)),
    "x**0.7 at 0": (lambda x: x**0.7, (0.0,), (inf,)),
    "(-2)**3": (np.power, (-2.0, 3.0), (12.0, nan)),
    "(-2)**3.0, exponent not watched": (lambda x: x**3.0, (-2.0,), (12.0,)),
    "(-2)**11.0, exponent not watched": (lambda x: x**11.0, (-2.0,), (11.0 * 1024.0,)),
    "(-2)**[3.0], exponent not watched": (lambda x: np.sum(np.power(x, np.array([3.0]))), (-2.0,), (12.0,)),
    "log(0)": (np.log, (0.0,), (inf,)),
    "log(-1)": (np.log, (-1.0,), (nan,)),
    "log2(-1)": (np.log2, (-1.0,), (nan,)),
    "log1p(-1)": (np.log1p, (-1.0,), (inf,)),
    "log1p(-2)": (np.log1p, (-2.0,), (nan,)),
    "x log x": (lambda x: x * np.log(x), (0.0,), (nan,)),
    "xlogy": (scipy.special.xlogy, (0.0, 2.0), (math.log(2.0), 0.0)),
    "arctan2(0, 0)": (np.arctan2, (0.0, 0.0), (nan, nan)),
    "arctan2 of dwarfs": (np.arctan2, (3e-200, 4e-200), (1.6e199, -1.2e199)),
    "arctan2 of giants": (np.arctan2, (3e200, 4e200), (1.6e-201, -1.2e-201)),
    "arcsin(1)": (np.arcsin, (1.0,), (inf,)),
    "arctanh(2)": (np.arctanh, (2.0,), (nan,)),
    "arccosh(0.5)": (np.arccosh, (0.5,), (nan,)),
    "arcsinh of a giant": (np.arcsinh, (1e200,), (1e-200,)),
    "arccosh of a giant": (np.arccosh, (1e200,), (1e-200,)),
    "cbrt(0)": (np.cbrt, (0.0,), (inf,)),
    "dead sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), (-1.0,), (0.0,)),
    "dead exp": (lambda x: np.where(x < 10, np.exp(x), x), (1000.0,), (1.0,)),
    "dead log": (lambda x: np.where(x > 0, np.log(x), x), (0.0,), (1.0,)),
    "dead quotient": (lambda x: np.where(x == 0, 1.0, np.sin(x) / x), (0.0,), (0.0,)),
    "dead infinity": (lambda x: np.where(x > 1, x * inf, 2 * x), (0.5,), (2.0,)),
    "mod": (np.remainder, (5.5, 2.0), (1.0, -2.0)),
    "mod of a negative": (np.remainder, (-5.5, 2.0), (1.0, 3.0)),
    "%": (lambda a, b: a % b, (5.5, 2.0), (1.0, -2.0)),
    "fmod of a negative": (np.fmod, (-5.5, 2.0), (1.0, 2.0)),
    "floor": (np.floor, (1.5,), (0.0,)),
    "round": (np.round, (1.5,), (0.0,)),
    "//": (lambda x: x // 2, (3.5,), (0.0,)),
    "logaddexp(-inf, -inf)": (np.logaddexp, (-inf, -inf), (0.5, 0.5)),
    "logaddexp(-inf, 0)": (np.logaddexp, (-inf, 0.0), (0.0, 1.0)),
    "logaddexp(inf, 0)": (np.logaddexp, (inf, 0.0), (1.0, 0.0)),
    "nan_to_num(nan)": (np.nan_to_num, (nan,), (0.0,)),
    "tanh(1000)": (np.tanh, (1000.0,), (0.0,)),
    "sinc(0)": (np.sinc, (0.0,), (0.0,)),
    "1 / 0": (lambda x: 1 / x, (0.0,), (-inf,)),
}


@MODES
@pytest.mark.parametrize("name", FIRST)
def test_first_derivative(name, mode):
    f, xs, expected = FIRST[name]
    np.testing.assert_allclose(np.array(mode(f, xs), float), expected, rtol=1e-14, atol=0)


# by (function, array, gradient of its sum, or of it if it is a scalar)
OF_ARRAYS = {
    "max with ties": (np.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
    "min with ties": (np.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
    "prod with one zero": (np.prod, [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    "prod with two zeros": (np.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "cumprod with a zero": (lambda x: np.sum(np.cumprod(x)), [1.0, 0.0, 3.0], [1.0, 4.0, 0.0]),
    "std of constants": (np.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    "norm of nothing": (np.linalg.norm, [0.0, 0.0], [0.0, 0.0]),
    "3-norm of nothing": (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
    "median of an even number": (np.median, [1.0, 7.0, 3.0, 2.0], [0.0, 0.0, 0.5, 0.5]),
    "sort with ties is stable": (lambda x: np.sort(x) @ np.arange(3.0), [2.0, 1.0, 1.0], [2.0, 0.0, 1.0]),
    "duplicate indices accumulate": (lambda x: np.sum(x[[0, 0, 1]]), [1.0, 1.0], [2.0, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_of_arrays(name):
    f, x, expected = OF_ARRAYS[name]
    x = np.array(x)
    np.testing.assert_array_equal(ad.grad(f)(x), expected)
    np.testing.assert_array_equal([ad.jvp(f, (x,), (e,))[1] for e in np.eye(x.size)], expected)
    np.testing.assert_array_equal([ad.jet(f, (x,), ([e],))[1][0] for e in np.eye(x.size)], expected)
    np.testing.assert_array_equal(ad.jacobian(f)(x), expected)


# derivatives 1, 2, ... at a kink or at infinity, by name
HIGHER = {
    "x**3.0": (lambda x: x**3.0, 0.0, [0, 0, 6, 0, 0]),
    "x**3": (lambda x: x**3, 0.0, [0, 0, 6, 0, 0]),
    "x**9.0": (lambda x: x**9.0, 0.0, [0] * 8),
    "x**[2.0]": (lambda x: np.sum(np.power(x, np.array([2.0]))), 0.0, [0, 2, 0, 0]),
    "x**0.0": (lambda x: x**0.0, 0.0, [0, 0, 0]),
    "tanh at 1000": (np.tanh, 1000.0, [0] * 5),
    "abs": (np.abs, 0.0, [0, 0, 0]),
    "max(x x, 0)": (lambda x: np.maximum(x * x, 0), 0.0, [0, 1, 0]),
    "sinc": (np.sinc, 0.0, [0, -(np.pi**2) / 3, 0, np.pi**4 / 5, 0, -(np.pi**6) / 7, 0, np.pi**8 / 9]),
    "dead x x / x": (lambda x: np.where(x == 0, 0.0, x * x / x), 0.0, [0, 0, 0]),
    "logaddexp(x, x)": (lambda x: np.logaddexp(x, x), 0.0, [1, 0, 0]),
    "hypot(x, 0)": (lambda x: np.hypot(x, 0.0), 0.0, [0, 0, 0]),
    "floor": (np.floor, 0.5, [0, 0]),
    "log(-1)": (np.log, -1.0, [nan] * 4),
    "log1p(-2)": (np.log1p, -2.0, [nan] * 4),
    "arctanh(2)": (np.arctanh, 2.0, [nan] * 4),
    "x**-3 of a giant": (lambda x: x**-3, 1e90, [0] * 5),
    "arctan of a giant": (np.arctan, 1e200, [0] * 5),
    "hypot(x, 1.5) far away": (lambda x: np.hypot(x, 1.5), 1e10, [1, 2.25e-30, -6.75e-40, 2.7e-49]),
    "hypot(x, x)": (lambda x: np.hypot(x, x), 0.0, [0, 0]),
    "nested dead branches": (lambda x: np.where(x > 0, np.where(x > 1, np.sqrt(x - 1), 0.0), np.log(x)), 0.5, [0, 0, 0]),
    "exp(1 / x) that is dead": (lambda x: np.where(x != 0, np.exp(1 / x), 0.0), 0.0, [0, 0, 0]),
    "maximum(x x, x)": (lambda x: np.maximum(x * x, x), 1.0, [1.5, 1, 0]),
    "tanh(inf)": (np.tanh, inf, [0, 0, 0]),
    "sigmoid(-inf)": (ad.sigmoid, -inf, [0, 0, 0]),
    "softplus(inf)": (ad.softplus, inf, [1, 0, 0]),
    "log(1 + exp(x))": (lambda x: np.log(1 + np.exp(x)), -800.0, [0, 0, 0]),
    "arctan2(x, -1)": (lambda x: np.arctan2(x, -1.0), 0.0, [-1, 0, 2]),
    "prod of x, x, 3": (lambda x: np.prod(np.stack([x, x, 3.0 + 0 * x])), 0.0, [0, 6, 0]),
}


def slopes(f, x, order, mode):
    """Derivatives 1..order of a function of one number."""
    if mode == "taylor":
        return ad.jet(f, (x,), ([1.0] + [0.0] * (order - 1),))[1]
    found = []
    for _ in range(order):
        f = ad.grad(f) if mode == "reverse" else (lambda g: lambda t: ad.jvp(g, (t,), (1.0,))[1])(f)
        found.append(f(x))
    return found


@pytest.mark.parametrize("mode", ["reverse", "forward", "taylor"])
@pytest.mark.parametrize("name", HIGHER)
def test_higher_derivatives(name, mode):
    f, x, expected = HIGHER[name]
    np.testing.assert_allclose(np.array(slopes(f, x, len(expected), mode), float), expected, rtol=1e-13, atol=0)


THREE_TENTHS = mp.mpf(0.3)

# numpy function, the same in mpmath, where
AGAINST_MPMATH = {
    "exp": (np.exp, mp.exp, (-1.3, 0.7)),
    "exp2": (np.exp2, lambda x: mp.power(2, x), (-1.3, 0.7)),
    "expm1": (np.expm1, mp.expm1, (1e-20, 0.7)),
    "log": (np.log, mp.log, (0.3, 1.7)),
    "log2": (np.log2, lambda x: mp.log(x) / mp.log(2), (0.3, 1.7)),
    "log10": (np.log10, mp.log10, (0.3, 1.7)),
    "log1p": (np.log1p, mp.log1p, (1e-20, 0.7)),
    "sqrt": (np.sqrt, mp.sqrt, (0.3, 1.7)),
    "cbrt": (np.cbrt, mp.cbrt, (0.3, 1.7)),
    "sin": (np.sin, mp.sin, (-1.3, 0.7)),
    "cos": (np.cos, mp.cos, (-1.3, 0.7)),
    "tan": (np.tan, mp.tan, (-1.1, 0.7)),
    "arcsin": (np.arcsin, mp.asin, (-0.6, 0.4)),
    "arccos": (np.arccos, mp.acos, (-0.6, 0.4)),
    "arctan": (np.arctan, mp.atan, (-0.7, 1.6, 1e3)),
    "sinh": (np.sinh, mp.sinh, (-1.3, 0.7)),
    "cosh": (np.cosh, mp.cosh, (-1.3, 0.7)),
    "tanh": (np.tanh, mp.tanh, (-1.3, 0.7, 20.0, -18.0)),
    "arcsinh": (np.arcsinh, mp.asinh, (-1.3, 0.7, 1e-8, 1e3)),
    "arccosh": (np.arccosh, mp.acosh, (1.4, 2.7)),
    "arctanh": (np.arctanh, mp.atanh, (-0.6, 0.4, 1e-8)),
    "arctan2": (lambda x: np.arctan2(x, 1.5), lambda x: mp.atan2(x, 1.5), (-1.3, 0.7)),
    "hypot": (lambda x: np.hypot(x, 1.5), lambda x: mp.hypot(x, 1.5), (-1.3, 0.7, 1e3)),
    "logaddexp": (lambda x: np.logaddexp(x, 0.3), lambda x: mp.log(mp.exp(x) + mp.exp(THREE_TENTHS)), (-1.3, 0.3)),
    "logaddexp2": (lambda x: np.logaddexp2(x, 0.3), lambda x: mp.log(2**x + 2**THREE_TENTHS) / mp.log(2), (-1.3, 0.3)),
    "sinc": (np.sinc, mp.sincpi, (0.3, 0.9, 3.3, 100.5)),
    "reciprocal": (np.reciprocal, lambda x: 1 / x, (-1.3, 0.7)),
    "x**2.7": (lambda x: x**2.7, lambda x: x ** mp.mpf(2.7), (0.6, 1.7)),
    "x**10": (lambda x: x**10, lambda x: x**10, (-1.3, 0.7)),
    "x**-3": (lambda x: x**-3, lambda x: x**-3, (-1.3, 0.7)),
    "x**-1.0": (lambda x: x**-1.0, lambda x: 1 / x, (-1.3, 0.7)),
    "x**x": (lambda x: x**x, lambda x: x**x, (0.6, 1.7)),
    "erf": (scipy.special.erf, mp.erf, (-1.3, 0.7)),
    "erfc": (scipy.special.erfc, mp.erfc, (-1.3, 0.7)),
    "expit": (scipy.special.expit, lambda x: 1 / (1 + mp.exp(-x)), (-1.3, 0.7, 1e-8, 40.0, -40.0)),
    "gelu": (ad.gelu, lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, (-1.3, 0.7, -8.0)),
    "gelu by tanh": (lambda x: ad.gelu(x, approximate=True), lambda x: x / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (
        x + mp.mpf(0.044715) * x**3))), (-1.3, 0.7, -5.0)),
    "logit": (scipy.special.logit, lambda x: mp.log(x / (1 - x)), (0.3, 0.6)),
}


@pytest.mark.parametrize("name", AGAINST_MPMATH)
def test_eight_derivatives_have_all_digits(name):
    f, exact, points = AGAINST_MPMATH[name]
    with mp.workdps(60):
        for x in points:
            expected = [float(c * mp.factorial(k)) for k, c in enumerate(mp.taylor(exact, mp.mpf(x), 8))]
            value, terms = ad.jet(f, (x,), ([1.0] + [0.0] * 7,))
            np.testing.assert_allclose([value, *terms], expected, rtol=1e-12)
            np.testing.assert_allclose(slopes(f, x, 5, "reverse"), expected[1:6], rtol=1e-12)
            np.testing.assert_allclose(slopes(f, x, 5, "forward"), expected[1:6], rtol=1e-12)


def test_tails_keep_their_digits():
    assert ad.grad(np.tanh)(20.0) == pytest.approx(float(mp.sech(20) ** 2), rel=1e-14)
    assert ad.grad(np.tanh)(300.0) == pytest.approx(float(mp.sech(300) ** 2), rel=1e-13)
    assert ad.grad(scipy.special.expit)(-700.0) == pytest.approx(math.exp(-700.0), rel=1e-14)
    assert ad.grad(scipy.special.expit)(700.0) == pytest.approx(math.exp(-700.0), rel=1e-14)
    assert ad.grad(ad.grad(np.sinc))(1e-9) == pytest.approx(-(np.pi**2) / 3, rel=1e-14)


VALUES = [0.0, -0.0, 1.0, -2.5, 1e-300, 1e300, 5e-324]


@pytest.mark.parametrize("f", [
    lambda x: 0 * x + 1.0, lambda x: x - x, lambda x: 1e200 * (1e200 * x), lambda x: 1e-200 * (1e-200 * x), lambda x: x / 1e308,
    lambda x: 0 / x, lambda x: x**2, lambda x: x**-3, lambda x: 3 * x / 3, lambda x: np.negative(-x), lambda x: x + x, 
    lambda x: (2 * x) * (4 * x),
    lambda x: np.maximum(x, x), lambda x: np.sum(np.stack([x, 2 * x])), lambda x: np.tanh(-2 * x), lambda x: np.cos(-2 * x),
])  # fmt: skip
def test_simplifications_keep_the_value(f):
    for x in VALUES:
        with np.errstate(all="ignore"):
            expected = f(np.float64(x))
        np.testing.assert_allclose(ad.jvp(f, (x,), (1.0,))[0], expected, rtol=1e-15)
