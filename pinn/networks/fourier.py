"""Fourier features: waves of the inputs, given to a network beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.layout import Layout, Network, Weights
from pinn.networks.mlp import MLP


@dataclass(frozen=True, init=False)
class FourierFeatures:
    """`FourierFeatures(MLP(...), frequencies=(1, 2, 4))`: sin and cos of pi k s of each input s beside the inputs.

    Fixed, not random: the same features in every run (positional encoding; Tancik et al. 2020, section 4).
    Raises `RecipeError` (code `frequencies`).
    """

    network: Network
    frequencies: tuple[float, ...]

    def __init__(self, network: Network | None = None, frequencies: Sequence[float] = (1.0, 2.0)):
        if isinstance(network, type):
            raise RecipeError(f"{network.__name__} is a class of networks", why="the features are given to a network",
                              fix=f"FourierFeatures({network.__name__}(...))", code="frequencies")
        try:
            read = tuple(float(k) for k in frequencies)
        except (TypeError, ValueError):
            read = ()
        if not read or not all(math.isfinite(k) and k > 0 for k in read) or len(set(read)) < len(read):
            raise RecipeError(f"frequencies of {frequencies!r}", why="they are different positive numbers", code="frequencies",
                              fix="frequencies=(1, 2, 4)")
        object.__setattr__(self, "network", MLP() if network is None else network)
        object.__setattr__(self, "frequencies", read)

    @property
    def per_field(self) -> bool:
        return bool(getattr(self.network, "per_field", False))

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The layout of the network, which receives 1 + 2 len(frequencies) times as many inputs."""
        return self.network.layout(inputs * (1 + 2 * len(self.frequencies)), outputs)

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """The first guess of the network."""
        return self.network.initial(layout, rng)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        waves = [wave(math.pi * k * inputs) for k in self.frequencies for wave in (np.sin, np.cos)]
        return self.network.apply(weights, np.concatenate([inputs, *waves]))
