"""Numerical references: splines of full order, honest about what they are, and bad grids refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from pinn import Box, Dirichlet, Initial, Problem, Reference, Time
from pinn.errors import FileError, NumericsError, PinnError
from pinn.run import check


def wave(x, t):
    return np.sin(3 * x) * np.cos(2 * t)


def tabulated(n: int) -> Reference:
    x, t = np.linspace(0, 1, n) ** 1.2, np.linspace(0, 2, n + 3)
    return Reference({"u": wave(x[:, None], t)}, 1e-6, x=x, t=t)


def test_errors_fall_at_least_like_the_sixth_power_of_the_distance():
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0.3, 0.9, 200), rng.uniform(0.4, 1.6, 200)
    coarse, fine = (np.max(np.abs(tabulated(n)(x=x, t=t)["u"] - wave(x, t))) for n in (30, 60))
    assert np.log2(coarse / fine) > 5.8


def test_values_by_position_and_name_in_any_shape():
    known = tabulated(30)
    x, t = np.linspace(0, 1, 4)[:, None], np.linspace(0, 2, 5)
    assert known(x=x, t=t)["u"].shape == (4, 5)
    assert np.array_equal(known(x, t)["u"], known(t=t, x=x)["u"])
    assert np.isnan(known(x=1.5, t=0.0)["u"]) and "30" in repr(known)


def test_few_points_get_lower_splines():
    known = Reference({"u": [[0.0, 1.0], [1.0, 2.0], [4.0, 5.0]]}, 0.1, x=[0, 1, 2], y=[0, 1])
    assert known(x=1.0, y=0.5)["u"] == pytest.approx(1.5)


def heat(known) -> Problem:
    return Problem("u", Box(x=(0, 1)) * Time(t=(0, 1)), [lambda u: u.t - u.xx], [Initial(u=0), Dirichlet(u=0)], exact=known)


def test_a_problem_measures_errors_against_it_and_proves_nothing():
    x, t = np.linspace(0, 1, 9), np.linspace(0, 1, 9)
    problem = heat(Reference({"u": np.outer(x, t)}, 2e-5, x=x, t=t))
    assert problem.exact_fields(np.array([[0.5, 0.5]]))["u"] == pytest.approx(0.25)
    assert all(row.holds is None and "2.0e-05" in row.method for row in problem.prove())
    rows = dict(check(problem))["exact solution, substituted"]
    assert all(passed is None and "reference" in text for _, text, passed in rows)


def test_a_grid_that_is_too_small_is_noticed():
    x, t = np.linspace(0, 0.5, 9), np.linspace(0, 1, 9)
    with pytest.raises(NumericsError):
        heat(Reference({"u": np.outer(x, t)}, 1e-5, x=x, t=t))


def test_files(tmp_path):
    known = tabulated(12)
    np.savez(tmp_path / "wave.npz", **known.axes, **known.values, relative_l2=1e-6)
    again = Reference.read(tmp_path / "wave.npz")
    assert again.error == 1e-6 and np.array_equal(again(x=0.3, t=0.7)["u"], known(x=0.3, t=0.7)["u"])
    np.savez(tmp_path / "nameless.npz", **known.axes, **known.values)
    (tmp_path / "text.npz").write_text("no numbers")
    np.savez(tmp_path / "several.npz", **known.axes, **known.values, relative_l2=[1e-6, 1e-7])
    np.save(tmp_path / "lone.npy", known.values["u"])
    for name in ("nameless.npz", "text.npz", "missing.npz", "several.npz", "lone.npy"):
        with pytest.raises(FileError) as caught:
            Reference.read(tmp_path / name)
        assert caught.value.why and caught.value.fix


def test_coordinates_that_are_missing_or_too_many():
    known = tabulated(12)
    for ask in (lambda: known(x=0.1), lambda: known(0.1, 0.2, 0.3), lambda: known(x=0.1, t=0.2, y=0.3), lambda: known()):
        with pytest.raises(PinnError) as caught:
            ask()
        assert "x, t" in caught.value.why and caught.value.fix


GRID = np.linspace(0, 1, 5)


@pytest.mark.parametrize(("values", "error", "axes", "told"), [
    ({}, 1e-6, {"x": GRID}, "values"), ({"u": GRID}, 1e-6, {}, "coordinates"), ({"u": GRID}, 2.0, {"x": GRID}, "error"),
    ({"u": GRID}, True, {"x": GRID}, "error"), ({"u": GRID}, 1e-6, {"x": GRID[::-1]}, "rise"),
    ({"u": GRID}, 1e-6, {"x": GRID[:1]}, "rise"), ({"u": GRID[:3]}, 1e-6, {"x": GRID}, "shape"),
    ({"u": ["a"] * 5}, 1e-6, {"x": GRID}, "no numbers"), ({"u": GRID}, 1e-6, {"x": "grid"}, "no numbers"),
    ({"u": np.full(5, np.nan)}, 1e-6, {"x": GRID}, "not finite"),
    ({"u": np.zeros((5, 4))}, 1e-6, {"x": GRID, "t": GRID}, "shape")])
def test_bad_references_are_refused(values, error, axes, told):
    with pytest.raises(PinnError) as caught:
        Reference(values, error, **axes)
    assert told in caught.value.what and caught.value.why and caught.value.fix
