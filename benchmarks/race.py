"""What the contestants of time_to_accuracy.py share: numbers of the four problems, orders, snapshots."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

NU, KAPPA, RE = 0.01 / np.pi, 0.1, 40.0
LAM = RE / 2 - np.sqrt(RE**2 / 4 + 4 * np.pi**2)
BOUNDS = {"burgers": ((-1, 1), (0, 1)), "poisson_2d": ((0, 1), (0, 1)), "heat_1d": ((0, 1), (0, 1)),
          "kovasznay": ((-0.5, 1), (-0.5, 1.5))}  # fmt: skip
FIELDS = {"burgers": ("u",), "poisson_2d": ("u",), "heat_1d": ("u",), "kovasznay": ("u", "v", "p")}
PACE = 1.03  # snapshots lie at least so far apart, as a ratio of seconds


@dataclass
class Order:
    """What a contestant is asked: a problem, a budget of seconds from `begun` (time.time() before its process), a seed.

    `grid` has the points of the error `(n, 2)` and the exact fields there.
    """

    problem: str
    seconds: float
    seed: int
    threads: int
    begun: float
    out: Path
    grid: Path

    @staticmethod
    def read() -> Order:
        said = json.loads(sys.argv[1])
        return Order(**(said | {"out": Path(said["out"]), "grid": Path(said["grid"])}))

    @property
    def now(self) -> float:
        """Seconds from the start of the process: of the processor for one thread, which other people's work does not move."""
        return time.process_time() if self.threads == 1 else time.time() - self.begun

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.seconds - self.now


@dataclass
class Snapshots:
    """Parameters with the second at which they were there, taken when the loss has fallen, at a geometric pace."""

    order: Order
    kept: list[tuple[float, Any]] = field(default_factory=list)
    least: float = np.inf

    def look(self, loss: float, parameters: Callable[[], Any], insist: bool = False) -> None:
        """Keep the parameters if it is time for it."""
        now = self.order.now
        if insist or (loss < self.least and (not self.kept or now > max(self.kept[-1][0] * PACE, self.kept[-1][0] + 0.05))):
            self.kept.append((now, parameters()))
            self.least = min(self.least, loss)

    def finish(self, fields: Callable[[Any, np.ndarray], dict[str, np.ndarray]], reason: str, **more: Any) -> None:
        """The greatest relative L2 error over the fields, snapshot by snapshot, written out after the clock has stopped."""
        ended = self.order.now
        grid = np.load(self.order.grid)
        points, exact = grid["points"], {name: grid[name] for name in FIELDS[self.order.problem]}
        errors = []
        for _, parameters in self.kept:
            found = fields(parameters, points)
            errors.append(max(float(np.linalg.norm(found[name] - exact[name]) / np.linalg.norm(exact[name])) for name in exact))
        self.order.out.write_text(json.dumps({
            "problem": self.order.problem, "seconds": [t for t, _ in self.kept], "errors": errors, "ended": ended,
            "reason": reason, **more}))  # fmt: skip
