"""What is renewed between the steps of one way: its points, how hard they pull, the weights of its terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pinn.adaptive import DENSER, Adaptive
from pinn.emphasis import Emphasis, Look, Span
from pinn.objective import Objective
from pinn.problem import Problem
from pinn.recipe import Recipe
from pinn.sampling import Cloud, sample
from pinn.weighting import Balance

POINTS, EMPHASIS, BALANCE, CHECK = "points", "emphasis", "balance", "check"
OFTEN = 100      # iterations from one check to the next whether few points are too few
BETWEEN = 2.0    # times the residual on few points: a residual between them that shows that they are too few
PATIENCE = 2     # renewals with few points, at most, before they are doubled


@dataclass(frozen=True, eq=False)
class Renewed:
    """An objective after a renewal.

    `size` is the root mean square of the residual on even points that were never trained on, where points were drawn; `moved`
    says that the emphasis has gone on to something else than before.
    """

    objective: Objective
    size: float | None
    moved: bool


class Renewal:
    """The rhythm of a way, and what it has learned of its points: it changes only where it is entered, renewed or told to."""

    def __init__(self, recipe: Recipe, problem: Problem, rng: np.random.Generator):
        self.recipe, self.rng = recipe, rng
        self.emphasis: Emphasis | None = recipe.emphasis
        self.held: Any = None if self.emphasis is None else self.emphasis.begin()
        time = problem.domain.time
        self.time: Span | None = None
        if time is not None:
            begin, end = map(float, problem.domain.bounds[time])
            self.time = problem.domain.coordinates.index(time), begin, end
        self.every: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.times = 1               # so many times more points at the next renewal
        self.most: int | None = None  # what they may become
        self.full: dict[int, int] = {}  # what they are to be, by patch, where they begin as fewer
        self.waited = 0              # renewals without more of these

    def enter(self, is_last: bool) -> None:
        """A stage begins; points are drawn anew only in the last."""
        recipe, adaptive = self.recipe, self.recipe.adaptive
        # a short first stage only finds the valley; fresh points are for the stages that settle in it
        said = {POINTS: adaptive.every if adaptive is not None and is_last else 0,
                CHECK: OFTEN if is_last and self.full else 0,
                EMPHASIS: self.emphasis.every if self.emphasis is not None else 0,
                BALANCE: (recipe.weighting.every or 0) if isinstance(recipe.weighting, Balance) else 0}
        self.every = {part: every for part, every in said.items() if every}
        self.marks = dict.fromkeys(said, 0)

    def grow(self, objective: Objective) -> bool:
        """Twice as many points where equations hold from the next renewal on; False where nobody left their number to us."""
        adaptive = self.recipe.adaptive
        counts = [cloud.count for patch, cloud in zip(objective.patches, objective.clouds, strict=True) if patch.is_interior]
        if POINTS not in self.every or adaptive is None or self.recipe.points:
            return False
        self.most = adaptive.grown(max([*counts, *self.full.values()])) if self.most is None else self.most
        if 2 * max(counts) > self.most:
            return False
        self.times = 2
        return True

    @property
    def period(self) -> int:
        """The iterations from one renewal to the next; 0 where nothing is renewed."""
        return min((every for part, every in self.every.items() if part != EMPHASIS or self._lasts), default=0)

    @property
    def looks(self) -> bool:
        """Whether residuals are looked at so often that a kernel for them pays."""
        return self.emphasis is not None

    @property
    def holds_back(self) -> bool:
        """Whether a low loss may only mean that most points are not looked at yet."""
        return self.emphasis is not None and self.emphasis.holds_back(self.held)

    @property
    def _lasts(self) -> bool:
        return self.emphasis is not None and (self.holds_back or not self.emphasis.on_fresh)

    def release(self) -> None:
        """Hold nothing back from the next renewal on."""
        if self.emphasis is not None:
            self.held = self.emphasis.release(self.held)

    def first(self, objective: Objective, theta: np.ndarray) -> Objective:
        """The objective before the first step: few points if asked for, each pulling as is known of it."""
        adaptive, clouds = self.recipe.adaptive, list(objective.clouds)
        if adaptive is not None and not self.recipe.points:
            for index, (patch, cloud) in enumerate(zip(objective.patches, clouds, strict=True)):
                count = adaptive.first(cloud.count) if patch.is_interior else cloud.count
                if count < cloud.count:
                    self.full[index] = cloud.count
                    clouds[index] = sample(patch.region, count, self.recipe.sampling, self.rng)
            objective = objective.with_clouds(clouds) if self.full else objective
        return objective if self.emphasis is None else self._emphasised(objective, theta, {}, [0] * len(objective.clouds), 0)

    def renew(self, objective: Objective, theta: np.ndarray, iteration: int, insist: bool, asked: bool = False) -> Renewed:
        """What is due after so many iterations of a stage; all of it if `insist`ed, and points if `asked` for."""
        due = {part for part, every in self.every.items() if insist or iteration - self.marks[part] >= every}
        steps = iteration - self.marks[EMPHASIS]
        size, held = None, self.held
        fresh: dict[int, tuple[Cloud, np.ndarray]] = {}
        kept = [cloud.count for cloud in objective.clouds]
        if self.full and (asked or {POINTS, CHECK} & due):
            few = self._few(objective)
            self.waited += asked or POINTS in due
            if (few and self.waited >= PATIENCE) or self._too_few(objective, theta):
                self.waited = 0
                if few:
                    due, self.times = due | {POINTS}, 2
                else:
                    self.grow(objective)
        if asked or POINTS in due:
            adaptive, clouds = self.recipe.adaptive or Adaptive(), list(objective.clouds)
            due |= {POINTS} | ({EMPHASIS} if self._lasts else set())
            times, self.times = self.times, 1
            fresh = self._look(objective, theta, adaptive.candidates, times)
            size = float(np.sqrt(sum(float(cloud.weights @ sizes**2) for cloud, sizes in fresh.values())))
            if self._by_moments:
                self._learn(self._seen(fresh), steps)
            for index, (even, sizes) in fresh.items():
                # where nothing pulls yet, points would be wasted
                factor = self._factor(index, even) if self._by_moments else None
                known = sizes if factor is None else sizes * np.sqrt(factor)
                kept[index] = adaptive.kept(clouds[index])
                clouds[index] = adaptive.renew(clouds[index], even, known, self.rng, times)
            objective = objective.with_clouds(clouds)
            if not self._few(objective):
                self.every.pop(CHECK, None)
        if EMPHASIS in due and self.emphasis is not None:
            objective = self._emphasised(objective, theta, fresh, kept, steps)
        if BALANCE in due and isinstance(self.recipe.weighting, Balance):
            objective = objective.rebalanced(self.recipe.weighting, theta)
        self.marks |= dict.fromkeys(due, iteration)
        return Renewed(objective, size, self.emphasis is not None and self.emphasis.moved(held, self.held))

    def _few(self, objective: Objective) -> bool:
        """Whether points are fewer than they are to be."""
        return any(2 * objective.clouds[index].count <= full for index, full in self.full.items())

    def _too_few(self, objective: Objective, theta: np.ndarray) -> bool:
        """Whether the residual is larger on even points between those it is trained on."""
        def size(even: bool) -> float:
            total = 0.0
            for index, full in self.full.items():
                cloud = objective.clouds[index]
                if even:
                    cloud = sample(cloud.region, full // 4, self.recipe.sampling, self.rng)
                total += float(cloud.weights @ objective.size_of_residual(index, theta, cloud) ** 2)
            return float(np.sqrt(total))

        return size(even=True) > BETWEEN * size(even=False)

    @property
    def _by_moments(self) -> bool:
        return self.emphasis is not None and self.emphasis.on_fresh

    def _look(self, objective: Objective, theta: np.ndarray, least: int, times: int = 1) -> dict[int, tuple[Cloud, np.ndarray]]:
        """Even fresh points where equations hold, and the size of the residual there."""
        found = {}
        for index, patch in enumerate(objective.patches):
            if patch.is_interior:
                count = objective.clouds[index].count
                enough = DENSER * times * count if self.most is not None else times * count
                cloud = sample(patch.region, max(least, enough), self.recipe.sampling, self.rng)
                found[index] = cloud, objective.size_of_residual(index, theta, cloud)
        return found

    def _factor(self, index: int, cloud: Cloud) -> np.ndarray | None:
        return None if self.emphasis is None else self.emphasis.factors(self.held, index, cloud, self.time)

    def _learn(self, looks: Sequence[Look], steps: int) -> None:
        if self.emphasis is not None:
            self.held = self.emphasis.look(self.held, looks, steps)

    def _emphasised(self, objective: Objective, theta: np.ndarray, fresh: dict[int, tuple[Cloud, np.ndarray]],
                    kept: list[int], steps: int) -> Objective:  # fmt: skip
        """The same points, each pulling as is known now."""
        patches, clouds = objective.patches, list(objective.clouds)
        if self._by_moments:
            if not fresh and self.holds_back:
                self._learn(self._seen(self._look(objective, theta, 0)), steps)
        else:
            sizes = [objective.size_of_residual(index, theta, cloud) for index, cloud in enumerate(clouds)]
            self._learn([Look(*one, self.time) for one in zip(clouds, sizes, kept, strict=True)], steps)
        for index, (patch, cloud) in enumerate(zip(patches, clouds, strict=True)):
            if patch.is_interior or not self._by_moments:
                factor = self._factor(index, cloud)
                same = cloud.emphasis is None if factor is None else np.array_equal(factor, cloud.emphasis)
                clouds[index] = cloud if same else replace(cloud, emphasis=factor)
        return objective.with_clouds(clouds)

    def _seen(self, fresh: dict[int, tuple[Cloud, np.ndarray]]) -> list[Look]:
        return [Look(cloud, size, 0, self.time) for cloud, size in fresh.values()]
