"""Every numpy function that has a rule, with its derivatives, as a compiled program over whole arrays: against the interpreter.

The functions are those of `test_numpy_functions`; the ones that sort, run along an axis or factor matrices also in single
precision and to second order.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from autodiff.array import Array, lift, unknown
from autodiff.compile import WholeProgram
from autodiff.graph import Node
from autodiff.interpret import evaluate
from autodiff.program import flatten
from autodiff.transforms import reverse
from tests.autodiff import test_numpy_functions as numpy_functions

X = numpy_functions.X
# "index, traced mask" has a shape that depends on the numbers: it is no program over arrays
FUNCTIONS = {name: f for name, f in numpy_functions.FUNCTIONS.items() if name != "index, traced mask"}
LIBRARY = """max|min, keepdims|ptp|median|median, axis|sort|sort, flat|argsort|argmax|take_along_axis|cumsum|cumprod|take|
    index, pairs|quantile|percentile|searchsorted|nanmax|norm inf|solve|solve, many|inv|det|slogdet|cholesky|
    cholesky, upper|eigh|eigvalsh|svd|svd, values|qr|pinv|lstsq|norm nuc|norm 2 of a matrix|cond|tensorinv"""
HARD = [name.strip() for name in LIBRARY.split("|")]


def in_groups(names: Sequence[str], size: int) -> list[list[str]]:
    return [list(names[i : i + size]) for i in range(0, len(names), size)]


def slopes(ys: list[Node], x: Node) -> list[Node]:
    """The gradient of a weighted sum of all that is returned; nothing where there is none."""
    ys = [y for y in ys if y.dtype.kind == "f"]
    weights = [np.cos(np.arange(1, 1 + Array(y).size)).reshape(y.shape).astype(y.dtype) for y in ys]
    return [g for g in reverse(ys, [lift(w) for w in weights], [x]) if g is not None]


def check(names: Sequence[str], dtype: str, order: int, tolerance: float) -> None:
    number = X.astype(dtype)
    x = unknown("x", X.shape, number.dtype)
    told, outputs = [], []
    for name in names:
        terms = [lift(y) for y in flatten(FUNCTIONS[name](Array(x)))[0]]
        for k in range(order + 1):
            told += [f"{name}, derivative {k}"] * len(terms)
            outputs += terms
            terms = slopes(terms, x)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = evaluate(outputs, {x: number})
    found = WholeProgram([x], outputs, "functions")(number)
    for name, node, a, b in zip(told, outputs, found, expected, strict=True):
        assert (a.shape, a.dtype) == (node.shape, node.dtype), name
        b = np.broadcast_to(np.asarray(b, node.dtype), node.shape)
        scale = max(1.0, np.max(np.abs(b), initial=0.0, where=np.isfinite(b)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("names", in_groups(list(FUNCTIONS), 6), ids=lambda names: names[0])
def test_values_and_gradients(names):
    check(names, "float64", 1, 1e-12)


@pytest.mark.parametrize("names", in_groups(HARD, 3), ids=lambda names: names[0])
def test_second_derivatives(names):
    check(names, "float64", 2, 1e-11)


@pytest.mark.parametrize("names", in_groups(HARD, 6), ids=lambda names: names[0])
def test_single_precision(names):
    check(names, "float32", 1, 2e-3)
