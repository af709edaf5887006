"""The guides to the tape and to functions: every block runs, and prints what stands under it."""

import contextlib
import io
import linecache
import re
import warnings
from functools import cache
from pathlib import Path

import pytest

import autodiff as ad

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("tape.md", "function.md")}
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)
NAME = "train.py"  # what the blocks are called in messages


def run(text):
    """What each block of a guide prints, or the error that ends it; they share one namespace, in order."""
    namespace, printed = {"__name__": NAME}, []
    for code, _ in BLOCK.findall(text):
        # messages quote the lines of a block
        linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore", ad.UnconnectedWarning)
            try:
                exec(compile(code, NAME, "exec"), namespace)
            except ad.AutodiffError as error:
                print(f"{type(error).__name__}: {error}", file=out)
        printed.append(out.getvalue())
    linecache.cache.pop(NAME, None)
    return printed


@pytest.fixture(scope="module")
def printed():
    """What the blocks of a guide print, by guide; each guide runs once."""
    return cache(lambda guide: run(GUIDES[guide]))


BLOCKS = [(guide, k, block[1]) for guide, text in GUIDES.items() for k, block in enumerate(BLOCK.findall(text))]


@pytest.mark.parametrize(("guide", "number", "expected"), BLOCKS, ids=[f"{guide}-{k}" for guide, k, _ in BLOCKS])
def test_a_block_prints_what_stands_under_it(guide, number, expected, printed):
    assert printed(guide)[number] == expected


def test_every_cause_is_in_the_guide():
    codes = ("not-watched watched-late not-recorded stop-gradient no-derivative left assigned rebound branch independent "
             "inner-outside").split()  # fmt: skip
    assert [code for code in codes if f"`{code}`" not in GUIDES["tape.md"]] == []
