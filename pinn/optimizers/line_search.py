"""Strong Wolfe line search: a step that lowers the loss and flattens the slope enough, or a clause why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, isfinite, sqrt

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.oracle import EPS, Oracle, State, evaluate, grain

# Losses closer than this share of their size are told apart by their slopes. The rounding of a sum of squares is some EPS, but
# residuals are small differences of large terms, and their rounding is that of the terms (Hager & Zhang take 1e-6).
ROUNDING = 1e-10
COARSE = 1e3  # the same for oracles that are coarser than float64, in units of their rounding


def rounding(eps: float) -> float:
    """The share of a loss below which losses are told apart by their slopes, for an oracle of this rounding unit."""
    return ROUNDING if eps <= EPS else COARSE * eps


@dataclass(frozen=True, eq=False)
class Trial:
    """The loss along theta + step * direction: its value, its slope, and the gradient `(size,)` paid for with them."""

    step: float
    loss: float
    slope: float
    theta: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found: `trial` is None where nothing lower was found, and then `failure` is a clause that says so."""

    trial: Trial | None
    evaluations: int
    failure: str = ""


def cubic_minimum(a: Trial, b: Trial) -> float:
    """Minimiser of the cubic with the losses and slopes of both trials, nan if there is none (Nocedal & Wright, eq. 3.59)."""
    d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0.0 or not isfinite(square):
        return float("nan")
    d2 = copysign(sqrt(square), b.step - a.step)
    bottom = b.slope - a.slope + 2.0 * d2
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / bottom if bottom != 0.0 else float("nan")


def secant_zero(a: Trial, b: Trial) -> float:
    """Where the slope vanishes if it is linear between both trials; nan if both slopes agree."""
    return a.step - a.slope * (b.step - a.step) / (b.slope - a.slope) if b.slope != a.slope else float("nan")


def interpolate(a: Trial, b: Trial, noise: float) -> float:
    """Where the minimum between or beyond two trials is expected; by slopes alone if the losses differ by `noise` only."""
    return secant_zero(a, b) if abs(a.loss - b.loss) <= noise else cubic_minimum(a, b)


def first_step(slope: float, decrease: float) -> float:
    """The first trial of a quasi-Newton step: where a parabola would win the `decrease` of the last step again, at most 1.

    min(1, 1.01 * 2 (f_k - f_{k-1}) / f'(0)) (Nocedal & Wright, eq. 3.60); 1 where there is no last decrease to go by. On the
    losses of networks self-scaled methods rarely take the full step: this saves them nearly every second evaluation.
    """
    return min(1.0, -2.02 * decrease / slope) if decrease > 0.0 else 1.0


@dataclass(frozen=True)
class StrongWolfe:
    """f(a) <= f(0) + c1 a f'(0) and |f'(a)| <= c2 |f'(0)|, by bracketing and safeguarded cubic interpolation.

    Nocedal & Wright, Numerical Optimization, algorithms 3.5 and 3.6. Two additions. A trial that is not finite is a wall:
    the step is cut back, and nothing of it is kept. Where losses differ by rounding alone the slopes decide (the approximate
    Wolfe condition of Hager & Zhang 2005, eq. 4.1), so that a search does not fail one digit before the minimum.
    """

    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.c1 < self.c2 < 1:
            raise RecipeError(
                f"the Wolfe constants are c1 = {self.c1!r} and c2 = {self.c2!r}",
                why="only 0 < c1 < c2 < 1 leaves a step to be found",
                fix="c1=1e-4, c2=0.9",
            )
        if self.max_evaluations < 1:
            raise RecipeError(
                f"max_line_search is {self.max_evaluations!r}", why="a search needs a trial", fix="max_line_search=25"
            )

    def __call__(self, oracle: Oracle, state: State, direction: np.ndarray, first: float) -> Search:
        """Search along `direction` `(size,)`, which must descend, from the trial step `first`; one evaluation a trial."""
        start = Trial(0.0, state.loss, float(np.dot(state.gradient, direction)), state.theta, state.gradient)
        noise = rounding(grain(oracle)) * abs(start.loss)
        low, high = start, None  # low: the best sufficient decrease so far; high: the other end, None before one is known
        wall = float("inf")  # the shortest step that was not finite
        width = float("inf")
        step, lowest = first, start
        for count in range(1, self.max_evaluations + 1):
            theta = state.theta + step * direction
            loss, gradient, finite = evaluate(oracle, theta)
            if not finite:
                wall = step
                step = low.step + (step - low.step) * (0.1 if low is start else 0.5)
                high = None
                if abs(wall - low.step) <= EPS * wall:
                    break
                continue
            trial = Trial(step, loss, float(np.dot(gradient, direction)), theta, gradient)
            if loss < lowest.loss:
                lowest = trial
            flat = abs(trial.slope) <= -self.c2 * start.slope
            enough = start.loss + self.c1 * step * start.slope
            if flat and (loss <= enough or abs(loss - start.loss) <= noise):
                return Search(trial, count)
            if (loss > enough or loss >= low.loss) and abs(loss - low.loss) > noise:
                high = trial
            else:
                ahead = 1.0 if high is None else high.step - low.step
                if trial.slope * ahead >= 0.0:
                    high = low
                previous, low = low, trial
            if high is None:  # still falling: go on along the cubic, by a factor that grows geometrically
                reach = low.step - previous.step
                step = interpolate(previous, low, noise)
                nearest, farthest = low.step + 1.1 * reach, low.step + 4.0 * reach
                step = min(max(step, nearest), farthest) if step > low.step else farthest
                if step >= wall:
                    step = 0.5 * (low.step + wall)
                continue
            span = abs(high.step - low.step)
            if span <= EPS * max(low.step, high.step):
                break
            step = interpolate(low, high, noise)
            left, right = min(low.step, high.step), max(low.step, high.step)
            if not left + 0.05 * span <= step <= right - 0.05 * span:
                near_low = isfinite(step) and abs(step - low.step) < 0.05 * span
                step = low.step + (0.05 if near_low else 0.5) * (high.step - low.step)
            if span > 0.66 * width:  # the last interpolation hardly narrowed the bracket
                step = 0.5 * (left + right)
            width = span
        # Short of both conditions a clear decrease still is a step; one by rounding alone would repeat for ever.
        if start.loss - lowest.loss > noise and lowest.loss <= start.loss + self.c1 * lowest.step * start.slope:
            return Search(lowest, count)
        beyond = f", not finite from step {wall:.3g} on" if isfinite(wall) else ""
        return Search(None, count, f"{count} trials along slope {start.slope:.3g}{beyond}")
