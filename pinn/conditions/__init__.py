"""What must hold besides the equations, and the terms that equations and conditions become."""

from __future__ import annotations

from pinn.conditions.kinds import Condition, Dirichlet, Initial, Neumann, Residual, Robin
from pinn.conditions.term import Column, Prescribed, Term, check_finite, check_values, sample_points

__all__ = [
    "Column", "Condition", "Dirichlet", "Initial", "Neumann", "Prescribed", "Residual", "Robin", "Term", "check_finite",
    "check_values", "sample_points",
]  # fmt: skip
