"""The transforms of functions: what they answer, in which structure, nested in each other, and how they refuse."""

from __future__ import annotations

import collections
import gc
import itertools
import math
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad

X = np.array([0.5, 1.0, 2.0])


def bowl(x):
    return np.sum(np.sin(x) * x**2)


def bowl_gradient(x):
    return np.cos(x) * x**2 + 2 * x * np.sin(x)


def bowl_hessian(x):
    return np.diag(-np.sin(x) * x**2 + 4 * x * np.cos(x) + 2 * np.sin(x))


def coupled(x):
    return np.stack([x[0] * x[1], np.exp(x[2]) * x[0], np.sum(x * x), np.tanh(x[1] * x[2])])


# ---- what they answer --------------------------------------------------------------------------------------------------


def test_grad_and_value():
    np.testing.assert_allclose(ad.grad(bowl)(X), bowl_gradient(X), rtol=1e-14)
    value, gradient = ad.value_and_grad(bowl)(X)
    assert value == pytest.approx(bowl(X)) and isinstance(value, np.float64)
    np.testing.assert_allclose(gradient, bowl_gradient(X), rtol=1e-14)


def test_jvp_vjp_hvp():
    v = np.array([1.0, -2.0, 0.5])
    value, tangent = ad.jvp(coupled, (X,), (v,))
    jacobian = ad.jacobian(coupled)(X)
    np.testing.assert_allclose(value, coupled(X))
    np.testing.assert_allclose(tangent, jacobian @ v)
    value, pullback = ad.vjp(coupled, X)
    w = np.arange(4.0)
    for _ in range(2):  # a pullback may be called again
        np.testing.assert_allclose(pullback(w)[0], w @ jacobian)
    np.testing.assert_allclose(ad.hvp(bowl, (X,), (v,)), bowl_hessian(X) @ v)


def test_hvp_of_two_primals():
    def f(x, y):
        return np.sum(x * x * y)

    first, second = ad.hvp(f, (X, X + 1), (X, 2 * X))
    np.testing.assert_allclose(first, 2 * (X + 1) * X + 2 * X * 2 * X)
    np.testing.assert_allclose(second, 2 * X * X)


@pytest.mark.parametrize("f", [
    coupled, lambda x: x * x, lambda x: np.outer(x, x), lambda x: x @ x, lambda x: np.stack([x[0], 1.0]),
])  # fmt: skip
def test_jacobian_by_columns_and_rows_of_differences(f):
    jacobian, h = ad.jacobian(f)(X), 1e-6
    differences = np.stack([(f(X + h * e) - f(X - h * e)) / (2 * h) for e in np.eye(3)], axis=-1)
    assert jacobian.shape == np.shape(f(X)) + (3,)
    np.testing.assert_allclose(jacobian, differences, atol=1e-7)


def test_hessian():
    np.testing.assert_allclose(ad.hessian(bowl)(X), bowl_hessian(X), rtol=1e-13)
    matrix = np.arange(6.0).reshape(2, 3)
    assert ad.hessian(lambda a: np.sum(a**3))(matrix).shape == (2, 3, 2, 3)


@pytest.mark.parametrize("f", [
    bowl, coupled, lambda x: np.outer(x, np.sin(x)), lambda x: 3.0 * x[0] + 1.0, lambda x: np.max(x * x),
])  # fmt: skip
def test_laplacian_is_the_trace_of_the_hessian(f):
    second = ad.jacobian(ad.jacobian(f))(X)
    np.testing.assert_allclose(ad.laplacian(f)(X), np.trace(second, axis1=-2, axis2=-1), rtol=1e-12, atol=1e-13)


def test_laplacian_of_a_network_in_ten_dimensions():
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(20, 10)), rng.normal(size=20)
    x = rng.normal(size=10)

    def network(x):
        return last @ np.tanh(first @ x)

    np.testing.assert_allclose(ad.laplacian(network)(x), np.trace(ad.hessian(network)(x)), rtol=1e-12)


