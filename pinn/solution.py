"""What a solve comes to: the trained fields, to be evaluated anywhere, with all that was measured on the way."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import autodiff as ad
from pinn.blockwise import columns_of, numbers_at
from pinn.errors import ProblemError
from pinn.history import History
from pinn.jetspace import call, describe, leaf_key
from pinn.problem import Problem
from pinn.recipe import Recipe
from pinn.sampling import sobol
from pinn.supply import Supply
from pinn.verdict import Verdict

EXACT = 1024  # the same for exact solutions: a formula with an integral in it stays in the cache, five times faster
DENSE = 40_000


@dataclass(frozen=True, eq=False)
class Field:
    """One unknown of a solution, `solution.u(x=..., t=...)`: arrays broadcast, every coordinate is given by name."""

    solution: Solution
    name: str

    def __call__(self, *positional: Any, **coordinates: Any) -> np.ndarray:
        """The values in the common shape of the coordinates.  Raises ProblemError (code `argument`)."""
        if positional:
            raise ProblemError(f"{self.name}(...) was given coordinates without names", code="argument",
                               why="x and t are easily exchanged, so coordinates are said by name",
                               fix=f"solution.{self.name}({_example(self.solution.problem)})")
        points, shape = self.solution.place(coordinates, f"{self.name}(...)")
        return self.solution.fields(points)[self.name].reshape(shape)[()]

    def __repr__(self) -> str:
        return f"<the field {self.name}({', '.join(self.solution.problem.domain.coordinates)})>"


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved problem.

    `weights` are the trained parameters, `theta` is another name for them unless an unknown has it; `errors` by unknown the
    relative L2 and greatest absolute error against the exact solution on a dense grid, {} where it is not known;
    `residual_rms` that of the equations on fresh points; `seconds` the whole time with `seconds_compile` in it; `points` the
    number of points by region; `profile` where the time went, where that was asked; `verdict` how far it can be trusted, judged
    without the answer; `folder` where it was written; `origin` what makes its problem again.  Every unknown is an attribute:
    `solution.u(x=0.5, t=1.0)`.
    """

    problem: Problem
    recipe: Recipe
    supply: Supply
    weights: np.ndarray
    seed: int = 0
    threads: int = 1
    history: History = field(default_factory=History)
    stop_reason: str = ""
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    residual_rms: float = float("nan")
    loss: float = float("nan")
    seconds: float = 0.0
    seconds_compile: float = 0.0
    steps: int = 0
    points: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] | None = None
    verdict: Verdict | None = None
    folder: Path | None = None
    origin: Any = None
    gallery: Callable[[Solution, Path], list[Path]] | None = None
    saver: Callable[[Solution, Path], Path] | None = None
    _warned: list[str] = field(default_factory=list, repr=False)

    def __getattr__(self, name: str) -> Any:
        problem = self.__dict__.get("problem")
        if problem is not None and name in problem.unknowns:
            return Field(self, name)
        if name == "theta":  # the angle of a pendulum comes first
            return self.weights
        known = ", ".join(problem.unknowns) if problem is not None else ""
        raise AttributeError(f"a solution has no attribute {name!r}; its unknowns are {known}")

    def __repr__(self) -> str:
        errors = ", ".join(f"relative L2 error of {name} {found['relative_l2']:.2e}" for name, found in self.errors.items())
        return f"<solution of {self.problem.name}: {errors or f'residual {self.residual_rms:.2e}'}; {self.stop_reason}>"

    # -- fields
    def fields(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """All unknowns at points `(n, dim)`, each `(n,)`.  Raises ProblemError (code `shape`)."""
        dim = len(self.problem.domain.coordinates)
        if np.ndim(points) != 2 or np.shape(points)[1] != dim:
            raise ProblemError(f"fields(...) was given points of shape {np.shape(points)}", code="shape",
                               why=f"a row is a point, with {', '.join(self.problem.domain.coordinates)} in its {dim} columns",
                               fix="np.stack([...], axis=1)")
        return evaluate_fields(self.supply, self.weights, points)

    def exact_fields(self, points: np.ndarray) -> dict[str, np.ndarray] | None:
        """The exact solution at points `(n, dim)`, each `(n,)`; None where it is not known."""
        return evaluate_exact(self.problem, points)

    def evaluate(self, expression: Callable[..., Any], **coordinates: Any) -> Any:
        """The values of any expression of fields, derivatives and coordinates: `evaluate(lambda u, x: u.xx + x, x=...)`.

        Coordinates broadcast; a tuple of expressions gives a tuple.  Raises ProblemError as equations do.
        """
        points, shape = self.place(coordinates, "evaluate(...)")
        space = self.problem.space
        role = f"the expression {describe(expression)}"
        known = {name: value for name, value in space.names().items() if name not in {f"n{axis}" for axis in space.spatial}}
        answer = call(expression, known, role, space.coordinates)
        several = isinstance(answer, (tuple, list))
        nodes = [_scalar(value, role) for value in (answer if several else (answer,))]
        values = [value.reshape(shape)[()] for value in evaluate_nodes(self.supply, nodes, self.weights, points)]
        return tuple(values) if several else values[0]

    def place(self, coordinates: Mapping[str, Any], what: str) -> tuple[np.ndarray, tuple[int, ...]]:
        """Points `(n, dim)` of coordinates given by name, and the shape that they broadcast to.

        Warns once where points lie outside the domain.  Raises ProblemError (codes `argument`, `shape`).
        """
        domain = self.problem.domain
        missing = [name for name in domain.coordinates if name not in coordinates]
        extra = [name for name in coordinates if name not in domain.coordinates]
        if missing or extra:
            wrong = f"is not given {', '.join(missing)}" if missing else f"has no coordinate {', '.join(extra)}"
            raise ProblemError(f"{what} {wrong}", why=f"the coordinates are {', '.join(domain.coordinates)}", code="argument",
                               fix=_example(self.problem))
        try:
            arrays = np.broadcast_arrays(*(np.asarray(coordinates[name], float) for name in domain.coordinates))
        except (TypeError, ValueError) as error:
            raise ProblemError(f"the coordinates of {what} do not fit together", why=str(error), code="shape",
                               fix="give numbers, or arrays of shapes that broadcast") from error
        points = np.stack([array.ravel() for array in arrays], axis=1)
        outside = ~domain.contains(points)
        if outside.any() and not self._warned:
            self._warned.append(what)
            where = ", ".join(f"{name} = {value:g}" for name, value in zip(domain.coordinates, points[outside][0], strict=True))
            warnings.warn(f"{self.problem.name} is evaluated outside its domain, at {where}: nothing was trained there",
                          stacklevel=3)
        return points, arrays[0].shape

    # -- pictures and files
    def plot(self, folder: str | Path = ".") -> list[Path]:
        """Write the pictures of the solution into a folder; returns their paths."""
        if self.gallery is None:
            raise ProblemError("this solution has no gallery", why="it was not made by solve or load",
                               fix="pinn.plots.plot_solution(solution, folder)")
        return self.gallery(self, Path(folder))

    def save(self, path: str | Path) -> Path:
        """Write one `.npz` file from which `pinn.load` restores the solution in any process.  Raises FileError."""
        if self.saver is None:
            raise ProblemError("this solution cannot be saved", why="it was not made by solve or load")
        return self.saver(self, Path(path))


def evaluate_exact(problem: Problem, points: np.ndarray) -> dict[str, np.ndarray] | None:
    """The exact solution at points `(n, dim)`, each `(n,)`; None where it is not known."""
    parts = [problem.exact_fields(points[start:start + EXACT]) for start in range(0, max(len(points), 1), EXACT)]
    if parts[0] is None:
        return None
    return {name: np.concatenate([part[name] for part in parts if part is not None]) for name in parts[0]}


def evaluate_fields(supply: Supply, theta: np.ndarray, points: np.ndarray, threads: int = 1) -> dict[str, np.ndarray]:
    """All unknowns of a network at points `(n, dim)`, each `(n,)`."""
    names = tuple(supply.fields)
    arrays = [supply.fields[name] for name in names]
    return dict(zip(names, evaluate_arrays(supply, arrays, theta, points, threads), strict=True))


def evaluate_nodes(supply: Supply, expressions: list[ad.Array], theta: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Expressions on jet space at points `(n, dim)`, each `(n,)`."""
    return evaluate_arrays(supply, list(supply.program(expressions)), theta, points)


def evaluate_arrays(supply: Supply, arrays: list[ad.Array], theta: np.ndarray, points: np.ndarray,
                    threads: int = 1) -> list[np.ndarray]:  # fmt: skip
    """Expressions of coordinates and weights at points `(n, dim)`, each `(n,)`."""
    coordinates = [supply.space.coordinate(name) for name in supply.space.coordinates]
    nodes = supply.resolved([array.node for array in arrays])
    return numbers_at(nodes, columns_of(coordinates, np.asarray(points, float)), {"theta": theta}, len(points), threads)


def dense_points(problem: Problem, n: int = DENSE) -> np.ndarray:
    """About n points `(n, dim)` to measure errors at: a tensor grid up to three coordinates, a fixed Sobol set beyond."""
    domain = problem.domain
    if len(domain.coordinates) <= 3:
        points, _ = domain.grid(n)
        return points[domain.contains(points)]
    return domain.interior.sample(min(n, 16384), sobol, np.random.default_rng(0)).x


def errors_at(problem: Problem, supply: Supply, theta: np.ndarray, points: np.ndarray,
              exact: Mapping[str, np.ndarray] | None = None, threads: int = 1) -> dict[str, dict[str, float]]:
    """Relative L2 and greatest absolute error by unknown at points `(n, dim)`; {} where no exact solution is known.

    ||u - exact||_2 / ||exact||_2 over the points where the exact solution is finite.
    """
    exact = evaluate_exact(problem, points) if exact is None else exact
    if exact is None:
        return {}
    found, errors = evaluate_fields(supply, theta, points, threads), {}
    for name, values in exact.items():
        known = np.isfinite(values)
        difference = found[name][known] - values[known]
        size = float(np.linalg.norm(values[known]))
        errors[name] = {"relative_l2": float(np.linalg.norm(difference)) / (size or 1.0),
                        "max": float(np.max(np.abs(difference), initial=0.0))}
    return errors


def _scalar(value: Any, role: str) -> ad.Array:
    if value is None:
        raise ProblemError(f"{role} returns nothing", why="its value is what is wanted", fix="return the value", code="return")
    if not isinstance(value, (ad.Array, np.ndarray, numbers.Real)):
        raise ProblemError(f"{role} returns a {type(value).__name__}", why="it must be one number at each point", code="return",
                           fix="return u.x, say, or a tuple of such numbers")
    array = value if isinstance(value, ad.Array) else ad.Array(ad.lift(value))
    if any((leaf_key(node) or ("",))[0] == "normal" for node in ad.walk([array.node])):
        raise ProblemError(f"{role} uses the outward normal", why="points of the domain have none", code="normals",
                           fix="write the derivative out: u.x, or -u.x on the lower side")
    if array.shape:
        raise ProblemError(f"{role} has shape {array.shape} at each point", why="it must be one number at each point",
                           fix="return a tuple: return r[0], r[1]", code="shape")
    return array


def _example(problem: Problem) -> str:
    return ", ".join(f"{name}={sum(problem.domain.bounds[name]) / 2:g}" for name in problem.domain.coordinates)
