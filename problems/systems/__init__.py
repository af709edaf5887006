"""Several unknowns at once: flows."""
