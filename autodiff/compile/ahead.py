"""Kernels compiled by another process while this one goes on: they are on disk when they are asked for.

The other process reads what to compile from its standard input; whatever happens to it, a kernel that is not
there is compiled where it is called.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .frontend import compiling
from .kernel import Kernel
from .store import has_compiled, load, persistent

# it finds this package where this process has it, whatever its own path
SERVE = "import sys; sys.path.insert(0, sys.argv[1]); from autodiff.compile.ahead import serve; serve()"


class Ahead:
    """A process that compiles; `wait` for it before asking for what it makes."""

    def __init__(self, process: subprocess.Popen | None):
        self._process = process

    def wait(self) -> None:
        """Until it is done."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """It is no longer needed."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def compile_ahead(wanted: Iterable[tuple[Kernel, int]]) -> Ahead:
    """Compile kernels for so many points each in another process, those that are not on disk yet."""
    orders = []
    for kernel, count in wanted:
        P = kernel.tile(count)
        source = kernel.emitter(P).source
        if not kernel.is_compiled(P) and not has_compiled(source):
            orders.append({"source": source, "vectors": len(kernel.vectors), "dtype": kernel.dtype.name})
    if not orders or not persistent():
        return Ahead(None)
    try:
        process = subprocess.Popen([sys.executable, "-c", SERVE, str(Path(__file__).resolve().parents[2])],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(orders).encode())
        process.stdin.close()
    except OSError:
        return Ahead(None)
    return Ahead(process)


def serve() -> None:
    """Compile what standard input orders: a call of an empty range of chunks, with arguments as `Bound` gives them."""
    for order in json.load(sys.stdin):
        dtype = np.dtype(order["dtype"])
        data, vector = np.zeros(8, dtype), np.zeros(8, np.float32 if dtype == np.float32 else np.float64)
        empty = [0, 0, False, 1, 0, np.zeros(1), data, *[vector] * order["vectors"], data, np.zeros((1, 1)), data]
        with compiling():
            load(order["source"]).call(*empty)
