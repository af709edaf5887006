"""Choices and loops: the same numbers and derivatives as plain Python, where numbers are known and where they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff.array import Array, lift, unknown
from autodiff.graph import digest, substitute, walk
from autodiff.program import flatten
from autodiff.rules.loop import CAPACITY
from autodiff.transforms import rebuild

X = np.array([0.5, -0.3, 1.2])
A = np.random.default_rng(3).standard_normal((3, 3)) / 3


def without_numbers(f: Callable) -> Callable:
    """The same function, traced on arrays that have no numbers: what `vmap` and `function` see of it."""

    def traced(*args: Any) -> Any:
        given, nested = flatten(args)
        nodes = [lift(x) for x in given]
        leaves = [unknown(f"argument {i}", n.shape, n.dtype) for i, n in enumerate(nodes)]
        results, structure = flatten(f(*nested.build([Array(leaf) for leaf in leaves])))
        outputs = substitute([lift(y) for y in results], dict(zip(leaves, nodes, strict=True)), rebuild)
        arrays = [Array(n) for n in outputs]
        return structure.build(arrays if any(isinstance(x, Array) for x in given) else [a.numpy() for a in arrays])

    return traced


def ops(f: Callable, *args: Any) -> list[str]:
    """The names of the operations of a function of arrays without numbers."""
    result = flatten(f(*[Array(unknown("argument", np.shape(x), np.asarray(x).dtype)) for x in args]))[0]
    return [n.op.name for n in walk([lift(y) for y in result])]


# ---- programs: name -> (function of X) ----------------------------------------------------------------------------------


def newton(x):
    """The square root of |x| + 1 by Newton's method, until it stands still."""
    a = np.abs(x) + 1.0
    return ad.while_loop(lambda y: np.max(np.abs(y * y - a)) > 1e-9, lambda y: 0.5 * (y + a / y), a)


def counted(x):
    n, y = ad.while_loop(lambda n, y: (np.sum(y * y) < 50.0) & (n < 9), lambda n, y: (n + 1, np.sin(y) + 1.4 * y), [0, x])
    return y * n


def limited(x):
    return ad.while_loop(lambda y: np.sum(y) < 1e9, lambda y: y + np.tanh(y) * y, (x,), maximum_iterations=3)[0]


def never(x):
    return ad.while_loop(lambda y: np.sum(y) > 1e9, lambda y: y * y, (x * x,))[0]


def leapfrog(x):
    def step(state, force):
        q, v = state["q"], state["v"]
        v = v - 0.1 * np.sin(q) + force
        return {"q": q + 0.1 * v, "v": v}, (q * v, np.sum(q))

    state, (energy, total) = ad.scan(step, {"q": x, "v": x * x}, np.linspace(0.0, 1.0, 12).reshape(4, 3))
    return state["q"] * np.sum(energy) + total[2]


def backward(x):
    rows = np.stack([x, x * x, np.exp(x)])
    carry, ys = ad.scan(lambda c, r: (c * r["a"] + r["b"], c - r["b"]), x[0], {"a": x, "b": np.sum(rows, 1)}, reverse=True)
    return np.stack([carry, ys[0] * ys[2]])


def power(x):
    return ad.scan(lambda c, _: (np.tanh(A @ c), None), x, length=5)[0]


def running(x):
    return ad.scan(lambda c, r: (c + r, np.sin(c) * r), 0.0, x)[1]


def kept_matrix(x):
    w = np.outer(x, x) + A
    return ad.scan(lambda c, r: (np.tanh(w @ c) + r, np.sum(w * r)), x, np.ones((4, 3)))[0]


def integers(x):
    (i, big, y), ys = ad.scan(lambda c, r: ((c[0] + 1, c[1] | (c[2] > 1.0), c[2] + r * c[0]), c[0]), (0, False, np.sum(x)), x)
    return y * np.where(big, 2.0, 3.0) + np.sum(ys * x)


def nested(x):
    def outer(c, r):
        inner, _ = ad.scan(lambda d, s: (np.sin(d) * s + r, None), c, x)
        return inner, ad.while_loop(lambda z: z < 3.0, lambda z: z * 1.7 + 0.1, np.abs(inner) + 0.2)

    return ad.scan(outer, x[0], x)[1]


def chosen(x):
    return ad.cond(np.sum(x) > 0, lambda y: (np.sin(y) * y, y[0]), lambda y: (y**3, y[1]), x)[0]


def other(x):
    return ad.cond(np.sum(x) < 0, lambda y: np.sqrt(y - 9.0), lambda y: np.exp(y) * x, x)


def closures(x):
    y = 2.0 * x
    return ad.cond(x[0] > 0, lambda: np.sum(y * x), lambda: 3.0 * x[1])


def stepwise(x):
    return ad.scan(lambda c, r: (ad.cond(r > 0, lambda: np.sin(c) * r, lambda: c * c), None), np.sum(x), x)[0]


def choice_of_loops(x):
    return ad.cond(x[0] > 0, lambda: ad.scan(lambda c, r: (c * r, None), 1.0, x)[0], lambda: newton(x)[0])


PROGRAMS = [newton, counted, limited, never, leapfrog, backward, power, running, kept_matrix, integers, nested, chosen, other,
            closures, stepwise, choice_of_loops]  # fmt: skip


def each(test):
    return pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)(test)


@each
def test_without_numbers_there_is_a_node(f):
    assert {"loop", "cond"} & set(ops(f, X))
    np.testing.assert_allclose(without_numbers(f)(X), f(X), rtol=1e-13)


@each
def test_derivatives_to_third_order(f):
    ad.check_derivatives(without_numbers(f), X, order=2)  # forward, reverse, and these of these

    def weighed(g):
        return lambda x: np.sum(np.sin(g(x)))

    plain, looped = weighed(f), weighed(without_numbers(f))
    for _ in range(3):
        plain, looped = ad.grad(plain), ad.grad(looped)
        np.testing.assert_allclose(looped(X), plain(X), rtol=1e-8, atol=1e-10)
        plain, looped = weighed(plain), weighed(looped)


@each
def test_taylor_coefficients(f):
    path = ([np.ones(3), X, np.zeros(3), X],)
    plain, looped = (ad.jet(g, (X,), path) for g in (f, without_numbers(f)))
    np.testing.assert_allclose(looped[0], plain[0], rtol=1e-13)
    for one, two in zip(plain[1], looped[1], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-8, atol=1e-9)


@each
def test_batches(f):
    batch = np.stack([X, -X, 3.0 * X + 0.1, 0.1 * X])
    by_row = np.stack([f(x) for x in batch])
    np.testing.assert_allclose(ad.vmap(f)(batch), by_row, rtol=1e-12)
    gradient = ad.grad(lambda x: np.sum(f(x)))
    inner = np.stack([gradient(x) for x in batch])
    np.testing.assert_allclose(ad.vmap(gradient)(batch), inner, rtol=1e-9, atol=1e-11)
    outer = ad.grad(lambda b: np.sum(ad.vmap(f)(b)))(batch)
    np.testing.assert_allclose(outer, inner, rtol=1e-9, atol=1e-11)
