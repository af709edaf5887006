"""The manners of TensorFlow's tape, second helping: its guides, its own tests, and what people do with arrays beside them.

Every number in the tables is what TensorFlow 2.21 answers, unless the entry says that we differ on purpose.
"""

import collections
import copy
import gc
import io
import json
import math
import pickle
import threading
import weakref

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientTape, Variable, constant
from autodiff.recording import ACTIVE
from tests.autodiff.test_tape import numbers

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.UnconnectedWarning")
Pair = collections.namedtuple("Pair", "w b")


def nested(tree):
    """`numbers`, for named tuples too."""
    return type(tree)(*map(nested, tree)) if hasattr(tree, "_fields") else numbers(tree)


# ---- "Introduction to gradients and automatic differentiation" ------------------------------------------------------------


def scalar():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x**2
    return tape.gradient(y, x)


def a_layer():
    w, b = Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), Variable([0.0, 0.0])
    with GradientTape() as tape:
        y = constant([[1.0, 2.0, 3.0]]) @ w + b
        loss = np.mean(y**2)
    return tape.gradient(loss, {"w": w, "b": b})


def what_is_watched():
    x0, x1 = Variable(3.0, name="x0"), Variable(3.0, name="x1", trainable=False)
    x2, x3 = Variable(2.0, name="x2") + 1.0, constant(3.0)
    with GradientTape() as tape:
        y = x0**2 + x1**2 + x2**2
    return tape.gradient(y, [x0, x1, x2, x3]), [v.name for v in tape.watched_variables()]


def only_what_is_asked_for():
    x0, x1 = Variable(0.0), Variable(10.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x1)
        y = np.sum(np.sin(x0)) + x1 * 2.0
    return tape.gradient(y, {"x0": x0, "x1": x1})


def an_intermediate_result():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    return tape.gradient(z, y)


