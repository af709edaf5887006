"""Every kernel against the interpreter, for networks of every kind; bits, threads, caches and refusals."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

import autodiff as ad
from tests.autodiff.programs import PROGRAMS, T, Weights, X, Y, build, burgers, mlp

POINTS = 77  # not a multiple of any tile: the padded last tile is always there


def oracle(columns, residuals, theta, points, weights):
    """(residuals, terms, Jacobian) from the interpreter and reverse mode."""
    nodes = [r.node for r in residuals]
    symbols = {c.node: points[:, i] for i, c in enumerate(columns)}
    r = np.stack(ad.evaluate(nodes, symbols, {"theta": theta}, len(points)), 1)
    views = [n for n in ad.walk(nodes) if n.op.name == "view"]
    J = np.zeros((len(points), len(nodes), theta.size))
    for k, node in enumerate(nodes):
        found = ad.reverse([node], [ad.lift(1.0)], views)
        pairs = [(v, c) for v, c in zip(views, found, strict=True) if c is not None]
        values = ad.evaluate([c for _, c in pairs], symbols, {"theta": theta}, len(points))
        for (v, _), value in zip(pairs, values, strict=True):
            _, offset, shape, strides = v.attr
            cells = offset + sum((np.arange(n) * s).reshape((-1,) + (1,) * (len(shape) - 1 - a))
                                 for a, (n, s) in enumerate(zip(shape, strides, strict=True)))  # fmt: skip
            cells = np.broadcast_to(cells, shape).ravel()
            J[:, k, cells] += np.broadcast_to(value, (len(points), *shape)).reshape(len(points), -1)
    return r, np.einsum("p,pk->k", weights, r * r), J


def case(name, dtype="float64", threads=1):
    program, columns, residuals = build(name)
    rng = np.random.default_rng(7)
    points = rng.uniform(-1, 1, (POINTS, len(columns)))
    weights = rng.uniform(0.5, 1.5, POINTS) / POINTS
    theta = 0.6 * rng.normal(size=program.parameters)
    return program, columns, residuals, points, weights, theta, program.bind(points, weights, threads, dtype)


def close(a, b, tolerance=2e-13):
    scale = max(np.abs(b).max(), 1e-300)
    assert np.abs(a - b).max() <= tolerance * scale, np.abs(a - b).max() / scale


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradient_agrees_with_interpreter(name):
    program, columns, residuals, points, weights, theta, bound = case(name)
    r, terms, J = oracle(columns, residuals, theta, points, weights)
    scale = np.linspace(1.0, 3.0, len(residuals))
    got, gradient = bound.loss_and_gradient(theta, scale)
    close(got, terms)
    close(gradient, np.einsum("k,p,pk,pkn->n", 2 * scale, weights, r, J))


@pytest.mark.parametrize("name", ["plain", "navier_stokes", "gated", "fourier_whole", "inverse", "weight_norm", "choice",
                                  "residual_block", "many_outputs", "ten_inputs"])  # fmt: skip
def test_all_six_kernels_agree_with_interpreter(name):
    program, columns, residuals, points, weights, theta, bound = case(name)
    r, terms, J = oracle(columns, residuals, theta, points, weights)
    rng = np.random.default_rng(8)
    v, w = rng.normal(size=program.parameters), rng.normal(size=r.shape)
    close(bound.loss(theta), terms)
    close(bound.residual(theta), r)
    close(bound.jacobian(theta), J)
    close(bound.jvp(theta, v), J @ v)
    close(bound.vjp(theta, w), np.einsum("pk,pkn->n", w, J))


def hessian_by_differences(bound, theta, v, scale, h):
    """(g(theta + h v) - g(theta - h v)) / 2 h for the gradient of the kernel that is proven above."""
    ahead, behind = (bound.loss_and_gradient(theta + step * v, scale)[1] for step in (h, -h))
    return (ahead - behind) / (2 * h)


def hessian_by_interpreter(residuals, columns, theta, points, weights, v, scale):
    """H v, forward over reverse on the nodes and the interpreter's sums: what the kernel has to say."""
    nodes = [r.node for r in residuals]
    total = np.zeros(theta.size)
    views = [n for n in ad.walk(nodes) if n.op.name == "view"]
    symbols = {c.node: points[:, i] for i, c in enumerate(columns)}
    square = [(ad.Array(n) * ad.Array(n)).node for n in nodes]
    for node, factor in zip(square, scale, strict=True):
        for window, ct in zip(views, ad.reverse([node], [ad.lift(1.0)], views), strict=True):
            seed = lambda n: ad.view("tangent", *n.attr[1:]) if n.op.name == "view" else None  # noqa: E731
            moved = None if ct is None else ad.Forward(seed).of(ct)
            if moved is None:
                continue
            _, offset, shape, strides = window.attr
            value = ad.evaluate([moved], symbols, {"theta": theta, "tangent": v}, len(points))[0]
            cells = offset + sum((np.arange(n) * s).reshape((-1,) + (1,) * (len(shape) - 1 - a))
                                 for a, (n, s) in enumerate(zip(shape, strides, strict=True)))  # fmt: skip
            rows = np.broadcast_to(value, (len(points), *shape)).reshape(len(points), -1)
            np.add.at(total, np.broadcast_to(cells, shape).ravel(), factor * weights @ rows)
    return total


