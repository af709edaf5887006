"""Problems: what is to be solved, checked when stated, proven by substitution before any training."""

from __future__ import annotations

from pinn.problem.exact import Exact
from pinn.problem.proof import Proof
from pinn.problem.reference import Reference
from pinn.problem.slab import edges, slab
from pinn.problem.statement import Problem

__all__ = ["Exact", "Problem", "Proof", "Reference", "edges", "slab"]
