"""How every picture looks: colours that colour-blind eyes tell apart, type that matches the mathematics, one resolution."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

INK = "#22252b"
GREY = "#8a9099"
FAINT = "#dfe3e8"
PREDICTED = "#0072b2"
ERROR = "#d55e00"
# Okabe and Ito (2008), without the yellow that white paper swallows
CYCLE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195")
SIGNED, ONE_SIGNED, ERROR_MAP = "RdBu_r", "viridis", "magma"
DPI = 150

_RC = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 12.0,
    "axes.titlesize": 13.0,
    "axes.labelsize": 13.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlepad": 7.0,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.usetex": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 11.0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "image.interpolation": "bilinear",
}

_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split())
_NAME = re.compile(r"([A-Za-z]+)_?(.*)")
_P = ParamSpec("_P")


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw a figure in this style whatever the caller's matplotlib settings are, and leave those as they were."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_RC)
            figure = draw(*args, **kwargs)
            # ticks and the layout are made at the first drawing, which may come later and under other settings
            figure.draw_without_rendering()
            # the layout is half the cost of a drawing, and it is settled
            figure.set_layout_engine("none")
        return figure

    return drawn


def blank(width: float, height: float, *, equal: bool = False) -> Figure:
    """An empty figure of this size in inches, in no window and no global list; `equal` for panels of fixed proportions."""
    return Figure(figsize=(width, height), dpi=DPI, layout="compressed" if equal else "constrained")


def symbol(name: str) -> str:
    """A name as mathematics: `u` italic, `phi` a Greek letter, `u_1` and `u1` with an index, longer words upright."""
    match = _NAME.fullmatch(name)
    if match is None:
        return plain(name)
    stem, index = match.groups()
    letter = f"\\{stem}" if stem in _GREEK else stem if len(stem) == 1 else f"\\mathrm{{{stem}}}"
    if index and not index.isalnum():
        return plain(name)
    return f"${letter}_{{\\mathrm{{{index}}}}}$" if index else f"${letter}$"


def plain(text: str) -> str:
    """Text that matplotlib shall not read as mathematics."""
    return text.replace("$", r"\$")


def number(value: float, digits: int = 3) -> str:
    """A number as people write it: 0.25, 3.1 x 10^-4."""
    text = f"{value:.{digits}g}"
    if "e" not in text and (value == 0 or abs(value) >= 0.01):
        return text.replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"${mantissa}\\times10^{{{int(exponent)}}}$"


def ticks(count: int = 4) -> MaxNLocator:
    """At most this many intervals between round numbers, so that -1, -0.5, 0, 0.5, 1 reaches both ends."""
    return MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)


def round_ticks(axis: Axis, count: int = 4) -> None:
    """Few ticks at round numbers, written without trailing zeros: neighbouring panels stay apart."""
    axis.set_major_locator(ticks(count))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "\N{MINUS SIGN}")))


def name_vertical(axes: Axes, name: str) -> None:
    """The name of the vertical axis: a letter stands upright, a word runs along the axis."""
    if len(name) > 2:
        axes.set_ylabel(symbol(name))
    else:
        axes.set_ylabel(symbol(name), rotation=0, ha="right", va="center")


def tidy(axes: Axes) -> None:
    """Line plots: only the two axes that carry numbers, and a grid that one can overlook."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def headline(figure: Figure, title: str, detail: str = "") -> None:
    """The name of the problem in bold, and beside it in grey what else there is to say."""
    # room in points, not in fractions: figures of all heights and both layouts get the same
    width, height = 72.0 * figure.get_size_inches()
    figure.get_layout_engine().set(rect=(0.0, 0.0, 1.0, 1.0 - 26.0 / height))
    left, right, top = 8.0 / width, 1.0 - 8.0 / width, 1.0 - 7.0 / height
    figure.text(left, top, plain(title), ha="left", va="top", fontweight="bold", fontsize=14).set_in_layout(False)
    if detail:
        figure.text(right, top, detail, ha="right", va="top", color=GREY, fontsize=12).set_in_layout(False)
