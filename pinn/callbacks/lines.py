"""Progress as plain lines, for logs and pipes: often at first, then every ten seconds."""

from __future__ import annotations

import math
import os
import sys
from types import TracebackType
from typing import IO

from pinn.callbacks.pace import Pace
from pinn.callbacks.wording import count, duration, magnitude, position, rate
from pinn.events import Compiled, Event, Progress, StageEnded, Started


class Lines:
    """A callback that writes one line per moment; between moments it costs one comparison."""

    def __init__(self, stream: IO[str] | None = None, shortest: float = 2.0, longest: float = 10.0):
        self._stream = sys.stdout if stream is None else stream
        self._shortest, self._longest = shortest, longest
        self._due = -math.inf
        self._pace = Pace()
        self._errors: dict[str, float] = {}
        self._note = ""
        self._last: Progress | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.flush()

    def note(self, text: str) -> None:
        """A word for the next line; safe to call from a signal handler, because it writes nothing itself."""
        self._note = text
        self._due = -math.inf

    def __call__(self, event: Event) -> None:
        if type(event) is Progress:
            self._last = event
            if event.errors:
                self._errors.update(event.errors)
            if event.seconds >= self._due:
                self._write(event)
        elif type(event) is Started:
            points = ", ".join(f"{name} {count(number)}" for name, number in event.points.items())
            budget = "" if event.budget_seconds is None else f", at most {duration(event.budget_seconds)}"
            size = f"{count(event.parameters)} parameters, seed {event.seed}{budget}"
            self._print(f"{event.problem.name}: {size}; points: {points}")
        elif type(event) is Compiled:
            self._print(f"compiled in {duration(event.seconds)}")
        elif type(event) is StageEnded:
            if self._last is not None:
                self._write(self._last)
            self._print(f"{event.stage} ended: {event.reason}")
            self._due = -math.inf

    def _write(self, event: Progress) -> None:
        if self._note:
            self._print(self._note)
            self._note = ""
        self._pace.look(event)
        terms = event.terms if len(event.terms) > 1 else {}
        left = self._pace.remaining(event, event.seconds)
        parts = [f"[{duration(event.seconds):>9}]", f"{event.stage} {position(event.iteration, event.total_iterations)}",
                 f"loss {magnitude(event.loss)}",
                 *(f"{name} {magnitude(value)}" for name, value in terms.items()),
                 *(f"error {name} {magnitude(value)}" for name, value in self._errors.items()),
                 rate(self._pace.steps_per_second), f"{duration(left)} left" if math.isfinite(left) else ""]
        self._print("  ".join(part for part in parts if part))
        self._last = None
        self._due = event.seconds + min(max(0.1 * event.seconds, self._shortest), self._longest)

    def _print(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            # the reader has gone (`pinn solve burgers | head`); the run goes on, and whoever writes next is not heard either
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
