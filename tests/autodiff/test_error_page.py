"""docs/errors.md shows every message: each snippet prints what stands under it, and each code in the sources has a heading.

A code is one cause, so it is enough to show it once, wherever it is raised; an error without `code=` has that of its class.
To add an error: give it a `code=`, write a heading with a snippet and an empty block for its text into the page, and let this
file write what the snippet prints:

    $ PYTHONPATH=. python tests/autodiff/test_error_page.py
"""

import ast
import contextlib
import io
import linecache
import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from autodiff import errors as module
from autodiff.record import NOTED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
NAME = "your_file.py"  # what the snippets are called in messages
ENTRY = re.compile(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"```python\n(.*?)```\n```text\n(.*?)```\n", re.DOTALL)
VARYING = ((re.compile(r"\b0x[0-9a-f]+"), "0x..."), (re.compile(r"\(\d+\.\d s\)"), "(0.5 s)"))


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} of {record.name}: {record.getMessage()}")


def run(snippet):
    """What a snippet prints, logs, warns of, and the error that ends it; and the codes of the error and of the warnings."""
    linecache.cache[NAME] = (len(snippet), None, snippet.splitlines(keepends=True), NAME)
    out, log, end, codes = io.StringIO(), Kept(), "", set()
    logger = logging.getLogger("autodiff")
    logger.addHandler(log)
    NOTED.clear()
    try:
        with contextlib.redirect_stdout(out), warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                exec(compile(snippet, NAME, "exec"), {"__name__": NAME, "np": np, "ad": ad})
            except ad.AutodiffError as error:
                end = f"{type(error).__name__}: {error}\n"
                codes.add(error.code)
    finally:
        logger.removeHandler(log)
        del linecache.cache[NAME]
    codes |= {w.category.__name__ for w in caught} | {"log" for _ in log.lines}
    text = "".join([out.getvalue(), *[f"{line}\n" for line in log.lines],
                    *[f"{w.category.__name__}: {w.message}\n" for w in caught], end])  # fmt: skip
    for what, always in VARYING:
        text = what.sub(always, text)
    return text, codes


def entries():
    """(code, number, snippet, what it prints) of the page."""
    return [(code, k, *block) for code, body in ENTRY.findall(PAGE.read_text(encoding="utf-8"))
            for k, block in enumerate(BLOCK.findall(body))]  # fmt: skip


@pytest.mark.parametrize(("code", "number", "snippet", "shown"), [pytest.param(*e, id=f"{e[0]} {e[1]}") for e in entries()])
def test_a_snippet_prints_what_stands_under_it(code, number, snippet, shown):
    text, codes = run(snippet)
    assert text == shown
    assert code in codes


# ---- nothing is missing --------------------------------------------------------------------------------------------------


def trees():
    return {p.relative_to(ROOT).as_posix(): ast.parse(p.read_text(encoding="utf-8"))
            for p in sorted((ROOT / "autodiff").rglob("*.py"))}  # fmt: skip


def codes_of_errors():
    """The code of every error that is made in the sources, with the place: what `code=` says, else that of the class."""
    errors = {name: e.code for name, e in vars(module).items() if isinstance(e, type) and issubclass(e, ad.AutodiffError)}
    for path, tree in trees().items():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in errors:
                given = [k.value for k in call.keywords if k.arg == "code"]
                told = [c.value for v in given for c in ast.walk(v) if isinstance(c, ast.Constant)]
                for code in told if given else [errors[call.func.id]]:  # `code=error.code` passes on what was told elsewhere
                    yield code, f"{path}:{call.lineno}"


def warning_classes():
    for path, tree in trees().items():
        for c in ast.walk(tree):
            if isinstance(c, ast.ClassDef) and any(ast.unparse(b).endswith("Warning") for b in c.bases):
                yield c.name, f"{path}:{c.lineno}"


def headings():
    return {code for code, _ in ENTRY.findall(PAGE.read_text(encoding="utf-8"))}


def test_everything_that_can_be_said_has_a_heading():
    missing = {place: code for code, place in (*codes_of_errors(), *warning_classes()) if code not in headings()}
    assert missing == {}


def test_every_heading_can_be_met():
    assert headings() - {code for code, _ in (*codes_of_errors(), *warning_classes())} == {"log"}


def test_every_entry_has_a_snippet():
    assert {code for code, *_ in entries()} == headings()


def test_every_line_of_the_log_is_on_the_page():
    shown = "\n".join(text for code, _, _, text in entries())
    templates = [call.args[0].value for tree in trees().values() for call in ast.walk(tree)
                 if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("LOG.")
                 and isinstance(call.args[0], ast.Constant)]  # fmt: skip
    assert templates
    for template in templates:
        assert re.search(".+".join(map(re.escape, re.split(r"%[.0-9]*[sdfg]", template))), shown), template


def rewritten(text):
    """The page with what its snippets print now."""
    return ENTRY.sub(lambda entry: BLOCK.sub(
        lambda block: f"```python\n{block[1]}```\n```text\n{run(block[1])[0]}```\n", entry[0]), text)  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
