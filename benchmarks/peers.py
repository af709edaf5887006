"""Loss + gradient beside JAX, PyTorch and DeepXDE on eight problems, in alternating rounds.  See README.md here."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import peer_floor
from matplotlib.axes import Axes
from measuring import RESULTS, ROOT, Sample, Series, alternate, cores, machine, pin, spread, table
from peer_problems import PROBLEMS, Problem

from pinn.plots.style import CYCLE, GREY, blank, styled, tidy

WORKER = str(Path(__file__).with_name("peer_worker.py"))
TOLERANCE, LIKE_FLOAT64 = {"float64": 1e-10, "float32": 2e-3}, 1e-11
# Freed pages are kept and large: without this JAX and PyTorch return big temporaries to the kernel at every call and take the
# page faults again (up to twice the time), which is glibc's doing, not theirs.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_TOP_PAD_": str(2**28),
          "MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # fmt: skip


@dataclass(frozen=True)
class Library:
    """What one worker process serves: a module, its formulations in the standard run, and those of `--all`."""

    title: str
    module: str
    formulations: tuple[str, ...]
    more: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def asked(self, options: argparse.Namespace) -> tuple[str, ...]:
        """The formulations that the options leave."""
        every = self.formulations + (self.more if options.all else ())
        return tuple(one for one in every if not {one, self.title} & set(options.without))


LIBRARIES = (
    Library("jetspace", "peer_jetspace", ("pinn",)),
    Library("dgemm", "peer_floor", ("gemm",)),
    Library("JAX", "peer_jax", ("nested", "hvp", "jvp", "jet", "taylor"), ("stacked",)),
    Library("PyTorch", "peer_torch", ("autograd", "taylor", "compiled"), ("jvp",)),
    Library("DeepXDE, PyTorch", "peer_deepxde", ("reverse",), ("forward",), {"DDE_BACKEND": "pytorch"}),
    Library("DeepXDE, JAX", "peer_deepxde", ("reverse",), ("forward",), {"DDE_BACKEND": "jax"}),
)
Name = tuple[str, str]  # a library and a formulation
OURS, FLOOR, NESTED, BY_HAND = ("jetspace", "pinn"), ("dgemm", "gemm"), ("JAX", "nested"), ("JAX", "taylor")
STARTED = (OURS, BY_HAND)  # timed in fresh processes as well
SHORT = (OURS, BY_HAND, ("PyTorch", "autograd"), ("DeepXDE, PyTorch", "reverse"), ("DeepXDE, JAX", "reverse"))


# ---- workers -----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Worker:
    """A process that serves one library."""

    library: Library
    process: subprocess.Popen

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"error": "its process has ended"}

    def sample(self, problem: Problem, formulation: str) -> Sample:
        found = self.ask(do="time", problem=problem.key, formulation=formulation)
        return Sample(found["wall"], found["cpu"])


@contextmanager
def worker(library: Library, dtype: str, threads: int, caches: str) -> Iterator[Worker]:
    """A process of a library, on the cores of this one, with its compiled code in the folder `caches`."""
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    folders = {name: str(Path(caches, name)) for name in
               ("JETSPACE_CACHE", "NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")}  # fmt: skip
    eager = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **MALLOC, **count, **folders, **eager, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu",
                   "JAX_ENABLE_X64": str(int(dtype == "float64")), **library.environment}  # fmt: skip
    with tempfile.TemporaryFile() as talk:  # what libraries print, for when one of them fails to start
        process = subprocess.Popen([sys.executable, WORKER, library.module, dtype, str(threads)], env=environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk)  # fmt: skip
        try:
            yield Worker(library, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


# ---- one problem -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Start:
    """Seconds of a fresh process from its start to its first loss and gradient, and those after its imports."""

    whole: float
    first: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything measured on one problem.  `opened` has the answers to the first calls, `short` the times of one point."""

    problem: Problem
    series: Mapping[Name, Series]
    opened: Mapping[Name, dict[str, Any]]
    errors: Mapping[Name, float]
    short: Mapping[Name, Series]
    starts: Mapping[Name, tuple[Start, Start]]

    def best(self, library: str) -> Name:
        """The formulation of a library with the least median."""
        return min((name for name in self.series if name[0] == library), key=lambda name: self.series[name].median("wall"))

    def times(self, name: Name, clock: str = "wall") -> np.ndarray:
        """How many times our time a peer takes, round by round."""
        return self.series[name].ratio(self.series[OURS], clock)

    def rate(self, flops: float, clock: str) -> np.ndarray:
        """flops in our time, as a share of the yardstick's rate, round by round."""
        return self.series[FLOOR].ratio(self.series[OURS], clock) * flops / peer_floor.FLOPS

    @property
    def floor(self) -> float:
        """Seconds of the counted work at the yardstick's rate."""
        return self.series[FLOOR].median("wall") * self.problem.counted_flops / peer_floor.FLOPS

    @property
    def disturbed(self) -> bool:
        return any(series.disturbed for series in self.series.values())


