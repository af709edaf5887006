"""The table of primitives, tested by being there: a primitive that is added is tested here, or fails for want of an example."""

from __future__ import annotations

import inspect
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.array import Array, call, lift
from autodiff.primitive import TABLE, Elementwise
from autodiff.rules.layout import Indices
from autodiff.transforms import Batch

INDICES = Indices(np.array([[2, 0], [2, 1]]))


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


@dataclass(frozen=True)
class Example:
    """A primitive with an attribute and arguments; those that are floats are differentiated."""

    name: str
    attr: Any
    args: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        return f"{self.name}-{'x'.join(str(a.shape) for a in self.args)}".replace(" ", "")

    @property
    def op(self):
        return TABLE[self.name]

    def make(self, nodes: tuple) -> Any:
        """The node of the primitive, or of a function that is hardly more than it."""
        made = WITHIN.get(self.name)
        return self.op.make(nodes, self.attr) if made is None else lift(made(*map(Array, nodes)))

    def function(self, *xs):
        """The primitive as a numpy function: numbers in, numbers out; Arrays in, Array out."""
        y = Array(self.make(tuple(lift(x) for x in xs)))
        return y if any(isinstance(x, Array) for x in xs) else y.numpy()

    @property
    def moving(self) -> list[int]:
        return [i for i, a in enumerate(self.args) if a.dtype.kind == "f"]


def arity(op: Elementwise) -> int:
    for f, extra in ((op.derivative, 1), (op.value, 0)):
        if isinstance(f, np.ufunc):
            return f.nin
        if f is not None:
            return len(inspect.signature(f).parameters) - extra
    raise AssertionError(op)


def sample(op: Elementwise, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    low, high = op.domain
    x = rng.uniform(low, high, shape)
    for kink in op.avoid:
        near = np.abs(x - kink) < 0.05
        x = np.where(near, x + np.where(x < kink, -0.1, 0.1), x)
    return x


NAMES = frozenset(TABLE)  # more are declared on demand: a cast for each dtype, a derivative of sinc for each order


def elementwise_examples() -> list[Example]:
    found = []
    for name in sorted(NAMES):
        op = TABLE[name]
        if isinstance(op, Elementwise):
            rng, n = rng_of(name), arity(op)
            for shapes in ([(4,)], [(2, 3)]) if n == 1 else ([(4,), (4,)], [(2, 3), (3,)], [(1, 3), (2, 1)]):
                found.append(Example(name, None, tuple(sample(op, s, rng) for s in shapes)))
    return found


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape)


