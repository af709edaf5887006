"""The yardstick as a peer: NumPy's product of two square matrices."""

from __future__ import annotations

import numpy as np
from peer_problems import Data, Problem

VERSIONS = ("numpy",)
FORMULATIONS = ("gemm",)
SIDE = 2000
FLOPS = 2 * SIDE**3


class Peer:
    """One product a call; it has no loss."""

    def __init__(self, problem: Problem, numbers: Data, formulation: str, threads: int, dtype: str):
        rng = np.random.default_rng(0)
        self.a, self.b, self.c = (rng.normal(size=(SIDE, SIDE)).astype(dtype) for _ in range(3))

    def call(self) -> None:
        np.matmul(self.a, self.b, out=self.c)

    def answer(self) -> None:
        return None
