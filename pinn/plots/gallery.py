"""Which pictures a solution deserves: chosen by the number of its coordinates, drawn, titled and written as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pinn.errors import FileError
from pinn.plots import snapshots, style
from pinn.plots.curves import draw_curve, draw_error
from pinn.plots.fields import draw_field, panel_count
from pinn.plots.losses import figure_losses
from pinn.plots.scatter import draw_scatter
from pinn.plots.sections import Section, cut


def plot_solution(solution: Any, folder: str | Path) -> list[Path]:
    """Write `<unknown>.png`, where there is time `<unknown>_snapshots.png`, for systems `overview.png`, and `loss.png`.

    Raises `FileError` where the folder cannot be written and `NumericsError` where a field is not finite.
    """
    folder = Path(folder)
    domain, unknowns = solution.problem.domain, tuple(solution.problem.unknowns)
    section = main_section(solution)
    figures = {unknown: _field(solution, unknown, section) for unknown in unknowns}
    if domain.time is not None and domain.spatial:
        figures |= {f"{unknown}_snapshots": figure_snapshots(solution, unknown) for unknown in unknowns}
    if len(unknowns) > 1:
        figures["overview"] = figure_overview(solution, section)
    if len(solution.history):
        figures["loss"] = figure_losses(solution.history, solution.problem.name)
    return write(figures, folder)


def write(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as `<name>.png` into the folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=style.DPI)
    except OSError as error:
        raise FileError(f"the pictures cannot be written to {folder}", why=error.strerror or str(error),
                        fix="give a folder you may write to with --out") from error
    return paths


def main_section(solution: Any) -> Section:
    """The section that shows most: everything up to two coordinates; beyond, the first two of space at the final time."""
    domain = solution.problem.domain
    if len(domain.coordinates) == 1:
        return cut(solution, domain.coordinates, n=512)
    if len(domain.spatial) == 1:
        # the literature draws time to the right and space upwards
        return cut(solution, (domain.spatial[0], domain.time))
    horizontal, vertical = domain.spatial[:2]
    return cut(solution, (vertical, horizontal), {domain.time: domain.bounds[domain.time][1]} if domain.time else {})


def figure_field(solution: Any, unknown: str) -> Figure:
    """One unknown over its domain, with the exact solution and the error beside it where they are known.

    One coordinate: a curve with the error beneath.  Two: images.  More: a section, named in the title, and from three
    space dimensions on a scatter of predicted against exact.
    """
    if unknown not in solution.problem.unknowns:
        raise ValueError(f"{unknown!r} is not an unknown of this problem; it has {', '.join(solution.problem.unknowns)}")
    return _field(solution, unknown, main_section(solution))


@style.styled
def figure_snapshots(solution: Any, unknown: str) -> Figure:
    """One unknown at a few times."""
    one = len(solution.problem.domain.spatial) == 1
    figure = snapshots.figure_curves(solution, unknown) if one else snapshots.figure_images(solution, unknown)
    style.headline(figure, solution.problem.name, _detail(solution, unknown, _middles(solution)))
    return figure


@style.styled
def figure_overview(solution: Any, section: Section | None = None) -> Figure:
    """All unknowns of a system, one row each."""
    section = main_section(solution) if section is None else section
    unknowns = solution.problem.unknowns
    if len(section.axes) == 1:
        figure = style.blank(7.2, 1.0 + 2.0 * len(unknowns))
        for panel, unknown in zip(figure.subplots(len(unknowns), 1, sharex=True, squeeze=False)[:, 0], unknowns, strict=True):
            draw_curve(panel, section, unknown)
            style.name_vertical(panel, unknown)
        panel.set_xlabel(style.symbol(section.axes[0]))
        figure.axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    else:
        columns = max(panel_count(section, unknown) for unknown in unknowns)
        width, height = _size(solution, section, columns)
        figure = style.blank(width, height * len(unknowns) + 0.2, equal=_equal(solution, section))
        for panels, unknown in zip(figure.subplots(len(unknowns), columns, squeeze=False), unknowns, strict=True):
            count = panel_count(section, unknown)
            for panel in panels[count:]:
                panel.set_visible(False)
            draw_field(figure, panels[:count], section, unknown, equal=_equal(solution, section))
    style.headline(figure, solution.problem.name, _where(section.fixed))
    return figure


@style.styled
def _field(solution: Any, unknown: str, section: Section) -> Figure:
    if len(section.axes) == 1:
        figure = _curve(section, unknown)
    else:
        figure = _image(solution, unknown, section)
    style.headline(figure, solution.problem.name, _detail(solution, unknown, section.fixed))
    return figure


def _curve(section: Section, unknown: str) -> Figure:
    if unknown not in section.exact:
        figure = style.blank(7.2, 4.0)
        panels = [figure.subplots()]
        panels[0].set_xlabel(style.symbol(section.axes[0]))
    else:
        figure = style.blank(7.2, 5.0)
        panels = list(figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1.0)))
        draw_error(panels[1], section, unknown)
    draw_curve(panels[0], section, unknown)
    style.name_vertical(panels[0], unknown)
    if unknown in section.exact:
        panels[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    return figure


def _image(solution: Any, unknown: str, section: Section) -> Figure:
    count = panel_count(section, unknown)
    scattered = count == 3 and len(solution.problem.domain.spatial) > 2
    width, height = _size(solution, section, count)
    equal = _equal(solution, section)
    figure = style.blank(width + (height + 0.6 if scattered else 0.0), height + 0.4, equal=equal)
    panels = list(figure.subplots(1, count + scattered, squeeze=False)[0])
    draw_field(figure, panels[:count], section, unknown, equal=equal)
    if scattered:
        draw_scatter(panels[-1], solution, unknown)
    return figure


def _equal(solution: Any, section: Section) -> bool:
    return solution.problem.domain.time not in section.axes


def _size(solution: Any, section: Section, columns: int) -> tuple[float, float]:
    """Width and height in inches of one row of panels."""
    if not _equal(solution, section):
        return (11.6, 2.9) if columns == 3 else (6.4, 3.4)
    (bottom, top), (left, right) = ((values[0], values[-1]) for values in (section.values[name] for name in section.axes))
    panel = 3.0 if columns == 3 else 4.4
    return panel * columns + 1.9, min(max(panel * (top - bottom) / (right - left), 1.4), 7.0) + 0.6


def _middles(solution: Any) -> dict[str, float]:
    domain = solution.problem.domain
    return {name: 0.5 * sum(domain.bounds[name]) for name in domain.spatial[2:]}


def _where(fixed: Mapping[str, float]) -> str:
    """Where a section cuts; coordinates at the same value are named together."""
    groups: dict[str, list[str]] = {}
    for name, value in fixed.items():
        groups.setdefault(style.number(value), []).append(style.symbol(name))
    return ", ".join(f"{' = '.join(names)} = {value}" for value, names in groups.items())


def _detail(solution: Any, unknown: str, fixed: Mapping[str, float]) -> str:
    where = _where(fixed)
    relative = (solution.errors or {}).get(unknown, {}).get("relative_l2")
    parts = [f"section at {where}" if where else "",
             f"relative $L_2$ error of {style.symbol(unknown)}: {style.number(relative, 2)}" if relative is not None else ""]
    return "      ".join(part for part in parts if part)
