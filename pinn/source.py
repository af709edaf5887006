"""Problem files: reading one as a module, making its problem with given parameters, and finding the file behind a problem."""

from __future__ import annotations

import ast
import difflib
import inspect
import linecache
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pinn.conditions import Term
from pinn.errors import FileError, ProblemError, RecipeError, locate
from pinn.jetspace import failure_location
from pinn.problem import Problem
from pinn.recipe import Recipe


@dataclass(frozen=True)
class Origin:
    """What makes a problem again: its name, the part of its file that states it ("" where there is none), its parameters."""

    name: str
    text: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    @staticmethod
    def of(problem: Problem, file: Path | None = None) -> Origin:
        """The origin of a problem, read from `file`, or found by the file of its first equation.

        Parameters that the problem does not remember are read from what its functions have closed over.  Of the file only the
        statements that `problem` rests on are kept, and run, so that a script that solves is not run a second time; a `file`
        that was run as a whole a moment ago may be kept as a whole.  Both only if they give the same equations again.
        """
        code = getattr(problem.equations[0], "__code__", None) if problem.equations else None
        path = file or (Path(code.co_filename) if code is not None else Path())
        name = problem.name or (path.stem if path.suffix == ".py" else "problem")
        for select in (needed, str) if file is not None else (needed,):
            parameters = dict(problem.parameters)
            try:
                text = select(path.read_text(encoding="utf-8")) if path.suffix == ".py" or file is not None else ""
                if text:
                    module = run_text(text, str(path))
                    parameters = parameters or _remembered(module, problem)
                    if _same(make_problem(module, parameters, str(path)), problem):
                        return Origin(name, text, parameters, str(path))
            except Exception:  # whatever a user's file does when run again, a solution can still be saved without it
                continue
        return Origin(name, "", dict(problem.parameters))


def read_problem(path: Path, overrides: Mapping[str, str] | None = None) -> tuple[Problem, Recipe | None]:
    """The problem, and the recipe if there is one, of a problem file; `overrides` are parameters as words.

    Raises FileError for a file that cannot be read as Python, ProblemError for one that states no problem, RecipeError for
    parameters that do not exist or words that are no value.  What the file itself raises passes through.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read", why=error.strerror or str(error), fix="pinn list") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not Python", why=f"it is not text in UTF-8: {error.reason} at byte {error.start}",
                        fix="give the .py file of a problem; pinn new NAME writes one") from error
    module = run_text(text, str(path))
    problem = make_problem(module, read_words(module, overrides or {}, str(path)), str(path))
    recipe = getattr(module, "recipe", None)
    if callable(recipe) and not isinstance(recipe, Recipe):
        recipe = recipe()
    if recipe is not None and not isinstance(recipe, Recipe):
        raise RecipeError(f"`recipe` is of type {type(recipe).__name__}", where=str(path), why="it must be a pinn.Recipe",
                          fix="recipe = Recipe(points=4096)")
    return problem, recipe


def needed(text: str, name: str = "problem") -> str:
    """The statements of a source text that a top-level name rests on, in their order, or "" where it is not bound.

    What rests on a list that is filled before the name is bound, `conditions.append(...)`, rests on the filling, too.

    Raises SyntaxError for what is not Python.
    """
    body = ast.parse(text).body
    lines = text.splitlines(keepends=True)
    bound = [_names(statement, ast.Store) for statement in body]
    modules = {one for k, names in enumerate(bound) if isinstance(body[k], ast.Import | ast.ImportFrom) for one in names}
    last = max((k for k, names in enumerate(bound) if name in names), default=0)
    bound = [names | (_changed(body[k]) - modules if k < last else set()) for k, names in enumerate(bound)]
    wanted, todo = set(), [name]
    while todo:
        one = todo.pop()
        for index, names in enumerate(bound):
            if one in names and index not in wanted and not _is_main(body[index]):
                wanted.add(index)
                todo += _names(body[index], ast.Load)
    # of `from pinn import *` nobody knows what rests on it
    always = {k for k, one in enumerate(body) if isinstance(one, ast.ImportFrom)
              and (one.module == "__future__" or one.names[0].name == "*")}
    if not wanted:
        return ""
    starts = [min([one.lineno, *(mark.lineno for mark in getattr(one, "decorator_list", []))]) for one in body]
    return "".join("".join(lines[starts[k] - 1:body[k].end_lineno]) for k in sorted(wanted | always))


def _names(statement: ast.stmt, context: type[ast.expr_context]) -> set[str]:
    """The names that a statement binds (ast.Store) or reads (ast.Load)."""
    nodes = list(ast.walk(statement))
    found = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            return {statement.name}
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


def _changed(statement: ast.stmt) -> set[str]:
    """The names of which a statement calls methods or sets parts when it is run."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return set()
    parts = [node.func if isinstance(node, ast.Call) else node for node in ast.walk(statement)
             if isinstance(node, ast.Call) or isinstance(getattr(node, "ctx", None), ast.Store)]
    owners = [part.value for part in parts if isinstance(part, ast.Attribute | ast.Subscript)]
    return {owner.id for owner in owners if isinstance(owner, ast.Name)}


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in _names(statement, ast.Load)


