"""Levenberg-Marquardt on the stacked residual: the longest damped Gauss-Newton step that the loss still follows."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite, log10
from typing import ClassVar

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController

from pinn.errors import RecipeError
from pinn.optimizers.line_search import EPS
from pinn.optimizers.oracle import Oracle, State, begin, evaluate, grain, moved
from pinn.optimizers.stopping import Progress, Stopping

TREND = 30  # the iterations of damping over which its trend is judged
SETTLING = 80  # no trend is judged before this iteration: at first lambda has to find its size


@dataclass(frozen=True, eq=False)
class Model:
    """|J d + r|^2 in the singular basis of J: `s` `(k,)`, rows of `vt` `(k, size)`, and g = s * (U' r) `(k,)`."""

    s: np.ndarray
    vt: np.ndarray
    g: np.ndarray

    @staticmethod
    def of(jacobian: np.ndarray, residual: np.ndarray) -> Model:
        """From J `(m, size)` and r `(m,)`: QR of [J r], then the SVD of R, about 2 m size^2 + 22 size^3 operations.

        J'J, which squares the condition number, is never formed.
        """
        rows, size = jacobian.shape
        if rows > size:
            stacked = np.empty((rows, size + 1), order="F")
            stacked[:, :size], stacked[:, size] = jacobian, residual
            r = scipy.linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:size]
            jacobian, residual = r[:, :size], r[:, size]
        try:
            u, s, vt = scipy.linalg.svd(jacobian, full_matrices=False, check_finite=False)
        except np.linalg.LinAlgError:  # divide and conquer rarely fails to converge; the older iteration does not
            u, s, vt = scipy.linalg.svd(jacobian, full_matrices=False, check_finite=False, lapack_driver="gesvd")
        return Model(s, vt, s * (u.T @ residual))

    def damping(self, radius: float) -> float:
        """lambda with |g / (s^2 + lambda)| = radius, by Newton in a bracket (More & Sorensen 1983), or its floor."""
        low, high = (EPS * float(self.s[0])) ** 2 + np.finfo(np.float64).tiny, float(np.linalg.norm(self.g)) / radius
        damping = low
        for _ in range(60):
            weight = self.s * self.s + damping
            y = self.g / weight
            length = float(np.linalg.norm(y))
            if damping == low and length <= radius:
                return low
            if abs(length - radius) <= 1e-3 * radius or high <= low * (1 + 4 * EPS):
                return damping
            low, high = (damping, high) if length > radius else (low, damping)
            slope = float(np.dot(y, y / weight)) / length
            damping += (length / radius) * (length - radius) / slope
            if not low < damping < high:
                damping = float(np.sqrt(low) * np.sqrt(high))
        return damping

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """The step d `(size,)` that solves (J'J + lambda) d = -J'r, and the decrease of |r|^2 the model foresees."""
        weight = self.s * self.s + damping
        y = self.g / weight
        return -(y @ self.vt), float(np.dot(y * y, weight + damping))


@dataclass(frozen=True)
class Memory:
    """What a state carries: the trust radius, and log10 of the last dampings."""

    radius: float
    dampings: tuple[float, ...]
    progress: Progress


