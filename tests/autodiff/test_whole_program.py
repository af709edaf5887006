"""Programs over whole arrays, compiled, against the interpreter: numpy, node by node."""

from __future__ import annotations

import inspect
import itertools
import threading

import numpy as np
import pytest

from autodiff.array import Array, lift, unknown
from autodiff.compile import WholeProgram
from autodiff.errors import ArgumentError, CompileError, MatrixError
from autodiff.interpret import evaluate
from autodiff.primitive import TABLE, Elementwise
from autodiff.transforms import reverse

FLOAT, SINGLE = np.dtype(np.float64), np.dtype(np.float32)


def compiled(arrays, outputs, name="test") -> WholeProgram:
    return WholeProgram([a.node for a in arrays], [lift(y) for y in outputs], name)


def symbols(numbers) -> list[Array]:
    return [Array(unknown(f"x{i}", np.shape(x), np.asarray(x).dtype)) for i, x in enumerate(numbers)]


def agree(function, numbers, tolerance=1e-12):
    """The outputs of the compiled function, which must be those of the interpreter."""
    numbers = [np.asarray(x) for x in numbers]
    arrays = symbols(numbers)
    outputs = [Array(lift(y)) for y in function(*arrays)]
    found = compiled(arrays, outputs)(*numbers)
    values = evaluate([y.node for y in outputs], {a.node: x for a, x in zip(arrays, numbers, strict=True)})
    for i, (y, got, want) in enumerate(zip(outputs, found, values, strict=True)):
        assert got.shape == y.shape and got.dtype == y.dtype and got.flags.c_contiguous, i
        want = np.broadcast_to(np.asarray(want), y.shape)
        if y.dtype.kind == "f":
            np.testing.assert_allclose(got, want.astype(y.dtype), rtol=tolerance, atol=tolerance, err_msg=f"output {i}")
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"output {i}")
    return found


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
    "transposed": lambda x: x.T, "moved": lambda x: np.moveaxis(x, 0, -1), "a row": lambda x: x[1], "an element": lambda x: x[1, 2, 3],
    "a slice": lambda x: x[:, 1:3, ::2], "reversed": lambda x: x[::-1, :, ::-2], "reshaped": lambda x: np.reshape(x, (5, 12)),
    "columns reshaped": lambda x: np.reshape(x[:, :, 0], (12,)), "a copy": lambda x: np.reshape(x.T, (4, 15)),
    "twice": lambda x: np.reshape(np.reshape(x, (12, 5)).T, (5, 2, 6))[:, 1], "broadcast": lambda x: np.broadcast_to(x[0, 0], (2, 5)),
    "broadcast and reshaped": lambda x: np.reshape(np.broadcast_to(x[:, :1, :1], (3, 4, 5)), (12, 5)),
    "new axes": lambda x: x[:, None, 2], "nothing": lambda x: x[:, 2:2], "itself": lambda x: x,
}  # fmt: skip


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
        return [*[np.sum(y, axis=a) for a in axes], np.sum(np.transpose(x, (3, 2, 1, 0)), axis=1), np.sum(x, axis=(0, 2), keepdims=True)]

    agree(f, [x], 1e-12 if dtype == "float64" else 1e-5)


JOINS = {
    "stack": lambda a, b: np.stack([a, b, a + b]), "stack inside": lambda a, b: np.stack([a * b, np.exp(a)], axis=1),
    "stack last": lambda a, b: np.stack([a, a], axis=-1), "concatenate": lambda a, b: np.concatenate([a, b[:1], b * a]),
    "concatenate columns": lambda a, b: np.concatenate([a, b, np.ones((3, 2))], axis=1), "pad": lambda a, b: np.pad(a * b, 1),
    "pad with": lambda a, b: np.pad(a, ((0, 1), (2, 0)), constant_values=3.0), "of scalars": lambda a, b: np.stack([a[0, 0], b[1, 1] * 2.0]),
    "of a stack": lambda a, b: np.tanh(np.stack([a, b]))[:, 1:], "of views": lambda a, b: np.concatenate([a.T, b.T]),
    "strided": lambda a, b: Array(TABLE["scatter"].make((a.node,), (((0, 6, 2), (3, -5, -1)), (6, 4)))),
}  # fmt: skip


def test_joins():
    a, b = np.random.default_rng(2).normal(size=(2, 3, 4))
    agree(lambda a, b: [join(a, b) for join in JOINS.values()], [a, b])


# ---- contractions --------------------------------------------------------------------------------------------------------

