"""Bad input, row by row: exit code 2, one message that says what, where or why, and how to mend it, and nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pinn import cli
from tests.pinn.tiny import TEXT, write_tiny


def changed(*pairs: tuple[str, str]):
    text = TEXT
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


EQUATION = "return u.xx / np.pi**2 + amplitude * k**2 * np.sin(k * np.pi * x)"
CONDITIONS = "conditions=[Dirichlet(u=0)]"
DOMAIN = 'unknowns="u", domain=Box(x=(0, 1))'
EXACT = "exact=lambda x: amplitude * np.sin(k * np.pi * x)"
POINTS = "points=32"
NAMED = ("recipe =", "DOMAIN = Box(x=(0, 1))\nrecipe =")
NOWHERE = "DOMAIN.boundary.where(lambda x: x > 7)"

# what is wrong: (the text of the problem file, what the message says)
FILES = {
    "no Python": ("this is no Python\n", "not Python"),
    "binary": (b"\x80\x81\x82", "not Python"),
    "raises": (changed(("def problem(", "raise RuntimeError('my own mistake')\ndef problem(")), "my own mistake"),
    "raises inside": (changed(("    def tiny", "    1 / 0\n\n    def tiny")), "division by zero"),
    "imports nothing": ("import nothing_of_the_kind\n", "nothing_of_the_kind"),
    "empty": ("", "states no problem"),
    "no problem": ("x = 1\n", "states no problem"),
    "a number": ("problem = 3\n", "`problem` is of type int"),
    "returns nothing": ("def problem():\n    pass\n", "returned nothing"),
    "needs an argument": (changed(("problem(k=1,", "problem(k,")), "problem() needs k"),
    "misspelt argument": (changed(("def tiny(u, x)", "def tiny(u, z)"), ("k * np.pi * x)\n\n", "k * np.pi * z)\n\n")),
                          "'z', which is not there"),
    "misspelt derivative": (changed((EQUATION, "return u.q")), "no derivative u.q"),
    "returns None": (changed((EQUATION, "u.xx")), "returns nothing"),
    "returns words": (changed((EQUATION, "return 'zero'")), "returns a str"),
    "returns a comparison": (changed((EQUATION, "return u.xx == 0 * x")), "comparison"),
    "reduces": (changed((EQUATION, "return u.xx - np.mean(u)")), "mean"),
    "never uses u": (changed((EQUATION, "return x**2")), "never uses an unknown"),
    "unused unknown": (changed(('unknowns="u"', 'unknowns=("u", "v")')), "no equation uses the unknown 'v'"),
    "coordinate like an attribute": (changed(("x=(0, 1)", "shape=(0, 1)"), (EXACT, "exact=None"), ("(u, x)", "(u, shape)"),
                                             (EQUATION, "return u.shapeshape")), "shape"),
    "no such face": (changed(NAMED, (CONDITIONS, "conditions=[Dirichlet(u=0, on=DOMAIN.face(x=2))]")), "x=2"),
    "no points there": (changed(NAMED, (CONDITIONS, f"conditions=[Dirichlet(u=0, on={NOWHERE})]")), "holds nowhere"),
    "no boundary": (changed(("x=(0, 1))", 'x=(0, 1), periodic="x")')), "no points"),
    "missing initial": (changed(("Box(x=(0, 1))", "Box(x=(0, 1)) * pinn.Time(t=(0, 1))"), ("return u.xx", "return u.t + u.xx"),
                                (EXACT, "exact=None")), "initial condition on u is missing"),
    "shapes": (changed((EQUATION, "return u.xx + np.arange(3.0)")), "shape"),
    "shape of a value": (changed((CONDITIONS, "conditions=[Dirichlet(u=lambda x: np.zeros((7, 3)))]")), "shape (7, 3)"),
    "value as an array": (changed((CONDITIONS, "conditions=[Dirichlet(u=np.zeros(5))]")), "of shape (5,)"),
    "nan in a coefficient": (changed((EQUATION, "return u.xx + np.log(x - 0.5) * u")), "tiny is nan at x ="),
    "infinite coefficient": (changed((EQUATION, "return u.xx + u / (0 * x)")), "tiny is"),
    "nan in a value": (changed((CONDITIONS, "conditions=[Dirichlet(u=lambda x: np.sqrt(x - 2))]")), "nan at x = 0"),
    "infinite number": (changed((CONDITIONS, "conditions=[Dirichlet(u=np.inf)]")), "is inf"),
    "nan in exact": (changed((EXACT, "exact=lambda x: np.log(x - 0.5)")), "exact solution of u is nan at x ="),
    "shape of exact": (changed((EXACT, "exact=lambda x: np.zeros(3)")), "exact solution of u returns shape (3,)"),
    "exact asks too much": (changed((EXACT, "exact=lambda x, y: x + y")), "asks for 'y'"),
    "nan at the start": (changed((EQUATION, "return u.xx + np.log(-1 - u**2)")), "tiny is nan at x ="),
    "zero points": (changed((POINTS, "points=0")), "number of points is 0"),
    "negative points": (changed((POINTS, "points=-4")), "number of points is -4"),
    "points of nobody": (changed((POINTS, "points={'interiour': 5}")), "'interiour', which is not there"),
    "weights of nobody": (changed((POINTS, "points=8, weighting={'wall': 5.0}")), "'wall', which is not there"),
    "no recipe": (changed(("recipe = Recipe(network=MLP(width=6, depth=1), points=32, resample=False,", "recipe = dict("),
                          ("    stages=[Stage(Adam", "    a=[Stage(Adam")), "`recipe` is of type dict"),
    "a condition twice": (changed((CONDITIONS, "conditions=[Dirichlet(u=0), Dirichlet(u=1)]")), "given twice"),
    "transposed": (changed((EQUATION, "return u.xx - u.T")), "no derivative u.T"),
    "called": (changed((EQUATION, "return u(x).xx")), "write u and u.x, not u(x, t)"),
    "summed": (changed((EQUATION, "return sum(u.xx)")), "no list of points"),
    "math": (changed(("exact=lambda x: amplitude * np.sin(", "exact=lambda x: amplitude * __import__('math').sin(")),
             "np.sin, not math.sin"),
    "name of a residual": (changed((CONDITIONS, "conditions=[pinn.Residual(lambda u: u, name=3)]")), "name of a Residual is 3"),
    "name of a problem": (changed((CONDITIONS, CONDITIONS + ", name='../../mine'")), "name is '../../mine'"),
    "nan in exact at an end": (changed((EXACT, "exact=lambda x: x / x")), "exact solution of u is nan at x = 0"),
    "a class of networks": (changed(("network=MLP(width=6, depth=1)", "network=MLP")), "is no network"),
    "a class of optimizers": (changed(("Stage(SSBroyden(), iterations=60)", "SSBroyden")), "is no optimizer"),
    "ends the program": (changed(("def problem(", "raise SystemExit\n\ndef problem(")), "ended the program where: mine.py:"),
    "ends the program inside": (changed(("    def tiny", "    quit()\n\n    def tiny")), "ended the program where: mine.py:"),
    "line of a face": (changed(NAMED, (CONDITIONS, "conditions=[Dirichlet(u=0, on=DOMAIN.face(x=0.5))]")),
                       "where: mine.py:16, in face(x=0.5)"),
    "line of a recipe": (changed((POINTS, "points=0")), "where: mine.py:7 "),
    "more points than memory": (changed((POINTS, "points=10**13")), "not enough memory"),
    "unknown condition": (changed((CONDITIONS, "conditions=[Dirichlet(w=0)]")), "'w', which is no unknown"),
}


def refused(words: list[str], folder: Path, capsys, said: str) -> str:
    """The message of a command that must fail with 2, in one go, and leave the folder as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folders = {path for path in folder.rglob("*") if path.is_dir()}
    code = cli.main(words)
    shown = capsys.readouterr()
    assert code == 2, shown
    message = " ".join(shown.err.split())
    assert said in message, shown.err
    assert shown.err.startswith("pinn: ") and shown.err.count("pinn: ") == 1
    assert "Traceback" not in shown.err + shown.out
    assert any(word in message for word in ("where:", "why:", "fix:")), shown.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert {path for path in folder.rglob("*") if path.is_dir()} == folders
    return message


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # an older result that nobody may touch
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("precious")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_problem_files(name, folder, capsys):
    text, said = FILES[name]
    path = folder / "mine.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refused(["solve", "mine.py", "--out", "out", "--quiet"], folder, capsys, said)
    assert "mine.py" in message or "fix:" in message


