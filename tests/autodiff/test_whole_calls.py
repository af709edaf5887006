"""Programs over whole arrays: how they are called, what they say, and whole ones of some length."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import autodiff as ad
from autodiff.array import Array, lift
from autodiff.compile import WholeProgram
from autodiff.errors import ArgumentError, CompileError, DifferentiationError, MatrixError
from autodiff.interpret import evaluate
from autodiff.program import flatten
from autodiff.transforms import reverse
from tests.autodiff.whole import agree, compiled, random_program, symbols, training_step

# ---- calls ---------------------------------------------------------------------------------------------------------------


def test_inputs_of_any_kind():
    x, s = symbols([np.zeros((3, 4)), 0.0])
    program = compiled([x, s], [x * s, np.sum(x)])
    data = np.arange(12.0).reshape(3, 4)
    frozen = data.copy()
    frozen.flags.writeable = False
    raw = np.zeros(97, np.uint8)[1:].view(float).reshape(3, 4)
    raw[...] = data
    for given in (data, frozen, data.T.copy().T, np.repeat(data, 2, 1)[:, ::2], data.astype(np.float32), data.tolist(), raw):
        for factor in (2.0, np.float64(2.0), np.array(2.0), 2):
            product, total = program(given, factor)
            np.testing.assert_array_equal(product, 2.0 * data)
            assert total == 66.0
    np.testing.assert_array_equal(frozen, data)


def test_outputs_are_fresh():
    (x,) = symbols([np.zeros(3)])
    program = compiled([x], [x, x, x * 2.0, lift(3.0), Array(lift(np.arange(2)))])
    given = np.ones(3)
    first = program(given)
    for y in first:
        y += 1
    second = program(given)
    assert [y.tolist() for y in second] == [[1.0] * 3, [1.0] * 3, [2.0] * 3, 3.0, [0, 1]]
    np.testing.assert_array_equal(given, 1.0)


def test_constants_are_those_of_the_time_of_making():
    data = np.arange(3.0)
    (x,) = symbols([np.zeros(3)])
    program = compiled([x], [x + data])
    data[:] = 7.0
    np.testing.assert_array_equal(program(np.zeros(3))[0], [0.0, 1.0, 2.0])


def test_a_wrong_shape_is_told():
    (x,) = symbols([np.zeros(3)])
    program = compiled([x], [x * 2.0])
    with pytest.raises((ArgumentError, ValueError), match="shape"):
        program(np.zeros(4))


def test_nothing_and_no_inputs():
    empty = np.zeros((0, 3))
    agree(
        lambda x: [np.sum(x), np.sum(x, axis=0), np.exp(x), x.T @ x, np.concatenate([x, np.ones((1, 3))]), np.stack([x, x])],
        [empty],
    )
    assert compiled([], [Array(lift(np.arange(3.0))) * 2.0])()[0].tolist() == [0.0, 2.0, 4.0]


def test_calls_from_two_threads():
    n = 20_000
    (x,) = symbols([np.zeros(n)])
    y = np.exp(x)
    program = compiled([x], [np.sum(np.reshape(y, (100, -1)).T[::-1] * y[:100]), np.cumsum(y)])
    program.compile()
    numbers = [np.random.default_rng(i).normal(size=n) for i in range(2)]
    alone = [program(x) for x in numbers]
    wrong = []

    def work(i):
        for _ in range(100):
            if any((a != b).any() for a, b in zip(program(numbers[i]), alone[i], strict=True)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_failures_of_the_library_are_ours():
    (a,) = symbols([np.zeros((3, 3))])
    program = compiled([a], [np.linalg.inv(a)])
    np.testing.assert_allclose(program(2.0 * np.eye(3))[0], 0.5 * np.eye(3))
    with pytest.raises(MatrixError, match="^test: np.linalg.inv: singular matrix"):
        program(np.zeros((3, 3)))


def test_what_has_no_form_is_named():
    (x,) = symbols([np.zeros(3, np.float16)])
    y = (x * x).node
    with pytest.raises(CompileError, match="float16") as caught:
        WholeProgram([x.node], [y])
    assert caught.value.node is not None


# ---- whole programs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(8), *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40)]])
def test_random_programs(seed):
    arrays, numbers, outputs = random_program(seed)
    found = compiled(arrays, outputs)(*numbers)
    values = evaluate([y.node for y in outputs], {a.node: x for a, x in zip(arrays, numbers, strict=True)})
    for got, want in zip(found, values, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
    # and their derivatives
    sources = [a.node for a in arrays]
    cotangents = [c for c in reverse([outputs[-1].node], [lift(1.0)], sources) if c is not None]
    if cotangents:
        found = WholeProgram(sources, cotangents)(*numbers)
        values = evaluate(cotangents, {a.node: x for a, x in zip(arrays, numbers, strict=True)})
        for got, want in zip(found, values, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_a_training_step():
    arrays, outputs, numbers = training_step()
    program = compiled(arrays, outputs)
    values = evaluate([y.node for y in outputs], {a.node: x for a, x in zip(arrays, numbers, strict=True)})
    for got, want in zip(program(*numbers), values, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)
    # one loop updates all parameters, called once for each
    assert program.source.count("math.sqrt") == 1


def test_programs_say_the_same_in_every_process():
    """So that a kernel compiled by one process is loaded by the next: ages and hashes of nodes play no part."""
    script = """