SPECS = """ab,bc->ac ab,cb->ac ba,bc->ac ba,cb->ac ab,bc->ca ba,cb->ca ab,b->a ab,a->b a,ab->b a,ba->b a,a-> a,b->ab a,b->ba ab,ab->
    ab,ab->a ab,ab->b ab,ab->ab abc,abd->acd abc,abd->adc abc,adb->acd abc,dac->abd abc,cd->abd abc,dc->adb abc,bcd->ad abc,abd->cda
    abc,cb->a abcd,cdef->abef abcd,badc->ab ab,ac->abc abc,c->ab acb,abd->cda abc,d->dabc""".split()


def shapes_of(spec: str, size: dict[str, int]) -> list[tuple[int, ...]]:
    return [tuple(size[c] for c in letters) for letters in spec.split("->")[0].split(",")]


@pytest.mark.parametrize("size", [dict(zip("abcdef", (3, 4, 2, 5, 2, 3), strict=True)),
                                  dict(zip("abcdef", (9, 12, 11, 10, 13, 4), strict=True)),
                                  dict(zip("abcdef", (1, 40, 30, 20, 1, 2), strict=True)),
                                  dict(zip("abcdef", (3, 0, 2, 4, 2, 1), strict=True))], ids=["small", "large", "ones", "empty"])  # fmt: skip
def test_contractions(size):
    rng = np.random.default_rng(4)
    numbers = [rng.normal(size=shape) for spec in SPECS for shape in shapes_of(spec, size)]

    def f(*xs):
        found = [np.einsum(spec, *xs[2 * i : 2 * i + 2]) for i, spec in enumerate(SPECS)]
        return [*found, *[np.tanh(y) for y in found], np.sin(xs[0]) @ xs[1][:, ::2], xs[0][1:] @ xs[1]]

    agree(f, numbers, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
def test_contractions_of_other_dtypes(dtype):
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-5, 5, (20, 20)).astype(dtype) for _ in range(2))
    agree(lambda a, b: [a @ b, a.T @ b, a @ b[0], np.einsum("ij,ij->", a, b), np.outer(a[0], b[0])], [a, b], 1e-4)


# ---- dtypes --------------------------------------------------------------------------------------------------------------

