"""From a name or a file to a folder of results: finding problems, solving them, writing what came of it, checking without."""

from __future__ import annotations

import difflib
import json
import os
import runpy
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pinn import plots
from pinn.archive import describe_network, load_solution, plain, save_solution, versions
from pinn.errors import FileError, ProblemError
from pinn.events import Callback
from pinn.footprint import Footprint, footprint
from pinn.geometry import Box, Time
from pinn.history import joined
from pinn.imposition import impose_by
from pinn.objective import check_names
from pinn.peak import measure_peak
from pinn.problem import Problem
from pinn.profile import read_profile
from pinn.recipe import Recipe, complete, share_points
from pinn.solution import Solution
from pinn.solver import train
from pinn.source import Origin, read_problem
from pinn.stopwatch import RESULTS as WRITING
from pinn.stopwatch import Stopwatch, timed
from pinn.supply import Supply

# Problems lie beside the packages, in a checkout as in an installed wheel.
LIBRARY = Path(__file__).resolve().parents[1] / "problems"
RESULTS = Path("results")

Row = tuple[str, str, bool | None]


# -- problems by name
def available_problems() -> list[tuple[str, Path, str]]:
    """Name, file and first line of every problem that comes with the distribution, by name."""
    found = []
    for path in LIBRARY.rglob("*.py"):
        if not path.name.startswith("_"):
            text = path.read_text(encoding="utf-8").lstrip()
            line = text[3:].splitlines()[0].strip('" ') if text.startswith('"""') else ""
            found.append((path.stem, path, line))
    return sorted(found)


