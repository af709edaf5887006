"""What every problem file promises its reader: one page, three libraries, a docstring to start from, a command to run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROBLEMS = Path(__file__).parents[2] / "problems"
FILES = sorted(path for path in PROBLEMS.rglob("*.py") if path.name != "__init__.py")
NAMES = [path.stem for path in FILES]


def test_there_are_problems_and_no_two_share_a_name():
    assert len(FILES) >= 12
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda path: path.name)
def test_folders_are_packages(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_one_page(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 128


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_only_numpy_scipy_and_pinn(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)
    reads_data = "Reference" in path.read_text()
    assert {module.split(".")[0] for module in modules} <= {"numpy", "scipy", "pinn"} | ({"importlib"} if reads_data else set())


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_docstring_says_how_to_run_it_and_where_the_solution_comes_from(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert f"$ pinn solve {path.stem}" in text
    assert "xact solution" in text


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_is_a_problem_and_a_script(path):
    tree = ast.parse(path.read_text())
    makers = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "problem"]
    assert len(makers) == 1 and len(makers[0].args.args) == len(makers[0].args.defaults)
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    pinn.main(__file__)"
