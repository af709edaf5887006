"""One line a primitive.  Importing this package fills the table."""

from . import arithmetic, contraction, elementwise, layout, reduction, special

__all__ = ["arithmetic", "contraction", "elementwise", "layout", "reduction", "special"]
