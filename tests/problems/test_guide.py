"""docs/problem_files.md does what it says: its blocks run, its conditions are accepted, its mistakes give its messages."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
import pinn
from pinn import Box, Dirichlet, Initial, Problem, Time
from pinn.errors import PinnError
from pinn.supply import Supply

GUIDE = (Path(__file__).parents[2] / "docs" / "problem_files.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
LINES = [row.split(" | ")[1].strip("` ") for row in GUIDE.splitlines()
         if row.startswith("| ") and re.match(r"`(Initial|Dirichlet|Neumann|Robin|Residual)\(", row.split(" | ")[1])]
MESSAGES = [row.strip("| ").split(" | ")[:2] for row in GUIDE.split("## Common mistakes")[1].splitlines()
            if row.startswith("| ") and not row.startswith("| you wrote")]

WORDS = {name: getattr(pinn, name) for name in pinn.__all__}
ROD = Box(x=(0, 1)) * Time(t=(0, 1))
PLATE = Box(x=(0, 1), y=(0, 1)) * Time(t=(0, 1))


def heat(u, x, t):
    return u.t - u.xx


def transport(u, v, x, y):
    return u.tt - u.xx, v.t - v.xx


def rod(equation=heat, conditions=None, unknowns="u", exact=None):
    given = [Initial(u=0), Dirichlet(u=0)] if conditions is None else conditions
    return Problem(unknowns=unknowns, domain=ROD, equations=[equation], conditions=given, exact=exact)


def equation(source: str):
    """An equation named heat with this body."""
    scope: dict = {"np": np, "math": math}
    exec(f"def heat(u, x, t):\n    {source}", scope)
    return scope["heat"]


def heat_of_misspelt_time(u, x, T):
    return u.t - u.xx


heat_of_misspelt_time.__name__ = "heat"

# what the first column describes in words or shows in part, made whole; the rest is evaluated as it stands
MISTAKES = {
    "`def heat(u, x, T)`": lambda: rod(heat_of_misspelt_time),
    "`u.q`": lambda: rod(equation("return u.q")),
    "`math.sin(x)`": lambda: rod(equation("return u.t - math.sin(x)")),
    "`u(x, t)`": lambda: rod(equation("return u(x, t).t - u.xx")),
    "`u.T`": lambda: rod(equation("return u.T - u.xx")),
    "no `return`": lambda: rod(equation("u.t - u.xx")),
    "`return u.t == u.xx`": lambda: rod(equation("return u.t == u.xx")),
    "`return x - t`": lambda: rod(equation("return x - t")),
    "`u.x if x > 0 else u.t`": lambda: rod(equation("return u.x if x > 0 else u.t")),
    "`Initial` left out": lambda: rod(conditions=[Dirichlet(u=0)]),
    "two `Dirichlet(u=...)` without `on=`": lambda: rod(conditions=[Initial(u=0), Dirichlet(u=0), Dirichlet(u=1)]),
    '`unknowns=("u", "v")` and no equation for v': lambda: rod(unknowns=("u", "v")),
    "`exact=lambda x, t: np.log(x - 1)`": lambda: rod(exact=lambda x, t: np.log(x - 1)),
}


def written(source: str):
    """A condition or a part of a domain as the guide writes it; conditions are put into a problem."""
    thing = eval(source, {"np": np, "domain": ROD, **WORDS})
    return rod(conditions=[Initial(u=0), thing])


def test_the_guide_was_read():
    assert len(BLOCKS) == 5 and len(LINES) == 8 and len(MESSAGES) == 21


@pytest.mark.parametrize("block", BLOCKS, ids=["file", "dimensions", "domains", "conditions", "curriculum"])
def test_blocks_run(block):
    scope: dict = {}
    exec(block, scope)
    made = scope.get("problem")
    if callable(made):
        assert all(row.holds for row in made().prove())
    elif made is not None:
        assert [term.weight for term in made.terms if term.name == "Initial(u)"] == [10]


@pytest.mark.parametrize("line", LINES)
def test_conditions_are_accepted(line):
    condition = eval(line, {"np": np, "domain": PLATE, "f": lambda x: np.sin(x), "g": 1.0, **WORDS})
    stated = {name for name, _ in condition.values} if isinstance(condition, Initial) else set()
    start = Initial(**{name: 0 for name in ("u", "u_t", "v") if name not in stated})
    made = Problem(unknowns=("u", "v"), domain=PLATE, equations=[transport], conditions=[start, condition])
    assert made.terms[-1].region.name in ("boundary", "x=0", "x=1", "y=1", "t=0")


@pytest.mark.parametrize(("mistake", "message"), MESSAGES, ids=[mistake for mistake, _ in MESSAGES])
def test_mistakes_give_their_messages(mistake, message):
    with pytest.raises(PinnError) as caught, np.errstate(all="ignore"):
        MISTAKES.get(mistake, partial(written, mistake.strip("`")))()
    assert str(caught.value).startswith(message.replace("\\`", "`"))


def transport_in_time(u, v):
    return u.t - v.xx, v.t - u.xx


NETWORKS = re.findall(r"^\| `([A-Za-z]+\(.*\))` \|", GUIDE.split("## Networks")[1].split("## Optimizers")[0], re.MULTILINE)


@pytest.mark.parametrize("line", NETWORKS)
def test_networks_of_the_guide_give_fields(line):
    """Each makes two fields."""
    network = eval(line, dict(WORDS))
    problem = Problem(("u", "v"), ROD, [transport_in_time], [Initial(u=0, v=np.sin), Dirichlet(u=0)])
    supply = Supply(problem, network)
    theta = supply.initial(np.random.default_rng(0))
    x = np.linspace(0, 1, 5)
    symbols = {problem.space.coordinate(name).node: x for name in ("x", "t")}
    nodes = supply.resolved([supply.fields[name].node for name in ("u", "v")])
    values = ad.evaluate(nodes, symbols, {"theta": theta}, 5)
    assert len(NETWORKS) == 9 and all(np.all(np.isfinite(value)) for value in values)