def find_problem(name: str) -> Path:
    """The file of a problem given by name or path.  Raises FileError for one that does not exist, with the nearest names."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = {one: file for one, file, _ in available_problems()}
    if name in known:
        return known[name]
    if path.is_dir():
        raise FileError(f"{name} is a folder, not a problem", fix=f"pinn solve {path / 'problem.py'}")
    if path.suffix or len(path.parts) > 1:
        raise FileError(f"there is no file {name}", why=f"nothing is at {path.resolve()}",
                        fix="give the path of a .py file, or a name of `pinn list`")
    close = difflib.get_close_matches(name, known, 1)
    raise FileError(f"there is no problem {name!r}", why=f"the problems are {', '.join(known)}",
                    fix=f"did you mean {close[0]}?" if close else "pinn list; for your own file give its path, with .py")


def load_problem(path: str | Path, overrides: Mapping[str, str] | None = None) -> tuple[Problem, Recipe | None]:
    """The problem of a file with these parameters, and the recipe that the file names or None; see `source.read_problem`."""
    return read_problem(Path(path), overrides)


# -- solving
def solve(
    problem: Problem, recipe: Recipe | None = None, *, seconds: float | None = None, seed: int = 0, threads: int | None = None,
    out: str | Path | None = None, resume: bool = False, profile: bool = False, callbacks: Sequence[Callback] = (),
) -> Solution:  # fmt: skip
    """Solve a problem; with `out` also write its results into that folder, and with `resume` begin from what lies there.

    With `profile` the solution says where the time went (see `pinn.profile.read_profile`).
    Raises ProblemError, RecipeError, NumericsError or FileError before any training.
    """
    if not isinstance(problem, Problem):
        raise ProblemError(f"solve was given a {type(problem).__name__}", why="it solves a Problem",
                           fix="solve(problem()) if problem is the function of a problem file")
    if not problem.equations:
        raise ProblemError(f"{problem.name} has no equations", why="its file holds nothing but its fields",
                           fix="solve(problem) with the problem as it was stated")
    if out is not None:
        return solve_and_report(problem, recipe, seconds=seconds, seed=seed, threads=threads, out=Path(out), resume=resume,
                                profile=profile, callbacks=callbacks)
    stopwatch = Stopwatch() if profile else None
    problem, origin = named(problem)
    solution = train(problem, recipe, seconds=seconds, seed=seed, threads=threads, callbacks=callbacks, stopwatch=stopwatch)
    return replace(solution, gallery=write_plots, saver=save_solution, origin=origin,
                   profile=read_profile(stopwatch, solution.threads))


def named(problem: Problem, file: Path | None = None) -> tuple[Problem, Origin]:
    """A problem with a name and parameters, and what makes it again."""
    origin = Origin.of(problem, file)
    if problem.name is None:
        problem = replace(problem, name=origin.name, parameters=origin.parameters)
    return problem, origin


def solve_and_report(
    problem: Problem, recipe: Recipe | None = None, *, seconds: float | None = None, seed: int = 0, threads: int | None = None,
    out: str | Path | None = None, resume: bool = False, profile: bool = False, callbacks: Sequence[Callback] = (),
    file: Path | None = None,
) -> Solution:  # fmt: skip
    """Solve a problem and write `summary.json`, `history.csv`, `solution.npz` and pictures to `results/<problem>/<run>/`.

    The folder is tried before any training, and gets its files all at once when everything has been written.  With `resume`
    training begins from the latest run in `results/<problem>/`, or that in `out`; `file` is where the problem was read from.
    Raises as `solve`.
    """
    stopwatch = Stopwatch() if profile else None
    problem, origin = named(problem, file)
    home = RESULTS / origin.name
    before = _resumed(Path(out) if out is not None else _latest(home), problem, recipe) if resume else None
    folder = Path(out) if out is not None else _fresh(home)
    if before is not None:
        recipe = replace(recipe or Recipe(), network=before.recipe.network, impose=before.recipe.impose)
        # what an earlier run has already descended needs no first stage, and no other way
        whole = complete(recipe, problem)
        recipe = replace(recipe, stages=(whole.each[0].stages or ())[-1:], ways=None)

    def finish(solution: Solution) -> Solution:
        history = solution.history if before is None else joined(before.history, solution.history)
        return replace(solution, gallery=write_plots, saver=save_solution, folder=folder, origin=origin,
                       history=history)

    with workshop(folder) as bench:
        solution = finish(train(
            problem, recipe, seconds=seconds, seed=seed, threads=threads, callbacks=callbacks,
            start=None if before is None else before.weights,
            checkpoint=lambda so_far: write_data(finish(so_far), bench), stopwatch=stopwatch))
        with timed(stopwatch, WRITING):
            write_data(solution, bench)
            write_plots(solution, bench)
        if stopwatch is not None:  # once more: the pictures took their time, too
            solution = replace(solution, profile=read_profile(stopwatch, solution.threads))
            write_data(solution, bench)
    return solution


def write_data(solution: Solution, folder: Path) -> None:
    """`summary.json`, `history.csv` and `solution.npz` of a run.  Raises FileError."""
    save_solution(solution, folder / "solution.npz")
    solution.history.write_csv(folder / "history.csv")
    text = json.dumps(summary(solution), indent=2) + "\n"
    try:
        (folder / "summary.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"the summary cannot be written to {folder}", why=error.strerror or str(error)) from error


def summary(solution: Solution) -> dict[str, Any]:
    """What `summary.json` holds; what is no number there is null."""
    network = describe_network(solution.recipe.network)
    return _finite({
        "problem": solution.problem.name,
        "parameters": plain(solution.problem.parameters),
        "seed": solution.seed, "threads": solution.threads, "dtype": solution.recipe.dtype, "errors": solution.errors,
        "residual_rms": solution.residual_rms, "loss": solution.loss, "seconds": solution.seconds,
        "seconds_compile": solution.seconds_compile, "steps": solution.steps, "stop_reason": solution.stop_reason,
        "network": {**(network or {"kind": repr(solution.recipe.network)}), "parameters": int(solution.weights.size)},
        "points": solution.points, "versions": versions(),
        "verdict": None if solution.verdict is None else asdict(solution.verdict),
        **({} if solution.profile is None else {"profile": solution.profile})})


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder` to write into; its files move over at the end, and it is gone if anything fails.

    Raises FileError at once where nothing could be written.
    """
    made = [parent for parent in (folder.parent, *folder.parent.parents) if not parent.exists()]
    bench = folder.parent / f".{folder.name}.{secrets.token_hex(3)}.part"
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(0, "it is a file", str(folder))
        bench.mkdir(parents=True)
        if folder.exists():  # a folder that is there must take new files
            trial = folder / bench.name
            trial.touch(exist_ok=False)
            trial.unlink()
    except OSError as error:
        shutil.rmtree(bench, ignore_errors=True)
        raise FileError(f"results cannot be written to {folder}", why=error.strerror or str(error),
                        fix="give a folder you may write to: --out DIR") from error
    try:
        yield bench
        try:
            if folder.exists():
                for path in sorted(bench.iterdir()):
                    os.replace(path, folder / path.name)
            else:
                os.replace(bench, folder)
        except OSError as error:
            raise FileError(f"the results cannot be moved to {folder}", why=error.strerror or str(error),
                            fix=f"they lie in {bench}") from error
    except BaseException:
        if not (bench / "summary.json").exists():
            shutil.rmtree(bench, ignore_errors=True)
            for parent in made:
                with _quiet():
                    parent.rmdir()
        else:  # a checkpoint is worth keeping
            with _quiet():
                os.replace(bench, folder.parent / f"{folder.name}-unfinished")
        raise
    shutil.rmtree(bench, ignore_errors=True)


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except OSError:
        pass


