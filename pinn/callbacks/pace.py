"""The pace of a run: steps per second over the last few seconds, and from it the time that is left."""

from __future__ import annotations

from collections import deque

from pinn.events import Progress


class Pace:
    """Looked at from time to time, it answers from the window of its last looks."""

    def __init__(self, window: int = 20):
        self._looks: deque[tuple[float, int]] = deque(maxlen=window)
        self._stage = ""

    def look(self, event: Progress) -> None:
        """Note where the run is; a new stage starts a new pace."""
        if event.stage != self._stage or (self._looks and event.iteration < self._looks[-1][1]):
            self._looks.clear()
            self._stage = event.stage
        if not self._looks or event.iteration > self._looks[-1][1]:
            self._looks.append((event.seconds, event.iteration))

    @property
    def steps_per_second(self) -> float:
        """Steps per second, NaN before there were two looks."""
        if len(self._looks) < 2:
            return float("nan")
        (early, first), (late, last) = self._looks[0], self._looks[-1]
        return (last - first) / (late - early) if late > early else float("nan")

    def remaining(self, event: Progress, elapsed: float) -> float:
        """Seconds until the budget is used up or else the stage is through; NaN where neither is known."""
        if event.budget_seconds is not None:
            return max(event.budget_seconds - elapsed, 0.0)
        if event.total_iterations:
            return max(event.total_iterations - event.iteration, 0) / self.steps_per_second
        return float("nan")
