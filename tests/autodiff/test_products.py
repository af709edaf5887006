"""The tile products against numpy, their blocks, and their life in numba's cache."""

import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from autodiff.compile import products
from autodiff.compile.products import nn, nn_tile, nt, nt_tile, rows
from autodiff.compile.target import wide_vectors

REAL = {"f64": np.float64, "f32": np.float32}
SHAPES = [(1, 1, 32), (2, 3, 64), (7, 33, 96), (20, 20, 256), (33, 7, 416), (25, 50, 32), (64, 13, 832)]


def compiled(text: str):
    names = {"nn_tile": nn_tile, "nt_tile": nt_tile, "wide_vectors": wide_vectors}
    exec(text.replace("$", "product"), names)
    return numba.njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")(names["product"])


def workspace(size: int, real: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size).astype(REAL[real])


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("M, K, N", SHAPES)
def test_nn_is_the_matrix_product_and_writes_nothing_else(M, K, N, real):
    xs, ys, x, y = N + 16, N + 48, 16, 32 + K * (N + 16)
    f = compiled(nn(M, K, N, xs, ys, real))
    for strides in ((K, 1), (1, M), (2 * K + 1, 2)):
        A = workspace(3 + M * strides[0] + K * strides[1], real, 1)
        ws = workspace(y + M * ys, real, 2)
        want = ws.astype(np.float64)
        W = np.array([[A[3 + i * strides[0] + k * strides[1]] for k in range(K)] for i in range(M)], np.float64)
        X = want[x : x + K * xs].reshape(K, xs)[:, :N].copy()
        want[y : y + M * ys].reshape(M, ys)[:, :N] = W @ X
        f(A, 3, *strides, ws, x, y)
        size = np.abs(W) @ np.abs(X)
        touched = np.zeros(ws.size, bool)
        touched[y : y + M * ys].reshape(M, ys)[:, :N] = True
        assert np.array_equal(ws[~touched], want[~touched].astype(REAL[real]))
        error = np.abs(ws - want)[y : y + M * ys].reshape(M, ys)[:, :N]
        assert (error <= 2 * np.sqrt(K + 8) * np.finfo(REAL[real]).eps * size).all()


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("M, K, N", SHAPES)
def test_nt_adds_the_sums_over_points_and_nothing_else(M, K, N, real):
    xs, ys, x, y = N + 16, N + 48, 16, 32 + M * (N + 16)
    f = compiled(nt(M, K, N, xs, ys, real))
    for strides in ((K, 1), (1, M), (2 * K + 1, 2)):
        ws = workspace(y + K * ys, real, 3)
        kept = ws.copy()
        acc = np.random.default_rng(4).standard_normal(3 + M * strides[0] + K * strides[1])
        X = ws[x : x + M * xs].astype(np.float64).reshape(M, xs)[:, :N]
        Y = ws[y : y + K * ys].astype(np.float64).reshape(K, ys)[:, :N]
        want, bound = acc.copy(), np.zeros(acc.size)
        place = (3 + np.arange(M)[:, None] * strides[0] + np.arange(K) * strides[1]).ravel()
        want[place] += (X @ Y.T).ravel()
        bound[place] = (np.abs(X) @ np.abs(Y).T).ravel() + 1
        f(acc, 3, *strides, ws, x, y)
        assert (np.abs(acc - want) <= 2 * np.sqrt(N) * np.finfo(REAL[real]).eps * bound).all()
        assert np.array_equal(ws, kept)


def test_float32_sums_enter_a_float64_accumulator_without_losing_it():
    f = compiled(nt(1, 1, 32, 48, 48, "f32"))
    acc = np.array([1e9 + 1.0])
    f(acc, 0, 1, 1, np.full(96, 0.5, np.float32), 0, 48)
    assert acc[0] == 1e9 + 1.0 + 8.0


@pytest.mark.parametrize("real", REAL)
def test_rows_keeps_the_products_of_each_point(real):
    M, K, P, s, t = 3, 7, 32, 48, 80
    f = compiled(rows(M, K, P, [(s, t), (t, s)]))
    ws = workspace(4 * K * 80, real, 5)
    out = np.full(5 + M * K * P, np.nan, REAL[real])
    starts = [0, 300, 700, 1300]
    f(out, 5, K * P, P, ws, *starts)
    line = lambda start, stride, n: ws[start + n * stride : start + n * stride + P].astype(np.float64)  # noqa: E731
    for i in range(M):
        for k in range(K):
            want = line(0, s, i) * line(300, t, k) + line(700, t, i) * line(1300, s, k)
            got = out[5 + (i * K + k) * P :][:P]
            assert np.allclose(got, want, rtol=0, atol=16 * np.finfo(REAL[real]).eps * np.abs(ws).max() ** 2)
    assert np.isnan(out[:5]).all()


def test_a_width_that_does_not_fill_vectors_is_refused():
    with pytest.raises(ValueError, match="does not fill vectors"):
        nn(4, 4, 33, 48, 48, "f64")
    with pytest.raises(ValueError, match="does not fill vectors"):
        nt(4, 4, 33, 48, 48, "f32")


@pytest.mark.parametrize("total", range(1, 40))
def test_blocks_tile_every_size_once(total):
    for most in range(1, 17):
        groups = products.split(total, most)
        covered = [
            j for start, blocks, size in groups for b in range(blocks) for j in range(start + b * size, start + (b + 1) * size)
        ]
        assert covered == list(range(total))
        assert max(size for _, _, size in groups) <= most


MODULE = """
import sys
import numba, numpy as np
from autodiff.compile.products import nn_tile, nt_tile
from autodiff.compile.target import wide_vectors

@numba.njit
{nn}
@numba.njit
{nt}
@numba.njit(cache=True)
def both(A, acc, ws):
    first(A, 0, 20, 1, ws, 0, 20*264)
    second(acc, 0, 20, 1, ws, 0, 20*264)

ws = np.ones(40*264); acc = np.zeros(400)
both(np.ones(400), acc, ws)
assert (acc == 256*20).all()
print(sum(both.stats.cache_hits.values()), sum(both.stats.cache_misses.values()))
"""


def test_a_second_process_loads_the_machine_code_from_the_disk(tmp_path):
    module = textwrap.dedent(MODULE).format(
        nn=nn(20, 20, 256, 264, 264, "f64").replace("$", "first"), nt=nt(20, 20, 256, 264, 264, "f64").replace("$", "second")
    )
    (tmp_path / "generated.py").write_text(module)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    runs = [
        subprocess.run(
            [sys.executable, str(tmp_path / "generated.py")], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [r.split() for r in runs] == [["0", "1"], ["1", "0"]]
