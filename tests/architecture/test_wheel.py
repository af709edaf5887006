"""The wheel, built and installed into a virtual environment of its own, solves a problem outside the checkout."""

import email
import json
import math
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUMMARY_KEYS = set(
    "problem parameters seed threads dtype errors residual_rms loss seconds seconds_compile steps stop_reason".split()
    + "network points versions".split()
)

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, expect: int = 0) -> str:
    """The output of a command that sees neither the checkout nor a display."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MPLBACKEND", "DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    words = [str(word) for word in command]
    quiet = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True)
    done = subprocess.run(words, cwd=cwd, env=environment, timeout=300, **quiet)
    assert done.returncode == expect, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("jetspace-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the executables of a fresh environment that borrows only the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    executables = folder / ("Scripts" if os.name == "nt" else "bin")
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", executables / "python"),
        *("install", "-q", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    site = Path(run(executables / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # Lines of a .pth file come after the environment's own packages, so this jetspace is the one that is imported.
    (site / "borrowed.pth").write_text("".join(f"{sysconfig.get_path(name)}\n" for name in ("purelib", "platlib")))
    return executables


def test_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"autodiff", "pinn", "problems"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for package in ("autodiff", "pinn", "problems"):
        shipped = {name for name in names if name.startswith(package) and name.endswith(".py")}
        assert shipped == {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "problems" / "data").glob("*.npz")}
    assert data and data <= set(names)


def test_wheel_tells_one_version_and_its_licence(wheel):
    (version,) = re.findall(r'^__version__ = "(.+)"$', (ROOT / "pinn" / "version.py").read_text(), re.MULTILINE)
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_string(archive.read(name).decode())
    assert (metadata["Name"], metadata["Version"]) == ("jetspace", version)
    assert metadata["License-Expression"] == "BSD-3-Clause"


def test_installed_packages_are_those_of_the_wheel(installed, tmp_path):
    code = "import autodiff, pinn, problems; print(autodiff.__file__, pinn.__file__, problems.__file__, sep='\\n')"
    for file in run(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent), file


def test_list_names_every_problem(installed, tmp_path):
    listed = run(installed / "pinn", "list", cwd=tmp_path)
    stems = {path.stem for path in (ROOT / "problems").rglob("*.py") if not path.stem.startswith("_")}
    assert {"burgers", "poisson_1d"} <= stems
    assert {stem for stem in stems if stem not in listed} == set()


def test_check_finds_burgers(installed, tmp_path):
    assert "burgers" in run(installed / "pinn", "check", "burgers", cwd=tmp_path)


def test_solve_outside_the_checkout(installed, tmp_path):
    out = tmp_path / "out"
    run(installed / "pinn", "solve", "poisson_1d", "--seconds", "5", "--quiet", "--out", out, cwd=tmp_path)
    (file,) = out.rglob("summary.json")
    summary = json.loads(file.read_text())
    assert set(summary) >= SUMMARY_KEYS
    assert summary["problem"] == "poisson_1d"
    assert summary["steps"] > 0 and math.isfinite(summary["loss"])
    assert summary["errors"]["u"]["relative_l2"] < 1e-2
    for name in ("history.csv", "solution.npz"):
        assert (file.parent / name).stat().st_size > 0
    assert list(file.parent.glob("*.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_tutorial_of_the_readme_runs(installed, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    new, check, solve = (shlex.split(line, comments=True) for line in re.findall(r"^pinn .*mine.*$", readme, re.MULTILINE))
    run(installed / new[0], *new[1:], cwd=tmp_path)
    assert (tmp_path / "mine.py").is_file()
    run(installed / check[0], *check[1:], cwd=tmp_path)
    run(installed / solve[0], *solve[1:], "--seconds", "3", "--quiet", cwd=tmp_path)
    assert list((tmp_path / "results" / "mine").glob("*/summary.json"))


def test_bad_name_is_one_message_and_exit_code_2(installed, tmp_path):
    assert run(installed / "pinn", "solve", "burgher", "--quiet", cwd=tmp_path, expect=2) == ""
    assert list(tmp_path.iterdir()) == []
