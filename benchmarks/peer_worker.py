"""One library in one long-lived process: takes orders as lines of JSON, and answers each with a line of JSON.

    python peer_worker.py peer_jax float64 1

Orders: {"do": "open", "problem": "W1", "formulation": "taylor", "points": null, "save": "file.npz"} makes a peer and calls
it; {"do": "time", ...} takes one sample of it; {"do": "close"} forgets all of them.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import peer_problems
from measuring import measure, repeats
from peer_problems import PROBLEMS
from threadpoolctl import threadpool_limits

LONG = 0.02  # seconds: calls as long as this are timed one by one


@dataclass(eq=False)
class Worker:
    """The peers of one library that are open, by problem and formulation."""

    module: ModuleType
    dtype: str
    threads: int
    imports: float
    open: dict[tuple[str, str], tuple[Any, int]] = field(default_factory=dict)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "close":
            self.open.clear()
            gc.collect()
            return {}
        key = (order["problem"], order["formulation"])
        return self.time(key) if order["do"] == "time" else self.make(key, order.get("points"), order.get("save"))

    def make(self, key: tuple[str, str], points: int | None, save: str | None) -> dict[str, Any]:
        """A peer and its first call: seconds of it, and for a file its loss and gradient."""
        problem = PROBLEMS[key[0]]
        numbers = peer_problems.data(problem, self.dtype, points)
        start = time.perf_counter()
        peer = self.module.Peer(problem, numbers, key[1], self.threads, self.dtype)
        peer.call()
        first = time.perf_counter() - start
        self.open[key] = peer, repeats(peer.call, LONG)
        answer = peer.answer()
        if save and answer is not None:
            np.savez(save, loss=answer[0], gradient=answer[1])
        versions = {name: importlib.metadata.version(name) for name in self.module.VERSIONS if is_installed(name)}
        return {"first": first, "imports": self.imports, "versions": versions,
                "executed": getattr(peer, "executed_flops", 0), "plan": getattr(peer, "plan", "")}  # fmt: skip

    def time(self, key: tuple[str, str]) -> dict[str, Any]:
        peer, count = self.open[key]
        if count > 1:
            peer.call()  # other processes have had the caches
        sample = measure(peer.call, count, time.process_time)
        return {"wall": sample.wall, "cpu": sample.cpu}


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main(module: str, dtype: str, threads: int) -> None:
    # Libraries talk: what they print goes to stderr, and only answers to the parent.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start = time.perf_counter()
    imported = importlib.import_module(module)
    worker = Worker(imported, dtype, threads, time.perf_counter() - start)
    with threadpool_limits(threads, "blas"):
        for line in sys.stdin:
            try:
                answer = worker.obey(json.loads(line))
            except Exception as error:  # a peer that cannot do a problem is a line in the report
                answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            channel.write(json.dumps(answer) + "\n")
            channel.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
