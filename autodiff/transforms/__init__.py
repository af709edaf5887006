"""Transforms are functions from graphs to graphs: no state, no numbers, no PDE."""

from .forward import Forward, forward
from .reverse import reverse
from .simplify import lower, rebuild
from .taylor import Laplacian, Taylor, taylor

__all__ = ["Forward", "Laplacian", "Taylor", "forward", "lower", "rebuild", "reverse", "taylor"]
