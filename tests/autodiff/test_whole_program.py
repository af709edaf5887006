"""Programs over whole arrays, compiled, against the interpreter: numpy, node by node."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from autodiff.array import Array
from autodiff.primitive import TABLE, Elementwise
from tests.autodiff.whole import agree

FLOAT, SINGLE = np.dtype(np.float64), np.dtype(np.float32)


# ---- every elementwise primitive -----------------------------------------------------------------------------------------


def arity(op: Elementwise) -> int:
    for f, extra in ((op.derivative, 1), (op.value, 0)):
        if isinstance(f, np.ufunc):
            return f.nin
        if f is not None:
            return len(inspect.signature(f).parameters) - extra
    raise AssertionError(op)


ELEMENTWISE = sorted(n for n, p in TABLE.items() if isinstance(p, Elementwise) and not n.startswith("astype"))
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-300, 700.0, -700.0, 1e10, np.inf, -np.inf, np.nan])


def of(name: str, *arrays: Array) -> Array:
    return Array(TABLE[name].make(tuple(a.node for a in arrays[: arity(TABLE[name])])))


@pytest.mark.parametrize("dtype, tolerance", [(FLOAT, 1e-12), (SINGLE, 3e-5)])
@pytest.mark.parametrize("names", [ELEMENTWISE[i : i + 20] for i in range(0, len(ELEMENTWISE), 20)], ids=lambda names: names[0])
def test_elementwise_primitives_over_their_domain(names, dtype, tolerance):
    rng = np.random.default_rng(3)
    numbers = []
    for name in names:
        low, high = TABLE[name].domain
        numbers += [rng.uniform(low, high, 37).astype(dtype) for _ in range(2)]
    agree(lambda *xs: [of(n, *xs[2 * i : 2 * i + 2]) for i, n in enumerate(names)], numbers, tolerance)


@pytest.mark.parametrize("names", [ELEMENTWISE[i : i + 20] for i in range(0, len(ELEMENTWISE), 20)], ids=lambda names: names[0])
def test_elementwise_primitives_where_numbers_are_special(names):
    a, b = (x.ravel() for x in np.meshgrid(SPECIAL, SPECIAL))
    agree(lambda x, y: [of(n, x, y) for n in names], [a, b])


# ---- views, sums, joins --------------------------------------------------------------------------------------------------

X = np.random.default_rng(7).normal(size=(3, 4, 5))
VIEWS = {
    "transposed": lambda x: x.T,
    "moved": lambda x: np.moveaxis(x, 0, -1),
    "a row": lambda x: x[1],
    "an element": lambda x: x[1, 2, 3],
    "a slice": lambda x: x[:, 1:3, ::2],
    "reversed": lambda x: x[::-1, :, ::-2],
    "reshaped": lambda x: np.reshape(x, (5, 12)),
    "columns reshaped": lambda x: np.reshape(x[:, :, 0], (12,)),
    "a copy": lambda x: np.reshape(x.T, (4, 15)),
    "twice": lambda x: np.reshape(np.reshape(x, (12, 5)).T, (5, 2, 6))[:, 1],
    "broadcast": lambda x: np.broadcast_to(x[0, 0], (2, 5)),
    "broadcast and reshaped": lambda x: np.reshape(np.broadcast_to(x[:, :1, :1], (3, 4, 5)), (12, 5)),
    "new axes": lambda x: x[:, None, 2],
    "nothing": lambda x: x[:, 2:2],
    "itself": lambda x: x,
}


@pytest.mark.parametrize("inside", [lambda x: x, lambda x: np.exp(x), lambda x: x * 2.0], ids=["input", "dear", "cheap"])
def test_views(inside):
    def f(x):
        found = [view(inside(x)) for view in VIEWS.values()]
        return [*found, *[np.tanh(y) + 1.0 for y in found], *[np.sum(y) for y in found]]

    agree(f, [X])


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_sums_over_every_set_of_axes(dtype):
    axes = [a for n in range(5) for a in itertools.combinations(range(4), n)]
    x = (4 * np.random.default_rng(1).normal(size=(3, 1, 4, 5))).astype(dtype)

    def f(x):
        y = x if dtype == "bool" else x * x
        return [
            *[np.sum(y, axis=a) for a in axes],
            np.sum(np.transpose(x, (3, 2, 1, 0)), axis=1),
            np.sum(x, axis=(0, 2), keepdims=True),
        ]

    agree(f, [x], 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_extremes_over_every_set_of_axes(dtype):
    axes = [a for n in range(1, 5) for a in itertools.combinations(range(4), n)]
    x = (4 * np.random.default_rng(1).normal(size=(3, 1, 4, 5))).astype(dtype)
    if x.dtype.kind == "f":
        x[0, 0, 1, 2], x[1, 0, 2, 3], x[2] = np.nan, np.inf, -np.inf

    def f(x):
        return [*[g(x, axis=a) for a in axes for g in (np.max, np.min)], np.max(x[:, 0].T, axis=0), np.max(x[1:], axis=(0, 2))]

    agree(f, [x])


JOINS = {
    "stack": lambda a, b: np.stack([a, b, a + b]),
    "stack inside": lambda a, b: np.stack([a * b, np.exp(a)], axis=1),
    "stack last": lambda a, b: np.stack([a, a], axis=-1),
    "concatenate": lambda a, b: np.concatenate([a, b[:1], b * a]),
    "concatenate columns": lambda a, b: np.concatenate([a, b, np.ones((3, 2))], axis=1),
    "pad": lambda a, b: np.pad(a * b, 1),
    "pad with": lambda a, b: np.pad(a, ((0, 1), (2, 0)), constant_values=3.0),
    "of scalars": lambda a, b: np.stack([a[0, 0], b[1, 1] * 2.0]),
    "of a stack": lambda a, b: np.tanh(np.stack([a, b]))[:, 1:],
    "of views": lambda a, b: np.concatenate([a.T, b.T]),
    "strided": lambda a, b: Array(TABLE["scatter"].make((a.node,), (((0, 6, 2), (3, -5, -1)), (6, 4)))),
}


def test_joins():
    a, b = np.random.default_rng(2).normal(size=(2, 3, 4))
    agree(lambda a, b: [join(a, b) for join in JOINS.values()], [a, b])


# ---- contractions --------------------------------------------------------------------------------------------------------

SPECS = """ab,bc->ac ab,cb->ac ba,bc->ac ba,cb->ac ab,bc->ca ba,cb->ca ab,b->a ab,a->b a,ab->b a,ba->b a,a-> a,b->ab a,b->ba
    ab,ab-> ab,ab->a ab,ab->b ab,ab->ab abc,abd->acd abc,abd->adc abc,adb->acd abc,dac->abd abc,cd->abd abc,dc->adb
    abc,bcd->ad abc,abd->cda abc,cb->a abcd,cdef->abef abcd,badc->ab ab,ac->abc abc,c->ab acb,abd->cda abc,d->dabc""".split()


def shapes_of(spec: str, size: dict[str, int]) -> list[tuple[int, ...]]:
    return [tuple(size[c] for c in letters) for letters in spec.split("->")[0].split(",")]


SIZES = {
    "small": (3, 4, 2, 5, 2, 3),
    "large": (9, 12, 11, 10, 13, 4),
    "ones": (1, 40, 30, 20, 1, 2),
    "empty": (3, 0, 2, 4, 2, 1),
}


@pytest.mark.parametrize("lengths", SIZES.values(), ids=SIZES)
def test_contractions(lengths):
    size = dict(zip("abcdef", lengths, strict=True))
    rng = np.random.default_rng(4)
    numbers = [rng.normal(size=shape) for spec in SPECS for shape in shapes_of(spec, size)]

    def f(*xs):
        found = [np.einsum(spec, *xs[2 * i : 2 * i + 2]) for i, spec in enumerate(SPECS)]
        return [*found, *[np.tanh(y) for y in found[::5]], np.sin(xs[0]) @ xs[1][:, ::2], xs[0][1:] @ xs[1]]

    agree(f, numbers, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
def test_contractions_of_other_dtypes(dtype):
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-5, 5, (20, 20)).astype(dtype) for _ in range(2))
    agree(lambda a, b: [a @ b, a.T @ b, a @ b[0], np.einsum("ij,ij->", a, b), np.outer(a[0], b[0])], [a, b], 1e-4)


# ---- dtypes --------------------------------------------------------------------------------------------------------------

INTEGERS = {
    "arithmetic": lambda i, j: i * j - 3 * i + 7,
    "division": lambda i, j: i / j,
    "remainder": lambda i, j: np.remainder(i, j),
    "fmod": lambda i, j: np.fmod(i, j),
    "by zero": lambda i, j: np.remainder(i, j // 5) + np.fmod(i, 0 * j),
    "floor_divide": lambda i, j: i // j,
    "power": lambda i, j: i**2 + np.abs(j) ** np.abs(i % 3),
    "compare": lambda i, j: (i < j) | (i == 3),
    "maximum": lambda i, j: np.maximum(i, j) - np.minimum(i, 0),
    "sign": lambda i, j: np.sign(i),
    "float": lambda i, j: np.sqrt(np.abs(i)) * 0.5,
    "where": lambda i, j: np.where(i > j, i, 0.5),
    "cast": lambda i, j: i.astype(np.float32) * 0.1,
    "truncate": lambda i, j: (i * 0.7).astype(np.int64),
    "to bool": lambda i, j: i.astype(bool),
    "not": lambda i, j: np.logical_xor(~(i > 0), j > 0),
    "bool sum": lambda i, j: np.sum(i > j, axis=0) + np.sum(i > 0),
    "bool arithmetic": lambda i, j: (i > 0) + (j > 0),
    "bool times": lambda i, j: (i > 0) * i * 2.5,
    "any": lambda i, j: np.any(i > 3) & np.all(j != 0),
    "mean": lambda i, j: np.mean(i, axis=1),
    "and": lambda i, j: np.logical_and(i, j - 1) | np.logical_not(i),
    "isnan": lambda i, j: np.isnan(i) | np.isfinite(j),
}


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint32"])
def test_integers_and_conditions(dtype):
    rng = np.random.default_rng(6)
    i, j = rng.integers(0 if dtype[0] == "u" else -9, 9, (6, 7)), rng.integers(1, 9, (6, 7))
    j *= 1 if dtype[0] == "u" else rng.choice([-1, 1], (6, 7))
    agree(lambda i, j: [f(i, j) for f in INTEGERS.values()], [i.astype(dtype), j.astype(dtype)], 1e-7)


def test_float32_stays_float32():
    a, b = np.random.default_rng(8).normal(size=(2, 40, 40)).astype(np.float32)

    def f(a, b):
        return [
            np.exp(a) * 0.5 + b / 3,
            np.tanh(a @ b + 1.0),
            np.mean(a * a),
            np.where(a > 0, a, 0.1),
            np.sin(a * 100.0),
            abs(a) ** 0.3,
        ]

    for y in agree(f, [a, b], 2e-5):
        assert y.dtype == np.float32


# ---- numbers are numpy's -------------------------------------------------------------------------------------------------


def test_deliberate_rounding_survives():
    x = np.array([1e-17, 1e-9, 0.3, 1e20])
    (y,), big = agree(lambda x: [(x + 1.0) - 1.0], [x], 0.0), 1.5 * 2.0**52
    assert y[0] == 0.0 and y[1] != x[1]
    np.testing.assert_array_equal(agree(lambda x: [(x + big) - big], [np.array([0.4, 1.6, 2.5])], 0.0)[0], [0.0, 2.0, 2.0])


def test_what_is_not_finite_is_seen():
    x = np.array([[1.0, np.nan], [np.inf, 2.0], [-np.inf, np.inf]])
    agree(lambda x: [x * 0.0, np.sum(x, axis=0), np.sum(x, axis=1), np.sum(x), x @ x.T, np.max(x, axis=1), np.sin(x),
                     np.where(x > 0, x, 0.0), np.log(x), np.maximum(x, 0.0), x - x], [x])  # fmt: skip


@pytest.mark.parametrize("dtype", [FLOAT, SINGLE])
def test_sine_of_large_numbers(dtype):
    x = np.concatenate([np.linspace(-5, 5, 1000), [1e7, -1e16, 1e22]]).astype(dtype)
    agree(lambda x: [np.sum(np.sin(x) * np.cos(3.0 * x)), np.sin(x), np.sum(np.cos(np.reshape(x, (17, 59))), axis=0)], [x],
          1e-12 if dtype == FLOAT else 1e-4)  # fmt: skip


def test_long_sums_are_as_good_as_numpys():
    x = np.random.default_rng(9).normal(size=1_000_000)
    agree(lambda x: [np.sum(x * x), np.sum(x), np.sum(np.reshape(x, (1000, 1000)), axis=0)], [x], 1e-10)
