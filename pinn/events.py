"""What a solver tells the world, and what the world may ask of it: plain frozen values, nothing else.

The solver emits events in this order: `Started`, `Compiled`, then for each stage any number of `Progress` and one
`StageEnded`, and last `Finished`.  A callback is any callable that takes an event and returns a request or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Started:
    """The problem, the recipe and the seed are fixed; nothing is compiled yet."""

    problem: Any
    recipe: Any
    seed: int
    parameters: int
    points: Mapping[str, int]
    budget_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """The kernels are ready after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of an optimizer, measured at `theta`, from which `supply` makes fields.

    `errors` holds an unknown only where it was measured at this step.
    """

    stage: str
    iteration: int
    total_iterations: int | None
    loss: float
    terms: Mapping[str, float]
    errors: Mapping[str, float]
    seconds: float
    budget_seconds: float | None
    theta: np.ndarray
    supply: Any = None


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage is over, with the reason as a sentence."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The solution is complete: errors measured, history attached."""

    solution: Any


Event = Started | Compiled | Progress | StageEnded | Finished


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish this step, keep the best state so far and end the solve; `reason` becomes the stop reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resample:
    """Draw fresh collocation points before the next step."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Write the present state to the run folder."""

    path: str = ""


Request = Stop | Resample | Checkpoint
Callback = Callable[[Event], Request | None]


def emit(event: Event, callbacks: Iterable[Callback]) -> tuple[Request, ...]:
    """Show one event to every callback in turn and return the requests they made, in that order."""
    return tuple(request for callback in callbacks if (request := callback(event)) is not None)
