"""pinn: state a differential equation as it is written on paper, and train a network until it holds."""

from __future__ import annotations

from pinn.conditions import Dirichlet, Initial, Neumann, Residual, Robin
from pinn.geometry import Box, Time
from pinn.jetspace import D, curl, div, grad, laplacian, normal_derivative
from pinn.networks import MLP, FourierFeatures, GatedMLP
from pinn.problem import Problem
from pinn.version import __version__

__all__ = [
    "MLP", "Box", "D", "Dirichlet", "FourierFeatures", "GatedMLP", "Initial", "Neumann", "Problem", "Residual", "Robin", "Time",
    "__version__", "curl", "div", "grad", "laplacian", "normal_derivative",
]  # fmt: skip
