"""The vectorisable functions against mpmath, at their edges, and on machines with less than this one."""

import os
import platform
import subprocess
import sys

import mpmath
import numba
import numpy as np
import pytest

from autodiff.compile.elementary import LARGE, VECTOR, wide_vectors
from autodiff.compile.target import BITS, FEATURES, FMA

REALS = [np.float64, np.float32]
OPTIONS = dict(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")  # those of the kernels


def compiled(name: str):
    f = VECTOR[name]

    @numba.njit(**OPTIONS)
    def loop(x, y):
        wide_vectors()
        for i in range(x.size):
            y[i] = f(x[i])

    return loop


LOOPS = {name: compiled(name) for name in VECTOR}


def evaluate(name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    LOOPS[name](x, y)
    return y


def exact(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nearest double, what is missing)"""
    with mpmath.workprec(200):
        values = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in x]
        high = np.array([float(v) for v in values])
        return high, np.array([float(v - h) for v, h in zip(values, high, strict=True)])


def samples(name: str, real: type) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(250) * s for s in (1e-20, 1e-8, 1e-3, 0.3, 1.0, 5.0, 20.0)])
    if name == "log":
        x = np.abs(x)
    if name == "log1p":
        x = x[x > -1]
    return x.astype(real)


def errors(name: str, x: np.ndarray, absolute: bool = False) -> np.ndarray:
    """In units of the last place of one (absolute) or of the value, by eps."""
    high, rest = exact(name, x)
    error = np.abs(evaluate(name, x).astype(np.float64) - high - rest)
    return error / np.finfo(x.dtype).eps / (1.0 if absolute else np.abs(high))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", sorted(set(VECTOR) - {"sin", "cos"}))
def test_values_are_within_two_units(name, real):
    assert errors(name, samples(name, real)).max() < 2.0


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_are_right_to_the_limit_they_state(name, real):
    assert errors(name, samples(name, real), absolute=True).max() < 2.0
    limit = LARGE[name, f"f{np.dtype(real).itemsize * 8}"]
    assert limit >= 1e5
    rng = np.random.default_rng(1)
    for scale in (1e2, 1e4, 1e5, limit):
        assert errors(name, rng.uniform(-scale, scale, 300).astype(real), absolute=True).max() < 2.0
    # next to their zeros, where the reduction cancels everything it can
    zeros = (np.arange(1, 20000, 67) + (0.5 if name == "cos" else 0.0)) * np.pi
    assert errors(name, zeros.astype(real), absolute=True).max() < 2.0
    if FMA:  # then even the digits of what remains are right
        assert errors(name, zeros.astype(real)[:5]).max() < 2.0


EDGES = {
    "tanh": [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e4, 1.0), (-1e30, -1.0)],
    "erf": [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0), (7.0, 1.0), (-1e30, -1.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.nan), (-np.inf, np.nan)],
    "cos": [(np.inf, np.nan), (-np.inf, np.nan)],
    "exp": [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (1e4, np.inf), (-1e4, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.inf), (-np.inf, -1.0), (1e4, np.inf), (-1e4, -1.0)],
    "log": [(0.0, -np.inf), (-0.0, -np.inf), (-1.0, np.nan), (-np.inf, np.nan), (np.inf, np.inf), (1.0, 0.0)],
    "log1p": [(-1.0, -np.inf), (-2.0, np.nan), (np.inf, np.inf), (0.0, 0.0), (-0.0, -0.0)],
}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", sorted(VECTOR))
def test_edges(name, real):
    x, want = np.array([*EDGES[name], (np.nan, np.nan)], real).T.copy()
    got = evaluate(name, x)
    assert np.array_equal(got, want, equal_nan=True)
    ordered = ~np.isnan(want)
    assert np.array_equal(np.signbit(got[ordered]), np.signbit(want[ordered]))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["tanh", "sin", "expm1", "log1p"])
def test_tiny_arguments_are_returned(name, real):
    info = np.finfo(real)
    x = np.array([info.tiny, -info.tiny, 100 * info.tiny, info.smallest_subnormal, -info.smallest_subnormal, 1e-30], real)
    assert np.array_equal(evaluate(name, x), x)


def test_exp_over_its_whole_range():
    for real, top, bottom in ((np.float64, 709.78, -745.1), (np.float32, 88.72, -103.9)):
        x = np.linspace(bottom, top, 3000).astype(real)
        got = evaluate("exp", x)
        high, rest = exact("exp", x)
        spacing = np.maximum(np.finfo(real).eps * high, np.finfo(real).smallest_subnormal)
        assert (np.abs(got.astype(np.float64) - high - rest) <= 1.5 * spacing).all()
    got = evaluate("exp", np.array([709.5, 710.0, -744.0, -746.0]))
    assert np.isfinite(got[0]) and got[1] == np.inf and 0 < got[2] < 1e-300 and got[3] == 0


@pytest.mark.parametrize("real", REALS)
def test_log_of_denormal_numbers(real):
    info = np.finfo(real)
    x = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny / 2, info.tiny, info.max], real)
    assert errors("log", x).max() < 1.0


@pytest.mark.skipif("avx2" not in FEATURES, reason="names the registers of x86")
@pytest.mark.parametrize("name", sorted(VECTOR))
def test_loops_over_the_functions_use_the_widest_registers(name):
    x = np.linspace(0.1, 1.0, 64)
    evaluate(name, x)
    text = "".join(LOOPS[name].inspect_asm().values())
    assert ("zmm" if BITS == 512 else "ymm") in text


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the lesser machines are named by x86 features")
@pytest.mark.parametrize("features", ["+sse2", "+sse4.2,+avx,+avx2,+fma"])
def test_lesser_machines_compute_the_same(features):
    here = [os.path.join(os.path.dirname(__file__), f"test_{name}.py") for name in ("elementary", "products")]
    environment = dict(os.environ, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not lesser and not process", *here]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
