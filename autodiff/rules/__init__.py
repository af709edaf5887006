"""One line a primitive.  Importing this package fills the table."""

from . import arithmetic, assembly, contraction, elementwise, layout, linalg, order, reduction, scan, special, statistics

__all__ = [
    "arithmetic", "assembly", "contraction", "elementwise", "layout", "linalg", "order", "reduction", "scan", "special",
    "statistics",
]  # fmt: skip
