"""Optimizers over an oracle: frozen states, `init`, `step` and `carry`, and a reason for stopping that is a sentence."""

from pinn.optimizers.adam import Adam
from pinn.optimizers.lbfgs import LBFGS
from pinn.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn.optimizers.natural_gradient import NaturalGradient
from pinn.optimizers.newton_cg import NewtonCG
from pinn.optimizers.oracle import Optimizer, Oracle, State
from pinn.optimizers.quasi_newton import BFGS, SSBFGS, QuasiNewton, SSBroyden
from pinn.optimizers.schedules import Constant, Cosine, ExponentialDecay, Piecewise, Schedule, Warmup

__all__ = [
    "BFGS",
    "LBFGS",
    "SSBFGS",
    "Adam",
    "Constant",
    "Cosine",
    "ExponentialDecay",
    "LevenbergMarquardt",
    "NaturalGradient",
    "NewtonCG",
    "Optimizer",
    "Oracle",
    "Piecewise",
    "QuasiNewton",
    "SSBroyden",
    "Schedule",
    "State",
    "Warmup",
]
