"""What an operation on our arrays costs beyond numpy's own, and a small training step beside autograd and PyTorch eager."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, Sample, Series, alternate, cores, machine, measure, pin, repeats, spread, table
from steps import PEERS, Task, by_hand, distance, ours, torch
from threadpoolctl import threadpool_limits

import autodiff as ad

TOLERANCE = 1e-12
RECORDED = 200  # operations inside one tape
OUTSIDE, INSIDE = 1.0, 6.0  # the targets, in microseconds

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "`a + b`": lambda a, b: a + b,
    "`a * b`": lambda a, b: a * b,
    "`np.multiply(a, b)`": lambda a, b: np.multiply(a, b),
    "`np.tanh(a)`": lambda a, b: np.tanh(a),
    "`np.sum(a)`": lambda a, b: np.sum(a),
    "`np.sum(a, axis=0)`": lambda a, b: np.sum(a, axis=0),
    "`a.sum()`": lambda a, b: a.sum(),
    "`a @ b`": lambda a, b: a @ b,
    "`a[1:3]`": lambda a, b: a[1:3],
    "`a[1]`": lambda a, b: a[1],
}


# ---- one operation -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Overhead:
    """One operation on plain ndarrays and on ours, in the same rounds: outside of a tape, recorded, and with the way back."""

    label: str
    plain: Series
    outside: Series
    recorded: Series
    back: Series

    def beyond(self, series: Series) -> np.ndarray:
        """Microseconds of CPU time beyond numpy's own, round by round."""
        return np.array([1e6 * (a.cpu - b.cpu) for a, b in zip(series.samples, self.plain.samples, strict=True)])

    def row(self) -> list[str]:
        return [self.label, f"{1e6 * self.plain.median('cpu'):.2f}", spread(self.beyond(self.outside)),
                spread(self.beyond(self.recorded)), spread(self.beyond(self.back))]  # fmt: skip


OVERHEAD_HEAD = ["operation", "numpy, us", f"outside of a tape, us beyond (target {OUTSIDE:g})",
                 f"recorded, us beyond (target {INSIDE:g})", "recorded and pulled back, us beyond"]  # fmt: skip


def overhead(label: str, operation: Callable[[Any, Any], Any], rounds: int) -> Overhead:
    """Arrays of 4 x 4, so that numpy's own time is all overhead too."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 4))
    x, y = ad.constant(a), ad.constant(b)

    def record(operation: Callable[[Any, Any], Any], back: bool, times: int = RECORDED) -> None:
        with ad.GradientTape() as tape:
            tape.watch([x, y])
            results = [operation(x, y) for _ in range(times)]
        if back:
            tape.gradient(results, [x, y], unconnected_gradients="zero")

    def inside(back: bool) -> Sample:
        whole = measure(partial(record, operation, back), 5)
        empty = measure(partial(record, operation, back, 1), 5)  # the tape itself is no operation
        return Sample((whole.wall - empty.wall) / (RECORDED - 1), (whole.cpu - empty.cpu) / (RECORDED - 1))

    on_numpy, on_ours = partial(operation, a, b), partial(operation, x, y)
    record(operation, True)
    calls = [partial(measure, on_numpy, repeats(on_numpy, 0.005)), partial(measure, on_ours, repeats(on_ours, 0.005)),
             partial(inside, False), partial(inside, True)]  # fmt: skip
    return Overhead(label, *alternate(calls, rounds))


def plain_inside(rounds: int) -> str:
    """The same addition of plain ndarrays in an active tape and outside: nothing of numpy is replaced, so nothing can cost."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 4))
    add = partial(np.add, a, b)
    count = repeats(add, 0.01)

    def watched() -> Sample:
        with ad.GradientTape():
            return measure(add, count)

    inside, outside = alternate([watched, partial(measure, add, count)], rounds)
    return spread(inside.ratio(outside, "cpu"))


# ---- a training step ---------------------------------------------------------------------------------------------------------
def tasks() -> list[Task]:
    rng = np.random.default_rng(1)
    return [Task.of((2, 32, 32, 1), 64, False, rng), Task.of((64, 32, 10), 128, True, rng)]


def race(task: Task, rounds: int) -> list[list[str]]:
    """Loss and gradients of one task in every library that is here; raises SystemExit if two of them disagree."""
    runners = {"numpy by hand": by_hand(task), "our tape": ours(task)}
    runners |= {name: write(task) for name, (module, write) in PEERS.items() if module is not None}
    expected = runners["numpy by hand"]()
    errors = {name: distance(step(), expected) for name, step in runners.items()}
    for name, error in errors.items():
        if not error < TOLERANCE:
            raise SystemExit(f"{task.title}: {name} is {error:.1e} away from numpy by hand; nothing was timed")
    found = alternate([partial(measure, step, repeats(step)) for step in runners.values()], rounds)
    series = dict(zip(runners, found, strict=True))
    mine, hand = series["our tape"], series["numpy by hand"]
    return [
        [task.title, name, f"{1e6 * s.median('wall'):.0f}", f"{1e6 * s.least('wall'):.0f}", f"{1e6 * s.median('cpu'):.0f}",
         spread(s.ratio(hand, "cpu")), spread(mine.ratio(s, "wall")), spread(mine.ratio(s, "cpu")), f"{errors[name]:.0e}",
         "disturbed" if s.disturbed or mine.disturbed else ""]
        for name, s in series.items()
    ]  # fmt: skip


RACE_HEAD = ["step", "by", "us wall", "us wall, least", "us CPU", "times numpy by hand, CPU", "**ours / this, wall**",
             "**ours / this, CPU**", "error", ""]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="alternating rounds, at least 7")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for eager.md")
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("--rounds must be at least 7: a median of fewer says nothing")
    if torch is not None:
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
    options.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1, "blas"):
        report(options)


def versions() -> str:
    names = [module.__name__ for module, _ in PEERS.values() if module is not None]
    missing = [name for name, (module, _) in PEERS.items() if module is None]
    told = [f"{name} {importlib.metadata.version(name)}" for name in names] + [f"{name} is not installed" for name in missing]
    return ", ".join(told)


def report(options: argparse.Namespace) -> None:
    """Measure everything, print it as it comes, write Markdown."""
    allowed = cores()
    pinned = pin(allowed[-1:])
    lines = ["# Eager: what a tape costs", "", *machine(), f"- beside it: {versions()}",
             f"- {options.rounds} alternating rounds; medians, quartiles in brackets; one thread, "
             + (f"pinned to core {allowed[-1]}" if pinned else "not pinned: the system cannot")]  # fmt: skip

    def say(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)

    print("\n".join(lines))
    say("", "## One operation on 4 x 4 arrays, CPU time", "", *table(OVERHEAD_HEAD, []))
    for label, operation in OPERATIONS.items():
        say("| " + " | ".join(overhead(label, operation, options.rounds).row()) + " |")
    say("", f"Plain ndarrays inside an active tape, over the same outside: {plain_inside(options.rounds)} (target 1).")
    say("", "## Loss and gradient of a small network", "")
    say(*table(RACE_HEAD, [row for task in tasks() for row in race(task, options.rounds)]))
    (options.out / "eager.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
