"""What random features can add to given fields: residuals as functions of coefficients, and the steps of Gauss-Newton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg

import autodiff as ad
from pinn.blockwise import columns_of, numbers_at
from pinn.imposition import Imposition
from pinn.linear import Rows
from pinn.networks import RandomFeatures, Waves
from pinn.objective import Patch, patches_of
from pinn.optimizers.lapack import merged_triangles, stacked_triangle
from pinn.optimizers.oracle import EPS
from pinn.problem import Problem
from pinn.recipe import Recipe, share_points
from pinn.sampling import Cloud, sample
from pinn.supply import Supply

COARSER = 4  # times fewer points and features, with which Gauss-Newton begins
KEPT = 1 << 26  # numbers: what coefficients do not change is remembered up to half a gigabyte
OVER = 3  # times more residuals than coefficients
LEAST = 256
AFFINE = 1e-9  # of the residual, which rounding explains
POWERS = 7

Numbers = dict[ad.Node, np.ndarray]


@dataclass(frozen=True, eq=False)
class Added:
    """Fields base + sum_k c_k features_k, their residuals over points of their own, and the derivatives of these by c.

    c is `(size,)`.  `faster` is another one with other frequencies: graphs and the
    numbers of the base at the points are kept.
    """

    supply: Supply          # with the features themselves: c are its weights
    features: RandomFeatures
    waves: Supply           # the same with frequencies among the weights
    patches: tuple[Patch, ...]
    clouds: tuple[Cloud, ...]
    plain: tuple[Rows, ...]  # as of columns and all weights
    columns: tuple[Numbers, ...]  # at the points
    rows: tuple[Rows, ...]   # as of the symbols: columns, and what c does not change
    symbols: tuple[Numbers, ...]  # at the points
    weights: tuple[np.ndarray, ...]
    factors: tuple[np.ndarray, ...]
    fixed: np.ndarray       # weights of `waves` with all c zero
    amplitudes: np.ndarray  # of the columns
    threads: int = 1
    dtype: str = "float64"
    every: int = 1          # steps change every n-th coefficient
    last: dict[str, tuple[np.ndarray, ...]] = field(default_factory=dict)

    @staticmethod
    def of(problem: Problem, imposition: Imposition, base: Mapping[str, ad.Array] | None, features: RandomFeatures,
           recipe: Recipe, weights: Sequence[np.ndarray], rng: np.random.Generator, threads: int) -> Added:  # fmt: skip
        """The oracle of features that are added to `base`; `weights` are those of the residuals, by patch."""
        waves = Supply(problem, Waves(features.count, features.per_field), imposition, base)
        patches = patches_of(waves, replace(recipe, laplacian=None))
        windows = trained(waves)
        equations = max(1, sum(len(term.residuals) for term in imposition.terms if term.kind == "equation"))
        interior = max(LEAST, OVER * sum(size for _, size in windows) // equations)
        clouds = tuple(
            sample(patch.region, share_points({"interior": interior}, patch.region, patch.names, patch.is_interior),
                   recipe.sampling, rng) for patch in patches)
        columns = tuple(columns_of(patch.columns, patch.table(cloud, threads))
                        for patch, cloud in zip(patches, clouds, strict=True))
        rows = tuple(Rows.of([residual.node for residual in patch.residuals], windows) for patch in patches)
        factors = tuple(np.sqrt(np.outer(cloud.weights, weight)) for cloud, weight in zip(clouds, weights, strict=True))
        none = np.zeros(0)
        own = tuple(weights)
        blank = Added(waves, features, waves, patches, clouds, rows, columns, rows, columns, own, factors, none, none, threads)
        return blank.faster(features, base)

    def faster(self, features: RandomFeatures, base: Mapping[str, ad.Array] | None) -> Added:
        """The same with as many features of other frequencies."""
        supply = Supply(self.waves.problem, features, self.waves.imposition, base)
        fixed, amplitudes = np.zeros(self.waves.layout.size), []
        for block, own in zip(self.waves.blocks, supply.blocks, strict=True):
            if not isinstance(own.network, RandomFeatures):  # a constant
                amplitudes.append(np.ones(own.layout.size))
                continue
            w, b, _ = block.layout.views(fixed).values()
            w[...], b[...], size = own.network.waves(w.shape[1])
            amplitudes.append(np.tile(size, own.layout.size // size.size))
        rows, symbols = list[Rows](), list[Numbers]()
        for plain, at_points, cloud in zip(self.plain, self.columns, self.clouds, strict=True):
            dear, fewer = plain.split()
            if cloud.count * sum(int(np.prod(node.shape)) for node in dear) > KEPT:
                dear, fewer = {}, plain
            numbers = numbers_at(list(dear.values()), at_points, {"theta": fixed}, cloud.count, self.threads)
            rows.append(fewer)
            symbols.append({**at_points, **dict(zip(dear, numbers, strict=True))})
        return replace(self, supply=supply, features=features, rows=tuple(rows), symbols=tuple(symbols), fixed=fixed,
                       amplitudes=np.concatenate(amplitudes), last={})

    @property
    def size(self) -> int:
        """The number of coefficients."""
        return self.amplitudes.size

    def coarse(self) -> Added:
        """The same with an n-th of the points, whose steps change an n-th of the coefficients: n = COARSER."""
        rng, parts = np.random.default_rng(self.size), []
        for cloud, own, factor in zip(self.clouds, self.symbols, self.factors, strict=True):
            # not every n-th: these are no even points of a low-discrepancy sequence
            some = np.sort(rng.choice(cloud.count, -(-cloud.count // COARSER), replace=False))
            parts.append((replace(cloud, points=cloud.points[some], weights=cloud.weights[some], count=some.size),
                          {node: number[some] for node, number in own.items()},
                          factor[some] * np.sqrt(cloud.count / some.size)))
        clouds, symbols, factors = zip(*parts, strict=True)
        return replace(self, clouds=clouds, symbols=symbols, factors=factors, every=COARSER, last={})

    def lean(self) -> Added:
        """The same without the numbers that make it fast: what is kept for long should be small."""
        return replace(self, rows=self.plain, symbols=self.columns,
                       last={name: known for name, known in self.last.items() if name == "values"})

    def residual(self, c: np.ndarray) -> np.ndarray:
        """The weighted residuals `(m,)`."""
        for known in self.last.values():
            if known[0] is c:
                return known[1]
        theta, parts = self.weights_of(c), []
        for symbols, rows, factor in zip(self.symbols, self.rows, self.factors, strict=True):
            parts.append((factor * rows.values_at(symbols, theta, len(factor), self.threads)).ravel())
        r = np.concatenate(parts)
        self.last["values"] = c, r
        return r

    def loss(self, c: np.ndarray) -> float:
        """The sum of the squares of the residuals."""
        r = self.residual(c)
        return float(r @ r)

    def is_linear(self) -> bool:
        """Whether the residuals are affine in the coefficients: r(2d) - 2 r(d) + r(0) and r(d) - 2 r(0) + r(-d) are nothing."""
        d = np.random.default_rng(self.size).normal(size=self.size)
        few = self.coarse()
        low, none, high, twice = (few.residual(k * d) for k in (-1, 0, 1, 2))
        bent = max(np.linalg.norm(twice - 2 * high + none), np.linalg.norm(high - 2 * none + low))
        return bool(bent <= AFFINE * (np.linalg.norm(twice) + np.linalg.norm(none)))

    def foreseen(self) -> tuple[float, float]:
        """|r| as it is without features, and as least squares say that it can become."""
        r, jacobian = self.both(np.zeros(self.size))
        if not (np.isfinite(jacobian).all() and np.isfinite(r).all()):
            return float(np.linalg.norm(r)), np.inf
        return float(np.linalg.norm(r)), float(abs(stacked_triangle(jacobian, r, self.threads)[-1, -1]))

    def step(self, c: np.ndarray, power: int) -> tuple[np.ndarray, float, int] | None:
        """c after one damped step of Gauss-Newton, its loss, and the power of its damping; None where none lowers the loss.

        (J'J + mu^2) d = -J'r with mu = eps |J| 100^power: from the `power` given on up, until a step is worth taking.
        """
        r, jacobian = self.both(c)
        if not (np.isfinite(jacobian).all() and np.isfinite(r).all()):
            return None
        before = float(r @ r)
        triangle = stacked_triangle(jacobian[:, ::self.every], r, self.threads)
        n, foreseen = len(triangle) - 1, float(triangle[-1, -1] ** 2)
        size = float(np.linalg.norm(triangle[:n, :n]))
        best: tuple[np.ndarray, float, int] | None = None
        for k in range(power, POWERS):
            damping = np.zeros((n + 1, n + 1), order="F")
            np.fill_diagonal(damping[:n, :n], EPS * size * 100.0**k)
            damped = merged_triangles(np.array(triangle, order="F"), damping)
            with np.errstate(all="ignore"):
                trial = c.copy()
                trial[::self.every] -= scipy.linalg.solve_triangular(damped[:n, :n], damped[:n, n], check_finite=False)
                loss = self.loss(trial)
            if loss < (before if best is None else best[1]):
                best = trial, loss, k
            elif best is not None:
                break
            if best is not None and best[1] <= 4 * foreseen:  # as low as it can become
                break
        return best

    def points(self) -> dict[str, int]:
        """The number of points by region."""
        counts: dict[str, int] = {}
        for patch, cloud in zip(self.patches, self.clouds, strict=True):
            counts[patch.region.name] = counts.get(patch.region.name, 0) + cloud.count
        return counts

    def terms(self, c: np.ndarray) -> dict[str, float]:
        """The mean square of the residuals of each term, without its weight."""
        r, start, found = self.residual(c), 0, dict[str, float]()
        for patch, factor, weights in zip(self.patches, self.factors, self.weights, strict=True):
            squares = np.sum(r[start:start + factor.size].reshape(factor.shape) ** 2, axis=0)
            start += factor.size
            for owner, square, weight in zip(patch.owners, squares, weights, strict=True):
                name = patch.terms[owner].name
                found[name] = found.get(name, 0.0) + (float(square / weight) if weight else 0.0)
        return found

    def weights_of(self, c: np.ndarray) -> np.ndarray:
        """The weights of `waves`, as the patches know them."""
        theta, start = self.fixed.copy(), 0
        for offset, size in trained(self.waves):
            theta[offset:offset + size] = (c * self.amplitudes)[start:start + size]
            start += size
        return theta

    def both(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The residuals and their derivatives."""
        known = self.last.get("rows")
        if known is not None and known[0] is c:
            return known[1], known[2]
        theta, left, right = self.weights_of(c), [], []
        for symbols, rows, factor in zip(self.symbols, self.rows, self.factors, strict=True):
            values, derivatives = rows.at(symbols, theta, len(factor), self.threads)
            derivatives *= factor[:, :, None]
            derivatives *= self.amplitudes
            left.append((factor * values).ravel())
            right.append(derivatives.reshape(factor.size, -1))
        both = np.concatenate(left), np.concatenate(right) if len(right) > 1 else right[0]
        self.last["rows"] = (c, *both)
        return both


def trained(waves: Supply) -> list[tuple[int, int]]:
    """The windows (offset, size) of what is sought: all weights but frequencies and phases, which come first in a block."""
    found = []
    for block in waves.blocks:
        slots = list(block.layout)
        found += [(slot.offset, slot.size) for slot in (slots[2:] if isinstance(block.network, Waves) else slots)]
    return found
