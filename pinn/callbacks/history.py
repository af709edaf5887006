"""Collecting the history of a run from its events."""

from __future__ import annotations

from pinn.events import Event, Progress
from pinn.history import History, Row


class Collect:
    """A callback that remembers every step, and from `capacity` rows on every second, every fourth, ... step.

    Rows with a measured error and the last row are always kept, so that memory stays bounded and no number of the
    final table is missing from the file.
    """

    def __init__(self, capacity: int = 20_000):
        if capacity < 2:
            raise ValueError(f"capacity must be at least 2, not {capacity}")
        self._capacity = capacity
        self._rows: list[Row] = []
        self._stride = 1
        self._seen = 0
        self._last: Progress | None = None

    def __call__(self, event: Event) -> None:
        if type(event) is not Progress:
            return
        if event.errors or self._seen % self._stride == 0:
            self._rows.append(_row(event))
            self._last = None
            if len(self._rows) >= self._capacity:
                self._thin()
        else:
            self._last = event
        self._seen += 1

    def _thin(self) -> None:
        self._rows = [row for index, row in enumerate(self._rows) if index % 2 == 0 or row.errors]
        self._stride *= 2
        # a run whose rows all carry errors cannot be thinned; growing the room is better than thinning at every step
        if 2 * len(self._rows) > self._capacity:
            self._capacity *= 2

    @property
    def history(self) -> History:
        """The history so far, including the latest step."""
        return History.from_rows(self._rows if self._last is None else [*self._rows, _row(self._last)])


def _row(event: Progress) -> Row:
    # copies, because a solver may reuse its dictionaries; never theta, which would keep every iterate alive
    return Row(event.stage, event.iteration, event.seconds, event.loss, dict(event.terms), dict(event.errors))