def compare(problem: Problem, workers: Sequence[Worker], options: argparse.Namespace, folder: str) -> Comparison:
    """Open all formulations, hold their answers against ours, then take them in turn."""
    opened, errors, calls = {}, {}, {}
    reference = Path(folder, f"{problem.key} float64.npz")
    if options.dtype != "float64":  # ours in float64, from a process of its own
        with worker(LIBRARIES[0], "float64", options.threads, folder) as exact:
            exact.ask(do="open", problem=problem.key, formulation="pinn", save=str(reference))
    for each in workers:
        for formulation in each.library.asked(options):
            name, saved = (each.library.title, formulation), Path(folder, "answer.npz")
            if name == OURS and options.dtype == "float64":
                saved = reference
            found = opened[name] = each.ask(do="open", problem=problem.key, formulation=formulation, save=str(saved))
            if "error" in found:
                continue
            if name != FLOOR:
                errors[name] = distance(saved, reference)
                if not errors[name] < TOLERANCE[options.dtype]:
                    raise SystemExit(f"{problem.title}: {' '.join(name)} is {errors[name]:.1e} away; nothing was timed")
                if options.dtype == "float32" and errors[name] < LIKE_FLOAT64:
                    raise SystemExit(f"{problem.title}: {' '.join(name)} is only {errors[name]:.1e} away: it is not in float32")
            calls[name] = partial(each.sample, problem, formulation)
    series = dict(zip(calls, alternate(list(calls.values()), options.rounds), strict=True))
    short = short_calls(problem, [each for each in workers if each.library.asked(options)])
    for each in workers:
        each.ask(do="close")
    starts = {} if options.no_starts else {
        name: start_twice(problem, each.library, name[1], options)
        for each in workers for name in STARTED if name[0] == each.library.title}  # fmt: skip
    return Comparison(problem, series, opened, errors, short, starts)


def distance(found: Path, reference: Path) -> float:
    """The larger of the relative differences of loss and gradient (in norm)."""
    with np.load(found) as a, np.load(reference) as b:
        of_loss = abs(a["loss"] - b["loss"]) / abs(b["loss"])
        return float(max(of_loss, np.linalg.norm(a["gradient"] - b["gradient"]) / np.linalg.norm(b["gradient"])))


def short_calls(problem: Problem, workers: Sequence[Worker]) -> dict[Name, Series]:
    """The same call on a single point: what a call costs when there is next to nothing to compute."""
    calls = {}
    for each in workers:
        for name in SHORT:
            if name[0] != each.library.title:
                continue
            if "error" not in each.ask(do="open", problem=problem.key, formulation=name[1], points=1):
                calls[name] = partial(each.sample, problem, name[1])
    return dict(zip(calls, alternate(list(calls.values()), 5), strict=True))


def start_twice(problem: Problem, library: Library, formulation: str, options: argparse.Namespace) -> tuple[Start, Start]:
    """A fresh process with empty caches, and one that finds them filled."""
    found = []
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(2):
            begun = time.perf_counter()
            with worker(library, options.dtype, options.threads, caches) as fresh:
                answer = fresh.ask(do="open", problem=problem.key, formulation=formulation)
                found.append(Start(time.perf_counter() - begun, answer["first"]))
    return found[0], found[1]


# ---- the report --------------------------------------------------------------------------------------------------------------
PAIRS: tuple[tuple[str, Any], ...] = (
    ("best JAX", lambda c: c.best("JAX")),
    ("JAX, nested grad", lambda c: NESTED),
    ("best PyTorch", lambda c: c.best("PyTorch")),
    ("PyTorch autograd", lambda c: ("PyTorch", "autograd")),
    ("DeepXDE, PyTorch", lambda c: c.best("DeepXDE, PyTorch")),
    ("DeepXDE, JAX", lambda c: c.best("DeepXDE, JAX")),
)


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def pairs_of(found: Comparison) -> dict[str, Name]:
    """The peers of PAIRS that could do this problem."""
    chosen = {}
    for label, choose in PAIRS:
        try:
            name = choose(found)
        except ValueError:  # no formulation of this library
            continue
        if name in found.series:
            chosen[label] = name
    return chosen


