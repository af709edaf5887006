"""Is this derivative right?  Finite differences by their rate of convergence, and forward against reverse, to any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import Array
from .errors import ArgumentError, DifferentiationError
from .functional import jvp, vjp
from .program import argument_names, flatten, name_of

RATE = 1.5  # central differences converge at rate 2, a wrong derivative at rate 0
SHORTER = (1e-3, 1e-6, 1e-9, 1e-12)  # lengths on which a function may change near a pole or a kink


@dataclass(frozen=True)
class Check:
    """One comparison: of which order and mode, in which argument, how far apart, and at what rate the distance shrinks."""

    order: int
    mode: str
    argument: str
    against: str
    error: float
    rate: float | None
    passed: bool


@dataclass(frozen=True)
class Report:
    """All comparisons of a function; `str` is a table."""

    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(c.passed for c in self.checks)

    def __str__(self) -> str:
        rows = [("order", "mode", "argument", "against", "error", "rate", "")]
        for c in self.checks:
            rate = "" if c.rate is None else f"{c.rate:.2f}"
            rows.append((str(c.order), c.mode, c.argument, c.against, f"{c.error:.1e}", rate, "ok" if c.passed else "FAILED"))
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def check_derivatives(f: Callable, *args: Any, order: int = 2) -> Report:
    """Checks forward and reverse mode of f at `args`, and of these derivatives in turn, up to `order`.

    In a random direction v, with a fixed seed, central differences must approach J v at rate two (Farrell et al. 2013,
    doi:10.1137/120873558, do so with Taylor remainders), and <w, J v> = <J^T w, v>.  Raises DifferentiationError with a table
    of what failed; answers a Report.
    """
    if not isinstance(order, int) or order < 1:
        raise ArgumentError(f"order={order}: derivatives start at 1", fix="order=1 checks the first, order=2 the second too",
                            code="order")  # fmt: skip
    names = argument_names(f, len(args))
    moving = [i for i, a in enumerate(args) if _is_floating(a)]
    if not moving:
        raise ArgumentError(f"no argument of {name_of(f)} holds floats", fix="pass at least one array of floats",
                            code="no-floats")  # fmt: skip
    checks = tuple(_check(f, args, moving, names, order, 1, "", np.random.default_rng(0)))
    report = Report(name_of(f), checks)
    if not report.passed:
        failed = sorted({f"{c.mode} in {c.argument!r} (order {c.order})" for c in checks if not c.passed})
        raise DifferentiationError(f"derivatives of {report.name} are wrong: {', '.join(failed)}\n{report}",
                                   why="finite differences, or forward and reverse mode, do not agree",
                                   fix="if the point is a kink, check beside it", code="wrong-derivative")  # fmt: skip
    return report


def _is_floating(tree: Any) -> bool:
    leaves = flatten(tree)[0]
    return bool(leaves) and all(not isinstance(x, Array) and np.asarray(x).dtype.kind == "f" for x in leaves)


def _vector(tree: Any) -> np.ndarray:
    leaves = flatten(tree)[0]
    return np.concatenate([np.ravel(np.asarray(x)) for x in leaves])


def _like(tree: Any, vector: np.ndarray) -> Any:
    """The numbers of a vector nested and shaped as `tree`."""
    leaves, structure = flatten(tree)
    out, start = [], 0
    for x in leaves:
        x = np.asarray(x)
        out.append(vector[start : start + x.size].reshape(x.shape).astype(x.dtype)[()])
        start += x.size
    return structure.build(out)


def _check(
    f: Callable, args: Sequence[Any], moving: list[int], names: list[str], order: int, level: int, path: str,
    rng: np.random.Generator,
) -> Iterator[Check]:  # fmt: skip
    def of_moving(*xs: Any) -> Any:
        given = list(args)
        for i, x in zip(moving, xs, strict=True):
            given[i] = x
        return f(*given)

    xs = tuple(args[i] for i in moving)
    directions = tuple(_like(x, rng.standard_normal(_vector(x).size)) for x in xs)
    value, pullback = vjp(of_moving, *xs)
    weight = _like(value, rng.standard_normal(_vector(value).size))
    back = pullback(weight)
    for k, i in enumerate(moving):
        only = tuple(d if j == k else _like(d, np.zeros(_vector(d).size)) for j, d in enumerate(directions))
        _, slope = jvp(of_moving, xs, only)
        error, rate, passed = _against_differences(of_moving, xs, only, _vector(slope))
        yield Check(level, path + "forward", names[i], "differences", error, rate, passed)
        error, passed = _dot_product(_vector(weight), _vector(slope), _vector(back[k]), _vector(directions[k]))
        yield Check(level, path + "reverse", names[i], "forward", error, None, passed)
    if level < order:
        def forward(*ys: Any) -> Any:
            return jvp(of_moving, ys, directions)[1]

        def reverse(*ys: Any) -> Any:
            return vjp(of_moving, *ys)[1](weight)

        again, inner = list(range(len(xs))), [names[i] for i in moving]
        yield from _check(forward, xs, again, inner, order, level + 1, path + "forward, then ", rng)
        yield from _check(reverse, xs, again, inner, order, level + 1, path + "reverse, then ", rng)


def _epsilon(*vectors: np.ndarray) -> float:
    return max(float(np.finfo(v.dtype).eps) for v in vectors)


def _against_differences(f: Callable, xs: tuple, directions: tuple, slope: np.ndarray) -> tuple[float, float | None, bool]:
    """The smallest distance from central differences, the rate at which the distance shrinks, and whether that is right."""
    if not np.all(np.isfinite(slope)):
        return math.inf, None, False
    errors, noises = _differences(f, xs, directions, slope, 1.0)
    rate = _rate(errors, noises)
    # exact differences, or a kink that only the long steps cross, end below rounding
    steep = float(np.max(np.abs(slope), initial=0.0))
    passed = len(errors) > 1 and (errors[-1] <= noises[-1] or rate > RATE) or _agree(errors, steep)
    for shorter in SHORTER:
        if passed:
            break
        near, _ = _differences(f, xs, directions, slope, shorter)
        passed = _agree(near, steep)
        errors = errors + near
    return min(errors, default=math.inf), None if rate == -math.inf else rate, passed


def _differences(f: Callable, xs: tuple, directions: tuple, slope: np.ndarray, scale: float) -> tuple[list, list]:
    """Distances of the slope from central differences with steps that are halved, and the part of these that may be rounding.

    `scale` is the length on which the function is taken to change.
    """
    points, steps = [_vector(x) for x in xs], [_vector(d) for d in directions]
    size = max(float(np.max(np.abs(x), initial=0.0)) for x in points)
    size = max(size, scale)
    epsilon, h = _epsilon(slope, *points), 0.03 * scale / max(1.0, *(float(np.max(np.abs(d), initial=0.0)) for d in steps))
    # rounding outweighs the truncation of smaller steps
    smallest, errors, noises = h * epsilon ** (1.0 / 3.0) / 0.03, [], []
    if scale < 1.0:  # a step must move the point
        smallest = max(smallest, 1e4 * epsilon * size)
    while h > smallest:
        at = [[_like(x, p + s * h * d) for x, p, d in zip(xs, points, steps, strict=True)] for s in (1.0, -1.0)]
        with np.errstate(all="ignore"):
            high, low = (_vector(f(*moved)) for moved in at)
        if high.shape == slope.shape == low.shape and np.all(np.isfinite(high)) and np.all(np.isfinite(low)):
            difference = (high.astype(np.float64) - low) / (2.0 * h)
            errors.append(float(np.max(np.abs(difference - slope), initial=0.0)))
            # rounding of the values, and of the points that they were taken at
            involved = float(np.max(np.abs(high), initial=0.0)) + size * float(np.max(np.abs(slope), initial=0.0))
            noises.append(16.0 * epsilon * involved / h)
        h /= 2.0
    return errors, noises


def _agree(errors: list[float], steep: float) -> bool:
    """Whether two steps in a row find the slope to eight digits."""
    return any(max(pair) <= 1e-8 * steep for pair in zip(errors, errors[1:], strict=False))


def _rate(errors: list[float], noises: list[float]) -> float:
    """The best of the last rates at which errors above rounding shrink; minus infinity where there are none."""
    above = [e for e, n in zip(errors, noises, strict=True) if e > n]
    return max([math.log2(a / b) for a, b in zip(above, above[1:], strict=False)][-3:], default=-math.inf)


def _dot_product(w: np.ndarray, slope: np.ndarray, back: np.ndarray, v: np.ndarray) -> tuple[float, bool]:
    left, right = (float(np.dot(a.astype(np.float64), b)) for a, b in ((w, slope), (back, v)))
    scale = float(np.dot(np.abs(w), np.abs(slope)) + np.dot(np.abs(back), np.abs(v)))
    error = abs(left - right) / scale if scale else 0.0
    return error, error < 1e4 * _epsilon(w, slope, back, v)
