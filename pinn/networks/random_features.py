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

    Rahimi & Recht 2007; for equations: Dong & Li 2021 (extreme learning machines), Chen, Chi, E & Yang 2022.  w is normal with
    a standard deviation of half of `fastest` (radians for inputs in [-1, 1]), one number or one for each input; `seed` makes
    it; with `per_field` each unknown has waves of its own.  The division makes what a second-order operator says of all waves
    equally large.  Raises RecipeError for numbers that cannot be.
    """

    count: int = 800
    fastest: float | tuple[float, ...] = 12.0
    seed: int = 0
    per_field: bool = False

    def __post_init__(self) -> None:
        check_count(self.count, "a number of features")
        several = isinstance(self.fastest, (tuple, list))
        try:
            read = tuple(float(one) for one in np.atleast_1d(np.asarray(self.fastest, float)))
        except (TypeError, ValueError):
            read = ()
        if not read or not all(math.isfinite(one) and one > 0 for one in read):
            raise RecipeError(f"features as fast as {self.fastest!r}", why="it is a positive number, or one for each input",
                              fix="RandomFeatures(count=800, fastest=12.0)", code="frequencies")
        object.__setattr__(self, "fastest", read if several else read[0])

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
        """Frequencies `(count, inputs)`, phases `(count,)` and amplitudes `(count,)`.  Raises RecipeError."""
        if np.size(self.fastest) not in (1, inputs):
            raise RecipeError(f"features with frequencies for {np.size(self.fastest)} inputs, where there are {inputs}",
                              why="each coordinate is one input, a periodic one two", code="frequencies",
                              fix=f"RandomFeatures({self.count}, fastest={np.max(self.fastest):g})")
        rng = np.random.default_rng([self.seed, inputs])
        w = rng.normal(size=(self.count, inputs)) * (0.5 * np.asarray(self.fastest))
        return w, rng.uniform(-math.pi, math.pi, self.count), 1.0 / (1.0 + np.sum(w**2, axis=1))

    def trace(self, kept: tuple[int, ...]) -> RandomFeatures:
        """The same for the inputs that are `kept`: a network of it carries values at an end."""
        fastest = tuple(self.fastest[k] for k in kept) if isinstance(self.fastest, tuple) else self.fastest
        return RandomFeatures(max(self.count // 4, 1), fastest, self.seed + 1000)


@dataclass(frozen=True)
class Waves:
    """sum_k W_k sin(w_k . x + b_k) with frequencies and phases among the weights: one graph for all `RandomFeatures`."""

    count: int
    per_field: bool = False

    def layout(self, inputs: int, outputs: int) -> Layout:
        """w `(count, inputs)`, b, and W `(outputs, count)`."""
        return Layout.of({"w": (self.count, inputs), "b": (self.count,), "W": (outputs, self.count)})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """Zeros."""
        return np.zeros(layout.size)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        return weights["W"] @ np.sin(weights["w"] @ inputs + weights["b"])

    def trace(self, kept: tuple[int, ...]) -> Waves:
        """As for RandomFeatures."""
        return Waves(max(self.count // 4, 1))
