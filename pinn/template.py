"""The problem file that `pinn new` writes: complete, commented, and solved as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from pinn.errors import FileError, ProblemError

_TEMPLATE = '''"""@NAME@: heat conduction on (0, 1) x (0, 1]:   u_t = k u_xx,   u(x, 0) = sin(pi x),   u(0, t) = u(1, t) = 0.

The first line above is what `pinn list` shows.  Change what follows into your own problem, then:
    $ pinn check @FILE@      no training: what is demanded, whether `exact` satisfies everything
    $ pinn solve @FILE@ --seconds 60
"""
import numpy as np
from pinn import Box, Dirichlet, Initial, Problem, Time


def problem(k=0.1):                                  # every parameter here can be set: pinn solve ... --set k=0.2
    domain = Box(x=(0, 1)) * Time(t=(0, 1))          # Box(x=..., y=...) for two dimensions; without Time: a steady problem

    def heat(u, x, t):                               # arguments by name: the unknown, then the coordinates it needs
        return u.t - k * u.xx                        # what must vanish; derivatives are subscripts: u.x, u.xx, u.xt

    return Problem(
        unknowns="u", domain=domain, equations=[heat],
        conditions=[
            Initial(u=lambda x: np.sin(np.pi * x)),
            Dirichlet(u=0),                          # the whole boundary; on=domain.face(x=0) for one face
        ],
        # the analytic solution, if there is one: errors are measured against it; leave the line out otherwise
        exact=lambda x, t: np.exp(-k * np.pi**2 * t) * np.sin(np.pi * x))
'''


def write_template(name: str) -> Path:
    """Write `name.py`, a working problem file, and return its path.

    `name` may carry a folder, which must exist.  Raises `ProblemError` for a name that is no Python name, and `FileError`
    where the file exists already or cannot be written; nothing is ever overwritten.
    """
    path = Path(name)
    stem = path.stem if path.suffix == ".py" else path.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", stem):
        raise ProblemError(f"{stem!r} cannot be the name of a problem", why="it becomes a Python file and a folder of results",
                           fix="use letters, digits and underscores, and begin with a letter: pinn new my_problem")
    path = path.with_name(f"{stem}.py")
    text = _TEMPLATE.replace("@NAME@", stem.replace("_", " ").capitalize()).replace("@FILE@", str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise FileError(f"{path} exists already", why="a new problem never overwrites a file",
                        fix=f"choose another name: pinn new {stem}_2") from error
    except OSError as error:
        raise FileError(f"{path} cannot be written", why=error.strerror or str(error),
                        fix="give a name in a folder that exists and that you may write to") from error
    return path
