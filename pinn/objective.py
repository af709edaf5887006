"""The objective: a weighted sum of mean squares over clouds of points, as the oracle that optimizers ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

import autodiff as ad
from pinn.blockwise import columns_of, stacked
from pinn.conditions import Term
from pinn.errors import NumericsError, RecipeError
from pinn.estimate import estimated
from pinn.geometry import Region
from pinn.hutchinson import Hutchinson
from pinn.problem import Problem
from pinn.recipe import Recipe, Weights, share_points
from pinn.sampling import Cloud, sample
from pinn.stopwatch import SAMPLING, Stopwatch, timed
from pinn.supply import Supply
from pinn.weighting import Balance

# Points times parameters for each thread: below, a second thread costs more than it saves, and results are the same.
WORTH_A_THREAD = 200_000
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Patch:
    """All terms of one region behind one program, so that they share the jets of the network.

    `owners[k]` is the term of residual k; `lifts` are what the last columns are made of (see `Supply`).
    """

    region: Region
    terms: tuple[Term, ...]
    columns: tuple[ad.Array, ...]
    residuals: tuple[ad.Array, ...]
    owners: tuple[int, ...]
    program: ad.PointProgram
    hutchinson: Hutchinson | None
    lifts: tuple[ad.Node, ...]

    @staticmethod
    def of(region: Region, terms: Sequence[Term], supply: Supply, hutchinson: Hutchinson | None = None) -> Patch:
        """The patch of these terms; data of different terms are kept apart.

        With a `hutchinson` Laplacians of equations are estimated: the columns of its directions come last, and behind the
        residuals, in terms of their own, what half of the directions says against the other.
        """
        space = terms[0].space
        normals = space.spatial if any(term.uses_normals for term in terms) else ()
        columns = [*map(space.coordinate, space.coordinates), *map(space.normal, normals)]
        stated, owners = [], []
        for index, term in enumerate(terms):
            # data of different terms may have the same name
            renamed = {space.data(column.name).node: space.data(f"{term.name}: {column.name}") for column in term.data}
            columns += renamed.values()
            replacement = {old: new.node for old, new in renamed.items()}
            nodes = ad.substitute([residual.node for residual in term.residuals], replacement, ad.rebuild)
            stated += [ad.Array(node, space) for node in nodes]
            owners += [index] * len(nodes)
        if hutchinson is None or not any(term.kind == "equation" for term in terms):
            hutchinson, residuals = None, supply.program(tuple(stated))
        else:
            directions, means, apart = estimated(supply, stated, hutchinson)
            kept = [k for k, owner in enumerate(owners) if terms[owner].kind == "equation" and apart[k].node.args]
            columns += directions
            residuals = (*means, *(apart[k] for k in kept))
            owners += [len(terms) + place for place in range(len(kept))]
            terms = [*terms, *(Term(f"{terms[owners[k]].name}: variance", "variance", region, (apart[k],), space, weight=0.0)
                               for k in kept)]
        leaves = supply.lift_leaves([residual.node for residual in residuals])
        columns += [ad.Array(leaf, space) for leaf in leaves]
        program = ad.PointProgram(columns, residuals, supply.layout.size)
        return Patch(region, tuple(terms), tuple(columns), tuple(residuals), tuple(owners), program, hutchinson,
                     tuple(supply.lifted(leaf) for leaf in leaves))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the terms."""
        return tuple(term.name for term in self.terms)

    @property
    def is_interior(self) -> bool:
        """Whether an equation holds here, not only conditions."""
        return any(term.kind == "equation" for term in self.terms)

    def table(self, cloud: Cloud, threads: int = 1) -> np.ndarray:
        """The numbers of `columns` `(points, columns)`.  Raises NumericsError where a given value is not finite."""
        parts = [cloud.points]
        if any(term.uses_normals for term in self.terms):
            parts.append(cloud.normals)
        for term in self.terms:
            if term.data:
                parts.append(term.table(cloud.points, cloud.normals)[:, -len(term.data):])
        if self.hutchinson is not None:
            axes = len(self.terms[0].space.spatial)
            parts.append(self.hutchinson.draw(cloud.points, axes).reshape(cloud.count, -1))
        if self.lifts:
            parts.append(self._lifted(cloud, threads))
        return np.concatenate(parts, axis=1)

    def _lifted(self, cloud: Cloud, threads: int) -> np.ndarray:
        """The lifts and their derivatives `(points, lifts)`."""
        space = self.terms[0].space
        return stacked(self.lifts, [space.coordinate(name) for name in space.coordinates], cloud.points, {}, threads)

    def bind(self, cloud: Cloud, threads: int, dtype: str) -> ad.BoundProgram:
        """The program over a cloud, its residuals weighted as the cloud says."""
        enough = cloud.count * self.program.parameters >= WORTH_A_THREAD * threads
        return self.program.bind(self.table(cloud, threads), cloud.pull, threads if enough else 1, dtype)

    def residuals_at(self, cloud: Cloud, theta: np.ndarray, threads: int, dtype: str) -> np.ndarray:
        """The residuals `(points, residuals)` at a cloud that is looked at once."""
        if self.program.is_compiled("residual", cloud.count, dtype):
            return self.bind(cloud, threads, dtype).residual(theta)
        table, nodes = self.table(cloud, threads), [residual.node for residual in self.residuals]
        return stacked(nodes, self.columns, table, {"theta": theta}, threads)


