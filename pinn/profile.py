"""Where the time of a run went: the programs and optimizers of a solve under a stopwatch, and what it showed.

A run that is not profiled meets nothing of this: its objective and its optimizers are the plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.objective import Objective, Patch
from pinn.optimizers import Optimizer, Oracle, State
from pinn.peak import measure_peak
from pinn.sampling import Cloud
from pinn.stopwatch import COMPILE, KERNEL, OPTIMIZER, PEAK, PYTHON, SAMPLING, Stopwatch

TICK = 1e-9  # seconds: no time is shorter


@dataclass(frozen=True, eq=False)
class TimedPatch(Patch):
    """A patch whose programs are timed wherever they are bound."""

    stopwatch: Stopwatch

    def bind(self, cloud: Cloud, threads: int, dtype: str) -> Any:
        with self.stopwatch.section(SAMPLING):
            return TimedProgram(super().bind(cloud, threads, dtype), self.stopwatch, dtype)


class TimedProgram:
    """A bound program that tells each call: its kind, and the work of its matrix products.

    A call that finds its kernel not compiled yet counts as compiling.
    """

    def __init__(self, bound: ad.BoundProgram, stopwatch: Stopwatch, dtype: str):
        self.bound, self.stopwatch, self.dtype = bound, stopwatch, dtype
        self._flops: dict[str, int] = {}

    def _call(self, kind: str, *arguments: Any) -> Any:
        bound, program = self.bound, self.bound.program
        part = kernel = f"{KERNEL}{kind}, {self.dtype}"
        if kind not in self._flops:
            part = part if program.is_compiled(kind, bound.count, self.dtype) else COMPILE
            with self.stopwatch.section(part):  # packing the points is part of it
                self._flops[kind] = bound.count * program.gemm_flops(kind)
        with self.stopwatch.section(part) as taken:
            value = getattr(bound, kind)(*arguments)
        if taken == kernel:
            self.stopwatch.count(taken, self._flops[kind])
        return value

    def loss(self, theta: np.ndarray) -> np.ndarray:
        return self._call("loss", theta)

    def loss_and_gradient(self, theta: np.ndarray, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self._call("loss_and_gradient", theta, scale)

    def residual(self, theta: np.ndarray) -> np.ndarray:
        return self._call("residual", theta)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        return self._call("jacobian", theta)

    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._call("jvp", theta, v)

    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._call("vjp", theta, w)

    def hvp(self, theta: np.ndarray, v: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        return self._call("hvp", theta, v, scale)


class TimedOracle:
    """An oracle whose own arithmetic, which is that of the objective in Python, is no part of the optimizer that asks it."""

    def __init__(self, oracle: Oracle, stopwatch: Stopwatch):
        self.oracle, self.stopwatch = oracle, stopwatch

    def __getattr__(self, name: str) -> Any:  # what is no arithmetic: sizes, rounding units
        return getattr(self.oracle, name)

    def _ask(self, question: Callable, *arguments: np.ndarray) -> Any:
        with self.stopwatch.section(PYTHON):
            return question(*arguments)

    def loss(self, theta: np.ndarray) -> float:
        return self._ask(self.oracle.loss, theta)

    def loss_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return self._ask(self.oracle.loss_and_gradient, theta)

    def residual(self, theta: np.ndarray) -> np.ndarray:
        return self._ask(self.oracle.residual, theta)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        return self._ask(self.oracle.jacobian, theta)

    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._ask(self.oracle.jvp, theta, v)

    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._ask(self.oracle.vjp, theta, w)

    def hvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._ask(self.oracle.hvp, theta, v)


@dataclass(frozen=True, eq=False)
class TimedOptimizer:
    """An optimizer whose own arithmetic is timed."""

    optimizer: Optimizer
    stopwatch: Stopwatch

    def init(self, oracle: Oracle, theta: np.ndarray) -> State:
        with self.stopwatch.section(OPTIMIZER):
            return self.optimizer.init(TimedOracle(oracle, self.stopwatch), theta)

    def step(self, oracle: Oracle, state: State) -> State:
        with self.stopwatch.section(OPTIMIZER):
            return self.optimizer.step(TimedOracle(oracle, self.stopwatch), state)

    def carry(self, oracle: Oracle, state: State) -> State:
        with self.stopwatch.section(OPTIMIZER):
            return self.optimizer.carry(TimedOracle(oracle, self.stopwatch), state)


def watched(objective: Objective, stopwatch: Stopwatch | None) -> Objective:
    """The same objective with every call of its kernels timed; itself where nobody measures."""
    if stopwatch is None:
        return objective
    patches = tuple(TimedPatch(**vars(patch), stopwatch=stopwatch) for patch in objective.patches)
    bound: tuple[Any, ...] = tuple(TimedProgram(one, stopwatch, objective.dtype) for one in objective.bound)
    return replace(objective, patches=patches, bound=bound)


def read_profile(stopwatch: Stopwatch | None, threads: int) -> dict[str, Any] | None:
    """What the stopwatch showed, for `summary.json`: plain numbers, and the rates of kernels as shares of the peak.

    `seconds` the whole time, `parts` seconds by part, which add up to it; `kernels` by kind the calls, the seconds, the
    floating point operations of the matrix products that their plans execute, and the share of the peak that they reached;
    `peaks` by dtype the measured rate of a product of two square matrices on as many threads, in operations a second;
    `share_of_peak` that of all kernels: the time of their products at the peak over their time.  None without a stopwatch.
    """
    if stopwatch is None:
        return None
    dtypes = sorted({part.rpartition(", ")[2] for part in stopwatch.calls})
    with stopwatch.section(PEAK):
        peaks = {dtype: measure_peak(threads, dtype) for dtype in dtypes}
    parts, kernels = stopwatch.read(), {}
    ideal = spent = 0.0
    for part, calls in stopwatch.calls.items():
        seconds, flops = parts[part], stopwatch.flops[part]
        at_peak = flops / peaks[part.rpartition(", ")[2]]
        ideal, spent = ideal + at_peak, spent + seconds
        kernels[part.removeprefix(KERNEL)] = {"calls": calls, "seconds": seconds, "flops": flops,
                                              "share_of_peak": at_peak / max(seconds, TICK)}
    return {"seconds": sum(parts.values()), "parts": parts, "kernels": kernels, "threads": threads, "peaks": peaks,
            "share_of_peak": ideal / max(spent, TICK)}
