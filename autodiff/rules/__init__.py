"""One line a primitive.  Importing this package fills the table."""

from . import (
    activations,
    arithmetic,
    assembly,
    bodies,
    choice,
    contraction,
    curves,
    elementwise,
    layout,
    linalg,
    loop,
    order,
    packing,
    questions,
    reduction,
    scan,
    special,
    statistics,
    tidy,
    written_out,
)

__all__ = [
    "activations", "arithmetic", "assembly", "bodies", "choice", "contraction", "curves", "elementwise", "layout", "linalg",
    "loop", "order", "packing", "questions", "reduction", "scan", "special", "statistics", "tidy", "written_out",
]  # fmt: skip
