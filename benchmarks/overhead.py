"""What a step costs where there is next to nothing to compute: calls and iterations on the smallest problem.  See README.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measuring import RESULTS, machine, table
from peer_jetspace import Peer
from peer_problems import PROBLEMS, data

from pinn.optimizers import LBFGS, Adam, SSBroyden

KEY, CALLS, WARM, STEPS = "W7", 2000, 60, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="alternating rounds, at least 7")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for overhead.md")
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("--rounds must be at least 7")
    report(options)


def report(options: argparse.Namespace) -> None:
    """Measure in alternating rounds, print and write a table."""
    problem = PROBLEMS[KEY]
    peer = Peer(problem, data(problem, "float64"), "pinn", 1, "float64")
    objective, theta = peer.objective, peer.theta
    measured: dict[str, Callable[[], float]] = {
        "loss and gradient, a call from Python": lambda: seconds(lambda: objective.loss_and_gradient(theta), CALLS),
        "a copy of the weights, for comparison": lambda: seconds(theta.copy, CALLS),
    }
    for name, optimizer in (("Adam", Adam(1e-3)), ("L-BFGS", LBFGS()), ("self-scaled Broyden", SSBroyden())):
        measured[f"a whole iteration of {name}"] = partial(spent, optimizer, objective, theta)
    second = {"L-BFGS": LBFGS(), "self-scaled Broyden": SSBroyden()}
    evaluations = {name: iteration(one, objective, theta)[1] for name, one in second.items()}
    rounds = [[call() for call in measured.values()] for _ in range(options.rounds)]
    rows = []
    for name, samples in zip(measured, zip(*rounds, strict=True), strict=True):
        low, middle, high = np.percentile(np.array(samples) * 1e6, [25, 50, 75])
        rows.append([name, f"{middle:.1f} [{low:.1f}, {high:.1f}]", f"{min(samples) * 1e6:.1f}"])
    lines = ["# Overhead: microseconds on the smallest problem", "", *machine(),
             f"- {problem.title}; {options.rounds} alternating rounds, {CALLS} calls or "
             f"{STEPS} iterations each, after {WARM} iterations; medians, quartiles in brackets; CPU time of the thread",
             "- evaluations of loss and gradient for each iteration: "
             + ", ".join(f"{name} {count:.2f}" for name, count in evaluations.items()), "",
             *table(["what", "median", "least"], rows)]  # fmt: skip
    print("\n".join(lines))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "overhead.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def seconds(call: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, over so many."""
    call()
    begun = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - begun) / times


def spent(optimizer, objective, theta) -> float:  # type: ignore[no-untyped-def]
    """CPU seconds of one iteration."""
    return iteration(optimizer, objective, theta)[0]


def iteration(optimizer, objective, theta) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """CPU seconds and evaluations of one iteration, after the first ones."""
    state = optimizer.init(objective, theta)
    for _ in range(WARM):
        state = optimizer.step(objective, state)
    first, begun, steps = state.evaluations, time.thread_time(), 0
    while steps < STEPS and state.stop is None:
        state = optimizer.step(objective, state)
        steps += 1
    return (time.thread_time() - begun) / max(steps, 1), (state.evaluations - first) / max(steps, 1)


if __name__ == "__main__":
    main()
