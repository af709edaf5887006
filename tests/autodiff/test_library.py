"""Every primitive with a kernel of its own, against its numpy meaning: compiled as kernels are, compiled with every index
checked, and, where it calls no LAPACK, as plain Python."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import warnings
from types import ModuleType

import numba as nb
import numpy as np
import pytest

from autodiff.compile import factorisations, library, ordering, store
from autodiff.errors import MatrixError
from autodiff.graph import datum
from autodiff.primitive import TABLE
from autodiff.rules.layout import Indices

RNG = np.random.default_rng(17)
FLOATS = {"float64": 1e-12, "float32": 1e-4}


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def few_values(*shape: int) -> np.ndarray:
    """With many ties, zeros of both signs, infinities and nan."""
    return RNG.choice([-1.0, -0.0, 0.0, 2.0, np.inf, -np.inf, np.nan], shape, p=[0.3, 0.1, 0.2, 0.3, 0.04, 0.03, 0.03])


def places(n: int, *shape: int) -> np.ndarray:
    return RNG.integers(-n, n, shape)


def positive(*shape: int) -> np.ndarray:
    a = numbers(*shape)
    return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])


def low_rank(rank: int, *shape: int) -> np.ndarray:
    """Numbers with few digits: the rank is the same for every rounding."""
    left, right = (RNG.integers(-3, 4, s).astype(float) for s in ((*shape[:-1], rank), (*shape[:-2], rank, shape[-1])))
    return left @ right


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape)


SHAPES = [((), (1,), (5,), (40,)), ((2, 3),), ((4, 1, 3),), ((3, 4, 5),), ((2, 0, 3),)]
LINES = [(s, axis) for s in itertools.chain(*SHAPES) for axis in range(len(s))]
FULL = [(s, axis) for s, axis in LINES if math.prod(s)]
SEVERAL = [((5,), (0,)), ((3, 4), (0,)), ((3, 4), (1,)), ((3, 4), (0, 1)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (1,)),
           ((2, 3, 1, 2, 3), (1, 3)), ((2, 3, 2, 2, 3, 2), (0, 2, 4)), ((0, 3), (1,)), ((1, 1), (0,))]  # fmt: skip
SQUARES = [(1, 1), (2, 2), (5, 5), (3, 2, 2), (2, 2, 3, 3), (0, 3, 3), (2, 0, 0), (17, 17)]
TALL = [(3, 2), (2, 4, 4), (3, 1), (5, 2, 1), (0, 3, 2)]
ANY = [*TALL, (2, 5), (3, 1, 4)]


def factored(name: str, a: np.ndarray, attr=None) -> tuple[np.ndarray, np.ndarray]:
    return a, TABLE[name].value(attr, 0, a)


# primitive -> (attribute, arguments)
CASES = {
    "cumsum": [((axis, back), (numbers(*s),)) for s, axis in LINES for back in (False, True)],
    "take": [(Indices(places(s[0], *n)), (numbers(*s),)) for s in ((5,), (4, 3), (2, 1, 3), (3, 0)) for n in ((), (7,), (2, 3))]
            + [(Indices(np.zeros(0, int)), (numbers(4, 2),))],
    "spread": [((Indices(places(s[0], *n)), s), (numbers(*n, *s[1:]),)) for s in ((5,), (4, 3), (2, 1, 3), (3, 0))
               for n in ((), (7,), (2, 3))] + [((Indices(np.zeros(0, int)), (4, 2)), (numbers(0, 2),))],
    "argsort": [(axis, (f(*s),)) for s, axis in LINES for f in (numbers, few_values)]
               + [(0, (np.arange(8.0),)), (0, (-np.arange(9.0),)), (0, (np.full(6, np.nan),))],
    "argmax": [(axis, (f(*s),)) for s, axis in FULL for f in (numbers, few_values)],
    "argmin": [(axis, (f(*s),)) for s, axis in FULL for f in (numbers, few_values)],
    "gather": [(axis, (places(s[axis], *s[:axis], count, *s[axis + 1 :]), numbers(*s)))
               for s, axis in FULL for count in (0, 1, 6)],
    "put": [((axis, s[axis]), (places(s[axis], *s[:axis], count, *s[axis + 1 :]), numbers(*s[:axis], count, *s[axis + 1 :])))
            for s, axis in FULL for count in (0, 1, 6)],
    "shares": [((which, axes), (f(*s),)) for s, axes in SEVERAL for f in (numbers, few_values) for which in ("max", "min")],
    "max": [(axes, (f(*s),)) for s, axes in SEVERAL for f in (numbers, few_values)],
    "min": [(axes, (f(*s),)) for s, axes in SEVERAL for f in (numbers, few_values)],
    "solve": [(None, (numbers(*s), numbers(*s[:-1], columns))) for s in SQUARES for columns in (1, 3)],
    "inv": [(None, (numbers(*s),)) for s in SQUARES],
    "pinv": [(1e-15, (f(*s),)) for s in ANY for f in (numbers, zeros)]
            + [(0.3, (numbers(4, 6),)), (1e-5, (low_rank(2, 5, 4),))],
    "cofactors": [(None, (a, *[numbers(*s) for _ in range(k)])) for s in SQUARES[:5] for k in range(min(s[-1], 4))
                  for a in (numbers(*s), low_rank(1, *s), zeros(*s))]
                 + [(None, (numbers(2, 0, 0),)), (None, (zeros(3, 3),) * 3)],
    "det": [(None, (a,)) for s in SQUARES for a in (numbers(*s), zeros(*s))],
    "slogdet": [(None, (a,)) for s in SQUARES for a in (numbers(*s), zeros(*s), -positive(*s))],
    "cholesky": [(None, (positive(*s),)) for s in SQUARES] + [(None, (positive(4, 4) + np.triu(numbers(4, 4), 1),))],
    "qr": [(None, (numbers(*s),)) for s in TALL] + [(None, (zeros(3, 2),))],
    "qr_q": [(None, factored("qr", numbers(*s))) for s in TALL],
    "qr_r": [(None, factored("qr", numbers(*s))) for s in TALL],
    "gaps": [("eigenvalues", (w,)) for w in (numbers(4), numbers(2, 3), zeros(3), np.array([1.0, 2.0, 1.0]), numbers(0, 2),
                                             np.array([np.nan, 1.0, 2.0]), np.array([np.inf, 1.0]), numbers(1))],
    "eigh": [(uplo, (numbers(*s),)) for s in SQUARES for uplo in "LU"]
            + [("L", (np.diag([3.0, 1.0, 2.0]),)), ("L", (zeros(2, 2),))],
    "eigenvalues": [(None, factored("eigh", numbers(*s), "L")) for s in SQUARES],
    "eigenvectors": [(None, factored("eigh", numbers(*s), "L")) for s in SQUARES],
    "svd": [(None, (numbers(*s),)) for s in ANY] + [(None, (np.diag([3.0, 1.0, 2.0]),)), (None, (zeros(2, 2),))],
    "svd_s": [(None, factored("svd", numbers(*s))) for s in ANY],
    "svd_u": [(None, factored("svd", numbers(*s))) for s in ANY],
    "svd_v": [(None, factored("svd", numbers(*s))) for s in ANY],
}  # fmt: skip


@functools.cache
def again(module: ModuleType, how: str) -> ModuleType:
    """A module of the library anew: `plain` Python, or compiled with every index `checked`."""
    plain = {"plain": lambda f: f, "checked": nb.njit(error_model="numpy", boundscheck=True)}
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_{how}", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    kept, store.jit = store.jit, plain[how]
    try:
        spec.loader.exec_module(copy)
    finally:
        store.jit = kept
    return copy


@functools.cache
def driver(name: str, count: int):
    """A kernel that does nothing but call the function: functions of the library cannot be called from Python."""
    names = ", ".join(f"x{i}" for i in range(count))
    scope = {"function": getattr(library, name)}
    exec(f"def call({names}): function({names})", scope)
    return nb.njit(scope["call"], nogil=True)


def function(name: str, count: int, how: str):
    if how == "compiled":
        return driver(name, count)
    (module,) = (m for m in (ordering, factorisations) if hasattr(m, name) and getattr(m, name) is getattr(library, name))
    return getattr(again(module, how), name)


def run(primitive: str, attr, arrays, how: str = "compiled") -> np.ndarray:
    """What the kernel of a primitive answers, of the shape and type that its node has."""
    node = TABLE[primitive].make(tuple(datum(x) for x in arrays), attr)
    name, *parameters = node.op.kernel(attr, *node.args)
    assert all(type(p) is int or p.dtype == np.int64 for p in parameters)
    out = np.full(math.prod(node.shape), 99, node.dtype)
    flat = [np.ascontiguousarray(x).ravel() for x in arrays]
    copies = [x.copy() for x in flat]
    with np.errstate(all="ignore"):
        function(name, 1 + len(flat) + len(parameters), how)(out, *flat, *parameters)
    for x, copy in zip(flat, copies, strict=True):
        np.testing.assert_array_equal(x, copy)  # what is read is not written
    return out.reshape(node.shape)


def expect(primitive: str, attr, arrays) -> np.ndarray:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TABLE[primitive].value(attr, 0, *arrays)


def check(primitive: str, dtype: str, how: str) -> None:
    for attr, arrays in CASES[primitive]:
        arrays = [x.astype(dtype) if x.dtype == np.float64 else x for x in arrays]
        found, expected = run(primitive, attr, arrays, how), expect(primitive, attr, arrays)
        assert found.shape == expected.shape
        if found.dtype == np.int64:
            np.testing.assert_array_equal(found, expected)
        else:
            scale = max(1.0, np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
            if primitive == "cofactors":  # what is of degree n - 1 - k in A and may cancel
                a, *bs = (np.linalg.norm(x, axis=(-2, -1)).max(initial=1.0) for x in arrays)
                scale = a ** (expected.shape[-1] - 1 - len(bs)) * math.prod(bs)
            np.testing.assert_allclose(found, expected, rtol=FLOATS[dtype], atol=FLOATS[dtype] * scale)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("primitive", CASES)
def test_compiled(primitive, dtype):
    check(primitive, dtype, "compiled")


@pytest.mark.parametrize("primitive", CASES)
def test_with_every_index_checked(primitive):
    check(primitive, "float64", "checked")


PLAIN = ["cumsum", "take", "spread", "argsort", "argmax", "argmin", "gather", "put", "shares", "max", "min", "gaps", "qr_q",
         "qr_r", "eigenvalues", "eigenvectors", "svd_s", "svd_u", "svd_v"]  # fmt: skip


@pytest.mark.parametrize("primitive", PLAIN)
def test_as_plain_python(primitive):
    check(primitive, "float64", "plain")
    check(primitive, "float32", "plain")


WHOLE = {"argsort": 1, "argmax": 1, "argmin": 1, "max": (0, 2), "min": (0, 2), "take": Indices(np.array([-1, 0]))}


@pytest.mark.parametrize("dtype", [np.int64, np.int32, bool])
@pytest.mark.parametrize("primitive", WHOLE)
def test_whole_numbers(primitive, dtype):
    x = RNG.integers(0, 2 if dtype is bool else 5, (3, 4, 5)).astype(dtype)
    found = run(primitive, WHOLE[primitive], [x])
    np.testing.assert_array_equal(found, expect(primitive, WHOLE[primitive], [x]))


def test_sorting_many():
    x = RNG.integers(0, 300, 100_001).astype(float)
    np.testing.assert_array_equal(run("argsort", 0, [x]), np.argsort(x, kind="stable"))


@pytest.mark.parametrize("batched", [True, False])
def test_large_matrices(batched):
    """Sizes where LAPACK works in blocks."""
    s = (2, 90, 90) if batched else (130, 130)
    a, b = numbers(*s), numbers(*s)
    for name, attr, arrays in (("solve", None, (a, b)), ("eigh", "L", (a,)), ("qr", None, (a,)), ("svd", None, (a,)),
                               ("cholesky", None, (positive(*s),)), ("slogdet", None, (a,))):  # fmt: skip
        np.testing.assert_allclose(run(name, attr, arrays), expect(name, attr, arrays), rtol=1e-9, atol=1e-9)


# ---- where there is no answer, or none that is a number -------------------------------------------------------------------


def spoiled(value: float, i: int, j: int) -> np.ndarray:
    a = np.diag([2.0, 3.0, 4.0])
    a[i, j] = value
    return a


SPOILED = [spoiled(value, *at) for value in (np.nan, np.inf, -np.inf) for at in ((1, 1), (2, 0), (0, 2))]
HARD = [np.zeros((3, 3)), np.ones((3, 3)), -np.eye(3), np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]), *SPOILED]
MATRICES = {"solve": None, "inv": None, "pinv": 1e-15, "cofactors": None, "det": None, "slogdet": None, "cholesky": None,
            "qr": None, "eigh": "L", "svd": None}  # fmt: skip


@pytest.mark.parametrize("primitive", MATRICES)
def test_hard_matrices_end_as_in_numpy(primitive):
    """The same numbers, nan included, or MatrixError where numpy raises; and a good matrix in the batch saves none."""
    answers = 0
    for a in HARD:
        for batch in (a, np.stack([np.eye(3), a])):
            arrays = (batch, np.ones(batch.shape)) if primitive == "solve" else (batch,)
            try:
                expected = expect(primitive, MATRICES[primitive], arrays)
            except np.linalg.LinAlgError as error:
                assert isinstance(error, MatrixError)
                with pytest.raises(MatrixError, match="np.linalg") as told:
                    run(primitive, MATRICES[primitive], arrays)
                assert "test_library.py:" in told.value.where
            else:
                found = run(primitive, MATRICES[primitive], arrays)
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
                answers += 1
    assert answers


def test_an_index_out_of_bounds():
    for name, attr, arrays in (("gather", 0, (np.array([0, 3]), np.ones(3))), ("put", (0, 3), (np.array([0, -4]), np.ones(2)))):
        with pytest.raises(IndexError):
            run(name, attr, arrays)


# ---- nothing is left out --------------------------------------------------------------------------------------------------

# what the compilers write down themselves, beside elementwise, select and multilinear primitives, views, and what only says
# how to differentiate; `cond` and `loop` hold programs, which are compiled in turn
WRITTEN = {"sum", "stack", "concatenate", "scatter", "sum_points", "cond", "loop"}


def test_no_primitive_is_left_out():
    with_kernel = set()
    for name, p in TABLE.items():
        arithmetic = p.sort in ("elementwise", "select", "multilinear")
        if arithmetic or name in WRITTEN or getattr(p, "view", False) or p.passes is not None:
            continue
        assert getattr(p, "kernel", None) is not None, name
        with_kernel.add(name)
    assert with_kernel == set(CASES)
    called = {TABLE[name].kernel(attr, *map(datum, xs))[0] for name, cases in CASES.items() for attr, xs in cases}
    assert called == set(library.__all__)
