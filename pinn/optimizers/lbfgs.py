"""L-BFGS: quasi-Newton steps from the last few pairs of moves and gradient changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.compiled import compiled
from pinn.optimizers.line_search import EPS, StrongWolfe
from pinn.optimizers.oracle import Oracle, State, begin, grain, moved
from pinn.optimizers.stopping import Progress, Stopping, nothing_lower


@compiled
def two_loops(s, y, curvature, first, stop, gradient):  # type: ignore[no-untyped-def]
    """H g by the two-loop recursion over the pairs `first..stop` (Nocedal & Wright, algorithm 7.4)."""
    q = gradient.copy()
    share = np.empty(stop - first)
    for i in range(stop - 1, first - 1, -1):
        total = 0.0
        for j in range(q.size):
            total += s[i, j] * q[j]
        total /= curvature[i]
        share[i - first] = total
        for j in range(q.size):
            q[j] -= total * y[i, j]
    length = 0.0
    for j in range(q.size):
        length += y[stop - 1, j] * y[stop - 1, j]
    scale = curvature[stop - 1] / length
    for j in range(q.size):
        q[j] *= scale
    for i in range(first, stop):
        total = 0.0
        for j in range(q.size):
            total += y[i, j] * q[j]
        total = share[i - first] - total / curvature[i]
        for j in range(q.size):
            q[j] += total * s[i, j]
    return q


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows `first..stop` of a log of pairs s = theta+ - theta and y = g+ - g, both `(capacity, size)`, and s.y `(capacity,)`.

    The log is shared along a chain of states and only ever grows: a row once written is never changed, so that an older state
    keeps its pairs. A full log, or one that another branch has grown, is copied.
    """

    s: np.ndarray
    y: np.ndarray
    curvature: np.ndarray
    written: np.ndarray
    first: int = 0
    stop: int = 0

    @staticmethod
    def none(size: int) -> Pairs:
        """No pair yet."""
        return Pairs(np.empty((0, size)), np.empty((0, size)), np.empty(0), np.zeros(1, dtype=np.int64))

    def append(self, s: np.ndarray, y: np.ndarray, curvature: float, memory: int) -> Pairs:
        """The last `memory` pairs with `(s, y)` as the newest; a copy of the log every `memory` calls, else O(size)."""
        log, count = self, self.stop - self.first
        if self.stop == len(self.s) or self.written[0] != self.stop:
            kept = slice(self.stop - min(count, memory - 1), self.stop)
            count = kept.stop - kept.start
            rows, size = 2 * memory, self.s.shape[1]
            log = Pairs(np.empty((rows, size)), np.empty((rows, size)), np.empty(rows), np.zeros(1, dtype=np.int64))
            for new, old in ((log.s, self.s), (log.y, self.y), (log.curvature, self.curvature)):
                new[:count] = old[kept]
            log = replace(log, stop=count)
        log.s[log.stop], log.y[log.stop], log.curvature[log.stop] = s, y, curvature
        log.written[0] = log.stop + 1
        return replace(log, first=max(log.first, log.stop + 1 - memory), stop=log.stop + 1)

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """-H g `(size,)`, steepest descent where there is no pair."""
        if self.stop == self.first:
            return -gradient
        return -two_loops(self.s, self.y, self.curvature, self.first, self.stop, gradient)


@dataclass(frozen=True, eq=False)
class Memory:
    """What a state of L-BFGS carries: its pairs and the progress so far."""

    pairs: Pairs
    progress: Progress


@dataclass(frozen=True)
class LBFGS:
    """theta += a d with d = -H g, H from the last `memory` pairs on (s.y / y.y) I, and a from a strong Wolfe search.

    Liu & Nocedal 1989; Nocedal & Wright, algorithm 7.5. The first trial step is 1, and min(1, 1 / |g|_1) where there are no
    pairs. A pair without positive curvature is skipped. Where a search fails the pairs are forgotten and steepest descent is
    tried in the same step; only if that fails too the run stops. Tolerances are close to rounding, so that it does not stop
    early: `tolerance_gradient` is a share of the largest gradient entry at the start, `tolerance_loss` of the loss, for
    `patience` steps in a row. One `step` is one accepted iteration: O(memory * size) and mostly one evaluation.
    Raises RecipeError for settings that cannot work.
    """

    memory: int = 50
    max_line_search: int = 25
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10
    c1: float = 1e-4
    c2: float = 0.9

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise RecipeError(f"memory is {self.memory!r}", why="L-BFGS keeps at least one pair", fix="LBFGS(memory=50)")
        self.search, self.stopping  # noqa: B018  (their own checks)

    @property
    def search(self) -> StrongWolfe:
        """The line search of these settings."""
        return StrongWolfe(self.c1, self.c2, self.max_line_search)

    @property
    def stopping(self) -> Stopping:
        """The stopping rule of these settings."""
        return Stopping(self.tolerance_gradient, self.tolerance_loss, self.patience)

    def init(self, oracle: Oracle, theta: np.ndarray) -> State:
        """The state at `theta` `(size,)`; raises RecipeError or NumericsError for a start that cannot be used."""
        state = begin(oracle, theta)
        progress = Progress(float(np.max(np.abs(state.gradient))))
        memory = Memory(Pairs.none(oracle.size), progress)
        return replace(state, memory=memory, stop=self.stopping.flat(progress, state.gradient))

    def step(self, oracle: Oracle, state: State) -> State:
        """One accepted iteration, or the same point with the reason why there is none."""
        if state.stop is not None:
            return state
        gradient, pairs, evaluations = state.gradient, state.memory.pairs, state.evaluations
        attempts = (pairs, Pairs.none(oracle.size)) if pairs.stop > pairs.first else (pairs,)
        failures = []
        for pairs in attempts:
            direction = pairs.direction(gradient)
            fresh = pairs.stop == pairs.first
            if not np.dot(direction, gradient) < 0.0:
                failures.append("the quasi-Newton direction does not descend")
                continue
            first = min(1.0, 1.0 / float(np.abs(gradient).sum())) if fresh else 1.0
            found = self.search(oracle, state, direction, first)
            evaluations += found.evaluations
            if found.trial is not None:
                break
            failures.append(found.failure)
        else:
            return replace(state, evaluations=evaluations, stop=nothing_lower(state.loss, failures, grain(oracle)))
        trial = found.trial
        s, y = trial.theta - state.theta, trial.gradient - gradient
        curvature = float(np.dot(s, y))
        if curvature > EPS * float(np.sqrt(np.dot(s, s) * np.dot(y, y))):
            pairs = pairs.append(s, y, curvature, self.memory)
        progress, stop = self.stopping.judge(state.memory.progress, state.loss, trial.loss, trial.gradient, grain(oracle))
        memory = Memory(pairs, progress)
        return State(trial.theta, trial.loss, trial.gradient, state.iteration + 1, evaluations, stop, memory)

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, pairs kept."""
        return moved(oracle, state, Memory(state.memory.pairs, state.memory.progress.elsewhere()))
