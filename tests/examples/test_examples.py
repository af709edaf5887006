"""Every example runs, small, and finds what it says it finds; one that is added is run as it is, until it has a row here."""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER, PICTURES = ROOT / "examples", ROOT / "results" / "examples"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")
USED = {"autodiff", "numpy", "matplotlib", "sklearn"}
QUOTED = {"five_ways_to_get_none"}  # what they print is the same everywhere

# Arguments for a small run, and for its results the bounds they lie in, or the words they are.
SMALL: dict[str, tuple[dict, dict]] = {
    "linear_regression": ({"points": 20, "steps": 100}, {"difference": (0, 1e-9), "loss": (0.05, 0.5)}),
    "digits": ({"epochs": 4}, {"accuracy": (0.88, 1), "loss": (0, 0.6), "difference": (0, 1e-12)}),
    "adversarial": ({"epochs": 4}, {"clean": (0.88, 1), "attacked": (0, 0.05), "shaken": (0.5, 0.95)}),
    "saliency": ({"epochs": 4}, {"untouched": (0.88, 1), "random": (0.85, 1), "salient": (0.3, 0.8)}),
    "newton": ({}, {"error": (0, 1e-13), "ratio": (0, 1)}),
    "gradient_penalty": ({"steps": 300, "width": 16}, {"without": (0.03, 1), "with": (0, 0.025)}),
    "pinn_by_hand": ({"side": 16, "steps": 150, "repeats": 2}, {"difference": (0, 1e-12), "error": (0, 0.05)}),
    "five_ways_to_get_none": ({}, {
        "The pixels were never watched": "not-watched", "The loss went through numpy": "left",
        "The loss is an accuracy": "no-derivative", "The variable was rebound": "rebound",
        "The inner gradient was taken outside": "inner-outside"}),
}  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    """Imports an example as its script would be run: the examples next to it can be imported too."""
    monkeypatch.syspath_prepend(FOLDER)

    def loaded(name: str):
        if "sklearn" in imports(name, everywhere=True):
            pytest.importorskip("sklearn")
        return importlib.import_module(name)

    with matplotlib.rc_context():
        yield loaded
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def imports(name: str, everywhere: bool = False) -> set[str]:
    """The packages that an example imports, and, `everywhere`, those of the examples that it imports."""
    nodes = list(ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))))
    found = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    return found.union(*(imports(other, True) for other in found & set(SCRIPTS))) if everywhere else found


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_finds_what_it_says(name, load, tmp_path, capsys):
    arguments, expected = SMALL.get(name, ({}, {}))
    found = load(name).main(tmp_path, **arguments)
    out = capsys.readouterr().out
    assert out and (name not in QUOTED or out.strip() in README)
    (picture,) = tmp_path.iterdir()
    pixels = matplotlib.image.imread(picture)
    assert picture.name == f"{name}.png" and pixels.std() > 0.01
    assert all(isinstance(value, str) or math.isfinite(value) for value in found.values())
    for key, bounds in expected.items():
        if isinstance(bounds, str):
            assert found[key] == bounds
        else:
            assert bounds[0] <= found[key] <= bounds[1], (key, found)


def test_rows_are_examples():
    assert set(SMALL) <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_uses_the_door_numpy_and_pictures_only(name):
    assert imports(name) - USED - set(SCRIPTS) - sys.stdlib_module_names == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_says_how_it_is_run_and_the_table_shows_it(name, load):
    module = load(name)
    assert f"    $ python examples/{name}.py\n" in module.__doc__
    assert inspect.getsource(module).endswith('if __name__ == "__main__":\n    main()\n')
    assert next(iter(inspect.signature(module.main).parameters.values())).default == PICTURES
    assert f"]({name}.py)" in README and f"](../results/examples/{name}.png)" in README


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)\s]+)\)", README))
def test_links_lead_somewhere(link):
    assert (FOLDER / link).is_file()


def test_the_exact_solution_of_burgers_solves_it(load):
    exact, nu, h = load("pinn_by_hand").exact, load("pinn_by_hand").NU, 1e-3
    rng = np.random.default_rng(0)
    x, t = rng.uniform(-0.9, 0.9, 20), rng.uniform(0.1, 0.9, 20)
    u, left, right, before, after = exact(x, t), exact(x - h, t), exact(x + h, t), exact(x, t - h), exact(x, t + h)
    residual = (after - before) / (2 * h) + u * (right - left) / (2 * h) - nu * (left - 2 * u + right) / h**2
    assert np.abs(residual).max() < 1e-4  # second order in h
    assert np.abs(exact(x, 0 * t) + np.sin(np.pi * x)).max() < 1e-13
