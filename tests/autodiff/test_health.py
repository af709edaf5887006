"""Values that are not finite: found, counted, and the operation named, forward and backward."""

import inspect

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientTape, NumericsError, Variable, constant

BAD = {
    "nan": ([1.0, np.nan, np.nan], r"loss : Tensor had NaN values[\s\S]*2 nan of 3, first index \(1,\), others from 1 to 1"),
    "inf": ([np.inf, 2.0, -np.inf], r"loss : Tensor had Inf values[\s\S]*1 \+inf, 1 -inf of 3, first index \(0,\)"),
    "both": ([[0.0, 1.0], [np.inf, np.nan]], r"loss : Tensor had Inf and NaN values[\s\S]*first index \(1, 0\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", (np.asarray, constant, Variable), ids=("plain", "constant", "variable"))
@pytest.mark.parametrize("case", BAD)
def test_check_numerics(case, kind):
    value, sentence = BAD[case]
    with pytest.raises(NumericsError, match=sentence):
        ad.check_numerics(kind(value), "loss")


def test_check_numerics_answers_what_it_was_given():
    x = constant([1.0, 2.0])
    assert ad.check_numerics(x, "fine") is x
    assert ad.check_numerics(3.0) == 3.0
    with GradientTape() as tape:
        tape.watch(x)
        y = ad.check_numerics(x * x, "fine")
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2.0, 4.0])
    np.testing.assert_array_equal(ad.grad(lambda z: np.sum(ad.check_numerics(z * z, "fine")))(np.ones(2)), [2.0, 2.0])
    with pytest.raises(NumericsError, match="inside : Tensor had NaN"):
        ad.grad(lambda z: np.sum(ad.check_numerics(z * np.nan, "inside")))(np.ones(2))


@pytest.mark.parametrize("value", (3, np.arange(3), True))
def test_integers_are_an_error(value):
    with pytest.raises(TypeError, match="needs floats"):
        ad.check_numerics(value, "count")


# Each function raises in the line marked `# here`.


def log_of_zero():
    x = constant([1.0, 0.0])
    y = np.exp(-x)
    return np.log(x) * y  # here


def overflow():
    return np.exp(Variable([1.0, 1000.0]))  # here


def division_in_a_method_call():
    x = constant([[1.0, 0.0]])
    return (x / x.sum(axis=0)).mean()  # here


def slope_of_a_root():
    x = constant([0.0, 4.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = np.sum(np.sqrt(x))  # here
    return tape.gradient(y, x)


def second_slope():
    x = constant(0.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x**1.5  # here
        slope = inner.gradient(y, x)
    return outer.gradient(slope, x)


CULPRITS = {
    log_of_zero: (r"np.log is not finite: 1 -inf of 2, first index \(1,\)", "forward", "all finite of 2, others from 0 to 1"),
    overflow: (r"np.exp is not finite: 1 \+inf of 2", "forward", "others from 1 to 1000"),
    division_in_a_method_call: ("np.divide is not finite: 1 nan", "forward", "input 1"),
    slope_of_a_root: (r"the gradient of np.sqrt is not finite: 1 \+inf", "on the way back", "input 0"),
    second_slope: ("the gradient of the gradient of np.power is not finite", "on the way back", "input 0"),
}


@pytest.mark.parametrize("case", CULPRITS, ids=lambda f: f.__name__)
def test_the_culprit_is_named(case):
    what, direction, inputs = CULPRITS[case]
    with pytest.raises(NumericsError, match=what) as told, ad.debug_numerics():
        case()
    lines, start = inspect.getsourcelines(case)
    (line,) = (start + k for k, text in enumerate(lines) if text.rstrip().endswith("# here"))
    assert told.value.where.startswith(f"{__file__}:{line}, {direction}")
    assert inputs in told.value.why


def test_an_input_that_was_bad_before():
    with pytest.raises(NumericsError, match="the input was not finite before"), ad.debug_numerics():
        constant([np.nan]) + 1.0


def test_outside_the_context_nothing_is_checked():
    with ad.debug_numerics():
        pass
    with np.errstate(all="ignore"):
        assert float(np.log(constant(0.0))) == -np.inf
    with pytest.raises(NumericsError), ad.debug_numerics():
        np.log(constant(0.0))
    with np.errstate(all="ignore"):
        assert float(np.log(constant(0.0))) == -np.inf


def test_values_are_the_same_in_the_context():
    def gradient():
        x = Variable([0.5, 1.5])
        with GradientTape() as tape:
            y = np.sum(np.tanh(x) ** 2 * np.where(x > 1, x, 2.0))
        return tape.gradient(y, x).numpy()

    plain = gradient()
    with ad.debug_numerics():
        np.testing.assert_array_equal(gradient(), plain)


TRAPS = {
    "root": (lambda x: np.where(x > 0, np.sqrt(np.maximum(x, 0.0)), 0.0), [0.0, 4.0], [0.0, 0.25]),
    "logarithm": (lambda x: np.where(x > 0, np.log(x), x), [-1.0, 2.0], [1.0, 0.5]),
    "quotient": (lambda x: np.where(x == 0, 1.0, np.sin(x) / x), [0.0, np.pi], [0.0, -1.0 / np.pi]),
    "overflow": (lambda x: np.where(x < 100, np.exp(x), x), [1000.0, 0.0], [1.0, 1.0]),
    "clip": (lambda x: np.log(np.clip(x, 0.5, 2.0)), [1.0, 3.0], [1.0, 0.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_dead_branch_does_not_spoil_the_gradient(name):
    f, at, expected = TRAPS[name]
    x = constant(at)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = f(x)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected, atol=1e-15)
    np.testing.assert_allclose(tape.jacobian(y, x).numpy(), np.diag(expected), atol=1e-15)


STABLE = {
    "sech2 in the tail": (np.tanh, 30.0, 4.0 * np.exp(-60.0)),
    "expit in the tail": (ad.sigmoid, -60.0, np.exp(-60.0)),
    "log1p near 0": (np.log1p, 1e-20, 1.0),
    "logaddexp far apart": (lambda x: np.logaddexp(x, 1000.0), 0.0, np.exp(-1000.0)),
    "hypot at the origin": (lambda x: np.hypot(x, 0.0), 0.0, 0.0),
    "sinc at 0": (np.sinc, 0.0, 0.0),
    "norm of nothing": (lambda x: np.linalg.norm(x * np.ones(2)), 0.0, 0.0),
    "product with a zero": (lambda x: np.prod(np.stack([x, 2.0 * x + 3.0, x + 4.0])), 0.0, 12.0),
}  # fmt: skip


@pytest.mark.parametrize("name", STABLE)
def test_stable_forms(name):
    f, at, expected = STABLE[name]
    x = constant(at)
    with GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected, rtol=1e-14, atol=0)
