"""What LAPACK has and scipy does not hand out: bidiagonal and tridiagonal forms, and the QR of rows that come in chunks.

All matrices are float64, one column after the other in memory. The routines are those that scipy itself is built on, reached
by their addresses; a call leaves the interpreter lock to others, so that chunks are factored side by side.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import starmap
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address

BLOCK = 32  # columns that a blocked routine treats at a time
CHUNKS = 4  # of rows or columns, at most: fixed, so that the bits of a result do not depend on the number of threads


@cache
def routine(name: str, count: int) -> Callable[..., None]:
    """The LAPACK routine of that name, with `count` arguments."""
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)
    return kind(get_cython_function_address("scipy.linalg.cython_lapack", name))  # type: ignore[no-any-return]


def call(name: str, *arguments: Any) -> None:
    """Calls a routine with arrays, whole numbers and letters; `info` comes last and is given by us.

    Raises ValueError if LAPACK refuses an argument, which only a mistake in this file can bring about.
    """
    info, held = ctypes.c_int(0), list[Any]()
    for one in arguments:
        if isinstance(one, np.ndarray):
            held.append(ctypes.c_void_p(one.ctypes.data))
        else:
            held.append(ctypes.byref(ctypes.c_char(one) if isinstance(one, bytes) else ctypes.c_int(one)))
    routine(name, len(held) + 1)(*held, ctypes.byref(info))
    if info.value < 0:
        raise ValueError(f"{name} refuses argument {-info.value}")


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """The threads that factor chunks."""
    return ThreadPoolExecutor(threads, thread_name_prefix="jetspace-lapack")


def spread(threads: int, function: Callable[..., Any], jobs: Sequence[tuple]) -> list[Any]:
    """`function(*job)` for every job, on so many threads."""
    if threads <= 1 or len(jobs) <= 1:
        return list(starmap(function, jobs))
    return list(pool(threads).map(lambda job: function(*job), jobs))


def parts(count: int, least: int) -> list[slice]:
    """`count` rows or columns in as many even chunks as leave each at least `least`, at most CHUNKS, a power of two."""
    chunks = CHUNKS
    while chunks > 1 and count < chunks * least:
        chunks //= 2
    edges = [count * i // chunks for i in range(chunks + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]


@dataclass(frozen=True, eq=False)
class Reflectors:
    """The Q `(n, k)` of a QR factorisation of a matrix with at least as many rows as columns, as LAPACK stores it."""

    packed: np.ndarray
    tau: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> Reflectors:
        """From a matrix `(n, k)`, n >= k, that is written over: 2 k^2 (n - k / 3) operations."""
        rows, size = matrix.shape
        tau, work = np.empty(size), np.empty(BLOCK * size)
        call("dgeqrf", rows, size, matrix, rows, tau, work, work.size)
        return Reflectors(matrix, tau)

    def triangle(self) -> np.ndarray:
        """R `(k, k)`."""
        return np.asfortranarray(np.triu(self.packed[: self.tau.size]))

    def _through(self, trans: bytes, out: np.ndarray) -> np.ndarray:
        (rows, size), work = self.packed.shape, np.empty(BLOCK)
        call("dormqr", b"L", trans, rows, 1, size, self.packed, rows, self.tau, out, rows, work, work.size)
        return out

    def apply(self, z: np.ndarray) -> np.ndarray:
        """Q z `(n,)` for z `(k,)`."""
        return self._through(b"N", np.concatenate([z, np.zeros(len(self.packed) - z.size)]))

    def adjoint(self, x: np.ndarray) -> np.ndarray:
        """Q' x `(k,)` for x `(n,)`."""
        return self._through(b"T", np.array(x))[: self.tau.size]


