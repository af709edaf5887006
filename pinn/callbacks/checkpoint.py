"""Asking for checkpoints: often enough that little is lost, seldom enough to cost nothing."""

from __future__ import annotations

import math

from pinn.events import Checkpoint, Event, Progress, StageEnded


class CheckpointEvery:
    """A callback that requests a checkpoint every so many seconds and at the end of each stage."""

    def __init__(self, seconds: float = 60.0):
        if not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(f"seconds must be positive and finite, not {seconds}")
        self._interval = seconds
        self._due: float | None = None

    def __call__(self, event: Event) -> Checkpoint | None:
        if type(event) is Progress:
            if self._due is None:
                self._due = event.seconds + self._interval
            elif event.seconds >= self._due:
                self._due = event.seconds + self._interval
                return Checkpoint()
        return Checkpoint() if type(event) is StageEnded else None
