"""Damped least squares, min |J d + r|^2 + lambda |d|^2, for as many lambdas as a search for a radius asks: O(n) each.

J is brought once to a form with two diagonals by orthogonal maps; each lambda then costs a sweep (Elden 1977). `Exact` does so
to J itself: accurate down to lambda = (eps |J|)^2. `Normal` does so to J'J, which takes a quarter of the time and squares the
condition number: good as long as lambda is well above eps |J|^2. Where J has more columns than rows both work on J' and never
form a matrix of columns times columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np
import scipy.linalg

from pinn.optimizers.compiled import compiled
from pinn.optimizers.lapack import Bidiagonal, Reflectors, Tridiagonal, gram, stacked_triangle
from pinn.optimizers.oracle import EPS

NORMAL = 1e-11  # of |J|^2: below, the rounding of J'J (some n eps |J|^2) would be felt in a damped step
USUAL = 1e-9    # the same when lambda is not known yet: a search for a radius may well want a smaller one than before
SWEEPS = 60


class Damped(Protocol):
    """What a damped least squares problem answers.  `floor` is the least lambda that its numbers bear."""

    @property
    def floor(self) -> float: ...

    def damping(self, radius: float) -> float:
        """lambda with |d| = radius, or `floor`."""

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """d `(n,)` with (J'J + lambda) d = -J'r, and the decrease of |r|^2 that J d + r foresees, d'(J'J + 2 lambda) d."""

    def solve(self, damping: float, right: np.ndarray) -> np.ndarray:
        """d `(n,)` with (J'J + lambda) d = J' right, for another `right` `(m,)`: to the accuracy of normal equations."""


@compiled
def damped_bidiagonal(d, e, r, damping, diagonal, above, y, z):  # type: ignore[no-untyped-def]
    """min |B y + r|^2 + lambda |y|^2 by Givens rotations: U'U = B'B + lambda with U in `diagonal`, `above`, and U'z = y.

    Elden, BIT 17 (1977). Returns |y|, |z|^2 and |U y|^2.
    """
    n, mu = d.size, np.sqrt(damping)
    low, carried = mu, 0.0  # the row below that is being rotated in, and its right side
    seen = 0.0
    for i in range(n):
        big = np.hypot(d[i], low)
        c, s = d[i] / big, low / big
        diagonal[i] = big
        y[i] = c * r[i] + s * carried
        seen += y[i] * y[i]
        if i + 1 < n:
            left, fill = -s * r[i] + c * carried, -s * e[i]
            above[i] = c * e[i]
            low = np.hypot(fill, mu)
            carried = fill * left / low
    length = total = 0.0
    y[n - 1] = -y[n - 1] / diagonal[n - 1]
    for i in range(n - 2, -1, -1):
        y[i] = -(y[i] + above[i] * y[i + 1]) / diagonal[i]
    z[0] = y[0] / diagonal[0]
    for i in range(n):
        if i > 0:
            z[i] = (y[i] - above[i - 1] * z[i - 1]) / diagonal[i]
        length += y[i] * y[i]
        total += z[i] * z[i]
    return np.sqrt(length), total, seen


@compiled
def damped_tridiagonal(d, e, c, damping, pivot, share, y, z):  # type: ignore[no-untyped-def]
    """(T + lambda) y = -c and (T + lambda) z = y by L D L', with D in `pivot` and the entries of L below its diagonal."""
    n = d.size
    pivot[0] = d[0] + damping
    for i in range(1, n):
        share[i - 1] = e[i - 1] / pivot[i - 1]
        pivot[i] = d[i] + damping - share[i - 1] * e[i - 1]
    for i in range(n):
        y[i] = -c[i]
    for out in (y, z):
        for i in range(1, n):
            out[i] -= share[i - 1] * out[i - 1]
        out[n - 1] /= pivot[n - 1]
        for i in range(n - 2, -1, -1):
            out[i] = out[i] / pivot[i] - share[i] * out[i + 1]
        if out is y:
            z[:] = y


@compiled
def times_tridiagonal(d, e, x):  # type: ignore[no-untyped-def]
    """T x."""
    out = d * x
    for i in range(x.size - 1):
        out[i] += e[i] * x[i + 1]
        out[i + 1] += e[i] * x[i]
    return out


def search(model: Exact | Normal, radius: float, high: float) -> float:
    """lambda with |d| = radius to a thousandth, by Newton on 1 / |d| in a bracket (More & Sorensen 1983), or the floor."""
    low = damping = model.floor
    for _ in range(SWEEPS):
        length, slope = model.measure(damping)  # slope: -d|d| / d lambda
        if damping == low and length <= radius:
            return low
        if abs(length - radius) <= 1e-3 * radius or high <= low * (1 + 4 * EPS):
            return damping
        low, high = (damping, high) if length > radius else (low, damping)
        damping += (length / radius) * (length - radius) / slope if slope > 0.0 else 0.0
        if not low < damping < high:
            damping = sqrt(low) * sqrt(high)
    return damping


@dataclass(frozen=True, eq=False)
class Exact:
    """By the bidiagonal form of the R of J (of J' where that is the tall one): QR, then 8 k^3 / 3 operations, k = min(m, n).

    `tall` is the Q of J', None where J has as many rows as columns or more.
    """

    jacobian: np.ndarray
    form: Bidiagonal
    right: np.ndarray
    floor: float
    top: float
    tall: Reflectors | None = None

    @staticmethod
    def of(jacobian: np.ndarray, residual: np.ndarray, threads: int = 1) -> Exact:
        """From J `(m, n)` and r `(m,)`, neither written over."""
        rows, size = jacobian.shape
        tall = None
        if rows > size:
            triangle = stacked_triangle(jacobian, residual, threads)
            square, residual = np.asfortranarray(triangle[:size, :size]), triangle[:size, size]
        elif rows < size:
            tall = Reflectors.of(np.array(jacobian.T, order="F"))
            square = np.asfortranarray(tall.triangle().T)
        else:
            square = np.array(jacobian, order="F")
        form = Bidiagonal.of(square)
        norm = sqrt(float(np.dot(form.diagonal, form.diagonal) + np.dot(form.above, form.above)))
        right = form.into_left(np.ascontiguousarray(residual))
        # |d| <= |J'r| / lambda
        slope = form.diagonal * right
        slope[1:] += form.above * right[:-1]
        floor = (EPS * norm) ** 2 + float(np.finfo(np.float64).tiny)
        return Exact(jacobian, form, right, floor, float(np.linalg.norm(slope)), tall)

    def _sweep(self, damping: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float, float]:
        n = self.right.size
        diagonal, above, y, z = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        length, total, seen = damped_bidiagonal(
            self.form.diagonal, self.form.above, self.right, damping, diagonal, above, y, z
        )
        return diagonal, above, y, length, total, seen

    def measure(self, damping: float) -> tuple[float, float]:
        """|d| and -d|d| / d lambda."""
        *_, length, total, _ = self._sweep(damping)
        return length, total / length if length > 0.0 else 0.0

    def damping(self, radius: float) -> float:
        return search(self, radius, self.top / radius)

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        _, _, y, length, _, seen = self._sweep(damping)
        return self._back(y), seen + damping * length * length

    def solve(self, damping: float, right: np.ndarray) -> np.ndarray:
        diagonal, above, *_ = self._sweep(damping)
        # in the coordinates of the form (B'B + lambda) y = P' z, with z the part of J' right that lies in the span of them
        product = self.jacobian.T @ right
        inside = product if self.tall is None else self.tall.adjoint(product)
        y = self.form.into_right(inside)
        banded = np.zeros((2, y.size))
        banded[0, 1:], banded[1] = above[: y.size - 1], diagonal
        lower = np.zeros((2, y.size))
        lower[0], lower[1, :-1] = diagonal, above[: y.size - 1]
        y = scipy.linalg.solve_banded((1, 0), lower, y, check_finite=False)
        return self._back(scipy.linalg.solve_banded((0, 1), banded, y, check_finite=False))

    def _back(self, y: np.ndarray) -> np.ndarray:
        z = self.form.from_right(y)
        return z if self.tall is None else self.tall.apply(z)


@dataclass(frozen=True, eq=False)
class Normal:
    """By the tridiagonal form of J'J, or of JJ' where J has more columns than rows (d = J'w): k^2 max(m, n) + 4 k^3 / 3."""

    jacobian: np.ndarray
    form: Tridiagonal
    right: np.ndarray
    floor: float
    top: float
    dual: bool

    @staticmethod
    def of(jacobian: np.ndarray, residual: np.ndarray, threads: int = 1) -> Normal:
        """From J `(m, n)` and r `(m,)`, neither written over."""
        rows, size = jacobian.shape
        dual, slope = rows < size, jacobian.T @ residual
        lower = gram(jacobian.T if dual else jacobian, threads)
        floor = NORMAL * float(np.trace(lower)) + float(np.finfo(np.float64).tiny)
        form = Tridiagonal.of(lower)
        right = form.into(residual if dual else slope)
        return Normal(jacobian, form, right, floor, float(np.linalg.norm(slope)), dual)

    def _sweep(self, damping: float, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = right.size
        pivot, share, y, z = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        damped_tridiagonal(self.form.diagonal, self.form.beside, right, damping, pivot, share, y, z)
        return y, z

    def measure(self, damping: float) -> tuple[float, float]:
        """|d| and -d|d| / d lambda."""
        y, z = self._sweep(damping, self.right)
        seen = times_tridiagonal(self.form.diagonal, self.form.beside, y) if self.dual else y
        length = sqrt(max(float(np.dot(y, seen)), 0.0))
        return length, float(np.dot(seen, z)) / length if length > 0.0 else 0.0

    def damping(self, radius: float) -> float:
        return search(self, radius, self.top / radius)

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        y, _ = self._sweep(damping, self.right)
        seen = times_tridiagonal(self.form.diagonal, self.form.beside, y)  # K w, or J'J d in the coordinates of the form
        if self.dual:
            return self.jacobian.T @ self.form.out_of(y), float(np.dot(seen, seen) + 2 * damping * np.dot(y, seen))
        return self.form.out_of(y), float(np.dot(y, seen) + 2 * damping * np.dot(y, y))

    def solve(self, damping: float, right: np.ndarray) -> np.ndarray:
        y, _ = self._sweep(damping, -self.form.into(right if self.dual else self.jacobian.T @ right))
        back = self.form.out_of(y)
        return self.jacobian.T @ back if self.dual else back


def damped(jacobian: np.ndarray, residual: np.ndarray, expected: float, threads: int = 1) -> Exact | Normal:
    """The problem in the form that bears the `expected` lambda: the cheap one where it is far above rounding."""
    scale = float(np.vdot(jacobian, jacobian))
    return (Normal if expected >= USUAL * scale > 0.0 else Exact).of(jacobian, residual, threads)


def damped_once(jacobian: np.ndarray, residual: np.ndarray, damping: float, threads: int = 1) -> np.ndarray:
    """d `(n,)` with (J'J + lambda) d = -J'r for a single lambda: by Cholesky where that bears it, else exactly.

    Where J has more columns than rows d = -J'(JJ' + lambda)^-1 r (Woodbury).
    """
    rows, size = jacobian.shape
    scale, dual = float(np.vdot(jacobian, jacobian)), rows < size
    if damping >= NORMAL * scale > 0.0:
        lower = gram(jacobian.T if dual else jacobian, threads)
        lower[np.diag_indices(len(lower))] += damping
        factor = scipy.linalg.cho_factor(lower, lower=True, overwrite_a=True, check_finite=False)
        inner = residual if dual else jacobian.T @ residual
        solved: np.ndarray = scipy.linalg.cho_solve(factor, inner, check_finite=False)
        return -(jacobian.T @ solved) if dual else -solved
    model = Exact.of(jacobian, residual, threads)
    return model.step(max(damping, model.floor))[0]
