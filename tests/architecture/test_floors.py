"""The floors of the house: imports run down, no circle, one door, and nothing hidden.

The tables come first; a new room fails here until it has a floor. The checker reads source text, so the last tests can feed it
houses that do not stand.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# One line a floor, the roof first. A room imports from the floors below it; rooms on one floor are strangers.
FLOORS = {
    "autodiff": """
        __init__
        function
        concrete
        checking custom health
        tape functional control
        explain tracing signature rebound sweep inside
        record
        compile pattern variable
        program listing
        rules
        transforms
        array
        leaves straight
        primitive interpret
        graph
        types recording
        errors
    """,
    "pinn": """
        __main__
        cli
        bench
        __init__
        continuation refinement
        run template
        solver
        stepping
        polish
        portfolio
        way
        renewal plots callbacks archive
        solution profile footprint
        added verdict
        linear objective
        estimate march blockwise
        supply source
        recipe imposition
        problem weighting
        conditions
        jetspace adaptive emphasis hutchinson work
        sampling
        geometry optimizers networks history
        events
        errors version stopwatch peak
    """,
}

# Rooms that know no automatic differentiation, and rooms with a shorter list than their floor gives them.
WITHOUT_AUTODIFF = set(
    "errors version stopwatch peak events history optimizers networks geometry sampling adaptive emphasis hutchinson plots "
    "callbacks".split())
NOTHING_ELSE = {"autodiff.transforms": {"errors", "types", "graph", "primitive", "array"}}

# Who may use which distribution: a package, or single rooms of it.
DISTRIBUTIONS = {
    "numpy": {"autodiff", "pinn", "problems"},
    "scipy": {"autodiff", "pinn", "problems"},
    "numba": {"autodiff.compile", "pinn.optimizers", "pinn.archive"},
    "llvmlite": {"autodiff.compile"},
    "threadpoolctl": {"pinn.solver", "pinn.run", "pinn.cli", "pinn.peak"},
    "matplotlib": {"pinn.plots"},
    "rich": {"pinn.callbacks", "pinn.cli"},
    "typer": {"pinn.cli"},
}
# Who may load code by its name: a problem file is named by a person, a kernel by the hash of its source.
MAY_LOAD = {"pinn.run", "pinn.cli", "pinn.plots", "autodiff.compile"}
MAY_PRINT = {"pinn.callbacks", "pinn.cli"}
NOT_A_NAME = {"utils", "helpers", "misc", "base", "common", "manager"}


@dataclass(frozen=True)
class Import:
    """One imported name: who imports which module or name of a module, and whether a function hides it."""

    importer: str
    target: str
    line: int
    hidden: bool


def read_sources(root: Path, *packages: str) -> dict[str, str]:
    """Source by module, `{"autodiff.rules.__init__": "..."}`, of the packages under `root`."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts): path.read_text(encoding="utf-8") for path in files}


def room_of(module: str) -> str:
    """`autodiff.rules.special` lies in the room `autodiff.rules`; the door itself is `autodiff.__init__`."""
    return ".".join((module + ".__init__").split(".")[:2])


def read_imports(module: str, tree: ast.AST) -> Iterator[Import]:
    """Every import statement of a module, with relative names made absolute."""
    hidden = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(module.split(".")[: -node.level]) if node.level else ""
            source = ".".join(part for part in (above, node.module) if part)
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(module, name, node.lineno, id(node) in hidden) for name in names)


def find_module(name: str, sources: Mapping[str, str]) -> str | None:
    """The module of the house that importing `name` reads: itself, its package, or the module that binds it."""
    parent = name.rpartition(".")[0]
    candidates = (name, f"{name}.__init__", parent, f"{parent}.__init__")
    return next((candidate for candidate in candidates if candidate in sources), None)


def read_floors(drawing: str) -> dict[str, int]:
    """Height by room of a drawing that has its roof on the first line."""
    lines = [line.split() for line in drawing.strip().splitlines()]
    return {room: height for height, line in enumerate(reversed(lines)) for room in line}


def public_names(door: str) -> set[str]:
    """What a package's `__init__` lists in `__all__`, or else what it imports: the names that may be asked of it."""
    nodes = ast.parse(door).body
    for node in nodes:
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets):
            return set(ast.literal_eval(node.value))
    return {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}


