"""Every problem file proven by the library itself: the exact solution put into each of its equations and conditions."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from pinn import Reference
from pinn.problem.checks import closed_points

PROBLEMS = Path(__file__).parents[2] / "problems"
MODULES = sorted(
    ".".join(path.relative_to(PROBLEMS.parent).with_suffix("").parts)
    for path in PROBLEMS.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("module", MODULES)
def test_the_exact_solution_is_proven_by_substitution(module):
    problem = importlib.import_module(module).problem()
    for row in problem.prove():
        if isinstance(problem.exact.function, Reference):  # proves nothing: test_numerical.py
            assert row.holds is None and "reference" in row.method, row
        else:
            assert row.holds and row.method == "derivatives", row


@pytest.mark.parametrize("module", MODULES)
def test_exact_is_finite_on_the_closed_domain(module):
    problem = importlib.import_module(module).problem()
    for values in problem.exact_fields(closed_points(problem.domain)).values():
        assert np.all(np.isfinite(values))