def test_jet_is_the_chain_rule_of_faa_di_bruno():
    x1, x2, x3, x4 = 0.7, -0.3, 1.1, 0.4
    s, c = math.sin(0.5), math.cos(0.5)
    value, (y1, y2, y3, y4) = ad.jet(np.sin, (0.5,), ([x1, x2, x3, x4],))
    assert value == pytest.approx(s)
    assert y1 == pytest.approx(c * x1)
    assert y2 == pytest.approx(c * x2 - s * x1**2)
    assert y3 == pytest.approx(c * x3 - 3 * s * x1 * x2 - c * x1**3)
    assert y4 == pytest.approx(c * x4 - s * (4 * x1 * x3 + 3 * x2**2) - 6 * c * x1**2 * x2 + s * x1**4)


def test_jet_of_constants_is_explicit_zeros():
    _, terms = ad.jet(lambda x: np.ones(3) + 0 * x[0], (X,), ([X, X],))
    assert [t.shape for t in terms] == [(3,), (3,)] and not np.any(terms)


def test_jet_of_high_order_does_not_overflow():
    _, terms = ad.jet(np.exp, (0.0,), ([1.0] + [0.0] * 29,))
    np.testing.assert_allclose(terms, 1.0, rtol=1e-12)


def test_vmap():
    rows = np.stack([X, X + 1])
    np.testing.assert_allclose(ad.vmap(bowl)(rows), [bowl(r) for r in rows])
    np.testing.assert_allclose(ad.vmap(ad.grad(bowl))(rows), [bowl_gradient(r) for r in rows])
    np.testing.assert_allclose(ad.vmap(np.dot, (0, None))(rows, X), rows @ X)
    np.testing.assert_allclose(ad.vmap(np.dot, (1, 0))(rows.T, rows), np.sum(rows * rows, 1))
    np.testing.assert_allclose(ad.vmap(ad.vmap(lambda a: a * a))(rows), rows**2)
    np.testing.assert_allclose(ad.vmap(lambda d: d["a"] * 2 + 1)({"a": X}), 2 * X + 1)
    np.testing.assert_allclose(ad.vmap(lambda x: 1.0)(X), np.ones(3))
    np.testing.assert_allclose(ad.vmap(lambda d, c: d["a"] * d["b"] * c[0], ({"b": None, "a": 1}, (None,)))(
        {"a": rows, "b": 2.0}, (3.0,)), 6.0 * rows.T)
    np.testing.assert_allclose(ad.vmap(lambda x, k: x * k)(X, k=X), X * X)  # by keyword: axis 0
    np.testing.assert_allclose(ad.vmap(lambda v: ad.hvp(bowl, (X,), (v,)))(np.eye(3)), bowl_hessian(X))
    np.testing.assert_allclose(ad.grad(lambda z: np.sum(ad.vmap(bowl)(z)))(rows), [bowl_gradient(r) for r in rows])
    np.testing.assert_allclose(ad.vmap(ad.hessian(bowl))(rows), [bowl_hessian(r) for r in rows])
    np.testing.assert_allclose(ad.vmap(lambda x: ad.laplacian(bowl)(x))(rows), [np.trace(bowl_hessian(r)) for r in rows])


# ---- kinds and structures ----------------------------------------------------------------------------------------------


def test_plain_numbers_come_out_as_numpy_gives_them():
    assert isinstance(ad.grad(np.sin)(0.5), np.float64)
    assert isinstance(ad.grad(bowl)(X), np.ndarray)
    single = X.astype(np.float32)
    assert ad.grad(bowl)(single).dtype == np.float32
    assert ad.hessian(bowl)(single).dtype == np.float32
    assert ad.jvp(bowl, (single,), (single,))[1].dtype == np.float32
    assert ad.jet(bowl, (single,), ([single, single],))[1][1].dtype == np.float32
    assert ad.laplacian(bowl)(single).dtype == np.float32
    assert ad.jvp(bowl, (X,), ([1, 2, 3],))[1].dtype == np.float64  # tangents may be integers


