"""Style, as far as a machine can see it: ruff finds nothing, and the types of the public packages hold together."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_tool(*arguments: str, at: Path = ROOT) -> tuple[int, str]:
    """Exit code and output of a Python tool of this environment, run at `at` without colours."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=at, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def test_ruff_finds_nothing():
    code, output = run_tool("ruff", "check", "--output-format=concise", "--no-cache", ".")
    assert code == 0, output


def test_ruff_reads_our_rules(tmp_path):
    (tmp_path / "careless.py").write_text("import os\nfrom typing import Optional\nx: Optional[int] = None\n")
    options = ("--no-cache", "--output-format=concise", "--config", str(ROOT / "pyproject.toml"))
    code, output = run_tool("ruff", "check", *options, ".", at=tmp_path)
    assert code == 1
    assert set(re.findall(r"careless\.py:\d+:\d+: (\w+)", output)) >= {"F401", "I001", "UP045"}


def test_types_hold_together():
    code, output = run_tool("mypy", "--no-color-output", "--no-error-summary")
    assert code == 0, output


def test_mypy_reads_our_rules(tmp_path):
    (tmp_path / "careless.py").write_text("def double(x):\n    y: int = 'two'\n    return y\n")
    options = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path))
    code, output = run_tool("mypy", *options, "careless.py", at=tmp_path)
    assert code == 1
    assert "[assignment]" in output
