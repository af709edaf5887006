"""Adaptive sampling: points where the residual is large, chosen from a dense fresh cloud."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from pinn.errors import RecipeError
from pinn.sampling import Cloud

MOST, DOUBLINGS = 32_768, 2  # points of a region, up to which they are doubled where nobody says how many, and how often
LEAST = 256    # points, which are not made fewer to begin with
DENSER = 2     # times more candidates than these, at least


@dataclass(frozen=True)
class Adaptive:
    """Every `every` iterations, points drawn from `candidates` fresh ones with p ~ |r|^power / mean |r|^power + floor.

    Wu, Zhu, Tan, Kartha & Lu, Comput. Methods Appl. Mech. Engrg. 403 (2023) 115671, eq. 2.  They take the place of all points
    ("RAD", its algorithm 2); with `add` so many of them join the points that are there, until there are `most` ("RAR-D", its
    algorithm 3; there with power=2, floor=0).  They are drawn without replacement, and a share `even` is taken from the fresh
    cloud whatever the residual, so that no part of the region is ever left unwatched.

    All points count alike: where they are dense, the residual counts more.  With `measure` each counts as much as the part of
    the region that is nearest to it, so that the loss remains an integral over the region (see `measured`).

    Where nobody says how many points there are, training begins on `fewer` times fewer: the first steps only find the valley.
    They double after every second time, and as soon as the residual between them is larger than on them (see `pinn.renewal`).
    Raises RecipeError for settings that cannot work.
    """

    every: int = 500
    candidates: int = 16384
    power: float = 1.0
    floor: float = 1.0
    even: float = 0.25
    add: int = 0
    most: int = 16384
    measure: bool = False
    fewer: int = 1

    def __post_init__(self) -> None:
        numbers = (self.every, self.candidates, self.add + 1 if isinstance(self.add, int) else None, self.most, self.fewer)
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers)
        whole = whole and not isinstance(self.add, bool) and isinstance(self.measure, bool)
        if not (whole and self.power >= 0 and self.floor >= 0 and 0 <= self.even <= 1):
            raise RecipeError(
                f"cannot sample adaptively with {self}", why="every, candidates, most, fewer are positive integers, add is one "
                "or 0, power and floor are not negative, even is a share, measure is True or False",
                fix="Adaptive(every=500, candidates=16384, power=1.0, floor=1.0, even=0.25)")

    def renew(self, old: Cloud, fresh: Cloud, size: np.ndarray, rng: np.random.Generator, times: int = 1) -> Cloud:
        """The points that follow `old` ones, `times` as many, given the size of the residual `(points,)` at `fresh` ones."""
        cloud = self.extend(old, fresh, size, rng) if self.add else self.choose(fresh, size, times * old.count, rng)
        return measured(cloud, fresh) if self.measure and cloud is not old else cloud

    def grown(self, count: int) -> int:
        """What so many points, of which nobody said how many, may have become in the end."""
        for _ in range(0 if self.add else DOUBLINGS):
            count *= 2 if 2 * count <= MOST else 1
        return count

    def first(self, count: int) -> int:
        """How many of so many points, of which nobody said how many, training begins on."""
        return count if self.add or count < self.fewer * LEAST else count // self.fewer

    def kept(self, old: Cloud) -> int:
        """How many of the old points stay, in front of the new ones."""
        return old.count if self.add else 0

    def extend(self, old: Cloud, fresh: Cloud, size: np.ndarray, rng: np.random.Generator) -> Cloud:
        """The old points, and up to `add` of the fresh ones behind them; the old cloud itself where it is full."""
        n = min(self.add, self.most - old.count, fresh.count)
        if n <= 0:
            return old
        index = self._draw(size, n, rng)
        normals = None
        if old.normals is not None and fresh.normals is not None:
            normals = np.concatenate([old.normals, fresh.normals[index]])
        count = old.count + n
        return replace(old, points=np.concatenate([old.points, fresh.points[index]]), weights=np.full(count, 1.0 / count),
                       normals=normals, count=count, emphasis=None)

    def choose(self, fresh: Cloud, size: np.ndarray, n: int, rng: np.random.Generator) -> Cloud:
        """About n points of the `fresh` cloud, given the size of the residual `(points,)` at each of them."""
        if n >= fresh.count:
            return fresh
        index = self._draw(size, n, rng)
        normals = None if fresh.normals is None else fresh.normals[index]
        return replace(fresh, points=fresh.points[index], weights=np.full(n, 1.0 / n), normals=normals, count=n)

    def _draw(self, size: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """The indices of n of the points with residuals of this `size`."""
        # the head of a low-discrepancy cloud is itself one
        head = round(self.even * n)
        weight = (size[head:] / max(float(size.max()), 1e-300)) ** self.power
        mean = float(weight.mean())
        chance = weight / mean + self.floor if mean > 0 else np.ones_like(weight)
        if self.floor == 0.0 and np.count_nonzero(chance) < n - head:
            chance = chance + 1e-300  # where no residual is left any point serves
        chosen = rng.choice(chance.size, n - head, replace=False, p=chance / chance.sum(), shuffle=False)
        return np.concatenate([np.arange(head), head + np.sort(chosen)])


def measured(cloud: Cloud, even: Cloud) -> Cloud:
    """The same points, each with the measure of its Voronoi cell as its weight: that of the `even` points nearest to it.

    Distances are those in a region scaled to a cube.  Weights are shares of the whole, and none is 0: a point is one of its own
    cell.  So `weights @ f` is a quadrature of f, with an error of first order in the distance of points, wherever they lie.
    """
    low, high = even.points.min(axis=0), even.points.max(axis=0)
    scale = 1.0 / np.where(high > low, high - low, 1.0)
    _, nearest = scipy.spatial.cKDTree(cloud.points * scale).query(even.points * scale)
    cells = np.bincount(nearest, even.weights, cloud.count)
    cells = np.maximum(cells, even.weights.mean())
    return replace(cloud, weights=cells / cells.sum())
