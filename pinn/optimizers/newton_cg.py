"""Newton steps by conjugate gradients: only products with the Hessian, for networks whose matrices would not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from typing import ClassVar

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.line_search import rounding
from pinn.optimizers.nystrom import Nystrom
from pinn.optimizers.oracle import EPS, Oracle, State, begin, evaluate, grain, moved
from pinn.optimizers.stopping import Progress, Stopping, nothing_lower

SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo)
FLATTER = 0.9  # of the slope at the start, at most, where the loss cannot tell

Product = Callable[[np.ndarray], np.ndarray]


def hessian_product(oracle: Oracle, theta: np.ndarray, gradient: np.ndarray, v: np.ndarray) -> np.ndarray:
    """H v `(size,)`: the oracle's own, or a difference of gradients where it has none, good to the root of rounding."""
    own = getattr(oracle, "hvp", None)
    if own is not None:
        return np.asarray(own(theta, v), dtype=np.float64)
    length = float(np.linalg.norm(v))
    h = sqrt(grain(oracle)) * (1.0 + float(np.linalg.norm(theta))) / length if length > 0.0 else 1.0
    return (evaluate(oracle, theta + h * v)[1] - gradient) / h


@dataclass(frozen=True, eq=False)
class Solved:
    """What conjugate gradients found: the direction `(size,)`, the products it took, and whether curvature was negative."""

    direction: np.ndarray
    products: int
    negative: bool = False


def conjugate_gradients(
    product: Product, gradient: np.ndarray, precondition: Product, damping: float, tolerance: float, most: int
) -> Solved:
    """(H + damping) d = -gradient to a residual of `tolerance` |gradient|, preconditioned; stops at negative curvature.

    Where a direction p has p.(H + damping) p <= 0, what is solved so far is returned, and -precondition(gradient) if nothing is
    (Nocedal & Wright, algorithm 7.1): both descend.
    """
    d, r = np.zeros_like(gradient), gradient.copy()
    z = precondition(r)
    p, rz, goal = -z, float(np.dot(r, z)), tolerance * float(np.linalg.norm(gradient))
    for count in range(1, most + 1):
        hp = product(p) + damping * p
        curvature = float(np.dot(p, hp))
        if not (isfinite(curvature) and curvature > EPS * damping * float(np.dot(p, p))):
            return Solved(d if count > 1 else p, count, isfinite(curvature))
        step = rz / curvature
        d += step * p
        r += step * hp
        if np.linalg.norm(r) <= goal:
            break
        z = precondition(r)
        rz, before = float(np.dot(r, z)), rz
        p = -z + (rz / before) * p
    return Solved(d, count)


@dataclass(frozen=True, eq=False)
class Memory:
    """What a state carries: the preconditioner and the iteration it was made at, the damping factor, and the progress."""

    nystrom: Nystrom | None
    made: int
    lift: float
    progress: Progress