def _fresh(home: Path) -> Path:
    """A folder for a new run, named by the time."""
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    taken = [home / (name if k == 1 else f"{name}-{k}") for k in range(1, 100)]
    return next(path for path in taken if not path.exists())


def _latest(home: Path) -> Path:
    """The latest run in the folder of a problem.  Raises FileError where there is none."""
    runs = sorted(path.parent for path in home.glob("*/solution.npz"))
    if not runs:
        raise FileError(f"there is no run to resume in {home}", fix="leave --resume out, or give the folder of a run by --out")
    return max(runs, key=lambda path: (path / "solution.npz").stat().st_mtime)


def _resumed(folder: Path, problem: Problem, recipe: Recipe | None) -> Solution:
    network = recipe.network if recipe is not None else None
    return load_solution(folder / "solution.npz", problem, network)


# -- without solving
def check(problem: Problem, recipe: Recipe | None = None) -> list[tuple[str, list[Row]]]:
    """What a problem says, with no training: sections of rows (label, text, passed or None where nothing is claimed)."""
    recipe = complete(recipe, problem).each[0]
    check_names(recipe, problem.terms)
    domain, sections = problem.domain, []
    bounds = ", ".join(f"{a:g} <= {name} <= {b:g}" for name, (a, b) in domain.bounds.items())
    if not isinstance(getattr(domain, "space", domain), Box | Time):  # it does not fill its bounds
        bounds = f"{domain!r}"
    rows: list[Row] = [("domain", bounds + (f", periodic in {', '.join(domain.periodic)}" if domain.periodic else ""), None),
                       ("unknowns", ", ".join(problem.unknowns), None)]
    rows += [("parameters", ", ".join(f"{name} = {value}" for name, value in problem.parameters.items()), None)] * bool(
        problem.parameters)
    sections.append(("problem", rows))
    sections.append(("demands", [(term.name, _demanded(term), None) for term in problem.terms]))
    supply = Supply(problem, recipe.network, impose_by(recipe.impose, problem))
    equations = tuple(residual for term in problem.terms if term.kind == "equation" for residual in term.residuals)
    sections.append(("exact by construction", _imposed(supply)))
    sections.append(("points", [_placed(term, recipe, supply) for term in problem.terms]))
    sections.append(("network", [("", line, None) for line in supply.plan(equations).splitlines()]))
    dtype = recipe.dtypes(recipe.stages[0])[0] if recipe.stages else "float64"
    sections.append(("a run", _foreseen(footprint(problem, recipe, supply), measure_peak(1, dtype, 0.1))))
    if problem.notes:
        sections.append(("notes", [("", note, None) for note in problem.notes]))
    if problem.exact is None:
        sections.append(("exact solution", [("", "none is given, so no error can be measured", None)]))
    else:
        sections.append(("exact solution, substituted", [
            (proof.term, proof.method if proof.holds is None else
             f"largest residual {proof.max:.1e}, terms of size {proof.scale:.1e}, by {proof.method}", proof.holds)
            for proof in problem.prove()]))
    return sections


