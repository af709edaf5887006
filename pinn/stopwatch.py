"""A stopwatch of parts: every moment belongs to exactly one of them, so that the parts add up to the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

# The parts of a run; a kernel call belongs to the part KERNEL + its kind.
BUILD, COMPILE, SAMPLING, OPTIMIZER, ERRORS = "build", "compile", "sampling", "optimizer", "errors"
CALLBACKS, RESULTS, PEAK, PYTHON, KERNEL = "callbacks", "results", "peak", "python", "kernel: "
WHOLE = (COMPILE, PEAK)  # whatever happens inside belongs to them


class Stopwatch:
    """Seconds by part since it was made.  A part that opens inside another takes its time from it; PYTHON has what is left."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self.seconds: dict[str, float] = {PYTHON: 0.0}
        self.calls: dict[str, int] = {}
        self.flops: dict[str, int] = {}
        self._open = [PYTHON]
        self._since = clock()

    @contextmanager
    def section(self, part: str) -> Iterator[str]:
        """The time inside the `with` block, but for parts that open there, belongs to `part`; yields the part that got it."""
        inner = self._open[-1] if self._open[-1] in WHOLE else part
        self._switch()
        self._open.append(inner)
        try:
            yield inner
        finally:
            self._switch()
            self._open.pop()

    def count(self, part: str, flops: int) -> None:
        """One call of a part, and the floating point operations of its matrix products."""
        self.calls[part] = self.calls.get(part, 0) + 1
        self.flops[part] = self.flops.get(part, 0) + flops

    def read(self) -> dict[str, float]:
        """Seconds by part up to now."""
        self._switch()
        return dict(self.seconds)

    def _switch(self) -> None:
        now, part = self.clock(), self._open[-1]
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


def timed(stopwatch: Stopwatch | None, part: str) -> AbstractContextManager:
    """A section of a stopwatch, or nothing where nobody measures."""
    return nullcontext() if stopwatch is None else stopwatch.section(part)