CURVED = ["plain", "weight_norm", "choice", "many_outputs"]


@pytest.mark.parametrize("name", CURVED)
def test_hessian_product_agrees_with_interpreter_and_with_differences(name):
    _, columns, residuals, points, weights, theta, bound = case(name)
    v, scale = np.random.default_rng(9).normal(size=theta.size), np.linspace(1.0, 3.0, len(residuals))
    got = bound.hvp(theta, v, scale)
    close(got, hessian_by_interpreter(residuals, columns, theta, points, weights, v, scale), 1e-12)
    v /= 10 * np.linalg.norm(v)
    got = bound.hvp(theta, v, scale)
    errors = [np.abs(hessian_by_differences(bound, theta, v, scale, h) - got).max() for h in (1e-1, 1e-2)]
    assert errors[1] < 2e-2 * errors[0]  # second order: a tenth of the step, a hundredth of the error


@pytest.mark.parametrize("name", ["plain", "sine", "biharmonic"])
def test_single_precision_is_as_good_as_it_can_be(name):
    _, columns, residuals, points, weights, theta, bound = case(name, "float32")
    r, terms, J = oracle(columns, residuals, theta, points, weights)
    got, gradient = bound.loss_and_gradient(theta)
    close(got, terms, 2e-4)
    close(gradient, np.einsum("p,pk,pkn->n", 2 * weights, r, J), 2e-3)


def test_threads_give_the_same_bits():
    program, columns, *_ = build("plain")
    rng = np.random.default_rng(3)
    points, theta = rng.uniform(-1, 1, (3001, 2)), 0.5 * rng.normal(size=program.parameters)
    answers = []
    for threads in (1, 2, 3, 8):
        bound = program.bind(points, np.full(3001, 1 / 3001), threads)
        bound.loss_and_gradient(theta)
        run = bound._run("loss_and_gradient")
        for buffer in (run.acc, run.total, *run.workspaces):  # a call that did nothing would now be found out
            buffer.fill(np.nan)
        answers.append(bound.loss_and_gradient(theta))
    for terms, gradient in answers[1:]:
        assert np.array_equal(terms, answers[0][0]) and np.array_equal(gradient, answers[0][1])


def test_answers_belong_to_the_caller():
    *_, theta, bound = case("plain")
    terms, gradient = bound.loss_and_gradient(theta)
    kept = terms.copy(), gradient.copy()
    bound.loss_and_gradient(theta + 0.1)
    assert np.array_equal(terms, kept[0]) and np.array_equal(gradient, kept[1])


def test_binding_again_compiles_nothing():
    program, columns, *_ = build("plain")
    rng = np.random.default_rng(3)
    theta = rng.normal(size=program.parameters)
    first = program.bind(rng.uniform(size=(500, 2)), np.full(500, 1 / 500))
    first.loss(theta)
    second = program.bind(rng.uniform(size=(900, 2)), np.full(900, 1 / 900))
    second.loss(theta)
    assert first._run("loss").function is second._run("loss").function


