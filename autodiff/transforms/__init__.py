"""Transforms are functions from graphs to graphs: no state, no numbers, no PDE."""

from .batch import Batch
from .forward import Forward, forward
from .lane_derivative import lane_derivative
from .reverse import reverse
from .simplify import lower, rebuild
from .taylor import Collapsed, Laplacian, Taylor, taylor
from .unbatch import PerPoint, Unbatch

__all__ = [
    "Batch", "Collapsed", "Forward", "Laplacian", "PerPoint", "Taylor", "Unbatch", "forward", "lane_derivative", "lower",
    "rebuild", "reverse", "taylor",
]  # fmt: skip
