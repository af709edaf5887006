"""The README keeps its word: its commands are those that run, its links lead somewhere, its code is code."""

import ast
import doctest
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, text in BLOCK.findall(README) if language == "bash" for line in text.splitlines()]
PYTHON = [text for language, text in BLOCK.findall(README) if language == "python"]
LINKS = re.findall(r"\]\(([^)\s]+)\)", README)

TEST_COMMAND = next(command for command in COMMANDS if "pytest" in command)
SOLVE_COMMAND = next(command for command in COMMANDS if "solve burgers" in command)


def find_function(source: str, name: str) -> ast.FunctionDef:
    """The function of that name at the top of a source text."""
    (found,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name)
    return found


def imported_names(source: str, module: str) -> set[str]:
    """The names that a source text imports from a module."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module == module]
    return {alias.name for node in nodes for alias in node.names}


def test_ci_runs_the_test_command_to_the_letter():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == TEST_COMMAND
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("command", [SOLVE_COMMAND, TEST_COMMAND])
def test_commands_make_their_own_environment(command):
    steps = [shlex.split(step) for step in command.split("&&")]
    assert steps[0] == ["python3", "-m", "venv", ".venv"]
    assert all(step[0].startswith(".venv/bin/") for step in steps[1:])


def test_commands_name_things_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"\.\[(\w+)\]", README))
    assert extras <= set(project["optional-dependencies"])
    module, function = project["scripts"]["pinn"].split(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert find_function(source, function)


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./]+\.py|[\w]+/)`", README)) - {"mine.py"}))
def test_named_files_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("source", [text for text in PYTHON if not text.startswith(">>>")])
def test_code_is_code_and_asks_for_public_names(source):
    compile(source, "README.md", "exec")
    door = ast.walk(ast.parse((ROOT / "pinn" / "__init__.py").read_text(encoding="utf-8")))
    public = {alias.asname or alias.name for node in door if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported_names(source, "pinn") <= public


def test_problem_file_is_the_problem_that_is_solved():
    (shown,) = (text for text in PYTHON if "def problem(" in text)
    kept = (ROOT / "problems" / "nonlinear" / "burgers.py").read_text(encoding="utf-8")
    assert ast.dump(find_function(shown, "problem")) == ast.dump(find_function(kept, "problem"))
    assert imported_names(shown, "pinn") == imported_names(kept, "pinn")


def test_sessions_print_what_the_readme_says():
    sessions = [text for text in PYTHON if text.startswith(">>>")]
    assert sessions
    runner = doctest.DocTestRunner()
    told: list[str] = []
    for session in sessions:
        runner.run(doctest.DocTestParser().get_doctest(session, {}, "README.md", "README.md", 0), out=told.append)
    assert runner.failures == 0, "".join(told)
    assert runner.tries > 0
