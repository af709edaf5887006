"""autodiff: one expression graph, and the readers of it.  This module is the only door; nothing outside imports past it."""

from . import rules  # noqa: F401  (fills the table of primitives)
from .array import Array
from .errors import (
    AutodiffError,
    CompileError,
    DifferentiationError,
    NoRuleError,
    NumericsError,
    ShapeError,
    TraceError,
)
from .graph import Node, substitute, symbol, text, view, walk
from .interpret import evaluate
from .transforms import Forward, Laplacian, Taylor, forward, rebuild, reverse, taylor
from .types import POINT, SHARED

__all__ = [
    "POINT", "SHARED", "Array", "AutodiffError", "CompileError", "DifferentiationError", "Forward", "Laplacian", "NoRuleError",
    "Node", "NumericsError", "ShapeError", "Taylor", "TraceError", "evaluate", "forward", "rebuild", "reverse", "substitute",
    "symbol", "taylor", "text", "view", "walk",
]  # fmt: skip
