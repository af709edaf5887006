"""Unbatching against the whole arrays it came from: every program is run both ways, and what mixes points is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from autodiff.errors import CompileError
from autodiff.graph import Node, datum, substitute, walk
from autodiff.interpret import evaluate
from autodiff.primitive import TABLE
from autodiff.transforms import PerPoint, Unbatch, rebuild
from autodiff.types import POINT
from tests.autodiff.whole_arrays import POINTS, PROGRAMS, VECTOR, M, N, normal, point_of, trace


def run_points(outputs: Sequence[Node | PerPoint], mode: Unbatch, given: dict[Node, np.ndarray]) -> list[np.ndarray]:
    """The numbers of unbatched outputs, put together again."""
    symbols = dict(given) | {point_of(n): v for n, v in given.items()}
    for (array, axis), column in mode.columns.items():
        symbols[column] = np.moveaxis(np.asarray(evaluate([array], symbols)[0]), axis, 0)
    found = []
    for y in outputs:
        if isinstance(y, PerPoint):
            (value,) = evaluate([y.node], symbols, points=y.length)
            value = np.broadcast_to(value, (y.length, *y.node.shape))
            found.append(np.moveaxis(value, 0, y.axis))
        else:
            while sums := [n for n in walk([y]) if n.op is TABLE["sum_points"]]:  # every sum runs over points of its own
                inner = sums[0]
                (length,) = {symbols[m].shape[0] for m in walk([inner]) if m in symbols and m.lane is POINT}
                known = datum(np.asarray(evaluate([inner], symbols, points=length)[0]))
                (y,) = substitute([y], {inner: known}, rebuild)
            found.append(evaluate([y], symbols)[0])
    return found


@pytest.mark.parametrize("name, program, values, lanes", PROGRAMS, ids=[p[0] for p in PROGRAMS])
def test_a_point_of_a_program_is_the_program_of_a_point(name, program, values, lanes):
    outputs, nodes, mode = trace(program, values, lanes.split())
    given = {nodes[k]: v for k, v in values.items()}
    expected = evaluate(outputs, given)
    found = [mode.of(y) for y in outputs]
    for y, want, got in zip(outputs, expected, run_points(found, mode, given), strict=True):
        np.testing.assert_allclose(got, np.broadcast_to(want, y.shape), rtol=1e-12, atol=1e-13)


def test_what_depends_on_points_has_their_axis_and_nothing_else_has():
    outputs, _, mode = trace(lambda x, W: (x @ W, (x @ W).T, np.sum(x @ W), W * 2.0),
                             {"x": normal(N, 2), "W": normal(2, 3)}, ["x"])  # fmt: skip
    first, turned, total, shared = map(mode.of, outputs)
    assert (first.axis, first.length, first.node.shape) == (0, N, (3,))
    assert (turned.axis, turned.node) == (1, first.node)
    assert isinstance(total, Node) and isinstance(shared, Node) and shared is outputs[3]


REFUSALS: list[tuple[str, Callable, dict[str, np.ndarray], str, str, str]] = [
    ("one point", lambda x: x[0], POINTS, "x", "index", "picks some of the points"),
    ("some points", lambda x: x[1:4], POINTS, "x", "index", "picks some of the points"),
    ("reversed", lambda x: x[::-1], POINTS, "x", "index", "picks some of the points"),
    ("gathered", lambda x: x[np.array([2, 0])], {"x": normal(N)}, "x", "take", "gathers from the points"),
    ("sorted", lambda x: np.sort(x, axis=0), POINTS, "x", "argsort", "needs all points at once"),
    ("the largest", lambda x: np.max(x), POINTS, "x", "max", "needs all points at once"),
    ("running sums", lambda x: np.cumsum(x), {"x": normal(N)}, "x", "cumsum", "needs all points at once"),
    ("pairs of points", lambda x, t: x[:, None] - t[None, :], VECTOR, "x t", "subtract", "count points along different axes"),
    ("every point with every other", lambda x: x @ x.T, POINTS, "x", "contract", "count points along different axes"),
    ("two clouds that meet", lambda x, y: x[:, None] * y, {"x": normal(N), "y": normal(M)}, "x y", "multiply",
     "different axes"),
    ("joined clouds", lambda x, y: np.concatenate([x, y]), {"x": normal(N), "y": normal(M)}, "x y", "concatenate",
     "joins points"),
    ("flattened", lambda x: x.ravel(), POINTS, "x", "reshape", "mixes the points with another axis"),
    ("padded", lambda x: np.pad(x, 1), {"x": normal(N)}, "x", "scatter", "among others"),
    ("a matrix made of points", lambda x: np.linalg.inv(x), {"x": normal(3, 3)}, "x", "inv", "needs all points at once"),
]  # fmt: skip


@pytest.mark.parametrize("name, program, values, lanes, culprit, why", REFUSALS, ids=[r[0] for r in REFUSALS])
def test_what_mixes_points_is_refused(name, program, values, lanes, culprit, why):
    outputs, _, mode = trace(program, values, lanes.split())
    with pytest.raises(CompileError, match=why) as caught:
        for y in outputs:
            mode.of(y)
    assert caught.value.node.op.name == culprit
    assert caught.value.what.startswith(f"{culprit} of (")
    assert all(str(a.shape) in caught.value.what for a in caught.value.node.args)
