"""Activations: elementwise functions between layers, and the scale of weights that suits them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from pinn.errors import RecipeError
from pinn.networks.layout import Layout

Activation = Callable[[Any], Any]


def swish(x: Any) -> Any:
    """x / (1 + exp(-x)) (Ramachandran, Zoph & Le 2017)."""
    return x * expit(x)


ACTIVATIONS: dict[str, Activation] = {"tanh": np.tanh, "sin": np.sin, "swish": swish}


def read_activation(given: Activation | str) -> Activation:
    """A function from a function or its name.  Raises `RecipeError` (code `activation`)."""
    if callable(given):
        return given
    if given in ACTIVATIONS:
        return ACTIVATIONS[given]
    raise RecipeError(f"{given!r} is no activation", why=f"known by name are {', '.join(ACTIVATIONS)}", code="activation",
                      fix='activation="tanh", or any function made of numpy functions')


def draw_weights(
    layout: Layout, activation: Activation, frequency: float, encoders: int, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """A first guess of all weights: matrices random, vectors zero, in the order of the layout.

    Normal with variance 2 / (fan in + fan out) (Glorot & Bengio 2010).  Before a sine: uniform within sqrt(6 / fan in), or
    frequency / fan in for the `encoders` layers that read the inputs, whose phases are uniform within
    frequency / sqrt(fan in), since sines without phases are all odd (Sitzmann et al. 2020, section 3.2).
    Slots are pairs of a matrix and a vector, the last pair linear.
    """
    theta = np.zeros(layout.size)
    windows = list(layout.moved(0).views(theta).values())
    pairs = list(zip(layout.slots[::2], windows[::2], windows[1::2], strict=True))
    for k, (slot, matrix, vector) in enumerate(pairs):
        into, out = slot.fan
        if activation is not np.sin or k == len(pairs) - 1:
            matrix[...] = rng.normal(size=matrix.shape) * math.sqrt(2 / (into + out))
        elif k < encoders:
            matrix[...] = rng.uniform(-1, 1, matrix.shape) * frequency / into
            vector[...] = rng.uniform(-1, 1, vector.shape) * frequency / math.sqrt(into)
        else:
            matrix[...] = rng.uniform(-1, 1, matrix.shape) * math.sqrt(6 / into)
    return theta
