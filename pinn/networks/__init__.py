"""Networks: maps with weights, in plain numpy and without derivatives; a new shape is a new file with three functions."""

from __future__ import annotations

from pinn.networks.activation import ACTIVATIONS, Activation, swish
from pinn.networks.fourier import FourierFeatures, RandomFourierFeatures
from pinn.networks.gated import GatedMLP
from pinn.networks.layout import Layout, Network, Slot, Weights
from pinn.networks.mlp import MLP
from pinn.networks.pirate import PirateNet
from pinn.networks.random_features import RandomFeatures, Waves
from pinn.networks.separable import Separable
from pinn.networks.sum import Sum, trace_of

__all__ = [
    "ACTIVATIONS", "MLP", "Activation", "FourierFeatures", "GatedMLP", "Layout", "Network", "PirateNet", "RandomFeatures",
    "RandomFourierFeatures", "Separable", "Slot", "Sum", "Waves", "Weights", "swish", "trace_of",
]  # fmt: skip
