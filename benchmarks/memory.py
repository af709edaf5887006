"""Peak memory and time of Adam by the number of collocation points, each in a process of its own.  See README.md here."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measuring import RESULTS, machine, table

from pinn import MLP, Adam, Box, Dirichlet, Initial, Problem, Recipe, Stage, Time, solve
from pinn.adaptive import Adaptive
from pinn.events import Compiled, Event, StageEnded
from pinn.footprint import footprint
from pinn.recipe import complete
from pinn.supply import Supply

COUNTS = (10_000, 100_000, 1_000_000)
WORK = 10_000_000  # points times iterations
LIMIT = 1.5e9      # bytes beyond the points themselves
FEW = 100          # points, of the process that shows what Python, libraries and compiler take
WORKER = "--worker"
WAYS = {"same": "the same points", "fresh": "fresh points every third of the way"}


def problem() -> Problem:
    """Burgers' equation, in the box of Raissi, Perdikaris & Karniadakis 2019."""
    def burgers(u):
        return u.t + u * u.x - 0.01 / np.pi * u.xx

    return Problem("u", Box(x=(-1, 1)) * Time(t=(0, 1)), [burgers], [Initial(u=lambda x: -np.sin(np.pi * x)), Dirichlet(u=0)])


def recipe(points: int, way: str) -> Recipe:
    """Adam over so many points, for the same number of evaluated points whatever their number."""
    iterations = min(max(20, WORK // points), 1000)
    return Recipe(network=MLP(width=20, depth=4), points=points, stages=[Stage(Adam(1e-3), iterations=iterations)],
                  resample=Adaptive(every=max(1, iterations // 3)) if way == "fresh" else False)


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def worker(points: int, way: str) -> None:
    """In a child process: train, and tell peak and time as JSON."""
    marks: list[tuple[float, float]] = []

    def watch(event: Event) -> None:
        if isinstance(event, (Compiled, StageEnded)):
            marks.append((time.process_time(), time.perf_counter()))

    solution = solve(problem(), recipe(points, way), threads=1, callbacks=[watch])
    (cpu, wall), (cpu_end, wall_end) = marks
    each = (solution.steps + 1) * sum(solution.points.values())  # Adam evaluates once at the start
    held = sum(count * (2 + 1) * 8 for count in solution.points.values())  # coordinates and a weight
    print(json.dumps({"peak": peak(), "held": held, "cpu": (cpu_end - cpu) / each * 1e9,
                      "wall": (wall_end - wall) / each * 1e9, "steps": solution.steps}))


def run(points: int, way: str) -> dict[str, float]:
    """One measurement, in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), WORKER, str(points), way]
    child = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(child.stdout)


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=COUNTS, help="numbers of points of the interior")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for memory.md")
    parser.add_argument(WORKER, nargs=2, metavar=("POINTS", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(int(options.worker[0]), options.worker[1])
        return
    stated, rows, worst = problem(), [], 0.0
    base = run(FEW, "same")["peak"]
    for way, told in WAYS.items():
        for points in options.points:
            found, asked = run(points, way), complete(recipe(points, way), stated)
            beyond = found["peak"] - found["held"]
            worst = max(worst, beyond)
            said = footprint(stated, asked, Supply(stated, asked.network)).bytes
            rows.append([f"{points:,d}", told, megabytes(found["held"]), megabytes(found["peak"]),
                         megabytes(beyond), megabytes(base + said), f"{found['cpu']:.0f}", f"{found['wall']:.0f}"])
            print(rows[-1], flush=True)
    head = ["points inside", "trained on", "points themselves, MB", "peak, MB",
            "peak beyond the points, MB", "foreseen by `pinn check`, with the base, MB",
            "ns CPU a point and evaluation", "ns wall"]  # fmt: skip
    lines = ["# Memory: Adam over many points, one thread, float64", "", *machine(),
             f"- Burgers, 2-[20]x4-1; peak resident memory of a fresh process that imports, compiles, trains and measures its "
             f"result; with {FEW} points it is {megabytes(base)} MB",
             "", *table(head, rows), "",
             f"The most beyond the points themselves is {worst / 1e9:.2f} GB; the limit is {LIMIT / 1e9} GB."]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if worst > LIMIT:
        raise SystemExit(f"{worst / 1e9:.2f} GB beyond the points are more than {LIMIT / 1e9} GB")


if __name__ == "__main__":
    main()
