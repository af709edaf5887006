"""How far a solution can be trusted, judged without knowing the answer: fresh residuals, and the linearised error equation.

If u + e is the solution, then r(u) + r'(u) e = 0 up to the square of e.  e is sought among what the network could still do and
what random waves can, under the same conditions.  What none of them explains is put on top: as if it were amplified like what
was found, and where it is more than a small part, like those waves f that are amplified most,

    estimate^2 = (|e| |r| / |r'(u) e|)^2 + max_f |f|^2 / |r'(u) f|^2 * |r + r'(u) e|^2,    all relative to |u|.

It is an estimate, no bound.  A residual of which little is explained, one that is larger between the points of training, and
directions in which the equations say nothing are told as such, and no such solution is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

import autodiff as ad
from pinn.blockwise import columns_of, numbers_at
from pinn.imposition import Imposition
from pinn.linear import Rows
from pinn.networks import RandomFeatures, Sum
from pinn.objective import Patch
from pinn.recipe import Recipe
from pinn.sampling import Cloud, sample, sobol
from pinn.supply import Supply, frozen

WAVES, FEW_WAVES = 250, 80      # random functions, shared by the unknowns; the few are for a quick look
SLOW, FAST = 4.0, 16.0          # frequencies of either half of them
STILL, STILL_WAVES = 0.8, 30    # and of some more, of which constants and slopes can be made
ROWS, FEW_ROWS = 3_000, 600     # residuals at which the equation is solved
WEIGHTS = 1_300      # of a network, above which its own directions are left out
MANY = 12            # coordinates, above which nothing is judged
NOTHING = 1e-9       # of the size of the largest unknown
ROUNDING = 1e-15     # relative error that any solution has
TRUSTED, FAILED = 1e-2, 0.3   # estimates of relative errors
NOISE = 0.95         # of the square of the residual: where so much is explained, the rest is amplified as that
SEEN = 1e-4          # of the largest: smaller combinations of functions are rounding
BETWEEN = 10.0       # times larger a residual on fresh points may be than on those of training
EXPLAINED = 0.5      # of the square of the residual, at least
SMOOTH, NULL = 40, 1e-4       # smooth directions that are looked at; what counts as no answer of the equations, of the largest
STEEPER = 4.0        # times less of it, for every order of the equations beyond the second


@dataclass(frozen=True)
class Verdict:
    """`word` is trust, doubt or failed, `because` the reasons; `estimate` the relative L2 error by unknown that is expected.

    `fresh` and `trained` are root mean squares of each term on points of its own and on those of training; `explained` is the
    share of the square of the residual that the linearised equation can account for.
    """

    word: str
    because: tuple[str, ...]
    estimate: dict[str, float]
    fresh: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    explained: float = 1.0

    def __str__(self) -> str:
        return f"{self.word}: {'; '.join(self.because)}"


def judge(
    patches: Sequence[Patch], trained: np.ndarray, weights: Sequence[np.ndarray], terms: dict[str, float], supply: Supply,
    theta: np.ndarray, recipe: Recipe, imposition: Imposition, seed: int = 0, quick: bool = False,
) -> Verdict:  # fmt: skip
    """The verdict on the fields of `supply` at weights `theta`, for which the `patches` have the weights `trained`.

    `weights` are those of the residuals, `terms` their mean squares on the points of training; `imposition` is what the fields
    satisfy by construction; `quick` looks at fewer points.  What goes wrong on the way is a doubt, never an error.
    """
    if len(supply.space.coordinates) > MANY or any(patch.hutchinson is not None for patch in patches):
        return Verdict("doubt", ("in so many dimensions, or with estimated Laplacians, nothing is judged",), {})
    try:
        with np.errstate(all="ignore"):
            return _judge(patches, trained, weights, terms, supply, theta, recipe, imposition, seed, quick)
    except (ad.AutodiffError, np.linalg.LinAlgError, ValueError, MemoryError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Verdict("doubt", (f"it could not be judged: {told}",), {})


def _judge(
    patches: Sequence[Patch], trained: np.ndarray, weights: Sequence[np.ndarray], terms: dict[str, float], supply: Supply,
    theta: np.ndarray, recipe: Recipe, imposition: Imposition, seed: int, quick: bool,
) -> Verdict:  # fmt: skip
    rng = np.random.default_rng([seed, 3])
    count = max(64, (FEW_ROWS if quick else ROWS) // max(1, sum(len(patch.residuals) for patch in patches)))
    clouds = [sample(patch.region, count, recipe.sampling, rng) for patch in patches]
    values = [patch.residuals_at(cloud, trained, 1, "float64") for patch, cloud in zip(patches, clouds, strict=True)]
    fresh: dict[str, float] = {}
    for patch, cloud, value in zip(patches, clouds, values, strict=True):
        for owner, square in zip(patch.owners, cloud.weights @ value**2, strict=True):
            fresh[patch.terms[owner].name] = fresh.get(patch.terms[owner].name, 0.0) + float(square)
    if not all(np.isfinite(value) for value in fresh.values()):
        nothing = dict.fromkeys(supply.fields, np.inf)
        return Verdict("failed", ("the residual is not finite on fresh points",), nothing, fresh, terms)
    found = linearised(patches, clouds, values, weights, supply, theta, imposition, rng, quick)
    return pronounce(*found, *({name: float(np.sqrt(value)) for name, value in one.items()} for one in (fresh, terms)))


def pronounce(estimate: dict[str, float], explained: float, bound: float, null: bool, fresh: dict[str, float],
              trained: dict[str, float]) -> Verdict:  # fmt: skip
    """The word for these findings, and the reasons."""
    worst = max(estimate, key=lambda name: estimate[name])
    expected = estimate[worst]
    doubts = []
    for name, value in fresh.items():
        if value > BETWEEN * trained.get(name, np.inf) and bound > TRUSTED:
            doubts.append(f"{name} is {value / max(trained[name], 1e-300):.0f} times larger on fresh points than on those of "
                          "training: more points are needed")  # fmt: skip
    if null:
        doubts.append("equations and conditions do not notice a smooth change of the fields: is a condition missing?")
    if explained < EXPLAINED and bound > TRUSTED:
        doubts.append(f"only {100 * explained:.0f} % of the residual can be explained by an error of the fields: the estimate "
                      "is weak")  # fmt: skip
    told = f"the error of {worst} is expected to be about {expected:.1e} of its size"
    if not expected <= FAILED:
        return Verdict("failed", (told, *doubts), estimate, fresh, trained, explained)
    if doubts or expected > TRUSTED:
        return Verdict("doubt", (*doubts, told), estimate, fresh, trained, explained)
    return Verdict("trust", (told,), estimate, fresh, trained, explained)


def linearised(
    patches: Sequence[Patch], clouds: Sequence[Cloud], values: Sequence[np.ndarray], weights: Sequence[np.ndarray],
    supply: Supply, theta: np.ndarray, imposition: Imposition, rng: np.random.Generator, quick: bool,
) -> tuple[dict[str, float], float, float, bool]:  # fmt: skip
    """Relative sizes of the error by unknown, the explained share of the residual, a bound for smooth errors, and whether one
    of them is not noticed by the equations at all.

    The bound is |r| / min |r'(u) e| over smooth e of the size of the fields.
    """
    problem, space = supply.problem, supply.space
    waves = max(20, (FEW_WAVES if quick else WAVES) // len(space.unknowns))
    half = max(waves // 2, 1)
    features = Sum((RandomFeatures(half, SLOW, 17), RandomFeatures(half, FAST, 18), RandomFeatures(STILL_WAVES, STILL, 19)))
    more = Supply(problem, features, imposition, frozen(supply, theta))
    systems = [(more, more.initial(rng))]
    if theta.size <= WEIGHTS and not supply.slabs:
        systems.append((supply, theta))
    right, blocks = [], []
    for patch, cloud, value, weight in zip(patches, clouds, values, weights, strict=True):
        factor, parts = np.sqrt(np.outer(cloud.weights, weight)), []
        for system, at in systems:
            own = Patch.of(patch.region, patch.terms, system)
            table = own.table(cloud)
            symbols = columns_of(own.columns, table)
            rows = Rows.of([residual.node for residual in own.residuals], [(0, system.layout.size)])
            parts.append(rows.at(symbols, at, cloud.count)[1].reshape(factor.size, -1))
        blocks.append(np.concatenate(parts, axis=1) * factor.reshape(-1, 1))
        right.append((factor * value).ravel())
    matrix, r = np.concatenate(blocks), np.concatenate(right)
    points = problem.domain.interior.sample(512 if quick else 1024, sobol, rng).x
    symbols = columns_of([space.coordinate(name) for name in space.coordinates], points)
    known = numbers_at(supply.resolved([supply.fields[name].node for name in space.unknowns]), symbols, {"theta": theta},
                       len(points))  # fmt: skip
    sizes = [float(np.linalg.norm(value)) for value in known]
    fields = {}
    for name, size in zip(space.unknowns, sizes, strict=True):
        parts = [rows_at(system, name, at, symbols, len(points)) for system, at in systems]
        # an unknown that is nothing beside the others is measured by them
        size = size if size > NOTHING * max(sizes) else max(sizes) or 1.0
        fields[name] = np.concatenate(parts, axis=1) / size
    # directions of the size that they have as functions, so that truncation cuts what no field shows
    length = np.linalg.norm(np.concatenate(list(fields.values())), axis=0)
    seen = length > 1e-12 * length.max()
    matrix = matrix[:, seen] / length[seen]
    fields = {name: part[:, seen] / length[seen] for name, part in fields.items()}
    c, *_ = scipy.linalg.lstsq(matrix, -r, cond=1e-11, lapack_driver="gelsd", check_finite=False)
    answer = matrix @ c
    answered, whole = float(np.linalg.norm(answer)), float(np.linalg.norm(r))
    explained = min((answered / whole) ** 2, 1.0) if whole else 1.0
    slow = np.zeros(seen.size, bool)
    for slot in more.layout:
        slow[slot.offset:slot.offset + slot.size] = "0: " in slot.name or "2: " in slot.name
    slow = slow[seen]
    together = np.concatenate(list(fields.values()))
    _, s, vt = scipy.linalg.svd(together[:, slow], full_matrices=False, check_finite=False)
    kept = min(SMOOTH, int(np.count_nonzero(s > 1e-8 * s[0])))
    answers = scipy.linalg.svdvals(matrix[:, slow] @ (vt[:kept] / s[:kept, None]).T, check_finite=False)
    bound = whole / float(answers[-1]) if answers[-1] else np.inf
    amplified = whole / answered if answered else 1.0
    estimate = {name: max(float(np.linalg.norm(part @ c)) * amplified, ROUNDING)
                for name, part in fields.items()}
    if explained < NOISE:
        rest = float(np.linalg.norm(answer + r))
        estimate = {name: float(np.hypot(one, rest * unexplained)) for (name, one), unexplained in zip(
            estimate.items(), amplifications(matrix, list(fields.values())), strict=True)}
    order = max((len(index) for term in problem.terms if term.kind == "equation" for indices in term.demands.values()
                 for index in indices), default=0)  # fmt: skip
    return estimate, explained, bound, bool(answers[-1] < NULL / STEEPER ** max(order - 2, 0) * answers[0])


def amplifications(matrix: np.ndarray, fields: Sequence[np.ndarray]) -> list[float]:
    """By unknown, the size of that function among all combinations whose residual has the size one and which is the largest.

    `matrix` holds the residuals, `fields` the values of each unknown, of the functions that are combined, in columns.
    """
    _, s, vt = scipy.linalg.svd(np.concatenate(list(fields)), full_matrices=False, check_finite=False)
    kept = int(np.count_nonzero(s > SEEN * s[0]))
    directions = (vt[:kept] / s[:kept, None]).T
    _, answers, vt = scipy.linalg.svd(matrix @ directions, full_matrices=False, check_finite=False)
    worst = directions @ vt[-1] / max(float(answers[-1]), 1e-300)
    return [float(np.linalg.norm(part @ worst)) for part in fields]


def rows_at(supply: Supply, name: str, theta: np.ndarray, symbols: dict[ad.Node, np.ndarray], count: int) -> np.ndarray:
    """The derivatives of a field with respect to the weights `(count, weights)`."""
    return Rows.of(supply.resolved([supply.fields[name].node]), [(0, supply.layout.size)]).at(symbols, theta, count)[1][:, 0]


__all__ = ["Verdict", "judge", "pronounce"]
