"""What an eager operation costs, in counts and not in times, and the way back that is written down once."""

import gc
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientTape, Variable, constant, sweep

HOUSE = str(Path(ad.__file__).parent)


def calls(f):
    """How many Python functions of autodiff `f` calls."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(HOUSE)

    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(sweep, "_written", {})
    monkeypatch.setattr(sweep, "_met", {})


A, B = np.random.default_rng(0).normal(size=(2, 4, 4))

# the operation, and at most so many calls outside of a tape and while a tape records
OPERATIONS = {
    "add": (lambda a, b: a + b, 3, 6),
    "a number": (lambda a, b: 2.0 * a, 3, 7),
    "power": (lambda a, b: a**2, 3, 7),
    "matmul": (lambda a, b: a @ b, 3, 6),
    "tanh": (lambda a, b: np.tanh(a), 2, 5),
    "multiply": (lambda a, b: np.multiply(a, b), 3, 6),
    "sum": (lambda a, b: np.sum(a), 5, 8),
    "sum, axis": (lambda a, b: np.sum(a, axis=0), 5, 8),
    "sum, method": (lambda a, b: a.sum(), 4, 7),
    "mean": (lambda a, b: np.mean(a), 5, 8),
    "getitem": (lambda a, b: a[1:3], 2, 5),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_makes_few_calls(name):
    operation, outside, inside = OPERATIONS[name]
    a, b = constant(A), constant(B)
    with GradientTape() as tape:
        tape.watch([a, b])
        operation(a, b)  # the first of its kind is traced
    assert calls(lambda: operation(a, b)) <= outside
    with GradientTape() as tape:
        tape.watch([a, b])
        assert calls(lambda: operation(a, b)) <= inside
        y = operation(a, b)
    np.testing.assert_array_equal(y.numpy(), operation(A, B))


@pytest.mark.parametrize("name", OPERATIONS)
def test_plain_arrays_cost_nothing(name):
    operation = OPERATIONS[name][0]
    with GradientTape():
        assert calls(lambda: operation(A, B)) == 0
        assert type(operation(A, B)) is type(A.sum()) or type(operation(A, B)) is np.ndarray


def test_the_way_back_is_walked_twice_and_then_known():
    def cost(length):
        x, found = constant(A), []
        for _ in range(4):
            with GradientTape() as tape:
                tape.watch(x)
                y = x
                for _ in range(length):
                    y = np.multiply(y, 1.1) * y
            found.append(calls(partial(tape.gradient, y, x)))
        return found

    short, long = cost(10), cost(60)
    assert long[1] - short[1] > 15 * 50  # per pair of operations, while it is walked
    assert long[3] - short[3] <= 3 * 50


# ---- the same numbers, to the last bit -----------------------------------------------------------------------------------

WEIGHTS = [np.random.default_rng(1).normal(size=s) for s in ((3, 4), (4,), (4, 2), (2,))]
X = np.random.default_rng(2).normal(size=(5, 3))


def network(W, b, V, c):
    return np.tanh(X @ W + b) @ V + c


PROGRAMS = {
    "mean square": lambda *w: np.mean(network(*w) ** 2),
    "cross-entropy": lambda *w: np.mean(ad.logsumexp(network(*w), axis=1) - network(*w)[:, 0]),
    "where": lambda W, *w: np.sum(np.where(W > 0, np.sqrt(W), W * W)) + np.sum(network(W, *w)),
    "used twice": lambda W, b, V, c: np.sum((b * b + b) * np.sin(b)) * np.sum(W) + np.sum(W[1:] * W[:-1]),
    "broadcast": lambda W, b, V, c: np.sum(np.mean(W, axis=0) * b + np.sum(V)) / np.sum(c * c),
    "not a scalar": lambda W, b, V, c: (W * b) @ V,
    "two targets": lambda W, b, V, c: [np.sum(W @ V), np.sum(V, axis=0) * c],
    "a source is a target": lambda W, b, V, c: [np.sum(W * b), b],
    "numbers": lambda W, b, V, c: 3.7 * W - 1.0 / (2.0 + W * W) + np.array([1.0, 2.0, 3.0, 4.0]),
    "parts": lambda W, b, V, c: np.concatenate([W[0], b, np.max(V, axis=1), np.stack([c[0], c[1]])]),
    "linear algebra": lambda W, b, V, c: np.linalg.solve(W.T @ W + np.eye(4), b) * np.linalg.norm(V),
    "an assignment": lambda W, b, V, c: _assigned(W, b),
}


def _assigned(W, b):
    y = W * 2.0
    y[0] = b * b
    return np.sum(y * y)


WAYS = {
    "gradient": lambda tape, y, w: tape.gradient(y, w),
    "some": lambda tape, y, w: tape.gradient(y, [w[1], w[0], w[1]]),
    "weighted": lambda tape, y, w: tape.gradient(
        y, w, [np.full(t.shape, 0.3) for t in y] if isinstance(y, list) else np.full(y.shape, 0.3)
    ),
    "jacobian": lambda tape, y, w: tape.jacobian(y[0] if isinstance(y, list) else y, w),
}


@pytest.mark.filterwarnings("ignore::autodiff.UnconnectedWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_written_down_is_what_was_walked(name, persistent, way):
    weights = [Variable(w) for w in WEIGHTS]
    answers = []
    for _ in range(4):
        with GradientTape(persistent=persistent) as tape:
            y = PROGRAMS[name](*weights)
        answers.append([None if g is None else g.numpy() for g in WAYS[way](tape, y, weights)])
    assert len(sweep._written) == 1
    for answer in answers[1:]:
        for walked, again in zip(answers[0], answer, strict=True):
            np.testing.assert_array_equal(walked, again, strict=True)


def test_programs_that_differ_in_their_wiring_only():
    x, y = Variable(3.0), Variable(5.0)
    programs = [lambda: x * y + x, lambda: x * y + y, lambda: y * x + x, lambda: x * x + y, lambda: y * y + x]
    expected = [(6.0, 3.0), (5.0, 4.0), (6.0, 3.0), (6.0, 1.0), (1.0, 10.0)]
    for _ in range(5):
        for program, slopes in zip(programs, expected, strict=True):
            with GradientTape() as tape:
                z = program()
            assert tuple(float(g) for g in tape.gradient(z, [x, y])) == slopes
            with GradientTape() as tape:
                z = program()
            assert tuple(float(g) for g in tape.gradient(z, [y, x])) == slopes[::-1]


def test_a_variable_may_be_assigned_between_two_uses():
    x = Variable(3.0)
    for _ in range(4):
        x.assign(3.0)
        with GradientTape() as tape:
            y = x * x
            x.assign(10.0)
            z = y * x
        assert float(z) == 90.0
        assert float(tape.gradient(z, x)) == 9.0 + 60.0


def test_the_value_that_was_read_is_not_the_variable():
    x = Variable(3.0)
    for _ in range(4):
        with GradientTape() as tape:
            value = x.read()
            y = value * x
        assert [float(g) for g in tape.gradient(y, [value, x])] == [3.0, 6.0]


def test_tapes_of_tapes_take_the_known_way_too():
    x = Variable([1.0, 2.0])
    for _ in range(4):
        with GradientTape() as outer:
            with GradientTape() as inner:
                y = np.sum(x**3 * np.sin(x))
            slope = inner.gradient(y, x)
        second = outer.gradient(slope, x)
        v = np.array([1.0, 2.0])
        np.testing.assert_allclose(second.numpy(), 6 * v * np.sin(v) + 6 * v**2 * np.cos(v) - v**3 * np.sin(v), rtol=1e-13)


# ---- memory ----------------------------------------------------------------------------------------------------------------


def test_the_known_way_frees_what_it_has_passed():
    x = constant(np.ones(50_000))
    for _ in range(4):
        with GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(20):
                y = np.tanh(y)
            target = np.sum(y)
        del y
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        # what is freed was made before: without that, the cotangents alone would not show it
        held = tape.memory()
        tape.gradient(target, x)
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert held >= 19 * x.number.nbytes
        assert tape.memory() == 0
        assert peak < 5 * x.number.nbytes


def test_nothing_is_left_in_cycles():
    rng = np.random.default_rng(0)
    gc.collect()
    gc.disable()
    try:
        for width in range(3, 7):  # new shapes: operations are traced, ways are walked and written down
            w = [Variable(rng.normal(size=(2, width))), Variable(rng.normal(size=width))]
            for _ in range(4):
                with GradientTape() as tape:
                    loss = np.mean(np.tanh(rng.normal(size=(3, 2)) @ w[0] + w[1])[:, 0] ** 2)
                tape.gradient(loss, w)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_remembered_has_a_bound(monkeypatch):
    monkeypatch.setattr(sweep, "LARGEST_CACHE", 8)
    monkeypatch.setattr(sweep, "MOST_MET", 16)
    x = Variable(1.5)
    for length in range(1, 41):
        for _ in range(4):
            with GradientTape() as tape:
                y = x * 1.0
                for _ in range(length):
                    y = y * 1.5
            assert float(tape.gradient(y, x)) == pytest.approx(1.5**length, rel=1e-14)
        assert len(sweep._met) <= 16
        assert len(sweep._written) <= 8
