"""Clocks, cores and the machine: what every benchmark here needs and nothing of what it measures."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "benchmarks"
DISTURBED = 1.05


@dataclass(frozen=True)
class Sample:
    """Seconds of one call, by the clock on the wall and by the processor's (of the calling thread, or of all threads)."""

    wall: float
    cpu: float


def measure(call: Callable[[], object], count: int = 1, clock: Callable[[], float] = time.thread_time) -> Sample:
    """One sample over `count` calls."""
    cpu, wall = clock(), time.perf_counter()
    for _ in range(count):
        call()
    return Sample((time.perf_counter() - wall) / count, (clock() - cpu) / count)


def repeats(call: Callable[[], object], seconds: float = 0.03) -> int:
    """How many calls fill this time; warms the call up."""
    call()
    start = time.perf_counter()
    call()
    return max(1, round(seconds / max(time.perf_counter() - start, 1e-7)))


@dataclass(frozen=True)
class Series:
    """The samples of one quantity, one for each round."""

    samples: tuple[Sample, ...]

    def ratio(self, other: Series, clock: str) -> np.ndarray:
        """self / other, round by round, in "wall" or "cpu" time."""
        pairs = zip(self.samples, other.samples, strict=True)
        return np.array([getattr(a, clock) / getattr(b, clock) for a, b in pairs])

    def median(self, clock: str) -> float:
        return float(np.median([getattr(sample, clock) for sample in self.samples]))

    def least(self, clock: str) -> float:
        return float(min(getattr(sample, clock) for sample in self.samples))

    @property
    def disturbed(self) -> bool:
        """Whether somebody else took more than 5 % of the core in the median round."""
        return self.median("wall") > DISTURBED * self.median("cpu")


def alternate(calls: Sequence[Callable[[], Sample]], rounds: int) -> list[Series]:
    """a, b, ..., a, b, ...: whatever the machine does meanwhile, it does to all of them."""
    table = [[call() for call in calls] for _ in range(rounds)]
    return [Series(tuple(column)) for column in zip(*table, strict=True)]


def spread(values: np.ndarray, form: str = "{:.2f}") -> str:
    """The median, and the quartiles in brackets."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{form.format(middle)} [{form.format(low)}, {form.format(high)}]"


def pin(cores: Sequence[int]) -> bool:
    """Keep the calling thread (and threads it starts later) on these cores; False where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, cores)
    return True


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def processor() -> str:
    """The name of the processor, and its vector extensions where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()

    def first(key: str) -> str:
        found = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
        return found.group(1).strip() if found else ""

    have = [flag for flag in ("avx2", "fma", "avx512f", "amx_tile") if flag in first("flags").split()]
    name = first("model name") or platform.machine()
    return f"{name} (family {first('cpu family')}, model {first('model')}; {', '.join(have)})"


def machine() -> list[str]:
    """What a reader must know to repeat the numbers, as Markdown lines."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba", "llvmlite"))
    command = shlex.join(["python", Path(sys.argv[0]).resolve().relative_to(ROOT).as_posix(), *sys.argv[1:]])
    return [
        f"- command: `{command}`",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"- processor: {processor()}; {os.cpu_count()} cores, {platform.system()}",
        f"- python {platform.python_version()}, {packages}",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