def check_floor(found: Import, sources: Mapping[str, str]) -> str | None:
    """The sentence about an import inside one package that does not run down, or None."""
    package, room = room_of(found.importer).split(".")
    target = find_module(found.target, sources)
    if target is None:
        return f"imports {found.target}, which does not exist"
    below = room_of(target).split(".")[1]
    if room == below:
        return None
    floors = read_floors(FLOORS[package])
    if room not in floors or below not in floors:
        return f"{room if room not in floors else below} has no floor: give it one in FLOORS"
    if floors[below] >= floors[room]:
        return f"imports {found.target}, which is not below it"
    only = NOTHING_ELSE.get(f"{package}.{room}")
    if only is not None and below not in only:
        return f"imports {found.target}; it may import {', '.join(sorted(only))} and nothing else"
    return None


def check_door(found: Import, sources: Mapping[str, str]) -> str | None:
    """The sentence about an import from another package of the house, or None."""
    importer, package = found.importer.split(".")[0], found.target.split(".")[0]
    if importer == "autodiff" or package == "problems":
        return f"imports {found.target}: {importer} knows nothing of {package}"
    if importer == "problems" and package != "pinn":
        return f"imports {found.target}: problem files import numpy, scipy and pinn only"
    if importer == "pinn" and room_of(found.importer).split(".")[1] in WITHOUT_AUTODIFF:
        return f"imports {found.target}: this room knows no autodiff"
    name = found.target.partition(".")[2]
    if (package == "autodiff" or importer == "problems") and name:
        if "." in name or name not in public_names(sources.get(f"{package}.__init__", "")):
            return f"imports {found.target}: past the door of {package}, which is {package}/__init__.py"
    return None


def check_import(found: Import, sources: Mapping[str, str]) -> str | None:
    """The sentence about an import that breaks a rule, or None."""
    importer, package = found.importer.split(".")[0], found.target.split(".")[0]
    houses = {module.split(".")[0] for module in sources}
    if found.hidden:
        return f"imports {found.target} inside a function"
    if package == importer:
        return check_floor(found, sources) if package in FLOORS else None
    if package in houses:
        return check_door(found, sources)
    if package == "importlib" and importer in FLOORS and room_of(found.importer) not in MAY_LOAD:
        return "imports importlib: only the rooms of MAY_LOAD load code by name"
    if package in sys.stdlib_module_names or importer in ("examples", "benchmarks"):
        return None
    allowed = DISTRIBUTIONS.get(package, set())
    if importer not in allowed and room_of(found.importer) not in allowed:
        return f"imports {package}: see DISTRIBUTIONS for who may"
    return None


def check_use(module: str, tree: ast.AST, sources: Mapping[str, str]) -> Iterator[str]:
    """Sentences about rules that are not imports: printing, and reaching past the door by attribute."""
    package = module.split(".")[0]
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "autodiff"
    }
    rooms = {room_of(name).split(".")[1] for name in sources if name.startswith("autodiff.")}
    inner = rooms - public_names(sources.get("autodiff.__init__", ""))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "print" and package in (*FLOORS, "problems") and room_of(module) not in MAY_PRINT:
                yield f"{module}:{node.lineno} prints: only {', '.join(sorted(MAY_PRINT))} may"
            if node.func.id == "__import__":
                yield f"{module}:{node.lineno} calls __import__"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            if node.attr in inner:
                yield f"{module}:{node.lineno} reads {node.value.id}.{node.attr}: past the door of autodiff"


def find_circle(imports: list[Import], sources: Mapping[str, str]) -> Iterator[str]:
    """One circle of modules, if there is any."""
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for found in imports:
        target = find_module(found.target, sources)
        if target is not None and target != found.importer:
            graph[found.importer].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield "circle: " + " -> ".join(reversed(error.args[1]))


def find_violations(sources: Mapping[str, str]) -> list[str]:
    """Every broken rule of a house given as source by module, one sentence each; an empty list if it stands."""
    trees = {module: ast.parse(source) for module, source in sources.items()}
    imports = [found for module, tree in trees.items() for found in read_imports(module, tree)]
    sentences = [f"{found.importer}:{found.line} {text}" for found in imports if (text := check_import(found, sources))]
    for module, tree in trees.items():
        sentences += check_use(module, tree, sources)
        package, room = room_of(module).split(".")
        if package in FLOORS and room not in read_floors(FLOORS[package]):
            sentences.append(f"{module}: {room} has no floor: give it one in FLOORS")
        if NOT_A_NAME & set(module.split(".")):
            sentences.append(f"{module}: a file is named after the one idea that it owns")
    return sentences + list(find_circle(imports, sources))


def test_the_house_stands():
    sources = read_sources(ROOT, "autodiff", "pinn", "problems", "examples", "benchmarks")
    assert {"autodiff.errors", "pinn.errors"} <= set(sources)
    assert find_violations(sources) == []


