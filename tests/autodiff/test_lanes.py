"""Programs written for one point mean the same at every point, whatever the constructors made of them.

Stacks dissolve, indices move inward and small products become sums only where values differ from point to point; so the same
function is traced per point, traced shared, and called on plain numbers, and all three must agree, derivatives included.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.array import lift
from autodiff.graph import VIEW

POINTS, WIDTH = 5, 6
LAYOUT = {"first": (WIDTH, 2), "bias": (WIDTH,), "middle": (WIDTH, WIDTH), "last": (2, WIDTH), "gain": ()}


def views():
    """Every weight is a window of the vector "theta"."""
    found, offset = {}, 0
    for name, shape in LAYOUT.items():
        found[name] = ad.Array(ad.view("theta", offset, shape))
        offset += int(np.prod(shape))
    return found, offset


def numbers(theta):
    found, offset = {}, 0
    for name, shape in LAYOUT.items():
        size = int(np.prod(shape))
        found[name] = theta[offset : offset + size].reshape(shape)[()]
        offset += size
    return found


def network(w, x, t):
    h = np.tanh(w["first"] @ np.stack([x, t]) + w["bias"])
    h = np.tanh(w["middle"] @ h) + h
    return w["last"] @ h


def skipped(w, x, t):
    """Concatenation in front of a product, as in networks that see their inputs again."""
    h = np.sin(w["first"] @ np.stack([x, t * w["gain"]]))
    h = w["middle"] @ np.concatenate([h[:3], np.stack([x, t]), h[-1:] * 2])
    return np.stack([h[0] * h[-1], np.sum(h * h), (w["last"] @ h)[1], x])


def features(w, x, t):
    z = np.concatenate([np.sin(np.arange(1, 4) * x), np.cos(np.arange(1, 4) * t)])
    y = (w["middle"] @ z)[::2]
    return np.where(y > 0, y, 0.1 * y) * w["gain"] + np.maximum(x, t)


def matrices(w, x, t):
    h = np.tanh(w["first"] @ np.stack([x, t]))
    gram = np.outer(h, h) + np.eye(WIDTH) * x
    return np.einsum("ij,jk,k->i", gram, w["middle"], h)[1:3] + np.sum(gram, axis=0)[[0, 0]] + gram.T[2, :2] + np.prod(h)


FUNCTIONS = [network, skipped, features, matrices]


def per_point(f):
    """(columns, value per point, the length of theta)."""
    x, t = (ad.Array(ad.symbol(name)) for name in "xt")
    w, size = views()
    return (x.node, t.node), f(w, x, t).node, size


def cloud(size):
    rng = np.random.default_rng(3)
    return rng.uniform(-1, 1, (POINTS, 2)), rng.normal(size=size) * 0.6


@pytest.mark.parametrize("f", FUNCTIONS)
def test_values_and_derivatives_at_every_point(f):
    (x, t), y, size = per_point(f)
    points, theta = cloud(size)
    one = lift(1.0)
    forward = ad.Forward({x: one})
    y_x = forward.of(y)
    y_xx = forward.of(y_x)
    laplacian = ad.Laplacian([forward, ad.Forward({t: one})]).of(y)
    taylor = ad.Taylor({x: [one]}).coefficient(y, 3)
    third = forward.of(y_xx)
    columns = {x: points[:, 0], t: points[:, 1]}
    found = ad.evaluate([y, y_x, y_xx, laplacian, taylor, third], columns, {"theta": theta}, POINTS)
    for p, (px, pt) in enumerate(points):
        weights = numbers(theta)

        def at(z, weights=weights):
            return f(weights, z[0], z[1])

        z, e = np.array([px, pt]), np.array([1.0, 0.0])
        np.testing.assert_allclose(found[0][p], f(weights, px, pt), rtol=1e-12, atol=1e-13)
        terms = ad.jet(at, (z,), ([e, 0 * e, 0 * e],))[1]
        for got, expected in zip(found[1:3], terms, strict=False):
            np.testing.assert_allclose(got[p], expected, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found[3][p], ad.laplacian(at)(z), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found[4][p] * 6, terms[2], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(found[5][p], terms[2], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_an_operator_carried_as_one_channel(f):
    """u_t - 0.3 u_xx + 2 u_tt, collapsed and term by term."""
    (x, t), y, size = per_point(f)
    points, theta = cloud(size)
    d_x, d_t = ad.Forward({x: lift(1.0)}), ad.Forward({t: lift(1.0)})
    channel = ad.Collapsed([(d_x, -0.3), (d_t, 2.0)], [(d_t, 1.0)]).of(y)
    parts = [ad.Array(n) for n in (d_t.of(y), d_x.of(d_x.of(y)), d_t.of(d_t.of(y)))]
    expected = (parts[0] - 0.3 * parts[1] + 2.0 * parts[2]).node
    columns = {x: points[:, 0], t: points[:, 1]}
    got, wanted = ad.evaluate([channel, expected], columns, {"theta": theta}, POINTS)
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_cotangents_of_weights_are_rows_of_the_jacobian(f):
    (x, t), y, size = per_point(f)
    points, theta = cloud(size)
    y_x = ad.Forward({x: lift(1.0)}).of(y)
    residual = np.sum(ad.Array(y) * ad.Array(y_x)).node
    # the constructors cut weights into rows and columns, so the windows are found in the program
    windows = [n for n in ad.walk([residual]) if n.op is VIEW]
    cotangents = ad.reverse([residual], [lift(1.0)], windows)
    columns = {x: points[:, 0], t: points[:, 1]}
    rows = np.zeros((POINTS, size))
    for window, c in zip(windows, cotangents, strict=True):
        if c is None:
            continue
        (ct,) = ad.evaluate([c], columns, {"theta": theta}, POINTS)
        ct = np.broadcast_to(ct if c.lane is ad.POINT else ct[None], (POINTS, *window.shape))
        _, offset, shape, strides = window.attr
        places = offset + sum((np.arange(n).reshape((-1,) + (1,) * (len(shape) - i - 1)) * s
                               for i, (n, s) in enumerate(zip(shape, strides, strict=True))), np.zeros(shape, int))  # fmt: skip
        for p in range(POINTS):
            np.add.at(rows[p], places, ct[p])

    for p, z in enumerate(points):

        def scalar(theta, z=z):
            slots, offset = {}, 0
            for name, shape in LAYOUT.items():
                n = int(np.prod(shape))
                slots[name], offset = np.reshape(theta[offset : offset + n], shape), offset + n
            value, slope = ad.jvp(lambda x: f(slots, x, z[1]), (z[0],), (1.0,))
            return np.sum(value * slope)

        np.testing.assert_allclose(rows[p], ad.grad(scalar)(theta), rtol=1e-9, atol=1e-10)


STEPS = [
    ("stack", lambda a, b: np.stack([a[0], b[1], a[2] * b[0]])),
    ("concatenate", lambda a, b: np.concatenate([a[:2], b[1:2]])),
    ("reverse", lambda a, b: a[::-1] + b),
    ("slice", lambda a, b: np.concatenate([a[1:], b[:1]]) * a),
    ("product", lambda a, b: np.array([[1.0, 2.0, 0.0], [0.5, 0.0, -1.0], [0.0, 1.0, 1.0]]) @ (a * b)),
    ("outer", lambda a, b: np.outer(a, b) @ a),
    ("index", lambda a, b: a[1] * b),
    ("sum", lambda a, b: np.sum(a) + np.sin(b)),
    ("where", lambda a, b: np.where(a > b, a, b * a)),
    ("column", lambda a, b: np.reshape(np.outer(a, b), (9,))[::4]),
    ("fill", lambda a, b: np.broadcast_to(a[0], (3,)) - b),
    ("take", lambda a, b: a[[2, 0, 0]] + b),
    ("transpose", lambda a, b: (np.stack([a, b, a + b]).T @ b)),
    ("cumsum", lambda a, b: np.cumsum(a) - b),
    ("max", lambda a, b: np.max(a) * b),
]


@settings(max_examples=100)
@given(steps=st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_random_programs_per_point(steps):
    def f(x, t):
        values = [np.stack([x, t, x * t]), np.stack([t, np.sin(x), x])]
        for which, i, j in steps:
            values.append(STEPS[which][1](values[i % len(values)], values[j % len(values)]) / 2.0)
        return values[-1]

    x, t = (ad.symbol(name) for name in "xt")
    y = f(ad.Array(x), ad.Array(t)).node
    slope = ad.Forward({x: lift(1.0)}).of(y)
    cotangent = ad.reverse([y], [lift(1.0)], [x])[0]
    points = np.random.default_rng(4).uniform(-1, 1, (POINTS, 2))
    zero = lift(0.0)
    found = ad.evaluate([y, slope or zero, cotangent or zero], {x: points[:, 0], t: points[:, 1]}, points=POINTS)
    for p, (px, pt) in enumerate(points):
        value, tangent = ad.jvp(lambda x, pt=pt: f(x, pt), (px,), (1.0,))
        np.testing.assert_allclose(found[0][p], f(px, pt), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(value, f(px, pt), rtol=1e-12, atol=1e-13)
        if slope is not None:
            np.testing.assert_allclose(found[1][p], tangent, rtol=1e-10, atol=1e-11)
            np.testing.assert_allclose(found[2][p], np.sum(tangent), rtol=1e-10, atol=1e-11)
