"""The command line: words become values here and nowhere else, and every mistake in them becomes one clear message."""

from __future__ import annotations

import math
import os
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinn import run
from pinn.bench import bench as run_bench
from pinn.callbacks import Interrupt, profile_rows, progress, report
from pinn.errors import PinnError, ProblemError, RecipeError
from pinn.solver import available_threads
from pinn.template import write_template
from pinn.version import __version__

BAD_INPUT, ABORTED = 2, 130

_LINE = re.compile(r":\d+$")  # how `where` ends when it names a line of a file

app = typer.Typer(
    name="pinn", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
    help="Solve partial differential equations with physics-informed neural networks.")

Name = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A problem of `pinn list`, or a path to your own file.")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="NAME=VALUE", help="Set a parameter of the problem; may be repeated.")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0 is success, 2 bad input, 130 a second Ctrl-C.  Failures that are ours are raised as they are."""
    try:
        # not standalone: there every mistake would be drawn as a box of six lines
        code = app(args=None if argv is None else list(argv), prog_name="pinn", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except typer.Abort:
        return _fail("aborted by Ctrl-C", ABORTED)
    except MemoryError as error:
        return _fail(f"there is not enough memory\n  why: {error}\n  fix: fewer points, or a smaller network", BAD_INPUT)
    except Exception as error:
        # told by shape, not by class: the engine has errors of its own, and typer's moved between its releases
        if hasattr(error, "what"):
            return _fail(str(error), BAD_INPUT)
        if hasattr(error, "format_message"):
            return _usage(error)
        raise
    return code if isinstance(code, int) else 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jetspace {__version__}")
        raise typer.Exit()


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")]


@app.callback()
def options(version: Version = False) -> None:
    """Solve partial differential equations with physics-informed neural networks."""


@app.command()
def solve(
    problem: Name,
    settings: Settings = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after this much time and keep the best so far.")] = None,
    seed: Annotated[int, typer.Option(help="Every random number of the run follows from it.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads of the kernels; results do not depend on it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results instead of results/<problem>/<run>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the results already in the folder.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time went, beside the machine's peak.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Solve a problem, watch it, and write table, pictures and solution to a folder."""
    if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
        raise RecipeError(f"--seconds {seconds:g} is no time to solve anything in", fix="--seconds 60")
    if seed < 0:
        raise RecipeError(f"--seed {seed} is negative", why="seeds are whole numbers from 0", fix="--seed 0")
    if threads is not None and threads < 1:
        raise RecipeError(f"--threads {threads} leaves nobody to do the work", fix=f"--threads {os.cpu_count() or 1}")
    path, overrides = run.find_problem(problem), parse_settings(settings or [])
    console = Console()
    with blame(path), ExitStack() as stack:
        stated, recipe = run.load_problem(path, overrides)
        callbacks: list[Any] = []
        note: Callable[[str], None] | None = None
        if not quiet:
            shown = progress(console)
            stack.enter_context(shown)
            callbacks.append(shown)
            note = shown.note
        callbacks.append(stack.enter_context(Interrupt(
            None if note is None else partial(note, "finishing this step; press Ctrl-C again to abort at once"))))
        try:
            solution = run.solve_and_report(stated, recipe, seconds=seconds, seed=seed, threads=threads, out=out,
                                            resume=resume, profile=profile, callbacks=tuple(callbacks), file=path)
        except KeyboardInterrupt:
            stack.close()
            raise SystemExit(_fail("aborted by Ctrl-C; nothing more was written", ABORTED)) from None
    if not quiet:
        folder = getattr(solution, "folder", None) or out
        show_rows(console, f"{stated.name}", report(solution, folder))
        where = getattr(solution, "profile", None)
        if where is not None:
            show_rows(console, "where the time went", profile_rows(where))


@app.command("list")
def list_problems() -> None:
    """Show the problems that come with the distribution."""
    console = Console()
    problems = list(run.available_problems())
    if not console.file.isatty():
        width = max((len(name) for name, _, _ in problems), default=0)
        for name, _, line in problems:
            typer.echo(f"{name:{width}}  {line}".rstrip())
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("problem", style="bold cyan", no_wrap=True)
    table.add_column("what it is")
    for name, _, line in problems:
        table.add_row(Text(name), Text(line))
    console.print(table)


@app.command()
def check(problem: Name, settings: Settings = None) -> None:
    """Prove a problem file without training: derivatives, conditions, and the exact solution by substitution."""
    path, overrides = run.find_problem(problem), parse_settings(settings or [])
    with blame(path):
        stated, recipe = run.load_problem(path, overrides)
        sections = list(run.check(stated, recipe))
    console = Console()
    failed = 0
    for title, rows in sections:
        console.print(Text(title, style="bold"), soft_wrap=True)
        width = max((len(label) for label, _, _ in rows), default=0)
        for label, text, passed in rows:
            mark, style = {None: ("  ", ""), True: ("ok", "green"), False: ("NO", "bold red")}[passed]
            failed += passed is False
            console.print(Text.assemble("  ", (mark, style), f"  {label:{width}}  ", text), soft_wrap=True)
    if failed:
        things = "one thing does" if failed == 1 else f"{failed} things do"
        raise ProblemError(f"{stated.name}: {things} not hold", where=str(path), why="see the lines marked NO")


@app.command()
def bench(
    what: Annotated[str, typer.Argument(metavar="accuracy", help="What is measured: accuracy.")],
    problems: Annotated[list[str] | None, typer.Argument(
        metavar="[NAME]...", help="Problems; all of `pinn list` by default.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of training for each run.")] = 60.0,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between them.")] = "0,1",
    threads: Annotated[int | None, typer.Option(help="Threads of each run; all processors by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of table, pictures and runs; what is there is not run again.")] =
        Path("results") / "accuracy",
) -> int:  # fmt: skip
    """Solve the problems that come along with nothing set, and write how well, into a table.  It may be stopped and goes on."""
    if what != "accuracy":
        return _fail(f"there is no benchmark {what!r}\n  fix: pinn bench accuracy", BAD_INPUT)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        return _fail(f"seeds {seeds!r} are no whole numbers\n  fix: --seeds 0,1", BAD_INPUT)
    if not (math.isfinite(seconds) and seconds > 0):
        return _fail(f"{seconds} seconds\n  fix: --seconds 60", BAD_INPUT)
    console = Console()
    written = run_bench(problems or [], seconds, numbers, threads or available_threads(), out,
                        lambda line: console.print(line, highlight=False))  # fmt: skip
    console.print(f"the table is in {written}", highlight=False)
    return 0


@app.command()
def plot(folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or its solution.npz.")]) -> None:
    """Draw the pictures of a finished run again."""
    solution = run.load_run(folder)
    for path in run.write_plots(solution, folder if folder.is_dir() else folder.parent):
        typer.echo(str(path))


@app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the problem; NAME.py is written.")]) -> None:
    """Write a commented problem file that works as it stands."""
    path = write_template(name)
    typer.echo(f"wrote {path}\ntry:  pinn check {path}\n      pinn solve {path}")


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """`["nu=0.05"]` as `{"nu": "0.05"}`; raises `RecipeError` for what is no `name=value` and for a name given twice."""
    overrides: dict[str, str] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not (equals and value and name.isidentifier()):
            raise RecipeError(f"--set {setting} is not understood", why="it must read NAME=VALUE", fix="--set nu=0.05")
        if name in overrides:
            raise RecipeError(f"--set gives {name} twice", why=f"as {overrides[name]} and as {value}", fix="leave one out")
        overrides[name] = value
    return overrides


@contextmanager
def blame(path: Path) -> Iterator[None]:
    """Say whose an exception is: one that passed through the problem file is told with its line there."""
    try:
        yield
    except Exception as error:
        line = _line_in(path, error)
        if isinstance(error, PinnError) and line is not None and not _LINE.search(error.where):
            raise error.placed(f"{path}:{line}") from error
        if hasattr(error, "what"):
            raise
        if line is None:
            raise
        raise ProblemError(f"{type(error).__name__}: {error}", where=f"{path}:{line}",
                           why="the problem file raised this; it is Python code that runs as you wrote it") from error


def show_rows(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Labelled rows: a table on a terminal, aligned text anywhere else."""
    if not console.file.isatty():
        width = max(len(label) for label, _ in rows)
        typer.echo(title)
        for label, text in rows:
            typer.echo(f"  {label:{width}}  {text}")
        return
    table = Table(title=Text(title, style="bold"), title_justify="left", show_header=False, border_style="dim")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(Text(label), Text(text, style="bold green" if "error" in label else ""))
    console.print(table)


def _line_in(path: Path, error: Exception) -> int | None:
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == path.resolve():
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if Path(frame.filename).resolve() == path.resolve()]
    return lines[-1] if lines else None


def _usage(error: Any) -> int:
    message = error.format_message().strip()
    if not message:
        return BAD_INPUT  # a bare command: typer has shown its help already
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pinn"
    return _fail(f"{message}\n  fix: {command} --help", BAD_INPUT)


def _fail(message: str, code: int) -> int:
    Console(stderr=True).print(Text.assemble(("pinn: ", "bold red"), message), soft_wrap=True)
    return code