def _foreseen(needed: Footprint, peak: float) -> list[Row]:
    parts = {"points": needed.points, "their columns": needed.columns, "fresh points": needed.fresh,
             "workspaces": needed.workspaces, "optimizer": needed.optimizer}
    return [("time", f"about {needed.milliseconds(peak):.3g} ms for loss and gradient on one thread: {needed.flops:.3g} "
             f"operations in products, which run at {peak / 1e9:.1f} GF/s here, now", None),
            ("memory", f"about {needed.bytes / 1e6:,.1f} MB beside Python and its libraries: "
             + ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in parts.items()), None)]


def _imposed(supply: Supply) -> list[Row]:
    imposition = supply.imposition
    rows: list[Row] = [("conditions", ", ".join(imposition.held) or "none", None)]
    if imposition.held:
        rows.append(("violation", f"at most {imposition.violation:.1e} of the size of the data, corners included", None))
    return rows + [("by penalty", note, None) for note in imposition.notes]


def _demanded(term: Any) -> str:
    return ", ".join(unknown + (f".{''.join(index)}" if index else "")
                     for unknown, indices in term.demands.items() for index in indices)


def _placed(term: Any, recipe: Recipe, supply: Supply) -> Row:
    region, terms = term.region, supply.imposition.terms
    if not any(one.name == term.name for one in terms):
        return term.name, f"{region.name}: measure {region.measure:.6g}, exact by construction", None
    region = next(one.region for one in terms if one.name == term.name)  # what is left of it
    names = tuple(one.name for one in terms if one.region == region)
    inside = any(one.kind == "equation" for one in terms if one.region == region)
    wanted = share_points(recipe.points, region, names, inside)
    count = sum(region.sample(wanted, recipe.sampling, np.random.default_rng(0)).counts.values())
    return term.name, f"{region.name}: measure {region.measure:.6g}, {count:,d} points", None


# -- finished runs
def load(path: str | Path, problem: Problem | None = None, network: Any = None) -> Solution:
    """The solution in a `solution.npz`, or in the folder of a run; see `archive.load_solution`.  Raises FileError."""
    path = Path(path)
    if path.is_dir():
        if not (path / "solution.npz").is_file():
            raise FileError(f"{path} is no folder of a run", why="it holds no solution.npz",
                            fix="give a folder like results/burgers/<run>")
        path = path / "solution.npz"
    solution = load_solution(path, problem, network)
    return replace(solution, gallery=write_plots, saver=save_solution, folder=path.parent)


def load_run(path: str | Path) -> Solution:
    """The solution of a finished run, given by its folder or its `solution.npz`.  Raises FileError."""
    return load(path)


def write_plots(solution: Solution, folder: str | Path) -> list[Path]:
    """Draw the pictures of a solution into a folder.  Raises FileError."""
    return plots.plot_solution(solution, folder)


def main(file: str) -> None:
    """`python file.py ...` as `pinn solve file.py ...`: the last line of a problem file.  Ends the process."""
    sys.argv = ["pinn", "solve", str(file), *sys.argv[1:]]
    runpy.run_module("pinn", run_name="__main__", alter_sys=True)


def _finite(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value

