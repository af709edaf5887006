"""The multilayer perceptron."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.activation import Activation, draw_weights, read_activation
from pinn.networks.layout import Layout, Weights


def read_widths(widths: Sequence[int] | None, width: int | None, depth: int | None) -> tuple[int, ...]:
    """Widths of the hidden layers, from a list or as `width` times `depth`.  Raises `RecipeError` (code `widths`)."""
    if widths is None:
        widths = (32 if width is None else width,) * check_count(3 if depth is None else depth, "depth")
    elif width is not None or depth is not None:
        raise RecipeError("widths and width or depth are given together", why="they say the same thing", code="widths",
                          fix="MLP(widths=(20, 20, 20)), or MLP(width=20, depth=3)")
    listed = tuple(widths) if isinstance(widths, Sequence) and not isinstance(widths, str) else (widths,)
    if not listed:
        raise RecipeError("a network without hidden layers", why="it could only be linear", code="widths",
                          fix="MLP(widths=(20, 20, 20))")
    return tuple(check_count(n, "a width") for n in listed)


def check_count(n: Any, what: str) -> int:
    """A positive whole number.  Raises `RecipeError` (code `widths`)."""
    if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 1:
        raise RecipeError(f"{what} of {n!r} in a network", why="it is a positive whole number", code="widths",
                          fix="MLP(width=20, depth=3)")
    return int(n)


@dataclass(frozen=True, init=False)
class MLP:
    """`MLP(widths=(20, 20, 20))` or `MLP(width=20, depth=3)`: h <- activation(W h + b), and a linear last layer.

    `activation` is a function or one of "tanh", "sin", "swish"; `per_field` gives each unknown a network of its own;
    `frequency` is how many times faster than their inputs sines start, see `draw_weights`.  Raises `RecipeError`.
    """

    widths: tuple[int, ...]
    activation: Activation
    per_field: bool
    frequency: float

    def __init__(self, widths: Sequence[int] | None = None, *, width: int | None = None, depth: int | None = None,
                 activation: Activation | str = np.tanh, per_field: bool = False, frequency: float = 6.0):
        for name, value in {"widths": read_widths(widths, width, depth), "activation": read_activation(activation),
                            "per_field": bool(per_field), "frequency": float(frequency)}.items():
            object.__setattr__(self, name, value)

    def layout(self, inputs: int, outputs: int) -> Layout:
        """W0 `(widths[0], inputs)`, b0, W1, b1, ... and a last pair for the outputs."""
        sizes = (inputs, *self.widths, outputs)
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (into, out) in enumerate(itertools.pairwise(sizes)):
            shapes |= {f"W{k}": (out, into), f"b{k}": (out,)}
        return Layout.of(shapes)

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """Random matrices, zero biases; see `draw_weights`."""
        return draw_weights(layout, self.activation, self.frequency, 1, rng)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        h = inputs
        for k in range(len(self.widths)):
            h = self.activation(weights[f"W{k}"] @ h + weights[f"b{k}"])
        last = len(self.widths)
        return weights[f"W{last}"] @ h + weights[f"b{last}"]