def test_answers_belong_to_the_caller():
    x = X.copy()
    value, pullback = ad.vjp(lambda x: x, x)
    value[0] = 7.0
    (ct,) = pullback(x)
    ct[0] = 9.0
    np.testing.assert_array_equal(x, X)
    x[:] = 100.0
    np.testing.assert_array_equal(ad.vjp(lambda x: x * x, X)[1](np.ones(3))[0], 2 * X)
    value, pullback = ad.vjp(lambda z: z * z, x)
    x[:] = 0.0
    np.testing.assert_array_equal(pullback(np.ones(3))[0], [200.0] * 3)


class Pair(NamedTuple):
    weight: object
    bias: object


def test_structures_are_kept():
    def f(p, scale):
        return np.sum(p["layer"].weight @ X + p["layer"].bias) * scale[0] + scale[1][0]

    p = {"layer": Pair(np.ones((2, 3)), np.zeros(2))}
    gradient, scale = ad.grad(f, (0, 1))(p, [2.0, (3.0,)])
    assert isinstance(gradient["layer"], Pair) and isinstance(scale, list) and isinstance(scale[1], tuple)
    np.testing.assert_allclose(gradient["layer"].weight, np.stack([2 * X, 2 * X]))
    np.testing.assert_allclose(gradient["layer"].bias, [2.0, 2.0])
    assert scale == [7.0, (1.0,)]
    value, tangent = ad.jvp(lambda p: {"y": p["a"] * 2, "z": (p["b"],)}, ({"a": X, "b": 1.0},), ({"a": X, "b": 3.0},))
    assert tangent["z"] == (3.0,)
    np.testing.assert_allclose(tangent["y"], 2 * X)
    blocks = ad.jacobian(lambda x, y: {"p": x * y, "q": np.sum(x)}, (0, 1))(X, 2.0)
    np.testing.assert_allclose(blocks["p"][0], 2 * np.eye(3))
    np.testing.assert_allclose(blocks["p"][1], X)
    assert blocks["q"][1] == 0.0
    value, terms = ad.jet(lambda p: (p["a"] ** 2, p["a"]), ({"a": 3.0},), ([{"a": 1.0}, {"a": 0.0}],))
    assert value == (9.0, 3.0) and terms == [(6.0, 1.0), (2.0, 0.0)]
    # a dict is what it says, in whatever order
    assert ad.hvp(lambda d: d["a"] ** 2 * d["b"], ({"a": 2.0, "b": 3.0},), ({"b": 0.0, "a": 1.0},)) == {"a": 6.0, "b": 4.0}
    gradient = ad.grad(lambda d: d["a"] ** 2)(collections.defaultdict(float, a=3.0))
    assert isinstance(gradient, collections.defaultdict) and gradient == {"a": 6.0}
    np.testing.assert_allclose(ad.jet(np.sin, (X,), (np.stack([X, X]),))[1], ad.jet(np.sin, (X,), ([X, X],))[1])


