"""Solutions: evaluated by name anywhere, compared with the exact one, saved and loaded without what made them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import pinn
from pinn import MLP, Adam, Box, Dirichlet, Initial, Problem, Recipe, Stage, Time, load, solve
from pinn.archive import describe_domain, describe_network, restore_domain, restore_network
from pinn.errors import FileError, ProblemError
from pinn.networks import FourierFeatures, GatedMLP, PirateNet, RandomFeatures, RandomFourierFeatures, Separable, Sum
from pinn.run import load_problem
from pinn.solution import Field, dense_points
from tests.pinn.tiny import write_tiny

ROOT = Path(__file__).parents[2]


def decay() -> Problem:
    def first(u, v, x, t):
        return u.t + u.x * v - x, v.x - u

    return Problem(unknowns=("u", "v"), domain=Box(x=(0, 2)) * Time(t=(0, 1)), equations=[first],
                   conditions=[Initial(u=lambda x: np.sin(x)), Dirichlet(v=0)], name="decay",
                   exact=lambda x, t: {"u": np.sin(x) + t, "v": 0 * x})


@pytest.fixture(scope="module")
def solution():
    recipe = Recipe(network=MLP(width=5, depth=2), points=32, stages=[Stage(Adam(1e-2), iterations=3)], resample=False)
    return solve(decay(), recipe)


# -- evaluating
def test_coordinates_broadcast_and_scalars_give_scalars(solution):
    x, t = np.linspace(0, 2, 5), np.linspace(0, 1, 3)
    grid = solution.u(x=x[:, None], t=t[None, :])
    assert grid.shape == (5, 3)
    assert grid[2, 1] == pytest.approx(solution.u(x=x[2], t=t[1]), rel=1e-14) and np.ndim(solution.u(x=1, t=0)) == 0
    np.testing.assert_allclose(grid[:, 2], solution.u(t=1.0, x=list(x)), rtol=1e-14)
    assert solution.v(x=np.zeros((2, 0)), t=0.5).shape == (2, 0)


def test_fields_are_the_network_and_exact_fields_the_exact_solution(solution):
    points = np.random.default_rng(0).uniform(0, 1, (20_000, 2))  # more than one chunk
    fields = solution.fields(points)
    assert list(fields) == ["u", "v"] and fields["u"].shape == (20_000,)
    np.testing.assert_allclose(fields["u"], solution.u(x=points[:, 0], t=points[:, 1]), rtol=1e-14)
    np.testing.assert_allclose(solution.exact_fields(points)["u"], np.sin(points[:, 0]) + points[:, 1])


@pytest.mark.parametrize(("ask", "said"), [
    (lambda s: s.u(0.5, 1.0), "without names"), (lambda s: s.u(x=0.5), "is not given t"),
    (lambda s: s.u(x=0.5, t=0.5, y=1), "no coordinate y"), (lambda s: s.u(x=np.zeros(3), t=np.zeros(2)), "do not fit together"),
    (lambda s: s.evaluate(lambda u, y: u, x=0, t=0), "asks for 'y'"), (lambda s: s.evaluate(lambda u: u.q, x=0, t=0), "u.q"),
    (lambda s: s.evaluate(lambda u: None, x=0, t=0), "returns nothing"),
    (lambda s: s.evaluate(lambda u, nx: u * nx, x=0, t=0), "asks for 'nx'"),
])
def test_questions_that_have_no_answer_are_explained(solution, ask, said):
    with pytest.raises(ProblemError, match=said):
        ask(solution)


def test_an_attribute_that_is_no_unknown_is_told(solution):
    with pytest.raises(AttributeError, match="no attribute 'w'; its unknowns are u, v"):
        solution.w  # noqa: B018
    assert "field u(x, t)" in repr(solution.u) and isinstance(solution.u, Field) and "decay" in repr(solution)


def test_outside_the_domain_it_warns_once(solution):
    with pytest.warns(UserWarning, match="outside its domain, at x = 3, t = 0"):
        solution.u(x=3.0, t=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution.u(x=[0.0, 2.0], t=1.0)
        solution.u(x=4.0, t=0.0)


def test_any_expression_with_derivatives_is_evaluated(solution):
    x, t, h = np.linspace(0.2, 1.8, 7), 0.4, 1e-5
    slope = (solution.u(x=x + h, t=t) - solution.u(x=x - h, t=t)) / (2 * h)
    curve = (solution.v(x=x + 1e-3, t=t) - 2 * solution.v(x=x, t=t) + solution.v(x=x - 1e-3, t=t)) / 1e-6
    found = solution.evaluate(lambda u, v, x: (u * u.x + x, v.xx), x=x, t=t)
    np.testing.assert_allclose(found[0], solution.u(x=x, t=t) * slope + x, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found[1], curve, rtol=1e-4, atol=1e-5)
    assert solution.evaluate(lambda t: 2 * t, x=x[:, None], t=np.ones(2)).tolist() == [[2.0, 2.0]] * 7
    assert solution.evaluate(lambda: 3.0, x=x, t=t).tolist() == [3.0] * 7


@pytest.mark.parametrize(("wrong", "said"), [
    (lambda s: s.fields(np.zeros((3, 5))), "shape (3, 5)"),
    (lambda s: s.fields(np.zeros(3)), "shape (3,)"),
    (lambda s: s.u(x=1j, t=0), "do not fit together"),
    (lambda s: s.evaluate(lambda u: "u", x=1, t=0), "returns a str"),
    (lambda s: s.evaluate(lambda u: pinn.normal_derivative(u), x=1, t=0), "outward normal"),
])
def test_what_cannot_be_evaluated_is_told(solution, wrong, said):
    with pytest.raises(ProblemError) as caught:
        wrong(solution)
    assert said in caught.value.what and caught.value.fix


def test_the_angle_of_a_pendulum_may_be_called_theta(tmp_path):
    problem = Problem(unknowns=("theta", "omega"), domain=Time(t=(0, 2)), conditions=[Initial(theta=0.5, omega=0)],
                      equations=[lambda theta, omega: (theta.t - omega, omega.t + np.sin(theta))])
    recipe = Recipe(network=MLP(width=5, depth=1), points=32, stages=[Stage(Adam(1e-2), iterations=3)], resample=False)
    swung = solve(problem, recipe, out=tmp_path / "run")
    assert swung.theta(t=[0.0, 1.0]).shape == (2,) and swung.weights.size == 22
    assert load(tmp_path / "run").theta(t=0.5) == swung.theta(t=0.5)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["network"]["parameters"] == 22


# -- measured
def test_errors_are_those_on_a_dense_grid(solution):
    points = dense_points(solution.problem)
    assert abs(len(points) - 40_000) < 400
    exact, found = solution.exact_fields(points), solution.fields(points)
    relative = np.linalg.norm(found["u"] - exact["u"]) / np.linalg.norm(exact["u"])
    assert solution.errors["u"]["relative_l2"] == pytest.approx(relative, rel=1e-12)
    assert solution.errors["u"]["max"] == pytest.approx(np.abs(found["u"] - exact["u"]).max(), rel=1e-12)
    # an exact solution that vanishes has no relative error: the norm of the difference stands in
    assert solution.errors["v"]["relative_l2"] == pytest.approx(np.linalg.norm(found["v"]))


def test_the_residual_is_that_of_the_equations_on_points_that_were_not_trained_on(solution):
    points = np.random.default_rng(7).uniform((0, 0), (2, 1), (20_000, 2))
    parts = solution.evaluate(lambda u, v, x: (u.t + u.x * v - x, v.x - u), x=points[:, 0], t=points[:, 1])
    assert solution.residual_rms == pytest.approx(np.sqrt(sum(np.mean(part**2) for part in parts)), rel=0.2)


def test_five_dimensions_are_measured_on_scattered_points():
    names = {f"x{i}": (0, 1) for i in range(5)}
    problem = Problem(unknowns="u", domain=Box(**names), equations=[lambda u: u.x0], conditions=[Dirichlet(u=0)])
    points = dense_points(problem)
    assert points.shape == (16384, 5) and np.array_equal(points, dense_points(problem))


# -- files
@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    file = write_tiny(folder)
    problem, recipe = load_problem(file, {"k": "2", "amplitude": "0.5"})
    solved = solve(problem, recipe)
    return solved, solved.save(folder / "saved"), file


def test_a_saved_solution_lives_again_in_a_process_that_never_saw_its_problem(tiny, tmp_path):
    solved, saved, _ = tiny
    assert saved.name == "saved.npz"
    moved = tmp_path / "elsewhere.npz"
    moved.write_bytes(saved.read_bytes())
    code = f"""
