"""Residual blocks that begin as nothing: a deep network that is linear in its inputs until training makes it deeper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.networks.activation import Activation, draw_weights, read_activation
from pinn.networks.layout import Layout, Weights
from pinn.networks.mlp import check_count


@dataclass(frozen=True, init=False)
class PirateNet:
    """h <- a_k z + (1 - a_k) h for each of `depth` blocks z of three gated layers, with a_k trainable and zero at first.

    f = act(W h + b), g = act(W (f p + (1 - f) q) + b), z = act(W (g p + (1 - g) q) + b), and p, q two layers of their own over
    the inputs: Wang, Li, Chen & Perdikaris, J. Mach. Learn. Res. 25 (2024) 1, eqs. 4.1-4.8 (arXiv 2402.00326).  The first h is
    linear in the inputs, which `FourierFeatures(PirateNet(...))` and `RandomFourierFeatures` enlarge as the paper does.
    `per_field` gives each unknown a network of its own.  Raises RecipeError.
    """

    width: int
    depth: int
    activation: Activation
    per_field: bool
    frequency: float

    def __init__(self, width: int = 32, depth: int = 3, *, activation: Activation | str = np.tanh, per_field: bool = False,
                 frequency: float = 6.0):
        for name, value in {"width": check_count(width, "a width"), "depth": check_count(depth, "depth"),
                            "activation": read_activation(activation), "per_field": bool(per_field),
                            "frequency": float(frequency)}.items():
            object.__setattr__(self, name, value)

    def layout(self, inputs: int, outputs: int) -> Layout:
        """p, q and the first h over the inputs, three layers a block, the last layer, and the a_k."""
        n = self.width
        shapes: dict[str, tuple[int, ...]] = {}
        for name in ("p", "q", "h"):
            shapes |= {f"W{name}": (n, inputs), f"b{name}": (n,)}
        for k in range(self.depth):
            for name in "fgz":
                shapes |= {f"W{name}{k}": (n, n), f"b{name}{k}": (n,)}
        return Layout.of(shapes | {"W": (outputs, n), "b": (outputs,), "a": (self.depth,)})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """Random matrices, see `draw_weights`; all blocks as if they were not there."""
        dense = Layout(layout.slots[:-1], layout.start)
        return np.concatenate([draw_weights(dense, self.activation, self.frequency, 3, rng), np.zeros(self.depth)])

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        act = self.activation
        p, q = (act(weights[f"W{name}"] @ inputs + weights[f"b{name}"]) for name in "pq")
        h = weights["Wh"] @ inputs + weights["bh"]
        for k in range(self.depth):
            f, g, z = ((weights[f"W{name}{k}"], weights[f"b{name}{k}"]) for name in "fgz")
            inner = act(f[0] @ h + f[1])
            inner = act(g[0] @ (inner * p + (1.0 - inner) * q) + g[1])
            inner = act(z[0] @ (inner * p + (1.0 - inner) * q) + z[1])
            a = weights["a"][k]
            h = a * inner + (1.0 - a) * h
        return weights["W"] @ h + weights["b"]