def twice_of_a_persistent_tape():
    x = constant([1.0, 3.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    return tape.gradient(z, x), tape.gradient(y, x)


def targets_in_a_dict():
    x = Variable(2.0)
    with GradientTape() as tape:
        y0, y1 = x**2, 1 / x
    return tape.gradient({"y0": y0, "y1": y1}, x)


def a_vector_target():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * [3.0, 4.0]
    return tape.gradient(y, x)


def a_branch_by_value():
    x, v0, v1 = constant(1.0), Variable(2.0), Variable(2.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        result = v0 if x > 0.0 else v1**2
    return tape.gradient(result, [v0, v1]), tape.gradient(result, x)


def a_variable_replaced_by_a_tensor():
    x, answers = Variable(2.0), []
    for _ in range(2):
        with GradientTape() as tape:
            y = x + 1
        answers.append((type(x).__name__, nested(tape.gradient(y, x))))
        x = x + 1
    return answers


def a_detour_through_numpy():
    """None in TensorFlow; here numpy's functions are the recorded ones."""
    x = Variable([[1.0, 2.0], [3.0, 4.0]])
    with GradientTape() as tape:
        y = np.mean(x**2, axis=0)
        z = np.sum(np.mean(y.reshape(1, -1)))
    return tape.gradient(z, x)


def state_hides_where_it_came_from():
    x0, x1 = Variable(3.0), Variable(0.0)
    with GradientTape() as tape:
        x1.assign_add(x0)
        y = x1**2
    return tape.gradient(y, [x0, x1])


def zeros_for_none():
    x, y = Variable([2.0, 2.0]), Variable(3.0)
    with GradientTape() as tape:
        z = y**2
    return tape.gradient(z, x, unconnected_gradients="zero")


# ---- "Advanced automatic differentiation" -----------------------------------------------------------------------------------


def recording_stopped():
    x, y = Variable(2.0), Variable(3.0)
    with GradientTape() as tape:
        a = x * x
        with tape.stop_recording():
            b = y * y
        z = a + b
    return tape.gradient(z, {"x": x, "y": y})


def reset_on_the_way():
    x, y = Variable(2.0), Variable(3.0)
    with GradientTape() as tape:
        b = y * y
        tape.reset()
        z = x * x + b
    return tape.gradient(z, {"x": x, "y": y})


def gradient_stopped():
    x, y = Variable(2.0), Variable(3.0)
    with GradientTape() as tape:
        z = x**2 + ad.stop_gradient(y**2)
    return tape.gradient(z, {"x": x, "y": y})


def gradients_clipped():
    @ad.custom_gradient
    def clip(y):
        def backward(dy):
            norm = np.sqrt(np.sum(dy * dy))
            return np.where(norm > 0.5, dy * 0.5 / norm, dy)

        return y, backward

    v = Variable(2.0)
    with GradientTape() as tape:
        output = clip(v * v)
    return tape.gradient(output, v)


def two_tapes_at_once():
    x0, x1 = constant(0.0), constant(0.0)
    with GradientTape() as tape0, GradientTape() as tape1:
        tape0.watch(x0)
        tape1.watch(x1)
        y = np.sin(x0) + ad.sigmoid(x1)
    return tape0.gradient(y, x0), tape1.gradient(y, x1), None


def second_order():
    x = Variable(1.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = x * x * x
        slope = inner.gradient(y, x)
    return slope, outer.gradient(slope, x)


def penalty_of_the_input_gradient():
    x, w = constant([[1.0, 2.0]]), Variable([[3.0], [4.0]])
    with GradientTape() as outer:
        with GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(x)
            loss = np.sum((x @ w) ** 2)
        penalty = np.sum(inner.gradient(loss, x) ** 2)
    return outer.gradient(penalty, w)  # penalty = 4 (x w)^2 |w|^2


def shapes_of_jacobians():
    rng = np.random.default_rng(0)
    x, k, b = constant(rng.normal(size=(7, 5))), Variable(rng.normal(size=(5, 10))), Variable(np.zeros(10))
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ad.relu(x @ k + b)
    j = tape.jacobian(y, k)
    np.testing.assert_allclose(np.sum(j.numpy(), (0, 1)), tape.gradient(y, k).numpy())
    return j.shape, tape.jacobian(y, b).shape, tape.jacobian(y, x).shape


def batch_jacobian_is_the_diagonal_of_the_jacobian():
    rng = np.random.default_rng(0)
    x, k = constant(rng.normal(size=(7, 5))), Variable(rng.normal(size=(5, 6)))
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ad.elu(x @ k)
    every, rows = tape.jacobian(y, x).numpy(), tape.batch_jacobian(y, x).numpy()
    np.testing.assert_allclose(np.einsum("bxby->bxy", every), rows)
    return rows.shape


def scalar_source_of_a_jacobian():
    delta, x = Variable(0.0), constant([-1.0, 0.0, 1.0])
    with GradientTape() as tape:
        y = x * (delta + 2.0)
    return tape.jacobian(y, delta)


def hessian():
    x = Variable([1.0, 2.0])
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = np.sum(x * x)
        slope = inner.gradient(y, x)
    return outer.jacobian(slope, x)


def hessian_row_by_row():
    x = Variable([1.0, 2.0])
    with GradientTape(persistent=True) as outer:
        with GradientTape() as inner:
            y = x[0] * x[0] * x[1]
        slope = inner.gradient(y, x)
    return outer.jacobian(slope, x, experimental_use_pfor=False)


# ---- its backprop_test --------------------------------------------------------------------------------------------------


def target_is_the_source_twice():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x
    return tape.gradient([y, y], x)


def inner_gradient_joins_the_outer():
    x = constant(3.0)
    with GradientTape() as g:
        g.watch(x)
        y = x * x
        with GradientTape() as gg:
            gg.watch(y)
            z = 2 * y
        inner = gg.gradient(z, [y])[0]
        y += inner
    return inner, g.gradient(y, [x])[0]


def persistent_nested_tapes():
    x = constant(3.0)
    with GradientTape(persistent=True) as g:
        g.watch(x)
        y = x * x
        with GradientTape(persistent=True) as gg:
            gg.watch(y)
            z = 2 * y
        inner = [gg.gradient(z, [y])[0] for _ in range(2)]
        y += inner[1]
        del gg
    return inner, g.gradient(y, [x])[0], g.gradient(z, [x])[0]


def a_variable_that_is_not_connected_to_itself():
    x, y = Variable([3.0]), Variable([2.0])
    with GradientTape(persistent=True) as tape:
        pass
    return tape.gradient(x, y), tape.gradient(x, y, unconnected_gradients="zero"), tape.gradient(x, x)


def second_order_of_a_custom_gradient_by_another():
    @ad.custom_gradient
    def f(x):
        def first(dz):
            @ad.custom_gradient
            def slope(unused):
                return -1.1, lambda ddz: -2.1 * ddz

            return dz * slope(x)

        return x + 10.0, first

    c = constant(1.0)
    with GradientTape() as outer:
        outer.watch(c)
        with GradientTape() as inner:
            inner.watch(c)
            d = f(c) ** 4.0
        slope = inner.gradient(d, c)
    return np.round(slope, 9), np.round(outer.gradient(slope, c), 9)  # -1.1 4 11^3, 1.1^2 12 11^2 - 2.1 4 11^3


def custom_gradient_of_two():
    @ad.custom_gradient
    def product(x, y):
        return x * y, lambda dr: [dr * y, dr * x]

    x, y = constant(6.0), constant(2.0)
    with GradientTape() as tape:
        tape.watch([x, y])
        z = product(x, y)
    return tape.gradient(z, [x, y])


def custom_gradient_with_options():
    @ad.custom_gradient
    def scaled(x, *, by):
        return x * by, lambda dy: dy * by * 10.0

    x = Variable(3.0)
    with GradientTape() as tape:
        y = scaled(x, by=2.0)
    return tape.gradient(y, x)


def custom_gradient_of_two_results():
    @ad.custom_gradient
    def both(x):
        return (x * 2.0, x * 3.0), lambda da, db: da * 100.0 + db

    x = Variable(1.0)
    with GradientTape(persistent=True) as tape:
        a, b = both(x)
        c = a + b
    return tape.gradient(a, x), tape.gradient(b, x), tape.gradient(c, x)


def rows_looked_up_twice():
    table = Variable(np.ones((3, 2)))
    with GradientTape(persistent=True) as tape:
        y = table[np.array([0, 0, 1, 0])]
        z = np.take(table, [0, 2, 0], axis=0)
    return tape.gradient(y, table), tape.gradient(z, table)


def sources_keep_their_structure():
    p = Pair(Variable([1.0, 1.0]), Variable(3.0))
    with GradientTape(persistent=True) as tape:
        y = np.sum(p.w**2) + p.b
    ordered = collections.OrderedDict(b=p.b, a=[p.w, (p.b,)])
    return tape.gradient(y, p), dict(tape.gradient(y, ordered)), tape.gradient(y, {"w": p.w, "b": p.b}.values())


def jacobian_keeps_the_structure():
    a, b = Variable([1.0, 2.0]), Variable(3.0)
    with GradientTape() as tape:
        y = a * 1.0
    return tape.jacobian(y, {"a": a, "b": [b]})


def jacobian_of_nothing():
    a = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = a[:0] * 3.0
    return tape.jacobian(y, a).shape


def weights_in_another_order():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y, z = x * x, 2 * x
    return tape.gradient({"a": y, "b": z}, x, output_gradients={"b": np.zeros(2), "a": np.ones(2)})


def weights_that_are_variables():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = x * x
    return tape.gradient(y, x, output_gradients=Variable([1.0, 10.0]))


def integers_with_zero():
    x, n = Variable([1.0, 2.0]), Variable([1, 2])
    with GradientTape() as tape:
        y = x * 2.0
    g = tape.gradient(y, n, unconnected_gradients="zero")
    return g, g.dtype.name


def integer_targets():
    x = Variable([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        y, z = x.astype(int), np.argmax(x)
    return tape.gradient(y, x), tape.gradient(z, x), tape.gradient([y, x * 1.0], x)


# ---- recording, stopped and taken up --------------------------------------------------------------------------------------


def exception_while_stopped():
    x = Variable(2.0)
    with GradientTape(persistent=True) as tape:
        with pytest.raises(KeyError), tape.stop_recording():
            y = x * x
            raise KeyError
        z = x * x
    return tape.gradient(y, x), tape.gradient(z, x)


def gradient_while_stopped():
    x = Variable(2.0)
    with GradientTape(persistent=True) as tape:
        y = x * x
        with tape.stop_recording():
            g = tape.gradient(y, x)
    return g, tape.gradient(g, x)


def stopped_twice():
    x = Variable(2.0)
    with GradientTape() as tape:
        with tape.stop_recording():
            with tape.stop_recording():
                pass
            y = x * x
        z = y * x
    return tape.gradient(z, x)


def outer_tape_stopped_around_an_inner():
    x = Variable([1.0])
    with GradientTape() as outer:
        with outer.stop_recording():
            with GradientTape() as inner:
                y = x * 1.0
            g = inner.gradient(y, x)
        z = g * x
    return g, outer.gradient(z, x)


def a_persistent_tape_entered_again():
    x = Variable(2.0)
    with GradientTape(persistent=True) as tape:
        y = x * x
    first = tape.gradient(y, x)
    with tape:
        z = y * x
    return first, tape.gradient(z, x)


def watched_twice():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        tape.watch([x, x])
        y = x * x
    return tape.gradient(y, x)


def watched_result():
    x = constant(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        tape.watch(y)
        z = y * x
    return tape.gradient(z, [x, y])


def assigned_in_a_loop():
    x = Variable(1.0)
    for _ in range(3):
        with GradientTape() as tape:
            y = (x - 3.0) ** 2
        x.assign_sub(0.25 * tape.gradient(y, x))
    return x.read()


# ---- arrays in Python ------------------------------------------------------------------------------------------------------


def unpacked():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        a, b = x
        y = 2 * a + 3 * b
    return tape.gradient(y, x)


def iterated():
    x = Variable([1.0, 2.0, 3.0])
    with GradientTape() as tape:
        y = sum(e * k for k, e in enumerate(x))
    return tape.gradient(y, x)


def collected_in_a_list():
    xs = [Variable(float(i)) for i in range(1, 4)]
    with GradientTape() as tape:
        squares = []
        for x in xs:
            squares.append(x * x)
        y = np.sum(np.stack(squares))
    return tape.gradient(y, xs)


def concatenated():
    a, b = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    with GradientTape() as tape:
        y = np.concatenate([a, 2 * b])[1:]
    return tape.gradient(y, [a, b])


def a_slice_is_made_anew():
    x = Variable([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        a = x[0]
        y = a * 5.0
    return tape.gradient(y, x), tape.gradient(y, a), tape.gradient(y, x[0])


def chosen_by_a_mask():
    x = Variable([1.0, -2.0, 3.0])
    with GradientTape() as tape:
        y = np.sum(x[x > 0] ** 2) + np.sum(x[np.where(x < 0)])
    return tape.gradient(y, x)


def written_by_a_mask():
    x = Variable([1.0, -2.0, 3.0])
    with GradientTape() as tape:
        y = x * 1.0
        y[y < 0] = 0.0
    return tape.gradient(y, x)


def printed_on_the_way():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        print(f"{y:.3f} {float(y)} {y} {x} {y!r:>40} %g" % y, file=io.StringIO())
    return tape.gradient(y, x)


def builtins():
    x = Variable([1.0, -2.0, 3.0])
    with GradientTape() as tape:
        y = abs(x[1]) + pow(x[0], 3) + max(x[0], x[2]) + round(x[0]) + sum(x) - min(x)
    return tape.gradient(y, x)


def in_a_class():
    class Model:
        def __init__(self):
            self.w = Variable(3.0)

        def __call__(self, x):
            return self.w * x

        def step(self, x):
            with GradientTape() as tape:
                loss = self(x) ** 2
            return tape.gradient(loss, self.w)

    return Model().step(2.0)


def single_precision_meets_double():
    x = Variable([1.0, 1.0], dtype=np.float32)
    with GradientTape(persistent=True) as tape:
        y, z = x * np.array([2.0, 2.0]), 2.0 * x + 1.0
    return y.dtype.name, tape.gradient(y, x).dtype.name, z.dtype.name, tape.gradient(z, x).dtype.name


def copies():
    v = Variable([1.0, 2.0], name="v")
    w, x = copy.deepcopy(v), constant([3.0, 4.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = v * w
        z = copy.deepcopy({"x": [x]})["x"][0] * 2.0
    w.assign([7.0, 8.0])
    return tape.gradient(y, [v, w]), v.read(), tape.gradient(z, x), w.name


CASES = {
    scalar: 6.0,
    a_layer: {"w": [[22.0, 28.0], [44.0, 56.0], [66.0, 84.0]], "b": [22.0, 28.0]},
    what_is_watched: ([6.0, None, None, None], ["x0"]),
    only_what_is_asked_for: {"x0": None, "x1": 2.0},
    an_intermediate_result: 18.0,
    twice_of_a_persistent_tape: ([4.0, 108.0], [2.0, 6.0]),
    targets_in_a_dict: 3.75,
    a_vector_target: 7.0,
    a_branch_by_value: ([1.0, None], None),
    a_variable_replaced_by_a_tensor: [("Variable", 1.0), ("Array", None)],
    a_detour_through_numpy: [[0.5, 1.0], [1.5, 2.0]],
    state_hides_where_it_came_from: [None, 6.0],
    zeros_for_none: [0.0, 0.0],
    recording_stopped: {"x": 4.0, "y": None},
    reset_on_the_way: {"x": 4.0, "y": None},
    gradient_stopped: {"x": 4.0, "y": None},
    gradients_clipped: 2.0,
    two_tapes_at_once: (1.0, 0.25, None),
    second_order: (3.0, 6.0),
    penalty_of_the_input_gradient: [[5104.0], [8272.0]],
    shapes_of_jacobians: ((7, 10, 5, 10), (7, 10, 10), (7, 10, 7, 5)),
    batch_jacobian_is_the_diagonal_of_the_jacobian: (7, 6, 5),
    scalar_source_of_a_jacobian: [-1.0, 0.0, 1.0],
    hessian: [[2.0, 0.0], [0.0, 2.0]],
    hessian_row_by_row: [[4.0, 2.0], [2.0, 0.0]],
    target_is_the_source_twice: 2.0,
    inner_gradient_joins_the_outer: (2.0, 6.0),
    persistent_nested_tapes: ([2.0, 2.0], 6.0, 12.0),
    a_variable_that_is_not_connected_to_itself: (None, [0.0], [1.0]),
    second_order_of_a_custom_gradient_by_another: (-5856.4, -9423.48),
    custom_gradient_of_two: [2.0, 6.0],
    custom_gradient_with_options: 20.0,
    custom_gradient_of_two_results: (100.0, 1.0, 101.0),
    rows_looked_up_twice: ([[3.0, 3.0], [1.0, 1.0], [0.0, 0.0]], [[2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]),
    sources_keep_their_structure: (Pair([2.0, 2.0], 1.0), {"b": 1.0, "a": [[2.0, 2.0], (1.0,)]}, [[2.0, 2.0], 1.0]),
    jacobian_keeps_the_structure: {"a": [[1.0, 0.0], [0.0, 1.0]], "b": [None]},
    jacobian_of_nothing: (0, 2),
    weights_in_another_order: [2.0, 4.0],
    weights_that_are_variables: [2.0, 40.0],
    integers_with_zero: ([0, 0], "int64"),
    integer_targets: (None, None, None),
    exception_while_stopped: (None, 4.0),
    gradient_while_stopped: (4.0, None),
    stopped_twice: 4.0,
    outer_tape_stopped_around_an_inner: ([1.0], [1.0]),
    a_persistent_tape_entered_again: (4.0, 12.0),
    watched_twice: 6.0,
    watched_result: [27.0, 3.0],
    assigned_in_a_loop: 2.75,
    unpacked: [2.0, 3.0],
    iterated: [0.0, 1.0, 2.0],
    collected_in_a_list: [2.0, 4.0, 6.0],
    concatenated: [[0.0, 1.0], [2.0, 2.0]],
    a_slice_is_made_anew: ([5.0, 0.0], 5.0, None),
    chosen_by_a_mask: [2.0, 1.0, 6.0],
    written_by_a_mask: [1.0, 0.0, 1.0],
    printed_on_the_way: 6.0,
    builtins: [4.0, -1.0, 2.0],
    in_a_class: 24.0,
    single_precision_meets_double: ("float64", "float32", "float32", "float32"),
    copies: ([[1.0, 2.0], [1.0, 2.0]], [1.0, 2.0], [2.0, 2.0], "v"),
}  # fmt: skip


def shown(tree):
    """What a case answers, as plain values."""
    if isinstance(tree, dict):
        return {k: shown(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(*map(shown, tree)) if hasattr(tree, "_fields") else type(tree)(map(shown, tree))
    return tree if isinstance(tree, (str, int, float, type(None))) else np.asarray(tree).tolist()


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_gradients(case):
    assert shown(case()) == CASES[case]
    assert ACTIVE.watchers == []


# ---- slips -------------------------------------------------------------------------------------------------------------


def recorded(persistent=False):
    x, v = constant([1.0, 2.0]), Variable([3.0, 4.0])
    with GradientTape(persistent=persistent) as tape:
        tape.watch(x)
        y = x * v
    return tape, x, v, y


def on(call):
    return lambda: call(*recorded())


def inside(call):
    def slip():
        with GradientTape() as tape:
            call(tape)

    return slip


def plus_equals():
    v = Variable(1.0, name="v")
    v += 1.0


A, S, N, V = constant([1.0, 2.0, 3.0]), constant(2.0), constant(2), Variable([1.0, 2.0, 3.0])
SLIPS = {
    # what is given to a tape
    "sources are None": (on(lambda t, x, v, y: t.gradient(y, None)), TypeError, "source-plain"),
    "sources are plain": (on(lambda t, x, v, y: t.gradient(y, x.numpy())), TypeError, "source-plain"),
    "sources in a generator": (on(lambda t, x, v, y: t.gradient(y, (q for q in [x, v]))), TypeError, "source-plain"),
    "sources in a set": (on(lambda t, x, v, y: t.gradient(y, {x})), TypeError, "source-plain"),
    "a name": (on(lambda t, x, v, y: t.gradient(y, "x")), TypeError, "source-plain"),
    "a function as target": (on(lambda t, x, v, y: t.gradient(lambda: y, x)), TypeError, "target-plain"),
    "several targets of a jacobian": (on(lambda t, x, v, y: t.jacobian([y, y], x)), TypeError, "target-plain"),
    "a list of sources of a batch_jacobian": (on(lambda t, x, v, y: t.batch_jacobian(y, [x])), TypeError, "source-plain"),
    "jacobian twice": (on(lambda t, x, v, y: (t.jacobian(y, x), t.jacobian(y, x))), RuntimeError, "tape-used"),
    "complex weights": (on(lambda t, x, v, y: t.gradient(y, x, output_gradients=1j)), TypeError, "output-gradients"),
    "words as weights": (on(lambda t, x, v, y: t.gradient(y, x, output_gradients="ab")), TypeError, "output-gradients"),
    "too few weights": (on(lambda t, x, v, y: t.gradient([y, y], x, output_gradients=[None])), TypeError, "output-gradients"),
    "weights that would broadcast": (on(lambda t, x, v, y: t.gradient(y, x, output_gradients=np.ones(1))), ValueError,
                                     "output-gradients"),
    "unconnected_gradients=None": (on(lambda t, x, v, y: t.gradient(y, x, unconnected_gradients=None)), ValueError,
                                   "unconnected-value"),
    "watch None": (inside(lambda t: t.watch(None)), ValueError, "watch-plain"),
    "watch a set": (inside(lambda t: t.watch({constant(1.0)})), ValueError, "watch-plain"),
    "watch an integer variable": (inside(lambda t: t.watch(Variable(3))), TypeError, "watch-integer"),
    "watch a condition": (inside(lambda t: t.watch(constant(True))), TypeError, "watch-integer"),
    "enter twice": (inside(lambda t: t.__enter__()), ValueError, "tape-active"),
    # what is no function
    "custom_gradient of a value": (lambda: ad.custom_gradient(3.0), TypeError, "not-a-function"),
    "recompute_grad of a value": (lambda: ad.recompute_grad(3.0), TypeError, "not-a-function"),
    "grad of a value": (lambda: ad.grad(A * A), TypeError, "not-a-function"),
    "vmap of a value": (lambda: ad.vmap(A), TypeError, "not-a-function"),
    "a gradient that is no pair": (lambda: ad.custom_gradient(lambda x: x)(A), ValueError, "custom-form"),
    # variables
    "+=": (plus_equals, RuntimeError, "variable-in-place"),
    "out=": (lambda: np.add(np.ones(3), 1.0, out=V), RuntimeError, "variable-in-place"),
    "assign_add of another shape": (lambda: Variable([1.0, 2.0, 3.0]).assign_add([1.0, 2.0]), ValueError, "variable-shape"),
    "assign None": (lambda: V.assign(None), TypeError, "assign-none"),
    "a variable of None": (lambda: Variable(None), TypeError, "not-real"),
    "an unknown dtype": (lambda: constant(1.0, dtype="foo"), TypeError, "not-numbers"),
    "a complex dtype": (lambda: A.astype(complex), TypeError, "not-real"),
    # Python
    "len of a scalar": (lambda: len(S), TypeError, "unsized"),
    "iteration over a scalar": (lambda: list(Variable(1.0)), TypeError, "unsized"),
    "truth of an array": (lambda: bool(A > 1.0), ValueError, "ambiguous-truth"),
    "a chain of comparisons": (lambda: 1.0 < A < 3.0, ValueError, "ambiguous-truth"),
    "membership": (lambda: V in [A, V], ValueError, "ambiguous-truth"),
    "float of an array": (lambda: math.sqrt(A), TypeError, "not-one-number"),
    "a format for one number": (lambda: f"{A:.2f}", TypeError, "not-one-number"),
    "a float as index": (lambda: [1, 2, 3][S], TypeError, "not-an-index"),
    "range of a float": (lambda: range(S), TypeError, "not-an-index"),
    "an attribute of ndarrays": (lambda: A.nbytes, AttributeError, "attribute"),
    "an attribute of tf.Variable": (lambda: V.read_value(), AttributeError, "attribute"),
    # numpy
    "None in an operation": (lambda: A + None, TypeError, "not-real"),
    "a word in an operation": (lambda: A * "a", TypeError, "not-real"),
    "shapes": (lambda: A + [1.0, 2.0], ValueError, "broadcast"),
    "an index beyond": (lambda: A[3], IndexError, "index"),
    "too many indices": (lambda: A[0, 0], IndexError, "index"),
    "an axis beyond": (lambda: A.sum(axis=3), IndexError, "axis"),
    "a word as axis": (lambda: np.sum(A, axis="rows"), TypeError, "refused"),
    "a bad split": (lambda: np.split(A, 0), ValueError, "refused"),
    "a singular matrix": (lambda: np.linalg.inv(constant(np.zeros((2, 2)))), np.linalg.LinAlgError, "matrix"),
    "no positive definite matrix": (lambda: np.linalg.cholesky(constant(-np.eye(2))), np.linalg.LinAlgError, "matrix"),
    "a function of one's own": (lambda: np.frompyfunc(abs, 1, 1)(A), TypeError, "no-rule"),
    "shifted bits": (lambda: np.left_shift(N, 1), TypeError, "no-rule"),
    "bits of floats": (lambda: A & A, TypeError, "refused"),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_with_the_line_of_the_user(slip):
    call, kind, code = SLIPS[slip]
    with pytest.raises(kind) as told:
        call()
    assert isinstance(told.value, ad.AutodiffError) and told.value.code == code
    assert "test_tape_manners.py:" in told.value.where and told.value.fix
    assert ACTIVE.watchers == []


# ---- what must not stay behind -------------------------------------------------------------------------------------------


def test_an_unfinished_generator_leaves_nothing():
    x = Variable(1.0)

    def recording():
        with GradientTape():
            yield x * x

    for end in ("close", "throw", "collect"):
        g = recording()
        next(g)
        if end == "close":
            g.close()
        elif end == "throw":
            with pytest.raises(KeyError):
                g.throw(KeyError())
        del g
        gc.collect()
        assert ACTIVE.watchers == [], end


def test_a_generator_that_another_thread_ends():
    x = Variable(3.0)

    def recording():
        with GradientTape() as tape:
            yield tape

    g = recording()
    tape = next(g)
    y = x * x
    thread = threading.Thread(target=g.close)
    thread.start()
    thread.join()
    assert ACTIVE.watchers == [] and float(tape.gradient(y, x)) == 6.0
    with GradientTape():  # the thread has its own settings back, as soon as it can have them
        pass
    with pytest.raises(RuntimeWarning):
        np.log(np.zeros(1))


def test_a_gradient_that_fails_leaves_nothing():
    @ad.custom_gradient
    def f(x):
        def gradient(dy):
            raise KeyError("mine")

        return x * x, gradient

    x = Variable(3.0)
    with pytest.raises(KeyError), GradientTape() as outer:
        with GradientTape() as tape:
            y = f(x)
        tape.gradient(y, x)
    assert ACTIVE.watchers == [] and tape.memory() == 0
    with outer:
        y = x * x
    assert float(outer.gradient(y, x)) == 6.0


def test_a_gradient_in_another_thread():
    tape, x, v, y = recorded()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(tape.gradient(y, [x, v])))
    thread.start()
    thread.join()
    assert numbers(answers[0]) == [[3.0, 4.0], [1.0, 2.0]]


def test_del_frees_a_persistent_tape_at_once():
    x = Variable(2.0)
    tape = GradientTape(persistent=True)
    with tape:
        y = x * x
    assert float(tape.gradient(y, x)) == 4.0
    alive = weakref.ref(tape)
    del tape
    assert alive() is None


# ---- copies, keys, texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", (copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))),
                         ids=("copy", "deepcopy", "pickle"))  # fmt: skip
def test_a_copy_of_a_variable_is_a_variable_of_its_own(duplicate):
    v = Variable([1.0, 2.0], name="v", trainable=False, dtype=np.float32)
    w = duplicate(v)
    assert (w.name, w.trainable, w.dtype) == ("v", False, np.float32) and w.serial != v.serial
    w.assign_add([1.0, 1.0])
    assert (numbers(v), numbers(w)) == ([1.0, 2.0], [2.0, 3.0])


def test_a_pickled_array_has_its_numbers():
    x = pickle.loads(pickle.dumps(constant([[1.0, 2.0]])))
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert numbers(tape.gradient(y, x)) == [[2.0, 4.0]]


def test_keys():
    v, w = Variable(1.0), Variable(1.0)
    slots = {v: "first", w: "second"}
    assert (slots[v], slots[w], len({v, w, v})) == ("first", "second", 2)
    assert v in [v, w] and [v, w].index(w) in (0, 1)  # equal numbers are equal, as in numpy
    assert (A == None) is False and (A != None) is True  # noqa: E711


def test_integers_are_combined_bit_by_bit():
    n = constant([6, 3])
    for f in (lambda x: x & 3, lambda x: x | 1, lambda x: 3 & x, lambda x: ~x, lambda x: (x > 3) & (x < 9), lambda x: ~(x > 3)):
        np.testing.assert_array_equal(np.asarray(f(n)), f(np.array([6, 3])))


def test_files_and_texts(tmp_path):
    v = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = v * v
        np.save(tmp_path / "y.npy", y)
        np.savez(tmp_path / "all.npz", v=v, y=y)
        np.savetxt(tmp_path / "y.txt", y)
        assert np.array_repr(y) == "array([1., 4.])" and json.loads(json.dumps(y.tolist())) == [1.0, 4.0]
    assert numbers(tape.gradient(y, v)) == [2.0, 4.0]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), [1.0, 4.0])
    np.testing.assert_array_equal(np.load(tmp_path / "all.npz")["v"], [1.0, 2.0])
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "y.txt"), [1.0, 4.0])
