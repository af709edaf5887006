"""The right kind of progress for where the output goes."""

from __future__ import annotations

from rich.console import Console

from pinn.callbacks.lines import Lines
from pinn.callbacks.panel import Panel


def progress(console: Console | None = None) -> Panel | Lines:
    """A live panel on a terminal, plain lines anywhere else; both are callbacks to be opened with `with`."""
    console = Console() if console is None else console
    # the stream itself is asked: FORCE_COLOR makes rich believe in a terminal where a log file listens
    return Panel(console) if console.file.isatty() and not console.is_dumb_terminal else Lines(console.file)
