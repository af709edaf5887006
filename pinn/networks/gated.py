"""The gated perceptron, in which two encodings of the input reach every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.activation import Activation, draw_weights, read_activation
from pinn.networks.layout import Layout, Weights
from pinn.networks.mlp import read_widths


@dataclass(frozen=True, init=False)
class GatedMLP:
    """h <- z a + (1 - z) b with z = activation(W h + c): the "modified MLP" of Wang, Teng & Perdikaris (2021), section 4.

    a and b are two layers of their own over the inputs, so all widths are equal.  Arguments as for `MLP`.
    """

    widths: tuple[int, ...]
    activation: Activation
    per_field: bool
    frequency: float

    def __init__(self, widths: Sequence[int] | None = None, *, width: int | None = None, depth: int | None = None,
                 activation: Activation | str = np.tanh, per_field: bool = False, frequency: float = 6.0):
        read = read_widths(widths, width, depth)
        if len(set(read)) > 1:
            raise RecipeError(f"a gated network with widths {read}", why="its layers share two encodings of the input, so they "
                              "are equally wide", fix=f"GatedMLP(width={read[0]}, depth={len(read)})", code="widths")
        for name, value in {"widths": read, "activation": read_activation(activation), "per_field": bool(per_field),
                            "frequency": float(frequency)}.items():
            object.__setattr__(self, name, value)

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The two encodings, then the layers as in `MLP`."""
        shapes: dict[str, tuple[int, ...]] = {}
        for gate in "ab":
            shapes |= {f"W{gate}": (self.widths[0], inputs), f"c{gate}": (self.widths[0],)}
        into = inputs
        for k, out in enumerate((*self.widths, outputs)):
            shapes |= {f"W{k}": (out, into), f"c{k}": (out,)}
            into = out
        return Layout.of(shapes)

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """Random matrices, zero biases; see `draw_weights`."""
        return draw_weights(layout, self.activation, self.frequency, 3, rng)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        a, b = (self.activation(weights[f"W{gate}"] @ inputs + weights[f"c{gate}"]) for gate in "ab")
        h = inputs
        for k in range(len(self.widths)):
            z = self.activation(weights[f"W{k}"] @ h + weights[f"c{k}"])
            h = z * a + (1.0 - z) * b
        last = len(self.widths)
        return weights[f"W{last}"] @ h + weights[f"c{last}"]
