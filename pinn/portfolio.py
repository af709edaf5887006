"""Which of several ways to a solution goes on next: the one that promises the lowest residual when the time is up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pinn.objective import Patch
from pinn.sampling import Cloud, sample
from pinn.way import Way

TURN = 0.05      # of the time
SHORTEST = 1.0   # seconds of a turn
TRIALS = 2       # turns that every way gets
EXPLORE = 4      # every so many turns one goes to the way that had the least time, if it may still overtake
FAIR = 0.2       # of the time up to now, which every way gets, whatever it promises
HOPED = 0.5      # of the time that is left, during which a residual may be expected to fall on as it does
AHEAD = 100.0    # times lower a residual that has come to its end must be for the others to be given up
POINTS = 4096    # fresh ones at which residuals are compared


class Turns:
    """The turns of ways: an algorithm portfolio (Huberman, Lukose & Hogg 1997, Science 275) with the residual as the judge.

    Every way gets TRIALS turns; then that way goes on whose residual on fresh points, if it fell on as in its last turn for
    half of the time that is left, would be the lowest; every EXPLORE-th turn goes to the way that had the least time, unless
    it cannot come to what is reached already and had its FAIR share.  A single way has no turns.
    """

    def __init__(self, ways: Sequence[Way], seconds: float | None, reserve: float = 0.0, points: int = POINTS):
        self.ways, self.points = list(ways), points
        self.seconds, self.reserve = math.inf if seconds is None else seconds - reserve, reserve
        self.length = max(SHORTEST, TURN * (seconds or 100.0))
        self.count = 0
        self.seen: list[list[tuple[float, float]]] = [[] for _ in ways]  # seconds used, log10 of the residual
        self._clouds: list[Cloud] | None = None
        self._first: float | None = None
        self._weights: tuple[np.ndarray, ...] = ()

    def next(self, now: float) -> Way | None:
        """The way whose turn it is; None when no more is to be won."""
        left = [k for k, way in enumerate(self.ways) if way.ended is None]
        if not left or now >= self.seconds:
            return None
        if len(self.ways) == 1:
            return self.ways[0]
        best = self._best
        if best is not None and self.ways[best].ended is not None:
            rivals = [self.seen[k][-1][1] if self.seen[k] else math.inf for k in left]
            if all(len(self.seen[k]) >= TRIALS for k in left) and self.seen[best][-1][1] + math.log10(AHEAD) < min(rivals):
                return None
        self.count += 1
        fresh = [k for k in left if len(self.seen[k]) < TRIALS]
        if fresh:
            return self.ways[fresh[0]]
        if self.count % EXPLORE == 0:
            least = min(left, key=lambda k: self.ways[k].seconds)
            # one that was only seen at its slow beginning promises nothing, and is looked at again
            if self.promise(least, now, 1.0) < self.reached or self.ways[least].seconds < FAIR * now:
                return self.ways[least]
        return self.ways[min(left, key=lambda k: (self.promise(k, now), self.ways[k].seconds))]

    def until(self, now: float) -> float:
        """The second at which this turn is over."""
        return self.seconds if len(self.ways) == 1 else min(now + self.length, self.seconds)

    def promise(self, k: int, now: float, hoped: float = HOPED) -> float:
        """log10 of the residual that a way would come to, if for so much of the time that is left it fell on as it does."""
        (t, before), (u, after) = self.seen[k][-2:]
        slope = min((after - before) / max(u - t, 1e-9), 0.0)
        rest = min(hoped * (self.seconds - now), 100 * self.length)
        return after + slope * rest

    def measure(self, way: Way) -> None:
        """Take down what a way has come to."""
        reached = self.residual(way.objective.patches, way.best, way.objective.dtype)
        self.seen[self.ways.index(way)].append((way.seconds, reached))

    def residual(self, patches: Sequence[Patch], theta: np.ndarray, dtype: str) -> float:
        """log10 of sqrt(sum of weighted mean squares) on points that none was trained on, with the weights of the first way."""
        first = self.ways[0]
        if self._clouds is None:
            rng = np.random.default_rng([first.session.seed, 2])
            self._clouds = [sample(patch.region, self.points, first.recipe.sampling, rng) for patch in first.objective.patches]
            self._weights = first.objective.weights  # the judge keeps to his measure, whatever becomes of the weights
        total = 0.0
        for patch, cloud, weights in zip(patches, self._clouds, self._weights, strict=True):
            values = patch.residuals_at(cloud, theta, first.session.threads, dtype)
            total += float(cloud.weights @ (values**2 @ weights))
        return math.log10(math.sqrt(total)) if 0.0 < total < math.inf else (math.inf if total else -math.inf)

    @property
    def leader(self) -> Way:
        """The way with the lowest residual so far; the first where none has had its turn."""
        return self.ways[self._best or 0]

    @property
    def reached(self) -> float:
        """log10 of the lowest residual so far."""
        return math.inf if self._best is None else self.seen[self._best][-1][1]

    @property
    def first(self) -> float:
        """log10 of the residual of the first way before any training."""
        if self._first is None:
            way = self.ways[0]
            self._first = self.residual(way.objective.patches, way.theta0, way.objective.dtype)
        return self._first

    @property
    def _best(self) -> int | None:
        measured = [k for k, seen in enumerate(self.seen) if seen]
        return min(measured, key=lambda k: self.seen[k][-1][1]) if measured else None
