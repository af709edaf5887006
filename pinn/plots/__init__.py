"""Pictures of a solution, as matplotlib figures for notebooks and as PNG files."""

from __future__ import annotations

import importlib
from typing import Any

_ROOMS = {
    "figure_field": "gallery", "figure_overview": "gallery", "figure_snapshots": "gallery", "plot_solution": "gallery",
    "figure_losses": "losses", "figure_race": "race",
}  # fmt: skip

__all__ = ["figure_field", "figure_losses", "figure_overview", "figure_race", "figure_snapshots", "plot_solution"]  # noqa: F822


def __getattr__(name: str) -> Any:
    # matplotlib is half of the time of `import pinn`, so it is loaded when the first picture is drawn
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
