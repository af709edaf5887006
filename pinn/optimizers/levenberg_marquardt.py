"""Levenberg-Marquardt on the stacked residual: the longest damped Gauss-Newton step that the loss still follows."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import isfinite, log10

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.damped import Damped, Exact, damped
from pinn.optimizers.oracle import EPS, Oracle, State, begin, evaluate, grain, moved, threads_of
from pinn.optimizers.sketch import CountSketch, Subspace
from pinn.optimizers.stopping import Progress, Stopping

BENT = 0.75  # 2 |a| / |d|: a correction longer than that says that the step leaves what two derivatives describe
TREND = 30  # the iterations of damping over which its trend is judged
SETTLING = 50  # no trend is judged before this iteration: at first lambda has to find its size


@dataclass(frozen=True)
class Memory:
    """What a state carries: the trust radius, log10 of the last dampings, and whether random subspaces have done their work."""

    radius: float
    dampings: tuple[float, ...]
    progress: Progress
    whole: bool = False


@dataclass(frozen=True, eq=False)
class View:
    """What a step sees of the equations: J and r, sketched or not, and their damped solver.

    `sketch` has made few rows of many, `subspace` few unknowns.
    """

    jacobian: np.ndarray
    residual: np.ndarray
    model: Damped
    threads: int
    sketch: CountSketch | None = None
    subspace: Subspace | None = None

    @staticmethod
    def of(
        jacobian: np.ndarray, residual: np.ndarray, expected: float, threads: int,
        sketch: CountSketch | None = None, subspace: Subspace | None = None,
    ) -> View:  # fmt: skip
        """J `(m, size)` and r `(m,)`, sketched, with the solver for dampings near the `expected` one."""
        if sketch is not None:
            jacobian, residual = sketch.of(jacobian, threads), sketch.of_vector(residual)
        if subspace is not None:
            jacobian = subspace.of(jacobian, threads)
        return View(jacobian, residual, damped(jacobian, residual, expected, threads), threads, sketch, subspace)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.sketch is None and self.subspace is None

    def exact(self) -> View:
        """The same with the solver that bears every damping."""
        return replace(self, model=Exact.of(self.jacobian, self.residual, self.threads))

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """The damped step `(size,)`, and the decrease of |r|^2 that is foreseen."""
        step, foreseen = self.model.step(damping)
        return (step if self.subspace is None else self.subspace.back(step)), foreseen

    def solve(self, damping: float, right: np.ndarray) -> np.ndarray:
        """(J'J + lambda)^-1 J' right `(size,)` for `right` `(m,)`."""
        step = self.model.solve(damping, right if self.sketch is None else self.sketch.of_vector(right))
        return step if self.subspace is None else self.subspace.back(step)


def bend(oracle: Oracle, theta: np.ndarray, step: np.ndarray, damping: float, view: View) -> np.ndarray:
    """The geodesic correction a `(size,)` of a step d: zero where it is too long, or not finite.

    r'' = d/dt J(theta + t d) d by central differences of J v: their error is the square of the cube root of rounding.
    """
    length = float(np.linalg.norm(step))
    if length == 0.0:
        return step
    t = grain(oracle) ** (1 / 3) * max(float(np.linalg.norm(theta)), length) / length
    curvature = (oracle.jvp(theta + t * step, step) - oracle.jvp(theta - t * step, step)) / (2 * t)
    if not np.isfinite(curvature).all():
        return np.zeros_like(step)
    correction = -0.5 * view.solve(damping, curvature)
    return correction if 2 * np.linalg.norm(correction) <= BENT * length else np.zeros_like(step)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """theta += d with (J'J + lambda) d = -J'r and lambda such that |d| is the largest radius the loss follows.

    Radii grow geometrically from radius / 3 to 3 radius while loss won / decrease foreseen stays above `ratio`; the last good
    one is taken (Webb, Jerad & Cartis, arXiv 2607.02194). While lambda no longer falls, `late_ratio` is asked for instead.
    Needs `residual` and `jacobian` of the oracle. One `step` is one accepted iteration: one Jacobian, one factorisation, about
    `trials` losses. J'J, which squares the condition number, is formed only while lambda is far above its rounding; with more
    weights than residuals J' is factored instead and no matrix of weights times weights is formed (see damped).

    `geodesic` adds a = -1/2 (J'J + lambda)^-1 J' r'' where 2 |a| / |d| <= 0.75, with r'' the second derivative of the residual
    along d (Transtrum & Sethna, arXiv 1201.5885): two products J v more for each trial. `sketch` is a number of rows: only so
    many random sums of the rows of [J r] are factored, fresh ones each iteration, drawn from `seed`. A few times the number of
    weights is enough. `subspace` is a share of the weights: a step is sought in so many random directions, fresh ones each
    iteration, which makes a factorisation cheaper by its square and more; when lambda no longer falls, all directions are used
    for the last digits. The loss that judges a step is the true one, and where sketches find no lower loss nothing is left out.
    Raises RecipeError for settings that cannot work.
    """

    radius: float = 1.0
    trials: int = 10
    ratio: float = 0.075
    late_ratio: float = 0.5
    geodesic: bool = False
    sketch: int | None = None
    subspace: float | None = None
    seed: int = 0
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10

    def __post_init__(self) -> None:
        ratios = 0 < self.ratio < 1 and 0 < self.late_ratio < 1
        if not (0 < self.radius < float("inf") and self.trials >= 1 and ratios):
            raise RecipeError(
                f"radius={self.radius!r}, trials={self.trials!r}, ratio={self.ratio!r}, late_ratio={self.late_ratio!r}",
                why="the radius must be positive, trials at least 1, both ratios between 0 and 1",
                fix="LevenbergMarquardt(radius=1.0, trials=10, ratio=0.075, late_ratio=0.5)",
            )
        if self.sketch is not None and self.sketch < 1:
            raise RecipeError(f"sketch is {self.sketch!r}", why="it is a number of rows, a few times the number of weights",
                              fix="LevenbergMarquardt(sketch=4000), or sketch=None")
        if self.subspace is not None and not 0 < self.subspace <= 1:
            raise RecipeError(f"subspace is {self.subspace!r}", why="it is a share of the weights",
                              fix="LevenbergMarquardt(subspace=0.4), or subspace=None")
        self.stopping  # noqa: B018  (its own checks)

    @property
    def asks(self) -> tuple[str, ...]:
        """What is asked of the oracle, to be compiled beforehand."""
        return ("loss", "residual", "jacobian", *(("jvp",) if self.geodesic else ()))

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
        radius, smallest = memory.radius, grain(oracle) * max(float(np.linalg.norm(state.theta)), EPS)
        late = state.iteration >= SETTLING and risen(memory.dampings)
        ratio, whole = self.late_ratio if late else self.ratio, memory.whole or late
        expected = 10.0 ** memory.dampings[-1] if memory.dampings else np.inf
        view = View.of(jacobian, residual, expected, threads_of(oracle), *self._sketches(state, residual.size, whole))
        while True:
            view, best, asked = self._longest(oracle, state, view, radius, ratio)
            evaluations += asked
            if best is not None:
                radius, damping, theta = best
                loss, gradient, finite = evaluate(oracle, theta)
                evaluations += 1
                if finite:
                    break
            if not view.is_whole:  # a sketch that leads nowhere says nothing of the equations
                view = View.of(jacobian, residual, expected, threads_of(oracle))
                continue
            radius /= 9
            if radius < smallest:
                reason = (
                    f"no damped Gauss-Newton step decreases the loss {state.loss:.6g} beyond rounding, "
                    f"down to a length of {radius:.3g} for parameters of length {np.linalg.norm(state.theta):.3g}"
                )
                return replace(state, evaluations=evaluations, stop=reason)
        progress, stop = self.stopping.judge(memory.progress, state.loss, loss, gradient, grain(oracle))
        dampings = (*memory.dampings, log10(damping))[-TREND:]
        return State(theta, loss, gradient, state.iteration + 1, evaluations, stop, Memory(radius, dampings, progress, whole))

    def _sketches(self, state: State, rows: int, whole: bool) -> tuple[CountSketch | None, Subspace | None]:
        """What is drawn for one iteration."""
        size, rng = state.theta.size, np.random.default_rng([self.seed, state.iteration])
        kept = size if self.subspace is None or whole else max(1, round(self.subspace * size))
        sketch = CountSketch.draw(self.sketch, rows, rng) if self.sketch is not None and self.sketch < rows else None
        return sketch, Subspace.draw(size, kept, rng) if kept < size else None

    def _longest(
        self, oracle: Oracle, state: State, view: View, radius: float, ratio: float
    ) -> tuple[View, tuple[float, float, np.ndarray] | None, int]:
        """(the view, (radius, damping, theta) of the longest step that the loss follows, or None; calls of the oracle)."""
        best, asked = None, 0
        for trial in np.geomspace(radius / 3, radius * 3, self.trials):
            damping = view.model.damping(trial)
            if damping <= view.model.floor and not isinstance(view.model, Exact):
                view = view.exact()
                damping = view.model.damping(trial)
            step, foreseen = view.step(damping)
            theta = state.theta + step
            if self.geodesic:
                theta = theta + bend(oracle, state.theta, step, damping, view)
                asked += 2
            loss = float(oracle.loss(theta))
            asked += 1
            won = (state.loss - loss) / foreseen if isfinite(loss) and foreseen > 0 else -1.0
            if won >= ratio or (best is None and won > 0):
                best = (float(trial), damping, theta)
            if won < ratio or damping <= view.model.floor:  # longer radii fail too, or change nothing
                break
        return view, best, asked

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, radius kept."""
        return moved(oracle, state, replace(state.memory, progress=state.memory.progress.elsewhere(), whole=False))


def risen(dampings: tuple[float, ...]) -> bool:
    """Whether log10 lambda has stopped falling: slope above 1e-4 an iteration, correlation with the iteration above 0.1."""
    if len(dampings) < TREND or max(dampings) == min(dampings):
        return False
    k = np.arange(len(dampings))
    return bool(np.polyfit(k, dampings, 1)[0] > 1e-4 and np.corrcoef(k, dampings)[0, 1] > 0.1)


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
