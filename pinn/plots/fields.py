"""Fields over two coordinates as images: prediction, exact and the error on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from pinn.plots import style
from pinn.plots.sections import Section


def panel_count(section: Section, unknown: str) -> int:
    """Three panels where the exact solution is known, else the prediction alone."""
    return 3 if unknown in section.exact else 1


def draw_field(figure: Figure | SubFigure, axes: Sequence[Axes], section: Section, unknown: str, *, equal: bool,
               titles: bool = True) -> None:
    """Fill `axes` (as many as `panel_count`) with the section, whose axes are (vertical, horizontal)."""
    vertical, horizontal = section.axes
    predicted, error = section.predicted[unknown], section.error(unknown)
    norm, colours = scale([predicted, *([section.exact[unknown]] if error is not None else [])])
    shown = [image(axes[0], section, predicted, norm, colours, equal)]
    if error is not None:
        shown.append(image(axes[1], section, section.exact[unknown], norm, colours, equal))
        shown.append(image(axes[2], section, *error_scale(error), style.ERROR_MAP, equal))
        bar(figure, shown[2], axes[2:3])
    bar(figure, shown[0], axes[:2] if error is not None else axes[:1])
    for panel in axes:
        panel.set_xlabel(style.symbol(horizontal))
    style.name_vertical(axes[0], vertical)
    for panel in axes[1:]:
        panel.tick_params(labelleft=False)
    if titles:
        for panel, title in zip(axes, panel_titles(unknown), strict=False):
            panel.set_title(title)


def panel_titles(unknown: str) -> tuple[str, str, str]:
    """What the three panels show, in words and symbols."""
    name = style.symbol(unknown)
    return f"{name}  predicted", f"{name}  exact", f"absolute error of {name}"


def scale(arrays: Sequence[np.ndarray]) -> tuple[Normalize, str]:
    """One colour scale for all arrays: diverging about zero where the values swing to both sides, else sequential."""
    low = min(float(np.nanmin(array)) for array in arrays)
    high = max(float(np.nanmax(array)) for array in arrays)
    if low < 0 < high and min(-low, high) > 0.4 * max(-low, high):
        return Normalize(-max(-low, high), max(-low, high)), style.SIGNED
    if high - low <= 1e-12 * max(abs(low), abs(high), 1.0):
        margin = 0.5 * max(abs(low), abs(high), 1.0)
        return Normalize(low - margin, high + margin), style.ONE_SIGNED
    return Normalize(low, high), style.ONE_SIGNED


def error_scale(error: np.ndarray, decades: float = 4.0) -> tuple[np.ndarray, LogNorm]:
    """The error, raised to the bottom of a logarithmic scale that reaches at most this many decades below its maximum."""
    high = max(float(np.nanmax(error)), 1e-16)
    positive = error[error > 0]
    low = max(float(np.percentile(positive, 2)) if positive.size else 0.0, high * 10.0**-decades)
    low = min(low, 0.1 * high)
    return np.where(np.isnan(error), np.nan, np.maximum(error, low)), LogNorm(low, high)


def image(axes: Axes, section: Section, values: np.ndarray, norm: Normalize, colours: str, equal: bool) -> AxesImage:
    """Draw values (vertical, horizontal) over the section's rectangle, grid points at the centres of pixels."""
    vertical, horizontal = (section.values[name] for name in section.axes)
    extent = (*_edges(horizontal), *_edges(vertical))
    shown = axes.imshow(values, origin="lower", extent=extent, norm=norm, cmap=colours, aspect="equal" if equal else "auto")
    axes.set_xlim(horizontal[0], horizontal[-1])
    axes.set_ylim(vertical[0], vertical[-1])
    style.round_ticks(axes.xaxis)
    style.round_ticks(axes.yaxis)
    return shown


def bar(figure: Figure | SubFigure, shown: AxesImage, axes: Sequence[Axes]) -> None:
    """A slim colour bar to the right of these panels."""
    colour_bar = figure.colorbar(shown, ax=list(axes), aspect=26, pad=0.025, fraction=0.06)
    colour_bar.outline.set_linewidth(0.5)
    colour_bar.ax.tick_params(width=0.5, length=3, labelsize=10)
    if not isinstance(shown.norm, LogNorm):
        colour_bar.locator = style.ticks()
        colour_bar.update_ticks()
    else:
        colour_bar.ax.minorticks_off()


def _edges(values: np.ndarray) -> tuple[float, float]:
    half = 0.5 * (values[1] - values[0])
    return values[0] - half, values[-1] + half
