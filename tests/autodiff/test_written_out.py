"""Comparing and rearranging the features of a point inside a kernel, with jets and gradients; and what a kernel refuses."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad

X, T = (ad.Array(ad.symbol(name)) for name in "xt")
SIZE = 12


def features(n: int = 4) -> ad.Array:
    W, b = ad.Array(ad.view("theta", 0, (n, 2))), ad.Array(ad.view("theta", 2 * n, (n,)))
    return np.tanh(W @ np.stack([X, T]) + b)


PROGRAMS = {
    "extremes": lambda h: (np.max(h), np.ptp(h) * h[0], ad.softmax(h)[1] + ad.logsumexp(h)),
    "order": lambda h: (np.sort(h)[1] + np.argmax(h) * h[0], np.median(h) * h[np.argmin(h)]),
    "places": lambda h: (np.sum(np.cumsum(h) ** 2), np.roll(h, 1) @ h[[3, 0, 0, 2]], np.std(h), np.cumprod(h)[2] * np.prod(h)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_kernel_agrees_with_the_interpreter(name):
    values = PROGRAMS[name](features())
    slopes = [ad.Array(ad.Forward({X.node: ad.lift(1.0)}).of(v.node)) for v in values]
    residuals = (*values, *slopes)
    program = ad.PointProgram((X, T), residuals, SIZE)
    theta = np.random.default_rng(0).normal(size=SIZE)
    points = np.random.default_rng(1).normal(size=(7, 2))
    bound = program.bind(points, np.ones(7))

    def interpreted(theta):
        symbols = {X.node: points[:, 0], T.node: points[:, 1]}
        return np.stack(ad.evaluate([r.node for r in residuals], symbols, {"theta": theta}, points=7), axis=1)

    terms, gradient = bound.loss_and_gradient(theta, np.ones(len(residuals)))
    np.testing.assert_allclose(terms, np.sum(interpreted(theta) ** 2, axis=0), rtol=1e-12)
    steps = 1e-6 * np.eye(SIZE)
    differences = [np.sum(interpreted(theta + s) ** 2 - interpreted(theta - s) ** 2) / 2e-6 for s in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)


REFUSED = {
    "sort of many": lambda h: np.sort(features(32))[0],
    "solve": lambda h: np.linalg.solve(np.stack([h[:2], h[2:]]), h[:2])[0],
    "outer": lambda h: np.sum(np.outer(h, h)),
    "max of a matrix": lambda h: np.max(np.outer(h, h)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_with_a_way_out(name):
    with pytest.raises(ad.CompileError, match="the tile compiler has no form for") as error:
        ad.PointProgram((X, T), (REFUSED[name](features()),), 96).kernel("loss_and_gradient")
    assert error.value.why and error.value.fix


def test_a_guard_stands_only_below_a_choice():
    """Where no choice can make a cotangent zero, a product stays a product."""
    x = ad.Array(ad.symbol("x", lane=ad.SHARED))
    y = np.where(x > 0, np.sqrt(x), 0.0)
    above, below = np.sin(y), np.sqrt(x)
    (ct,) = ad.reverse([above.node], [ad.lift(1.0)], [x.node])
    names = [node.op.name for node in ad.walk([ct])]
    assert names.count("gated") == 1  # sqrt is chosen from; sin comes after
    (ct,) = ad.reverse([below.node], [ad.lift(1.0)], [x.node])
    assert "gated" not in [node.op.name for node in ad.walk([ct])]
