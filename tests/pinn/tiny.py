"""A problem file that is solved in a blink, for tests of everything around the solving."""

from __future__ import annotations

from pathlib import Path

TEXT = '''"""Tiny: u'' = -(k pi)^2 sin(k pi x) on (0, 1), u(0) = u(1) = 0."""
import numpy as np

import pinn
from pinn import MLP, Adam, Box, Dirichlet, Problem, Recipe, SSBroyden, Stage

recipe = Recipe(network=MLP(width=6, depth=1), points=32, resample=False,
                stages=[Stage(Adam(1e-2), iterations=20), Stage(SSBroyden(), iterations=60)])


def problem(k=1, amplitude=1.0, label="plain", sure=False):
    def tiny(u, x):
        return u.xx / np.pi**2 + amplitude * k**2 * np.sin(k * np.pi * x)

    return Problem(unknowns="u", domain=Box(x=(0, 1)), equations=[tiny], conditions=[Dirichlet(u=0)],
                   exact=lambda x: amplitude * np.sin(k * np.pi * x))


if __name__ == "__main__":
    pinn.main(__file__)
'''


def write_tiny(folder: Path, name: str = "tiny.py", text: str = TEXT) -> Path:
    """The file of the tiny problem."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
