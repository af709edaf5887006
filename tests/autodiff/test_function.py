"""@function: the same numbers as eagerly, traced once a signature, and nothing goes wrong silently."""

from __future__ import annotations

import functools
import logging
import threading
import warnings

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientTape, Variable, constant
from autodiff.array import Array, Readable
from autodiff.graph import Node
from autodiff.interpret import evaluate
from autodiff.program import flatten
from autodiff.tracing import Tracing, settled, values_only
from tests.autodiff import test_tape

RNG = np.random.default_rng(7)
X = RNG.uniform(-1.0, 1.0, (6, 4))
W = RNG.uniform(-1.0, 1.0, (4, 3))
SMALL = np.arange(200, 250, dtype=np.uint8)
LABELS = np.array([0, 2, 1, 1, 0, 2])


def numbers(tree):
    """The arrays of a result, with what kind each is."""
    return [(type(x), np.asarray(x)) for x in flatten(tree)[0]]


def same(found, expected, rtol=1e-12):
    assert flatten(found)[1] == flatten(expected)[1]
    for (kind, a), (other, b) in zip(numbers(found), numbers(expected), strict=True):
        assert kind is other and a.shape == b.shape and a.dtype == b.dtype
        if b.dtype.kind not in "fiub":
            assert a == b
            continue
        digits = rtol if b.dtype != np.float32 else 1e-6
        np.testing.assert_allclose(a, b, rtol=digits, atol=0.01 * digits * np.abs(b[np.isfinite(b)]).max(initial=0.0))


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, "autodiff")


# ---- the same numbers as eagerly -----------------------------------------------------------------------------------------


def cross_entropy(x, w):
    return -np.mean(np.take_along_axis(ad.log_softmax(x @ w), LABELS[:, None], 1))


def gradient_by_tape(x):
    with GradientTape() as tape:
        tape.watch(x)
        y = np.sum(np.tanh(x @ W) ** 2)
    return y, tape.gradient(y, x)


def nested_tapes(x):
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = np.sum(x**4)
        slope = inner.gradient(y, x)
        penalty = np.sum(slope * slope)
    return slope, outer.gradient(penalty, x)


def persistent_jacobian(x):
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = np.sin(x) * x[0]
    return tape.jacobian(y, x), tape.gradient(y, x)


def adversarial(x, w):
    """The fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572, section 4)."""
    with GradientTape() as tape:
        tape.watch(x)
        loss = cross_entropy(x, w)
    return np.clip(x + 0.1 * np.sign(tape.gradient(loss, x)), -1.0, 1.0)


def saliency(x, w):
    with GradientTape() as tape:
        tape.watch(x)
        score = np.sum(np.max(ad.softmax(x @ w), axis=1))
    return np.abs(tape.gradient(score, x))