# name: [(attribute, arguments), ...] of the primitives whose attribute says what they do
EXAMPLES: dict[str, list[tuple[Any, tuple[np.ndarray, ...]]]] = {
    "contract": [(spec, (normal(*a), normal(*b))) for spec, a, b in (
        ("a,a->", (3,), (3,)), ("ab,b->a", (2, 3), (3,)), ("a,ab->b", (3,), (3, 2)), ("ab,bc->ac", (2, 3), (3, 4)),
        ("a,b->ab", (2,), (3,)), ("abc,acd->abd", (2, 3, 2), (2, 2, 3)), ("ab,cb->ca", (2, 3), (4, 3)),
        ("ab,ab->", (2, 3), (2, 3)),
        ("ab,a->b", (3, 2), (3,)), ("a,ba->b", (3,), (5, 3)),
    )],
    "gated": [(None, (np.array([0.0, 2.0, -1.0]), normal(3))), (None, (np.array([[0.5], [0.0]]), normal(3)))],
    "where": [(None, (normal(2, 3) > 0, normal(2, 3), normal(3))), (None, (normal(3) > 0, normal(2, 3), normal(2, 1)))],
    "sum": [((0,), (normal(3),)), ((1,), (normal(2, 3),)), ((0, 2), (normal(2, 3, 2),))],
    "broadcast": [((2, 3), (normal(3),)), ((2, 3), (normal(2, 1),)), ((4, 2, 3), (normal(1, 3),))],
    "reshape": [((6,), (normal(2, 3),)), ((3, 1, 2), (normal(2, 3),)), ((1, 3), (normal(3),))],
    "transpose": [((1, 0), (normal(2, 3),)), ((2, 0, 1), (normal(2, 3, 4),))],
    "index": [((1,), (normal(3),)), (((0, 3, 2),), (normal(4),)), ((1, (2, -1, -1)), (normal(2, 3),)),
              (((0, 2, 1), 0), (normal(2, 3),))],
    "scatter": [(((1,), (3,)), (np.array(1.5),)), ((((0, 4, 2),), (4,)), (normal(2),)),
                (((1, (0, 3, 1)), (2, 3)), (normal(3),))],
    "take": [(INDICES, (normal(3),)), (INDICES, (normal(3, 2),))],
    "spread": [((INDICES, (3,)), (normal(2, 2),)), ((INDICES, (3, 2)), (normal(2, 2, 2),))],
    "stack": [(0, (normal(3), normal(3) + 1)), (1, (normal(3), normal(3) + 1)), (2, (normal(2, 3), normal(2, 3) * 2))],
    "concatenate": [(0, (normal(3), normal(2))), (1, (normal(2, 3), normal(2, 1)))],
    "cumsum": [((0, False), (normal(4),)), ((1, True), (normal(2, 3),))],
    "argsort": [(0, (normal(5),)), (1, (normal(2, 4),))],
    "argmax": [(0, (normal(5),)), (1, (normal(2, 4),))],
    "argmin": [(0, (normal(5),)), (0, (normal(2, 4),))],
    "gather": [(0, (np.array([2, 0, 2]), normal(3))), (1, (np.array([[1, 1], [0, 2]]), normal(2, 3)))],
    "put": [((0, 4), (np.array([2, 0, 2]), normal(3))), ((1, 3), (np.array([[1, 1], [0, 2]]), normal(2, 2)))],
    "max": [((0,), (normal(4),)), ((0, 1), (normal(2, 3),)), ((1,), (np.array([[1.0, 3.0, 3.0]]),))],
    "min": [((0,), (normal(4),)), ((1,), (normal(2, 3),))],
    "shares": [(("max", (0,)), (np.array([1.0, 3.0, 3.0, 2.0]),)), (("min", (1,)), (normal(2, 3),))],
    "same": [(7, (normal(2, 3),))],
    "solve": [(None, (normal(3, 3), normal(3, 2))), (None, (normal(2, 2, 2), normal(2, 2, 1)))],
    "inv": [(None, (normal(3, 3),)), (None, (normal(2, 2, 2),))],
    "pinv": [(None, (normal(3, 2),)), (None, (normal(2, 3),)), (None, (normal(2, 2, 3),))],
    "cofactors": [(None, (normal(3, 3),)), (None, (normal(2, 2, 2),)), (None, (normal(3, 3), normal(3, 3) - 0.3)),
                  (None, (normal(4, 4), normal(4, 4) - 0.3, normal(4, 4) + 0.2))],
    "det": [(None, (normal(3, 3),)), (None, (normal(2, 4, 4),)), (None, (np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]),))],
    "slogdet": [(None, (normal(3, 3),)), (None, (normal(2, 2, 2),))],
    "gaps": [("values", (normal(3),)), ("values", (normal(2, 3),))],
} | {name: [(None, (normal(2, 3),)), (None, (normal(2, 2, 3),))] for name in
     ("cholesky", "eigh", "eigenvalues", "eigenvectors", "svd", "svd_s", "svd_u", "svd_v")} | {
    name: [(None, (normal(3, 2),)), (None, (normal(2, 3, 3),))] for name in ("qr", "qr_q", "qr_r")
}  # fmt: skip


def gram(x):
    """A matrix as those that the primitive is for: symmetric and positive definite."""
    return x @ np.swapaxes(x, -1, -2)


def thin(x):
    return np.linalg.svd(x, full_matrices=False)


