"""The tape, row by row: what TensorFlow 2.21 answers (values computed there), and what is said where it answers badly."""

import gc
import logging
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
import scipy.special

import autodiff as ad
from autodiff import GradientTape, TapeError, TapeWarning, UnconnectedWarning, Variable, constant

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.UnconnectedWarning")


def numbers(tree):
    """Arrays as lists, None as None, in the same nesting."""
    if isinstance(tree, dict):
        return {k: numbers(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(numbers(v) for v in tree)
    return None if tree is None else np.asarray(tree).tolist()


# ---- what is recorded, as a table ----------------------------------------------------------------------------------------


def square():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, x)


def product_of_two():
    a, b = Variable(2.0), Variable(5.0)
    with GradientTape() as tape:
        y = b * a
    return tape.gradient(y, [a, b])


def not_trainable():
    x = Variable(3.0, trainable=False)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, x)


def not_trainable_but_watched():
    x = Variable(3.0, trainable=False)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    return tape.gradient(y, x)


def unwatched_constant():
    x = constant(3.0)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, x)


def unwatched_beside_watched():
    c, x, v = constant(2.0), Variable(3.0), Variable(5.0, trainable=False)
    z = c * 3.0
    with GradientTape() as tape:
        y = c * x * z * v
    return tape.gradient(y, [c, x, z, v])


def watched_constant():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    return tape.gradient(y, x)


def watched_late():
    x = constant(3.0)
    with GradientTape() as tape:
        y = x * x
        tape.watch(x)
        z = y + x
    return tape.gradient(z, x)


def watched_nested():
    x, y = constant(3.0), constant(2.0)
    with GradientTape() as tape:
        tape.watch([x, {"y": (y,)}])
        z = x * y
    return tape.gradient(z, {"x": x, "more": [y, (x,)]})


def not_automatic():
    a, b = Variable(3.0), Variable(2.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(a)
        y = a * b
    return tape.gradient(y, [a, b])


def stopped():
    x = Variable(3.0)
    with GradientTape(persistent=True) as tape:
        with tape.stop_recording():
            y = x * x
        z = x * y
    return tape.gradient(y, x), tape.gradient(z, x)


def reset():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        tape.reset()
        z = x * 5.0
    return tape.gradient([y, z], x)


def reset_forgets_watches():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        tape.reset()
        y = x * x
    return tape.gradient(y, x)


def after_exit():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y * y, x)


def before_entry():
    x = Variable(3.0)
    y = x * x
    with GradientTape() as tape:
        z = 2.0 * x
    return tape.gradient([y], x), z is not None


def entered_again():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
    with tape:
        z = y * 1.0
    return tape.gradient(z, x)


def fresh_after_its_one_gradient():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
    first = tape.gradient(y, x)
    with tape:
        z = x * 7.0
    return first, tape.gradient([z, y], x)


