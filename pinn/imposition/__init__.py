"""Conditions built into the fields: u = lift + factor N satisfies them whatever the network N is."""

from __future__ import annotations

from pinn.imposition.ansatz import Dressing, Imposition, as_data, impose, impose_by, nothing_imposed
from pinn.imposition.record import describe_imposition, restore_imposition

__all__ = [
    "Dressing", "Imposition", "as_data", "describe_imposition", "impose", "impose_by", "nothing_imposed", "restore_imposition",
]  # fmt: skip
