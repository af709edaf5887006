"""Seconds from a cold process to an error, beside DeepXDE and JAX by hand, on four problems.  See README.md here."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from measuring import RESULTS, ROOT, cores, machine, table
from race import BOUNDS

from pinn.plots.style import CYCLE, INK, blank, styled, tidy
from pinn.run import find_problem, load_problem
from pinn.solution import dense_points, evaluate_exact

HERE = Path(__file__).parent
LEVELS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10)
SHOWN = (1e-2, 1e-3, 1e-4, 1e-6)
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_TOP_PAD_": str(2**28), "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Contestant:
    """A script, its further argument, and the package it needs."""

    title: str
    script: str
    package: str
    argument: str = ""


CONTESTANTS = (
    Contestant("jetspace", "race_jetspace.py", "pinn"),
    Contestant("JAX, SSBroyden", "race_jax.py", "optax", "ssbroyden"),
    Contestant("JAX, L-BFGS", "race_jax.py", "optax", "lbfgs"),
    Contestant("DeepXDE", "race_deepxde.py", "deepxde"),
)
OURS, DEEPXDE, SAME = "jetspace", "DeepXDE", "JAX, SSBroyden"


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """This process and its children on the last `threads` cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores()[-threads:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(contestant: Contestant, problem: str, seconds: float, seed: int, threads: int) -> dict[str, Any]:
    """One contestant on one problem in a fresh process with empty caches of compiled code."""
    with tempfile.TemporaryDirectory() as folder, pinned(threads):
        out = Path(folder) / "found.json"
        count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        caches = {name: str(Path(folder, name)) for name in ("JETSPACE_CACHE", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")}
        environment = {**os.environ, **MALLOC, **count, **caches, "JAX_PLATFORMS": "cpu", "DDE_BACKEND": "pytorch",
                       "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}  # fmt: skip
        grid = Path(folder) / "grid.npz"
        points, exact = reference(problem)
        np.savez(grid, points=points, **exact)
        order = {"problem": problem, "seconds": seconds, "seed": seed, "threads": threads, "out": str(out), "grid": str(grid)}
        log = Path(folder) / "log"
        with log.open("w") as talk:
            begun = time.time()
            command = [sys.executable, str(HERE / contestant.script), json.dumps(order | {"begun": begun}), contestant.argument]
            code = subprocess.run(command, env=environment, stdout=talk, stderr=talk, check=False).returncode
        if code or not out.exists():
            return {"problem": problem, "seconds": [], "errors": [], "ended": time.time() - begun,
                    "reason": "failed: " + (log.read_text().strip().splitlines() or ["no word"])[-1][:200]}  # fmt: skip
        return json.loads(out.read_text())


def reference(problem: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The dense grid of `pinn` `(n, 2)` and the exact fields there, from the problem file itself."""
    stated, _ = load_problem(find_problem(problem))
    points = dense_points(stated)
    exact = evaluate_exact(stated, points)
    assert exact is not None
    return points, exact


def first(found: dict[str, Any], level: float) -> float | None:
    """The second at which the error first was below a level."""
    return next((t for t, error in zip(found["seconds"], found["errors"], strict=True) if error < level), None)


def cell(found: dict[str, Any], level: float, budget: float) -> str:
    t = first(found, level)
    if t is not None:
        return f"{t:.1f}"
    if found["reason"] == "time" or found["ended"] >= 0.98 * budget:
        return f"not in {budget:.0f}"
    return "never"


def ratio(ours: dict[str, Any], theirs: dict[str, Any], level: float, budget: float) -> str:
    mine, other = first(ours, level), first(theirs, level)
    if mine is None:
        return "-" if other is None else "behind"
    if other is not None:
        return f"{other / mine:.1f}"
    return "never arrives" if theirs["ended"] < 0.98 * budget else f"> {budget / mine:.0f}"


def asked(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The options that made the runs: budgets may differ, and runs are collected over several calls."""
    problems: dict[tuple[str, float, int, int], list[str]] = {}
    for row in rows:
        problems.setdefault((row["contestant"], row["budget"], row["threads"], row["seed"]), []).append(row["problem"])
    return [f"run: `--contestants \"{title}\" --seconds {budget:g} --threads {threads} --seeds {seed} --only {' '.join(which)}`"
            for (title, budget, threads, seed), which in problems.items()]


def report(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """The table and the picture of all runs that are there."""
    titles = [c.title for c in CONTESTANTS if any(row["contestant"] == c.title for row in rows)]
    lines = ["# Seconds to an error, from a cold process", ""]
    lines += machine()
    lines += [f"- {how}" for how in asked(rows)]
    lines += ["- everything counts: interpreter, imports, compiling with empty caches; relative L2 on a dense grid,",
              "  worst field; errors are evaluated afterwards, from snapshots of the parameters",
              "- one thread: seconds of the processor, which other work on the machine does not move; more threads: wall time",
              ""]
    head = ["problem", "seed", "contestant", *(f"{level:.0e}" for level in LEVELS), "least error", "ended after", "because"]
    body = []
    for row in sorted(rows, key=lambda r: (list(BOUNDS).index(r["problem"]), r["seed"], titles.index(r["contestant"]))):
        least = min(row["errors"], default=float("nan"))
        body.append([row["problem"], str(row["seed"]), row["contestant"],
                     *(cell(row, level, row["budget"]) for level in LEVELS), f"{least:.1e}", f"{row['ended']:.0f}",
                     row["reason"]])  # fmt: skip
    lines += table(head, body)
    lines += ["", "## Their seconds over ours", ""]
    ratios = []
    keys = {(row["problem"], row["seed"]) for row in rows}
    for problem, seed in sorted(keys, key=lambda key: (list(BOUNDS).index(key[0]), key[1])):
        by = {row["contestant"]: row for row in rows if (row["problem"], row["seed"]) == (problem, seed)}
        if OURS not in by:
            continue
        for title in titles:
            if title in by and title != OURS:
                ratios.append([problem, str(seed), title,
                               *(ratio(by[OURS], by[title], level, by[title]["budget"]) for level in SHOWN)])  # fmt: skip
    lines += table(["problem", "seed", "contestant", *(f"to {level:.0e}" for level in SHOWN)], ratios)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "time_to_accuracy.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture(rows, titles).savefig(options.out / "time_to_accuracy.png")


@styled
def picture(rows: Sequence[dict[str, Any]], titles: Sequence[str]) -> matplotlib.figure.Figure:
    """Least error so far against seconds, a panel a problem."""
    figure = blank(9.6, 7.2)
    for axes, problem in zip(figure.subplots(2, 2).ravel(), BOUNDS, strict=True):
        for row in rows:
            if row["problem"] == problem and row["errors"]:
                colour = INK if row["contestant"] == OURS else CYCLE[titles.index(row["contestant"]) % len(CYCLE)]
                axes.plot(row["seconds"], np.minimum.accumulate(row["errors"]), color=colour, linewidth=1.6,
                          label=row["contestant"])  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(problem, loc="left")
        axes.set_xlabel("seconds from the start of the process")
        axes.set_ylabel("relative $L_2$ error")
        tidy(axes)
    handles = {handle.get_label(): handle for axes in figure.axes for handle in axes.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(BOUNDS), default=list(BOUNDS), help="these problems alone")
    parser.add_argument("--contestants", nargs="+", choices=[c.title for c in CONTESTANTS], help="these contestants alone")
    parser.add_argument("--seconds", type=float, default=300.0, help="the budget of everybody, from the start of the process")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=len(cores()), help="threads of every contestant, on as many cores")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table, the picture and the runs (JSON lines)")
    parser.add_argument("--report", action="store_true", help="no runs: write the table of those that are there")
    options = parser.parse_args()
    store = options.out / "time_to_accuracy.jsonl"
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    done = {(row["problem"], row["contestant"], row["seed"], row["budget"], row["threads"]) for row in rows}
    for problem in options.only if not options.report else ():
        for seed in options.seeds:
            for contestant in CONTESTANTS:
                key = (problem, contestant.title, seed, options.seconds, options.threads)
                wanted = options.contestants is None or contestant.title in options.contestants
                if not wanted or key in done or importlib.util.find_spec(contestant.package) is None:
                    continue
                found = run(contestant, problem, options.seconds, seed, options.threads)
                found |= {"contestant": contestant.title, "seed": seed, "budget": options.seconds, "threads": options.threads}
                rows.append(found)
                options.out.mkdir(parents=True, exist_ok=True)
                with store.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                levels = ", ".join(f"{level:.0e}: {cell(found, level, options.seconds)}" for level in SHOWN)
                print(f"{problem} {contestant.title} seed {seed}: {levels}; {found['reason']}", flush=True)
    report(rows, options)


if __name__ == "__main__":
    matplotlib.use("agg")
    main()
