"""Solutions in closed form that look to plots, callbacks and the command line like trained ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pinn.history import History, Row


@dataclass(frozen=True)
class BoxLike:
    """The part of a domain that plots ask for, with an optional hole."""

    bounds: dict[str, tuple[float, float]]
    time: str | None = None
    inside: Callable[..., np.ndarray] | None = None

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(self.bounds)

    @property
    def spatial(self) -> tuple[str, ...]:
        return tuple(name for name in self.bounds if name != self.time)

    def contains(self, points: np.ndarray) -> np.ndarray:
        low, high = np.array(list(self.bounds.values())).T
        within = np.all((points >= low) & (points <= high), axis=1)
        return within if self.inside is None else within & self.inside(*points.T)


@dataclass(frozen=True)
class ProblemLike:
    name: str
    domain: BoxLike
    unknowns: tuple[str, ...]
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SolutionLike:
    """`exact` by unknown, functions of the coordinates in order; the prediction is exact + `wrong` times a smooth ripple."""

    problem: ProblemLike
    exact: dict[str, Callable[..., np.ndarray]]
    known: bool = True
    wrong: float = 1e-3
    broken: bool = False
    history: History = field(default_factory=lambda: history())
    weights: np.ndarray = field(default_factory=lambda: np.zeros(2241))
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    stop_reason: str = "time budget of 60 s used up"
    residual_rms: float = 2.5e-3
    seconds: float = 61.25
    seconds_compile: float = 1.5
    steps: int = 12345
    points: dict[str, int] = field(default_factory=lambda: {"interior": 4096, "t=0": 256})
    seed: int = 0
    recipe: Any = None

    def fields(self, points: np.ndarray) -> dict[str, np.ndarray]:
        columns = points.T
        ripple = np.prod([np.sin(3.0 + 5.0 * column) for column in columns], axis=0)
        values = {name: f(*columns) + self.wrong * ripple for name, f in self.exact.items()}
        if self.broken:
            values = {name: np.where(columns[0] > np.median(columns[0]), np.nan, value) for name, value in values.items()}
        return values

    def exact_fields(self, points: np.ndarray) -> dict[str, np.ndarray] | None:
        return {name: f(*points.T) for name, f in self.exact.items()} if self.known else None


def solution(name: str, bounds: dict[str, tuple[float, float]], time: str | None = None,
             inside: Callable[..., np.ndarray] | None = None, options: dict[str, Any] | None = None,
             **exact: Callable[..., np.ndarray]) -> SolutionLike:
    """A solution on a box."""
    options = {"errors": {u: {"relative_l2": 3.1e-4, "max": 2e-3} for u in exact}, **(options or {})}
    return SolutionLike(ProblemLike(name, BoxLike(bounds, time, inside), tuple(exact)), exact, **options)


def history(steps: int = 3000, seed: int = 0) -> History:
    """A history like that of Adam followed by L-BFGS."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(steps):
        adam = index < 2 * steps // 3
        noise = np.exp(0.4 * rng.standard_normal(3)) if adam else np.ones(3)
        decay = np.exp(-4 * index / steps) if adam else np.exp(-8 / 3 - 12 * (index / steps - 2 / 3))
        terms = dict(zip(("burgers", "Initial(u)", "Dirichlet(u)"), decay * noise * (1.0, 0.3, 0.05), strict=True))
        errors = {"u": 0.4 * decay**0.7} if index % 100 == 0 else {}
        rows.append(Row("adam" if adam else "lbfgs", index if adam else index - 2 * steps // 3, 0.01 * index,
                        sum(terms.values()), terms, errors))
    return History.from_rows(rows)


def burgers_like(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -np.sin(np.pi * x) * (1 - 0.5 * t) - 0.4 * t * np.tanh(x * (1 + 60 * t**2)) * (1 - x**2)


def everything() -> dict[str, SolutionLike]:
    """One solution for every kind of domain that pictures tell apart."""
    unit = (0.0, 1.0)
    return {
        "line": solution("poisson_1d", {"x": (-1, 1)}, u=lambda x: np.sin(np.pi * x) + 0.1 * np.sin(9 * np.pi * x)),
        "decay": solution("oscillator", {"t": (0, 20)}, "t", u=lambda t: np.exp(-0.1 * t) * np.cos(2 * t)),
        "burgers": solution("burgers", {"x": (-1, 1), "t": unit}, "t", u=burgers_like),
        "unknown": solution("burgers_forced", {"x": (-1, 1), "t": unit}, "t", options={"known": False, "errors": {}},
                            u=burgers_like),
        "square": solution("poisson_2d", {"x": unit, "y": unit},
                           u=lambda x, y: np.sin(np.pi * x) * np.sin(2 * np.pi * y)),
        "kovasznay": solution("kovasznay", {"x": (-0.5, 1.0), "y": (-0.5, 1.5)},
                              u=lambda x, y: 1 - np.exp(-0.964 * x) * np.cos(2 * np.pi * y),
                              v=lambda x, y: -0.153 * np.exp(-0.964 * x) * np.sin(2 * np.pi * y)),
        "hole": solution("plate_with_hole", {"x": (-1, 1), "y": (-1, 1)}, inside=lambda x, y: x**2 + y**2 > 0.16,
                         phi=lambda x, y: np.log(x**2 + y**2)),
        "drum": solution("wave_2d", {"x": unit, "y": unit, "t": unit}, "t",
                         u=lambda x, y, t: np.sin(np.pi * x) * np.sin(2 * np.pi * y) * np.cos(4 * t)),
        "five": solution("poisson_5d", {f"x{i}": unit for i in range(1, 6)},
                         u=lambda *x: np.prod([np.sin(np.pi * c) for c in x], axis=0)),
        "constant": solution("constant", {"x": unit, "t": unit}, "t", options={"wrong": 0.0}, u=lambda x, t: 1.0 + 0 * x),
        "pair": solution("predator_prey", {"t": (0, 6)}, "t", prey=lambda t: 2 + np.sin(t), predator=lambda t: 1 + np.cos(t)),
    }
