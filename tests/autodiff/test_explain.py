"""Every cause for which a gradient is None: its code, the user's line, and the fix."""

import inspect
import math
import pickle
import threading

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientTape, Variable, constant

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.UnconnectedWarning")


# Each function answers the tape, the target, the source and the reason; lines marked `# here` must be named in the reason.


def constant_never_watched():
    x = constant(3.0)  # here
    with GradientTape() as tape:
        y = x * x
    return tape, y, x, tape.explain(y, x)


def variable_not_trainable():
    x = Variable(3.0, trainable=False)  # here
    with GradientTape() as tape:
        y = x * x
    return tape, y, x, tape.explain(y, x)


def accessed_variables_not_watched():
    x = Variable(3.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        y = x * x
    return tape, y, x, tape.explain(y, x)


def integer():
    x = Variable(3)
    with GradientTape() as tape:
        y = x * 2.0
    return tape, y, x, tape.explain(y, x)


def watched_after_use():
    x = constant(3.0)
    with GradientTape() as tape:
        y = x * x  # here
        tape.watch(x)  # here
    return tape, y, x, tape.explain(y, x)


def variable_watched_after_use():
    x = Variable(3.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        y = x * x  # here
        tape.watch(x)  # here
        x * 1.0
    return tape, y, x, tape.explain(y, x)


def target_after_the_tape():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    z = y * y  # here
    return tape, z, x, tape.explain(z, x)


def target_before_the_tape():
    x = Variable(3.0)
    y = x * x  # here
    with GradientTape() as tape:
        x * 1.0
    return tape, y, x, tape.explain(y, x)


def target_before_reset():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x  # here
        tape.reset()  # here
        x * 1.0
    return tape, y, x, tape.explain(y, x)


def recording_stopped():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        with tape.stop_recording():
            z = np.exp(y)  # here
        w = z * 2.0
    return tape, w, x, tape.explain(w, x)


def recording_stopped_at_the_read():
    x = Variable(3.0)
    with GradientTape() as tape:
        with tape.stop_recording():
            z = x + 1.0  # here
    return tape, z, x, tape.explain(z, x)


def another_thread():
    x = Variable(3.0)
    found = []
    with GradientTape() as tape:
        y = x * x
        worker = threading.Thread(target=lambda: found.append(y * 2.0))  # here
        worker.start()
        worker.join()
    return tape, found[0], x, tape.explain(found[0], x)


def cut_by_stop_gradient():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        z = ad.stop_gradient(y)  # here
        w = 3.0 * z + 1.0
    return tape, w, x, tape.explain(w, x)


def cut_by_floor():
    x = Variable(3.5)
    with GradientTape() as tape:
        y = np.exp(np.floor(x * 2.0))  # here
    return tape, y, x, tape.explain(y, x)


def cut_by_argmax():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = 2.0 * np.argmax(x)  # here
    return tape, y, x, tape.explain(y, x)


def cut_by_a_cast():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = x.astype(int) * 1.0  # here
    return tape, y, x, tape.explain(y, x)


def cut_by_a_comparison():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = np.where(x > 1.5, 1.0, 0.0)  # here
    return tape, y, x, tape.explain(y, x)


def left_by_numpy_and_came_back():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = (x * x).numpy()  # here
        z = constant(y) * 2.0
    return tape, z, x, tape.explain(z, x)


def left_by_numpy_and_changed():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = np.log((x * x).numpy())  # here
        z = constant(y)
        loss = np.sum(z * 2.0)
    return tape, loss, x, tape.explain(loss, x)


def left_by_float():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = float(x * x)  # here
        z = constant(y) * 2.0
    return tape, z, x, tape.explain(z, x)


def left_by_asarray_into_an_operation():
    x, w = Variable([1.0, 2.0]), Variable([1.0, 1.0])
    with GradientTape() as tape:
        y = np.asarray(x * x)  # here
        z = constant([1.0, 1.0]) * y
        w * 1.0
    return tape, z, x, tape.explain(z, x)


def assigned():
    x, s = Variable(3.0), Variable(0.0, name="s")
    with GradientTape() as tape:
        s.assign(x * x)  # here
        y = s * 2.0
    return tape, y, x, tape.explain(y, x)


def rebound():
    x = Variable(2.0, name="w")  # here
    x = x + 1.0  # here
    with GradientTape() as tape:
        y = x * x
    return tape, y, x, tape.explain(y, x)


def branch_not_taken():
    x, y = Variable(3.0), Variable(4.0)
    with GradientTape() as tape:
        if x > 5.0:
            z = y * y  # here
        else:
            z = x * x
    return tape, z, y, tape.explain(z, y)


def independent():
    x, y = Variable(3.0), Variable(4.0)
    with GradientTape() as tape:
        x * 2.0
        z = y * y
    return tape, z, x, tape.explain(z, x)


def never_read():
    x, y = Variable(3.0), Variable(4.0, name="y")  # here
    with GradientTape() as tape:
        z = x * x
    return tape, z, y, tape.explain(z, y)


def inner_gradient_outside():
    x = Variable(3.0)
    with GradientTape() as tape:
        with GradientTape() as inner:
            y = x * x * x
    first = inner.gradient(y, x)  # here
    return tape, first, x, tape.explain(first, x)


def inner_gradient_outside_used_again():
    x = Variable(3.0)
    with GradientTape() as tape:
        with GradientTape() as inner:
            y = x * x * x
    first = inner.gradient(y, x)
    total = first * first  # here
    return tape, total, x, tape.explain(total, x)


def inner_jacobian_outside():
    x = Variable([3.0, 1.0])
    with GradientTape() as tape:
        with GradientTape() as inner:
            y = x * x * x
    first = inner.jacobian(y, x)  # here
    return tape, first, x, tape.explain(first, x)


def left_by_a_function_of_math():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = constant(math.sin(x) + 1.0) * 2.0  # here
    return tape, y, x, tape.explain(y, x)


def left_element_by_element():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = constant([float(e) ** 2 for e in x])  # here
        z = np.sum(y)
    return tape, z, x, tape.explain(z, x)


def left_by_pickle():
    x = Variable([1.0, 2.0])
    with GradientTape() as tape:
        y = pickle.loads(pickle.dumps(x * 2.0))  # here
        z = y * 2.0
    return tape, z, x, tape.explain(z, x)


def rebound_by_a_cast():
    x = Variable([1.0, 2.0], name="w")  # here
    x = x.astype(np.float32)  # here
    with GradientTape() as tape:
        y = x * x
    return tape, y, x, tape.explain(y, x)


def only_the_order_counts():
    x, d = Variable([2.0, 1.0]), constant([5.0, 6.0])
    with GradientTape() as tape:
        y = d[np.argsort(x)] * 1.0  # here
    return tape, y, x, tape.explain(y, x)


def another_tape():
    x = Variable(2.0)
    with GradientTape() as tape:
        x * 1.0
    with GradientTape():
        y = x * x  # here
    return tape, y, x, tape.explain(y, x)


CAUSES = {
    inner_jacobian_outside: ("inner-outside", "is a gradient that was taken", "inside the `with` of the outer"),
    left_by_a_function_of_math: ("left", "float()", "leave float() out"),
    left_element_by_element: ("left", "float()", "leave float() out"),
    left_by_pickle: ("left", ".numpy()", "leave .numpy() out"),
    rebound_by_a_cast: ("rebound", "result of astype", "x.assign"),
    only_the_order_counts: ("no-derivative", "np.argsort", "smooth"),
    another_tape: ("not-recorded", "after the tape ended", "inside the `with`"),
    constant_never_watched: ("not-watched", "constant made at", "tape.watch(x)"),
    variable_not_trainable: ("not-watched", "trainable=False", "trainable=True"),
    accessed_variables_not_watched: ("not-watched", "watch_accessed_variables=False", "tape.watch(x)"),
    integer: ("not-watched", "dtype is int64", "dtype=float"),
    watched_after_use: ("watched-late", "after it was first used", "tape.watch(x) up"),
    variable_watched_after_use: ("watched-late", "after it was first used", "tape.watch(x) up"),
    target_after_the_tape: ("not-recorded", "after the tape ended", "inside the `with`"),
    target_before_the_tape: ("not-recorded", "before the tape began", "inside the `with`"),
    target_before_reset: ("not-recorded", "forgot it", "after the reset"),
    recording_stopped: ("not-recorded", "stop_recording", "move it out"),
    recording_stopped_at_the_read: ("not-recorded", "stop_recording", "move it out"),
    another_thread: ("not-recorded", "another thread", "in the thread"),
    cut_by_stop_gradient: ("stop-gradient", "cut by stop_gradient", "remove stop_gradient"),
    cut_by_floor: ("no-derivative", "np.floor", "smooth"),
    cut_by_argmax: ("no-derivative", "np.argmax", "smooth"),
    cut_by_a_cast: ("no-derivative", "astype", "smooth"),
    cut_by_a_comparison: ("no-derivative", "np.greater", "smooth"),
    left_by_numpy_and_came_back: ("left", ".numpy()", "leave .numpy() out"),
    left_by_numpy_and_changed: ("left", ".numpy()", "leave .numpy() out"),
    left_by_float: ("left", "float()", "leave float() out"),
    left_by_asarray_into_an_operation: ("left", "np.asarray()", "leave np.asarray() out"),
    assigned: ("assigned", "variable 's'", "the value itself"),
    rebound: ("rebound", "result of np.add", "x.assign"),
    branch_not_taken: ("branch", "was not taken", "np.where"),
    independent: ("independent", "does not depend", "leave it out"),
    never_read: ("independent", "was not read", "inside the `with`"),
    inner_gradient_outside: ("inner-outside", "is a gradient that was taken", "inside the `with` of the outer"),
    inner_gradient_outside_used_again: ("not-recorded", "after the tape ended", "inside the `with`"),
}


@pytest.mark.parametrize("case", CAUSES, ids=lambda f: f.__name__)
def test_the_cause_is_named(case):
    code, why, fix = CAUSES[case]
    tape, target, source, told = case()
    assert told.code == code, told
    assert why in told and fix in told.split("  fix: ")[1], told
    lines, start = inspect.getsourcelines(case)
    for k, line in enumerate(lines):
        if line.rstrip().endswith("# here"):
            assert f"{__file__}:{start + k}" in told, told
    # the same after the one gradient; only that frame knows its branches
    assert tape.gradient(target, source) is None
    assert tape.explain(target, source).code == ("independent" if code == "branch" else code)


def test_every_cause_has_a_code():
    assert {code for code, _, _ in CAUSES.values()} == {
        "not-watched", "watched-late", "not-recorded", "stop-gradient", "no-derivative", "left", "assigned", "rebound",
        "branch",
        "independent", "inner-outside",
    }  # fmt: skip


def test_a_gradient_that_is_there_is_said_to_be():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    assert tape.explain(y, x).code == "" and "is not None" in tape.explain(y, x)
    tape.gradient(y, x)
    assert tape.explain(y, x).code == ""


def test_the_first_cause_going_back_from_the_target():
    x = Variable(3.5)
    with GradientTape() as tape:
        y = np.floor(x)
        z = ad.stop_gradient(y * y)
    assert tape.explain(z, x).code == "stop-gradient"
    assert tape.explain(y, x).code == "no-derivative"


def test_plain_targets_and_sources():
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
        number = y.numpy()
        value = float(y)
    for target in (number, value):
        with pytest.raises(TypeError, match=r"it left the tape at .*test_explain.py:\d+") as told:
            tape.gradient(target, x)
        assert told.value.code == "target-plain"
        assert "it left the tape" in tape.explain(target, x)
    assert tape.explain(y, 3.0).code == "not-watched"


def test_a_tape_that_was_never_entered():
    told = GradientTape().explain(constant(1.0), Variable(1.0))
    assert told.code == "not-recorded" and "never entered" in told


def test_of_several_sources_the_first_without_a_gradient_is_explained():
    x, y = Variable(3.0), constant(4.0)
    with GradientTape() as tape:
        z = x * y
    told = tape.explain(z, [x, {"y": y}])
    assert told.code == "not-watched" and "`y`" in told
    assert tape.explain([z, z], [x, x]).code == ""


def test_the_warning_carries_the_sentence():
    x = Variable(3.5)
    with GradientTape() as tape:
        y = np.floor(x)
        x * 1.0
    with pytest.warns(ad.UnconnectedWarning, match=r"with respect to `x`.*np.floor at .*test_explain.py:\d+") as seen:
        tape.gradient(y, x)
    assert seen[0].filename == __file__


def test_names():
    named = constant(1.0, name="rate")
    with GradientTape() as tape:
        y = named * 2.0
    holder = [named]
    del named
    assert "the constant 'rate'" in tape.explain(y, holder[0])
    assert "the variable 'bias'" in tape.explain(y, Variable(1.0, name="bias", trainable=False))
