"""Random sketches: many equations become a few sums of them with random signs, many unknowns a few combinations of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from pinn.optimizers.compiled import compiled
from pinn.optimizers.lapack import parts, spread

HASHES = 4  # rows of the sketch that each row goes into, as in the record runs (Webb, Jerad & Cartis 2026)


@compiled
def gather(matrix, place, sign, out):  # type: ignore[no-untyped-def]
    """out[place[h, i]] += sign[h, i] * matrix[i], column by column; both lie column after column in memory."""
    for j in range(matrix.shape[1]):
        for h in range(place.shape[0]):
            for i in range(place.shape[1]):
                out[place[h, i], j] += sign[h, i] * matrix[i, j]


@dataclass(frozen=True, eq=False)
class CountSketch:
    """S `(rows, m)` with HASHES entries +-1 / sqrt(HASHES) in each column, at random: E S'S = I.

    |S x| is |x| to about sqrt(n / rows) for all x of an n-dimensional space at once (Clarkson & Woodruff 2013; Nelson &
    Nguyen 2013), so rows should be a few times n, or m.
    """

    rows: int
    place: np.ndarray
    sign: np.ndarray

    @staticmethod
    def draw(rows: int, m: int, rng: np.random.Generator) -> CountSketch:
        """A sketch of `m` rows to `rows`: each column's entries fall into different strips of S."""
        hashes = min(HASHES, rows)
        edges = np.linspace(0, rows, hashes + 1).astype(np.int64)
        place = rng.integers(edges[:-1, None], edges[1:, None], size=(hashes, m))
        return CountSketch(rows, place, rng.choice([-1.0, 1.0], size=(hashes, m)) / np.sqrt(hashes))

    def of(self, matrix: np.ndarray, threads: int = 1) -> np.ndarray:
        """S A `(rows, n)` for A `(m, n)`: HASHES m n operations."""
        matrix = np.asfortranarray(matrix)
        out = np.zeros((self.rows, matrix.shape[1]), order="F")

        def some(columns: slice) -> None:
            gather(matrix[:, columns], self.place, self.sign, out[:, columns])

        spread(threads, some, [(columns,) for columns in parts(matrix.shape[1], 32)])
        return out

    def of_vector(self, vector: np.ndarray) -> np.ndarray:
        """S x `(rows,)`."""
        return self.of(vector[:, None])[:, 0]


@dataclass(frozen=True, eq=False)
class Subspace:
    """C `(n, k)`: k of the cosine waves over the unknowns in random order with random signs; each has its share in every one.

    The waves are those of the next length that a fast transform likes, cut to n: |C y| <= |y|, and hardly less.
    """

    signs: np.ndarray
    order: np.ndarray
    kept: np.ndarray
    length: int

    @staticmethod
    def draw(n: int, k: int, rng: np.random.Generator) -> Subspace:
        """k random directions of n unknowns."""
        length = scipy.fft.next_fast_len(n, real=True)
        return Subspace(rng.choice([-1.0, 1.0], n), rng.permutation(n), np.sort(rng.choice(length, k, replace=False)), length)

    def of(self, matrix: np.ndarray, threads: int = 1) -> np.ndarray:
        """A C `(m, k)` for A `(m, n)`: some 5 m n log2(n) operations."""
        out = np.empty((len(self.kept), len(matrix)))

        def some(rows: slice) -> None:
            mixed = matrix.T[self.order, rows] * self.signs[:, None]
            out[:, rows] = scipy.fft.dct(mixed, n=self.length, axis=0, norm="ortho")[self.kept]

        spread(threads, some, [(rows,) for rows in parts(len(matrix), 64)])
        return out.T

    def back(self, y: np.ndarray) -> np.ndarray:
        """C y `(n,)`."""
        waves = np.zeros(self.length)
        waves[self.kept] = y
        d = np.empty(len(self.order))
        d[self.order] = scipy.fft.idct(waves, norm="ortho")[: len(self.order)] * self.signs
        return d
