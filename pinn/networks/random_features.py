"""Random features: a network whose last layer alone is trained, so that least squares find what it adds to a solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.layout import Layout, Weights
from pinn.networks.mlp import check_count


@dataclass(frozen=True)
class RandomFeatures:
    """sum_k c_k sin(w_k . x + b_k) / (1 + |w_k|^2) with random frequencies w_k and phases b_k, of which c alone is trained.

    Rahimi & Recht 2007; for equations: Dong & Li 2021 (extreme learning machines), Chen, Chi, E & Yang 2022.  |w| is
    log-uniform from 0.3 to `fastest` (radians for inputs in [-1, 1]), directions are uniform; `seed` makes them.  The division
    makes what a second-order operator says of all waves equally large.  Raises RecipeError for numbers that cannot be.
    """

    count: int = 800
    fastest: float = 12.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.count, "a number of features")
        if not (math.isfinite(self.fastest) and self.fastest > 0.3):
            raise RecipeError(f"features as fast as {self.fastest!r}", why="frequencies are from 0.3 to this finite number",
                              fix="RandomFeatures(count=800, fastest=12.0)", code="frequencies")

    def layout(self, inputs: int, outputs: int) -> Layout:
        """One weight for each feature and output."""
        return Layout.of({"W": (outputs, self.count)})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """Nothing is added at first."""
        return np.zeros(layout.size)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        w, b, size = self.waves(len(inputs))
        return weights["W"] @ (size * np.sin(w @ inputs + b))

    def waves(self, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frequencies `(count, inputs)`, phases `(count,)` and amplitudes `(count,)`."""
        rng = np.random.default_rng([self.seed, inputs])
        speed = np.exp(rng.uniform(math.log(0.3), math.log(self.fastest), self.count))
        direction = rng.normal(size=(self.count, inputs))
        w = speed[:, None] * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        return w, rng.uniform(-math.pi, math.pi, self.count), 1.0 / (1.0 + speed**2)

    def trace(self) -> RandomFeatures:
        """The same for one coordinate less: a network of it carries values at an end."""
        return RandomFeatures(max(self.count // 4, 1), self.fastest, self.seed + 1)
