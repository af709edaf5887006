"""Library functions of kernels for matrices: one routine of LAPACK each, the one that numpy takes, so that signs agree.

Each writes `out`; arrays are flat, in C order, `batch` matrices one behind the other.  The routines are called as numba's own
`np.linalg` calls them, but without its price (seconds of compile time each) and its test for numbers that are not finite:
these give what they give in numpy.  Raises MatrixError where numpy raises LinAlgError.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.np.linalg import F_INT_nptype as INTEGER  # what LAPACK counts rows with

from ..errors import MatrixError
from .store import jit

_ARGUMENTS = {"k": types.char, "n": types.intp, "*": types.voidptr}


def _routine(name: str, arguments: str) -> Any:
    """A routine of LAPACK: it answers 0, or a positive number if it fails; sizes after its kind, pointers before strides."""
    return types.ExternalFunction(name, types.intc(*[_ARGUMENTS[a] for a in arguments]))


# fmt: off
_gesv = _routine("numba_xgesv", "knn*n**n")         # rows, columns, matrix, stride, swaps, right side, stride
_getrf = _routine("numba_xxgetrf", "knn*n*")        # rows, columns, matrix, stride, swaps
_potrf = _routine("numba_xxpotrf", "kkn*n")         # triangle, rows, matrix, stride
_geqrf = _routine("numba_ez_geqrf", "knn*n*")       # rows, columns, matrix, stride, factors
_orgqr = _routine("numba_ez_xxgqr", "knnn*n*")      # rows, columns, reflectors, matrix, stride, factors
_syevd = _routine("numba_ez_xxxevd", "kkkn*n*")     # job, triangle, rows, matrix, stride, values
_gesdd = _routine("numba_ez_gesdd", "kknn*n**n*n")  # job, rows, columns, matrix, stride, values, left, stride, right, stride
# fmt: on
_LOWER, _VECTORS, _THIN = ord("L"), ord("V"), ord("S")


@jit
def _kind(x):
    """The letter by which LAPACK knows the type: s, d, or z."""
    return 122 if x.itemsize == 16 else 100 if x.itemsize == 8 else 115


@jit
def _by_columns(y, x, k, rows, columns):
    """The k-th matrix of x, column by column as LAPACK wants it."""
    start = k * rows * columns
    for i in range(rows):
        for j in range(columns):
            y[j * rows + i] = x[start + i * columns + j]


@jit
def _by_rows(y, start, x, rows, columns):
    """A matrix of LAPACK, row by row at y[start:]."""
    for i in range(rows):
        for j in range(columns):
            y[start + i * columns + j] = x[j * rows + i]


# ---- solve and inv -------------------------------------------------------------------------------------------------------


@jit
def solve(out, a, b, batch, n, columns):
    work, x, swaps = np.empty(n * n, out.dtype), np.empty(n * columns, out.dtype), np.empty(n, INTEGER)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        _by_columns(x, b, k, n, columns)
        if n and _gesv(_kind(work), n, columns, work.ctypes, n, swaps.ctypes, x.ctypes, n) > 0:
            raise MatrixError("np.linalg.solve: singular matrix")
        _by_rows(out, k * n * columns, x, n, columns)


@jit
def inv(out, a, batch, n):
    work, x, swaps = np.empty(n * n, out.dtype), np.empty(n * n, out.dtype), np.empty(n, INTEGER)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        for i in range(n):
            for j in range(n):
                x[i * n + j] = 1 if i == j else 0
        if n and _gesv(_kind(work), n, n, work.ctypes, n, swaps.ctypes, x.ctypes, n) > 0:
            raise MatrixError("np.linalg.inv: singular matrix")
        _by_rows(out, k * n * n, x, n, n)


# ---- determinants --------------------------------------------------------------------------------------------------------


@jit
def _sign_and_log(work, n, swaps):
    """Of the determinant of a matrix that is overwritten."""
    if n and _getrf(_kind(work), n, n, work.ctypes, n, swaps.ctypes) > 0:
        return 0.0, -math.inf
    sign, log = 1.0, 0.0
    for i in range(n):
        pivot = work[i * n + i]
        sign = -sign if (swaps[i] != i + 1) != (pivot < 0) else sign
        log += math.log(abs(pivot))
    return sign, log


@jit
def det(out, a, batch, n):
    work, swaps = np.empty(n * n, out.dtype), np.empty(n, INTEGER)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        sign, log = _sign_and_log(work, n, swaps)
        out[k] = sign * math.exp(log)


@jit
def slogdet(out, a, batch, n):
    work, swaps = np.empty(n * n, out.dtype), np.empty(n, INTEGER)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        out[2 * k], out[2 * k + 1] = _sign_and_log(work, n, swaps)


@jit
def _svd(work, s, u, vt, rows, columns):
    """The thin decomposition of a matrix that is overwritten; whether there is one.

    LAPACK is not asked about numbers that are not finite: with inf it may never end.
    """
    for x in work:
        if not np.isfinite(x):
            return False
    few = min(rows, columns)
    return _gesdd(_kind(work), _THIN, rows, columns, work.ctypes, rows, s.ctypes, u.ctypes, rows, vt.ctypes, few) == 0


@jit
def _phase(u, n, work, swaps):
    """The determinant of an orthogonal or unitary matrix."""
    work[:] = u
    _getrf(_kind(work), n, n, work.ctypes, n, swaps.ctypes)
    y = work[0]
    for i in range(n):
        y = y * work[i * n + i] if i else y
        y = -y if swaps[i] != i + 1 else y
    return y


@jit
def _add_cofactors(total, a, s, weight, n):
    """total += weight * the gradient of det at a, from its singular values: exact where a has no inverse."""
    u, vt, swaps, others = np.empty_like(a), np.empty_like(a), np.empty(n, INTEGER), np.empty_like(s)
    if not _svd(a, s, u, vt, n, n):
        raise MatrixError("np.linalg.det: the singular values, of which its gradient is made, were not found")
    for i in range(n):  # products of all the others, without division
        others[i] = others[i - 1] * s[i - 1] if i else 1.0
    after = 1.0
    for i in range(n - 1, -1, -1):
        others[i] *= after
        after *= s[i]
    weight = weight * _phase(u, n, a, swaps) * _phase(vt, n, a, swaps)
    for i in range(n):
        for k in range(n):
            a[i * n + k] = weight * np.conj(u[k * n + i]) * others[k]
    for i in range(n):
        for j in range(n):
            for k in range(n):
                total[i * n + j] += a[i * n + k] * np.conj(vt[j * n + k])


@jit
def cofactors(out, a, batch, n):
    work, total, s = np.empty(n * n, out.dtype), np.empty(n * n, out.dtype), np.empty(n, out.dtype)
    for k in range(batch if n else 0):
        _by_columns(work, a, k, n, n)
        total[:] = 0
        _add_cofactors(total, work, s, 1.0, n)
        out[k * n * n : (k + 1) * n * n] = total


@jit
def _length(x, k, size):
    """The Frobenius norm of the k-th matrix, 1 for zero."""
    square = 0.0
    for i in range(k * size, (k + 1) * size):
        square += x[i] * x[i]
    return math.sqrt(square) if square > 0 else 1.0


@jit
def cofactors_along(out, a, *rest):
    """D^k cof(A)[B_1, ..., B_k] as in `rules/linalg.py`: from the n-th roots of unity in every direction.

    After the directions `rest` ends with batch and n.
    """
    directions, batch, n = rest[:-2], rest[-2], rest[-1]
    size, order = n * n, len(directions)
    a_k, moved, total = np.empty(size, out.dtype), np.empty(size, np.complex128), np.empty(size, np.complex128)
    s, b_k, steps = np.empty(n, np.float64), np.empty((order, size), np.float64), np.empty(order, np.float64)
    for k in range(batch if n else 0):
        _by_columns(a_k, a, k, n, n)
        total[:] = 0
        divisor = 1.0
        for i in range(order):
            _by_columns(b_k[i], directions[i], k, n, n)
            steps[i] = _length(a, k, size) / _length(directions[i], k, size)
            divisor *= steps[i]
        for which in range(n**order):
            weight, digits = 1.0 + 0.0j, which
            for m in range(size):
                moved[m] = a_k[m]
            for i in range(order):
                angle = 2 * math.pi * (digits % n) / n
                root = complex(math.cos(angle), math.sin(angle))
                digits //= n
                weight *= root.conjugate() / n
                for m in range(size):
                    moved[m] += steps[i] * b_k[i, m] * root
            _add_cofactors(total, moved, s, weight, n)
        for m in range(size):
            out[k * size + m] = total[m].real / divisor


# ---- factorisations ------------------------------------------------------------------------------------------------------


@jit
def cholesky(out, a, batch, n):
    work = np.empty(n * n, out.dtype)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        if n and _potrf(_kind(work), _LOWER, n, work.ctypes, n) > 0:
            raise MatrixError("np.linalg.cholesky: matrix is not positive definite")
        for i in range(n):
            for j in range(n):
                out[(k * n + i) * n + j] = work[j * n + i] if j <= i else 0


@jit
def qr(out, a, batch, rows, columns):
    """Q above R."""
    work, tau = np.empty(rows * columns, out.dtype), np.empty(columns, out.dtype)
    for k in range(batch if columns else 0):
        start = k * (rows + columns) * columns
        _by_columns(work, a, k, rows, columns)
        _geqrf(_kind(work), rows, columns, work.ctypes, rows, tau.ctypes)
        for i in range(columns):
            for j in range(columns):
                out[start + (rows + i) * columns + j] = work[j * rows + i] if j >= i else 0
        _orgqr(_kind(work), rows, columns, columns, work.ctypes, rows, tau.ctypes)
        _by_rows(out, start, work, rows, columns)


@jit
def eigh(out, a, batch, n, triangle):
    """The values above the vectors, found in double precision as the rule does; `triangle` is the code of the letter U or L."""
    work, w = np.empty(n * n, np.float64), np.empty(n, np.float64)
    for k in range(batch):
        _by_columns(work, a, k, n, n)
        if n and _syevd(_kind(work), _VECTORS, triangle, n, work.ctypes, n, w.ctypes) > 0:
            raise MatrixError("np.linalg.eigh: eigenvalues did not converge")
        start = k * (n + 1) * n
        out[start : start + n] = w
        _by_rows(out, start + n, work, n, n)


@jit
def svd(out, a, batch, rows, columns):
    """The values above the left vectors above the right vectors, found in double precision as the rule does."""
    few = min(rows, columns)
    work, s = np.empty(rows * columns, np.float64), np.empty(few, np.float64)
    u, vt = np.empty(rows * few, np.float64), np.empty(few * columns, np.float64)
    for k in range(batch if few else 0):
        _by_columns(work, a, k, rows, columns)
        if not _svd(work, s, u, vt, rows, columns):
            raise MatrixError("np.linalg.svd: svd did not converge")
        start = k * (1 + rows + columns) * few
        out[start : start + few] = s
        _by_rows(out, start + few, u, rows, few)
        out[start + (1 + rows) * few : start + (1 + rows + columns) * few] = vt


@jit
def pinv(out, a, batch, rows, columns, cut):
    """The pseudoinverse; values up to `cut`, the bits of a double, times the largest count as zero."""
    few, share = min(rows, columns), cut.view(np.float64)[0]
    work, s = np.empty(rows * columns, out.dtype), np.empty(few, out.dtype)
    u, vt = np.empty(rows * few, out.dtype), np.empty(few * columns, out.dtype)
    for k in range(batch if few else 0):
        _by_columns(work, a, k, rows, columns)
        if not _svd(work, s, u, vt, rows, columns):
            raise MatrixError("np.linalg.pinv: svd did not converge")
        for i in range(few):
            scale = 1.0 / s[i] if s[i] > share * s[0] else 0.0
            for j in range(rows):
                work[j * few + i] = u[i * rows + j] * scale
        for i in range(columns):
            for j in range(rows):
                y = 0.0
                for m in range(few):
                    y += vt[i * few + m] * work[j * few + m]
                out[(k * columns + i) * rows + j] = y


# ---- parts of factorisations ---------------------------------------------------------------------------------------------


@jit
def part(out, a, whole, batch, size, start, count):
    """Numbers start to start + count of each factorisation, which has `size` of them."""
    for k in range(batch):
        for i in range(count):
            out[k * count + i] = whole[k * size + start + i]


@jit
def gaps(out, w, batch, n):
    """w_j - w_i, infinite where i = j, nan where two values are equal to rounding."""
    for k in range(batch):
        top = 0.0
        for i in range(n):
            size = abs(w[k * n + i])
            top = size if size > top or size != size else top
        tolerance = n * np.finfo(w.dtype).eps * top
        for i in range(n):
            for j in range(n):
                gap = math.inf if i == j else w[k * n + j] - w[k * n + i]
                out[(k * n + i) * n + j] = math.nan if abs(gap) <= tolerance else gap
