"""Loss + gradient through the door of autodiff, beside dgemm, in alternating rounds.  See README.md here for what counts."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from measuring import RESULTS, Sample, Series, alternate, cores, machine, measure, pin, repeats, spread, table
from threadpoolctl import threadpool_limits
from workloads import WORKLOADS, Workload, check

import autodiff as ad
from pinn.optimizers import Adam
from pinn.plots.style import CYCLE, GREY, INK, blank, styled, tidy

SIDE = 2000  # of the matrices of the yardstick
TOLERANCE = 1e-10
FIRST_CALL = "--first-call"


@dataclass(frozen=True)
class Case:
    """A workload ready to be timed."""

    work: Workload
    program: ad.PointProgram
    points: np.ndarray
    theta: np.ndarray

    @staticmethod
    def of(work: Workload) -> Case:
        rng = np.random.default_rng(1)
        return Case(work, work.program(), work.cloud(rng), work.theta(rng))

    def call(self, dtype: str = "float64", threads: int = 1) -> Callable[[], object]:
        weights = np.full(self.work.points, 1 / self.work.points)
        bound = self.program.bind(self.points, weights, threads, dtype)
        return partial(bound.loss_and_gradient, self.theta)


def yardstick(dtype: str) -> Callable[[], Sample]:
    """NumPy's product of two square matrices into a third, once."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=(SIDE, SIDE)).astype(dtype) for _ in range(3))
    np.matmul(a, b, out=c)
    return partial(measure, partial(np.matmul, a, b, out=c))


def milliseconds(series: Series) -> list[str]:
    """Medians, wall and CPU."""
    return [f"{1e3 * series.median(clock):.2f}" for clock in ("wall", "cpu")]


# ---- one thread against dgemm ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Speed:
    """One workload and the yardstick in the same rounds."""

    case: Case
    error: float
    ours: Series
    product: Series

    def rates(self, flops: float, clock: str) -> np.ndarray:
        """flops over our time, as a share of the yardstick's rate, round by round."""
        return self.product.ratio(self.ours, clock) * flops / (2 * SIDE**3)

    @property
    def executed(self) -> int:
        return self.case.program.gemm_flops() * self.case.work.points

    def row(self) -> list[str]:
        work = self.case.work
        wall, cpu = (spread(self.rates(work.counted_flops, clock)) for clock in ("wall", "cpu"))
        target = "" if work.target is None else f"{work.target:.2f}"
        return [
            work.title, f"{work.points:,}", *milliseconds(self.ours), f"{1e3 * self.ours.least('cpu'):.2f}",
            f"{work.counted_flops / self.ours.median('cpu') / 1e9:.1f}", wall, cpu, target,
            f"{np.median(self.rates(self.executed, 'cpu')):.2f}", f"{self.error:.0e}",
            "disturbed" if self.ours.disturbed or self.product.disturbed else "",
        ]  # fmt: skip


SPEED_HEAD = [
    "workload", "points", "ms wall", "ms CPU", "ms CPU, least", "GF/s counted", "**counted / dgemm, wall**",
    "**counted / dgemm, CPU**", "target", "executed / dgemm, CPU", "error", "",
]  # fmt: skip


def speed(case: Case, rounds: int, dtype: str, product: Callable[[], Sample], error: float) -> Speed:
    call = case.call(dtype)
    ours, other = alternate([partial(measure, call, repeats(call)), product], rounds)
    return Speed(case, error, ours, other)


# ---- threads -----------------------------------------------------------------------------------------------------------------
def threading_row(case: Case, rounds: int, threads: int, allowed: list[int]) -> list[str]:
    """One thread on one core against several on all cores, round by round."""
    pin(allowed)
    many, one = case.call(threads=threads), case.call()
    count = repeats(many, 0.05)  # the pool's threads start here, free to use every core

    def on(places: list[int], call: Callable[[], object], clock: Callable[[], float]) -> Sample:
        pin(places)
        return measure(call, count, clock)

    single, several = alternate(
        [partial(on, allowed[-1:], one, time.thread_time), partial(on, allowed, many, time.process_time)], rounds)
    pin(allowed[-1:])
    busy = several.median("cpu") / several.median("wall")
    gain = single.ratio(several, "wall")
    disturbed = single.disturbed or busy < 0.95 * threads
    return [
        case.work.title, str(threads), milliseconds(single)[0], milliseconds(several)[0], spread(gain),
        f"{np.max(gain):.2f}", f"{busy:.2f}", "disturbed" if disturbed else "",
    ]  # fmt: skip


