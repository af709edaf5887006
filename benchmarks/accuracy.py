"""The default recipe on every problem that ships: errors, and the seconds it took to reach them.

    $ python benchmarks/accuracy.py                     # all problems, seeds 0 and 1, 60 s of training each
    $ python benchmarks/accuracy.py burgers heat_1d --seconds 30 --seeds 0

Nothing is set but the time: each problem is solved as `pinn solve NAME --seed N` would.  Errors are relative L2 on a fresh
dense grid against the analytic solution; times to an error are seconds of training, read from the history (errors are watched
every two seconds or so, so they are upper bounds).  The table goes to results/accuracy/.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
from pathlib import Path

import numba
import numpy as np
import scipy

import pinn
from pinn.history import History
from pinn.run import available_problems, load_problem

MARKS = (1e-2, 1e-3, 1e-4, 1e-5)
FOLDER = Path(__file__).resolve().parent.parent / "results" / "accuracy"


def first_below(history: History, mark: float) -> str:
    """Seconds of training until every unknown's error was below `mark`."""
    worst = np.max([np.where(np.isnan(e), np.inf, e) for e in history.errors.values()], axis=0)
    below = np.flatnonzero(worst < mark)
    return f"{history.seconds[below[0]]:.0f}" if below.size else "-"


def row(name: str, path: Path, seed: int, seconds: float) -> str:
    """One run as a line of the table."""
    problem, recipe = load_problem(path, {})
    solution = pinn.solve(problem, recipe, seconds=seconds, seed=seed)
    errors = ", ".join(f"{u} {e['relative_l2']:.1e}" for u, e in solution.errors.items())
    largest = max(e["max"] for e in solution.errors.values())
    reached = " | ".join(first_below(solution.history, mark) for mark in MARKS)
    points = sum(solution.points.values())
    training = solution.history.seconds[-1]
    return (f"| {name} | {seed} | {errors} | {largest:.1e} | {reached} | {training:.0f} | {solution.seconds_compile:.1f} | "
            f"{solution.theta.size} | {points} | {solution.steps} | {solution.stop_reason} |")


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    known = {name: path for name, path, _ in available_problems()}
    names = options.problems or list(known)
    marks = " | ".join(f"s to {mark:.0e}" for mark in MARKS)
    lines = [
        "# The default recipe, problem by problem", "",
        f"`python benchmarks/accuracy.py {' '.join(sys.argv[1:])}`".replace(" `", "`"), "",
        f"{datetime.date.today()}, {processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, Numba {numba.__version__}, "
        f"jetspace {pinn.__version__}. At most {options.seconds:g} s of training, float64, nothing set per problem.", "",
        f"| problem | seed | relative L2 | max error | {marks} | s training | s compile | parameters | points | steps "
        "| stopped |",
        "|" + "---|" * (10 + len(MARKS)),
    ]  # fmt: skip
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        for seed in options.seeds:
            lines.append(row(name, known[name], seed, options.seconds))
            print(lines[-1], flush=True)
            (FOLDER / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
