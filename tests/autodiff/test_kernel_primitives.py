"""Every elementwise primitive inside a kernel, against the interpreter: by being in the table, in float64 and float32."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import autodiff as ad
from autodiff.primitive import TABLE, Elementwise

X, Y = (ad.Array(ad.symbol(name)) for name in ("x", "y"))
POINTS = 61


def arity(op: Elementwise) -> int:
    if isinstance(op.value, np.ufunc):
        return op.value.nin
    return len(inspect.signature(op.derivative or op.value).parameters) - (op.derivative is not None)


# casts change nothing in a kernel, whose numbers are all of one type
ELEMENTWISE = sorted(n for n, p in TABLE.items() if isinstance(p, Elementwise) and not n.startswith("astype"))
FLOATS = [n for n in ELEMENTWISE if TABLE[n].dtype != "bool"]
CONDITIONS = [n for n in ELEMENTWISE if TABLE[n].dtype == "bool"]


def inputs(name: str, weights: list[ad.Array]) -> list[ad.Array]:
    """Arguments that range over the domain of a primitive and move with a weight, so that nothing is known beforehand."""
    low, high = TABLE[name].domain
    return [w * (low + (high - low) * x) for w, x in zip(weights, (X, Y), strict=False)][: arity(TABLE[name])]


def float_residual(name: str, weights: list[ad.Array]) -> ad.Array:
    return ad.Array(TABLE[name].make(tuple(a.node for a in inputs(name, weights))))


def condition_residual(name: str, weights: list[ad.Array]) -> ad.Array:
    a, b = weights[0] * X - 0.5, weights[1] * Y - 0.5
    if name.startswith("logical"):
        args = [a > 0, b > 0]
    elif name in ("isnan", "isinf", "isfinite"):
        args = [a * np.where(b > 0.2, np.inf, 1.0) * np.where(b < -0.2, np.nan, 1.0)]
    else:
        args = [a, np.where(b > 0, a, b)]
    chosen = ad.Array(TABLE[name].make(tuple(x.node for x in args[: arity(TABLE[name])])))
    return np.where(chosen, a, 2.0 * b)


def both(names: list[str], residual, dtype: str):
    """(names, terms and gradient by the kernel, the same by the interpreter)."""
    weights = [[ad.Array(ad.view("theta", 2 * k + i, ())) for i in range(2)] for k in range(len(names))]
    residuals = [residual(name, w) for name, w in zip(names, weights, strict=True)]
    program = ad.PointProgram((X, Y), residuals, 2 * len(names))
    points = np.random.default_rng(5).uniform(0.01, 0.99, (POINTS, 2)).astype(np.float32).astype(np.float64)
    theta, mean = np.ones(2 * len(names)), np.full(POINTS, 1 / POINTS)
    terms, gradient = program.bind(points, mean, dtype=dtype).loss_and_gradient(theta)
    symbols, flat = {X.node: points[:, 0], Y.node: points[:, 1]}, [w.node for pair in weights for w in pair]
    expected_terms, expected = [], np.zeros(2 * len(names))
    for r in residuals:
        found = ad.reverse([r.node], [ad.lift(1.0)], flat)
        values = ad.evaluate([r.node], symbols, {"theta": theta}, POINTS)[0]
        expected_terms.append(np.mean(values**2))
        for i, c in enumerate(found):
            if c is not None:
                slope = np.broadcast_to(ad.evaluate([c], symbols, {"theta": theta}, POINTS)[0], POINTS)
                expected[i] += 2 * np.mean(values * slope)
    return terms, gradient, np.array(expected_terms), expected


GROUPS = [(FLOATS[i : i + 14], float_residual) for i in range(0, len(FLOATS), 14)] + [(CONDITIONS, condition_residual)]


@pytest.mark.parametrize("dtype, tolerance", [("float64", 2e-13), ("float32", 2e-4)])
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_kernel_agrees_with_interpreter(group, dtype, tolerance):
    names, residual = GROUPS[group]
    terms, gradient, expected_terms, expected = both(names, residual, dtype)
    for k, name in enumerate(names):
        assert terms[k] == pytest.approx(expected_terms[k], rel=tolerance, abs=tolerance), name
        assert gradient[2 * k : 2 * k + 2] == pytest.approx(expected[2 * k : 2 * k + 2], rel=tolerance, abs=tolerance), name


def test_no_primitive_is_left_out():
    assert sorted(name for names, _ in GROUPS for name in names) == ELEMENTWISE
