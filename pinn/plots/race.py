"""Errors against seconds, one line for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pinn.plots import style


@style.styled
def figure_race(runs: Mapping[object, Sequence[tuple[float, float]]], title: str) -> Figure:
    """Pairs of (seconds, error) by seed, on logarithmic axes; the least error so far as a line."""
    figure = style.blank(7.2, 4.4)
    axes = figure.subplots()
    for index, (seed, pairs) in enumerate(runs.items()):
        known = [(t, e) for t, e in pairs if t > 0 and e > 0]
        if known:
            seconds, errors = np.array(known).T
            colour = style.CYCLE[index % len(style.CYCLE)]
            axes.plot(seconds, errors, ".", color=colour, markersize=3, alpha=0.5)
            axes.plot(seconds, np.minimum.accumulate(errors), color=colour, linewidth=1.6, label=f"seed {seed}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("relative $L_2$ error, worst field")
    style.tidy(axes)
    if axes.get_lines():
        axes.legend(loc="lower left")
    style.headline(figure, title)
    return figure
