"""Jet space: derivatives against differences by rate and against identities; every mistake has a sentence of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autodiff as ad
from pinn.errors import ProblemError
from pinn.jetspace import D, JetSpace, curl, demands, div, grad, laplacian, leaf_key, normal_derivative, trace

SPACE = JetSpace(("x", "y", "z", "t"), ("x", "y", "z"), "t", ("u", "v", "w"))
PLANE = JetSpace(("x", "y"), ("x", "y"), None, ("u", "v"))
CLOCK = JetSpace(("t",), (), "t", ("u",))
POINTS = np.random.default_rng(0).uniform(0.2, 0.9, (7, 4))

# Fields whose derivatives of every order are known without differentiating: u = prod_i sin(k_i s_i + phase).
WAVES = {"u": (1.3, 0.7, -1.1, 0.9), "v": (-0.8, 1.2, 0.6, 1.4), "w": (0.5, -1.5, 0.9, 0.7)}


def wave(unknown: str, index: tuple[str, ...], points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    total = np.ones(len(points))
    for i, name in enumerate(names):
        k, order = WAVES[unknown][i], index.count(name)
        total = total * k**order * np.sin(k * points[:, i] + 0.3 * (i + 1) + order * np.pi / 2)
    return total


def value(expression, space: JetSpace, points: np.ndarray = POINTS) -> np.ndarray:
    """An expression with the waves in it, `(points, *shape)`."""
    node = ad.lift(expression)
    symbols = {}
    for leaf in ad.walk([node]):
        key = leaf_key(leaf)
        if key is not None:
            symbols[leaf] = {
                "coordinate": lambda key: points[:, space.coordinates.index(key[1])],
                "jet": lambda key: wave(key[1], key[2], points, space.coordinates),
                "normal": lambda key: np.full(len(points), {"x": 0.6, "y": 0.8}.get(key[1], 0.0)),
            }[key[0]](key)
    answer = np.asarray(ad.evaluate([node], symbols, points=len(points))[0], float)
    return np.broadcast_to(answer, (len(points), *node.shape))


def fields(space: JetSpace) -> list[ad.Array]:
    return [space.jet(name) for name in space.unknowns]


U, V, W = fields(SPACE)
X, Y, Z, T = (SPACE.coordinate(name) for name in SPACE.coordinates)

EXPRESSIONS = {
    "product": lambda: X * U.x * V,
    "quotient": lambda: U / (2 + V * V),
    "composition": lambda: np.exp(np.sin(U * T)) + np.tanh(U.y),
    "flux": lambda: ((1 + X**2 + U**2) * U.x).x,
    "mixed": lambda: U.xt * V.yy + np.sqrt(2 + U.zz),
    "selection": lambda: np.where(X > 0.5, U * X, V.x),
    "of a sum over components": lambda: np.sum(grad(U) ** 2),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("axis", range(4))
def test_a_derivative_is_the_limit_of_differences(name, axis):
    """The total derivative of any expression, at rate 2 (waves are shifted along the axis, so jets move too)."""
    expression = EXPRESSIONS[name]()
    exact = value(D(expression, SPACE.coordinates[axis]), SPACE)
    errors = []
    for h in (4e-3, 2e-3):
        ahead, behind = POINTS.copy(), POINTS.copy()
        ahead[:, axis] += h
        behind[:, axis] -= h
        errors.append(np.max(np.abs((value(expression, SPACE, ahead) - value(expression, SPACE, behind)) / (2 * h) - exact)))
    assert errors[1] < 1e-3
    assert errors[1] < 1e-11 or 1.9 < math.log2(errors[0] / errors[1]) < 2.1


def test_subscripts_are_one_leaf_in_any_order():
    assert U.xy.node is U.yx.node is U.x.y.node is U.y.x.node is D(U, Y, X).node is D(U, "x", "y").node
    assert U.xxt.node is U.txx.node
    assert leaf_key(U.tyx.node) == ("jet", "u", ("x", "y", "t"))


def test_names_of_several_letters():
    space = JetSpace(("x", "x1", "theta", "t"), ("x", "x1", "theta"), "t", ("u",))
    u = space.jet("u")
    assert leaf_key(u.xx1.node)[2] == ("x", "x1")
    assert leaf_key(u.thetatheta.node)[2] == ("theta", "theta")
    assert leaf_key(u.thetax1t.node)[2] == ("x1", "theta", "t")
    assert space.read("thet") is None and space.read("") == ()


def test_coordinates_and_numbers():
    assert value(D(X * X * Y, X), SPACE) == pytest.approx(2 * POINTS[:, 0] * POINTS[:, 1])
    for zero in (D(3.0, X), D(3.0, "x"), D(X, Y), laplacian(2.0), div((1.0, 2.0)), curl((1.0, 2.0)), normal_derivative(1.0),
                 SPACE.derivative(5, ("x",)), D(np.float64(2), X, X)):
        assert np.all(value(zero, SPACE) == 0)
    assert D(2.5).item() == 2.5
    assert np.all(value(grad(X * 0 + 2), SPACE) == 0)


def test_product_rule():
    assert value((X * U.x).x, SPACE) == pytest.approx(value(U.x + X * U.xx, SPACE), rel=1e-14)
    assert value((U * V).xx, SPACE) == pytest.approx(value(U.xx * V + 2 * U.x * V.x + U * V.xx, SPACE), rel=1e-13)


def test_gradient_divergence_laplacian():
    assert grad(U).shape == (3,) and grad(grad(U)).shape == (3, 3)
    assert grad(U)[1].node is U.y.node
    assert value(div(grad(U)), SPACE) == pytest.approx(value(laplacian(U), SPACE), rel=1e-14)
    assert value(laplacian(U), SPACE) == pytest.approx(-sum(k * k for k in WAVES["u"][:3]) * value(U, SPACE), rel=1e-13)
    assert value(np.trace(grad(grad(U))), SPACE) == pytest.approx(value(laplacian(U), SPACE), rel=1e-14)
    left, right = div([U * V, U * W, X * U]), U * div((V, W, X)) + grad(U) @ np.stack([V, W, X])
    assert value(left, SPACE) == pytest.approx(value(right, SPACE), rel=1e-13)


def test_the_laplacian_leaves_time_out():
    assert demands([laplacian(U)]) == {"u": [("x", "x"), ("y", "y"), ("z", "z")]}
    assert demands([laplacian(laplacian(PLANE.jet("u")))])["u"] == [tuple(word) for word in ("xxxx", "xxyy", "yyyy")]


def test_curl():
    vector = (U * Z, V, W * X)
    assert np.max(np.abs(value(div(curl(vector)), SPACE))) < 1e-14
    assert np.max(np.abs(value(curl(grad(U * V)), SPACE))) < 1e-14
    identity = grad(div((U, V, W))) - np.stack([laplacian(U), laplacian(V), laplacian(W)])
    assert value(curl(curl((U, V, W))), SPACE) == pytest.approx(value(identity, SPACE), rel=1e-13)
    u, v = fields(PLANE)
    assert value(curl((u, v)), PLANE, POINTS[:, :2]) == pytest.approx(value(v.x - u.y, PLANE, POINTS[:, :2]))
    # curl of a rotation about z is twice the angular velocity, with its sign
    assert value(curl((-PLANE.coordinate("y"), PLANE.coordinate("x"))), PLANE, POINTS[:, :2]) == pytest.approx(2.0)
    assert value(curl((-Y, X, 0.0)), SPACE)[0] == pytest.approx([0, 0, 2])


def test_normal_derivative():
    u = PLANE.jet("u")
    points = POINTS[:, :2]
    assert value(normal_derivative(u), PLANE, points) == pytest.approx(value(0.6 * u.x + 0.8 * u.y, PLANE, points))


def test_demands_are_sorted_by_order():
    residual = trace(PLANE, lambda u, v, x: (u * u.xy + v.y, v - x))
    assert demands(residual) == {"u": [(), ("x", "y")], "v": [(), ("y",)]}


def test_functions_receive_what_they_name():
    def equation(nx, t, u, z, rate=2.0):
        assert rate == 2.0
        return u.t - nx * z * t

    (residual,) = trace(SPACE, equation)
    assert {repr(leaf_key(n)) for n in ad.walk([residual.node]) if leaf_key(n)} == {"u.t", "nx", "z", "t"}
    extra = ad.Array(ad.symbol(("coefficient", "k"), lane=ad.SHARED))
    assert trace(SPACE, lambda u, k: k * u.x, {"k": extra})[0].shape == ()


def test_hasattr_can_ask():
    assert hasattr(U, "xx") and not hasattr(U, "q")


def divide(u):
    return u.t / (1 // 0)


WRONG = {
    "misspelt argument": (lambda u, xx: u, "argument", "asks for 'xx'", "did you mean 'x'"),
    "star arguments": (lambda *u: u[0], "argument", "no name", "lambda"),
    "misspelt derivative": (lambda u: u.q, "derivative", "no derivative u.q", "u.x"),
    "derivative of an expression": (lambda u: (u * u.x).u_x, "derivative", "(...).u_x", "did you mean"),
    "D by an unknown": (lambda u, v: D(u, v), "derivative", "coordinates only", "D(u, x)"),
    "D by a name": (lambda u: D(u, "q"), "derivative", "coordinates only", "'q' is no coordinate"),
    "nothing": (lambda u: None, "return", "returns nothing", "return u.t - ..."),
    "a comparison": (lambda u: u.t == u.xx, "return", "comparison", "left - right"),
    "a bool": (lambda u: True, "return", "comparison", "left - right"),
    "a text": (lambda u: "u.t", "return", "returns a str", "return u.t"),
    "an empty tuple": (lambda u: (), "return", "empty tuple", "nothing"),
    "one of two": (lambda u: (u.t, None), "return", "value 2", "nothing"),
    "a vector": (lambda u: grad(u), "shape", "shape (3,) for one point", "return a tuple"),
    "a number": (lambda u: 3, "no-unknown", "the number 3", "unknowns are u, v, w"),
    "a plain array": (lambda u: np.ones(3), "no-unknown", "plain array of shape (3,)", "unknowns"),
    "only coordinates": (lambda u, x: np.sin(x), "no-unknown", "never uses an unknown", "u, v, w"),
    "a mean": (lambda u: u.t - np.mean(u), "reduction", "np.mean(u) would reduce over points", "leave it out"),
    "a sum": (lambda u: (u * u).sum(), "reduction", "reduce over points", "leave it out"),
    "a maximum": (lambda u: u.max(), "reduction", "(u) would reduce over points", "np.maximum"),
    "np.max": (lambda u: np.max(u), "reduction", "np.max(u) would reduce", "np.maximum"),
    "math.sin": (lambda u: math.sin(u), "would-cut", "float()", "np.sin"),
    "an if": (lambda u: u if u > 0 else 0, "needs-number", "`if`", "np.where"),
    "an exception": (divide, "user-function", "ZeroDivisionError", "runs as you wrote it"),
    "shapes": (lambda u: grad(u) @ np.ones(2), "product", "3 columns meet 2 rows", "test_jetspace.py:"),
    "components": (lambda u, v: div((u, v)), "operator", "2 components", "x, y, z"),
    "a scalar divergence": (lambda u: div(u), "operator", "needs a vector", "no components"),
    "a gradient of a number": (lambda u: grad(3.0), "operator", "plain number", "coordinates"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_has_a_sentence(name):
    function, code, what, more = WRONG[name]
    with pytest.raises(ProblemError) as caught:
        trace(SPACE, function)
    assert caught.value.code == code
    assert what in caught.value.what
    assert more in str(caught.value)
    assert "test_jetspace.py:" in caught.value.where


def test_what_the_user_raised_is_chained():
    with pytest.raises(ProblemError) as caught:
        trace(SPACE, lambda u: {}["key"])
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("word", [grad, laplacian, normal_derivative])
def test_operators_of_space_need_space(word):
    with pytest.raises(ProblemError, match="without space") as caught:
        word(CLOCK.jet("u"))
    assert caught.value.fix == "D(u, t)"


def test_a_ufunc_is_no_equation():
    with pytest.raises(ProblemError, match="never uses an unknown"):
        trace(SPACE, np.sin)
