"""Conditions built into the fields: u = lift + factor N satisfies them whatever the network N is."""

from __future__ import annotations

from pinn.imposition.ansatz import Dressing, Imposition, impose, nothing_imposed

__all__ = ["Dressing", "Imposition", "impose", "nothing_imposed"]
