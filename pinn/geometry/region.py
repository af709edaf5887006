"""Regions: named sets of points of a domain, on which an equation or a condition is to hold."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pinn.errors import GeometryError, locate
from pinn.geometry.piece import Draw, Piece, Side, SpatialFilter, narrow
from pinn.geometry.predicate import Predicate


@dataclass(frozen=True)
class Points:
    """Points of a region, as sampled.

    `x` `(n, dim)`, `normals` `(n, spatial)` or None, `weights` `(n,)` with sum 1 (the mean over the region is
    `weights @ f`, the integral `measure * weights @ f`), `measure` of the region, `counts` of points by piece.
    """

    x: np.ndarray
    normals: np.ndarray | None
    weights: np.ndarray
    measure: float
    counts: dict[str, int]


@dataclass(frozen=True, repr=False)
class Region:
    """A union of pieces that share no area: an interior, some faces, a moment in time, or a part of these.

    `coordinates` are those of the domain, so points are `(n, dim)` with `dim = len(coordinates)` on every region.
    A region without pieces is empty (the boundary of a fully periodic box); `reason` then says why.
    """

    name: str
    coordinates: tuple[str, ...]
    pieces: tuple[Piece, ...]
    reason: str = ""

    @property
    def dim(self) -> int:
        """The number of coordinates of a point, whatever the dimension of the region itself."""
        return len(self.coordinates)

    @property
    def measure(self) -> float:
        """The sum of the measures of the pieces: length, area, volume, ..., or the number of single points."""
        return math.fsum(piece.measure for piece in self.pieces)

    @property
    def measure_error(self) -> float:
        """The standard error of `measure`: 0 where it is exact, positive where a predicate was measured by sampling."""
        return math.hypot(*(piece.measure_error for piece in self.pieces))

    @property
    def empty(self) -> bool:
        return not self.pieces

    @property
    def faces(self) -> tuple[Side, ...]:
        """The faces it consists of as `(axis, value, outward sign)`; none for an interior."""
        return tuple(piece.side for piece in self.pieces if piece.side is not None)

    @property
    def predicates(self) -> tuple[Callable[..., Any], ...]:
        """The user's predicates that narrowed it, in order, each once."""
        filters = [test.test if isinstance(test, SpatialFilter) else test for piece in self.pieces for test in piece.filters]
        return tuple(dict.fromkeys(test.function for test in filters if isinstance(test, Predicate)))

    def where(self, predicate: Callable[..., Any]) -> Region:
        """The points at which `predicate` is true; it receives the coordinates it names as arrays `(points,)`.

        The measure becomes an estimate with a standard error.  Raises `GeometryError`: code `predicate` for a
        predicate that cannot be asked, `empty-region` where it is true nowhere.
        """
        test = Predicate(predicate, self.coordinates)
        if not self.pieces:
            raise self._no_points()
        pieces = tuple(piece for piece in (narrow(piece, test) for piece in self.pieces) if piece.measure > 0)
        if not pieces:
            raise GeometryError(f"the predicate holds nowhere on {self.name}", where=locate(predicate),
                                why=f"no point of a large even sample meets it; the region is {self._extent()}",
                                fix="correct the predicate; for a side of the domain write domain.face(x=0)",
                                code="empty-region")
        return replace(self, name=f"{self.name} where {_title(predicate)}", pieces=pieces)

    def __or__(self, other: Region) -> Region:
        """Both regions; what they have in common counts once.  Raises `GeometryError` (code `union`)."""
        if not isinstance(other, Region):
            return NotImplemented
        if self.coordinates != other.coordinates:
            raise GeometryError(f"{self.name} and {other.name} belong to different domains", code="union",
                                why=f"their coordinates are {self.coordinates} and {other.coordinates}",
                                fix="join regions of one domain: domain.face(x=0) | domain.face(x=1)")
        more = tuple(piece for piece in other.pieces if piece not in self.pieces)
        if not more or not self.pieces:
            return self if self.pieces else other
        if len({piece.chart.cube for piece in self.pieces + more}) > 1:
            raise GeometryError(f"{self.name} and {other.name} have different dimensions", code="union",
                                why="an area and a volume cannot be added, so points cannot be shared between them",
                                fix="write one condition for each")
        charts = [piece.chart for piece in self.pieces]
        twice = [piece.name for piece in more if piece.chart in charts]
        if twice:
            raise GeometryError(f"{self.name} and {other.name} both hold a part of {twice[0]}", code="union",
                                why="the parts may overlap, and their common measure is not known",
                                fix="join them in one predicate: region.where(lambda x: (x < 0) | (x > 1))")
        return Region(f"{self.name} | {other.name}", self.coordinates, self.pieces + more)

    def sample(self, n: int, draw: Draw, rng: np.random.Generator) -> Points:
        """About n points: shared over the pieces by measure (largest remainder), at least one each.

        A piece that is a single point gives it once, whatever n; weights account for that.
        Raises `GeometryError`: codes `count`, `generator`, `draw`, `empty-region`.
        """
        check_count(n)
        if not isinstance(rng, np.random.Generator):
            raise GeometryError(f"rng must be a numpy Generator, not a {type(rng).__name__}", code="generator",
                                why="every random number comes from a generator that is handed over",
                                fix="rng=np.random.default_rng(0)")
        if not self.pieces:
            raise self._no_points()
        measures = np.array([piece.measure for piece in self.pieces])
        parts = [piece.sample(int(count), draw, rng)
                 for piece, count in zip(self.pieces, share(int(n), measures), strict=True)]
        counts = [len(part) for part in parts]
        normals = [piece.chart.normals(part) for piece, part in zip(self.pieces, parts, strict=True)]
        known = [normal for normal in normals if normal is not None]
        return Points(
            x=np.concatenate(parts),
            normals=np.concatenate(known) if len(known) == len(normals) else None,
            weights=np.repeat(measures / measures.sum() / counts, counts),
            measure=self.measure,
            counts={piece.name: count for piece, count in zip(self.pieces, counts, strict=True)},
        )

    def _no_points(self) -> GeometryError:
        return GeometryError(f"the {self.name} holds no points", why=self.reason, code="empty-region",
                             fix="leave this condition out, or give it another region: on=domain.initial, on=domain.interior")

    def _extent(self) -> str:
        corners = [piece.chart.points(np.full((1, piece.chart.cube), end)) for piece in self.pieces for end in (0.0, 1.0)]
        low, high = np.min(corners, axis=0)[0], np.max(corners, axis=0)[0]
        return ", ".join(f"{a:g} <= {name} <= {b:g}" for name, a, b in zip(self.coordinates, low, high, strict=True))

    def __repr__(self) -> str:
        spread = f" +- {self.measure_error:.1g}" if self.measure_error else ""
        return f"<Region {self.name} in ({', '.join(self.coordinates)}): measure {self.measure:.6g}{spread}>"


def share(n: int, measures: np.ndarray) -> np.ndarray:
    """Shares n points `(pieces,)` by measure: largest remainder, at least one each (so n below `pieces` becomes `pieces`)."""
    quota = n * measures / measures.sum()
    counts = np.maximum(np.floor(quota), 1).astype(int)
    spare = n - counts.sum()
    if spare > 0:
        counts[np.argsort(counts - quota, kind="stable")[:spare]] += 1
    while spare < 0 and counts.max() > 1:
        counts[np.argmax(np.where(counts > 1, counts - quota, -np.inf))] -= 1
        spare += 1
    return counts


def check_count(n: Any) -> None:
    """Raises `GeometryError` (code `count`) for a number of points that is not a positive integer."""
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, numbers.Integral):
        raise GeometryError(f"the number of points must be an integer, not {n!r}", why=f"it is a {type(n).__name__}",
                            fix="n = 1000", code="count")
    if n < 1:
        raise GeometryError(f"the number of points must be positive, not {n}", why="a condition without points says nothing",
                            fix="n = 1000", code="count")


def _title(predicate: Callable[..., Any]) -> str:
    return getattr(predicate, "__name__", type(predicate).__name__).replace("<lambda>", "(...)")
