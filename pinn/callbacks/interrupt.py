"""Ctrl-C as a request: the first press finishes the step and keeps the results, the second aborts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from pinn.events import Event, Stop


class Interrupt:
    """A callback that answers the next event with `Stop` once Ctrl-C was pressed, while its `with` block is open.

    Python delivers signals to the main thread only; opened anywhere else it changes nothing and never stops.
    `on_press` is called at the first press, for a word to the person who pressed.
    """

    def __init__(self, on_press: Callable[[], None] | None = None):
        self._on_press = on_press
        self._previous: Any = None
        self._installed = False
        self.pressed = False

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._press)
            self._installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._installed:
            # None stands for a handler that was not installed from Python; the nearest to it is the default
            signal.signal(signal.SIGINT, signal.default_int_handler if self._previous is None else self._previous)
            self._installed = False

    def __call__(self, event: Event) -> Stop | None:
        return Stop("interrupted by Ctrl-C") if self.pressed else None

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        if self._on_press is not None:
            self._on_press()