PROGRAMS = {  # function, arguments: plain arrays, or made into Arrays where a tape watches them
    "plain numbers": (lambda x, w: np.sum(np.tanh(x @ w), axis=0), (X, W)),
    "scalar": (lambda x: np.sum(x * x), (X,)),
    "several results": (lambda x: (x + 1.0, {"a": np.mean(x), "b": [x.T]}), (X,)),
    "nothing": (lambda x: None, (X,)),
    "what is no array": (lambda x: (x * 2.0, "name", 3), (X,)),
    "nested arguments": (lambda p, q: p["w"] * q[0] + q[1][0], ({"w": X}, [X, (X,)])),
    "integers": (lambda x: (x + 1, x // 2, x % 3, np.sum(x), x > 2, x / 2), (LABELS,)),
    "single precision": (lambda x: np.exp(x) * 0.5 + np.mean(x), (X.astype(np.float32),)),
    "python numbers": (lambda x, n, a: sum(x**k for k in range(n)) * a, (X, 3, 0.25)),
    "numpy numbers": (lambda x, a: x * a, (X, np.float64(0.5))),
    "a constant result": (lambda x: (np.ones(3), x), (X,)),
    "arrays": (lambda x: x * 2.0, (constant(X),)),
    "cross entropy": (cross_entropy, (X, W)),
    "gradient by a tape": (gradient_by_tape, (constant(X),)),
    "nested tapes": (nested_tapes, (constant(X),)),
    "jacobian": (persistent_jacobian, (constant([0.3, 0.7, -0.2]),)),
    "adversarial": (adversarial, (constant(X), W)),
    "saliency": (saliency, (constant(X), W)),
    "transform inside": (lambda x: ad.grad(lambda z: np.sum(np.exp(z) * z))(x), (X,)),
    "hessian inside": (lambda x: ad.hessian(lambda z: np.prod(np.sin(z)))(x), (X[0],)),
    "jet inside": (lambda x: ad.jet(np.tanh, (x,), ((np.ones(4), np.zeros(4), np.zeros(4)),)), (X[0],)),
    "vmap inside": (lambda x: ad.vmap(lambda r: np.sum(r * r[0]))(x), (X,)),
    "indexing": (lambda x, i: (x[::2, 1], x[i], x[..., None], x[-1], x[[0, 2]]), (X, np.array([3, 0, 3]))),
    "computed indices": (lambda z, i, j: (z[np.arange(6), i], z[:, i], z[j, i, None], z[1, i], z[..., i[:, None], j]),
                         (np.stack([X, 2.0 * X], -1), np.array([0, 3, -1, 2, -4, 1]), np.array([1, 0, -1, -2, 0, 1]))),
    "a row of the unit matrix": (lambda y: constant(np.eye(3))[y], (constant(LABELS),)),
    "assignment": (lambda x: _assign(constant(np.zeros(4)), x[0]), (constant(X),)),
    "sorting": (lambda x: (np.sort(x, axis=0), np.median(x), np.cumsum(x, 1), np.max(x, 1)), (X,)),
    "linear algebra": (lambda x: (np.linalg.solve(x.T @ x, x[0]), np.linalg.det(x.T @ x), np.linalg.norm(x)), (X,)),
    "deliberate rounding": (lambda x: (x + 1.0) - 1.0, (X * 1e-9,)),
    "what is not finite": (lambda x: (np.log(x), np.sqrt(x), 1.0 / (x - x[0, 0])), (X,)),
    "empty": (lambda x: (x * 2.0, np.sum(x)), (np.zeros((0, 3)),)),
    "custom gradient": (lambda x: _clipped_gradient(x), (constant(X),)),
    "small integers": (lambda i: (np.sum(i), np.mean(i), np.prod(i[:9]), np.cumsum(i), np.var(i)), (SMALL,)),
    "small signed integers": (lambda i: (np.sum(i, 0), np.mean(i), np.prod(i[:9])), (SMALL.astype(np.int16),)),
    "whole quotients": (lambda i: (i // 2, i % 3, i // i), (np.array([5, -7, 3], np.int32),)),
    "the other byte order": (lambda x: x * 2.0, (X[0].astype(">f8"),)),
    "constants made inside": (lambda x: constant([1.0, 2.0, 3.0, 4.0]) * x, (X[0],)),
    "a constant of an argument": (lambda x: constant(x, dtype=np.float32) * 2.0, (X[0],)),
    "a gradient by what was an ndarray": (lambda x: gradient_by_tape(constant(x)), (X,)),
    "slices": (lambda x, s: x[s], (X, slice(1, 3))),
}  # fmt: skip


def _assign(y, x):
    y[1:3] = x[:2]
    return y * 2.0


def _clipped_gradient(x):
    @ad.custom_gradient
    def f(z):
        return z * z, lambda dy: np.clip(dy * 2.0 * z, -0.5, 0.5)

    with GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    return tape.gradient(y, x)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_numbers_as_eagerly(name):
    f, args = PROGRAMS[name]
    compiled = ad.function(f)
    with np.errstate(all="ignore"):
        expected = f(*args)
    for _ in range(2):  # traced, then from the cache
        found = compiled(*args)
        same(found, expected)
    assert compiled.traces == 1


CASES = [c for c in test_tape.CASES if c.__name__ not in ("branches", "loops", "left_and_came_back", "casts")]


@pytest.mark.filterwarnings("ignore::autodiff.UnconnectedWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_tapes_do_inside_a_function_what_they_do_outside(case):
    """The graph that is traced means what the eager program does; the tables of test_tape, once more."""
    tracing = Tracing(case.__name__)
    with tracing.running():
        leaves, nested = flatten(case())
        results = [tracing.result(x.read() if isinstance(x, Readable) else x) if isinstance(x, (Array, Readable, np.ndarray))
                   else x for x in leaves]  # fmt: skip
    given = {s.leaf: s.variable.number for s in tracing.variables.values()}
    values = iter(evaluate(values_only(settled([x for x in results if isinstance(x, Node)])), symbols=given))
    found = [next(values) if isinstance(x, Node) else x for x in results]
    for a, b in zip(found, flatten(case())[0], strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-12) if not isinstance(b, str) else None
    assert nested == flatten(case())[1]


# ---- variables -----------------------------------------------------------------------------------------------------------


def test_a_training_step_is_one_program():
    """Tape, gradient and Adam (Kingma & Ba 2015, algorithm 1): the same weights as eagerly, after many steps."""

    def make():
        w, b = Variable(W, name="w"), Variable(np.zeros(3), name="b")
        slots = [(Variable(np.zeros(v.shape)), Variable(np.zeros(v.shape))) for v in (w, b)]
        count = Variable(0.0)

        def step(x, y):
            with GradientTape() as tape:
                loss = np.mean((np.tanh(x @ w) + b - y) ** 2)
            count.assign_add(1.0)
            for v, g, (m, s) in zip((w, b), tape.gradient(loss, [w, b]), slots, strict=True):
                m.assign(0.9 * m + 0.1 * g)
                s.assign(0.999 * s + 0.001 * g * g)
                v.assign_sub(0.01 * (m / (1.0 - 0.9**count)) / (np.sqrt(s / (1.0 - 0.999**count)) + 1e-8))
            return loss

        return step, (w, b, count)

    target = RNG.uniform(size=(6, 3))
    eager_step, eager_variables = make()
    python_step, variables = make()
    step = ad.function(python_step)
    losses = [(float(eager_step(X, target)), float(step(X, target))) for _ in range(30)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-12)
    for v, u in zip(variables, eager_variables, strict=True):
        np.testing.assert_allclose(v.numpy(), u.numpy(), rtol=1e-11)
    assert step.traces == 1 and losses[-1][0] < losses[0][0]


def test_later_assignments_are_seen():
    v = Variable(2.0)
    f = ad.function(lambda x: x * v)
    assert float(f(3.0)) == 6.0
    v.assign(5.0)
    assert float(f(3.0)) == 15.0 and f.traces == 1


def test_a_value_read_before_an_assignment_stays():
    v = Variable([1.0, 2.0])

    @ad.function
    def f():
        before = v.read()
        v.assign(v * 10.0)
        v.assign_add(np.ones(2))
        return before, v.read()

    before, after = f()
    assert before.numpy().tolist() == [1.0, 2.0] and after.numpy().tolist() == [11.0, 21.0] == v.numpy().tolist()
    f()
    assert before.numpy().tolist() == [1.0, 2.0]  # nothing is written in place


def test_assignments_keep_dtype_and_shape():
    v = Variable(np.zeros(3, np.float32))
    f = ad.function(lambda x: v.assign(x))
    f(np.ones(3))
    assert v.dtype == np.float32 and v.numpy().tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ad.ShapeError, match="assign"):
        f(np.ones(4))
    assert v.numpy().tolist() == [1.0, 1.0, 1.0]


def test_a_variable_may_be_made_at_the_first_call():
    class Model:
        def __init__(self):
            self.w, self.passes = None, 0

        @ad.function
        def __call__(self, x):
            self.passes += 1
            if self.w is None:
                self.w = Variable(2.0, name="w")
            return x * self.w

    one, two = Model(), Model()
    assert float(one(3.0)) == 6.0 and float(one(3.0)) == 6.0
    assert one.passes == 2  # the second time to see that nothing is made again
    two(3.0)
    one.w.assign(4.0)
    assert float(one(3.0)) == 12.0 and float(two(3.0)) == 6.0


def test_a_variable_made_in_every_call_is_refused():
    @ad.function
    def f(x):
        v = Variable(1.0, name="again")
        return x * v

    with pytest.raises(ValueError, match="singleton Variables created on the first call") as error:
        f(2.0)
    assert error.value.code == "variable-created"
    assert "'again'" in str(error.value) and str(error.value).count("test_function.py:") == 2


def test_a_variable_that_is_rebound_is_noticed():
    v = Variable(2.0)

    @ad.function
    def f(x):
        return x * v

    assert float(f(3.0)) == 6.0
    v = Variable(7.0)
    with pytest.warns(ad.RetraceWarning, match=r"v was rebound.*v\.assign"):
        assert float(f(3.0)) == 21.0
    assert float(f(3.0)) == 21.0


K = constant(2.0)


def test_attributes_items_and_arrays_that_are_rebound_are_noticed():
    global K

    class Model:
        def __init__(self):
            self.parts = {"w": [Variable(2.0)]}

        @ad.function
        def __call__(self, x):
            return x * self.parts["w"][0]

    model, items = Model(), [Variable(2.0)]
    of_items, of_global = ad.function(lambda x: x * items[0]), ad.function(lambda x: x * K)
    calls = (model, of_items, of_global)
    assert [float(f(3.0)) for f in calls] == [6.0] * 3
    model.parts["w"][0], items[0], K = Variable(7.0), Variable(7.0), constant(7.0)
    for f in calls:
        with pytest.warns(ad.RetraceWarning, match="was rebound"):
            assert float(f(3.0)) == 21.0


class Slotted:
    __slots__ = ("v",)

    def call(self, x):
        return x * self.v

    __call__ = call


HOLDERS = {  # how a function may be made of an object whose variable is exchanged
    "a bound method": lambda m: ad.function(m.call),
    "a partial": lambda m: ad.function(functools.partial(lambda m, x: x * m.v, m)),
    "an object that is called": lambda m: ad.function(m),
    "an argument": lambda m: functools.partial(ad.function(lambda m, x: x * m.v), m),
}


@pytest.mark.parametrize("kind", [Slotted, type("Open", (Slotted,), {})])
@pytest.mark.parametrize("name", HOLDERS)
def test_variables_of_objects_that_are_rebound_are_noticed(name, kind):
    model = kind()
    model.v = Variable(2.0)
    f = HOLDERS[name](model)
    assert float(f(3.0)) == 6.0
    model.v = Variable(7.0)
    with pytest.warns(ad.RetraceWarning, match="v was rebound"):
        assert float(f(3.0)) == 21.0


def test_equal_models_are_two_models():
    class Model:
        def __init__(self, w):
            self.w = Variable(w)

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        @ad.function
        def __call__(self, x):
            return self.w * x

    assert [float(m(3.0)) for m in (Model(2.0), Model(5.0))] == [6.0, 15.0]


# ---- outside: tapes and transforms ---------------------------------------------------------------------------------------


def test_a_tape_outside_differentiates_through_it():
    w, x, c = Variable(W), constant(X), constant(np.array([1.0, 2.0, 3.0]))

    def f(x, scale):
        return np.sum(np.tanh(x @ w) * c * scale), x * 2.0

    def gradients(f):
        with GradientTape() as outer:
            outer.watch((x, c))
            with GradientTape(persistent=True) as tape:
                tape.watch((x, c))
                y, _ = f(x, 2.0)
                z = y * y
            first = tape.gradient(z, [x, w, c])
            total = sum(np.sum(g * g) for g in first)
        return [z, *first, *outer.gradient(total, [x, w, c])]

    compiled = ad.function(f)
    for a, b in zip(gradients(compiled), gradients(f), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11)


def test_a_gradient_of_a_variable_that_the_function_writes():
    v = Variable(3.0)

    def f(x):
        y = x * v
        v.assign(v + 1.0)
        return y + v  # the second reading has derivative one, whatever was assigned

    for g in (f, ad.function(f)):
        v.assign(3.0)
        with GradientTape() as tape:
            y = g(constant(2.0))
        assert float(tape.gradient(y, v)) == 3.0


def test_transforms_of_a_function_and_functions_of_transforms():
    f = ad.function(lambda x: np.sum(np.sin(x) ** 3))
    x = X[0]
    expected = ad.grad(lambda x: np.sum(np.sin(x) ** 3))(x)
    np.testing.assert_allclose(ad.grad(f)(x), expected, rtol=1e-13)
    np.testing.assert_allclose(ad.function(ad.grad(f))(x), expected, rtol=1e-13)
    np.testing.assert_allclose(ad.vmap(f)(X), [f(r) for r in X], rtol=1e-13)
    y, dy = ad.jvp(f, (x,), (np.ones(4),))
    np.testing.assert_allclose(dy, expected.sum(), rtol=1e-13)


def test_a_function_in_a_function():
    inner = ad.function(lambda x: np.exp(x))
    outer = ad.function(lambda x: inner(x) + inner(2.0 * x))
    np.testing.assert_allclose(outer(X), np.exp(X) + np.exp(2 * X), rtol=1e-13)
    assert inner.traces == 0  # it was part of the other


@ad.custom_gradient
def tripled(x):
    return x * x, lambda dy: 3.0 * x * dy


@ad.custom_gradient
def of_two(x, y):
    e = np.exp(x)
    return (e * y, x + y), lambda a, b: (2.0 * a * e + b, b * y)


def _scaled(c):
    """A custom gradient that uses an array besides its arguments."""
    return ad.custom_gradient(lambda x: (x * c, lambda dy: 5.0 * dy * c * x))


WEIGHT, FACTOR = Variable(2.0), constant(3.0)


@ad.custom_gradient
def by_a_variable(x):
    return x * WEIGHT, lambda dy, variables: (5.0 * dy * WEIGHT, [7.0 * np.sum(dy * x)])


CUSTOM = {  # the gradient that the user wrote is the one that tapes outside take, to any order
    "one argument": lambda x: tripled(x) * 2.0,
    "of what was computed": lambda x: np.sin(tripled(np.cos(x))),
    "two results": lambda x: np.prod(np.stack(of_two(x, 2.0 * x)), axis=0),
    "a variable": lambda x: by_a_variable(x) * x,
    "an array of outside": lambda x: _scaled(FACTOR)(x) * x,
    "in a branch": lambda x: ad.cond(x[0] > -2.0, lambda: tripled(x), lambda: x),
    "recomputed": ad.recompute_grad(lambda x: np.tanh(x * WEIGHT)),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_a_tape_outside_takes_the_gradient_that_was_written_inside(name):
    f, x = CUSTOM[name], constant([0.3, 0.7, -0.2])

    def gradients(f):
        with GradientTape() as outer:
            outer.watch(x)
            with GradientTape() as tape:
                tape.watch(x)
                y = f(x)
            first = tape.gradient(y, [x, WEIGHT], unconnected_gradients="zero")
        with GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        return *first, outer.gradient(first[0], x, unconnected_gradients="zero"), tape.jacobian(y, x)

    same(gradients(ad.function(f)), gradients(f))


def test_a_custom_gradient_that_cannot_be_traced_is_an_error_only_for_tapes():
    square = ad.custom_gradient(lambda x: (x * x, lambda dy: 2.0 * np.asarray(dy)))
    f, x = ad.function(square), constant(3.0)
    assert float(f(x)) == 9.0
    with pytest.raises(ad.TraceError, match="np.asarray"), GradientTape() as tape:
        tape.watch(x)
        tape.gradient(f(x), x)


def test_a_constant_of_an_argument_cuts_the_gradient():
    x = constant([1.0, 2.0])
    for f in (lambda x: np.sum(constant(x) * x), lambda x: gradient_of_cut(x)):
        with GradientTape(persistent=True) as tape:
            tape.watch(x)
            expected, found = f(x), ad.function(f)(x)
        same([found, tape.gradient(found, x)], [expected, tape.gradient(expected, x)])


def gradient_of_cut(x):
    with GradientTape() as tape:
        tape.watch(x)
        y = np.sum(constant(x) * x * x)
    return 0.25 * np.sum(tape.gradient(y, x) * x)


# ---- when it is traced ---------------------------------------------------------------------------------------------------


def count_traces(calls):
    seen = []

    def counted(x, n=1):
        seen.append(1)
        return x

    g = ad.function(counted)
    for args in calls:
        g(**args) if isinstance(args, dict) else g(*args)
    return len(seen)


TRACES = {
    "equal shapes": ([(X,), (X + 1.0,), (X.copy(),)], 1),
    "another shape": ([(X,), (X[:3],), (X,)], 2),
    "another dtype": ([(X,), (X.astype(np.float32),)], 2),
    "Python integers": ([(X, 1), (X, 2), (X, 1)], 2),
    "floats that vary": ([(X, 0.1), (X, 0.2), (X, 0.3), (X, 0.4)], 2),
    "the same float": ([(X, 0.1), (X, 0.1)], 1),
    "strings": ([(X, "a"), (X, "b"), (X, "a")], 2),
    "nesting": ([(X, [X]), (X, (X,)), (X, [X, X])], 3),
    "numpy numbers": ([(np.float64(1.0),), (np.float64(2.0),)], 1),
    "floats that vary, single precision": ([(X.astype("f"), 0.1 * k) for k in range(4)], 2),
    "floats that vary, then another shape": ([(X, 0.1), (X, 0.2), (X[:2], 0.3), (X[:2], 0.4)], 3),
    "slices": ([(X, slice(1, 3)), (X, slice(1, 3)), (X, slice(3))], 2),
    "keywords": ([(X,), {"x": X}, {"x": X, "n": 2}, (X, 2)], 2),
}


@pytest.mark.parametrize("name", TRACES)
def test_how_often_it_is_traced(name):
    calls, count = TRACES[name]
    assert count_traces(calls) == count


def test_a_float_that_decides_what_the_program_is_stays_part_of_the_signature():
    f = ad.function(lambda x, a: x * 2.0 if a > 1.0 else x)
    assert [float(f(constant(1.0), a)) for a in (0.0, 2.0, 3.0)] == [1.0, 2.0, 2.0]


SINGLE = X[0].astype(np.float32)
STATE = Variable(SINGLE)
VARYING = {  # what f(x, a) answers when a varies: single precision stays single, as NEP 50 has it
    "arguments": (lambda x, a: (x * a, np.where(x > a, x, a), np.sum(x * (1.0 - a**2)) / a, a * np.ones(2)), SINGLE),
    "double and single": (lambda x, a: (x[0] * a, x[1] * a, (x[0] + x[1]) * a), (SINGLE, X[0])),
    "variables": (lambda x, a: (STATE * a * x, ad.grad(lambda z: np.sum(np.tanh(z * a * STATE)))(x)), constant(SINGLE)),
    "a loop": (lambda x, a: ad.scan(lambda c, _: (c * a, c), x, None, length=2)[0], SINGLE),
    "integers": (lambda x, a: (x * a, x + a), LABELS),
    "what decides for some shapes": (lambda x, a: x * a if x.shape == (4,) or a > 0.25 else x, X[0]),
}


@pytest.mark.parametrize("name", VARYING)
def test_floats_that_vary_keep_the_dtypes_of_eager_programs(name):
    f, x = VARYING[name]
    g = ad.function(f)
    for a in (0.1, 0.2, 0.3):
        same(g(x, a), f(x, a))
    if name.startswith("what"):
        for y, a in ((X[0, :2], 0.2), (X[0, :2], 0.3), (x, 0.4)):
            same(g(y, a), f(y, a))


def test_a_new_trace_says_what_differs(caplog):
    caplog.set_level(logging.WARNING, "autodiff")
    f = ad.function(lambda x, n: x * n)
    f(X, 2)
    f(X[:3], 2)
    assert "x: shape (3, 4), float64 now, shape (6, 4), float64 before" in f.retraces[0]
    assert "test_function.py:" in f.retraces[0]
    f(X[:3], 5)
    assert "n: 5 now, 2 before" in f.retraces[1] and "x:" not in f.retraces[1]
    assert f.retraces[1] in caplog.text


def test_many_traces_are_warned_of():
    f = ad.function(lambda x: x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(1, 7):
            f(np.zeros(n))
    assert [w.category for w in caught] == [ad.RetraceWarning] and "shape (5,)" in str(caught[0].message)


def test_run_functions_eagerly():
    seen = []

    @ad.function
    def f(x):
        seen.append(float(np.sum(x)))  # has a number only when it runs eagerly
        return x

    ad.run_functions_eagerly(True)
    try:
        f(X)
        f(X)
    finally:
        ad.run_functions_eagerly(False)
    assert seen == [X.sum(), X.sum()]


def test_what_can_be_read():
    f = ad.function(lambda x: np.tanh(x) + 1.0)
    with pytest.raises(ad.FunctionError, match="has not been called"):
        _ = f.source
    f(X)
    assert "def " in f.source and "tanh" in f.source and "tanh" in f.graph


# ---- what is refused -----------------------------------------------------------------------------------------------------


def _escape(kept=[]):  # noqa: B006
    f = ad.function(lambda x: kept.append(x * 2.0))
    f(X)
    return kept[0] + 1.0


def _rows(x):
    y = np.zeros(6)
    for i in range(6):
        y[i] = np.sum(x[i])
    return y


REFUSED = {  # what is done, the code of the error, words that it says
    "if": (lambda: ad.function(lambda x: x if x[0, 0] > 0 else -x)(X), "needs-number", "np.where"),
    "while": (lambda: ad.function(lambda x: [x for _ in iter(lambda: bool(x.sum() > 0), False)])(X), "needs-number", "ad.cond"),
    "float": (lambda: ad.function(lambda x: float(np.sum(x)))(X), "needs-number", "float"),
    "numpy()": (lambda: ad.function(lambda x: (x * 2.0).numpy())(X), "needs-number", ".numpy()"),
    "asarray": (lambda: ad.function(lambda x: np.asarray(x * 2.0))(X), "needs-number", "np.asarray"),
    "storing": (lambda: ad.function(_rows)(X), "needs-number", "plain ndarray"),
    "an index out of bounds": (lambda: ad.function(lambda x, i: x[:, i])(X, np.array([0, 4])), "index", "out of bounds"),
    "an index of conditions": (lambda: ad.function(lambda x: x[x > 0])(X), "traced-mask", "np.where"),
    "an index into a plain array": (lambda: ad.function(lambda i: np.eye(3)[i])(LABELS), "needs-number", "ad.constant(table)"),
    "escaped": (_escape, "escaped", "return it from"),
    "a set": (lambda: ad.function(lambda x: 1)({1, 2}), "function-argument", "set"),
    "strings": (lambda: ad.function(lambda x: x)(np.array(["a"])), "not-real", "real numbers"),
    "complex": (lambda: ad.function(lambda x: x)(np.array([1j])), "not-real", "real numbers"),
    "no function": (lambda: ad.function(3), "not-a-function", "needs a function"),
    "a variable of a traced value": (lambda: ad.function(lambda x: Variable(x * 2.0))(X), "variable-of-traced", "no number"),
    "a result that holds an array": (lambda: ad.function(_held)(X), "escaped", "returns a Holder, which holds an array"),
    "a result that runs later": (lambda: ad.function(lambda x: (r for r in x))(X), "escaped", "returns a generator"),
    "a lane that is no argument": (lambda: ad.function(lambda *xs: xs[0], lanes="t")(X), "lanes", "'t'"),
    "debug_numerics": (lambda: ad.function(_debug)(X), "debug-inside", "around the call"),
}


class Holder:
    pass


def _held(x):
    holder = Holder()
    holder.x = x * 2.0
    return holder


def _debug(x):
    with ad.debug_numerics():
        return x * 2.0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    act, code, words = REFUSED[name]
    with pytest.raises(ad.AutodiffError) as error:
        act()
    assert error.value.code == code and words in str(error.value)
    assert "test_function.py:" in error.value.where and error.value.fix


def test_after_an_error_nothing_is_left_behind():
    v = Variable(1.0)

    def f(x):
        v.assign(v * x)
        raise KeyError("mine")

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            ad.function(f)(constant(2.0))
    with GradientTape() as tape:
        y = v * 2.0
    assert float(tape.gradient(y, v)) == 2.0 and float(v.numpy()) == 1.0


def test_check_numerics_looks_when_the_program_has_run():
    f = ad.function(lambda x: ad.check_numerics(np.log(x), "the logarithm") + 1.0)
    f(np.ones(3))
    with pytest.raises(ad.NumericsError, match="the logarithm : Tensor had Inf") as error:
        f(np.array([1.0, 0.0, 1.0]))
    assert "first index (1,)" in str(error.value) and "test_function.py:" in error.value.where


def test_debug_numerics_around_a_call_finds_the_operation():
    f = ad.function(lambda x: np.log(x) + 1.0)
    with pytest.raises(ad.NumericsError, match="np.log"), ad.debug_numerics():
        f(constant([1.0, 0.0]))


def test_threads_call_one_function():
    f = ad.function(lambda x: np.sum(np.sin(x) ** 2, axis=1))
    expected = [np.sum(np.sin(X + k) ** 2, axis=1) for k in range(4)]
    wrong = []

    def work(k):
        for _ in range(200):
            if not np.allclose(f(X + k), expected[k], rtol=1e-12):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wrong == [] and f.traces == 1


def test_threads_that_come_first_together_trace_once():
    seen, together = [], threading.Barrier(4)
    f = ad.function(lambda x: seen.append(1) or x + 1.0)

    def work():
        together.wait()
        f(X)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(seen) == 1 and f.retraces == []


def test_dropped_objects_are_forgotten():
    class Model:
        def __init__(self):
            self.w = Variable(2.0)

        @ad.function
        def call(self, x):
            return self.w * x

    for _ in range(3):
        Model().call(2.0)
    assert Model.call.traces == 1


def test_memory_is_flat():
    import gc
    import tracemalloc

    v = Variable(np.zeros(1000))

    @ad.function
    def step(x):
        with GradientTape() as tape:
            loss = np.sum((v - x) ** 2)
        v.assign_sub(0.1 * tape.gradient(loss, v))
        return loss

    x = np.ones(1000)
    gc.disable()
    try:
        for _ in range(20):
            step(x)
        tracemalloc.start()
        for _ in range(100):
            step(x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step(x)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 20_000


def test_lanes_choose_and_step_as_whole_arrays_do():
    def loss_and_gradient(w, x):
        with GradientTape() as outer:
            outer.watch(w)
            with GradientTape() as inner:
                inner.watch(x)
                u = np.where(x > 0.5, np.sin(w[0] * x), w[1] * x**2) * np.floor(3.0 * x)
            loss = np.mean((inner.gradient(u, x) + u) ** 2)
        return loss, outer.gradient(loss, w)

    w, x = constant([1.3, 0.7]), constant(np.linspace(0.0, 1.0, 37))
    same(ad.function(loss_and_gradient, lanes="x")(w, x), loss_and_gradient(w, x))


def test_lanes_do_not_pass_over_what_a_tape_left_out():
    def gradient(w, x):
        with GradientTape() as tape:
            tape.watch(w)
            with tape.stop_recording():
                factor = w * x
            loss = np.mean(factor * w)
        return tape.gradient(loss, w)

    with pytest.raises(ad.CompileError, match="does not record all operations") as error:
        ad.function(gradient, lanes="x")(constant(2.0), constant(np.ones(5)))
    assert error.value.code == "lanes" and "test_function.py:" in error.value.where
