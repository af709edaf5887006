"""Natural gradient: the step that moves the residual, not the weights, straight downhill."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import ClassVar

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.damped import damped_once
from pinn.optimizers.levenberg_marquardt import refuse_what_does_not_fit
from pinn.optimizers.oracle import EPS, Oracle, State, begin, evaluate, grain, moved, threads_of
from pinn.optimizers.schedules import Schedule
from pinn.optimizers.stopping import Progress, Stopping


@dataclass(frozen=True, eq=False)
class Memory:
    """What a state carries: the momentum `(size,)`, which is the last direction before the line search, and the progress."""

    momentum: np.ndarray
    progress: Progress


@dataclass(frozen=True)
class NaturalGradient:
    """theta -= 0.5^k p with p = mu p + (J'J + lambda)^-1 J'(r - mu J p), lambda = `damping` |J|^2 (Frobenius); k is searched.

    With `momentum` mu = 0 the energy natural gradient (Mueller & Zeinhofer, arXiv 2302.13163): J'J is the Gram matrix of the
    equations on the points of training; for nonlinear equations that of the linearised ones. With mu = 0.9, say, SPRING
    (Goldshlager, Abrahamsen & Lin, arXiv 2401.10190; Guzman-Cordero et al. 2025), for points that change often.
    With more weights than residuals (J'J + lambda)^-1 J' = J'(JJ' + lambda)^-1, and only the small matrix is formed.

    The line search takes k = 0, 1, ... `halvings` as long as the loss falls. Where momentum leads to no lower loss it is
    forgotten. `damping` is a number or a function of the iteration (see schedules); below 1e-11, where the rounding of J'J
    would hide it, J itself is factored.
    Needs `residual` and `jacobian` of the oracle. Raises RecipeError for settings that cannot work.
    """

    damping: float | Schedule = 1e-10
    momentum: float = 0.0
    halvings: int = 30
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10

    asks: ClassVar[tuple[str, ...]] = ("loss", "residual", "jacobian")

    def __post_init__(self) -> None:
        damping = callable(self.damping) or 0 <= self.damping < float("inf")
        if not (damping and 0 <= self.momentum < 1 and self.halvings >= 0):
            raise RecipeError(
                f"damping={self.damping!r}, momentum={self.momentum!r}, halvings={self.halvings!r}",
                why="damping and halvings are at least 0, and a share of the past lies in [0, 1)",
                fix="NaturalGradient(damping=1e-10, momentum=0.0, halvings=30)",
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
        memory = Memory(np.zeros(oracle.size), progress)
        return replace(state, memory=memory, stop=self.stopping.flat(progress, state.gradient))

    def step(self, oracle: Oracle, state: State) -> State:
        """One accepted iteration, or the same point with the reason why there is none.

        Raises RecipeError for a Jacobian that this machine cannot hold.
        """
        if state.stop is not None:
            return state
        evaluations, past = state.evaluations + 1, self.momentum * state.memory.momentum
        residual = oracle.residual(state.theta)
        refuse_what_does_not_fit(residual.size, state.theta.size)
        jacobian = oracle.jacobian(state.theta)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            reason = f"Jacobian not finite at iteration {state.iteration}, at loss {state.loss:.6g}"
            return replace(state, evaluations=evaluations, stop=reason)
        share = self.damping(state.iteration) if callable(self.damping) else self.damping
        damping = share * float(np.vdot(jacobian, jacobian))
        for momentum in (past, np.zeros_like(past)) if past.any() else (past,):
            ahead = residual - jacobian @ momentum if momentum.any() else residual
            direction = momentum - damped_once(jacobian, ahead, damping, threads_of(oracle))
            theta, asked = self._search(oracle, state, direction)
            evaluations += asked
            if theta is None:
                continue
            loss, gradient, finite = evaluate(oracle, theta)
            evaluations += 1
            if finite:
                break
        else:
            reason = (
                f"no step of 1 to 2^-{self.halvings} along the natural gradient decreases the loss {state.loss:.6g}, "
                f"at damping {damping:.3g}"
            )
            return replace(state, evaluations=evaluations, stop=reason)
        progress, stop = self.stopping.judge(state.memory.progress, state.loss, loss, gradient, grain(oracle))
        return State(theta, loss, gradient, state.iteration + 1, evaluations, stop, Memory(direction, progress))

    def _search(self, oracle: Oracle, state: State, direction: np.ndarray) -> tuple[np.ndarray | None, int]:
        """Theta at the first lowest of the losses at steps 1, 1/2, 1/4, ... that lie below the present one; how many."""
        best, lowest = None, state.loss
        for k in range(self.halvings + 1):
            theta = state.theta - 0.5**k * direction
            loss = float(oracle.loss(theta))
            if isfinite(loss) and loss < lowest:
                best, lowest = theta, loss
            elif best is not None:
                break
        return best, k + 1

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, momentum kept."""
        return moved(oracle, state, replace(state.memory, progress=state.memory.progress.elsewhere()))
