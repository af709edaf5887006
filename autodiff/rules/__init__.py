"""One line a primitive.  Importing this package fills the table."""

from . import (
    activations,
    arithmetic,
    assembly,
    contraction,
    curves,
    elementwise,
    layout,
    linalg,
    order,
    reduction,
    scan,
    special,
    statistics,
    written_out,
)

__all__ = [
    "activations", "arithmetic", "assembly", "contraction", "curves", "elementwise", "layout", "linalg", "order", "reduction",
    "scan", "special", "statistics", "written_out",
]  # fmt: skip