@dataclass(frozen=True, eq=False)
class Last:
    """The latest evaluation and the one of the least loss: telling their terms again costs nothing.

    Keyed by identity, as nobody writes into a theta.
    """

    theta: list[np.ndarray | None] = field(default_factory=lambda: [None, None])
    sums: list[list[np.ndarray]] = field(default_factory=lambda: [[], []])
    least: list[float] = field(default_factory=lambda: [np.inf])

    def keep(self, theta: np.ndarray, loss: float, sums: list[np.ndarray]) -> None:
        """Remember an evaluation."""
        self.theta[0], self.sums[0] = theta, sums
        if loss < self.least[0]:
            self.theta[1], self.sums[1], self.least[0] = theta, sums, loss

    def find(self, theta: np.ndarray) -> list[np.ndarray] | None:
        """The sums at this very theta, if they are remembered."""
        return next((sums for known, sums in zip(self.theta, self.sums, strict=True) if known is theta), None)


@dataclass(frozen=True, eq=False)
class Objective:
    """loss(theta) = sum over patches, residuals k and points p of weight_k w_p r_k(p)^2, with sum_p w_p = 1, times an emphasis.

    An oracle (see pinn.optimizers.oracle): the residual vector is sqrt(weight_k w_p) r_k(p), patch by patch, points before
    residuals.  `weights` are by patch, one for each residual.  Made by `Objective.of`; `with_clouds` and `with_weights` are new
    values on the same compiled programs.
    """

    patches: tuple[Patch, ...]
    clouds: tuple[Cloud, ...]
    weights: tuple[np.ndarray, ...]
    bound: tuple[ad.BoundProgram, ...]
    size: int
    threads: int = 1
    dtype: str = "float64"
    last: Last = field(default_factory=Last)

    @staticmethod
    def of(problem: Problem, supply: Supply, recipe: Recipe, rng: np.random.Generator, threads: int = 1,
           stopwatch: Stopwatch | None = None) -> Objective:  # fmt: skip
        """The objective of a problem under a complete recipe, with clouds drawn from `rng`.

        Raises RecipeError for points or weights of a name that no term or region has, and NumericsError for given values that
        are not finite.
        """
        patches = patches_of(supply, recipe)
        check_names(recipe, problem.terms)
        counts = [share_points(recipe.points, patch.region, patch.names, patch.is_interior) for patch in patches]
        with timed(stopwatch, SAMPLING):
            clouds = tuple(sample(patch.region, n, recipe.sampling, rng) for patch, n in zip(patches, counts, strict=True))
        weights = tuple(np.array([weigh(patch.terms[owner], recipe.weighting) for owner in patch.owners]) for patch in patches)
        dtype = recipe.dtypes(recipe.stages[0])[0] if recipe.stages else "float64"
        with timed(stopwatch, SAMPLING):
            bound = tuple(patch.bind(cloud, threads, dtype) for patch, cloud in zip(patches, clouds, strict=True))
        return Objective(patches, clouds, weights, bound, supply.layout.size, threads, dtype)

    def with_clouds(self, clouds: Sequence[Cloud]) -> Objective:
        """The same objective over other points, one cloud for each patch."""
        bound = tuple(
            kept if new is old else patch.bind(new, self.threads, self.dtype)
            for patch, new, old, kept in zip(self.patches, clouds, self.clouds, self.bound, strict=True))
        return replace(self, clouds=tuple(clouds), bound=bound, last=Last())

    def with_weights(self, weights: Sequence[np.ndarray]) -> Objective:
        """The same objective with other weights, by patch one for each residual."""
        weights = tuple(np.array(weight, float) for weight in weights)
        return replace(self, weights=weights, last=Last())

    def with_dtype(self, dtype: str) -> Objective:
        """The same objective, computed in float64 or float32; itself where it is."""
        if dtype == self.dtype:
            return self
        bound = tuple(patch.bind(cloud, self.threads, dtype) for patch, cloud in zip(self.patches, self.clouds, strict=True))
        return replace(self, bound=bound, dtype=dtype, last=Last())

    @property
    def eps(self) -> float:
        """The rounding unit of what is computed."""
        return float(np.finfo(self.dtype).eps)

    def balanced(self, recipe: Recipe, theta: np.ndarray) -> Objective:
        """The same objective with the weights that the recipe's Balance measures at `theta`; itself if the recipe has none."""
        if not isinstance(recipe.weighting, Balance):
            return self
        measured = recipe.weighting.weights(self.patches, self.clouds, theta, self.bound)
        return self.with_weights([old * new for old, new in zip(self.weights, measured, strict=True)])

    def rebalanced(self, balance: Balance, theta: np.ndarray) -> Objective:
        """The same objective with the weights that become of its own when `balance` looks at `theta`."""
        stated = [np.array([patch.terms[owner].weight for owner in patch.owners]) for patch in self.patches]
        # a term that only tells, and trains nothing, has no weight
        known = [np.divide(weight, own, out=np.ones_like(weight), where=own > 0)
                 for weight, own in zip(self.weights, stated, strict=True)]
        measured = balance.weights(self.patches, self.clouds, theta, self.bound, known)
        return self.with_weights([own * new for own, new in zip(stated, measured, strict=True)])

    def even(self) -> Objective:
        """The same objective with no point emphasised; itself where none is."""
        if all(cloud.emphasis is None for cloud in self.clouds):
            return self
        return self.with_clouds([cloud if cloud.emphasis is None else replace(cloud, emphasis=None) for cloud in self.clouds])

    # -- the oracle
    def loss(self, theta: np.ndarray) -> float:
        """sum of weight_k w_p r_k(p)^2."""
        return sum(float(weight @ bound.loss(theta)) for weight, bound in zip(self.weights, self.bound, strict=True))

    def loss_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient `(size,)`."""
        total, gradient, sums = 0.0, None, []
        for weight, bound in zip(self.weights, self.bound, strict=True):
            terms, part = bound.loss_and_gradient(theta, weight)
            total += float(weight @ terms)
            gradient = part if gradient is None else np.add(gradient, part, out=gradient)
            sums.append(terms)
        self.last.keep(theta, total, sums)
        return total, gradient

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """The weighted residuals `(m,)`; their squares sum to the loss."""
        return self._rows([bound.residual(theta) for bound in self.bound])

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """d residual / d theta `(m, size)`, one column after the other, as LAPACK wants it."""
        factors = self._factors()
        columns, start = np.empty((self.size, sum(factor.size for factor in factors))), 0
        for factor, bound in zip(factors, self.bound, strict=True):
            part = columns[:, start:start + factor.size].reshape(self.size, *factor.shape)
            np.multiply(bound.jacobian(theta).transpose(2, 0, 1), factor, out=part)
            start += factor.size
        return columns.T

    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Jacobian times `v` `(size,)`: `(m,)`."""
        return self._rows([bound.jvp(theta, v) for bound in self.bound])

    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The transposed Jacobian times `w` `(m,)`: `(size,)`."""
        total, start = np.zeros(self.size), 0
        for factor, bound in zip(self._factors(), self.bound, strict=True):
            part = w[start:start + factor.size].reshape(factor.shape)
            total += bound.vjp(theta, factor * part)
            start += factor.size
        return total

    def hvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Hessian of the loss times `v` `(size,)`: `(size,)`."""
        total = np.zeros(self.size)
        for weight, bound in zip(self.weights, self.bound, strict=True):
            total += bound.hvp(theta, v, weight)
        return total

    def _factors(self) -> list[np.ndarray]:
        return [np.sqrt(np.outer(cloud.pull, weight)) for cloud, weight in zip(self.clouds, self.weights, strict=True)]

    def _rows(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([(factor * part).ravel() for factor, part in zip(self._factors(), parts, strict=True)])

    # -- what people want to know
    def terms(self, theta: np.ndarray) -> dict[str, float]:
        """The mean square of the residuals of each term, without its weight; free for the `theta` evaluated last.

        Points count as they pull: for a plain mean where some are emphasised ask the objective that is `even`.
        """
        known = self.last.find(theta)
        if known is None:
            self.loss_and_gradient(theta)
            known = self.last.sums[0]
        found: dict[str, float] = {}
        for patch, sums in zip(self.patches, known, strict=True):
            for owner, value in zip(patch.owners, sums, strict=True):
                name = patch.terms[owner].name
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def points(self) -> dict[str, int]:
        """The number of points by region."""
        counts: dict[str, int] = {}
        for patch, cloud in zip(self.patches, self.clouds, strict=True):
            counts[patch.region.name] = counts.get(patch.region.name, 0) + cloud.count
        return counts

    def size_of_residual(self, index: int, theta: np.ndarray, cloud: Cloud) -> np.ndarray:
        """sqrt(sum_k weight_k r_k^2) `(points,)` of patch `index` at the points of a cloud.

        It is asked for now and then: by the kernel if there is one, else by the reference semantics, which need no compiling.
        """
        values = self.patches[index].residuals_at(cloud, theta, self.threads, self.dtype)
        return np.sqrt(values**2 @ self.weights[index])

    def check(self, theta: np.ndarray) -> None:
        """Raises NumericsError naming the term and the first point where a residual or the gradient is not finite."""
        with np.errstate(all="ignore"):
            loss, gradient = self.loss_and_gradient(theta)
        if np.isfinite(loss) and np.isfinite(gradient).all():
            return
        for patch, cloud in zip(self.patches, self.clouds, strict=True):
            table = patch.table(cloud, self.threads)
            for start in range(0, cloud.count, CHUNK):
                _blame(patch, table[start:start + CHUNK], theta)
        raise NumericsError(
            f"at the start {np.count_nonzero(~np.isfinite(gradient))} entries of the gradient are not finite (loss {loss})",
            why="every residual is finite, but its derivative with respect to the network is not",
            fix="avoid roots and absolute powers of what may be zero: np.sqrt(u**2 + 1e-12) instead of np.sqrt(u**2)")


def patches_of(supply: Supply, recipe: Recipe) -> tuple[Patch, ...]:
    """The terms that are left to be trained, by the region that they share."""
    groups: list[tuple[Region, list[Term]]] = []
    for term in supply.imposition.terms:
        same = next((terms for region, terms in groups if region == term.region), None)
        if same is None:
            groups.append((term.region, [term]))
        else:
            same.append(term)
    return tuple(Patch.of(region, terms, supply, recipe.laplacian) for region, terms in groups)


def weigh(term: Term, weighting: Weights | None) -> float:
    """The weight of a term: its own, times what the recipe says of its name, its region or of all conditions."""
    if isinstance(weighting, Balance) or not term.weight:
        return term.weight  # the rest is measured when the network is there
    if isinstance(weighting, Mapping):
        said = [weighting[name] for name in (term.name, term.region.name, f"{term.kind}s") if name in weighting]
        return term.weight * float(said[0] if said else 1.0)
    return term.weight * (float(weighting or 1.0) if term.kind == "condition" else 1.0)


def check_names(recipe: Recipe, terms: Sequence[Term]) -> None:
    """RecipeError for points or weights of a name that no term or region has."""
    names = [name for term in terms for name in (term.name, term.region.name)]
    for part, what, said in (("points", "points", recipe.points), ("weighting", "a weight", recipe.weighting)):
        if not isinstance(said, Mapping):
            continue
        known = list(dict.fromkeys([*names, "interior", "conditions", "equations"]))
        for name in said:
            if name not in known:
                raise RecipeError(f"the recipe gives {what} of {name!r}, which is not there",
                                  why=f"the names are {', '.join(known)}", fix=f"Recipe({part}={{{known[0]!r}: ...}})")


def _blame(patch: Patch, table: np.ndarray, theta: np.ndarray) -> None:
    """Raises NumericsError for the first residual of a patch that is not finite at a row of `table`."""
    symbols = columns_of(patch.columns, table)
    nodes = [residual.node for residual in patch.residuals]
    residuals = ad.evaluate(nodes, symbols, {"theta": theta}, len(table))
    for owner, values in zip(patch.owners, residuals, strict=True):
        bad = np.flatnonzero(~np.isfinite(values))
        if not bad.size:
            continue
        count, (term, row) = f"{bad.size} of {len(table)} points", (patch.terms[owner], table[bad[0]])
        coordinates = term.space.coordinates
        place = ", ".join(f"{name} = {value:.6g}" for name, value in zip(coordinates, row, strict=False))
        raise NumericsError(
            f"{term.name} is {values[bad[0]]} at {place}", where=term.where,
            why=f"its residual is not finite at {count}, before any training{_culprit(patch, row, theta)}",
            fix="check the formula there: a division by zero, a root or logarithm of a negative number?")


def _culprit(patch: Patch, row: np.ndarray, theta: np.ndarray) -> str:
    """The first operation on the way to the residuals at one point that makes something that is not finite."""
    nodes = ad.walk([residual.node for residual in patch.residuals])
    symbols = {column.node: row[i:i + 1] for i, column in enumerate(patch.columns)}
    values = ad.evaluate(nodes, symbols, {"theta": theta}, 1)
    for node, value in zip(nodes, values, strict=True):
        if node.dtype.kind == "f" and not np.isfinite(value).all():
            return f"; it begins with {node.op.name}"
    return ""
