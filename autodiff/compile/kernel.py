"""A compiled program, bound to points and called: fixed chunks of tiles, so that any number of threads gives the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from ..graph import Node
from .emit import Emitter
from .frontend import compiling
from .schedule import Plan, Target
from .store import load

CHUNKS = 8           # partial sums, added in order: the same bits for 1 to 8 threads
CACHE_BYTES = 1_200_000  # a tile's workspace should fit the second-level cache
SMALLEST, LARGEST = 32, {"f64": 64, "f32": 128}


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """Zeros that start on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * itemsize].view(dtype)


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="jetspace")


class Kernel:
    """Targets over columns and flat vectors, planned and emitted; compiled at the first call."""

    def __init__(self, targets: Sequence[Target], columns: dict[Node, int], *, sums: int = 0, rows: int = 0,
                 vectors: tuple[str, ...] = ("theta",), real: str = "f64", points: int | None = None):  # fmt: skip
        self.plan, self.columns, self.vectors, self.real = Plan(targets), columns, vectors, real
        self.sums, self.rows = sums, rows
        self.dtype = np.dtype(np.float64 if real == "f64" else np.float32)
        self._emitters: dict[int, Emitter] = {}
        self._functions: dict[int, Callable] = {}
        self.points = points

    def tile(self, count: int) -> int:
        """Points per tile: as many as keep the workspace in the cache, not more than there are."""
        if self.points is not None:
            return self.points
        P = LARGEST[self.real]
        while P > SMALLEST and self.plan.allocate(P, self.dtype.itemsize).size * self.dtype.itemsize > CACHE_BYTES:
            P //= 2
        while P > SMALLEST and P >= 2 * count:
            P //= 2
        return P

    def emitter(self, P: int) -> Emitter:
        if P not in self._emitters:
            self._emitters[P] = Emitter(self.plan, P, self.real, self.columns, self.rows, self.vectors)
        return self._emitters[P]

    def function(self, P: int) -> Callable:
        if P not in self._functions:
            self._functions[P] = load(self.emitter(P).source).call
        return self._functions[P]

    def is_compiled(self, P: int) -> bool:
        """Whether a call with this tile has nothing to compile any more."""
        return P in self._functions and bool(self._functions[P].signatures)  # type: ignore[attr-defined]

    def source(self, count: int = 1 << 30) -> str:
        """The generated Python source, for reading."""
        return self.emitter(self.tile(count)).source

    def workspace_bytes(self, count: int = 1 << 30) -> int:
        return self.emitter(self.tile(count)).space.size * self.dtype.itemsize


class Packed:
    """Points in tiles, [tile][column][point]; the last tile repeats its last point with weight zero."""

    def __init__(self, points: np.ndarray, P: int, dtype: np.dtype, weight: int | None):
        count, columns = points.shape
        self.P, self.count, self.columns, self.tiles = P, count, columns, -(-count // P)
        self.data = aligned(max(self.tiles * columns * P, 8), dtype)
        self.view = self.data[: self.tiles * columns * P].reshape(self.tiles, columns, P)
        for column in range(columns):
            self.set(column, points[:, column], zero=column == weight)

    def set(self, column: int, values: np.ndarray, zero: bool = False) -> None:
        """Writes one column."""
        whole = self.count // self.P
        self.view[:whole, column] = values[: whole * self.P].reshape(whole, self.P)
        if whole < self.tiles:
            rest = self.count - whole * self.P
            self.view[whole, column, :rest] = values[whole * self.P :]
            self.view[whole, column, rest:] = 0.0 if zero else values[-1]


class Bound:
    """A kernel with the points it runs over, its accumulators and one workspace per thread."""

    def __init__(self, kernel: Kernel, packed: Packed, threads: int):
        self.kernel, self.packed = kernel, packed
        self.function = kernel.function(packed.P)
        self.compiled = kernel.is_compiled(packed.P)
        P, tiles = packed.P, packed.tiles
        self.per = -(-tiles // min(CHUNKS, tiles))
        self.chunks = -(-tiles // self.per)
        self.threads = max(1, min(threads, self.chunks))
        self.acc = np.zeros((self.chunks, max(kernel.sums, 1)))
        self.out = aligned(max(kernel.rows * tiles * P, 8), kernel.dtype)
        self.total = np.zeros(max(kernel.sums, 1))
        size = kernel.emitter(P).space.size
        self.workspaces = [aligned(size, kernel.dtype) for _ in range(self.threads)]

    def __call__(self, *vectors: np.ndarray) -> np.ndarray:
        """Runs all tiles; returns the sums (a buffer that the next call overwrites)."""
        if self.kernel.real == "f32":
            vectors = tuple(v.astype(np.float32) for v in vectors)
        call, n, per, tiles = self.function, self.chunks, self.per, self.packed.tiles
        if not self.compiled:
            with compiling():  # an empty range of chunks: nothing runs
                call(0, 0, False, per, tiles, self.total, self.packed.data, *vectors, self.workspaces[0], self.acc, self.out)
            self.compiled = True
        data, acc, out, total, ws = self.packed.data, self.acc, self.out, self.total, self.workspaces
        if self.threads == 1:
            call(0, n, True, per, tiles, total, data, *vectors, ws[0], acc, out)
            return total
        k = self.threads
        jobs = [
            pool(k).submit(call, i * n // k, (i + 1) * n // k, False, per, tiles, total, data, *vectors, ws[i], acc, out)
            for i in range(1, k)
        ]
        call(0, n // k, False, per, tiles, total, data, *vectors, ws[0], acc, out)
        for job in jobs:
            job.result()
        call(n, n, True, per, tiles, total, data, *vectors, ws[0], acc, out)
        return total

    def rows(self) -> np.ndarray:
        """What was kept per point, (points, rows), a fresh array."""
        P, tiles, rows = self.packed.P, self.packed.tiles, self.kernel.rows
        table = self.out[: rows * tiles * P].reshape(tiles, rows, P)
        return table.transpose(0, 2, 1).reshape(tiles * P, rows)[: self.packed.count].astype(np.float64)

    def columns(self) -> np.ndarray:
        """The same as `rows`, one column after the other in memory: many rows are copied in runs, not element by element."""
        P, tiles, rows = self.packed.P, self.packed.tiles, self.kernel.rows
        columns = np.empty((rows, tiles, P))
        columns[...] = self.out[: rows * tiles * P].reshape(tiles, rows, P).transpose(1, 0, 2)
        return columns.reshape(rows, tiles * P)[:, : self.packed.count].T


def first_call(bound: Bound, *vectors: np.ndarray) -> float:
    """Seconds of the first call: compiling, or loading from the cache."""
    start = time.perf_counter()
    bound(*vectors)
    return time.perf_counter() - start