STANDING = {
    "autodiff.__init__": "from autodiff.functional import grad\n",
    "autodiff.errors": "",
    "autodiff.graph": "from autodiff.errors import GraphError\nimport numpy as np\n",
    "autodiff.functional": "from autodiff.graph import Node\n",
    "autodiff.compile.__init__": "from autodiff.compile.emit import emit\n",
    "autodiff.compile.emit": "import numba\nfrom .. import graph\n",
    "pinn.__init__": "from pinn.problem import Problem\n",
    "pinn.errors": "",
    "pinn.geometry.box": "from pinn.errors import GeometryError\n",
    "pinn.problem": "import autodiff as ad\nfrom autodiff import grad\nfrom pinn.geometry.box import Box\nad.grad(abs)\n",
    "pinn.cli": "import typer\nprint('listed')\n",
    "problems.waves.string": "import numpy as np\nfrom pinn import Problem\n",
}


def test_a_sound_house_has_no_violation():
    assert find_violations(STANDING) == []


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("autodiff.graph", "from autodiff.functional import grad\n", "not below"),
        ("autodiff.graph", "from .functional import grad\n", "not below"),
        ("autodiff.graph", "from . import functional\n", "not below"),
        ("autodiff.functional", "import autodiff\n", "not below"),
        ("autodiff.primitive", "from autodiff.interpret import value\n", "not exist"),
        ("autodiff.program", "from autodiff.compile.emit import emit\n", "not below"),
        ("autodiff.transforms.forward", "from autodiff.rules import special\n", "does not exist"),
        ("autodiff.graph", "import pinn\n", "knows nothing of pinn"),
        ("autodiff.graph", "import matplotlib.pyplot as plt\n", "DISTRIBUTIONS"),
        ("autodiff.graph", "import requests\n", "DISTRIBUTIONS"),
        ("autodiff.graph", "import numba\n", "DISTRIBUTIONS"),
        ("autodiff.graph", "def late():\n    import numpy\n", "inside a function"),
        ("autodiff.graph", "import importlib\n", "by name"),
        ("autodiff.graph", "__import__('pinn')\n", "__import__"),
        ("autodiff.graph", "print('seen')\n", "prints"),
        ("autodiff.novelty", "", "no floor"),
        ("autodiff.graph", "from autodiff.novelty import it\n", "does not exist"),
        ("autodiff.compile.utils", "", "one idea"),
        ("autodiff.compile.emit", "from autodiff.compile import kernel\n", "circle"),
        ("pinn.geometry.box", "from pinn.problem import Problem\n", "not below"),
        ("pinn.geometry.box", "from pinn import Problem\n", "not below"),
        ("pinn.geometry.box", "import autodiff\n", "knows no autodiff"),
        ("pinn.optimizers.adam", "from autodiff import grad\n", "knows no autodiff"),
        ("pinn.problem", "from autodiff.graph import Node\n", "past the door"),
        ("pinn.problem", "from autodiff import graph\n", "past the door"),
        ("pinn.problem", "import autodiff.graph\n", "past the door"),
        ("pinn.problem", "import autodiff as ad\nad.graph.Node\n", "past the door"),
        ("pinn.problem", "import problems\n", "knows nothing of problems"),
        ("pinn.solver", "print('step')\n", "prints"),
        ("problems.waves.string", "from pinn.problem import Problem\n", "past the door"),
        ("problems.waves.string", "import autodiff\n", "problem files"),
        ("problems.waves.string", "import matplotlib\n", "DISTRIBUTIONS"),
        ("examples.tape", "from autodiff.graph import Node\n", "past the door"),
        ("benchmarks.peers", "from autodiff.graph import Node\n", "past the door"),
    ],
)
def test_a_broken_rule_is_told(module, source, sentence):
    (told,) = {text for text in find_violations({**STANDING, module: source}) if sentence in text}
    assert module in told


def test_the_door_lists_what_it_gives():
    house = {**STANDING, "pinn.problem": "from autodiff import graph\n"}
    house["autodiff.__init__"] = "from . import graph\nfrom .functional import grad\n__all__ = ['grad']\n"
    assert any("past the door" in text for text in find_violations(house))
    house["autodiff.__init__"] = "from . import graph\nfrom .functional import grad\n__all__ = ['grad', 'graph']\n"
    assert find_violations(house) == []


def test_transforms_have_a_shorter_list():
    house = {**STANDING, "autodiff.interpret": "", "autodiff.transforms.taylor": "from autodiff import interpret\n"}
    assert any("nothing else" in text for text in find_violations(house))


def test_a_circle_in_a_room_is_told():
    house = {**STANDING, "pinn.geometry.face": "from pinn.geometry import box\n"}
    assert find_violations(house) == []
    house["pinn.geometry.box"] = "from pinn.geometry.face import Face\n"
    assert any(text.startswith("circle: ") for text in find_violations(house))