# primitives that only mean something together: a factorisation, and what is picked from it
WITHIN = {
    "cholesky": lambda x: np.linalg.cholesky(gram(x)),
    "eigh": lambda x: np.concatenate([v if v.ndim == x.ndim else v[..., None, :] for v in np.linalg.eigh(gram(x))], -2),
    "eigenvalues": lambda x: np.linalg.eigvalsh(gram(x)),
    "eigenvectors": lambda x: np.linalg.eigh(gram(x)).eigenvectors,
    "gaps": lambda w: 1.0 / call(TABLE["gaps"], w, attr="values"),  # infinite on the diagonal
    "svd": lambda x: thin(x).U @ (thin(x).S[..., None] ** 2 * thin(x).Vh),
    "svd_s": lambda x: np.linalg.svdvals(x),
    "svd_u": lambda x: thin(x).U,
    "svd_v": lambda x: thin(x).Vh,
    "qr": lambda x: np.linalg.qr(x).Q @ np.linalg.qr(x).R ** 2,
    "qr_q": lambda x: np.linalg.qr(x).Q,
    "qr_r": lambda x: np.linalg.qr(x).R,
}
ELSEWHERE = {"sum_points", "custom_gradient", "cond", "loop", "assigned"}  # have tests of their own

CASES = elementwise_examples() + [Example(name, attr, args) for name, several in EXAMPLES.items() for attr, args in several]


def is_smooth(case: Example) -> bool:
    """Whether the example has a derivative there: it is none of conditions, positions and ties."""
    if not case.moving or getattr(case.op, "derivative", True) is None or case.function(*case.args).dtype.kind != "f":
        return False
    return case.name not in ("max", "min", "shares") or np.unique(case.args[0]).size == case.args[0].size


SMOOTH = [c for c in CASES if is_smooth(c)]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_smooth = pytest.mark.parametrize("case", SMOOTH, ids=str)


def test_every_primitive_has_an_example():
    assert NAMES == {c.name for c in CASES} | ELSEWHERE


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.op, Elementwise)], ids=str)
def test_the_domain_is_one_where_the_function_is_finite(case):
    assert np.all(np.isfinite(case.function(*case.args)))


@each_smooth
def test_forward_reverse_and_differences_agree(case):
    ad.check_derivatives(lambda *xs: on(case, xs), *(case.args[i] for i in case.moving), order=2)


def on(case: Example, moving) -> Any:
    """The primitive at its example, with the floats exchanged."""
    given = list(case.args)
    for i, x in zip(case.moving, moving, strict=True):
        given[i] = x
    return case.function(*given)


@each_smooth
def test_taylor_is_nested_forward(case):
    order = min(getattr(case.op, "order", 5), 5)
    xs = tuple(case.args[i] for i in case.moving)
    rng = rng_of(case.name)
    series = tuple([0.3 * rng.normal(size=x.shape) for _ in range(order)] for x in xs)

    def along(t):
        path = [x + sum(c * (t**k / np.prod(range(1, k + 1), dtype=float)) for k, c in enumerate(cs, 1))
                for x, cs in zip(xs, series, strict=True)]  # fmt: skip
        return on(case, path)

    value, terms = ad.jet(lambda *ys: on(case, ys), xs, series)
    np.testing.assert_allclose(value, on(case, xs), rtol=1e-14)
    f = along
    for k in range(order):
        f = slope_of(f)
        scale = 1.0 + np.max(np.abs(terms[k]), initial=0.0)
        np.testing.assert_allclose(terms[k], f(0.0), rtol=1e-9, atol=1e-10 * scale)


def slope_of(f):
    return lambda t: ad.jvp(f, (t,), (1.0,))[1]


