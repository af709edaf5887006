"""Pictures: one per thing worth seeing, never blank, and true about what they show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.image import imread

from pinn.errors import FileError, NumericsError
from pinn.history import History, Row
from pinn.plots import figure_field, figure_losses, figure_overview, figure_snapshots, plot_solution, style
from pinn.plots.fields import error_scale, scale
from pinn.plots.losses import cumulative
from pinn.plots.sections import cut
from tests.pinn.closed_form import burgers_like, everything, solution

SOLUTIONS = everything()
# which solution, the pictures it deserves; without a history there is no picture of the loss
FILES = {
    "line": ["u", "loss"],
    "burgers": ["u", "u_snapshots", "loss"],
    "square": ["u"],
    "hole": ["phi"],
    "drum": ["u", "u_snapshots"],
    "five": ["u"],
    "pair": ["prey", "predator", "overview"],
    "kovasznay": ["u", "v", "overview"],
}


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text())


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_domain_gets_its_pictures(name, tmp_path):
    shown = SOLUTIONS[name] if "loss" in FILES[name] else replace(SOLUTIONS[name], history=History())
    paths = plot_solution(shown, tmp_path / "run")
    assert [path.stem for path in paths] == FILES[name]
    for path in paths:
        picture = imread(path)[:, :, :3]
        assert min(picture.shape[:2]) > 300
        drawn = np.any(picture < 0.99, axis=2)
        assert 0.01 < drawn.mean(), f"{path.name} is nearly blank"
        assert len(np.unique((picture[::3, ::3] * 16).astype(int).reshape(-1, 3), axis=0)) > 5


def test_errors_are_labelled_and_have_the_size_of_the_true_error():
    figure = figure_field(SOLUTIONS["burgers"], "u")
    words = texts(figure)
    assert "absolute error of $u$" in words and "relative $L_2$ error of $u$: $3.1\\times10^{-4}$" in words
    drawn = [image.get_array() for axes in figure.axes for image in axes.images]
    error = np.abs(drawn[0] - drawn[1])
    assert 0.5e-3 < error.max() <= 1e-3
    np.testing.assert_allclose(drawn[2].max(), error.max(), rtol=1e-12)


def test_time_runs_to_the_right_and_space_upwards():
    axes = figure_field(SOLUTIONS["burgers"], "u").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$t$", "$x$")
    assert axes.get_xlim() == (0.0, 1.0) and axes.get_ylim() == (-1.0, 1.0)
    section = cut(SOLUTIONS["burgers"], ("x", "t"), n=11)
    expected = burgers_like(*np.meshgrid(np.linspace(-1, 1, 11), np.linspace(0, 1, 11), indexing="ij"))
    np.testing.assert_array_equal(section.exact["u"], expected)


def test_two_space_dimensions_keep_their_proportions():
    figure = figure_field(SOLUTIONS["kovasznay"], "v")
    box = figure.axes[0].get_window_extent()
    assert box.height / box.width == pytest.approx(2.0 / 1.5, rel=0.02)


def test_a_curve_shows_prediction_exact_and_error():
    figure = figure_field(SOLUTIONS["line"], "u")
    predicted, exact = (line.get_ydata() for line in figure.axes[0].lines)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["predicted", "exact"]
    (error,) = (line.get_ydata() for line in figure.axes[1].lines)
    np.testing.assert_allclose(error, np.abs(predicted - exact))
    assert figure.axes[1].get_yscale() == "log"


def test_without_an_exact_solution_nothing_claims_an_error():
    for figure in (figure_field(SOLUTIONS["unknown"], "u"), figure_snapshots(SOLUTIONS["unknown"], "u")):
        assert "error" not in texts(figure) and "exact" not in texts(figure)


def test_snapshots_are_taken_at_the_times_in_their_titles():
    figure = figure_snapshots(SOLUTIONS["burgers"], "u")
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in panels] == [f"$t$ = {t}" for t in ("0", "0.25", "0.5", "0.75", "1")]
    for axes, t in zip(panels, (0, 0.25, 0.5, 0.75, 1), strict=True):
        line = axes.lines[1]
        np.testing.assert_allclose(line.get_ydata(), burgers_like(line.get_xdata(), t))


def test_many_dimensions_name_their_section_and_show_random_points():
    words = texts(figure_field(SOLUTIONS["five"], "u"))
    assert "section at $x_{\\mathrm{3}}$ = $x_{\\mathrm{4}}$ = $x_{\\mathrm{5}}$ = 0.5" in words
    assert "3000 random points" in words


def test_points_outside_the_domain_stay_white():
    section = cut(SOLUTIONS["hole"], ("y", "x"), n=41)
    assert np.isnan(section.predicted["phi"][20, 20]) and np.isfinite(section.predicted["phi"][0, 0])


@pytest.mark.parametrize("name", ["line", "burgers", "square", "five"])
def test_a_field_that_is_not_finite_is_an_error_with_its_point(name, tmp_path):
    kind = SOLUTIONS[name].problem
    broken = solution(kind.name, kind.domain.bounds, kind.domain.time, options={"broken": True}, **SOLUTIONS[name].exact)
    with pytest.raises(NumericsError, match=r"the solution u is not finite(.|\n)*where: x1? = "):
        plot_solution(broken, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_a_file_error(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileError, match="cannot be written"):
        plot_solution(SOLUTIONS["line"], tmp_path / "taken")


def test_a_constant_field_without_any_error_can_be_drawn():
    drawn = [image.get_array() for axes in figure_field(SOLUTIONS["constant"], "u").axes for image in axes.images]
    assert np.all(drawn[0] == 1.0) and np.all(drawn[2] <= 1e-16)


def test_a_name_that_is_no_unknown_is_told_with_the_right_ones():
    with pytest.raises(ValueError, match="prey, predator"):
        figure_field(SOLUTIONS["pair"], "wolf")


def test_the_callers_matplotlib_settings_neither_matter_nor_change():
    before = rcParams["font.family"], rcParams["axes.grid"]
    rcParams["axes.grid"] = True
    try:
        figure = figure_overview(SOLUTIONS["kovasznay"])
        assert rcParams["axes.grid"] is True
        assert not figure.axes[0].xaxis.get_gridlines()[0].get_visible()
    finally:
        rcParams["axes.grid"] = before[1]
    assert rcParams["font.family"] == before[0]


def test_losses_show_every_term_every_stage_and_the_error():
    words = texts(figure_losses(SOLUTIONS["burgers"].history, "burgers"))
    for word in ("burgers", "Initial(u)", "Dirichlet(u)", "loss", "relative $L_2$ error of $u$", "adam", "lbfgs", "step"):
        assert word in words
    with pytest.raises(ValueError, match="empty"):
        figure_losses(History())


def test_losses_survive_zeros_single_rows_and_names_with_dollars():
    rows = [Row("", 0, 0.0, 0.0, {"a$b": 0.0, "c": 1.0}, {"u": 0.0})]
    assert "c" in texts(figure_losses(History.from_rows(rows)))


@pytest.mark.parametrize(("iterations", "expected"), [
    ([0, 1, 2, 3], [0, 1, 2, 3]),
    ([0, 10, 20, 0, 5, 0, 7], [0, 10, 20, 21, 26, 27, 34]),
    ([5], [5]),
])
def test_steps_go_on_counting_where_a_stage_begins_again(iterations, expected):
    rows = [Row("", i, 0.0, 1.0, {}, {}) for i in iterations]
    np.testing.assert_array_equal(cumulative(History.from_rows(rows)), expected)


@pytest.mark.parametrize(("low", "high", "colours"), [
    (-1.0, 1.0, style.SIGNED), (-1.0, 0.5, style.SIGNED), (0.0, 1.0, style.ONE_SIGNED), (-0.1, 3.0, style.ONE_SIGNED),
    (2.0, 2.0, style.ONE_SIGNED), (0.0, 0.0, style.ONE_SIGNED),
])
def test_a_colour_scale_diverges_exactly_where_values_swing_to_both_sides(low, high, colours):
    norm, chosen = scale([np.array([low, high])])
    assert chosen == colours and norm.vmin <= low <= high <= norm.vmax and norm.vmin < norm.vmax
    if chosen == style.SIGNED:
        assert norm.vmin == -norm.vmax


@pytest.mark.parametrize("error", [np.zeros((3, 3)), np.full((3, 3), 1e-3), np.array([[0.0, 1e-20], [1e-3, np.nan]])])
def test_an_error_scale_is_positive_and_holds_every_value(error):
    raised, norm = error_scale(error)
    seen = raised[~np.isnan(raised)]
    assert 0 < norm.vmin < norm.vmax and np.isnan(raised).sum() == np.isnan(error).sum()
    assert np.all((seen >= norm.vmin) & (seen <= norm.vmax))


@pytest.mark.parametrize(("name", "shown"), [
    ("u", "$u$"), ("phi", "$\\phi$"), ("u1", "$u_{\\mathrm{1}}$"), ("u_in", "$u_{\\mathrm{in}}$"),
    ("prey", "$\\mathrm{prey}$"), ("a_b_c", "a_b_c"), ("_x", "_x"),
])
def test_names_become_mathematics(name, shown):
    assert style.symbol(name) == shown


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0"), (0.25, "0.25"), (-1.0, "\N{MINUS SIGN}1"), (1 / 3, "0.333"), (3.14e-4, "$3.14\\times10^{-4}$"),
    (2e7, "$2.00\\times10^{7}$"),
])
def test_numbers_are_written_as_people_write_them(value, shown):
    assert style.number(value) == shown
