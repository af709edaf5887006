"""What an optimizer asks of a problem (`Oracle`) and what it hands back (`State`): neither knows what is being minimised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Protocol

import numpy as np

from pinn.errors import NumericsError, RecipeError

EPS = float(np.finfo(np.float64).eps)


class Oracle(Protocol):
    """A function of one flat float64 vector `theta` of `size` entries; where it has a residual, loss = sum(residual**2).

    Arrays returned belong to the caller: a later call never writes into them.  An oracle that computes in another precision
    than float64 says so by an attribute `eps`, the distance of 1 to the next number (see `grain`); one that computes on several
    threads by `threads`: factorisations may use as many.  `hvp`, the Hessian of the loss times a vector, may be missing.
    """

    @property
    def size(self) -> int: ...

    def loss(self, theta: np.ndarray) -> float: ...
    def loss_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]: ...
    def residual(self, theta: np.ndarray) -> np.ndarray: ...
    def jacobian(self, theta: np.ndarray) -> np.ndarray: ...
    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray: ...
    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray: ...
    def hvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class State:
    """One point of a minimisation: later steps make new states and never write into the arrays of this one.

    `theta` and `gradient` are `(size,)`; `iteration` counts accepted steps, `evaluations` calls of the oracle at a new theta;
    `stop` is None or one sentence saying, with numbers, why no further step is taken; `memory` belongs to the optimizer.
    """

    theta: np.ndarray
    loss: float
    gradient: np.ndarray
    iteration: int = 0
    evaluations: int = 0
    stop: str | None = None
    memory: Any = None


class Optimizer(Protocol):
    """`init` evaluates at a start, `step` takes one accepted iteration, `carry` moves a state to another oracle.

    What it asks of the oracle besides loss_and_gradient may be told as `asks`, names of methods: they are compiled beforehand.
    A stopped state steps to itself. Between two steps a run may be left, and taken up again, at any time.
    """

    def init(self, oracle: Oracle, theta: np.ndarray) -> State: ...
    def step(self, oracle: Oracle, state: State) -> State: ...
    def carry(self, oracle: Oracle, state: State) -> State: ...


def grain(oracle: Oracle) -> float:
    """The rounding unit of what an oracle computes: its `eps`, that of float64 where it says nothing."""
    return float(getattr(oracle, "eps", EPS))


def threads_of(oracle: Oracle) -> int:
    """The threads that an optimizer may use between two calls of an oracle: one where it says nothing."""
    return int(getattr(oracle, "threads", 1))


def evaluate(oracle: Oracle, theta: np.ndarray) -> tuple[float, np.ndarray, bool]:
    """Loss, gradient `(size,)`, and whether both are finite."""
    loss, gradient = oracle.loss_and_gradient(theta)
    loss, gradient = float(loss), np.ascontiguousarray(gradient, dtype=np.float64)
    # One product sees every nan; only where it overflows must the entries be looked at one by one.
    finite = isfinite(loss) and (isfinite(np.dot(gradient, gradient)) or bool(np.isfinite(gradient).all()))
    return loss, gradient, finite


def begin(oracle: Oracle, theta: np.ndarray, memory: Any = None) -> State:
    """The state at a private copy of `theta` `(size,)`.

    Raises RecipeError for a wrong shape and NumericsError where theta, loss or gradient is not finite: there is no good state
    to fall back on yet.
    """
    theta = np.array(theta, dtype=np.float64)
    if theta.shape != (oracle.size,):
        raise RecipeError(
            f"the start has shape {theta.shape}, but the problem has {oracle.size} parameters",
            why="an optimizer moves one flat vector with one entry per parameter",
            fix=f"theta = np.zeros({oracle.size})",
        )
    bad = np.flatnonzero(~np.isfinite(theta))
    if bad.size:
        raise NumericsError(
            f"{bad.size} of {theta.size} starting parameters are not finite, the first at index {bad[0]}: {theta[bad[0]]}",
            why="no step can leave a start that is not a number",
            fix="start from finite weights, e.g. those of a fresh network",
        )
    loss, gradient, finite = evaluate(oracle, theta)
    if not finite:
        count = int(np.count_nonzero(~np.isfinite(gradient)))
        raise NumericsError(
            f"at the start the loss is {loss} and {count} of {gradient.size} gradient entries are not finite",
            why="a coefficient, condition or equation gives nan or infinity at some point",
            fix="check the problem's functions on its domain: no division by zero, no log or sqrt of a negative number",
        )
    return State(theta, loss, gradient, 0, 1, None, memory)


def moved(oracle: Oracle, state: State, memory: Any) -> State:
    """`state` re-evaluated on another oracle (new points, new weights) with `memory` kept; its stop is lifted.

    Where the new loss is not finite the old numbers stay and `stop` says so.
    """
    loss, gradient, finite = evaluate(oracle, state.theta)
    evaluations = state.evaluations + 1
    if not finite:
        reason = f"loss not finite: {loss} on the new points at iteration {state.iteration}, {state.loss:.6g} before"
        return replace(state, evaluations=evaluations, stop=reason)
    return replace(state, loss=loss, gradient=gradient, evaluations=evaluations, stop=None, memory=memory)