import json, numpy as np, pinn
s = pinn.load({str(moved)!r})
print(json.dumps([s.u(x=np.linspace(0, 1, 5)).tolist(), s.evaluate(lambda u: u.xx, x=0.3), s.problem.name,
                  s.problem.parameters, s.errors, s.stop_reason, s.steps, len(s.history), s.seed, s.points]))
again = s.save({str(tmp_path / 'again.npz')!r})
assert np.array_equal(pinn.load(again).theta, s.theta)
"""
    hidden = tmp_path / "empty"
    hidden.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=hidden, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    values, curvature, name, parameters, errors, reason, steps, rows, seed, points = json.loads(done.stdout)
    np.testing.assert_allclose(values, solved.u(x=np.linspace(0, 1, 5)), rtol=1e-14)
    assert curvature == pytest.approx(solved.evaluate(lambda u: u.xx, x=0.3), rel=1e-12)
    assert (name, parameters["k"], parameters["amplitude"]) == ("tiny", 2, 0.5)
    assert errors == solved.errors and reason == solved.stop_reason and steps == solved.steps
    assert rows == len(solved.history) and seed == 0 and points == solved.points


def test_a_problem_made_in_python_remembers_its_parameters(tiny, tmp_path):
    """As in the README: nobody said `nu`, but the functions of the problem hold it."""
    from problems.nonlinear.burgers import problem

    recipe = Recipe(network=MLP(width=3, depth=1), points=16, stages=[Stage(Adam(1e-3), iterations=2)], resample=False)
    saved = solve(problem(nu=0.07), recipe).save(tmp_path / "burgers.npz")
    assert load(saved).problem.parameters == {"nu": 0.07}
    assert load(saved).problem.name == "burgers"


def test_a_problem_without_a_file_is_saved_and_its_fields_live_on(solution, tmp_path):
    saved = solution.save(tmp_path / "decay.npz")
    outline = load(saved)
    assert outline.u(x=0.3, t=0.2) == solution.u(x=0.3, t=0.2) and outline.errors == solution.errors
    slope = {"x": np.linspace(0, 2, 5), "t": 0.5}
    np.testing.assert_array_equal(outline.evaluate(lambda u, v: u.x + v.tt, **slope),
                                  solution.evaluate(lambda u, v: u.x + v.tt, **slope))
    assert outline.problem.domain == solution.problem.domain and outline.plot(tmp_path)
    assert load(outline.save(tmp_path / "again")).u(x=0.3, t=0.2) == outline.u(x=0.3, t=0.2)
    with pytest.raises(ProblemError, match="nothing but its fields"):
        solve(outline.problem)
    without = rewrite(saved, tmp_path / "without.npz", lambda about, arrays: about.pop("domain"))
    with pytest.raises(FileError, match="does not hold its problem") as caught:
        load(without)
    assert "problem=..." in caught.value.fix
    again = load(saved, problem=decay())
    np.testing.assert_array_equal(again.theta, solution.theta)
    assert again.u(x=0.3, t=0.2) == solution.u(x=0.3, t=0.2)


@pytest.mark.parametrize("domain", [
    Box(x=(0, 2)), Time(s=(1, 3)), Box(x=(0, 1), y=(-1, 0.1), periodic="y"), Box(x=(0, 1), y=(2, 3)) * Time(t=(0, 0.3)),
])
def test_domains_are_words_and_back(domain):
    assert restore_domain(json.loads(json.dumps(describe_domain(domain)))) == domain


def test_files_hold_no_pickle_and_saving_is_whole_or_nothing(tiny, tmp_path, monkeypatch):
    _, saved, _ = tiny
    with np.load(saved, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    target = tmp_path / "solution.npz"
    target.write_bytes(b"precious")

    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(FileError, match="cannot be written") as caught:
        tiny[0].save(target)
    assert "No space left" in caught.value.why
    assert target.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [target]


def rewrite(saved: Path, path: Path, change) -> Path:
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["about"]))
    change(about, arrays)
    arrays["about"] = np.array(json.dumps(about))
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("change", "said"), [
    (lambda about, arrays: about.update(format="other"), "not a solution of jetspace"),
    (lambda about, arrays: about.update(revision=99), "another version"),
    (lambda about, arrays: about.pop("network"), "not a complete solution"),
    (lambda about, arrays: arrays.pop("theta"), "not a complete solution"),
    (lambda about, arrays: arrays.update(theta=np.zeros(3)), "does not fit its problem"),
    (lambda about, arrays: about["network"].update(widths=[9]), "does not fit its problem"),
    (lambda about, arrays: about["network"].update(kind="Transformer"), "unknown kind 'Transformer'"),
    (lambda about, arrays: about["network"].update(widths=[0]), "impossible network"),
    (lambda about, arrays: about.update(text="import nothing_of_the_kind"), "can no longer be made"),
    (lambda about, arrays: about.update(text="def problem(:"), "can no longer be made"),
])
def test_solution_files_that_were_changed_are_refused(tiny, tmp_path, change, said):
    with pytest.raises(FileError, match=said):
        load(rewrite(tiny[1], tmp_path / "changed.npz", change))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short", pickle.dumps({"theta": 1})])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "strange.npz"
    path.write_bytes(content)
    with pytest.raises(FileError, match="strange.npz") as caught:
        load(path)
    assert caught.value.why and caught.value.fix


def test_damaged_foreign_and_missing_files_are_refused(tiny, tmp_path):
    data = bytearray(tiny[1].read_bytes())
    for place in range(200, len(data), 97):
        data[place] ^= 0xFF
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(bytes(data))
    half = tmp_path / "half.npz"
    half.write_bytes(tiny[1].read_bytes()[:len(data) // 2])
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, weights=np.zeros(3))
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    for path in (damaged, half, foreign, array, tmp_path / "missing.npz", tmp_path):
        with pytest.raises(FileError) as caught:
            load(path)
        assert str(path.name) in str(caught.value)


@pytest.mark.parametrize("network", [
    MLP(widths=(3, 4)), MLP(width=2, depth=1, activation="sin", per_field=True, frequency=2.0), GatedMLP(width=3, depth=2),
    FourierFeatures(GatedMLP(width=2, depth=1, activation="swish"), frequencies=(1, 3)),
    FourierFeatures(MLP(width=2, depth=1), frequencies=((1, 3), (2,))),
    RandomFourierFeatures(PirateNet(width=3, depth=1, activation="sin", frequency=2.0), count=3, scale=(1.0, 2.0), seed=4),
    Separable(MLP(width=3, depth=1), rank=2), Sum((MLP(width=3, depth=1), RandomFeatures(5, (3.0, 2.0), seed=1))),
])
def test_networks_are_words_and_back(network, tmp_path):
    said = json.loads(json.dumps(describe_network(network)))
    assert restore_network(said, tmp_path) == network


def test_a_network_of_ones_own_is_asked_for(tmp_path):
    network = MLP(width=3, depth=1, activation=lambda x: np.tanh(2 * x))
    assert describe_network(network) is None
    recipe = Recipe(network=network, points=16, stages=[Stage(Adam(1e-3), iterations=1)], resample=False)
    saved = solve(decay(), recipe).save(tmp_path / "own.npz")
    with pytest.raises(FileError, match="does not hold its network"):
        load(saved, problem=decay())
    assert load(saved, problem=decay(), network=network).theta.size == network.layout(2, 2).size


def test_pictures_are_drawn_from_the_solution_itself(tiny, tmp_path):
    written = tiny[0].plot(tmp_path)
    assert {path.name for path in written} == {"u.png", "loss.png"} and all(path.stat().st_size > 1000 for path in written)