def stacked_triangle(matrix: np.ndarray, column: np.ndarray, threads: int = 1) -> np.ndarray:
    """R `(n + 1, n + 1)` of the QR of [matrix column], from chunks of rows that are factored side by side, then in pairs.

    Demmel, Grigori, Hoemmen & Langou 2012. About 2 rows n^2 operations.
    """
    rows, size = matrix.shape

    def factored(chunk: slice) -> np.ndarray:
        block = np.empty((chunk.stop - chunk.start, size + 1), order="F")
        block[:, :size], block[:, size] = matrix[chunk], column[chunk]
        return Reflectors.of(block).triangle()

    found = spread(threads, factored, [(chunk,) for chunk in parts(rows, size + 1)])
    while len(found) > 1:
        found = spread(threads, merged_triangles, list(zip(found[::2], found[1::2], strict=True)))
    return found[0]


def merged_triangles(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """R `(n, n)` of the QR of two triangles `(n, n)`, one above the other; both are written over."""
    n, nb = len(one), min(BLOCK, len(one))
    t, work = np.empty((nb, n), order="F"), np.empty(nb * n)
    call("dtpqrt", n, n, n, nb, one, n, two, n, t, nb, work)
    return one


def gram(matrix: np.ndarray, threads: int = 1) -> np.ndarray:
    """The lower triangle of A'A `(n, n)` (what is above it means nothing), in blocks: about rows n^2 operations."""
    size = matrix.shape[1]
    out, cut = np.empty((size, size), order="F"), parts(size, 64)

    def block(i: slice, j: slice) -> None:
        out[i, j] = matrix[:, i].T @ matrix[:, j]

    spread(threads, block, [(cut[i], cut[j]) for i in range(len(cut)) for j in range(i + 1)])
    return out


@dataclass(frozen=True, eq=False)
class Bidiagonal:
    """A = Q B P' for a square A: B with `diagonal` `(n,)` and `above` `(n - 1,)`, both orthogonal factors as reflectors."""

    packed: np.ndarray
    diagonal: np.ndarray
    above: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> Bidiagonal:
        """From a matrix `(n, n)` that is written over: 8 n^3 / 3 operations."""
        n = len(matrix)
        d, e, left, right, work = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(2 * BLOCK * n)
        call("dgebrd", n, n, matrix, n, d, e, left, right, work, work.size)
        return Bidiagonal(matrix, d, e[: n - 1], left, right)

    def _through(self, which: bytes, trans: bytes, tau: np.ndarray, vector: np.ndarray) -> np.ndarray:
        n, out, work = len(self.packed), vector.copy(), np.empty(BLOCK)
        call("dormbr", which, b"L", trans, n, 1, n, self.packed, n, tau, out, n, work, work.size)
        return out

    def into_left(self, vector: np.ndarray) -> np.ndarray:
        """Q' x."""
        return self._through(b"Q", b"T", self.left, vector)

    def into_right(self, vector: np.ndarray) -> np.ndarray:
        """P' x."""
        return self._through(b"P", b"T", self.right, vector)

    def from_right(self, vector: np.ndarray) -> np.ndarray:
        """P y."""
        return self._through(b"P", b"N", self.right, vector)


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """A = Q T Q' for a symmetric A: T with `diagonal` `(n,)` and `beside` `(n - 1,)`, Q as reflectors."""

    packed: np.ndarray
    diagonal: np.ndarray
    beside: np.ndarray
    tau: np.ndarray

    @staticmethod
    def of(lower: np.ndarray) -> Tridiagonal:
        """From the lower triangle of a matrix `(n, n)` that is written over: 4 n^3 / 3 operations."""
        n = len(lower)
        d, e, tau, work = np.empty(n), np.empty(n), np.empty(n), np.empty(BLOCK * n)
        call("dsytrd", b"L", n, lower, n, d, e, tau, work, work.size)
        return Tridiagonal(lower, d, e[: n - 1], tau)

    def _through(self, trans: bytes, vector: np.ndarray) -> np.ndarray:
        n, out, work = len(self.packed), vector.copy(), np.empty(BLOCK)
        call("dormtr", b"L", b"L", trans, n, 1, self.packed, n, self.tau, out, n, work, work.size)
        return out

    def into(self, vector: np.ndarray) -> np.ndarray:
        """Q' x."""
        return self._through(b"T", vector)

    def out_of(self, vector: np.ndarray) -> np.ndarray:
        """Q y."""
        return self._through(b"N", vector)
