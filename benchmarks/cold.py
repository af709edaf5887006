"""Seconds to the first loss and gradient of the eight workloads, with an empty cache of kernels and with a full one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import RESULTS, ROOT, cores, machine, pin, table
from peer_jetspace import Peer
from peer_problems import PROBLEMS, data

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="fresh processes for each number, at least 3")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for cold.md")
    parser.add_argument("--one", choices=list(PROBLEMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(*first_value(options.one))
        return
    if options.rounds < 3:
        parser.error("--rounds must be at least 3")
    pin(cores()[-1:])
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(options.rounds):
        for key in PROBLEMS:
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    found.setdefault((key, state), []).append(apart(key, cache))
    rows = []
    for key, problem in PROBLEMS.items():
        row = [key, problem.title]
        for state in ("cold", "warm"):
            seconds = np.array(found[key, state])
            row += [f"{np.median(seconds[:, 0]):.2f} ({seconds[:, 0].min():.2f})", f"{np.median(seconds[:, 1]):.2f}"]
        rows.append(row)
    head = ["", "problem", "cold: stated to first value", "process", "warm", "process"]
    lines = ["# First values: seconds", "", *machine(),
             f"- fresh processes on one core, {options.rounds} rounds, medians, the least in brackets; from stating the "
             "problem to its first loss and gradient, after imports; and from the start of the process", "", *table(head, rows)]
    print("\n".join(lines))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cold.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def apart(key: str, cache: str) -> list[float]:
    """Both times of a workload in a process of its own."""
    environment = {**os.environ, "JETSPACE_CACHE": cache, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--one", key], env=environment, capture_output=True, text=True, check=True)
    return [float(done.stdout.split()[-1]), time.perf_counter() - begun]


def first_value(key: str) -> list[float]:
    """Seconds from stating a problem to its first loss and gradient."""
    problem = PROBLEMS[key]
    given = data(problem, "float64")
    begun = time.perf_counter()
    peer = Peer(problem, given, "pinn", 1, "float64")
    peer.objective.loss_and_gradient(peer.theta)
    return [time.perf_counter() - begun]


if __name__ == "__main__":
    main()