@each_smooth
def test_reverse_nests_in_itself(case):
    """The gradient of a weighted sum, differentiated again in reverse, is the Hessian that forward over reverse finds."""
    xs = tuple(case.args[i] for i in case.moving)
    weights = rng_of(case.name).normal(size=on(case, xs).shape)

    def scalar(*ys):
        return np.sum(on(case, ys) * weights) + 0.5 * sum(np.sum(y * y) for y in ys)

    numbers = tuple(range(len(xs)))
    directions = tuple(rng_of(case.name + "v").normal(size=x.shape) for x in xs)

    def slope(*ys):
        return sum(np.sum(g * d) for g, d in zip(ad.grad(scalar, numbers)(*ys), directions, strict=True))

    forward_over_reverse = ad.jvp(ad.grad(scalar, numbers), xs, directions)[1]
    for a, b in zip(ad.grad(slope, numbers)(*xs), forward_over_reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@each_smooth
def test_single_precision_stays_single(case):
    xs = tuple(case.args[i] for i in case.moving)
    singles = tuple(x.astype(np.float32) for x in xs)
    value, tangent = ad.jvp(lambda *ys: on(case, ys), singles, singles)
    assert value.dtype == tangent.dtype == np.float32
    scale = 1.0 + np.max(np.abs(on(case, xs)))
    np.testing.assert_allclose(value, on(case, xs), rtol=1e-5, atol=1e-5 * scale)
    reference = ad.jvp(lambda *ys: on(case, ys), xs, xs)[1]
    np.testing.assert_allclose(tangent, reference, rtol=1e-4, atol=1e-4 * (1.0 + np.max(np.abs(reference))))


POINTS = 3


@each_case
def test_the_interpreter_loops_over_points(case):
    """A program with arguments per point means: the same program at every point."""
    rng = rng_of(case.name)
    n = len(case.args)
    for lanes in {(True,) * n, (True,) + (False,) * (n - 1), (False,) * (n - 1) + (True,)}:
        clouds = [np.stack([rng.permutation(a.ravel()).reshape(a.shape) for _ in range(POINTS)]) if lane else a
                  for a, lane in zip(case.args, lanes, strict=True)]  # fmt: skip
        leaves = [ad.symbol((i, case.name), a.shape, a.dtype, ad.POINT if lane else ad.SHARED)
                  for i, (a, lane) in enumerate(zip(case.args, lanes, strict=True))]  # fmt: skip
        y = case.make(tuple(leaves))
        (values,) = ad.evaluate([y], dict(zip(leaves, clouds, strict=True)), points=POINTS)
        assert values.shape == (POINTS, *y.shape) and values.dtype == y.dtype
        for p in range(POINTS):
            at = [c[p] if lane else c for c, lane in zip(clouds, lanes, strict=True)]
            np.testing.assert_allclose(values[p], case.function(*at), rtol=1e-14, atol=1e-15)


@each_case
def test_a_batch_is_a_loop(case):
    rng = rng_of(case.name)
    n = len(case.args)
    for batched in {(True,) * n, (True,) + (False,) * (n - 1), (False,) * (n - 1) + (True,)}:
        stacks = [np.stack([rng.permutation(a.ravel()).reshape(a.shape) for _ in range(POINTS)]) for a in case.args]
        leaves = [ad.symbol((i, case.name, "batch"), a.shape, a.dtype, ad.SHARED) for i, a in enumerate(case.args)]
        wholes = {leaf: lift(s) for leaf, s, b in zip(leaves, stacks, batched, strict=True) if b}
        y = Batch(wholes, POINTS).of(case.make(tuple(leaves)))
        rest = {leaf: s[0] for leaf, s, b in zip(leaves, stacks, batched, strict=True) if not b}
        (values,) = ad.evaluate([y], rest)
        for p in range(POINTS):
            at = [s[p] if b else s[0] for s, b in zip(stacks, batched, strict=True)]
            np.testing.assert_allclose(values[p], case.function(*at), rtol=1e-13, atol=1e-14)


def test_a_sum_over_points_is_a_sum():
    x = ad.symbol("cloud", (2,), lane=ad.POINT)
    cloud = normal(4, 2)
    total = TABLE["sum_points"].make((x,))
    assert total.lane is ad.SHARED
    np.testing.assert_allclose(ad.evaluate([total], {x: cloud}, points=4)[0], cloud.sum(0))
    seed = ad.symbol("seed", (2,), lane=ad.SHARED)
    (ct,) = ad.reverse([total], [seed], [x])
    np.testing.assert_array_equal(ad.evaluate([ct], {seed: np.array([2.0, 3.0])})[0], [2.0, 3.0])
