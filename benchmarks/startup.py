"""How long people wait: imports, the help page, and the first training step after pressing enter, in fresh processes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measuring import DISTURBED, RESULTS, ROOT, Sample, machine, table

FIRST_STEP = str(Path(__file__).with_name("first_step.py"))


def run(arguments: list[str], environment: dict[str, str]) -> str:
    """One child process, from the root of the checkout; its output, or its error raised."""
    command, variables = [sys.executable, *arguments], {**os.environ, **environment}
    child = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"python {' '.join(arguments)} failed:\n{child.stderr}")
    return child.stdout


def whole(arguments: list[str], environment: dict[str, str]) -> Sample:
    """From start to end of a process: wall time, and CPU time of all its threads."""
    before, start = os.times(), time.perf_counter()
    run(arguments, environment)
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Sample(wall, used)


def until_first_step(problem: str, environment: dict[str, str]) -> Sample:
    """From the start of `pinn solve` to the end of its first training step."""
    start = time.time()
    with tempfile.TemporaryDirectory() as out:
        *_, found, used = run([FIRST_STEP, problem, str(Path(out, "run"))], environment).split()
    return Sample(float(found) - start, float(used))


def cold(measured: Callable[[dict[str, str]], Sample]) -> Sample:
    """With no compiled kernel on disk, neither ours nor of the optimizers."""
    with tempfile.TemporaryDirectory() as folder:
        return measured({"JETSPACE_CACHE": folder, "NUMBA_CACHE_DIR": folder})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes for each number, at least 5")
    parser.add_argument("--problem", default="burgers", help="the problem that is solved up to its first step")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for startup.md")
    options = parser.parse_args()
    if options.repeats < 5:
        parser.error("--repeats must be at least 5")
    report(options)


def report(options: argparse.Namespace) -> None:
    """Measure in alternating rounds, print and write a table."""
    step = partial(until_first_step, options.problem)
    with tempfile.TemporaryDirectory() as folder:
        warm = {"JETSPACE_CACHE": folder, "NUMBA_CACHE_DIR": folder}
        measured: list[tuple[str, str, Callable[[], Sample]]] = [
            ("`python -c pass`", "", partial(whole, ["-c", "pass"], {})),
            ("`import autodiff`", "", partial(whole, ["-c", "import autodiff"], {})),
            ("`import pinn`", "1.5", partial(whole, ["-c", "import pinn"], {})),
            ("`pinn --help`", "", partial(whole, ["-m", "pinn", "--help"], {})),
            (f"`pinn solve {options.problem}` to its first step, warm cache", "2.5", partial(step, warm)),
            (f"`pinn solve {options.problem}` to its first step, cold cache", "10", partial(cold, step)),
        ]
        for _, _, call in measured[:5]:  # files read once, kernels compiled once
            call()
        rounds = [[call() for _, _, call in measured] for _ in range(options.repeats)]
    rows = []
    for (label, target, _), samples in zip(measured, zip(*rounds, strict=True), strict=True):
        walls, cpus = [s.wall for s in samples], [s.cpu for s in samples]
        disturbed = np.median(walls) > DISTURBED * np.median(cpus)
        rows.append([label, f"{np.median(walls):.2f}", f"{min(walls):.2f}", f"{np.median(cpus):.2f}", target,
                     "disturbed" if disturbed else ""])  # fmt: skip
    lines = ["# Start: seconds from pressing enter", "", *machine(),
             f"- {options.repeats} alternating rounds of fresh processes; CPU time is that of all threads of the child", "",
             *table(["what", "wall, median", "wall, least", "CPU, median", "target", ""], rows)]  # fmt: skip
    print("\n".join(lines))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "startup.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
