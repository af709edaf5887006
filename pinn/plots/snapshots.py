"""A field at a few moments: curves beside each other for one space dimension, a grid of images for more."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pinn.plots import style
from pinn.plots.curves import draw_curve
from pinn.plots.fields import bar, error_scale, image, scale
from pinn.plots.sections import cut


def moments(domain: Any, count: int) -> np.ndarray:
    """Evenly spread times from the first to the last."""
    return np.linspace(*domain.bounds[domain.time], count)


def figure_curves(solution: Any, unknown: str, count: int = 5) -> Figure:
    """u(x) at `count` times, all on the same scale, prediction under the dashed exact solution."""
    domain = solution.problem.domain
    (space,) = domain.spatial
    figure = style.blank(2.35 * count, 2.75)
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for panel, moment in zip(panels, moments(domain, count), strict=True):
        draw_curve(panel, cut(solution, (space,), {domain.time: moment}, n=512), unknown)
        panel.set_title(_moment(domain.time, moment))
        panel.set_xlabel(style.symbol(space))
        style.round_ticks(panel.xaxis, 2)
    style.name_vertical(panels[0], unknown)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def figure_images(solution: Any, unknown: str, count: int = 4) -> Figure:
    """u over the first two space dimensions at `count` times: rows predicted, exact and error, one scale per quantity."""
    domain = solution.problem.domain
    horizontal, vertical = domain.spatial[:2]
    times = moments(domain, count)
    sections = [cut(solution, (vertical, horizontal), {domain.time: moment}, n=160) for moment in times]
    known = unknown in sections[0].exact
    rows = ["predicted", "exact", "|error|"] if known else ["predicted"]
    (left, right), (bottom, top) = domain.bounds[horizontal], domain.bounds[vertical]
    height = min(max(2.1 * (top - bottom) / (right - left), 1.2), 4.0)
    figure = style.blank(2.1 * count + 1.5, height * len(rows) + 1.0, equal=True)
    panels = figure.subplots(len(rows), count, squeeze=False, sharex=True, sharey=True)
    predicted = [section.predicted[unknown] for section in sections]
    exact = [section.exact[unknown] for section in sections] if known else []
    norm, colours = scale(predicted + exact)
    for row, arrays in zip(panels, [predicted, exact], strict=False):
        for panel, section, array in zip(row, sections, arrays, strict=False):
            shown = image(panel, section, array, norm, colours, equal=True)
    bar(figure, shown, list(panels[:2].ravel()))
    if known:
        # one scale for all times, else the eye compares errors that differ by decades as if they were equal
        raised, errors = error_scale(np.stack([section.error(unknown) for section in sections]))
        for panel, section, array in zip(panels[2], sections, raised, strict=True):
            shown = image(panel, section, array, errors, style.ERROR_MAP, equal=True)
        bar(figure, shown, list(panels[2]))
    for panel, moment in zip(panels[0], times, strict=True):
        panel.set_title(_moment(domain.time, moment))
    for panel, word in zip(panels[:, 0], rows, strict=True):
        panel.set_ylabel(f"{word}\n\n{style.symbol(vertical)}")
    for panel in panels[-1]:
        panel.set_xlabel(style.symbol(horizontal))
    return figure


def _moment(time: str, moment: float) -> str:
    return f"{style.symbol(time)} = {style.number(moment)}"
