"""Predicted against exact at random points of the domain: the one picture that needs no choice of a section."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pinn.errors import NumericsError
from pinn.plots import style


def draw_scatter(axes: Axes, solution: Any, unknown: str, n: int = 3000, seed: int = 0) -> None:
    """Points (exact, predicted) and the diagonal on which a perfect solution lies."""
    domain = solution.problem.domain
    rng = np.random.default_rng(seed)
    low, high = np.array([domain.bounds[name] for name in domain.coordinates], dtype=np.float64).T
    points = low + (high - low) * rng.random((n, len(low)))
    points = points[np.asarray(domain.contains(points), dtype=bool)]
    exact, predicted = solution.exact_fields(points)[unknown], solution.fields(points)[unknown]
    if not (np.isfinite(exact).all() and np.isfinite(predicted).all()):
        raise NumericsError(f"{unknown} is not finite at some points of the domain, so there is nothing true to draw")
    span = np.array([min(exact.min(), predicted.min()), max(exact.max(), predicted.max())])
    span += np.array([-0.04, 0.04]) * max(span[1] - span[0], 1e-12)
    axes.plot(span, span, color=style.INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.scatter(exact, predicted, s=7, color=style.PREDICTED, alpha=0.35, linewidths=0, zorder=2, rasterized=True)
    axes.set(xlim=span, ylim=span, aspect="equal")
    axes.set_xlabel(f"{style.symbol(unknown)} exact, at {len(points)} random points")
    axes.set_ylabel(f"{style.symbol(unknown)} predicted")
    style.round_ticks(axes.xaxis)
    style.round_ticks(axes.yaxis)
    style.tidy(axes)