HEAD = ["problem", "floor", "**jetspace**", *(label for label, _ in PAIRS), "**floor / ours**", "same, CPU",
        "executed / dgemm", ""]  # fmt: skip


def time_row(found: Comparison) -> list[str]:
    """Medians in milliseconds."""
    chosen, ours = pairs_of(found), found.series[OURS]
    cells = []
    for label, _ in PAIRS:
        name = chosen.get(label)
        shown = "-" if name is None else milliseconds(found.series[name].median("wall"))
        cells.append(f"{shown} ({name[1]})" if name and label.startswith("best") else shown)
    counted, executed = found.problem.counted_flops, found.opened[OURS]["executed"]
    return [f"{found.problem.key} {found.problem.title}, {found.problem.points:,}", milliseconds(found.floor),
            f"**{milliseconds(ours.median('wall'))}**", *cells, spread(found.rate(counted, "wall")),
            f"{np.median(found.rate(counted, 'cpu')):.2f}", f"{np.median(found.rate(executed, 'wall')):.2f}",
            "disturbed" if found.disturbed else ""]  # fmt: skip


def ratio_rows(comparisons: Sequence[Comparison], clock: str) -> list[list[str]]:
    """Times our time, by problem, and geometric means over the problems."""
    rows = [[found.problem.key, *(spread(found.times(pairs_of(found)[label], clock)) if label in pairs_of(found) else "-"
                                  for label, _ in PAIRS)] for found in comparisons]  # fmt: skip
    means = []
    for label, _ in PAIRS:
        there = [np.median(found.times(pairs_of(found)[label], clock)) for found in comparisons if label in pairs_of(found)]
        means.append(f"**{np.exp(np.mean(np.log(there))):.2f}**" if there else "-")
    return [*rows, ["geometric mean", *means]]


def start_row(found: Comparison) -> list[str]:
    def cell(name: Name, warm: int, part: str) -> str:
        return f"{getattr(found.starts[name][warm], part):.2f}" if name in found.starts else "-"

    def first(name: Name) -> str:
        return f"{found.opened[name]['first']:.1f}" if "first" in found.opened.get(name, {}) else "-"

    def short(name: Name) -> str:
        return f"{1e6 * found.short[name].median('wall'):.0f}" if name in found.short else "-"

    return [found.problem.key, *(cell(name, warm, part) for name in STARTED for warm in (0, 1) for part in ("first", "whole")),
            first(NESTED), first(("PyTorch", "compiled")), first(("DeepXDE, JAX", "reverse")), *(short(name) for name in SHORT)]


START_HEAD = [
    "problem", "ours, cold: first value", "process", "ours, warm: first value", "process", "JAX by hand, cold", "process",
    "JAX by hand, warm", "process", "JAX nested, cold", "PyTorch compiled, cold", "DeepXDE on JAX, cold",
    *(f"one point, us: {name[0]}" for name in SHORT),
]  # fmt: skip


@styled
def chart(comparisons: Sequence[Comparison], note: str) -> object:
    """Times our time, a bar for each pair, logarithmic; the floor is below one."""
    height = 0.115 * (len(PAIRS) + 2)
    figure = blank(9.0, len(comparisons) * height * 1.35 + 1.3)
    axes: Axes = figure.add_subplot()
    for index, found in enumerate(comparisons):
        chosen = pairs_of(found)
        bars = [("floor: dgemm", float(np.median(found.series[FLOOR].ratio(found.series[OURS], "wall")))
                 * found.problem.counted_flops / peer_floor.FLOPS, GREY)]  # fmt: skip
        bars += [(label, float(np.median(found.times(chosen[label]))), CYCLE[1:][k % (len(CYCLE) - 1)])
                 for k, (label, _) in enumerate(PAIRS) if label in chosen]  # fmt: skip
        for k, (label, value, colour) in enumerate(bars):
            place = index + (k - len(bars) / 2 + 0.5) * 0.8 / len(bars)
            # bars begin at our time, so what is faster points left
            axes.barh(place, value - 1, 0.74 / len(bars), left=1.0, color=colour, label=label if index == 0 else None)
            axes.text(value * (1.02 if value > 1 else 0.98), place, f"{value:.2g}", va="center", fontsize=7,
                      ha="left" if value > 1 else "right")  # fmt: skip
    axes.axvline(1.0, color=CYCLE[0], linewidth=2.0, label="jetspace")
    axes.set_xscale("log")
    axes.set_yticks(range(len(comparisons)), [f"{c.problem.key}  {c.problem.title}" for c in comparisons])
    axes.set_ylim(len(comparisons) - 0.5, -0.5)
    marks = [0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks], minor=False)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_xlabel(f"time of loss + gradient, in units of ours ({note})")
    tidy(axes)
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper center", ncols=4, fontsize=10)
    return figure