@pytest.mark.parametrize("name", ["no Python", "no problem", "raises", "misspelt derivative", "nan in exact",
                                  "points of nobody", "weights of nobody", "more points than memory"])
def test_checking_refuses_what_solving_refuses(name, folder, capsys):
    write_tiny(folder, "mine.py", FILES[name][0])
    refused(["check", "mine.py"], folder, capsys, FILES[name][1])


@pytest.mark.parametrize(("words", "said"), [
    (["solve", "missing.py"], "there is no file missing.py"),
    (["solve", "deep/missing"], "there is no file deep/missing"),
    (["solve", "burgher"], "did you mean burgers"),
    (["solve", "."], "is a folder"),
    (["solve", "mine.py", "--set", "q=1"], "no parameter 'q'"),
    (["solve", "mine.py", "--set", "amplitud=1"], "--set amplitude=1"),
    (["solve", "mine.py", "--set", "amplitude=big"], "is no number"),
    (["solve", "mine.py", "--set", "amplitude=nan"], "is not finite"),
    (["solve", "mine.py", "--set", "amplitude=inf"], "is not finite"),
    (["solve", "mine.py", "--set", "k=1.5"], "no whole number"),
    (["solve", "mine.py", "--set", "sure=perhaps"], "neither yes nor no"),
    (["solve", "mine.py", "--out", "mine.py"], "results cannot be written to mine.py"),
    (["solve", "mine.py", "--out", "mine.py/deeper"], "results cannot be written to mine.py/deeper"),
    (["solve", "mine.py", "--out", "/proc/nobody/writes/here"], "results cannot be written"),
    (["solve", "mine.py", "--resume"], "no run to resume"),
    (["solve", "mine.py", "--resume", "--out", "nowhere"], "there is no file nowhere/solution.npz"),
    (["solve", "mine.py", "--resume", "--out", "damaged"], "damaged"),
    (["plot", "nowhere"], "there is no file nowhere"),
    (["plot", "out"], "no folder of a run"),
    (["plot", "damaged"], "damaged"),
    (["plot", "damaged/solution.npz"], "damaged"),
    (["plot", "foreign.npz"], "not a solution of jetspace"),
    (["plot", "mine.py"], "not a solution file"),
])
def test_words(words, said, folder, capsys):
    write_tiny(folder, "mine.py")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "solution.npz").write_bytes(b"PK\x03\x04 cut short")
    np.savez(folder / "foreign.npz", numbers=np.arange(3))
    refused(words, folder, capsys, said)


def test_the_output_folder_is_tried_before_any_training(folder, capsys, monkeypatch):
    def train(*args, **options):
        raise AssertionError("training began")

    monkeypatch.setattr("pinn.run.train", train)
    write_tiny(folder, "mine.py")
    refused(["solve", "mine.py", "--out", "mine.py/deeper"], folder, capsys, "results cannot be written")