# ---- the overhead of Python, where the kernel is short -----------------------------------------------------------------------
class Oracle:
    """The least that Adam asks for."""

    def __init__(self, bound: ad.BoundProgram, size: int):
        self.bound, self.size = bound, size

    def loss_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        terms, gradient = self.bound.loss_and_gradient(theta)
        return terms[0], gradient


def overhead(case: Case, rounds: int) -> list[str]:
    """The compiled function alone, the call from Python, and a step of Adam, in the same rounds."""
    count = case.work.points
    bound = case.program.bind(case.points, np.full(count, 1 / count))
    oracle, adam = Oracle(bound, case.theta.size), Adam(learning_rate=1e-6)
    state = adam.step(oracle, adam.init(oracle, case.theta))
    # the arguments that the public call makes, made once: only a benchmark may look in here
    inner = bound._run("loss_and_gradient")
    bare = partial(
        inner.function, 0, inner.chunks, True, inner.per, inner.packed.tiles, inner.total, inner.packed.data, case.theta,
        np.ones(1), inner.workspaces[0], inner.acc, inner.out)  # fmt: skip

    def step() -> None:
        nonlocal state
        state = adam.step(oracle, state)

    calls = [bare, partial(bound.loss_and_gradient, case.theta), step]
    kernel, call, whole = alternate([partial(measure, f, repeats(f, 0.02)) for f in calls], rounds)

    def times(series: Series) -> list[str]:
        return [f"{1e6 * series.median('wall'):.1f}", f"{1e6 * series.median('cpu'):.1f}", f"{1e6 * series.least('cpu'):.1f}"]

    ratios = [spread(whole.ratio(kernel, clock)) for clock in ("wall", "cpu")]
    return [f"compiled function alone: {' / '.join(times(kernel))} us (wall / CPU / least CPU)",
            f"`bound.loss_and_gradient(theta)`: {' / '.join(times(call))} us; the target is at most 60",
            f"one step of `Adam`: {' / '.join(times(whole))} us",
            f"step of `Adam` over the compiled function: {ratios[0]} wall, {ratios[1]} CPU; the target is at most 1.3"]


# ---- the first call, in fresh processes --------------------------------------------------------------------------------------
def first_call(key: str) -> None:
    """In a child process: seconds for the program, and for the first call."""
    case_of = {work.key: work for work in WORKLOADS}
    start = time.perf_counter()
    case = Case.of(case_of[key])
    traced = time.perf_counter()
    case.call()()
    print(json.dumps({"trace": traced - start, "first": time.perf_counter() - traced}))


