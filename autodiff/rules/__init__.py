"""One line a primitive.  Importing this package fills the table."""

from . import (
    activations,
    arithmetic,
    assembly,
    contraction,
    elementwise,
    layout,
    linalg,
    order,
    reduction,
    scan,
    special,
    statistics,
)

__all__ = [
    "activations", "arithmetic", "assembly", "contraction", "elementwise", "layout", "linalg", "order", "reduction", "scan",
    "special", "statistics",
]  # fmt: skip
