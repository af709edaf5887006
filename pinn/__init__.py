"""pinn: state a differential equation as it is written on paper, and train a network until it holds."""

from __future__ import annotations

from pinn.adaptive import Adaptive
from pinn.conditions import Dirichlet, Initial, Neumann, Residual, Robin
from pinn.continuation import curriculum
from pinn.emphasis import Attention, Causal
from pinn.geometry import Ball, Box, Time
from pinn.hutchinson import Hutchinson
from pinn.jetspace import D, curl, div, grad, laplacian, normal_derivative
from pinn.networks import (
    MLP,
    FourierFeatures,
    GatedMLP,
    PirateNet,
    RandomFeatures,
    RandomFourierFeatures,
    Separable,
    Sum,
)
from pinn.optimizers import LBFGS, Adam, LevenbergMarquardt, NaturalGradient, NewtonCG, SSBroyden
from pinn.problem import Problem, Reference
from pinn.recipe import Polish, Recipe, Stage
from pinn.refinement import refine
from pinn.run import load, main, solve
from pinn.solution import Solution
from pinn.version import __version__
from pinn.weighting import Balance

__all__ = [
    "Adam", "Adaptive", "Attention", "Balance", "Ball", "Box", "Causal", "D", "Dirichlet", "FourierFeatures", "GatedMLP",
    "Hutchinson", "Initial", "LBFGS", "LevenbergMarquardt", "MLP", "NaturalGradient", "Neumann", "NewtonCG", "PirateNet",
    "Polish", "Problem", "RandomFeatures", "RandomFourierFeatures", "Recipe", "Reference", "Residual", "Robin", "SSBroyden",
    "Separable", "Solution", "Stage", "Sum", "Time", "__version__", "curl", "curriculum", "div", "grad", "laplacian", "load",
    "main", "normal_derivative", "refine", "solve",
]  # fmt: skip