def first_calls(work: Workload) -> list[str]:
    """A cold cache, then a warm one."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            start = time.perf_counter()
            command, environment = [sys.executable, __file__, FIRST_CALL, work.key], {**os.environ, "JETSPACE_CACHE": folder}
            child = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            found.append(json.loads(child.stdout) | {"process": time.perf_counter() - start})
    cold, warm = found
    return [work.title, f"{warm['trace']:.2f}", f"{cold['first']:.2f}", f"{warm['first']:.2f}", f"{cold['process']:.1f}",
            f"{warm['process']:.1f}"]  # fmt: skip


# ---- the report --------------------------------------------------------------------------------------------------------------
@styled
def chart(speeds: list[Speed]) -> object:
    """Our share of dgemm's rate, counted and executed work side by side."""
    figure = blank(9.0, 0.52 * len(speeds) + 1.6)
    axes: Axes = figure.add_subplot()
    places = np.arange(len(speeds))
    counted = [np.median(s.rates(s.case.work.counted_flops, "cpu")) for s in speeds]
    executed = [np.median(s.rates(s.executed, "cpu")) for s in speeds]
    axes.barh(places - 0.2, counted, 0.38, color=CYCLE[0], label="work of plain Taylor mode")
    axes.barh(places + 0.2, executed, 0.38, color=CYCLE[4], label="work the kernel executes")
    drawn = False
    for place, s, value in zip(places, speeds, counted, strict=True):
        target = s.case.work.target or 0.0
        # the number beside the bar, or beside the mark of the target where that would cross it
        beside = target if value < target < value + 0.07 else value
        axes.text(beside + 0.01, place - 0.2, f"{value:.2f}", va="center", fontsize=10)
        if target:
            axes.plot([target] * 2, [place - 0.42, place + 0.42], color=INK, linewidth=1.5,
                      label=None if drawn else "target")  # fmt: skip
            drawn = True
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(places, [s.case.work.title.replace("one channel for u_t - nu u_xx", "collapsed") for s in speeds])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.1, 1.08 * max(counted + executed)))
    axes.set_xlabel("rate of matrix products in loss + gradient, as a share of NumPy's dgemm (one core, float64, CPU time)")
    tidy(axes)
    axes.grid(False, axis="y")
    axes.legend(loc="lower right", fontsize=10, frameon=True, framealpha=1.0, edgecolor="white")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="alternating rounds, at least 7")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to compare")
    parser.add_argument("--only", nargs="+", choices=[work.key for work in WORKLOADS], help="these workloads alone")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for kernels.md and kernels.png")
    parser.add_argument(FIRST_CALL, metavar="KEY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first_call:
        first_call(options.first_call)
        return
    if options.rounds < 7:
        parser.error("--rounds must be at least 7: a median of fewer says nothing")
    works = [work for work in WORKLOADS if not options.only or work.key in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1, "blas"):
        report(works, options)


def report(works: list[Workload], options: argparse.Namespace) -> None:
    """Measure everything, print it as it comes, write Markdown and chart."""
    allowed = cores()
    pinned = pin(allowed[-1:])
    lines = ["# Kernels: loss + gradient on one machine", "", *machine(),
             f"- {options.rounds} alternating rounds; medians, quartiles in brackets; one-thread numbers "
             + (f"pinned to core {allowed[-1]}" if pinned else "not pinned: the system cannot")]  # fmt: skip

    def say(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)

    cases, errors = {}, {}
    for work in works:
        cases[work.key] = Case.of(work)
        errors[work.key] = check(work, cases[work.key].program, np.random.default_rng(0))
        if not errors[work.key] < TOLERANCE:
            raise SystemExit(f"{work.title}: {errors[work.key]:.1e} away from plain numpy; nothing was timed")
    product = yardstick("float64")
    say("", "## One thread, float64", "")
    say(*table(SPEED_HEAD, []))
    speeds = []
    for work in works:
        found = speed(cases[work.key], options.rounds, "float64", product, errors[work.key])
        speeds.append(found)
        say("| " + " | ".join(found.row()) + " |")
    gemm = Series(tuple(sample for found in speeds for sample in found.product.samples))
    rates = [2 * SIDE**3 / gemm.median(clock) / 1e9 for clock in ("wall", "cpu")]
    say("", f"dgemm {SIDE}^3: {rates[0]:.1f} GF/s wall, {rates[1]:.1f} GF/s CPU (medians over all rounds).")

    say("", "## One thread, float32, beside sgemm", "")
    product = yardstick("float32")
    rows = []
    for found in speeds:
        single = speed(found.case, max(7, options.rounds // 2), "float32", product, 0.0)
        counted = found.case.work.counted_flops
        rows.append([found.case.work.title, *milliseconds(single.ours),
                     f"{counted / single.ours.median('cpu') / 1e9:.1f}", spread(single.rates(counted, "cpu")),
                     f"{found.ours.median('cpu') / single.ours.median('cpu'):.2f}",
                     "disturbed" if single.ours.disturbed else ""])  # fmt: skip
    say(*table(["workload", "ms wall", "ms CPU", "GF/s counted", "counted / sgemm, CPU", "times float64", ""], rows))

    several = [n for n in options.threads if n > 1]
    if several and len(allowed) > 1:
        say("", "## Threads, float64", "")
        large = [cases[work.key] for work in works if work.points > 1000]
        rows = [threading_row(case, options.rounds, n, allowed) for n in several for case in large]
        say(*table(["workload", "threads", "ms, one", "ms", "times faster", "best round", "cores really used", ""], rows))
        pin(allowed[-1:])

    if "tiny" in cases:
        say("", "## Overhead: " + cases["tiny"].work.title + f", {cases['tiny'].work.points} points", "")
        say(*[f"- {line}" for line in overhead(cases["tiny"], options.rounds)])

    say("", "## First call, in fresh processes (seconds)", "")
    head = ["workload", "trace", "first call, cold cache", "first call, warm cache", "process, cold", "process, warm"]
    say(*table(head, [first_calls(work) for work in works]))
    (options.out / "kernels.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    chart(speeds).savefig(options.out / "kernels.png")


if __name__ == "__main__":
    matplotlib.use("agg")
    main()
