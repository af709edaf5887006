"""Transforms are functions from graphs to graphs: no state, no numbers, no PDE."""

from .batch import Batch
from .forward import Forward, forward
from .reverse import reverse
from .simplify import lower, rebuild
from .taylor import Collapsed, Laplacian, Taylor, taylor

__all__ = ["Collapsed", "Batch", "Forward", "Laplacian", "Taylor", "forward", "lower", "rebuild", "reverse", "taylor"]
