"""The accuracy of recipes on the problems that come along: every problem and seed in a process of its own, resumable."""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pinn import plots
from pinn.march import SLAB
from pinn.run import available_problems, find_problem

MARKS = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
KEPT = ("summary.json", "history.csv")
# relative L2 as published (best found, by whatever means and machine), and where we want to be
TARGETS: dict[str, tuple[str, float]] = {
    "burgers": ("8.3e-9", 3e-7), "poisson_2d": ("1.2e-7", 1e-13), "poisson_5d_cosines": ("3.5e-8", 1e-8),
    "heat_1d": ("2.8e-8", 1e-13),
    "wave_1d": ("1.2e-15", 1e-8), "convection": ("5.4e-6", 1e-9), "reaction": ("2.9e-5", 1e-9), "helmholtz_2d": ("-", 1e-11),
    "klein_gordon": ("-", 1e-6), "sine_gordon": ("-", 1e-8), "kdv_two_solitons": ("2.2e-6", 1e-6),
    "schrodinger": ("2e-3", 1e-6),
    "allen_cahn_front": ("-", 1e-10), "fisher_kpp": ("-", 1e-10), "kovasznay": ("-", 1e-10), "taylor_green": ("-", 1e-7),
    "biharmonic": ("-", 1e-11), "elasticity_plate": ("-", 1e-9), "fokker_planck": ("-", 1e-8), "hjb_10d": ("-", 1e-5),
    "heat_multiscale": ("1.4e-2", 1e-5), "poisson_5d": ("1.3e-4", 1e-8), "heat_5d_ball": ("1.2e-4", 1e-6),
    "lid_cavity": ("1.1e-4", 3e-3), "allen_cahn": ("9.4e-7", 1e-4),
}  # fmt: skip


def bench(names: Sequence[str], seconds: float, seeds: Sequence[int], threads: int, folder: Path,
          tell: Callable[[str], Any]) -> Path:  # fmt: skip
    """Solve every problem with every seed for so many seconds, as `pinn solve` would; what is there already is not run again.

    `runs/` gets the summary and the history of each, runs.json all summaries, README.md the table, and each problem a picture
    of errors against seconds.  Raises FileError for names that are no problems.
    """
    known = names or [name for name, _, _ in available_problems()]
    for name in known:
        find_problem(name)
    rows: list[dict[str, Any]] = []
    for name in known:
        for seed in seeds:
            place = folder / "runs" / f"{Path(name).stem}-{seconds:g}s-seed{seed}-threads{threads}"
            if not (place / "summary.json").exists():
                solve_apart(name, seconds, seed, threads, place)
            rows.append(read_run(Path(name).stem, seed, place))
            tell(told(rows[-1]))
        write_table(rows, seconds, threads, folder)
        summaries = [{"problem": row["problem"], "seed": row["seed"], **row["summary"]} for row in rows]
        (folder / "runs.json").write_text(json.dumps(summaries, indent=0) + "\n", encoding="utf-8")
        runs = {row["seed"]: row["history"] for row in rows if row["problem"] == Path(name).stem}
        plots.figure_race(runs, Path(name).stem).savefig(folder / f"{Path(name).stem}.png")
    return folder / "README.md"


def solve_apart(name: str, seconds: float, seed: int, threads: int, place: Path) -> None:
    """One run in a process of its own; of its results the numbers are kept."""
    command = [sys.executable, "-m", "pinn", "solve", name, "--seconds", str(seconds), "--seed", str(seed),
               "--threads", str(threads), "--out", str(place), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        place.mkdir(parents=True, exist_ok=True)
        why = (done.stderr.strip().splitlines() or ["no word"])[-1]
        (place / "summary.json").write_text(json.dumps({"failed": why}), encoding="utf-8")
        return
    for path in place.iterdir():
        if path.name not in KEPT:
            path.unlink() if path.is_file() else shutil.rmtree(path)


def read_run(problem: str, seed: int, place: Path) -> dict[str, Any]:
    """A run as it was written: its summary, and the greatest error of any unknown against seconds.

    Errors of single slabs are left out: they say nothing of the whole, whose error comes last.
    """
    summary = json.loads((place / "summary.json").read_text(encoding="utf-8"))
    history: list[tuple[float, float]] = []
    if (place / "history.csv").exists():
        with (place / "history.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if SLAB.match(line.get("stage", "")):
                    continue
                errors = [float(value) for name, value in line.items()
                          if name.startswith("error:") and value not in ("", "nan")]
                if errors:
                    history.append((float(line["seconds"]), max(errors)))
    found = {"problem": problem, "seed": seed, "summary": summary, "history": history}
    last = worst(found)
    if math.isfinite(last):
        history.append((max(summary["seconds"] - summary["seconds_compile"], history[-1][0] if history else 0.0), last))
    return found


def worst(row: dict[str, Any]) -> float:
    """The greatest relative L2 error of any unknown."""
    errors = row["summary"].get("errors") or {}
    return max((one["relative_l2"] for one in errors.values() if one["relative_l2"] is not None), default=math.nan)


def told(row: dict[str, Any]) -> str:
    """A run in one line."""
    summary = row["summary"]
    if "failed" in summary:
        return f"{row['problem']} seed {row['seed']}: {summary['failed']}"
    verdict = (summary.get("verdict") or {}).get("word", "-")
    return (f"{row['problem']} seed {row['seed']}: {worst(row):.1e}, {verdict}, {summary['seconds']:.0f} s, "
            f"{summary['stop_reason']}")


def write_table(rows: Sequence[dict[str, Any]], seconds: float, threads: int, folder: Path) -> None:
    """README.md: one line a run, with the machine that made them."""
    head = ["problem", "seed", "worst relative L2", "target", "published", "verdict", "estimate", "true / estimate",
            *(f"s to {mark:.0e}" for mark in MARKS), "s in all", "s compile", "parameters", "points", "steps",
            "stopped because"]
    lines = ["# The default recipe, problem by problem", "",
             f"`pinn bench accuracy --seconds {seconds:g} --threads {threads}`: relative L2 on a dense grid against the "
             "analytic solution, or a numerical reference where there is none; nothing set per problem; seconds of training; "
             "the verdict is given without the solution.", "",
             f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; "
             + ", ".join(f"{name} {version}" for name, version in next(
                 (row["summary"]["versions"] for row in rows if "versions" in row["summary"]), {}).items()) + ".", "",
             "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]  # fmt: skip
    for row in rows:
        summary = row["summary"]
        published, target = TARGETS.get(row["problem"], ("-", math.nan))
        if "failed" in summary:
            lines.append(f"| {row['problem']} | {row['seed']} | {summary['failed']} |" + " |" * (len(head) - 3))
            continue
        error, verdict = worst(row), summary.get("verdict") or {}
        estimate = max((value for value in verdict.get("estimate", {}).values() if value is not None), default=math.nan)
        reached = [next((f"{t:.0f}" for t, e in row["history"] if e < mark), "-") for mark in MARKS]
        met = "" if math.isnan(target) else f"{target:.0e} {'met' if error <= target else '**missed**'}"
        lines.append("| " + " | ".join([
            row["problem"], str(row["seed"]), f"{error:.1e}", met, published, verdict.get("word", "-"), f"{estimate:.1e}",
            f"{error / estimate:.2g}" if estimate else "-", *reached, f"{summary['seconds']:.0f}",
            f"{summary['seconds_compile']:.1f}", str(summary["network"]["parameters"]), str(sum(summary["points"].values())),
            str(summary["steps"]), summary["stop_reason"]]) + " |")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