def run_text(text: str, file: str) -> ModuleType:
    """The module that a source text makes; it sees the files beside it.  Raises FileError for what is not Python."""
    name = f"problem_file_{Path(file).stem}".replace("-", "_")
    try:
        code = compile(text, file, "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise FileError(f"{file} is not Python", where=f"{file}:{line}" if line else file, code="not-python",
                        why=getattr(error, "msg", None) or str(error), fix="correct that line") from error
    module = ModuleType(name, None)
    module.__file__ = file
    # tracebacks show the lines of a text that is in no file
    if not Path(file).exists():
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    with beside(Path(file).parent):
        sys.modules[name] = module  # dataclasses look their module up while it runs
        try:
            with not_ending():
                exec(code, module.__dict__)
        finally:
            del sys.modules[name]
    return module


@contextmanager
def not_ending() -> Iterator[None]:
    """Raises FileError where code of the user's ends the program instead of stating a problem."""
    try:
        yield
    except SystemExit as end:
        raise FileError("the problem file ended the program", where=failure_location(end.__traceback__), code="ended",
                        why="sys.exit, exit or quit was called while the file was read",
                        fix='leave it out, or put it under if __name__ == "__main__":') from end


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Modules of a folder can be imported, as they can when a script of it runs."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


def make_problem(module: ModuleType, parameters: Mapping[str, Any], file: str) -> Problem:
    """The problem of a module with these parameters, named after its file.  Raises ProblemError if it states none."""
    stated = getattr(module, "problem", None)
    if stated is None:
        raise ProblemError("the file states no problem", where=file, code="no-problem",
                           why="it has neither a function nor a Problem named `problem`",
                           fix="def problem(): return Problem(...); pinn new NAME writes an example")
    known: dict[str, Any] = {}
    if isinstance(stated, Problem):
        problem = stated
    elif callable(stated) and not isinstance(stated, type):
        known = {name: parameter.default for name, parameter in parameters_of(stated).items()}
        missing = [name for name, value in known.items() if value is inspect.Parameter.empty and name not in parameters]
        if missing:
            raise ProblemError(f"problem() needs {', '.join(missing)}", where=locate(stated), code="parameter",
                               why="a parameter without a default must be given", fix=f"--set {missing[0]}=1.0")
        known |= parameters
        with beside(Path(file).parent), not_ending():
            problem = stated(**known)
    else:
        raise ProblemError(f"`problem` is of type {type(stated).__name__}", where=file, code="no-problem",
                           why="it must be a Problem, or a function that returns one", fix="def problem(): return Problem(...)")
    if not isinstance(problem, Problem):
        what = "nothing" if problem is None else f"a value of type {type(problem).__name__}"
        raise ProblemError(f"problem() returned {what}",
                           where=locate(stated), why="it must return a Problem", fix="return Problem(...)", code="no-problem")
    return replace(problem, name=problem.name or Path(file).stem, parameters=known or problem.parameters)


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of a function."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in inspect.signature(function).parameters.items() if one.kind in kinds}


def read_words(module: ModuleType, words: Mapping[str, str], file: str) -> dict[str, Any]:
    """Parameters given as words, each read as its default is: whole numbers, numbers, yes or no, or text.

    Raises RecipeError for a parameter that the problem does not have and for a word that is no such value.
    """
    stated = getattr(module, "problem", None)
    known = parameters_of(stated) if callable(stated) else {}
    found = {}
    for name, word in words.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            has = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
            raise RecipeError(f"the problem has no parameter {name!r}", where=file, why=has, code="parameter",
                              fix=f"--set {(close or list(known))[0]}={word}" if known else "leave --set out")
        found[name] = _read(name, word, known[name].default)
    return found


def _read(name: str, word: str, default: Any) -> Any:
    if isinstance(default, str):
        return word
    if isinstance(default, bool):
        values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if word.lower() not in values:
            raise RecipeError(f"--set {name}={word} is neither yes nor no", fix=f"--set {name}=yes", code="number")
        return values[word.lower()]
    try:
        value = float(word)
    except ValueError as error:
        raise RecipeError(f"--set {name}={word} is no number", why=f"the default of {name} is {default!r}", code="number",
                          fix=f"--set {name}={default if default is not inspect.Parameter.empty else 1.0}") from error
    if not np.isfinite(value):
        raise RecipeError(f"--set {name}={word} is not finite", fix=f"--set {name}={default}", code="number")
    if isinstance(default, int):
        if value != int(value):
            raise RecipeError(f"--set {name}={word} is no whole number", why=f"the default of {name} is {default!r}",
                              fix=f"--set {name}={round(value)}, or {name}={float(default)} in the file", code="number")
        return int(value)
    return value


def _remembered(module: ModuleType, problem: Problem) -> dict[str, Any]:
    """The values of the parameters of `problem(...)` in the closures of the functions that it made."""
    stated = getattr(module, "problem", None)
    wanted = parameters_of(stated) if callable(stated) and not isinstance(stated, Problem) else {}
    closed: dict[str, Any] = {}
    exact = getattr(problem.exact, "function", None)
    values = [value for condition in problem.conditions for _, value in getattr(condition, "values", ())]
    others = [getattr(condition, "function", None) for condition in problem.conditions]
    for function in (*problem.equations, exact, *values, *others):
        if inspect.isfunction(function):
            closed |= {name: value for name, value in inspect.getclosurevars(function).nonlocals.items() if name not in closed}
    return {name: closed.get(name, one.default) for name, one in wanted.items()}


def _same(a: Problem, b: Problem) -> bool:
    """Whether two problems have the same residuals on the same regions: equal expressions are one node."""
    def said(term: Term) -> list[Any]:  # predicates are other functions each time
        return [term.name, term.region.name, [(piece.chart, piece.measure) for piece in term.region.pieces],
                [residual.node for residual in term.residuals]]

    return a.domain == b.domain and list(map(said, a.terms)) == list(map(said, b.terms))
