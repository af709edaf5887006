"""Emphasis: how hard each point of an equation pulls, learned from the residuals as training goes on."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from pinn.errors import RecipeError
from pinn.sampling import Cloud

Span = tuple[int, float, float]  # which coordinate the time is, its begin and its end


@dataclass(frozen=True, eq=False)
class Look:
    """The size of the residual `(points,)` of one region at the points of a cloud, the first `kept` of them seen before."""

    cloud: Cloud
    size: np.ndarray
    kept: int
    time: Span | None


class Emphasis(Protocol):
    """`begin` is what is known before the first step; `look` what is known after another `steps`.

    One that is `on_fresh` points looks at equations, on even points that are drawn for it, and has factors for any points;
    others look at the points of training of every region.
    """

    on_fresh: ClassVar[bool]

    @property
    def every(self) -> int: ...
    def begin(self) -> Any: ...
    def look(self, held: Any, looks: Sequence[Look], steps: int) -> Any: ...
    def factors(self, held: Any, index: int, cloud: Cloud, time: Span | None) -> np.ndarray | None: ...
    def holds_back(self, held: Any) -> bool: ...
    def release(self, held: Any) -> Any: ...
    def moved(self, before: Any, after: Any) -> bool: ...


@dataclass(frozen=True)
class Front:
    """What causal weights know: the slabs `weights`, which of the steepnesses is `level`, the mean loss of a slab at `first`.

    `over` when every moment is trained as hard as any other.
    """

    weights: np.ndarray
    level: int = 0
    first: float = 0.0
    over: bool = False


@dataclass(frozen=True)
class Causal:
    """Later moments are trained once earlier ones are solved: the equations of slab k of the time pull with

        w_k = max(exp(-eps sum_{j<k} L_j / L), least),   k = 0 .. slabs - 1.

    Wang, Sankaran & Perdikaris, Comput. Methods Appl. Mech. Engrg. 421 (2024) 116813 (arXiv 2203.07404), algorithm 1.  L_j is
    the mean square of the residual in slab j, on even points that are not trained on.  Weights are measured anew every `every`
    iterations.  When all are above `reached`, eps goes on to the next of `steepness`; after the last one all moments count
    alike, and nothing is measured any more.  Conditions are not weighted: the first slab always pulls fully.

    Two things are not in the paper.  L is the mean of all L_j before the first step, so that eps knows no units.  And no weight
    is below `least`: weights that change now and then, not at each step, would else leave later slabs to grow wild, and the
    curvature that an optimizer has learned would be of no use when such a slab is reached.
    Raises RecipeError for numbers that cannot be.
    """

    on_fresh: ClassVar[bool] = True

    slabs: int = 32
    steepness: tuple[float, ...] = (100.0, 1000.0)
    least: float = 1e-4
    reached: float = 0.99
    every: int = 50

    def __post_init__(self) -> None:
        fix = "Causal(slabs=32, steepness=(100.0, 1000.0), reached=0.99, every=50)"
        listed = self.steepness if isinstance(self.steepness, (tuple, list)) else (self.steepness,)
        if not (is_whole(self.slabs, 2) and is_whole(self.every, 1)):
            raise RecipeError(f"cannot weigh moments with {self}", fix=fix,
                              why="slabs is a whole number from 2, every one from 1")
        if not (listed and all(map(is_positive, listed)) and all(a < b for a, b in itertools.pairwise(listed))):
            raise RecipeError(f"cannot weigh moments with {self}", fix=fix,
                              why="steepness is a positive number, or some that rise")
        known = is_positive(self.reached) and (is_positive(self.least) or self.least == 0)
        if not (known and self.least < self.reached < 1):
            raise RecipeError(f"cannot weigh moments with {self}", fix=fix,
                              why="reached is between 0 and 1, and least below it")
        object.__setattr__(self, "steepness", tuple(float(eps) for eps in listed))

    def begin(self) -> Front:
        return Front(np.ones(self.slabs))

    def look(self, held: Front, looks: Sequence[Look], steps: int) -> Front:
        """The weights that follow from these residuals; `steps` do not matter."""
        if held.over:
            return held
        losses = sum((self.losses(look) for look in looks), np.zeros(self.slabs))
        first = held.first or float(losses.mean())
        if not (first > 0 and np.isfinite(losses).all()):
            return held
        before = np.concatenate([[0.0], np.cumsum(losses[:-1])]) / first
        level, weights = held.level, self._weights(held.level, before)
        while weights[-1] > self.reached:
            level += 1
            if level == len(self.steepness):
                return replace(held, weights=np.ones(self.slabs), over=True)
            weights = self._weights(level, before)
        return Front(weights, level, first)

    def _weights(self, level: int, before: np.ndarray) -> np.ndarray:
        return np.maximum(np.exp(-self.steepness[level] * before), self.least)

    def losses(self, look: Look) -> np.ndarray:
        """The mean square of the residual in each slab; 0 where a slab has no points."""
        slab, weights = self.slab(look.cloud.points, look.time), look.cloud.weights
        measure = np.bincount(slab, weights, self.slabs)
        total = np.bincount(slab, weights * look.size**2, self.slabs)
        return np.divide(total, measure, out=np.zeros(self.slabs), where=measure > 0)

    def slab(self, points: np.ndarray, time: Span | None) -> np.ndarray:
        """The slab in which each point lies."""
        assert time is not None
        axis, begin, end = time
        return np.clip((self.slabs * (points[:, axis] - begin) / (end - begin)).astype(int), 0, self.slabs - 1)

    def factors(self, held: Front, index: int, cloud: Cloud, time: Span | None) -> np.ndarray | None:
        """The weights of points of an equation; None where all of them are 1."""
        return None if held.over else held.weights[self.slab(cloud.points, time)]

    def holds_back(self, held: Front) -> bool:
        """Whether a low loss may only mean that most of the time has not been looked at."""
        return not held.over

    def release(self, held: Front) -> Front:
        """All moments count alike from now on: the optimizer finds nothing lower under these weights."""
        return replace(held, weights=np.ones(self.slabs), over=True)

    def moved(self, before: Front, after: Front) -> bool:
        """Whether another steepness holds."""
        return (before.level, before.over) != (after.level, after.over)


@dataclass(frozen=True)
class Attention:
    """Points whose residual stays large pull harder: residual-based attention.

        lambda <- memory lambda + (1 - memory) |r| / max |r|   at each iteration,
        loss = mean of ((lambda + floor) r)^2 / mean of (lambda + floor)^2.

    Anagnostopoulos, Toscano, Stergiopulos & Karniadakis, Comput. Methods Appl. Mech. Engrg. 421 (2024) 116805, with memory for
    its gamma and 1 - memory for its eta, which is but a factor of lambda and divided out here, so that losses keep their size.
    Residuals are looked at every `every` iterations and count for all of these; a point that is new has seen its present
    residual for ever.  Where a region has several residuals, |r| is the root of their weighted squares.  `floor` is the pull of
    points where nothing is left.
    Raises RecipeError for numbers that cannot be.
    """

    on_fresh: ClassVar[bool] = False

    memory: float = 0.999
    floor: float = 0.1
    every: int = 100

    def __post_init__(self) -> None:
        share = is_positive(self.memory) and self.memory < 1
        if not (share and (is_positive(self.floor) or self.floor == 0) and is_whole(self.every, 1)):
            raise RecipeError(f"cannot weigh points with {self}", fix="Attention(memory=0.999, floor=0.1, every=100)",
                              why="memory is between 0 and 1, floor not negative, every a whole number from 1")

    def begin(self) -> tuple[np.ndarray, ...]:
        return ()

    def look(self, held: tuple[np.ndarray, ...], looks: Sequence[Look], steps: int) -> tuple[np.ndarray, ...]:
        """lambda of each region after another `steps`."""
        found = []
        for index, look in enumerate(looks):
            most = float(look.size.max(initial=0.0))
            share = look.size / most if 0 < most < np.inf else np.ones(look.cloud.count)
            if held and look.kept:
                known = held[index]
                decay = self.memory**steps
                share = np.concatenate([decay * known + (1 - decay) * share[:known.size], share[known.size:]])
            elif not held:  # before the first step all points are alike
                share = np.ones(look.cloud.count)
            found.append(share)
        return tuple(found)

    def factors(self, held: tuple[np.ndarray, ...], index: int, cloud: Cloud, time: Span | None) -> np.ndarray | None:
        """How much harder than on average each point of the region `index` pulls."""
        squares = (held[index] + self.floor) ** 2
        mean = float(cloud.weights @ squares)
        return squares / mean if mean > 0 else None

    def holds_back(self, held: Any) -> bool:
        return False

    def release(self, held: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return held

    def moved(self, before: Any, after: Any) -> bool:
        return False


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number from `least`."""
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)) and int(value) >= least


def is_positive(value: Any) -> bool:
    """Whether a value is a positive finite number."""
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    return number and bool(np.isfinite(value)) and value > 0
