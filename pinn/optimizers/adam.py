"""Adam: steps of a learning rate along the mean gradient over the root mean square gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from pinn.errors import RecipeError
from pinn.optimizers.compiled import compiled
from pinn.optimizers.oracle import Oracle, State, begin, evaluate, moved
from pinn.optimizers.schedules import Schedule, demand


@compiled
def update(theta, moments, gradient, beta1, beta2, rate, scale, eps, new_theta, new_moments):  # type: ignore[no-untyped-def]
    """Both moments and theta in one pass, written to fresh arrays so that older states keep theirs."""
    for i in range(theta.size):
        g = gradient[i]
        m = beta1 * moments[0, i] + (1.0 - beta1) * g
        v = beta2 * moments[1, i] + (1.0 - beta2) * g * g
        new_moments[0, i] = m
        new_moments[1, i] = v
        new_theta[i] = theta[i] - rate * m / (np.sqrt(v) * scale + eps)


@dataclass(frozen=True)
class Adam:
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, theta -= rate (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps).

    Kingma & Ba, arXiv 1412.6980, algorithm 1. `learning_rate` is a number or a function of the iteration (see schedules).
    One evaluation a step; the memory of a state is `moments` `(2, size)`. Raises RecipeError for settings that cannot work.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        fix = "Adam(learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)"
        if not callable(self.learning_rate):
            demand(self.learning_rate, "learning_rate", 0, True, fix)
        demand(self.eps, "eps", 0, True, fix)
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0 <= beta < 1:
                raise RecipeError(f"{name} is {beta!r}", why="a share of the past must lie in [0, 1)", fix=fix)

    def init(self, oracle: Oracle, theta: np.ndarray) -> State:
        """The state at `theta` `(size,)`; raises RecipeError or NumericsError for a start that cannot be used."""
        return begin(oracle, theta, np.zeros((2, oracle.size)))

    def step(self, oracle: Oracle, state: State) -> State:
        """One update and one evaluation; a loss or gradient that is not finite stops the run at the state before."""
        if state.stop is not None:
            return state
        k = state.iteration + 1
        rate = self.learning_rate(state.iteration) if callable(self.learning_rate) else self.learning_rate
        theta, moments = np.empty_like(state.theta), np.empty_like(state.memory)
        scale = 1.0 / sqrt(1.0 - self.beta2**k)
        corrected = rate / (1.0 - self.beta1**k)
        update(state.theta, state.memory, state.gradient, self.beta1, self.beta2, corrected, scale, self.eps, theta, moments)
        loss, gradient, finite = evaluate(oracle, theta)
        if not finite:
            reason = f"loss not finite: {loss} at iteration {k} with learning rate {rate:g}, kept {state.loss:.6g} before it"
            return replace(state, evaluations=state.evaluations + 1, stop=reason)
        return State(theta, loss, gradient, k, state.evaluations + 1, None, moments)

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, moments kept."""
        return moved(oracle, state, state.memory)
