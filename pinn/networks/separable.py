"""Separable networks: sums of products of functions of one coordinate each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.layout import Layout, Network, Weights
from pinn.networks.mlp import MLP, check_count


@dataclass(frozen=True)
class Separable:
    """u(x) = sum_{r=1}^{rank} prod_i f_i,r(x_i): each input has a `network` of its own, with `rank` outputs for each unknown.

    Cho, Nam, Yang, Yun, Hong & Park, NeurIPS 36 (2023), eq. 5 ("SPINN", arXiv 2306.15969).  For solutions that are nearly
    products, and for many coordinates.  Raises RecipeError for what is no network.
    """

    network: Network = MLP((20, 20))  # noqa: RUF009  (a value)
    rank: int = 16

    def __post_init__(self) -> None:
        check_count(self.rank, "a rank")
        if isinstance(self.network, type) or not callable(getattr(self.network, "apply", None)):
            raise RecipeError(f"a separable network of {self.network!r}", why="every coordinate gets such a network",
                              fix="Separable(MLP((20, 20)), rank=16)", code="networks")

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The weights of the network of each input, one after the other."""
        return Layout.of({f"{i}: {name}": shape for i in range(inputs)
                          for name, shape in self.network.layout(1, self.rank * outputs).shapes().items()})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """The first guess of each."""
        parts, k = [], 0
        slots = list(layout)
        while k < len(slots):
            mark = slots[k].name.rsplit(": ", 1)[0] + ": "
            own = {slot.name[len(mark):]: slot.shape for slot in slots[k:] if slot.name.startswith(mark)}
            parts.append(self.network.initial(Layout.of(own), rng))
            k += len(own)
        return np.concatenate(parts)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        product = None
        for i in range(len(inputs)):
            mark = f"{i}: "
            own = {name[len(mark):]: value for name, value in weights.items() if name.startswith(mark)}
            factor = self.network.apply(own, inputs[i:i + 1])
            product = factor if product is None else product * factor
        assert product is not None
        outputs = len(product) // self.rank
        return np.kron(np.eye(outputs), np.ones(self.rank)) @ product