@dataclass(frozen=True)
class NewtonCG:
    """theta += a d with (H + mu) d = -g by preconditioned conjugate gradients, and a = 1, 1/2, 1/4, ... by Armijo.

    H is the Hessian of the loss, never formed: each product costs some two gradients. Every `every` iterations `rank` products
    make a Nystrom preconditioner (NysNewton-CG of Rathore et al., arXiv 2402.01868, algorithm 4). The damping is mu = `damping`
    times the largest eigenvalue that it shows; it grows tenfold where H is indefinite or no step is found, and falls back
    tenfold after steps that are. A step solves to |residual| <= min(`tolerance`, sqrt(|g| / |g at the start|)) |g|, or until
    `products` products. Where no step along d is found steepest descent is tried, and only then the run stops.

    Needs the gradient, and `hvp` where the oracle has it (else differences of gradients). Memory: `rank` vectors and a dozen.
    Raises RecipeError for settings that cannot work.
    """

    rank: int = 40
    every: int = 20
    damping: float = 1e-8
    products: int = 200
    tolerance: float = 0.1
    halvings: int = 30
    seed: int = 0
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10

    asks: ClassVar[tuple[str, ...]] = ("hvp",)

    def __post_init__(self) -> None:
        counts = self.rank >= 1 and self.every >= 1 and self.products >= 1 and self.halvings >= 0
        if not (counts and 0 < self.damping < float("inf") and 0 < self.tolerance < 1):
            raise RecipeError(
                f"rank={self.rank!r}, every={self.every!r}, damping={self.damping!r}, products={self.products!r}, "
                f"tolerance={self.tolerance!r}, halvings={self.halvings!r}",
                why="counts are at least 1, the damping is above 0, and the tolerance is a share between 0 and 1",
                fix="NewtonCG(rank=40, every=20, damping=1e-8, products=200, tolerance=0.1)",
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
        memory = Memory(None, -self.every, 1.0, progress)
        return replace(state, memory=memory, stop=self.stopping.flat(progress, state.gradient))

    def step(self, oracle: Oracle, state: State) -> State:
        """One accepted iteration, or the same point with the reason why there is none."""
        if state.stop is not None:
            return state
        memory, evaluations, calls = state.memory, state.evaluations, 0
        theta, gradient = state.theta, state.gradient

        def product(v: np.ndarray) -> np.ndarray:
            nonlocal calls
            calls += 1
            return hessian_product(oracle, theta, gradient, v)

        nystrom, made = memory.nystrom, memory.made
        if nystrom is None or state.iteration - made >= self.every:
            rng = np.random.default_rng([self.seed, state.iteration])
            nystrom, made = Nystrom.of(product, theta.size, self.rank, rng), state.iteration
        scale = float(nystrom.eigenvalues[0]) if nystrom is not None else 0.0
        scale = scale if scale > 0.0 else float(np.linalg.norm(gradient))
        lift, failures = memory.lift, []
        for attempt in ("newton", "more damping", "steepest"):
            negative = False
            if attempt == "steepest":
                direction = -gradient / float(np.linalg.norm(gradient))
            else:
                mu, start = self.damping * lift * scale, memory.progress.first_gradient
                fine = min(self.tolerance, sqrt(float(np.max(np.abs(gradient))) / start))
                solved = conjugate_gradients(
                    product, gradient, lambda x: nystrom.inverse(x, mu) if nystrom is not None else x, mu,  # noqa: B023
                    fine, self.products)
                direction, negative = solved.direction, solved.negative
            slope = float(np.dot(direction, gradient))
            if not slope < 0.0:
                failures.append("the Newton direction does not descend")
                lift *= 10.0
                continue
            found, asked, failure = self._search(oracle, state, direction, slope)
            evaluations += asked
            if found is not None:
                break
            failures.append(failure)
            lift *= 10.0
        else:
            reason = nothing_lower(state.loss, failures, grain(oracle))
            return replace(state, evaluations=evaluations + calls, stop=reason)
        new_theta, loss, new_gradient = found
        lift = lift * 10.0 if negative else max(lift / 10.0, 1.0) if attempt == "newton" else lift
        progress, stop = self.stopping.judge(memory.progress, state.loss, loss, new_gradient, grain(oracle))
        memory = Memory(nystrom, made, lift, progress)
        return State(new_theta, loss, new_gradient, state.iteration + 1, evaluations + calls, stop, memory)

    def _search(
        self, oracle: Oracle, state: State, direction: np.ndarray, slope: float
    ) -> tuple[tuple[np.ndarray, float, np.ndarray] | None, int, str]:
        """((theta, loss, gradient) of the first step of 1, 1/2, 1/4, ... that meets Armijo's condition or None, trials, why).

        Where losses differ by rounding alone the slope decides (the approximate condition of Hager & Zhang 2005).
        """
        noise, wall = rounding(grain(oracle)) * abs(state.loss), 0.0
        for k in range(self.halvings + 1):
            step = 0.5**k
            theta = state.theta + step * direction
            loss, gradient, finite = evaluate(oracle, theta)
            if not finite:
                wall = step
                continue
            lower = loss <= state.loss + SUFFICIENT * step * slope and loss < state.loss
            flatter = abs(loss - state.loss) <= noise and abs(float(np.dot(gradient, direction))) <= -FLATTER * slope
            if lower or flatter:
                return (theta, loss, gradient), k + 1, ""
        beyond = f", not finite from step {wall:.3g} on" if wall else ""
        return None, self.halvings + 1, f"{self.halvings + 1} trials along slope {slope:.3g}{beyond}"

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, the preconditioner kept."""
        return moved(oracle, state, replace(state.memory, progress=state.memory.progress.elsewhere()))