def watches_are_per_tape():
    x = constant(3.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            inner.watch(x)
            y = x * x
    return inner.gradient(y, x), outer.gradient(y, x)


def persistent_inside_its_context():
    x = constant(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**3
        first = tape.gradient(y, x)
        second = tape.gradient(first, x)
        third = tape.gradient(second, x)
    return first, second, third


def once_inside_its_context():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        return tape.gradient(y, x)


def sum_of_elements():
    x = constant([1.0, 2.0, 3.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    return tape.gradient(y, x)


def many_targets():
    x = Variable(2.0)
    with GradientTape(persistent=True) as tape:
        y, z = x * x, 3.0 * x
    return tape.gradient([y, z], x), tape.gradient({"a": y, "b": (z, [y])}, x)


def weighed():
    x = constant([1.0, 2.0, 3.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = 2.0 * x
    return (tape.gradient(y, x, output_gradients=constant([2.0, 2.0, 2.0])), tape.gradient(y, x, output_gradients=2.0),
            tape.gradient([y, z], x, output_gradients=[None, np.array([1.0, 0.0, 0.0])]),
            tape.gradient(y, x, output_gradients=[1.0, 0.0, 2.0]))  # fmt: skip


def empty_sources():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, [])


def doubled_sources():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, [x, x])


def intermediate_source():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
        z = y * y
    return tape.gradient(z, [y, x])


def target_is_source():
    x = Variable(2.0)
    c = constant(2.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(c)
        y = c
        z = x * x
    return tape.gradient(y, c), tape.gradient(x, x), tape.gradient([c, c * c], c), tape.gradient(z, z)


def target_among_targets():
    x = constant(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    return tape.gradient([x, y], x)


def unconnected():
    x, v = Variable([2.0, 1.0]), Variable([[3.0]])
    with GradientTape(persistent=True) as tape:
        y = x * x
    return tape.gradient(y, v), tape.gradient(y, v, unconnected_gradients="zero")


def zero_is_not_none():
    x = Variable(2.0)
    with GradientTape(persistent=True) as tape:
        y = x - x
        z = x * 0.0
        s = np.sign(x)
    return tape.gradient(y, x), tape.gradient(z, x), tape.gradient(s, x), tape.gradient(np.sign(3.0) * x.read(), x)


def not_differentiable():
    x = Variable([2.5, 1.5])
    with GradientTape(persistent=True) as tape:
        ys = [np.floor(x), np.ceil(x), np.round(x), np.trunc(x), np.argmax(x), x.astype(int), x > 2.0, x // 2.0, np.argsort(x)]
    return [tape.gradient(y, x) for y in ys]


def through_floor():
    x = Variable(2.5)
    with GradientTape() as tape:
        y = x * np.floor(x)
    return tape.gradient(y, x)


def branches():
    x, y = Variable(3.0), Variable(4.0)
    with GradientTape() as tape:
        z = x * x if x > 0 else y * y
    return tape.gradient(z, [x, y])


def loops():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = constant(1.0)
        for _ in range(3):
            y = y * x
        while y < 100.0:
            y = y * x
    return tape.gradient(y, x)  # x**7


def recursion():
    x = Variable(2.0)

    def power(n):
        return x * power(n - 1) if n else 1.0

    with GradientTape() as tape:
        y = power(4)
    return tape.gradient(y, x)


def assigned_between():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        x.assign(10.0)
        z = y + x
    return tape.gradient(z, x)


def through_assign_add():
    x, s = Variable(3.0), Variable(1.0)
    with GradientTape() as tape:
        s.assign_add(x * x)
        y = 2.0 * s
    return tape.gradient(y, [x, s])


def rebound():
    x = Variable(2.0)
    answers = []
    for _ in range(2):
        with GradientTape() as tape:
            y = x + 1.0
        answers.append(tape.gradient(y, x))
        x = x + 1.0
    return answers


def left_and_came_back():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = constant(np.mean(x.numpy() ** 2)) * 1.0
    return tape.gradient(y, x)


def casts():
    x = Variable([1.5, 2.5], dtype=np.float32)
    with GradientTape(persistent=True) as tape:
        y = x.astype(np.float64) * 2.0
        z = x.astype(np.int32).astype(np.float32) * x
    g = tape.gradient(y, x)
    return g, g.dtype.name, tape.gradient(z, x)


def stop_gradient():
    x = Variable(3.0)
    with GradientTape(persistent=True) as tape:
        y = x * ad.stop_gradient(x)
        z = ad.stop_gradient(x * x)
    return tape.gradient(y, x), tape.gradient(z, x)


def nested():
    x = Variable(3.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = x**3
        first = inner.gradient(y, x)
    return first, outer.gradient(first, x)


def nested_outside():
    x = Variable(3.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = x**3
    first = inner.gradient(y, x)
    return first, outer.gradient(first, x)


def four_deep():
    x = constant(2.0)
    tapes = [GradientTape() for _ in range(4)]
    for tape in tapes:
        tape.__enter__()
        tape.watch(x)
    y = x**5
    answers = []
    for tape in reversed(tapes):
        tape.__exit__(None, None, None)
        y = tape.gradient(y, x)
        answers.append(y)
    return answers


def jacobians():
    x = constant([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**2
        z = constant(5.0) * 1.0
        s = np.sum(y)
    return (tape.jacobian(y, x), tape.jacobian(y, x, experimental_use_pfor=False), tape.jacobian(z, x), tape.jacobian(s, [x]),
            tape.jacobian(z, x, unconnected_gradients="zero"))  # fmt: skip


def batch_jacobians():
    x, other = constant([[1.0, 2.0], [3.0, 4.0]]), Variable([[1.0], [2.0]])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    return tape.batch_jacobian(y, x), tape.batch_jacobian(y, other)


def hessian_by_jacobian():
    x = constant([1.0, 2.0])
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x[0] ** 2 * x[1]
        g = inner.gradient(y, x)
    return outer.jacobian(g, x)


def in_place():
    x = constant([1.0, 2.0, 3.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        saved = y * 1.0
        y[0] = 7.0
        y[1:] += x[1:]
        z = np.sum(y) + np.sum(saved)
    return tape.gradient(z, x), y


def dead_branch():
    x = Variable([4.0, -1.0])
    with GradientTape() as tape:
        y = np.where(x > 0, np.sqrt(x), 0.0)
    return tape.gradient(y, x)


CASES = {
    square: 6.0,
    product_of_two: [5.0, 2.0],
    not_trainable: None,
    not_trainable_but_watched: 6.0,
    unwatched_constant: None,
    unwatched_beside_watched: [None, 60.0, None, None],
    watched_constant: 6.0,
    watched_late: 1.0,
    watched_nested: {"x": 2.0, "more": [3.0, (2.0,)]},
    not_automatic: [2.0, None],
    stopped: (None, 9.0),
    reset: 5.0,
    reset_forgets_watches: None,
    after_exit: None,
    before_entry: (None, True),
    entered_again: 4.0,
    fresh_after_its_one_gradient: (4.0, 7.0),
    watches_are_per_tape: (6.0, None),
    persistent_inside_its_context: (27.0, 18.0, 6.0),
    once_inside_its_context: 6.0,
    sum_of_elements: [2.0, 4.0, 6.0],
    many_targets: (7.0, 11.0),
    weighed: ([4.0, 8.0, 12.0], [4.0, 8.0, 12.0], [4.0, 4.0, 6.0], [2.0, 0.0, 12.0]),
    empty_sources: [],
    doubled_sources: [4.0, 4.0],
    intermediate_source: [8.0, 32.0],
    target_is_source: (1.0, 1.0, 1.0, 1.0),
    target_among_targets: 5.0,
    unconnected: (None, [[0.0]]),
    zero_is_not_none: (0.0, 0.0, 0.0, None),
    not_differentiable: [None] * 9,
    through_floor: 2.0,
    branches: [6.0, None],
    loops: 7.0 * 64.0,
    recursion: 32.0,
    assigned_between: 7.0,
    through_assign_add: [None, 2.0],
    rebound: [1.0, None],
    left_and_came_back: None,
    casts: ([2.0, 2.0], "float32", [1.0, 2.0]),
    stop_gradient: (3.0, None),
    nested: (27.0, 18.0),
    nested_outside: (27.0, None),
    four_deep: [80.0, 160.0, 240.0, 240.0],
    jacobians: ([[2.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [0.0, 4.0]], None, [[2.0, 4.0]], [0.0, 0.0]),
    batch_jacobians: ([[[2.0, 0.0], [0.0, 4.0]], [[6.0, 0.0], [0.0, 8.0]]], [[[0.0], [0.0]], [[0.0], [0.0]]]),
    hessian_by_jacobian: [[4.0, 2.0], [2.0, 0.0]],
    in_place: ([2.0, 9.0, 13.0], [7.0, 6.0, 12.0]),
    dead_branch: [0.25, 0.0],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_gradients(case):
    assert numbers(case()) == CASES[case]


# ---- bad input, as a table -----------------------------------------------------------------------------------------------


def gradient_twice(tape, x, y):
    tape.gradient(y, x)
    tape.gradient(y, x)


def enter_active(tape, x, y):
    with tape, tape:
        pass


BAD = {
    "watch an ndarray": (lambda t, x, y: t.watch(np.ones(2)), ValueError, r"type 'ndarray'[\s\S]*wrap it: x = ad.constant"),
    "watch a float": (lambda t, x, y: t.watch(3.0), ValueError, "Passed in object 3.0 of type 'float'"),
    "watch before entering": (lambda t, x, y: GradientTape().watch(x), RuntimeError, "before the tape was entered"),
    "watch integers": (lambda t, x, y: t.watch(constant(3)), TypeError, "must be floating.*int64"),
    "stop outside": (lambda t, x, y: t.stop_recording().__enter__(), ValueError, "Tape is not recording"),
    "stop, never entered": (lambda t, x, y: GradientTape().stop_recording().__enter__(), RuntimeError, "Trying to stop"),
    "reset outside": (lambda t, x, y: t.reset(), ValueError, "Tape is not recording"),
    "enter an active tape": (enter_active, ValueError, "Tape is still recording"),
    "gradient twice": (gradient_twice, RuntimeError, r"only be used to compute one set of gradients[\s\S]*test_tape.py:\d+"),
    "never entered": (lambda t, x, y: GradientTape().gradient(y, x), RuntimeError, "never entered"),
    "unconnected value": (lambda t, x, y: t.gradient(y, x, unconnected_gradients="nonsense"), ValueError,
                          "Unknown value for unconnected_gradients: 'nonsense'"),
    "target is a number": (lambda t, x, y: t.gradient(np.float32(3.0), x), TypeError, "target is a numpy.float32"),
    "target is a float": (lambda t, x, y: t.gradient(3.0, x), TypeError, "target is a float"),
    "target is None": (lambda t, x, y: t.gradient(None, x), TypeError, "received None"),
    "source is a number": (lambda t, x, y: t.gradient(y, 3.0), TypeError, "source is a float"),
    "too many output_gradients": (lambda t, x, y: t.gradient(y, x, output_gradients=[None, None]), TypeError,
                                  "2 entries.*has 1"),
    "shape of output_gradients": (lambda t, x, y: t.gradient(y, x, output_gradients=[np.ones(3)]), ValueError,
                                  r"output_gradients\[0\] has shape \(3,\), but target 0 has shape \(2,\)"),
    "batch_jacobian of vectors": (lambda t, x, y: t.batch_jacobian(y, x), ValueError, "Need first dimension of target shape"),
    "jacobian row by row": (lambda t, x, y: t.jacobian(y, x, experimental_use_pfor=False), RuntimeError, "persistent=True"),
    "assign another shape": (lambda t, x, y: Variable(1.0, name="w").assign([1.0, 2.0]), ValueError, "variable 'w' of shape"),
    "assign floats to integers": (lambda t, x, y: Variable(1).assign(1.5), TypeError, "holds int64"),
    "complex": (lambda t, x, y: constant(1j), TypeError, "complex128"),
    "text": (lambda t, x, y: Variable("a"), TypeError, "real numbers"),
    "no rule": (lambda t, x, y: np.linalg.eig(np.outer(x, x)), TypeError, "np.linalg.eig has no derivative rule"),
    "in place into an ndarray": (lambda t, x, y: np.add(np.ones(2), x, out=np.ones(2)), TypeError, "np.add would store"),
    "shapes": (lambda t, x, y: x + np.ones(3), ValueError, r"cannot combine shapes \(2,\) and \(3,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, error, sentence = BAD[case]
    x = constant([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    with pytest.raises(error, match=sentence):
        call(tape, x, y)
    with GradientTape() as after:  # nothing is left on the stack
        after.watch(x)
        z = x * x
    assert numbers(after.gradient(z, x)) == [2.0, 4.0]


def test_coupled_rows_are_an_error():
    x = constant([[1.0, 2.0], [3.0, 4.0]])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * np.sum(x)
    with pytest.raises(ValueError, match="rows are coupled"):
        tape.batch_jacobian(y, x)


# ---- variables -----------------------------------------------------------------------------------------------------------


def test_watched_variables_in_order_of_creation():
    a, b = Variable(1.0), Variable(2.0)
    with GradientTape() as tape:
        y = b * a
    assert tape.watched_variables() == (a, b)
    tape.gradient(y, a)
    assert tape.watched_variables() == (a, b)
    with tape:
        tape.reset()
        assert tape.watched_variables() == ()


def test_a_variable_is_like_an_array():
    v = Variable([[1.0, 2.0], [3.0, 4.0]], name="v")
    same = constant(v.numpy())
    for f in (
        lambda x: x + 1, lambda x: 1 - x, lambda x: x @ x, lambda x: x[0], lambda x: x.T, lambda x: x.sum(axis=0), lambda x: -x,
        np.sin, lambda x: np.sum(x, axis=1), lambda x: np.stack([x, x]), lambda x: np.add(np.ones((2, 2)), x), lambda x: x**2,
        lambda x: np.ones((2, 2)) @ x, lambda x: np.where(x > 2, x, 0.0), lambda x: np.concatenate([x, np.ones((1, 2))]),
    ):  # fmt: skip
        np.testing.assert_array_equal(np.asarray(f(v)), np.asarray(f(same)))
    assert (v.shape, v.dtype, v.ndim, v.size, len(v), v.name, v.trainable) == ((2, 2), np.float64, 2, 4, 2, "v", True)
    assert float(Variable(2.0)) == 2.0 and bool(Variable(1.0)) and "name='v'" in repr(v)


def test_writing():
    v = Variable([1.0, 2.0], dtype=np.float32)
    old = v.read()
    given = np.array([3.0, 4.0])
    assert v.assign(given) is v
    given[0] = 9.0
    v.assign_add([1.0, 1.0]).assign_sub(constant([0.5, 0.5]))
    np.testing.assert_array_equal(v.numpy(), [3.5, 4.5])
    np.testing.assert_array_equal(old.numpy(), [1.0, 2.0])
    assert v.dtype == np.float32
    v.numpy()[0] = 7.0
    np.testing.assert_array_equal(v.numpy(), [3.5, 4.5])


def test_what_the_user_changes_does_not_change_the_record():
    w, x = Variable([1.0, 2.0]), np.array([3.0, 4.0])
    with GradientTape() as tape:
        y = w * x
    x[:] = 0.0
    assert numbers(tape.gradient(y, w)) == [3.0, 4.0]


def test_plain_numbers_stay_plain():
    with GradientTape():
        assert type(np.sin(np.ones(2))) is np.ndarray
        assert type(ad.check_numerics(np.ones(2), "")) is np.ndarray
    assert type(ad.grad(lambda x: np.sum(x * x))(np.ones(2))) is np.ndarray


# ---- numpy's functions, each against the transforms ------------------------------------------------------------------------

A = np.array([[1.5, 0.5, 2.5], [0.25, 3.0, 1.0]])
FUNCTIONS = {
    "mean": lambda x: np.mean(x, axis=1), "var": np.var, "std": lambda x: np.std(x, axis=0, ddof=1), "prod": np.prod,
    "max": np.max,
    "sort": lambda x: np.sort(x, axis=1) * np.arange(3.0), "cumsum": lambda x: np.cumsum(x) ** 2, "cumprod": np.cumprod,
    "matmul": lambda x: x @ x.T, "outer": lambda x: np.outer(x[0], x[1]), "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "norm": np.linalg.norm, "where": lambda x: np.where(x > 1, x**2, np.exp(x)), "clip": lambda x: np.clip(x, 0.3, 2.7) ** 2,
    "mask": lambda x: x[x > 0.7] ** 2, "take": lambda x: x[:, [0, 0, 2]] ** 2, "slice": lambda x: x[1, ::-1] ** 3,
    "index by an array": lambda x: x[np.argsort(x[:, 0])] * np.arange(6.0).reshape(2, 3), "pad": lambda x: np.pad(x, 1) ** 2,
    "split": lambda x: np.split(x, 3, axis=1)[2] ** 2, "stack": lambda x: np.stack([x, x * x]),
    "roll": lambda x: np.roll(x, 1) * x,
    "meshgrid": lambda x: np.meshgrid(x[0], x[1])[0] ** 2, "tile": lambda x: np.tile(x, 2) ** 2, "median": np.median,
    "logaddexp": lambda x: np.logaddexp(x, 1.25), "power": lambda x: x**2.5, "power by data": lambda x: 2.5**x, "hypot":
    lambda x: np.hypot(x, 0.7), "broadcast": lambda x: x + np.ones((4, 1, 1)) * x[:, :1], "trace": lambda x: np.trace(x @ x.T),
    "triu": lambda x: np.triu(x) ** 2, "diag": lambda x: np.diag(x[0]) * 3.0, "average": lambda x: np.average(x, weights=A),
    "methods": lambda x: x.reshape(3, 2).T.ravel().clip(0.3) ** 2,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_twice_against_the_transforms(name):
    f = FUNCTIONS[name]
    weight = np.random.default_rng(0).normal(size=np.shape(np.asarray(f(constant(A)))))

    def total(x):
        return np.sum(f(x) * weight)

    x = constant(A)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = total(x)
        first = inner.gradient(y, x)
        slope = np.sum(first * A)
    np.testing.assert_allclose(y.numpy(), float(np.sum(np.asarray(f(constant(A))) * weight)))
    np.testing.assert_allclose(first.numpy(), ad.grad(total)(A), rtol=1e-13, atol=1e-13)
    second = outer.gradient(slope, x, unconnected_gradients="zero")
    np.testing.assert_allclose(second.numpy(), ad.hvp(total, (A,), (A,)), rtol=1e-12, atol=1e-12)


def test_order_four_against_a_jet():
    x = constant(0.3)
    for f in (np.tanh, np.sin, lambda z: np.exp(-z * z), lambda z: np.log1p(z) / z, lambda z: z**3.0, np.arctan, np.sqrt):
        with GradientTape(persistent=True) as tape:
            tape.watch(x)
            y, derivatives = f(x), []
            for _ in range(4):
                y = tape.gradient(y, x, unconnected_gradients="zero")
                derivatives.append(float(y))
        _, expected = ad.jet(f, (0.3,), ([1.0, 0.0, 0.0, 0.0],))
        np.testing.assert_allclose(derivatives, expected, rtol=1e-10)


# ---- tapes and transforms in each other --------------------------------------------------------------------------------------


def test_a_transform_under_a_tape():
    x, v = constant(2.0), Variable(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = ad.grad(lambda z: z**3 * v)(x)
    assert numbers(y) == 36.0
    assert numbers(tape.gradient(y, [x, v])) == [36.0, 12.0]


def test_a_tape_under_a_transform():
    v = Variable(3.0)

    def slope(z):
        with GradientTape() as tape:
            tape.watch(z)
            y = z**3 * v
        return tape.gradient(y, z)

    assert numbers(slope(constant(2.0))) == 36.0
    assert ad.grad(slope)(2.0).numpy() == 36.0
    np.testing.assert_allclose(np.asarray(ad.vmap(slope)(np.array([1.0, 2.0]))), [9.0, 36.0])


def test_a_variable_is_an_argument_of_a_transform():
    v = Variable([1.0, 2.0])
    with GradientTape() as tape:
        g = ad.grad(lambda w: np.sum(w**3))(v)
    assert numbers(tape.gradient(g, v)) == [6.0, 12.0]


# ---- gradients of the user's own -------------------------------------------------------------------------------------------


def test_custom_gradient_is_differentiable_itself():
    @ad.custom_gradient
    def log1pexp(x):
        e = np.exp(x)
        return np.log(1.0 + e), lambda dy: dy * (1.0 - 1.0 / (1.0 + e))

    x = constant(0.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = log1pexp(x)
        first = inner.gradient(y, x)
    assert (float(first), float(outer.gradient(first, x))) == (0.5, 0.25)
    np.testing.assert_allclose([ad.grad(log1pexp)(0.0), ad.grad(ad.grad(log1pexp))(0.0)], [0.5, 0.25])
    np.testing.assert_allclose(ad.jvp(log1pexp, (0.0,), (2.0,))[1], 1.0)
    np.testing.assert_allclose(ad.vmap(ad.grad(log1pexp))(np.zeros(3)), 0.5 * np.ones(3))
    assert type(log1pexp(np.zeros(2))) is np.ndarray


def test_custom_gradient_takes_precedence_and_batches():
    @ad.custom_gradient
    def wrong(x, y):
        return x * y, lambda dy: (dy * 10.0, None)

    x, y = constant([1.0, 2.0]), constant([3.0, 4.0])
    with GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = 2.0 * wrong(x, y)
    assert numbers(tape.gradient(z, [x, y])) == [[20.0, 20.0], None]
    assert numbers(tape.jacobian(z, x)) == [[20.0, 0.0], [0.0, 20.0]]


def test_custom_gradient_with_variables():
    v = Variable(3.0, name="v")

    @ad.custom_gradient
    def scaled(x):
        def grad(dy, variables):
            assert [w.name for w in variables] == ["v"]
            return dy * v, [dy * 100.0]

        return x * v, grad

    @ad.custom_gradient
    def careless(x):
        return x * v, lambda dy: dy

    x = constant(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = scaled(x)
    assert numbers(tape.gradient(y, [x, v])) == [3.0, 100.0]
    with pytest.raises(TypeError, match="grad_fn must accept keyword argument 'variables', since .* variables: .'v'"):
        careless(x)


def test_custom_gradient_counts():
    @ad.custom_gradient
    def short(x, y):
        return x * y, lambda dy: dy

    x = constant(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        z = short(x, x)
    with pytest.raises(ValueError, match="expected to return 2 gradients, but returned 1 instead"):
        tape.gradient(z, x)
    with pytest.raises(ValueError, match="expected to return 2 gradients, but returned 1 instead"):
        ad.grad(short)(1.0, 2.0)


def test_recompute_grad():
    v, x, runs = Variable(0.5), constant([0.1, 0.2]), []

    def layer(z):
        runs.append(len(runs))
        return np.tanh(z * v) * v

    answers = []
    for f in (layer, ad.recompute_grad(layer)):
        with GradientTape() as outer:
            outer.watch(x)
            with GradientTape() as inner:
                inner.watch(x)
                y = np.sum(f(x))
            first = inner.gradient(y, [x, v])
            total = np.sum(first[0]) + first[1]
        answers.append([*first, *outer.gradient(total, [x, v])])
    assert len(runs) == 3
    for plain, again in zip(*answers, strict=True):
        np.testing.assert_allclose(plain.numpy(), again.numpy(), rtol=1e-14)


# ---- memory, threads, exceptions, generators ---------------------------------------------------------------------------------


def training_step(weights, x):
    with GradientTape() as tape:
        loss = np.mean((np.tanh(x @ weights[0] + weights[1]) @ weights[2]) ** 2)
    for w, g in zip(weights, tape.gradient(loss, weights), strict=True):
        w.assign_sub(0.1 * g)
    return loss


def test_memory_is_flat_without_the_garbage_collector():
    rng = np.random.default_rng(0)
    weights = [Variable(rng.normal(size=s)) for s in ((4, 8), (8,), (8, 1))]
    x = rng.normal(size=(16, 4))
    training_step(weights, x)
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for _ in range(1000):
            training_step(weights, x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            training_step(weights, x)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert after - before < 20_000


def test_a_tape_for_one_use_is_freed_on_the_way_and_a_persistent_one_by_del():
    x = constant(np.ones(100_000))
    for persistent in (False, True):
        gc.disable()
        try:
            with GradientTape(persistent=persistent) as tape:
                tape.watch(x)
                y = x
                for _ in range(10):
                    y = np.tanh(y)
                target = np.sum(y * y)
            held = weakref.ref(y.number)
            assert tape.memory() >= 8_000_000
            del y
            assert held() is not None
            tape.gradient(target, x)
            if persistent:
                assert tape.memory() >= 8_000_000
                alive = weakref.ref(tape)
                del tape
                assert alive() is None
            else:
                assert tape.memory() == 0
            assert held() is None
        finally:
            gc.enable()


def test_freed_while_going_back():
    x, alive = constant(1.0), []

    def probe(number):
        @ad.custom_gradient
        def f(z):
            def grad(dy):
                alive.append(sum(r() is not None for r in refs[number + 1 :]))
                return dy

            return z * 1.0, grad

        return f

    refs = []
    with GradientTape() as tape:
        tape.watch(x)
        y = x
        for k in range(4):
            y = np.exp(probe(k)(y) * np.ones(10))[0]
            big = np.tanh(y * np.ones(1000))
            refs.append(weakref.ref(big.number))
            y = y + np.sum(big)
            del big
    tape.gradient(y, x)
    assert alive == [0, 0, 0, 0]


def test_what_is_not_watched_is_not_kept():
    v, data = Variable(1.0), constant(np.ones(1000))
    with GradientTape() as tape:
        big = np.tanh(data * data)
        held = weakref.ref(big.number)
        del big
        assert held() is None
        y = v * 2.0
    assert tape.memory() < 100
    assert float(tape.gradient(y, v)) == 2.0


def test_sums_and_scaling_keep_no_numbers():
    x = constant(np.ones(1000))
    with GradientTape() as tape:
        tape.watch(x)
        y = np.sum(2.0 * (x + x) - x)
    assert tape.memory() == 0
    assert set(numbers(tape.gradient(y, x))) == {3.0}


def test_each_thread_has_its_own_tapes():
    x, found = Variable(3.0), {}

    def work(name, power):
        with GradientTape() as tape:
            y = x**power
            found[name] = float(tape.gradient(y, x))

    with GradientTape() as outer:
        threads = [threading.Thread(target=work, args=(k, k)) for k in range(2, 6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        y = x * x
    assert found == {k: k * 3.0 ** (k - 1) for k in range(2, 6)}
    assert float(outer.gradient(y, x)) == 6.0


def test_an_exception_leaves_no_tape_behind():
    x = Variable(3.0)
    with pytest.raises(ZeroDivisionError):
        with GradientTape() as lost:
            with GradientTape():
                x * x
                raise ZeroDivisionError
    y = x * x
    assert lost.gradient(y, x) is None
    assert lost.memory() < 100


def test_generators_may_end_in_any_order():
    x = Variable(3.0)

    def recording():
        with GradientTape() as tape:
            yield tape

    first, second = recording(), recording()
    a, b = next(first), next(second)
    y = x * x
    first.close()
    z = x * y
    second.close()
    assert (numbers(a.gradient(y, x)), numbers(b.gradient(z, x))) == (6.0, 27.0)
    with np.errstate(all="warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            np.log(np.zeros(1))


def test_numpy_is_silent_while_a_tape_records_and_afterwards_as_before():
    x = Variable(0.0)
    with GradientTape() as tape:
        y = np.log(x)
    assert numbers(tape.gradient(y, x)) == np.inf
    with pytest.raises(RuntimeWarning):
        np.log(x)
    with np.errstate(all="raise"), GradientTape(), pytest.raises(FloatingPointError):
        np.log(x)


# ---- what is said ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_a_missing_gradient_of_something_watched_is_told_once():
    x, y, c = Variable(1.0), Variable(2.0), constant(1.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(c)
        z = y * y
    with pytest.warns(UnconnectedWarning, match="does not depend on it"):
        assert tape.gradient(z, c) is None
    assert tape.gradient(z, c) is None
    assert tape.gradient(z, x) is None  # never read, so nobody expected it
    assert numbers(tape.gradient(z, c, unconnected_gradients="zero")) == 0.0


def test_operations_after_the_gradient_of_an_open_tape_are_told():
    x = Variable(1.0)
    with pytest.warns(TapeWarning, match="not recorded"):
        with GradientTape() as tape:
            y = x * x
            tape.gradient(y, x)
            y * x


def test_a_persistent_tape_that_survives_many_steps_is_told():
    x, tape = Variable(1.0), GradientTape(persistent=True)
    with pytest.warns(TapeWarning, match=r"entered 100 times and holds all that it recorded, \d+ bytes") as seen:
        for _ in range(150):
            with tape:
                y = np.exp(x)
            tape.gradient(y, x)
    assert len(seen) == 1 and seen[0].filename == __file__
    for _ in range(150):  # what is forgotten is not held
        with tape:
            tape.reset()
            y = np.exp(x)


def test_a_gradient_inside_a_persistent_tape_is_logged_once(caplog):
    x = Variable(1.0)
    with caplog.at_level(logging.WARNING, "autodiff"):
        with GradientTape(persistent=True) as tape:
            y = x * x
            tape.gradient(y, x)
            tape.gradient(y, x)
    assert len(caplog.records) == 1


def test_errors_have_one_class():
    assert issubclass(TapeError, (RuntimeError, ValueError)) and issubclass(TapeError, ad.AutodiffError)


def test_a_watched_value_cannot_be_stored_into_a_plain_array():
    x, plain = Variable([1.0, 2.0]), np.zeros(2)
    with GradientTape() as tape:
        y = x * x
        with pytest.raises(TypeError, match="storing a watched value into a plain numpy array"):
            plain[:] = y
        with pytest.raises(ValueError) as told:  # numpy wraps it where an element is asked for
            plain[0] = y[0]
        assert isinstance(told.value.__cause__, ad.TraceError)
        plain[0] = float(y[1])
    plain[1] = y[0]
    np.testing.assert_array_equal(plain, [4.0, 1.0])
    assert numbers(tape.gradient(y, x)) == [2.0, 4.0]


def test_text():
    x = constant(1.0 / 3.0)
    assert (f"{x:.3f}", f"{Variable(0.5):.2e}", repr(constant([1.0]))) == ("0.333", "5.00e-01", "Array([1.], dtype=float64)")


def test_single_precision_at_second_order_is_noted_once(caplog, monkeypatch):
    monkeypatch.setattr("autodiff.record.NOTED", [])
    x = Variable(3.0, dtype=np.float32)
    with caplog.at_level(logging.WARNING, "autodiff"):
        for _ in range(2):
            with GradientTape() as outer:
                with GradientTape() as inner:
                    y = x**3
                first = inner.gradient(y, x)
            second = outer.gradient(first, x)
    assert second.dtype == first.dtype == np.float32 and numbers(second) == 18.0
    assert len(caplog.records) == 1


def test_a_variable_made_of_a_result_does_not_carry_derivatives():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = 2.0 * Variable(x * x)
    assert tape.gradient(y, x) is None
    assert tape.explain(y, x).code == "assigned"


def test_a_function_of_scipy_that_would_take_numbers_is_refused():
    x = constant([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(TypeError, match="scipy.special.logsumexp has no derivative rule here"):
            scipy.special.logsumexp(x)
    assert float(scipy.special.logsumexp(x)) == pytest.approx(float(ad.logsumexp(x)))
