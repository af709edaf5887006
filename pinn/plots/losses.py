"""The history of a run: the loss and its terms by iteration, where the stages change, and the error on the same scale."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from pinn.history import History
from pinn.plots import style


@style.styled
def figure_losses(history: History, title: str = "", bins: int = 200) -> Figure:
    """Loss, terms and relative L2 errors on one logarithmic axis; raises `ValueError` for an empty history."""
    if len(history) == 0:
        raise ValueError("the history is empty")
    figure = style.blank(8.4, 4.6)
    axes = figure.subplots()
    steps = cumulative(history)
    if len(history.terms) > 1:
        for index, (name, values) in enumerate(history.terms.items()):
            colour = style.CYCLE[index % len(style.CYCLE)]
            _line(axes, steps, values, bins, color=colour, linewidth=1.2, label=style.plain(name))
    _line(axes, steps, history.loss, bins, color=style.INK, linewidth=2.0, label="loss")
    for index, (name, values) in enumerate(history.errors.items()):
        seen = np.isfinite(values) & (values > 0)
        axes.plot(steps[seen], values[seen], color=style.ERROR, linewidth=1.4, linestyle=_DASHES[index % len(_DASHES)],
                  marker="o", markersize=2.6, markevery=max(1, int(seen.sum()) // 40),
                  label=f"relative $L_2$ error of {style.symbol(name)}")
    axes.set_yscale("log")
    _stages(axes, steps, history.stage)
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.set_xlabel("step")
    style.tidy(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.8)
    if title:
        style.headline(figure, title)
    return figure


_DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 2)))


def cumulative(history: History) -> np.ndarray:
    """Steps counted from the first one, also where every stage counts its iterations from the beginning again."""
    steps = history.iteration.astype(np.int64).copy()
    for index in np.flatnonzero(np.diff(history.iteration) < 0) + 1:
        steps[index:] += steps[index - 1] - steps[index] + 1
    return steps


def _line(axes: Axes, steps: np.ndarray, values: np.ndarray, bins: int, *, color: str, linewidth: float, label: str) -> None:
    """A line; long noisy histories as the geometric mean of each bin inside the band from its least to its greatest value."""
    seen = np.isfinite(values) & (values > 0)
    steps, values = steps[seen], values[seen]
    if steps.size == 0:
        return
    if steps.size > 2 * bins:
        starts = np.unique(np.linspace(0, steps.size, bins, endpoint=False).astype(np.int64))
        counts = np.diff(np.append(starts, steps.size))
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        values = np.exp(np.add.reduceat(np.log(values), starts) / counts)
        steps = np.add.reduceat(steps, starts) / counts
        axes.fill_between(steps, low, high, color=color, alpha=0.16, linewidth=0)
    axes.plot(steps, values, color=color, linewidth=linewidth, label=label)


def _stages(axes: Axes, steps: np.ndarray, stages: list[str]) -> None:
    """A hairline where a stage begins, with its name at the top."""
    place = blended_transform_factory(axes.transData, axes.transAxes)
    start, runs = 0, [(name, len(list(run))) for name, run in groupby(stages)]
    width, free = max(steps[-1] - steps[0], 1), -np.inf
    for name, length in runs:
        if start:
            axes.axvline(steps[start], color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
        if len(runs) > 1 or name:
            # a stage too short for its name has its successor's name one line higher
            crowded = steps[start] < free
            axes.text(steps[start], 1.065 if crowded else 1.015, " " + style.plain(name), transform=place, ha="left",
                      va="bottom", color=style.GREY, fontsize=11)
            free = steps[start] + 0.014 * width * (len(name) + 2)
        start += length