INTEGERS = {
    "arithmetic": lambda i, j: i * j - 3 * i + 7, "division": lambda i, j: i / j, "remainder": lambda i, j: np.remainder(i, j),
    "fmod": lambda i, j: np.fmod(i, j), "by zero": lambda i, j: np.remainder(i, j // 5) + np.fmod(i, 0 * j), "floor_divide": lambda i, j: i // j, "power": lambda i, j: i**2 + np.abs(j) ** np.abs(i % 3),
    "compare": lambda i, j: (i < j) | (i == 3), "maximum": lambda i, j: np.maximum(i, j) - np.minimum(i, 0), "sign": lambda i, j: np.sign(i),
    "float": lambda i, j: np.sqrt(np.abs(i)) * 0.5, "where": lambda i, j: np.where(i > j, i, 0.5), "cast": lambda i, j: i.astype(np.float32) * 0.1,
    "truncate": lambda i, j: (i * 0.7).astype(np.int64), "to bool": lambda i, j: i.astype(bool), "not": lambda i, j: np.logical_xor(~(i > 0), j > 0),
    "bool sum": lambda i, j: np.sum(i > j, axis=0) + np.sum(i > 0), "bool arithmetic": lambda i, j: (i > 0) + (j > 0),
    "bool times": lambda i, j: (i > 0) * i * 2.5, "any": lambda i, j: np.any(i > 3) & np.all(j != 0), "mean": lambda i, j: np.mean(i, axis=1),
    "and": lambda i, j: np.logical_and(i, j - 1) | np.logical_not(i), "isnan": lambda i, j: np.isnan(i) | np.isfinite(j),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint32"])
def test_integers_and_conditions(dtype):
    rng = np.random.default_rng(6)
    i, j = rng.integers(0 if dtype[0] == "u" else -9, 9, (6, 7)), rng.integers(1, 9, (6, 7))
    j *= 1 if dtype[0] == "u" else rng.choice([-1, 1], (6, 7))
    agree(lambda i, j: [f(i, j) for f in INTEGERS.values()], [i.astype(dtype), j.astype(dtype)], 1e-7)


def test_float32_stays_float32():
    a, b = np.random.default_rng(8).normal(size=(2, 40, 40)).astype(np.float32)

    def f(a, b):
        return [np.exp(a) * 0.5 + b / 3, np.tanh(a @ b + 1.0), np.mean(a * a), np.where(a > 0, a, 0.1), np.sin(a * 100.0), abs(a) ** 0.3]

    for y in agree(f, [a, b], 2e-5):
        assert y.dtype == np.float32


# ---- numbers are numpy's -------------------------------------------------------------------------------------------------


def test_deliberate_rounding_survives():
    x = np.array([1e-17, 1e-9, 0.3, 1e20])
    (y, z), big = agree(lambda x: [(x + 1.0) - 1.0, (x * 3.0) / 3.0], [x], 0.0), 1.5 * 2.0**52
    assert y[0] == 0.0 and y[1] != x[1]
    np.testing.assert_array_equal(agree(lambda x: [(x + big) - big], [np.array([0.4, 1.6, 2.5])], 0.0)[0], [0.0, 2.0, 2.0])


def test_what_is_not_finite_is_seen():
    x = np.array([[1.0, np.nan], [np.inf, 2.0], [-np.inf, np.inf]])
    agree(lambda x: [x * 0.0, np.sum(x, axis=0), np.sum(x, axis=1), np.sum(x), x @ x.T, np.max(x, axis=1), np.sin(x), np.where(x > 0, x, 0.0),
                     np.log(x), np.maximum(x, 0.0), x - x], [x])  # fmt: skip


@pytest.mark.parametrize("dtype", [FLOAT, SINGLE])
def test_sine_of_large_numbers(dtype):
    x = np.concatenate([np.linspace(-5, 5, 1000), [1e7, -1e16, 1e22]]).astype(dtype)
    agree(lambda x: [np.sum(np.sin(x) * np.cos(3.0 * x)), np.sin(x), np.sum(np.cos(np.reshape(x, (17, 59))), axis=0)], [x],
          1e-12 if dtype == FLOAT else 1e-4)  # fmt: skip


def test_long_sums_are_as_good_as_numpys():
    x = np.random.default_rng(9).normal(size=1_000_000)
    agree(lambda x: [np.sum(x * x), np.sum(x), np.sum(np.reshape(x, (1000, 1000)), axis=0)], [x], 1e-10)


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


def test_a_wrong_shape_is_told():
    (x,) = symbols([np.zeros(3)])
    program = compiled([x], [x * 2.0])
    with pytest.raises((ArgumentError, ValueError), match="shape"):
        program(np.zeros(4))


def test_nothing_and_no_inputs():
    empty = np.zeros((0, 3))
    agree(lambda x: [np.sum(x), np.sum(x, axis=0), np.exp(x), x.T @ x, np.concatenate([x, np.ones((1, 3))]), np.stack([x, x])], [empty])
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


def random_program(seed: int):
    """(inputs, outputs): thirty random operations on small arrays."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 4), (4,), (), (4, 4), (2, 3, 4)]
    numbers = [rng.uniform(-1, 1, s) for s in shapes]
    arrays = symbols(numbers)
    pool = list(arrays)

    def pick(*conditions):
        fit = [p for p in pool if all(c(p) for c in conditions)]
        return fit[rng.integers(len(fit))] if fit else None

    for _ in range(30):
        kind = rng.integers(12)
        a = pool[rng.integers(len(pool))]
        like = pick(lambda p, a=a: p.shape in (a.shape, (), a.shape[1:]) or p.shape == a.shape[-1:])
        if kind <= 2:
            y = (np.add, np.subtract, np.multiply)[kind](a, like)
        elif kind == 3:
            y = (np.tanh, np.sin, np.exp, np.abs, np.arctan)[rng.integers(5)](a)
            y = np.tanh(y)
        elif kind == 4:
            y = np.where(a > 0.1, a, like * 0.5)
        elif kind == 5 and a.ndim:
            y = np.mean(a, axis=int(rng.integers(a.ndim)), keepdims=bool(rng.integers(2)))
        elif kind == 6 and a.ndim:
            y = np.transpose(a, rng.permutation(a.ndim).tolist())
        elif kind == 7 and a.ndim:
            start = int(rng.integers(a.shape[0]))
            y = a[start] if rng.integers(2) else a[start::-1]
        elif kind == 8 and a.ndim:
            b = pick(lambda p, a=a: p.ndim and p.shape[0] == a.shape[-1] and p.ndim <= 2)
            y = np.tanh(np.tensordot(a, b, 1)) if b is not None else np.reshape(a, (-1,))
        elif kind == 9 and a.ndim:
            y = np.stack([a, np.tanh(like) + a], axis=int(rng.integers(a.ndim + 1))) if a.size < 200 else a * 2.0
        elif kind == 10 and a.ndim:
            y = np.concatenate([a, a[:1]]) if a.size < 200 else np.max(a, axis=0)
        else:
            y = 1.0 / (1.5 + np.tanh(a))
        pool.append(y)
    return arrays, numbers, [p for p in pool[len(arrays) :] if rng.random() < 0.3] + [np.sum(pool[-1])]


@pytest.mark.parametrize("seed", range(25))
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
