"""Progress as one live panel on a terminal, drawn by its own thread, so that a step costs the solver next to nothing."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pinn.callbacks.pace import Pace
from pinn.callbacks.wording import count, duration, magnitude, position, rate
from pinn.events import Compiled, Event, Progress, StageEnded, Started


class Panel:
    """A callback that shows stage, step, rate, loss by term, errors where exact is known, and the time that is left."""

    def __init__(self, console: Console, refresh_per_second: float = 4.0):
        self._console = console
        self._spinner = Spinner("dots")
        self._pace = Pace()
        self._title, self._note, self._activity = "", "", "starting"
        self._latest: Progress | None = None
        self._arrival = time.perf_counter()
        self._errors: dict[str, float] = {}
        # last, because Live draws once when it is made
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=refresh_per_second, transient=True)

    def __enter__(self) -> Panel:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """A word inside the panel; safe to call from a signal handler, because it draws nothing itself."""
        self._note = text

    def __call__(self, event: Event) -> None:
        if type(event) is Progress:
            self._latest = event
            self._arrival = time.perf_counter()
            if event.errors:
                self._errors.update(event.errors)
        elif type(event) is Started:
            self._title, self._activity = event.problem.name, "compiling"
            self._arrival = time.perf_counter()
            points = ", ".join(f"{name} {count(number)}" for name, number in event.points.items())
            self._say(f"{event.problem.name}: {count(event.parameters)} parameters, seed {event.seed}; points: {points}")
        elif type(event) is Compiled:
            self._activity = "first step"
            self._say(f"compiled in {duration(event.seconds)}")
        elif type(event) is StageEnded:
            self._say(f"{event.stage} ended: {event.reason}{self._reached()}")
            self._latest, self._activity = None, "next stage"
            self._arrival = time.perf_counter()
        else:
            self._latest, self._activity = None, "writing results"
            self._arrival = time.perf_counter()

    def _reached(self) -> str:
        """Where the stage came to: the panel vanishes, this line stays."""
        if self._latest is None:
            return ""
        errors = "".join(f", error {name} {magnitude(value)}" for name, value in self._errors.items())
        return f" (step {count(self._latest.iteration)}, loss {magnitude(self._latest.loss)}{errors})"

    def _say(self, line: str) -> None:
        self._console.print(Text(line, style="dim"))

    def _draw(self) -> RenderableType:
        # one look at the latest event: the solver's thread may replace it while this one draws
        event, since = self._latest, time.perf_counter() - self._arrival
        body: list[RenderableType] = []
        if event is None:
            self._spinner.update(text=Text(f" {self._activity}  {duration(since)}"))
            body.append(self._spinner)
        else:
            body += [self._numbers(event), self._time(event, event.seconds + since)]
        if self._note:
            body.append(Text(self._note, style="bold yellow"))
        return Frame(Group(*body), title=Text(self._title, style="bold"), title_align="left", border_style="dim",
                     padding=(0, 1), width=min(self._console.width, 84))

    def _numbers(self, event: Progress) -> Table:
        self._pace.look(event)
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=1)
        table.add_column(justify="right")
        table.add_row(Text.assemble((event.stage, "bold cyan"), "  ", position(event.iteration, event.total_iterations)),
                      Text(rate(self._pace.steps_per_second), style="dim"))
        table.add_row(Text("loss", style="bold"), Text(magnitude(event.loss), style="bold"))
        if len(event.terms) > 1:
            for name, value in tuple(event.terms.items()):
                table.add_row(Text(f"  {name}", style="dim"), Text(magnitude(value), style="dim"))
        for name, value in tuple(self._errors.items()):
            table.add_row(Text(f"relative L2 error of {name}", style="green"), Text(magnitude(value), style="green"))
        return table

    def _time(self, event: Progress, elapsed: float) -> Table:
        left = self._pace.remaining(event, elapsed)
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=1)
        table.add_column(justify="right")
        words = Text(duration(elapsed) + (f", {duration(left)} left" if math.isfinite(left) else ""))
        if event.budget_seconds is not None:
            table.add_row(ProgressBar(total=event.budget_seconds, completed=min(elapsed, event.budget_seconds),
                                      complete_style="cyan"), words)
        elif event.total_iterations:
            table.add_row(ProgressBar(total=event.total_iterations, completed=event.iteration,
                                      complete_style="cyan"), words)
        else:
            table.add_row("", words)
        return table