@dataclass(frozen=True)
class LevenbergMarquardt:
    """theta += d with (J'J + lambda) d = -J'r and lambda such that |d| is the largest radius the loss follows.

    Radii grow geometrically from radius / 3 to 3 radius while loss won / decrease foreseen stays above `ratio`; the last good
    one is taken (Webb, Jerad & Cartis, arXiv 2607.02194, without their sketches). While lambda no longer falls, `late_ratio` is
    asked for instead. Needs `residual` and `jacobian` of the oracle. One `step` is one accepted iteration: one Jacobian,
    one QR and one SVD (see Model), about `trials` losses. Raises RecipeError for settings that cannot work.
    """

    radius: float = 1.0
    trials: int = 10
    ratio: float = 0.075
    late_ratio: float = 0.5
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10

    asks: ClassVar[tuple[str, ...]] = ("loss", "residual", "jacobian")

    def __post_init__(self) -> None:
        ratios = 0 < self.ratio < 1 and 0 < self.late_ratio < 1
        if not (0 < self.radius < float("inf") and self.trials >= 1 and ratios):
            raise RecipeError(
                f"radius={self.radius!r}, trials={self.trials!r}, ratio={self.ratio!r}, late_ratio={self.late_ratio!r}",
                why="the radius must be positive, trials at least 1, both ratios between 0 and 1",
                fix="LevenbergMarquardt(radius=1.0, trials=10, ratio=0.075, late_ratio=0.5)",
            )
        self.stopping  # noqa: B018  (its own checks)

    @property
    def stopping(self) -> Stopping:
        """The stopping rule of these settings."""
        return Stopping(self.tolerance_gradient, self.tolerance_loss, self.patience)

    def init(self, oracle: Oracle, theta: np.ndarray) -> State:
        """The state at `theta` `(size,)`; raises RecipeError or NumericsError for a start that cannot be used."""
        state = begin(oracle, theta)
        progress = Progress(float(np.max(np.abs(state.gradient))))
        memory = Memory(self.radius, (), progress)
        return replace(state, memory=memory, stop=self.stopping.flat(progress, state.gradient))

    def step(self, oracle: Oracle, state: State) -> State:
        """One accepted iteration, or the same point with the reason why there is none.

        Raises RecipeError for a Jacobian that this machine cannot hold: asking for the memory would end the process.
        """
        if state.stop is not None:
            return state
        memory, evaluations = state.memory, state.evaluations + 1
        residual = oracle.residual(state.theta)
        refuse_what_does_not_fit(residual.size, state.theta.size)
        jacobian = oracle.jacobian(state.theta)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            reason = f"Jacobian not finite at iteration {state.iteration}, at loss {state.loss:.6g}"
            return replace(state, evaluations=evaluations, stop=reason)
        with blas_threads(getattr(oracle, "threads", 1)):
            model = Model.of(jacobian, residual)
        radius, smallest = memory.radius, grain(oracle) * max(float(np.linalg.norm(state.theta)), EPS)
        ratio = self.late_ratio if state.iteration >= SETTLING and risen(memory.dampings) else self.ratio
        while True:
            best = None
            for trial in np.geomspace(radius / 3, radius * 3, self.trials):
                damping = model.damping(trial)
                step, foreseen = model.step(damping)
                theta = state.theta + step
                loss = float(oracle.loss(theta))
                evaluations += 1
                won = (state.loss - loss) / foreseen if isfinite(loss) and foreseen > 0 else -1.0
                if won >= ratio or (best is None and won > 0):
                    best = (float(trial), damping, theta)
                if won < ratio or np.linalg.norm(step) < 0.99 * trial:  # longer radii fail too, or change nothing
                    break
            if best is not None:
                radius, damping, theta = best
                loss, gradient, finite = evaluate(oracle, theta)
                evaluations += 1
                if finite:
                    break
            radius /= 9
            if radius < smallest:
                reason = (
                    f"no damped Gauss-Newton step decreases the loss {state.loss:.6g} beyond rounding, "
                    f"down to a length of {radius:.3g} for parameters of length {np.linalg.norm(state.theta):.3g}"
                )
                return replace(state, evaluations=evaluations, stop=reason)
        progress, stop = self.stopping.judge(memory.progress, state.loss, loss, gradient, grain(oracle))
        dampings = (*memory.dampings, log10(damping))[-TREND:]
        return State(theta, loss, gradient, state.iteration + 1, evaluations, stop, Memory(radius, dampings, progress))

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, radius kept."""
        return moved(oracle, state, replace(state.memory, progress=state.memory.progress.elsewhere()))


def risen(dampings: tuple[float, ...]) -> bool:
    """Whether log10 lambda has stopped falling: slope above 1e-4 an iteration, correlation with the iteration above 0.1."""
    if len(dampings) < TREND or max(dampings) == min(dampings):
        return False
    k = np.arange(len(dampings))
    return bool(np.polyfit(k, dampings, 1)[0] > 1e-4 and np.corrcoef(k, dampings)[0, 1] > 0.1)


@cache
def libraries() -> ThreadpoolController:
    """The libraries whose threads can be set, found once: looking for them takes longer than setting them."""
    return ThreadpoolController()


def blas_threads(threads: int) -> AbstractContextManager:
    """LAPACK on so many threads: kernels have theirs, and never both at once."""
    return libraries().limit(limits=threads, user_api="blas")


def refuse_what_does_not_fit(residuals: int, weights: int, memory: float | None = None) -> None:
    """RecipeError where four copies of the Jacobian (rows by tile, by point, scaled, factored) exceed the machine's memory."""
    memory = physical_memory() if memory is None else memory
    needed = 4.0 * 8.0 * residuals * weights
    if needed > memory:
        raise RecipeError(
            f"Levenberg-Marquardt needs about {needed / 1e9:.1f} GB for the Jacobian of {residuals:,d} residuals and "
            f"{weights:,d} weights; the machine has {memory / 1e9:.1f} GB",
            why="it holds one row for every residual", fix="Recipe(points=4096), or stages=[Adam(), SSBroyden()]")


def physical_memory() -> float:
    """Bytes of memory of this machine; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return np.inf