def test_what_is_not_differentiated_is_passed_as_it_is():
    seen = []

    def f(x, n, flag=False):
        seen.append((n, flag))
        return np.sum(x) * n if flag else np.sum(x[:n])

    np.testing.assert_array_equal(ad.grad(f)(X, 2), [1.0, 1.0, 0.0])
    np.testing.assert_array_equal(ad.grad(f)(X, 2, flag=True), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(ad.grad(lambda n, x: np.sum(x) * n, -1)(3, X), [3.0] * 3)
    assert seen == [(2, False), (2, True)]


def test_python_decides_by_the_numbers():
    def f(x):
        while np.sum(x * x) < 100.0:
            x = x * 2 if x[0] > 0 else -x
        return np.sum(x)

    np.testing.assert_array_equal(ad.grad(f)(X), np.full(3, 8.0))
    np.testing.assert_array_equal(ad.jacobian(ad.grad(f))(-X), np.zeros((3, 3)))


def test_values_may_be_read_by_python_inside_nested_transforms():
    def f(x):
        return x**3 if x > 1 else x**2

    assert ad.grad(lambda x: x[int(np.argmax(x))] ** 2 * float(np.sum(x > 0.7)))(X).tolist() == [0.0, 0.0, 8.0]  # it is a step
    assert ad.grad(ad.grad(f))(2.0) == 12.0
    assert ad.grad(ad.grad(f))(0.5) == 2.0


# ---- nesting -----------------------------------------------------------------------------------------------------------


def test_perturbations_are_not_confused():
    assert ad.grad(lambda x: x * ad.grad(lambda y: x + y)(2.0))(1.0) == 1.0  # Siskind & Pearlmutter 2005
    assert ad.grad(lambda x: x * ad.jvp(lambda y: x + y, (2.0,), (1.0,))[1])(1.0) == 1.0
    assert ad.jvp(lambda x: x * ad.jvp(lambda y: x + y, (2.0,), (1.0,))[1], (1.0,), (1.0,))[1] == 1.0
    assert ad.jvp(lambda x: x * ad.grad(lambda y: x * y)(x), (3.0,), (1.0,))[1] == 6.0
    assert ad.grad(lambda a: ad.grad(lambda x: a * x**2)(3.0))(2.0) == 6.0
    # the inner argument is the very node that the inner function closes over
    assert ad.grad(lambda x: ad.grad(lambda z: z * np.sin(x))(np.sin(x)))(0.7) == pytest.approx(math.cos(0.7))
    assert ad.grad(lambda x: ad.grad(lambda z: z * x)(x))(3.0) == 1.0


def derivative_by(mode):
    return {
        "grad": lambda f: ad.grad(f),
        "jvp": lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1],
        "vjp": lambda f: lambda x: ad.vjp(f, x)[1](1.0)[0],
        "jacobian": lambda f: ad.jacobian(f),
        "jet": lambda f: lambda x: ad.jet(f, (x,), ([1.0],))[1][0],
        "hvp": lambda f: lambda x: ad.hvp(lambda y: f(y) * (y - x), (x,), (0.5,)),
        "vmap": lambda f: lambda x: ad.vmap(ad.grad(f))(np.stack([x, x]))[1],
        "laplacian": lambda f: lambda x: ad.laplacian(lambda y: f(y[0] + x) * y[0] / 2)(np.zeros(1)),
    }[mode]


KINDS = ["grad", "jvp", "vjp", "jacobian", "jet", "hvp", "vmap", "laplacian"]


@pytest.mark.parametrize(("outer", "middle", "inner"), list(itertools.product(KINDS, KINDS, ["grad", "jvp", "jet"])))
def test_any_transform_of_any_transform(outer, middle, inner):
    f = derivative_by(outer)(derivative_by(middle)(derivative_by(inner)(lambda x: np.exp(2 * x) * np.sin(x))))
    x = 0.3
    exact = (math.exp(2 * x) * (2 + 1j) ** 3 * complex(math.cos(x), math.sin(x))).imag
    assert f(x) == pytest.approx(exact, rel=1e-12)


