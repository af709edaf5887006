"""Fields over one coordinate as curves, the exact one dashed on top, the error beneath."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from pinn.plots import style
from pinn.plots.sections import Section


def draw_curve(axes: Axes, section: Section, unknown: str) -> None:
    """The prediction as a line and, where it is known, the exact solution dashed over it."""
    (coordinate,) = section.axes
    values = section.values[coordinate]
    axes.plot(values, section.predicted[unknown], color=style.PREDICTED, linewidth=2.6, label="predicted")
    if unknown in section.exact:
        axes.plot(values, section.exact[unknown], color=style.INK, linewidth=1.3, linestyle=(0, (4, 3)), label="exact")
    axes.set_xlim(values[0], values[-1])
    style.round_ticks(axes.xaxis)
    style.tidy(axes)


def draw_error(axes: Axes, section: Section, unknown: str) -> None:
    """|predicted - exact| on a logarithmic axis; points where the two agree to the last bit are left out."""
    (coordinate,) = section.axes
    values, error = section.values[coordinate], section.error(unknown)
    if error is None:
        raise ValueError(f"the section has no exact {unknown}")
    axes.set_yscale("log")
    high = max(float(np.nanmax(error)), 1e-16)
    seen = np.where(error > 0, error, np.nan)
    axes.plot(values, seen, color=style.ERROR, linewidth=1.4)
    axes.fill_between(values, 1e-300, np.where(error > 0, error, 1e-300), color=style.ERROR, alpha=0.10, linewidth=0)
    # a sign change of the error is a spike to zero: three decades below the maximum say all there is to say
    axes.set_ylim(high * 1e-4, high * 3)
    axes.set_xlim(values[0], values[-1])
    axes.set_ylabel("|error|")
    axes.set_xlabel(style.symbol(coordinate))
    style.round_ticks(axes.xaxis)
    style.tidy(axes)
