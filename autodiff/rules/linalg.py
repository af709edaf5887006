"""numpy.linalg: factorisations, inverses and determinants of the last two axes, any number of axes before them.

Each rule is written with the outputs themselves and with products, so that derivatives of any order follow from the first one:
d inv = -inv dA inv knows its own derivative.  Reverse mode is the transpose of forward mode.  (Giles 2008, "Collected matrix
derivative results"; Golub & Pereyra 1973 for the pseudoinverse; Walter & Lehmann 2010, arXiv:1001.1654, for QR.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..array import Array, call, lift, space_of
from ..errors import DegenerateWarning, MatrixError, NoRuleError, ShapeError, user_location
from ..graph import Node, datum
from ..primitive import BROADCAST, TABLE, Opaque, implements
from .layout import normal_axes
from .order import no_cotangents, no_tangent

INTEGER = np.dtype(np.int64)


# ---- what all rules share -----------------------------------------------------------------------------------------------


def _arrays(*xs: Any) -> list[Array]:
    """Arrays of one inexact dtype."""
    space = space_of(*xs)
    arrays = [Array(lift(x), space) for x in xs]
    dtype = np.result_type(np.float32, *[a.dtype for a in arrays])
    return [a.astype(dtype) for a in arrays]


def _matrix(name: str, a: Any, square: bool = True) -> Array:
    (a,) = _arrays(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        what = "square matrices" if square else "matrices"
        raise ShapeError(f"np.linalg.{name} needs {what} in the last two axes, not shape {a.shape}", code="matrix-shape",
                         fix="np.reshape(a, (n, n)); np.linalg.lstsq solves what is not square")  # fmt: skip
    return a


def _t(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _symmetric(x: Array) -> Array:
    return 0.5 * (x + _t(x))


@lru_cache(maxsize=256)
def _mask(kind: str, n: int, dtype: np.dtype) -> Array:
    """Triangles as factors; one node each, so that equal expressions meet."""
    masks = {"half": np.tri(n) - 0.5 * np.eye(n), "below": np.tri(n, k=-1), "lower": np.tri(n)}
    return Array(datum(masks[kind].astype(dtype)))


def _masked(kind: str, x: Array) -> Array:
    return _mask(kind, x.shape[-1], x.dtype) * x


def _opaque(name: str, value: Callable, shape: Callable, forward: Callable, reverse: Callable | None = None,
            **options: Any) -> Opaque:  # fmt: skip
    """An opaque primitive on the last axes: whatever stands before them is a batch already."""
    primitive = Opaque(name, value, shape, forward, reverse, batch=lambda n, attr, *args: primitive.make(args, attr), **options)
    return primitive


def _unmoved(name: str, value: Callable, shape: Callable, kernel: Callable) -> Opaque:
    """A factorisation that others pick from and give derivatives to."""
    return _opaque(name, value, shape, no_tangent, no_cotangents, picks=True, kernel=kernel)


def _sizes(a: Node) -> tuple[int, int, int]:
    """For kernels: how many matrices, their rows and their columns."""
    rows, columns = a.shape[-2:]
    return math.prod(a.shape[:-2]), rows, columns


def _squares(a: Node) -> tuple[int, int]:
    return math.prod(a.shape[:-2]), a.shape[-1]


def _part(rows: Callable[[Node], tuple[int, int]]) -> Callable:
    """For kernels: some rows, (start, stop), of each factorisation."""

    def kernel(attr: Any, a: Node, whole: Node) -> tuple:
        (start, stop), columns = rows(a), whole.shape[-1]
        return "part", math.prod(a.shape[:-2]), whole.shape[-2] * columns, start * columns, (stop - start) * columns

    return kernel


def _moved(rule: Callable) -> Callable:
    """A forward rule in Arrays, of the tangent of the first argument."""

    def forward(node: Node, tangents: list[Node | None]) -> Node | None:
        return None if tangents[0] is None else rule(Array(node), Array(tangents[0]), *map(Array, node.args)).node

    return forward


def _careful(name: str, value: Callable) -> Callable:
    """The same, with a failure of numpy told as one of ours."""

    def careful(attr: Any, batch: int, *xs: np.ndarray) -> np.ndarray:
        try:
            return value(attr, batch, *xs)
        except np.linalg.LinAlgError as error:
            raise MatrixError(f"np.linalg.{name}: {str(error).lower()}", why=_why(name, xs[0]), fix=_fix(name),
                              code="matrix") from None  # fmt: skip

    return careful


def _finite(a: np.ndarray) -> np.ndarray:
    """The same, or LinAlgError: of a matrix with inf LAPACK may never end to seek the singular values."""
    if not np.isfinite(a).all():
        raise np.linalg.LinAlgError("SVD did not converge")
    return a


def _why(name: str, a: np.ndarray) -> str:
    if not np.all(np.isfinite(a)):
        return "it holds numbers that are not finite"
    if name == "cholesky":
        low = np.linalg.eigvalsh(a)[..., 0]
        return f"the smallest eigenvalue is {np.min(low):.3g}"
    if name not in ("solve", "inv"):
        return "the iteration of LAPACK did not end"
    s = np.linalg.svd(a, compute_uv=False)
    return f"its singular values reach from {np.max(s):.3g} down to {np.min(s):.3g}"


def _fix(name: str) -> str:
    if name == "cholesky":
        return "np.linalg.cholesky(a + 1e-9 * np.eye(n)), if it should be positive definite"
    if name in ("solve", "inv"):
        return "np.linalg.lstsq, np.linalg.pinv, or a + 1e-9 * np.eye(n)"
    return 'ad.check_numerics(a, "the matrix") tells where it is not finite'


# ---- solve and inv ------------------------------------------------------------------------------------------------------


def _solve_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    (a, _), (ta, tb) = node.args, tangents
    right = None if tb is None else Array(tb)
    if ta is not None:
        bent = -(Array(ta) @ Array(node))
        right = bent if right is None else right + bent
    return None if right is None else SOLVE.make((a, right.node))


def _solve_reverse(node: Node, ct: Node) -> list[Node]:
    b = SOLVE.make((_t(Array(node.args[0])).node, ct))
    return [(-(Array(b) @ _t(Array(node)))).node, b]


def _solve_taylor(node: Node, k: int, coefficient: Callable[[Node, int], Node | None]) -> Node | None:
    """A_0 x_k = b_k - sum_{j=1..k} A_j x_{k-j}."""
    a, b = node.args
    bk = coefficient(b, k)
    right = None if bk is None else Array(bk)
    for j in range(1, k + 1):
        aj, xj = coefficient(a, j), coefficient(node, k - j)
        if aj is not None and xj is not None:
            bent = -(Array(aj) @ Array(xj))
            right = bent if right is None else right + bent
    return None if right is None else SOLVE.make((a, right.node))


def _solve_batch(n: int, attr: None, a: Node, b: Node) -> Node:
    if a.op is not BROADCAST or a.args[0].shape != a.shape[1:]:
        return SOLVE.make((a, b))
    # one matrix for all: their right sides stand side by side, and it is factored once
    right = np.moveaxis(Array(b), 0, -2)
    x = Array(SOLVE.make((a.args[0], np.reshape(right, (*b.shape[1:-1], n * b.shape[-1])).node)))
    return np.moveaxis(np.reshape(x, (*b.shape[1:-1], n, b.shape[-1])), -2, 0).node


SOLVE = Opaque("solve", _careful("solve", lambda attr, batch, a, b: np.linalg.solve(a, b)), lambda attr, a, b: b.shape,
               _solve_forward, _solve_reverse, taylor=_solve_taylor, batch=_solve_batch,
               kernel=lambda attr, a, b: ("solve", *_sizes(b)))  # fmt: skip
INV = _opaque("inv", _careful("inv", lambda attr, batch, a: np.linalg.inv(a)), lambda attr, a: a.shape,
              _moved(lambda y, t, a: -(y @ t @ y)), kernel=lambda attr, a: ("inv", *_squares(a)))  # fmt: skip


@implements(np.linalg.solve)
def solve(a, b):
    a, b = _arrays(_matrix("solve", a), b)
    if b.ndim == 0 or b.shape[-1 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ShapeError(f"np.linalg.solve cannot meet a matrix of shape {a.shape} with a right side of shape {b.shape}",
                         why="the right side has as many rows as the matrix", fix="np.linalg.solve(a, b.T)",
                         code="matrix-shape")  # fmt: skip
    columns = b[:, None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    x = call(SOLVE, np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(columns, lead + columns.shape[-2:]))
    return x[..., 0] if b.ndim == 1 else x


@implements(np.linalg.inv)
def inv(a):
    return call(INV, _matrix("inv", a))


_CUT = 1e-15  # numpy's: singular values up to it, times the largest, count as zero


def _pinv_moved(y: Array, t: Array, a: Array) -> Array:
    left, right = y @ _t(y) @ _t(t), _t(t) @ _t(y) @ y
    return left - left @ a @ y + right - y @ (a @ right) - y @ t @ y


PINV = _opaque("pinv", _careful("pinv", lambda cut, batch, a: np.linalg.pinv(_finite(a), rcond=cut)),
               lambda cut, a: (*a.shape[:-2], a.shape[-1], a.shape[-2]), _moved(_pinv_moved),
               kernel=lambda cut, a: ("pinv", *_sizes(a), np.array([cut]).view(np.int64)))  # fmt: skip


@implements(np.linalg.pinv)
def pinv(a, rcond=None, hermitian=False, *, rtol=np._NoValue):
    """The pseudoinverse; its derivative is that along matrices of the same rank, elsewhere there is none."""
    a = _matrix("pinv", a, square=False)
    cut = rtol if rcond is None or rcond is np._NoValue else rcond
    if cut is None:  # numpy's other default, asked for by rtol=None
        cut = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    return call(PINV, a, attr=float(_CUT if cut is np._NoValue else cut))


@implements(np.linalg.lstsq)
def lstsq(a, b, rcond=None):
    """(x, residuals, rank, singular values) for matrices of full rank."""
    a, b = _arrays(_matrix("lstsq", a, square=False), b)
    m, n = a.shape[-2:]
    x = np.linalg.pinv(a) @ b
    d = b - a @ x
    left = np.sum(d * d, axis=0) if m > n else np.zeros((0,), a.dtype)
    return x, left if b.ndim > 1 or m <= n else left[None], np.linalg.matrix_rank(a), np.linalg.svdvals(a)


# ---- determinants -------------------------------------------------------------------------------------------------------


def _products_of_others(s: np.ndarray) -> np.ndarray:
    """prod_{j != i} s_j along the last axis, without division."""
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([one, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([one, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _cofactors(a: np.ndarray) -> np.ndarray:
    """The gradient of det, from the singular values: exact where the matrix has no inverse."""
    u, s, v = np.linalg.svd(_finite(a))
    phase = np.linalg.det(u) * np.linalg.det(v)
    return phase[..., None, None] * ((u.conj() * _products_of_others(s)[..., None, :]) @ v.conj())


def _cofactors_value(attr: None, batch: int, a: np.ndarray, *bs: np.ndarray) -> np.ndarray:
    """D^k cof(A)[B_1, ..., B_k]: the coefficient of t_1 ... t_k in cof(A + sum_i t_i B_i).

    A polynomial of degree below n in each t_i, so its values at the n-th roots of unity give the coefficient exactly.
    """
    if not bs:
        return _cofactors(a)
    n = a.shape[-1]
    roots = np.exp(2j * np.pi * np.arange(n) / n)[:, None, None]
    size = np.linalg.norm(a, axis=(-2, -1), keepdims=True)
    moved, divisor = a.astype(complex), np.ones_like(size)
    for i, b in enumerate(bs, 1):
        length = np.linalg.norm(b, axis=(-2, -1), keepdims=True)
        # steps as long as the matrix: no digits are lost in the difference
        step = np.where(size > 0, size, 1.0) / np.where(length > 0, length, 1.0)
        whole = np.expand_dims(step * b, tuple(range(-i - 2, -2)))
        moved, divisor = moved[..., None, :, :] + whole * roots, divisor * step
    values = _cofactors(moved)
    for _ in bs:
        values = np.sum(values * (roots.conj() / n), axis=-3)
    return (values.real / divisor).astype(a.dtype)


def _cofactors_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    (a, *bs), (ta, *tbs) = node.args, tangents
    total = None if ta is None else _cofactors_of(a, [*bs, ta])
    for i, t in enumerate(tbs):
        if t is not None:
            part = _cofactors_of(a, [*bs[:i], t, *bs[i + 1 :]])
            total = part if total is None or part is None else TABLE["add"].make((total, part))
    return total


def _cofactors_reverse(node: Node, ct: Node) -> list[Node | None]:
    # sum(ct * D^k cof(A)[B]) = D^{k+1} det(A)[ct, B], which is symmetric in all its directions
    a, *bs = node.args
    return [_cofactors_of(a, [*bs, ct]), *(_cofactors_of(a, [*bs[:i], *bs[i + 1 :], ct]) for i in range(len(bs)))]


def _cofactors_of(a: Node, bs: list[Node]) -> Node | None:
    if len(bs) >= a.shape[-1]:
        return None  # cof has degree n - 1
    return COFACTORS.make((a, *sorted(bs, key=lambda b: b.serial)))


COFACTORS = _opaque("cofactors", _careful("det", _cofactors_value), lambda attr, a, *bs: a.shape, _cofactors_forward,
                    _cofactors_reverse,
                    kernel=lambda attr, a, *bs: ("cofactors_along" if bs else "cofactors", *_squares(a)))  # fmt: skip
DET = _opaque("det", lambda attr, batch, a: np.linalg.det(a), lambda attr, a: a.shape[:-2],
              _moved(lambda y, t, a: np.sum(Array(COFACTORS.make((a.node,))) * t, axis=(-2, -1))),
              kernel=lambda attr, a: ("det", *_squares(a)))  # fmt: skip


def _slogdet_value(attr: None, batch: int, a: np.ndarray) -> np.ndarray:
    return np.stack(np.linalg.slogdet(a), -1)


def _slogdet_moved(y: Array, t: Array, a: Array) -> Array:
    slope = np.sum(_t(call(INV, a)) * t, axis=(-2, -1))
    return np.stack([np.zeros(slope.shape, slope.dtype), slope], -1)


SLOGDET = _opaque("slogdet", _slogdet_value, lambda attr, a: (*a.shape[:-2], 2), _moved(_slogdet_moved),
                  kernel=lambda attr, a: ("slogdet", *_squares(a)))  # fmt: skip


@implements(np.linalg.det)
def det(a):
    return call(DET, _matrix("det", a))


@implements(np.linalg.slogdet)
def slogdet(a):
    y = call(SLOGDET, _matrix("slogdet", a))
    return SlogdetResult(y[..., 0], y[..., 1])


# ---- cholesky, qr -------------------------------------------------------------------------------------------------------


def _cholesky_moved(y: Array, t: Array, a: Array) -> Array:
    middle = call(SOLVE, y, _t(call(SOLVE, y, _symmetric(t))))
    return y @ _masked("half", middle)


CHOLESKY = _opaque("cholesky", _careful("cholesky", lambda attr, batch, a: np.linalg.cholesky(a)),
                   lambda attr, a: a.shape, _moved(_cholesky_moved),
                   kernel=lambda attr, a: ("cholesky", *_squares(a)))  # fmt: skip


@implements(np.linalg.cholesky)
def cholesky(a, /, *, upper=False):
    """The factor of a symmetric matrix, of which numpy reads one triangle; the gradient is symmetric."""
    a = _matrix("cholesky", a)
    return _t(call(CHOLESKY, _t(a))) if upper else call(CHOLESKY, a)


QR = _unmoved("qr", lambda attr, batch, a: np.concatenate(np.linalg.qr(a), -2),
              lambda attr, a: (*a.shape[:-2], a.shape[-2] + a.shape[-1], a.shape[-1]),
              lambda attr, a: ("qr", *_sizes(a)))  # fmt: skip


def _qr_parts(node: Node, t: Array) -> tuple[Array, Array, Array, Array]:
    """Q, R, dA R^-1 and the skew Q^T dQ."""
    q, r = (Array(op.make(node.args)) for op in (QR_Q, QR_R))
    scaled = _t(call(SOLVE, _t(r), _t(t)))
    below = _masked("below", _t(q) @ scaled)
    return q, r, scaled, below - _t(below)


def _q_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    if tangents[0] is None:
        return None
    q, _, scaled, skew = _qr_parts(node, Array(tangents[0]))
    return (q @ skew + scaled - q @ (_t(q) @ scaled)).node


def _r_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    if tangents[0] is None:
        return None
    q, r, scaled, skew = _qr_parts(node, Array(tangents[0]))
    return ((_t(q) @ scaled - skew) @ r).node


QR_Q = _opaque("qr_q", lambda attr, batch, a, p: p[..., : a.shape[-2], :], lambda attr, a, p: a.shape, _q_forward,
               kernel=_part(lambda a: (0, a.shape[-2])))  # fmt: skip
QR_R = _opaque("qr_r", lambda attr, batch, a, p: p[..., a.shape[-2] :, :],
               lambda attr, a, p: (*a.shape[:-2], a.shape[-1], a.shape[-1]), _r_forward,
               kernel=_part(lambda a: (a.shape[-2], a.shape[-2] + a.shape[-1])))  # fmt: skip


@implements(np.linalg.qr)
def qr(a, mode="reduced"):
    a = _matrix("qr", a, square=False)
    if mode not in ("reduced", "r") or a.shape[-2] < a.shape[-1]:
        raise NoRuleError(f"np.linalg.qr with mode={mode!r} of shape {a.shape} has no derivative rule here",
                          fix="use mode='reduced' and at least as many rows as columns", code="no-rule-option")  # fmt: skip
    whole = call(QR, a)
    r = call(QR_R, a, whole)
    return r if mode == "r" else QRResult(call(QR_Q, a, whole), r)


# ---- eigenvalues of symmetric matrices, singular values -----------------------------------------------------------------
#
# In double precision also where the matrix is in single: the signs of the vectors hang on the last bits, and a kernel, which
# calls another build of LAPACK than numpy, would often find the opposite ones.


def _gaps_value(name: str, batch: int, w: np.ndarray) -> np.ndarray:
    """w_j - w_i, infinite where i = j; nan, and told, where two values are equal to rounding."""
    n = w.shape[-1]
    gaps = w[..., None, :] - w[..., :, None]
    gaps[..., np.arange(n), np.arange(n)] = np.inf
    equal = np.abs(gaps) <= n * np.finfo(w.dtype).eps * np.max(np.abs(w), axis=-1, initial=0.0)[..., None, None]
    if equal.any():
        *_, i, j = np.argwhere(equal)[0].tolist()
        gap = np.max(np.abs(gaps[equal]))
        warnings.warn(DegenerateWarning(
            f"{name} {i} and {j} differ by {gap:.1e}: their vectors are not determined, and the derivatives of these are nan\n"
            f"  where: {user_location()}\n  fix: use the values alone, or functions of the space that the vectors span"
        ), stacklevel=2)  # fmt: skip
    return np.where(equal, np.nan, gaps)


def _gaps_moved(y: Array, t: Array, w: Array) -> Array:
    return t[..., None, :] - t[..., :, None]


GAPS = _opaque("gaps", _gaps_value, lambda name, w: (*w.shape, w.shape[-1]), _moved(_gaps_moved),
               kernel=lambda name, w: ("gaps", math.prod(w.shape[:-1]), w.shape[-1]))  # fmt: skip


def _eigh_value(uplo: str, batch: int, a: np.ndarray) -> np.ndarray:
    w, v = np.linalg.eigh(a.astype(np.float64), uplo)
    return np.concatenate([w[..., None, :], v], -2).astype(a.dtype)


EIGH = _unmoved("eigh", _careful("eigh", _eigh_value), lambda uplo, a: (*a.shape[:-2], a.shape[-1] + 1, a.shape[-1]),
                lambda uplo, a: ("eigh", *_squares(a), ord(uplo)))  # fmt: skip


def _eigenvalues_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    if tangents[0] is None:
        return None
    v = Array(EIGENVECTORS.make(node.args))
    return np.sum(v * (_symmetric(Array(tangents[0])) @ v), axis=-2).node


def _eigenvectors_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    if tangents[0] is None:
        return None
    v, w = Array(node), call(EIGENVALUES, *map(Array, node.args))
    return (v @ ((_t(v) @ _symmetric(Array(tangents[0])) @ v) / call(GAPS, w, attr="eigenvalues"))).node


EIGENVALUES = _opaque("eigenvalues", lambda attr, batch, a, p: p[..., 0, :], lambda attr, a, p: a.shape[:-1],
                      _eigenvalues_forward, kernel=_part(lambda a: (0, 1)))  # fmt: skip
EIGENVECTORS = _opaque("eigenvectors", lambda attr, batch, a, p: p[..., 1:, :], lambda attr, a, p: a.shape,
                       _eigenvectors_forward, kernel=_part(lambda a: (1, 1 + a.shape[-1])))  # fmt: skip


@implements(np.linalg.eigh)
def eigh(a, UPLO="L"):
    """Values and vectors of a symmetric matrix, of which numpy reads one triangle; gradients are symmetric."""
    a = _matrix("eigh", a)
    whole = call(EIGH, a, attr=UPLO.upper())
    return EighResult(call(EIGENVALUES, a, whole), call(EIGENVECTORS, a, whole))


@implements(np.linalg.eigvalsh)
def eigvalsh(a, UPLO="L"):
    return eigh(a, UPLO).eigenvalues


def _svd_value(attr: None, batch: int, a: np.ndarray) -> np.ndarray:
    u, s, v = np.linalg.svd(_finite(a).astype(np.float64), full_matrices=False)
    return np.concatenate([s[..., None, :], u, np.swapaxes(v, -1, -2)], -2).astype(a.dtype)


def _svd_shape(attr: None, a: Node) -> tuple[int, ...]:
    return (*a.shape[:-2], 1 + a.shape[-2] + a.shape[-1], min(a.shape[-2:]))


SVD = _unmoved("svd", _careful("svd", _svd_value), _svd_shape, lambda attr, a: ("svd", *_sizes(a)))


def _svd_parts(node: Node) -> tuple[Array, Array, Array]:
    s, u, v = (Array(op.make(node.args)) for op in (SVD_S, SVD_U, SVD_V))
    return s, u, v


def _s_forward(node: Node, tangents: list[Node | None]) -> Node | None:
    if tangents[0] is None:
        return None
    _, u, v = _svd_parts(node)
    return np.sum(u * (Array(tangents[0]) @ v), axis=-2).node


def _vectors_forward(transposed: bool) -> Callable:
    """U' = U (F o (P S + S P^T)) + (I - U U^T) dA V / S with P = U^T dA V; V' the same for the transposed matrix."""

    def forward(node: Node, tangents: list[Node | None]) -> Node | None:
        if tangents[0] is None:
            return None
        (s, u, v), t = _svd_parts(node), Array(tangents[0])
        if transposed:
            u, v, t = v, u, _t(t)
        image = t @ v
        p, row, column = _t(u) @ image, s[..., None, :], s[..., :, None]
        # the gap is infinite on the diagonal, so it must meet nothing but the numerator
        y = u @ ((p * row + column * _t(p)) / call(GAPS, s, attr="singular values") / (row + column))
        return (y if u.shape[-1] == u.shape[-2] else y + (image - u @ p) / row).node

    return forward


SVD_S = _opaque("svd_s", lambda attr, batch, a, p: p[..., 0, :], lambda attr, a, p: (*a.shape[:-2], min(a.shape[-2:])),
                _s_forward, kernel=_part(lambda a: (0, 1)))  # fmt: skip
SVD_U = _opaque("svd_u", lambda attr, batch, a, p: p[..., 1 : 1 + a.shape[-2], :],
                lambda attr, a, p: (*a.shape[:-1], min(a.shape[-2:])), _vectors_forward(False),
                kernel=_part(lambda a: (1, 1 + a.shape[-2])))  # fmt: skip
SVD_V = _opaque("svd_v", lambda attr, batch, a, p: p[..., 1 + a.shape[-2] :, :],
                lambda attr, a, p: (*a.shape[:-2], a.shape[-1], min(a.shape[-2:])), _vectors_forward(True),
                kernel=_part(lambda a: (1 + a.shape[-2], 1 + a.shape[-2] + a.shape[-1])))  # fmt: skip


@implements(np.linalg.svd)
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    """The thin decomposition."""
    a = _matrix("svd", a, square=False)
    whole = call(SVD, a)
    s = call(SVD_S, a, whole)
    if not compute_uv:
        return s
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise NoRuleError("np.linalg.svd with full_matrices=True has no derivative rule here",
                          why="vectors that belong to no singular value are not determined",
                          fix="use full_matrices=False", code="no-rule-option")  # fmt: skip
    return SVDResult(call(SVD_U, a, whole), s, _t(call(SVD_V, a, whole)))


@implements(np.linalg.svdvals)
def svdvals(x, /):
    return svd(x, compute_uv=False)


# ---- what is made of these ----------------------------------------------------------------------------------------------


def singular_norm(x: Array, ord: Any, axes: tuple[int, ...]) -> Array:
    """The matrix norms 2, -2 and "nuc"; the derivative is that of the smallest subgradient where singular values are zero."""
    s = np.linalg.svdvals(np.moveaxis(x, axes, (-2, -1)))
    if ord == -2:
        return s[..., -1]
    negligible = s <= max(x.shape[i] for i in axes) * np.finfo(s.dtype).eps * s[..., :1]
    s = np.where(negligible, 0.0, s)
    return np.max(s, axis=-1) if ord == 2 else np.sum(s, axis=-1)


@implements(np.linalg.matrix_rank)
def matrix_rank(A, tol=None, hermitian=False, *, rtol=None):
    s = np.linalg.svdvals(_matrix("matrix_rank", A, square=False))
    if tol is None:
        tol = np.max(s, axis=-1, keepdims=True) * (max(A.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else rtol)
    return np.count_nonzero(s > tol, axis=-1)


@implements(np.linalg.cond)
def cond(x, p=None):
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))


@implements(np.linalg.matrix_power)
def matrix_power(a, n):
    """By repeated squares."""
    a = _matrix("matrix_power", a)
    if n == 0:
        return np.broadcast_to(Array(lift(np.eye(a.shape[-1], dtype=a.dtype))), a.shape)
    if n < 0:
        a, n = np.linalg.inv(a), -n
    y = None
    while True:
        if n % 2:
            y = a if y is None else y @ a
        n //= 2
        if not n:
            return y
        a = a @ a


@implements(np.linalg.multi_dot)
def multi_dot(arrays, *, out=None):
    """The product in the order that needs the fewest multiplications (Cormen et al., Introduction to Algorithms, 15.2)."""
    xs = _arrays(*arrays)
    ends = xs[0].ndim == 1, xs[-1].ndim == 1
    xs[0] = xs[0][None, :] if ends[0] else xs[0]
    xs[-1] = xs[-1][:, None] if ends[1] else xs[-1]
    sizes = [x.shape[0] for x in xs] + [xs[-1].shape[1]]

    @cache
    def best(i: int, j: int) -> tuple[int, int]:
        """The price of the product of i..j, and behind which factor to cut it."""
        if i == j:
            return 0, i
        return min((best(i, k)[0] + best(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))

    def product(i: int, j: int) -> Array:
        cut = best(i, j)[1]
        return xs[i] if i == j else product(i, cut) @ product(cut + 1, j)

    y = product(0, len(xs) - 1)
    return np.reshape(y, tuple(n for n, end in zip(y.shape, ends, strict=True) if not end))


@implements(np.linalg.tensorinv)
def tensorinv(a, ind=2):
    (a,) = _arrays(a)
    rows = math.prod(a.shape[:ind])
    return np.reshape(np.linalg.inv(np.reshape(a, (rows, -1))), a.shape[ind:] + a.shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a, b, axes=None):
    a, b = _arrays(a, b)
    if axes is not None:
        moved = normal_axes(axes, a.ndim)
        a = np.transpose(a, [i for i in range(a.ndim) if i not in moved] + list(moved))
    return np.reshape(np.linalg.solve(np.reshape(a, (b.size, -1)), np.ravel(b)), a.shape[b.ndim :])


# numpy 2 has these names twice
implements(np.matrix_transpose, np.linalg.matrix_transpose)(lambda x, /: _t(x))
implements(np.linalg.diagonal)(lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
implements(np.linalg.trace)(lambda x, /, *, offset=0, dtype=None: np.trace(x, offset, -2, -1))
implements(np.linalg.matmul)(lambda x1, x2, /: np.matmul(x1, x2))
implements(np.linalg.outer)(lambda x1, x2, /: np.outer(x1, x2))
implements(np.linalg.tensordot)(lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))
implements(np.linalg.cross)(lambda x1, x2, /, *, axis=-1: np.cross(x1, x2, axis=None if axis == -1 else axis))


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1, x2, /, *, axis=-1):
    x1, x2 = (np.moveaxis(x, axis, -1) for x in _arrays(x1, x2))
    return np.einsum("...i,...i->...", x1, x2)


@implements(np.linalg.vector_norm)
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    axes = normal_axes(axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    flat = np.reshape(np.transpose(x, rest + axes), (*(x.shape[i] for i in rest), -1))
    y = np.linalg.norm(flat, ord, axis=-1)
    return np.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else y


@implements(np.linalg.matrix_norm)
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    return np.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


# the named tuples that numpy answers with
_ONE = np.eye(1)
SlogdetResult, QRResult = type(np.linalg.slogdet(_ONE)), type(np.linalg.qr(_ONE))
EighResult, SVDResult = type(np.linalg.eigh(_ONE)), type(np.linalg.svd(_ONE))