import sys
import numpy as np
from autodiff.array import Array, unknown
from tests.autodiff.whole import compiled, symbols, training_step
older = [np.tanh(Array(unknown("older", (), np.dtype(float)))) for _ in range(int(sys.argv[1]))]
arrays, outputs, _ = training_step()
(x,) = symbols([np.zeros(5)])
outputs.append(np.sum(x[np.array([3, 1, 2])] * np.sin(x[:3]) * x[np.array([1, 1, 0])]))
print(compiled([*arrays, x], outputs).source)
"""
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        found.append(
            subprocess.run(
                [sys.executable, "-c", script, seed], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
    assert "def main" in found[0] and found[0] == found[1]


def test_long_programs_are_cut_into_equal_pieces():
    x = np.linspace(-1, 1, 50)

    def f(x):
        for _ in range(100):
            x = x + 0.01 * (x * (1.0 - x) - 0.1 * x * x * x)
        return [x]

    agree(f, [x])
    (a,) = symbols([x])
    text = compiled([a], f(a)).source
    assert text.count("\ndef loop") <= 6 and max(len(part.splitlines()) for part in text.split("@part")) < 120


# ---- choices and loops -----------------------------------------------------------------------------------------------------


def chosen(x):
    return ad.cond(x[0] > 0, lambda: [np.sin(x), np.sum(x)], lambda: [x * x, x[1]])


def powers(x):
    return ad.while_loop(lambda i, y: (i < 5) & (np.sum(y) < 100.0), lambda i, y: (i + 1, y * (1.5 + x)), (0, x + 1.0))


def recurrence(x):
    return ad.scan(lambda h, row: (np.tanh(h + row), h * x[0]), np.zeros(3), np.stack([x, 2.0 * x, x[::-1]]))


def flags(x):
    return ad.while_loop(lambda going, y: going, lambda going, y: (np.sum(y) < 10.0, y + abs(x)), (np.sum(x) < 10.0, x))


@pytest.mark.parametrize("x", [np.array([0.5, -0.3, 1.2]), np.array([-0.5, 0.3, 1.2])], ids=["yes", "no"])
@pytest.mark.parametrize("body", [chosen, powers, recurrence, flags], ids=lambda f: f.__name__)
def test_choices_and_loops(body, x):
    def f(x):
        results = [Array(lift(y)) for y in flatten(body(x))[0]]
        total = sum((np.sum(np.sin(y)) for y in results if y.dtype.kind == "f"), Array(lift(0.0)))
        (c,) = reverse([total.node], [lift(1.0)], [x.node])
        return [*results, Array(c)]

    agree(f, [x])


def test_a_loop_that_takes_too_long_says_so():
    (x,) = symbols([np.array(0.0)])
    y = ad.while_loop(lambda y: y < 5000.0, lambda y: y + x, x)
    (c,) = reverse([y.node], [lift(1.0)], [x.node])
    program = compiled([x], [Array(c)])
    assert program(10.0)[0] == 500.0
    with pytest.raises(DifferentiationError, match="maximum_iterations"):
        program(0.1)
