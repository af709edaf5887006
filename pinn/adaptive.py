"""Adaptive sampling: points where the residual is large, chosen from a dense fresh cloud."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pinn.errors import RecipeError
from pinn.sampling import Cloud


@dataclass(frozen=True)
class Adaptive:
    """Every `every` iterations, n points drawn from `candidates` fresh ones with p ~ |r|^power / mean |r|^power + floor.

    Wu, Zhu, Tan, Kartha & Lu, Comput. Methods Appl. Mech. Engrg. 403 (2023) 115671, eq. 2 ("RAD"); points are drawn without
    replacement, and a share `even` of them is taken from the fresh cloud whatever the residual, so that no part of the region
    is ever left unwatched.  All points count alike: where they are dense, the residual counts more.
    Raises RecipeError for settings that cannot work.
    """

    every: int = 500
    candidates: int = 16384
    power: float = 1.0
    floor: float = 1.0
    even: float = 0.25

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in (self.every, self.candidates))
        if not (whole and self.power >= 0 and self.floor >= 0 and 0 <= self.even <= 1):
            raise RecipeError(
                f"cannot sample adaptively with {self}", why="every and candidates are positive integers, power and floor are "
                "not negative, even is a share", fix="Adaptive(every=500, candidates=16384, power=1.0, floor=1.0, even=0.25)")

    def choose(self, fresh: Cloud, size: np.ndarray, n: int, rng: np.random.Generator) -> Cloud:
        """About n points of the `fresh` cloud, given the size of the residual `(points,)` at each of them."""
        if n >= fresh.count:
            return fresh
        # the head of a low-discrepancy cloud is itself one
        head = round(self.even * n)
        weight = (size[head:] / max(float(size.max()), 1e-300)) ** self.power
        mean = float(weight.mean())
        chance = weight / mean + self.floor if mean > 0 else np.ones_like(weight)
        chosen = rng.choice(chance.size, n - head, replace=False, p=chance / chance.sum(), shuffle=False)
        index = np.concatenate([np.arange(head), head + np.sort(chosen)])
        normals = None if fresh.normals is None else fresh.normals[index]
        return replace(fresh, points=fresh.points[index], weights=np.full(n, 1.0 / n), normals=normals, count=n)