def test_array_valued_transforms_nest():
    def product(z):
        return ad.jacobian(coupled)(z) @ z

    h = 1e-6
    differences = [(product(X + h * e) - product(X - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(ad.jacobian(product)(X), np.stack(differences, -1), atol=1e-7)
    np.testing.assert_allclose(ad.laplacian(ad.laplacian(lambda x: np.sum(x**4) + (x[0] * x[1]) ** 2))(X), 72.0 + 8.0)
    np.testing.assert_allclose(ad.grad(lambda x: ad.laplacian(lambda y: np.sum(y**4))(x))(X), 24 * X)
    ones, zeros = np.ones(3), np.zeros(3)
    third = ad.jet(bowl_gradient, (X,), ([ones, zeros],))[1][1]
    np.testing.assert_allclose(ad.grad(lambda x: np.sum(ad.hessian(bowl)(x)))(X), third)
    np.testing.assert_allclose(ad.grad(lambda x: ad.jet(np.exp, (x,), ([1.0, x],))[1][1])(0.5), math.exp(0.5) * 2.5)


def test_derivatives_with_respect_to_what_a_transform_closes_over():
    def loss(weight):
        slope = ad.grad(lambda x: np.tanh(weight * x))(0.5)
        return slope**2

    w, h = 0.8, 1e-6
    assert ad.grad(loss)(w) == pytest.approx((loss(w + h) - loss(w - h)) / (2 * h), rel=1e-8)


def test_results_that_do_not_depend_on_the_argument_are_zero():
    assert ad.grad(lambda x: 3.0)(1.0) == 0.0
    np.testing.assert_array_equal(ad.jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    np.testing.assert_array_equal(ad.grad(lambda x: np.sum(np.floor(x)))(X), np.zeros(3))


def test_stop_gradient():
    assert ad.grad(lambda x: x * ad.stop_gradient(x))(3.0) == 3.0
    assert ad.grad(ad.grad(lambda x: x**2 * ad.stop_gradient(x)))(3.0) == 6.0
    assert ad.jet(lambda x: x * ad.stop_gradient(x), (3.0,), ([1.0, 0.0],))[1] == [3.0, 0.0]
    assert ad.stop_gradient(2.0) == 2.0


def assigned(x, key):
    y = 2 * x
    y[key] = 1.0
    return y


# ---- refusals ----------------------------------------------------------------------------------------------------------

REFUSALS = {
    "integers": (lambda: ad.grad(bowl)(np.array([1, 2])), TypeError, ["'x'", "int64", "float"]),
    "a python int": (lambda: ad.grad(bowl)(2), TypeError, ["'x'", "int64"]),
    "integers are a question of differentiation": (lambda: ad.grad(bowl)(2), ad.DifferentiationError, []),
    "complex numbers": (lambda: ad.grad(bowl)(X * 1j), TypeError, ["'x'", "complex128", "real"]),
    "a python complex": (lambda: ad.grad(bowl)(1j), TypeError, ["'x'", "complex128", "real"]),
    "a number inside": (lambda: ad.grad(lambda x: np.sum(x.numpy()))(X), ad.TraceError, [".numpy()", "'x'"]),
    "a fraction as an index": (lambda: ad.grad(lambda x: x[1.5])(X), IndexError, ["1.5", "x[1]"]),
    "an index too large": (lambda: ad.grad(lambda x: np.sum(x[[0, 5]]))(X), IndexError, ["5", "3"]),
    "assignment out of bounds": (lambda: ad.grad(lambda x: np.sum(assigned(x, 7)))(X), IndexError, ["7", "3"]),
    "text": (lambda: ad.grad(bowl)("two"), TypeError, ["'x'", "str"]),
    "not a scalar": (lambda: ad.grad(np.sin)(X), ad.DifferentiationError, ["(3,)", "use jacobian, or sum()"]),
    "a tuple is not a scalar": (lambda: ad.grad(lambda x: (x, x))(1.0), ad.DifferentiationError, ["(*, *)"]),
    "hvp of a vector": (lambda: ad.hvp(np.sin, (X,), (X,)), ad.DifferentiationError, ["(3,)"]),
    "no return": (lambda: ad.grad(lambda x: None)(1.0), TypeError, ["did you forget to return a value from <lambda>?"]),
    "text returned": (lambda: ad.grad(lambda x: "y")(1.0), TypeError, ["str"]),
    "None returned in a tuple": (lambda: ad.jvp(lambda x: (None,), (1.0,), (1.0,)), TypeError, ["(None,)"]),
    "a condition returned": (lambda: ad.grad(lambda x: x > 1)(1.0), ad.DifferentiationError, ["bool"]),
    "argnums too large": (lambda: ad.grad(bowl, 1)(X), ad.ArgumentError, ["argnums=1", "1 positional argument"]),
    "argnums twice": (lambda: ad.grad(bowl, (0, 0))(X), ad.ArgumentError, ["twice"]),
    "argnums a name": (lambda: ad.grad(bowl, "x")(X), ad.ArgumentError, ["argnums"]),
    "names of arguments reach through": (lambda: ad.hvp(bowl, (X,), (X[:2],)), ad.ShapeError, ["(2,)", "(3,)", "'x'"]),
    "tangent too short": (lambda: ad.jvp(bowl, (X,), (X[:2],)), ad.ShapeError, ["(2,)", "(3,)", "'x'"]),
    "tangent a scalar": (lambda: ad.jvp(bowl, (X,), (1.0,)), ad.ShapeError, ["()", "(3,)"]),
    "tangents too few": (lambda: ad.jvp(np.dot, (X, X), (X,)), ad.ArgumentError, ["2 primals", "1 tangents"]),
    "tangents nested otherwise": (lambda: ad.jvp(bowl, (X,), ({"a": X},)), ad.ArgumentError, ["{'a': *}"]),
    "primals not a tuple": (lambda: ad.jvp(bowl, X, X), ad.ArgumentError, ["tuple", "(x,)"]),
    "cotangent too long": (lambda: ad.vjp(bowl, X)[1](X), ad.ShapeError, ["(3,)", "()", "bowl"]),
    "cotangents too many": (lambda: ad.vjp(lambda x: (x, x), X)[1]((X,) * 3), ad.ArgumentError, ["(*, *, *)", "(*, *)"]),
    "series of two lengths": (lambda: ad.jet(np.dot, (X, X), ([X], [X, X])), ad.ArgumentError, ["1 for", "append zeros"]),
    "series too few": (lambda: ad.jet(np.dot, (X, X), ([X],)), ad.ArgumentError, ["2 primals", "1 series"]),
    "term of another shape": (lambda: ad.jet(bowl, (X,), ([X, X[:1]],)), ad.ShapeError, ["term 2", "(1,)", "(3,)"]),
    "laplacian of a matrix": (lambda: ad.laplacian(np.sum)(np.eye(2)), ad.ShapeError, ["(n,)"]),
    "vmap of two lengths": (lambda: ad.vmap(np.dot)(np.ones((2, 3)), np.ones((3, 3))), ad.ShapeError, ["2 for", "3 for"]),
    "vmap of a scalar by keyword": (lambda: ad.vmap(lambda x, k: x * k)(X, k=2), ad.ShapeError, ["'k'", "()", "partial"]),
    "vmap of axes nested otherwise": (lambda: ad.vmap(np.sin, ({"a": 0},))(X), ad.ArgumentError, ["{'a': 0}", "'x'"]),
    "vmap of a scalar": (lambda: ad.vmap(np.sin)(1.0), ad.ShapeError, ["axis 0", "()"]),
    "vmap that decides": (lambda: ad.vmap(lambda x: x if x > 0 else -x)(X), ad.TraceError, ["np.where"]),
    "vmap with a shape of numbers": (lambda: ad.vmap(lambda x: x[x > 0])(np.eye(2)), ad.TraceError, ["conditions", "np.where"]),
    "shapes that do not fit": (lambda: ad.grad(lambda x: np.sum(x + np.ones(2)))(X), ad.ShapeError, ["(3,)", "(2,)"]),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_say_what_where_and_what_to_do(name):
    call, kind, words = REFUSALS[name]
    with pytest.raises(kind) as error:
        call()
    assert isinstance(error.value, ad.AutodiffError)
    assert "test_functional.py:" in error.value.where
    for word in words:
        assert word in str(error.value)


# ---- memory ------------------------------------------------------------------------------------------------------------


def test_nothing_stays_behind():
    """Graphs have no cycles: memory is flat with the garbage collector off."""
    big = np.ones(10_000)

    def step():
        ad.grad(bowl)(big)
        ad.hvp(bowl, (big,), (big,))

    step()
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            step()
        # one array left behind by each step would be twenty; the pool of nodes itself may still grow a little
        assert tracemalloc.get_traced_memory()[0] - before < 10 * big.nbytes
        assert gc.collect() < 20  # objects in cycles; other threads of the test runner may leave a few
    finally:
        tracemalloc.stop()
        gc.enable()


# ---- random programs ---------------------------------------------------------------------------------------------------

UNARY = [np.sin, np.cos, np.tanh, np.arctan, np.arcsinh, np.sinc,
         lambda a: a * a, lambda a: np.exp(-a * a), lambda a: 1.0 / (1.5 + np.sin(a)),
         lambda a: np.sqrt(1.0 + a * a), lambda a: np.log1p(a * a), lambda a: -a, lambda a: 0.5 * a + 1.0,
         lambda a: np.cumsum(a) / 3.0, lambda a: a[::-1], lambda a: np.roll(a, 1),
         lambda a: np.where(a > 0.3, a, 0.3 * np.sin(a))]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, lambda a, b: a / (2.0 + np.cos(b)), np.hypot, np.logaddexp, np.maximum,
          lambda a, b: np.outer(np.tanh(a), b) @ np.ones(3) / 3.0, np.arctan2]  # fmt: skip


@st.composite
def programs(draw):
    """A straight-line program on three vectors: which function, on which earlier values."""
    steps = []
    for k in range(draw(st.integers(2, 7))):
        if draw(st.booleans()):
            steps.append((draw(st.sampled_from(UNARY)), (draw(st.integers(0, k)),)))
        else:
            steps.append((draw(st.sampled_from(BINARY)), (draw(st.integers(0, k)), draw(st.integers(0, k)))))
    return steps


def run(steps, x):
    values = [x]
    for f, places in steps:
        values.append(f(*(values[i] for i in places)))
    return values[-1]


@settings(max_examples=150)
@given(steps=programs(), seed=st.integers(0, 1000))
def test_random_programs(steps, seed):
    rng = np.random.default_rng(seed)
    x, v, w = rng.normal(size=(3, 3))

    def f(x):
        return run(steps, x)

    expected = f(x)
    value, tangent = ad.jvp(f, (x,), (v,))
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    (cotangent,) = ad.vjp(f, x)[1](w)
    scale = 1.0 + np.max(np.abs(tangent)) + np.max(np.abs(cotangent))
    if not np.isfinite(scale):
        return  # arctan2 of zeros, or the like
    assert abs(w @ tangent - cotangent @ v) < 1e-11 * scale
    # second order: forward of forward, forward of reverse and Taylor mode meet
    twice = ad.jvp(lambda y: ad.jvp(f, (y,), (v,))[1], (x,), (v,))[1]
    _, (_, second) = ad.jet(f, (x,), ([v, np.zeros(3)],))
    mixed = ad.jvp(lambda y: ad.vjp(f, y)[1](w)[0], (x,), (v,))[1] @ v
    scale = 1.0 + np.max(np.abs(twice))
    np.testing.assert_allclose(second, twice, rtol=1e-9, atol=1e-9 * scale)
    assert abs(w @ twice - mixed) < 1e-9 * scale * (1.0 + np.max(np.abs(w)))
    np.testing.assert_allclose(ad.jacobian(f)(x) @ v, tangent, rtol=1e-9, atol=1e-10 * (1.0 + np.max(np.abs(tangent))))
    # and all of it in a batch
    np.testing.assert_allclose(ad.vmap(f)(np.stack([x, v])), np.stack([expected, f(v)]), rtol=1e-11, atol=1e-12)
