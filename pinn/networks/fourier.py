"""Fourier features: waves of the inputs, given to a network beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.layout import Layout, Network, Weights
from pinn.networks.mlp import MLP, check_count


@dataclass(frozen=True, init=False)
class FourierFeatures:
    """`FourierFeatures(MLP(...), frequencies=(1, 2, 4))`: sin and cos of pi k s of each input s beside the inputs.

    Fixed, not random: the same features in every run (positional encoding; Tancik et al. 2020, section 4).  Frequencies for
    each input are lists in a list, `frequencies=((1, 2, 4), (1,))`; () adds none.  Raises `RecipeError` (code `frequencies`).
    """

    network: Network
    frequencies: tuple[Any, ...]

    def __init__(self, network: Network | None = None, frequencies: Sequence[Any] = (1.0, 2.0)):
        if isinstance(network, type):
            raise RecipeError(f"{network.__name__} is a class of networks", why="the features are given to a network",
                              fix=f"FourierFeatures({network.__name__}(...))", code="frequencies")
        try:
            nested = any(isinstance(one, (tuple, list)) for one in frequencies)
            read: tuple[Any, ...] = tuple(
                tuple(float(k) for k in one) if nested else float(one) for one in frequencies)
        except (TypeError, ValueError):
            nested, read = False, ()
        lists = read if nested else (read,)
        good = any(lists) and all(all(math.isfinite(k) and k > 0 for k in one) and len(set(one)) == len(one) for one in lists)
        if not good:
            raise RecipeError(f"frequencies of {frequencies!r}", why="they are different positive numbers", code="frequencies",
                              fix="frequencies=(1, 2, 4), or for each input: frequencies=((1, 2, 4), (1,))")
        object.__setattr__(self, "network", MLP() if network is None else network)
        object.__setattr__(self, "frequencies", read)

    @property
    def per_field(self) -> bool:
        return bool(getattr(self.network, "per_field", False))

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The layout of the network, which receives two more inputs for each frequency of each input."""
        return self.network.layout(inputs + 2 * sum(map(len, self._each(inputs))), outputs)

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """The first guess of the network."""
        return self.network.initial(layout, rng)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        if not isinstance(self.frequencies[0], tuple):
            waves = [wave(math.pi * k * inputs) for k in self.frequencies for wave in (np.sin, np.cos)]
            return self.network.apply(weights, np.concatenate([inputs, *waves]))
        single = [wave(math.pi * k * inputs[i:i + 1]) for i, one in enumerate(self._each(len(inputs))) for k in one
                  for wave in (np.sin, np.cos)]
        return self.network.apply(weights, np.concatenate([inputs, *single]))

    def _each(self, inputs: int) -> tuple[tuple[float, ...], ...]:
        """The frequencies of each input.  Raises RecipeError where they are lists of another number of inputs."""
        if not isinstance(self.frequencies[0], tuple):
            return (self.frequencies,) * inputs
        if len(self.frequencies) != inputs:
            raise RecipeError(f"frequencies for {len(self.frequencies)} inputs, where there are {inputs}", code="frequencies",
                              why="each coordinate is one input, a periodic one two", fix="frequencies=(1, 2)")
        return self.frequencies


@dataclass(frozen=True)
class RandomFourierFeatures:
    """`RandomFourierFeatures(MLP(...), count=32, scale=3.0)`: sin and cos of B x beside the inputs x, B normal times `scale`.

    Tancik et al. 2020, section 4; for equations: Wang, Wang & Perdikaris 2021, section 3.  B `(count, inputs)` is made by
    `seed` and is not trained; a scale for each input is a tuple.  Raises `RecipeError` (code `frequencies`).
    """

    network: Network = MLP()  # noqa: RUF009  (a value)
    count: int = 32
    scale: float | tuple[float, ...] = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.count, "a number of features")
        if isinstance(self.network, type):
            raise RecipeError(f"{self.network.__name__} is a class of networks", why="the features are given to a network",
                              fix=f"RandomFourierFeatures({self.network.__name__}(...))", code="frequencies")
        several = isinstance(self.scale, (tuple, list))
        try:
            read = tuple(float(one) for one in np.atleast_1d(np.asarray(self.scale, float)))
        except (TypeError, ValueError):
            read = ()
        if not read or not all(math.isfinite(one) and one > 0 for one in read):
            raise RecipeError(f"features with a scale of {self.scale!r}", code="frequencies",
                              why="it is a positive number, or one for each input", fix="RandomFourierFeatures(scale=3.0)")
        object.__setattr__(self, "scale", read if several else read[0])

    @property
    def per_field(self) -> bool:
        return bool(getattr(self.network, "per_field", False))

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The layout of the network, which receives 2 count more inputs."""
        return self.network.layout(inputs + 2 * self.count, outputs)

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """The first guess of the network."""
        return self.network.initial(layout, rng)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        n = len(inputs)
        if np.size(self.scale) not in (1, n):
            raise RecipeError(f"features with scales for {np.size(self.scale)} inputs, where there are {n}", code="frequencies",
                              why="each coordinate is one input, a periodic one two", fix="RandomFourierFeatures(scale=3.0)")
        matrix = np.random.default_rng([self.seed, n]).normal(size=(self.count, n)) * np.asarray(self.scale)
        phase = matrix @ inputs
        return self.network.apply(weights, np.concatenate([inputs, np.sin(phase), np.cos(phase)]))