def test_the_source_does_not_depend_on_what_was_traced_before():
    def source():
        W, b, c = (ad.Array(ad.view("theta", *at)) for at in ((0, (5, 2)), (10, (5,)), (15, (1, 5))))
        residuals = burgers((c @ np.tanh(W @ np.stack([X, T]) + b))[0])
        return ad.PointProgram((X, T), residuals, 20).kernel("loss_and_gradient").source()

    first = source()
    gc.collect()
    # some nodes of the same program, made in another order and kept alive
    z = ad.Array(ad.view("theta", 10, (5,))) + ad.Array(ad.view("theta", 1, (5,), (2,))) * T
    kept = [np.tanh(z), T * ad.Array(ad.view("theta", 0, (5,), (2,)))]
    assert source() == first and kept


def test_large_arguments_of_sine_and_cosine():
    one = Weights()()
    program = ad.PointProgram((X,), (np.sin(one * X), np.cos(one * X)), 1)
    x = np.concatenate([np.linspace(-3, 3, 40), [1e5, -1e7, 1e9, 1e15, -1e300, np.inf, np.nan]])
    with np.errstate(invalid="ignore"):
        expected = np.stack([np.sin(x), np.cos(x)], 1)
    got = program.bind(x[:, None], np.ones(x.size)).residual(np.ones(1))
    np.testing.assert_allclose(got, expected, atol=1e-15)


def test_what_the_coordinates_decide_is_computed_once():
    u = Weights()()
    program = ad.PointProgram((X, Y), (u - np.sin(3 * X) * np.exp(Y), u * X + 2.0 * Y), 1)
    assert len(program.known.values) == 1 and "v_sin(" not in program.kernel("loss_and_gradient").source()
    points = np.random.default_rng(0).uniform(size=(5000, 2))
    x, y = points.T
    got = program.bind(points, np.ones(5000)).residual(np.array([0.7]))
    np.testing.assert_allclose(got, np.stack([0.7 - np.sin(3 * x) * np.exp(y), 0.7 * x + 2 * y], 1), rtol=1e-14)


def test_a_sum_over_points_is_refused_in_a_sentence():
    w = Weights()
    u = mlp(w, (1, 4, 1))(X)[0]
    with pytest.raises(ad.CompileError, match="sum over points"):
        ad.PointProgram((X,), (u - ad.sum_points(u),), w.size)


@pytest.mark.parametrize("residual, says", [
    (lambda u: np.stack([u, u]), "shape"),
    (lambda u: u * ad.Array(ad.symbol("stranger")), "stranger"),
])  # fmt: skip
def test_refusals_name_the_cause(residual, says):
    w = Weights()
    with pytest.raises(ad.CompileError, match=says):
        ad.PointProgram((X,), (residual(mlp(w, (1, 4, 1))(X)[0]),), w.size)


def test_the_plan_and_the_source_can_be_read():
    program, *_ = build("plain")
    kernel = program.kernel("loss_and_gradient")
    assert "product (9, 9) x 4 channels in 1 runs" in str(kernel.plan)
    compile(kernel.source(), "kernel", "exec")


CHILD = """
import sys, time
sys.path.insert(0, {root!r})
from tests.autodiff.programs import build
import numpy as np
program, *_ = build("plain")
bound = program.bind(np.linspace(-1, 1, 200).reshape(100, 2), np.full(100, 0.01))
start = time.process_time()
terms, gradient = bound.loss_and_gradient(np.linspace(-1, 1, program.parameters))
print(repr(float(terms[0])), repr(float(gradient.sum())), time.process_time() - start)
"""


def child(cache, **env):
    code = CHILD.format(root=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    environment = {**os.environ, "JETSPACE_CACHE": str(cache), **env}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def answer(process):
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    *numbers, seconds = out.split()
    return numbers, float(seconds)


def test_the_cache_serves_later_processes_and_survives_a_race(tmp_path):
    race = [child(tmp_path), child(tmp_path)]  # both start on an empty cache
    (one, cold), (two, _) = (answer(p) for p in race)
    files = sorted(p.name for p in tmp_path.rglob("*.nbi"))
    sources = sorted(p.name for p in tmp_path.glob("*.py"))
    three, warm = answer(child(tmp_path))
    assert one == two == three
    assert sorted(p.name for p in tmp_path.rglob("*.nbi")) == files and sorted(p.name for p in tmp_path.glob("*.py")) == sources
    assert len(sources) == 1 and not list(tmp_path.glob("*.tmp"))
    assert warm < 0.5 * cold


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    numbers, _ = answer(child(blocked / "cache"))
    assert np.isfinite(float(numbers[0]))
