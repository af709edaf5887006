"""The Nystrom approximation of a symmetric matrix that is known by its products, as a preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from pinn.optimizers.oracle import EPS


@dataclass(frozen=True, eq=False)
class Nystrom:
    """U diag(eigenvalues) U' with U `(n, rank)` orthonormal and eigenvalues at least 0, falling."""

    u: np.ndarray
    eigenvalues: np.ndarray

    @staticmethod
    def of(product: Callable[[np.ndarray], np.ndarray], size: int, rank: int, rng: np.random.Generator) -> Nystrom | None:
        """From `rank` products with random orthonormal vectors; None where a product is not finite.

        Frangella, Tropp & Udell 2023, algorithm 2.1, with the shift of Rathore et al. 2024 (appendix): a Hessian may be
        indefinite, and where the core is, it is lifted by its lowest eigenvalue. What is negative then counts as zero.
        """
        rank = min(rank, size)
        omega = np.linalg.qr(rng.normal(size=(size, rank)))[0]
        y = np.stack([product(column) for column in np.ascontiguousarray(omega.T)], axis=1)
        if not np.isfinite(y).all():
            return None
        shift = np.sqrt(size) * EPS * float(np.linalg.norm(y))
        if shift == 0.0:
            return Nystrom(omega, np.zeros(rank))
        core = omega.T @ y
        lowest = float(np.linalg.eigvalsh(0.5 * (core + core.T))[0])
        if lowest < 0.0:
            shift -= (1 + 1e-8) * lowest
        y = y + shift * omega
        core = omega.T @ y
        try:
            factor = scipy.linalg.cholesky(0.5 * (core + core.T), lower=True)
        except np.linalg.LinAlgError:  # lifted to zero, but for rounding
            return Nystrom(omega, np.zeros(rank))
        b = scipy.linalg.solve_triangular(factor, y.T, lower=True).T
        u, s, _ = np.linalg.svd(b, full_matrices=False)
        return Nystrom(u, np.maximum(s * s - shift, 0.0))

    def inverse(self, x: np.ndarray, damping: float) -> np.ndarray:
        """P^-1 x with P^-1 = (l + mu) U (diag(eigenvalues) + mu)^-1 U' + I - U U', l the least eigenvalue, mu the damping.

        The eigenvalues found are levelled to the least of them; the rest is left alone.
        """
        inside = self.u.T @ x
        level = (self.eigenvalues[-1] + damping) / (self.eigenvalues + damping)
        return x + self.u @ ((level - 1.0) * inside)