def report(options: argparse.Namespace) -> None:
    """Measure everything, print it as it comes, write Markdown and chart."""
    places = cores()[-options.threads:]
    pinned = pin(places)
    note = f"{options.dtype}, {options.threads} thread{'s' * (options.threads > 1)}"
    stem = "peers" + ("" if options.dtype == "float64" else f"_{options.dtype}") + (
        "" if options.threads == 1 else f"_{options.threads}_threads")
    comparisons: list[Comparison] = []
    begun = time.perf_counter()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers = [stack.enter_context(worker(library, options.dtype, options.threads, folder)) for library in LIBRARIES
                   if library.asked(options)]  # fmt: skip
        for key in options.only or PROBLEMS:
            comparisons.append(compare(PROBLEMS[key], workers, options, folder))
            print(" | ".join(time_row(comparisons[-1])), f"after {time.perf_counter() - begun:.0f} s", flush=True)
    versions: dict[str, str] = {}
    for answer in comparisons[0].opened.values():
        versions |= answer.get("versions", {})
    lines = [f"# Beside JAX, PyTorch and DeepXDE: loss + gradient, {note}", "", *machine(),
             "- peers: " + ", ".join(f"{name} {version}" for name, version in versions.items()),
             f"- {options.rounds} alternating rounds, medians, quartiles in brackets; "
             + (f"every process on core {', '.join(map(str, places))}" if pinned else "not pinned: the system cannot")
             + f"; load average before the report {os.getloadavg()[1]:.1f}; it took {time.perf_counter() - begun:.0f} s",
             "- agreement with ours, loss and gradient: " + ", ".join(
                 f"{c.problem.key} {max(c.errors.values()):.0e}" for c in comparisons) + " at worst",
             "", "## Milliseconds of loss + gradient", "", *table(HEAD, [time_row(c) for c in comparisons]),
             "", "## Times our time", "", *table(["problem", *(label for label, _ in PAIRS)], ratio_rows(comparisons, "wall")),
             "", "In CPU time:", "", *table(["problem", *(label for label, _ in PAIRS)], ratio_rows(comparisons, "cpu")),
             "", "## First values (seconds) and calls on one point (microseconds)", "",
             *table(START_HEAD, [start_row(c) for c in comparisons]),
             "", "## Every formulation, milliseconds", "", *every(comparisons),
             "", "## Our plans", ""]  # fmt: skip
    for found in comparisons:
        lines += [f"- {found.problem.key}: " + "; ".join(found.opened[OURS]["plan"].splitlines())]
    failed = [f"- {c.problem.key} {' '.join(name)}: {answer['error']}"
              for c in comparisons for name, answer in c.opened.items() if "error" in answer]  # fmt: skip
    if failed:
        lines += ["", "## What could not be done", "", *failed]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{stem}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    chart(comparisons, note).savefig(options.out / f"{stem}.png")


def every(comparisons: Sequence[Comparison]) -> list[str]:
    """Median and least wall time, and CPU time, of all that was measured."""
    names = list(dict.fromkeys(name for found in comparisons for name in found.series))
    rows = []
    for name in names:
        cells = []
        for found in comparisons:
            series = found.series.get(name)
            cells.append("-" if series is None else
                         f"{milliseconds(series.median('wall'))} / {milliseconds(series.least('wall'))} / "
                         f"{milliseconds(series.median('cpu'))}")  # fmt: skip
        rows.append([" ".join(name), *cells])
    head = ["wall / least wall / CPU", *(found.problem.key for found in comparisons)]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="alternating rounds, at least 5")
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), help="these problems alone")
    parser.add_argument("--dtype", choices=list(TOLERANCE), default="float64")
    parser.add_argument("--threads", type=int, default=1, help="threads of every library, each on a core of its own")
    parser.add_argument("--all", action="store_true", help="formulations as well that are never the best")
    parser.add_argument("--without", nargs="+", default=[], help="libraries or formulations to leave out, as in the tables")
    parser.add_argument("--no-starts", action="store_true", help="leave out the first calls in fresh processes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for peers.md and peers.png")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("--rounds must be at least 5: a median of fewer says nothing")
    if options.threads > len(cores()):
        parser.error(f"--threads {options.threads}: this process may use {len(cores())} cores")
    if {"jetspace", "pinn", "dgemm", "gemm"} & set(options.without):
        parser.error("--without: ours and dgemm are what the others are compared with")
    report(options)


if __name__ == "__main__":
    matplotlib.use("agg")
    main()
