"""The command line by itself: what it understands, what it hands on, how it says no.  What it runs is replaced."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from autodiff.errors import TraceError
from pinn import cli
from pinn.errors import FileError, ProblemError, RecipeError
from pinn.events import Compiled, Progress, StageEnded, Started, Stop, emit
from pinn.template import write_template
from tests.pinn.closed_form import everything

ROOT = Path(__file__).parents[2]
SOLUTION = everything()["burgers"]


@pytest.fixture
def room(monkeypatch, tmp_path):
    """A stand-in for `pinn.run` that records what it was asked."""
    file = tmp_path / "mine.py"
    file.write_text("def problem():\n    return 1 / 0\n")
    asked = {}

    def find_problem(name):
        asked["name"] = name
        if name == "nothing":
            raise FileError("there is no problem nothing", fix="pinn list")
        return file

    def load_problem(path, overrides):
        asked["overrides"] = overrides
        return SOLUTION.problem, "the recipe"

    def solve_and_report(problem, recipe, *, callbacks, **options):
        asked.update(options, recipe=recipe)
        emit(Started(problem, recipe, options["seed"], 2241, SOLUTION.points, options["seconds"]), callbacks)
        emit(Compiled(1.5), callbacks)
        asked["requests"] = emit(Progress("adam", 0, None, 1.0, {}, {}, 0.0, None, np.zeros(1)), callbacks)
        emit(StageEnded("adam", "enough"), callbacks)
        return SOLUTION

    stand_in = SimpleNamespace(
        asked=asked, file=file, find_problem=find_problem, load_problem=load_problem, solve_and_report=solve_and_report,
        available_problems=lambda: [("heat_1d", file, "Heat conduction."), ("burgers", file, "Viscous [Burgers].")],
        check=lambda problem, recipe: [("demands", [("burgers", "u, u.t, u.x, u.xx", None)]),
                                       ("exact", [("burgers", "largest residual 3e-14", True)])],
        load_run=lambda path: SOLUTION, write_plots=lambda solution, folder: [Path(folder) / "u.png"])
    monkeypatch.setattr(cli, "run", stand_in)
    return stand_in


def test_solve_hands_every_option_on(room, capsys, tmp_path):
    words = ["solve", "burgers", "--set", "nu=0.05", "--set", "k = a=b", "--seconds", "2.5", "--seed", "3", "--threads", "2",
             "--out", str(tmp_path / "out"), "--resume"]
    assert cli.main(words) == 0
    asked = room.asked
    assert asked["name"] == "burgers" and asked["overrides"] == {"nu": "0.05", "k": "a=b"} and asked["recipe"] == "the recipe"
    assert (asked["seconds"], asked["seed"], asked["threads"], asked["out"], asked["resume"]) == (
        2.5, 3, 2, tmp_path / "out", True)
    assert asked["requests"] == ()
    shown = capsys.readouterr()
    assert "adam step 0" in shown.out and "relative L2 error of u" in shown.out and "3.10e-04" in shown.out
    assert str(tmp_path / "out") in shown.out and shown.err == ""


def test_solve_without_options_leaves_the_choice_to_the_run(room):
    assert cli.main(["solve", "burgers"]) == 0
    asked = room.asked
    assert (asked["seconds"], asked["seed"], asked["threads"], asked["out"], asked["resume"], asked["overrides"]) == (
        None, 0, None, None, False, {})


def test_quiet_says_nothing(room, capsys):
    assert cli.main(["solve", "burgers", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == ""


@pytest.mark.parametrize(("words", "said"), [
    ([], ""), (["solve"], "NAME_OR_FILE"), (["dance"], "dance"), (["solve", "burgers", "--speed", "9"], "--speed"),
    (["solve", "nothing"], "there is no problem nothing"), (["check", "nothing"], "there is no problem nothing"),
    (["solve", "burgers", "--seconds", "soon"], "--seconds"), (["solve", "burgers", "--seconds", "0"], "--seconds 0"),
    (["solve", "burgers", "--seconds", "-1"], "--seconds -1"), (["solve", "burgers", "--seconds", "nan"], "--seconds nan"),
    (["solve", "burgers", "--seconds", "inf"], "--seconds inf"),
    (["solve", "burgers", "--seed", "-1"], "--seed -1"), (["solve", "burgers", "--seed", "1.5"], "--seed"),
    (["solve", "burgers", "--threads", "0"], "--threads 0"),
    (["solve", "burgers", "--set", "nu"], "--set nu is not understood"),
    (["solve", "burgers", "--set", "=1"], "--set =1 is not understood"),
    (["solve", "burgers", "--set", "nu="], "--set nu= is not understood"),
    (["solve", "burgers", "--set", "a b=1"], "--set a b=1 is not understood"),
    (["solve", "burgers", "--set", "nu=1", "--set", "nu=2"], "--set gives nu twice"),
    (["plot"], "RUN"), (["new"], "NAME"), (["new", "no-dash"], "cannot be the name"),
    (["new", "missing/one"], "cannot be written"),
])
def test_bad_words_are_one_message_and_exit_code_2(words, said, room, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code = cli.main(words)
    shown = capsys.readouterr()
    # no command at all is a question, which older releases of click answer with the help and 0
    assert code == 2 or not words
    assert said in " ".join(shown.err.split()) and "Traceback" not in shown.err + shown.out
    assert (shown.out == "" and shown.err) or not words
    assert "seconds" not in room.asked and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("error", [
    ProblemError("u.q is no derivative", where="mine.py:3", why="q is no coordinate", fix="u.x"),
    TraceError("float() of a traced value", where="mine.py:4", why="it has no number yet", fix="np.float64"),
    RecipeError("zero points"), FileError("results cannot be written"),
])
def test_every_typed_failure_is_its_own_sentence(error, room, capsys):
    def fail(*args, **options):
        raise error

    room.solve_and_report = fail
    assert cli.main(["solve", "burgers"]) == 2
    shown = capsys.readouterr()
    assert shown.err.split() == ("pinn: " + str(error)).split() and shown.out == ""


@pytest.mark.parametrize("command", ["solve", "check"])
def test_what_a_problem_file_raises_is_told_with_its_line(command, room, capsys):
    def load_problem(path, overrides):
        space = {}
        exec(compile(path.read_text(), str(path), "exec"), space)
        return space["problem"]()

    room.load_problem = load_problem
    assert cli.main([command, str(room.file)]) == 2
    shown = capsys.readouterr().err
    assert f"ZeroDivisionError: division by zero\n  where: {room.file}:2" in shown and "Traceback" not in shown


def test_a_syntax_error_in_a_problem_file_is_told_with_its_line(room, capsys):
    room.file.write_text("x = 1\ndef problem(:\n")
    room.load_problem = lambda path, overrides: compile(path.read_text(), str(path), "exec")
    assert cli.main(["solve", str(room.file)]) == 2
    assert f"{room.file}:2" in capsys.readouterr().err


def test_a_failure_of_our_own_is_not_blamed_on_the_user(room):
    def fail(*args, **options):
        raise KeyError("a bug")

    room.solve_and_report = fail
    with pytest.raises(KeyError, match="a bug"):
        cli.main(["solve", "burgers"])


def test_ctrl_c_asks_to_stop_and_twice_aborts(room, capsys):
    def one(problem, recipe, *, callbacks, **options):
        os.kill(os.getpid(), signal.SIGINT)
        event = Progress("adam", 0, None, 1.0, {}, {}, 0.0, None, np.zeros(1))
        room.asked["requests"] = emit(event, callbacks)
        return SOLUTION

    def two(problem, recipe, *, callbacks, **options):
        one(problem, recipe, callbacks=callbacks)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    room.solve_and_report = one
    assert cli.main(["solve", "burgers"]) == 0
    assert room.asked["requests"] == (Stop("interrupted by Ctrl-C"),)
    assert "finishing this step; press Ctrl-C again" in capsys.readouterr().out
    room.solve_and_report = two
    assert cli.main(["solve", "burgers"]) == 130
    assert "aborted by Ctrl-C" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_list_is_plain_in_a_pipe(room, capsys):
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "heat_1d  Heat conduction.\nburgers  Viscous [Burgers].\n"


def test_a_terminal_gets_tables(room, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(cli, "Console", lambda **options: Console(file=screen, width=100, color_system=None))
    assert cli.main(["list"]) == 0
    assert [line.split("  ")[0] for line in screen.getvalue().splitlines()] == ["problem", "heat_1d", "burgers"]
    assert "Viscous [Burgers]." in screen.getvalue()
    assert cli.main(["solve", "burgers"]) == 0
    final = screen.getvalue()[screen.getvalue().rindex("\x1b[2K"):]
    assert "│ relative L2 error of u " in final and "3.10e-04" in final and "compiled in 1.50 s" in screen.getvalue()


def test_check_passes_and_fails_by_what_it_finds(room, capsys):
    assert cli.main(["check", "burgers", "--set", "nu=1"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["demands", "      burgers  u, u.t, u.x, u.xx", "exact", "  ok  burgers  largest residual 3e-14"]
    assert room.asked["overrides"] == {"nu": "1"}
    room.check = lambda problem, recipe: [("exact", [("burgers", "largest residual 0.3", False)])]
    assert cli.main(["check", "burgers"]) == 2
    shown = capsys.readouterr()
    assert "NO  burgers  largest residual 0.3" in shown.out and "one thing does not hold" in shown.err


def test_plot_prints_what_it_wrote(room, capsys, tmp_path):
    assert cli.main(["plot", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'u.png'}\n"
    assert cli.main(["plot", str(tmp_path / "solution.npz")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'u.png'}\n"


@pytest.mark.parametrize("name", ["mine_2", "mine_2.py"])
def test_new_writes_a_file_once(name, room, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", name]) == 0
    assert "pinn solve mine_2.py" in capsys.readouterr().out
    written = (tmp_path / "mine_2.py").read_text()
    compile(written, "mine_2.py", "exec")
    assert "@" not in written and max(map(len, written.splitlines())) <= 128
    assert written.splitlines()[0].startswith('"""Mine 2: heat')
    (tmp_path / "mine_2.py").write_text("precious")
    assert cli.main(["new", name]) == 2
    assert "exists already" in capsys.readouterr().err and (tmp_path / "mine_2.py").read_text() == "precious"


def test_the_template_puts_its_file_where_it_is_told(tmp_path):
    assert write_template(str(tmp_path / "one")) == tmp_path / "one.py"
    with pytest.raises(FileError, match="cannot be written"):
        write_template(str(tmp_path / "absent" / "one"))


def test_version_and_help_as_a_process():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    shown = [subprocess.run([sys.executable, "-m", "pinn", word], capture_output=True, text=True, env=environment, timeout=60)
             for word in ("--version", "--help")]
    assert [one.returncode for one in shown] == [0, 0], shown
    assert shown[0].stdout.startswith("jetspace 0.")
    for command in ("solve", "list", "check", "plot", "new"):
        assert command in shown[1].stdout
