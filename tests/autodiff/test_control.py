"""Choices and loops: the same numbers and derivatives as plain Python, where numbers are known and where they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff.array import Array, lift, unknown
from autodiff.graph import Node, digest, substitute, text, walk
from autodiff.interpret import evaluate
from autodiff.program import flatten
from autodiff.rules.loop import CAPACITY
from autodiff.rules.tidy import tidied
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


def graph_of(f: Callable, *args: Any) -> tuple[list[Node], list[Node]]:
    """Leaves and results of a function of arrays without numbers."""
    leaves = [unknown("argument", np.shape(x), np.asarray(x).dtype) for x in args]
    return leaves, [lift(y) for y in flatten(f(*map(Array, leaves)))[0]]


def count(nodes: list[Node]) -> dict[str, int]:
    """How many choices and loops there are."""
    names = [n.op.name for n in walk(nodes)]
    return {name: names.count(name) for name in ("cond", "loop")}


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
    return ad.cond(np.sum(x) > 99.0, lambda y: np.sqrt(y - 99.0), lambda y: np.exp(y) * x, x)


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
    assert any(count(graph_of(f, X)[1]).values())
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


@each
def test_a_program_is_tidied_before_it_is_compiled(f):
    objective = ad.value_and_grad(lambda x: np.sum(np.sin(f(x))))
    for g in (objective, ad.hessian(lambda x: np.sum(f(x)))):
        (leaf,), nodes = graph_of(g, X)
        fewer = tidied(nodes)
        for new, old in zip(evaluate(fewer, {leaf: X}), evaluate(nodes, {leaf: X}), strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-11, atol=1e-12)
    (leaf,), nodes = graph_of(objective, X)
    assert sum(count(tidied(nodes)).values()) == 2  # there, and back


def test_what_nobody_reads_is_not_computed():
    def f(x):
        (a, b, c), ys = ad.scan(lambda s, r: ((s[0] + r, s[1] * s[0], np.exp(s[2])), (s[1], np.sin(r))), (0.0, 1.0, 0.0), x)
        return a + ys[1][2]

    (leaf,), nodes = graph_of(f, X)
    (loop,) = [n for n in walk(tidied(nodes)) if n.op.name == "loop"]
    assert len(loop.attr.carry) == 1 and len(loop.attr.ys) == 1
    assert not {"exp"} & {n.op.name for n in walk([*loop.attr.next, *loop.attr.ys])}
    np.testing.assert_allclose(evaluate(tidied(nodes), {leaf: X})[0], f(X))


# ---- one branch, lazily ----------------------------------------------------------------------------------------------------


def forever(x):
    return ad.while_loop(lambda y: np.sum(y) < np.inf, lambda y: 0.5 * y, x)


def test_only_one_branch_runs():
    f = without_numbers(lambda x: ad.cond(np.sum(x) < 99.0, lambda: np.sin(x), lambda: forever(x)))
    np.testing.assert_allclose(f(X), np.sin(X))
    np.testing.assert_allclose(ad.jvp(f, (X,), (X,))[1], np.cos(X) * X)


def test_a_branch_that_is_not_taken_cannot_spoil_the_gradient():
    def f(x):
        return ad.cond(x > 0, lambda: np.sqrt(x), lambda: 0.0 * x)

    assert ad.grad(without_numbers(f))(0.0) == 0.0
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(np.array([0.0, 4.0, -1.0])), [0.0, 0.25, 0.0])
    np.testing.assert_allclose(ad.grad(lambda b: np.sum(ad.vmap(f)(b)))(np.array([0.0, 4.0, -1.0])), [0.0, 0.25, 0.0])


def test_ended_examples_cannot_spoil_a_batch():
    def f(x):  # where it has ended, one more step would be 1/0
        return ad.while_loop(lambda y: y > 1.0, lambda y: np.sqrt(y - 1.0), x)

    batch = np.array([1.0, 2.0, 7.0])
    np.testing.assert_allclose(ad.vmap(f)(batch), [f(x) for x in batch])
    slopes = [ad.grad(f)(x) for x in batch]
    np.testing.assert_allclose(ad.grad(lambda b: np.sum(ad.vmap(f)(b)))(batch), slopes)
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(batch), slopes)


# ---- loops of unknown length -------------------------------------------------------------------------------------------------


def shrinking(steps, **options):
    return without_numbers(lambda x: ad.while_loop(lambda n, y: n < steps, lambda n, y: (n + 1, y - 1e-3 * np.sin(y)),
                                                   (0, x), **options)[1])  # fmt: skip


def test_the_reverse_of_a_long_loop_says_what_it_needs():
    f = shrinking(CAPACITY + 1)
    assert 0.0 < f(0.5) < 0.5
    slope = ad.jvp(f, (0.5,), (1.0,))[1]  # forward mode keeps no history
    with pytest.raises(ad.DifferentiationError, match=f"more than {CAPACITY} steps(.|\n)*maximum_iterations") as error:
        ad.grad(f)(0.5)
    assert error.value.code == "loop-capacity"
    np.testing.assert_allclose(ad.grad(shrinking(CAPACITY + 1, maximum_iterations=CAPACITY + 1))(0.5), slope)
    np.testing.assert_allclose(ad.grad(shrinking(CAPACITY))(0.5), ad.jvp(shrinking(CAPACITY), (0.5,), (1.0,))[1])


def test_maximum_iterations_end_a_loop():
    for f in (shrinking(10), shrinking(99, maximum_iterations=10)):
        np.testing.assert_allclose(f(0.5), shrinking(10)(0.5))
    assert ad.while_loop(lambda y: y < 9, lambda y: y + 1, 0, maximum_iterations=0) == 0
    assert ad.while_loop(lambda y: y < 9, lambda y: y + 1, 0, maximum_iterations=4) == 4
    assert without_numbers(lambda y: ad.while_loop(lambda y: y < 9, lambda y: y + 1, y, maximum_iterations=0))(3) == 3


# ---- structures --------------------------------------------------------------------------------------------------------------


class State(NamedTuple):
    position: Any
    speed: Any


def fall(x):
    def step(s):
        return State(s.position + 0.1 * s.speed, s.speed - 0.981)

    return ad.while_loop(lambda s: s.position[0] > 0.0, step, State(np.abs(x) + 1.0, x))


@pytest.mark.parametrize("world", [lambda f: f, without_numbers], ids=["numbers", "no numbers"])
def test_structures_come_back(world):
    fallen = world(fall)(X)
    assert isinstance(fallen, State) and fallen.speed.shape == (3,)
    i, rest = world(lambda x: ad.while_loop(lambda i, d: i < 3, lambda i, d: [i + 1, {"a": d["a"] * i}], (0, {"a": x})))(X)
    assert i == 3 and rest["a"].shape == (3,)
    assert isinstance(world(lambda x: ad.while_loop(lambda y: y[0] < 3, lambda y: y + 1, [x]))(X), list)
    carry, ys = world(lambda x: ad.scan(lambda c, r: ({"n": c["n"] + 1}, (r["u"], [None, r["v"] * 2])), {"n": 0},
                                        {"u": x, "v": np.stack([x, x], 1)}))(X)  # fmt: skip
    assert carry["n"] == 3
    np.testing.assert_allclose(ys[0], X)
    assert ys[1][0] is None and ys[1][1].shape == (3, 2)


@pytest.mark.parametrize("world", [lambda f: f, without_numbers], ids=["numbers", "no numbers"])
def test_no_steps_at_all(world):
    carry, ys = world(lambda x: ad.scan(lambda c, r: (c * 2, {"y": c + r[0], "n": 1}), x, np.zeros((0, 2))))(X)
    np.testing.assert_array_equal(carry, X)
    assert ys["y"].shape == (0, 3) and ys["y"].dtype == float and ys["n"].shape == (0,) and ys["n"].dtype == int
    assert world(lambda x: ad.scan(lambda c, _: (c + 1.0, c), x, length=0)[1])(X).shape == (0, 3)


@pytest.mark.parametrize("world", [lambda f: f, without_numbers], ids=["numbers", "no numbers"])
def test_precision_and_integers_stay(world):
    x = X.astype(np.float32)
    c, ys = world(lambda x: ad.scan(lambda c, r: (c + r, c * r), np.float32(0), x))(x)
    assert c.dtype == ys.dtype == np.float32
    y, n = world(lambda x: ad.while_loop(lambda y, n: n < 2**52 + 3, lambda y, n: (y * 2, n + 1), (x, 2**52)))(x)
    assert y.dtype == np.float32 and np.asarray(n).dtype == np.int64 and n == 2**52 + 3
    y = world(lambda x: ad.cond(x[0] > 0, lambda: (x, True, 3), lambda: (2 * x, False, 4)))(x)
    assert y[0].dtype == np.float32 and bool(y[1]) is True and int(y[2]) == 3
    # a number of Python's takes the precision of the array that it meets
    assert world(lambda x: ad.scan(lambda c, r: (c + r, None), 0.0, x)[0])(x).dtype == np.float32
    assert ad.grad(world(lambda x: ad.scan(lambda c, r: (c * r, None), 1.0, x)[0]))(x).dtype == np.float32


def test_equal_bodies_are_the_same_node_and_say_the_same_everywhere():
    x = Array(unknown("x", (3,), np.dtype(float)))
    assert counted(x).node is counted(x).node
    code = "import test_control as t; print(t.mark_of_counted())"
    home = os.path.dirname(__file__)
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=home,
                       env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}).stdout
        for seed in "12"
    ]  # fmt: skip
    assert found == [f"{mark_of_counted()}\n"] * 2


def mark_of_counted() -> list[int]:
    x = Array(ad.symbol("x", (3,), lane=ad.SHARED))
    return [digest(n) for n in (counted(x).node, ad.grad(lambda x: np.sum(counted(x)))(x).node)]


def test_a_listing_shows_the_bodies():
    words = text(graph_of(counted, X)[1])
    assert "while the condition holds {" in words and "carry 1" in words and "next: " in words


# ---- tapes ------------------------------------------------------------------------------------------------------------------


@each
def test_tapes(f):
    """What a tape says of plain Python is what the transforms say."""
    x = ad.constant(X)
    with ad.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with ad.GradientTape() as inner:
            inner.watch(x)
            y = np.sum(np.sin(f(x)))
        slope = inner.gradient(y, x)
        bend = np.sum(slope * slope)
    gradient = ad.grad(lambda x: np.sum(np.sin(without_numbers(f)(x))))
    np.testing.assert_allclose(slope.numpy(), gradient(X), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(outer.gradient(bend, x).numpy(), ad.grad(lambda x: np.sum(gradient(x) ** 2))(X), rtol=1e-8,
                               atol=1e-10)  # fmt: skip


def test_variables_in_branches_under_vmap():
    w = ad.Variable(2.0, name="w")

    def f(x):
        return ad.cond(x > 0, lambda: w * x, lambda: np.sin(w) * x)

    batch = np.array([1.0, -2.0, 3.0])
    with ad.GradientTape() as tape:
        y = np.sum(ad.vmap(f)(batch))
    assert float(tape.gradient(y, w)) == pytest.approx(4.0 - 2.0 * np.cos(2.0))


def test_the_branch_not_taken_is_not_connected():
    a, b = ad.Variable(1.0, name="a"), ad.Variable(2.0, name="b")
    with ad.GradientTape() as tape:
        y = ad.cond(a > 0, lambda: a * 3.0, lambda: b * 3.0)
    assert [g if g is None else float(g) for g in tape.gradient(y, [a, b])] == [3.0, None]


def test_assignment_inside_a_loop_stays_inside():
    def body(n, u):
        u[1:-1] = 0.5 * (u[2:] + u[:-2])
        return n + 1, u

    def f(u):
        return ad.while_loop(lambda n, u: n < 3, body, (0, u))[1]

    squares = np.arange(5.0) ** 2
    u = ad.constant(squares)
    np.testing.assert_allclose(f(u).numpy(), [0.0, 3.0, 6.5, 11.0, 16.0])
    np.testing.assert_array_equal(u.numpy(), squares)
    np.testing.assert_allclose(ad.vmap(f)(np.stack([squares, 2 * squares]))[1], [0.0, 6.0, 13.0, 22.0, 32.0])


# ---- compiled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [newton, limited, leapfrog, backward, integers, nested, other, stepwise, choice_of_loops],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_compiled(f):
    """Value and gradient by a tape inside of the function; the loops are in the program."""

    @ad.function
    def both(x):
        with ad.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
            total = np.sum(np.sin(y))
        return y, tape.gradient(total, x)

    y, gradient = both(ad.constant(X))
    np.testing.assert_allclose(y.numpy(), f(X), rtol=1e-12)
    np.testing.assert_allclose(gradient.numpy(), ad.grad(lambda x: np.sum(np.sin(f(x))))(X), rtol=1e-9, atol=1e-11)
    assert " = loop(" in both.graph or " = cond(" in both.graph


def test_one_program_for_all_numbers():
    """The way that a program takes is decided when it runs."""
    f = ad.function(lambda x: (counted(x), closures(x), ad.hessian(lambda x: np.sum(counted(x)) + closures(x))(x)))
    for x in (X, -X, 0.1 * X, 100.0 * X):
        y, z, bend = f(x)
        np.testing.assert_allclose(y, counted(x), rtol=1e-12)
        np.testing.assert_allclose(z, closures(x), rtol=1e-12)
        np.testing.assert_allclose(bend, ad.hessian(lambda x: np.sum(counted(x)) + closures(x))(x), rtol=1e-9, atol=1e-10)
    assert f.traces == 1


def test_compiled_branches_are_lazy():
    f = ad.function(lambda x: ad.cond(np.sum(x) < 99.0, lambda: np.sin(x), lambda: forever(x)))
    np.testing.assert_allclose(f(X), np.sin(X))


def test_tapes_around_a_function_with_loops():
    f = ad.function(counted)

    def bend_of(f):
        x = ad.constant(X)
        with ad.GradientTape() as outer:
            outer.watch(x)
            with ad.GradientTape() as inner:
                inner.watch(x)
                y = np.sum(f(x))
            slope = inner.gradient(y, x)
            total = np.sum(slope * slope)
        return outer.gradient(total, x).numpy()

    np.testing.assert_allclose(bend_of(f), bend_of(counted), rtol=1e-9)


def test_a_whole_training_loop_is_one_program():
    rng = np.random.default_rng(0)
    A, w = rng.standard_normal((20, 3)), np.array([1.0, -2.0, 0.5])

    def train(start, A, y):
        def step(w, _):
            with ad.GradientTape() as tape:
                tape.watch(w)
                loss = np.mean((A @ w - y) ** 2)
            return w - 0.2 * tape.gradient(loss, w), loss

        return ad.scan(step, start, length=200)

    found, losses = ad.function(train)(np.zeros(3), A, A @ w)
    np.testing.assert_allclose(found, w, atol=1e-6)
    assert losses.shape == (200,) and losses[-1] < 1e-10 < losses[0]
    # the gradient through all of its steps
    meta = ad.function(ad.grad(lambda start: train(start, A, A @ w)[1][2]))(np.zeros(3))
    np.testing.assert_allclose(meta, ad.grad(lambda start: train(start, A, A @ w)[1][2])(np.zeros(3)), rtol=1e-9)


def test_variables_in_compiled_loops():
    w = ad.Variable(np.eye(3) + 0.1 * A, name="w")

    def step(x):
        with ad.GradientTape() as tape:
            loss = np.sum(ad.scan(lambda c, _: (np.tanh(w @ c), None), x, length=4)[0] ** 2)
        return tape.gradient(loss, w)

    expected = step(ad.constant(X)).numpy()

    @ad.function
    def trained(x):
        gradient = step(x)
        w.assign_sub(0.1 * gradient)
        return gradient

    before = w.numpy()
    np.testing.assert_allclose(trained(ad.constant(X)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(w.numpy(), before - 0.1 * expected, rtol=1e-12)


def test_a_compiled_loop_that_is_too_long_for_its_reverse():
    def long(x, **options):
        return ad.while_loop(lambda n, y: n < x, lambda n, y: (n + 1.0, y + 1e-3 * np.sin(y)), (0.0, x), **options)[1]

    assert ad.function(long)(CAPACITY + 5.5) > 0
    with pytest.raises(ad.DifferentiationError, match="maximum_iterations") as error:
        ad.function(ad.grad(long))(CAPACITY + 5.5)
    assert error.value.code == "loop-capacity"
    limited = ad.function(ad.grad(lambda x: long(x, maximum_iterations=2 * CAPACITY)))
    assert limited(CAPACITY + 5.5) == pytest.approx(ad.grad(long)(CAPACITY + 5.5))


# ---- many points at once -----------------------------------------------------------------------------------------------------


def by_point(x):
    y = ad.scan(lambda c, _: (np.sin(c) + x, None), x, length=3)[0]
    return ad.cond(y > 1.0, lambda: (np.sqrt(y - 1.0), y), lambda: (y**2, 2.0))[0]


def test_values_that_differ_from_point_to_point():
    """In an equation a branch is chosen for every point, and steps are written out."""
    points = np.linspace(-1.0, 1.0, 7)
    leaf = ad.symbol("x", ())
    y = by_point(Array(leaf)).node
    (slope,) = ad.forward([y], {leaf: ad.lift(1.0)})
    values, slopes = evaluate([y, slope], {leaf: points}, points=len(points))
    np.testing.assert_allclose(values, [by_point(x) for x in points], rtol=1e-13)
    np.testing.assert_allclose(slopes, [ad.grad(by_point)(x) for x in points], rtol=1e-13)
    with pytest.raises(ad.ArgumentError, match="point to point") as error:
        ad.while_loop(lambda y: y < 1.0, lambda y: 2.0 * y, Array(leaf))
    assert error.value.code == "control-points"


def test_functions_with_lanes():
    def second(x):
        with ad.GradientTape() as outer:
            outer.watch(x)
            with ad.GradientTape() as inner:
                inner.watch(x)
                y = ad.scan(lambda c, _: (np.sin(0.7 * c) + x, None), x, length=3)[0]
            slope = inner.gradient(y, x)
        return outer.gradient(slope, x)

    x = ad.constant(np.linspace(0.0, 1.0, 5))
    np.testing.assert_allclose(ad.function(lanes="x")(second)(x).numpy(), second(x).numpy(), rtol=1e-10, atol=1e-12)
    scale = ad.Variable(2.0)
    f = ad.function(lanes="x")(lambda x: ad.cond(scale > 0.0, lambda: scale * x, lambda: x))
    np.testing.assert_allclose(f(x).numpy(), 2.0 * x.numpy())


# ---- what is refused --------------------------------------------------------------------------------------------------------


def two(x):
    return x, x


REFUSED = {
    "shapes of branches": (lambda x: ad.cond(x[0] > 0, lambda: x, lambda: x[0]), ad.ShapeError, "control-shape",
                           r"differ: <lambda> .*test_control.py:\d+\) has shape \(3,\), <lambda> .* has shape \(\)"),
    "dtypes of branches": (lambda x: ad.cond(x[0] > 0, lambda: x, lambda: np.ones(3, int)), ad.ArgumentError, "control-dtype",
                           "float64.*int64"),
    "nesting of branches": (lambda x: ad.cond(x[0] > 0, lambda: x, lambda: (x, x)), ad.ArgumentError, "control-structure",
                            r"nested as \*.*nested as \(\*, \*\)"),
    "a branch without arrays": (lambda x: ad.cond(x[0] > 0, lambda: "a", lambda: x), ad.ArgumentError, "control-result", "str"),
    "a predicate that is a number": (lambda x: ad.cond(x[0], lambda: x, lambda: x), ad.ArgumentError, "control-predicate",
                                     "float64, not bool"),
    "a predicate that is an array": (lambda x: ad.cond(x > 0, lambda: x, lambda: x), ad.ShapeError, "control-predicate",
                                     r"shape \(3,\)(.|\n)*np.where"),
    "a predicate that is a word": (lambda x: ad.cond("x > 0", two, two, x), ad.ArgumentError, "control-predicate", "str"),
    "a condition that is a number": (lambda x: ad.while_loop(lambda y: y[0], lambda y: y, x), ad.ArgumentError,
                                     "control-predicate", "returns to ad.while_loop has dtype float64"),
    "a condition that is an array": (lambda x: ad.while_loop(lambda y: y > 0, lambda y: y, x), ad.ShapeError,
                                     "control-predicate", r"shape \(3,\)"),
    "a carry that grows": (lambda x: ad.while_loop(lambda i, y: np.sum(y) < 9.0, lambda i, y: (i, np.append(y, 1.0)), (0, x)),
                           ad.ShapeError, "control-shape", r"at \[1\]: it has shape \(3,\), what <lambda>.* has shape \(4,\)"),
    "a carry that becomes a float": (lambda x: ad.while_loop(lambda i, y: y[0] < 9, lambda i, y: (i + 0.5, y + 1), (0, x)),
                                     ad.ArgumentError, "control-dtype", r"at \[0\]: it has dtype int64.*float64"),
    "a body that forgets one": (lambda x: ad.while_loop(lambda i, y: y[0] < 9, lambda i, y: y + 1, (0, x)), ad.ArgumentError,
                                "control-structure", r"nested as \(\*, \*\).*nested as \*"),
    "a carry that is a word": (lambda x: ad.while_loop(lambda i, y: y[0] < 9, lambda i, y: (i, y), ("0", x)), ad.ArgumentError,
                               "control-carry", "str"),
    "maximum_iterations": (lambda x: ad.while_loop(lambda y: y[0] < 9, lambda y: y, x, 1.5), ad.ArgumentError, "control-length",
                           "1.5"),
    "less than no iterations": (lambda x: ad.while_loop(lambda y: y[0] < 9, lambda y: y, x, -1), ad.ArgumentError,
                                "control-length", "-1"),
    "xs of two lengths": (lambda x: ad.scan(lambda c, r: (c, None), 0.0, {"a": x, "b": np.ones(4)}), ad.ShapeError,
                          "control-xs", r"xs\['a'\] has shape \(3,\), xs\['b'\] has shape \(4,\)"),
    "xs without an axis": (lambda x: ad.scan(lambda c, r: (c, None), 0.0, [x[0], x[1]]), ad.ShapeError, "control-xs",
                           r"xs\[0\] has shape \(\)"),
    "another length": (lambda x: ad.scan(lambda c, r: (c, None), 0.0, x, length=4), ad.ShapeError, "control-xs", "length=4"),
    "no length": (lambda x: ad.scan(lambda c, r: (c, None), x), ad.ArgumentError, "control-length", "xs or length"),
    "no pair": (lambda x: ad.scan(lambda c, r: c + r, 0.0, x), ad.ArgumentError, "control-pair", "not a pair"),
    "a scan that changes its carry": (lambda x: ad.scan(lambda c, r: ((c, c), r), 0.0, x), ad.ArgumentError,
                                      "control-structure", "the carry of ad.scan changes"),
}  # fmt: skip


@pytest.mark.parametrize("world", [lambda f: f, without_numbers], ids=["numbers", "no numbers"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, world):
    f, kind, code, words = REFUSED[name]
    if world is not without_numbers and "branch" in name:
        pytest.skip("where there are numbers only one branch is looked at")
    with pytest.raises(kind, match=words) as error:
        world(f)(X)
    assert error.value.code == code and error.value.why and error.value.fix
    assert "test_control.py" in error.value.where


def test_stacked_results_must_be_alike():
    with pytest.raises(ad.ShapeError, match=r"differs: the first has shape \(1,\), that of step 1 has shape \(2,\)"):
        ad.scan(lambda n, r: (n + 1, np.ones(n)), 1, X)


@pytest.mark.parametrize(("f", "words"), [
    (lambda w, y, x: ad.cond(x[0] > 0, lambda: w.assign(1.0).read() * x, lambda: x), "the variable 'w' is assigned"),
    (lambda w, y, x: ad.cond(x[0] > 0, lambda: w.assign(x[0]).read() * x, lambda: x), "a variable is assigned"),
    (lambda w, y, x: ad.scan(lambda c, r: (y.__setitem__(0, 1.0), c)[::-1], x, length=2), r"array of shape \(3,\) made"),
], ids=["a variable", "a variable, of an array without number", "an array of outside"])  # fmt: skip
def test_assigning_inside_is_refused(f, words):
    w, y = ad.Variable(2.0, name="w"), ad.constant(X)
    with pytest.raises(ad.TraceError, match=f"{words}(.|\n)*return the new value") as error:
        ad.vmap(lambda x: f(w, y, x))(np.stack([X, X]))
    assert error.value.code == "control-assign" and "test_control.py" in error.value.where
    np.testing.assert_array_equal(y.numpy(), X)
    with ad.GradientTape() as tape:  # nobody is left watching
        z = 3.0 * w
    assert float(tape.gradient(z, w)) == 3.0
