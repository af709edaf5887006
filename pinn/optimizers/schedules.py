"""Learning rates as functions of the iteration, 0, 1, 2, ...: small frozen callables, to be nested freely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, isfinite, pi

from pinn.errors import RecipeError

Schedule = Callable[[int], float]


def demand(value: float, name: str, low: float, strict: bool, fix: str) -> None:
    """RecipeError unless `value` is finite and at least `low` (above it if `strict`)."""
    if not isfinite(value) or value < low or (strict and value == low):
        bound = f"above {low:g}" if strict else f"at least {low:g}"
        raise RecipeError(f"{name} is {value!r}", why=f"it must be finite and {bound}", fix=fix)


@dataclass(frozen=True)
class Constant:
    """rate(k) = rate."""

    rate: float

    def __post_init__(self) -> None:
        demand(self.rate, "rate", 0, True, "Constant(1e-3)")

    def __call__(self, iteration: int) -> float:
        return self.rate


@dataclass(frozen=True)
class ExponentialDecay:
    """rate(k) = start * factor**(k / every), with k / every rounded down if `staircase`."""

    start: float
    factor: float
    every: int
    staircase: bool = False

    def __post_init__(self) -> None:
        fix = "ExponentialDecay(1e-3, factor=0.9, every=2000)"
        demand(self.start, "start", 0, True, fix)
        demand(self.factor, "factor", 0, True, fix)
        demand(self.every, "every", 1, False, fix)

    def __call__(self, iteration: int) -> float:
        power = iteration // self.every if self.staircase else iteration / self.every
        return self.start * self.factor**power


@dataclass(frozen=True)
class Cosine:
    """rate(k) = end + (start - end) (1 + cos(pi k / iterations)) / 2, and `end` from then on (Loshchilov & Hutter 2017)."""

    start: float
    iterations: int
    end: float = 0.0

    def __post_init__(self) -> None:
        fix = "Cosine(1e-3, iterations=10_000, end=1e-5)"
        demand(self.start, "start", 0, True, fix)
        demand(self.iterations, "iterations", 1, False, fix)
        demand(self.end, "end", 0, False, fix)

    def __call__(self, iteration: int) -> float:
        share = min(iteration / self.iterations, 1.0)
        return self.end + (self.start - self.end) * 0.5 * (1.0 + cos(pi * share))


@dataclass(frozen=True)
class Piecewise:
    """rate(k) = rates[j], where j boundaries are <= k: one rate more than boundaries, which rise strictly."""

    boundaries: tuple[int, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "rates", tuple(self.rates))
        fix = "Piecewise(boundaries=(1000, 5000), rates=(1e-2, 1e-3, 1e-4))"
        if len(self.rates) != len(self.boundaries) + 1:
            raise RecipeError(
                f"{len(self.rates)} rates for {len(self.boundaries)} boundaries", why="each boundary parts two rates", fix=fix
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise RecipeError(f"boundaries {self.boundaries} do not rise", why="they part the iterations in order", fix=fix)
        for rate in self.rates:
            demand(rate, "rate", 0, True, fix)

    def __call__(self, iteration: int) -> float:
        return self.rates[sum(boundary <= iteration for boundary in self.boundaries)]


@dataclass(frozen=True)
class Warmup:
    """rate(k) = then(0) (k + 1) / iterations for k < iterations, and then(k - iterations) afterwards."""

    iterations: int
    then: Schedule

    def __post_init__(self) -> None:
        fix = "Warmup(500, then=Cosine(1e-3, iterations=10_000))"
        demand(self.iterations, "iterations", 1, False, fix)
        if not callable(self.then):
            raise RecipeError(f"`then` is {self.then!r}", why="it must be a schedule, a function of the iteration", fix=fix)

    def __call__(self, iteration: int) -> float:
        if iteration < self.iterations:
            return self.then(0) * (iteration + 1) / self.iterations
        return self.then(iteration - self.iterations)
