"""Jet space: coordinates, unknowns and all their derivatives as the leaves of expressions, and the total derivative."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import ProblemError
from pinn.geometry import Domain
from pinn.jetspace.location import user_location

Index = tuple[str, ...]

ONE = ad.lift(1.0)
_REDUCTIONS = frozenset("all any argmax argmin cumprod cumsum max mean median min prod ptp std sum var".split())
_REDUCING = frozenset(getattr(np, name) for name in _REDUCTIONS | {"amax", "amin", "average", "nanmax", "nanmin", "nansum",
                                                                     "trapezoid"}) | {np.linalg.norm}  # fmt: skip


class DerivativeError(ProblemError, AttributeError):
    """A derivative that is not there, `u.q`; as an AttributeError too, so that `hasattr` can ask."""

    code = "derivative"


class Key(tuple):
    """What a leaf stands for, `("jet", "u", ("x", "x"))`, and how a message calls it, `u.xx`."""

    def __repr__(self) -> str:
        if self[0] == "jet":
            return self[1] + ("." + "".join(self[2]) if self[2] else "")
        if self[0] == "lift":
            return f"lift of {self[1]}" + ("." + "".join(self[2]) if self[2] else "")
        return f"n{self[1]}" if self[0] == "normal" else str(self[1])


def leaf_key(node: ad.Node) -> tuple | None:
    """What a leaf of jet space stands for; None for any other node."""
    return node.attr[0] if node.op is ad.SYMBOL else None


@dataclass(frozen=True)
class JetSpace:
    """All jets of `unknowns` over `coordinates`, of which `spatial` are those of space and `time` is that of time or None.

    Every leaf is one number for each point.  Derivatives are multi-indices in the order of `coordinates`, so u_xt and u_tx
    are one leaf.  An expression carries its space, which is how `u.xx` and `(k * u.x).x` are understood.
    """

    coordinates: tuple[str, ...]
    spatial: tuple[str, ...]
    time: str | None
    unknowns: tuple[str, ...]

    @staticmethod
    def over(domain: Domain, unknowns: Iterable[str]) -> JetSpace:
        """The jets of fields on a domain."""
        return JetSpace(domain.coordinates, domain.spatial, domain.time, tuple(unknowns))

    # -- leaves
    def coordinate(self, name: str) -> ad.Array:
        """The coordinate of a point."""
        return ad.Array(ad.symbol(Key(("coordinate", name))), self)

    def jet(self, unknown: str, index: Index = ()) -> ad.Array:
        """The derivative of an unknown, itself for an empty index."""
        return ad.Array(ad.symbol(Key(("jet", unknown, self.sorted(index)))), self)

    def normal(self, axis: str) -> ad.Array:
        """One component of the outward normal at a point of the boundary."""
        return ad.Array(ad.symbol(Key(("normal", axis))), self)

    def data(self, name: str) -> ad.Array:
        """A number that is known at each point, computed before any training."""
        return ad.Array(ad.symbol(Key(("data", name))), self)

    def sorted(self, index: Iterable[str]) -> Index:
        """A multi-index in the order of the coordinates."""
        return tuple(sorted(index, key=self.coordinates.index))

    def names(self) -> dict[str, ad.Array]:
        """What a function of the user's may ask for by name: unknowns, coordinates and normals `nx`, `ny`, ..."""
        known = {unknown: self.jet(unknown) for unknown in self.unknowns}
        known |= {name: self.coordinate(name) for name in self.coordinates}
        return known | {f"n{axis}": self.normal(axis) for axis in self.spatial}

    # -- derivatives
    def read(self, subscript: str) -> Index | None:
        """The multi-index that a subscript spells, `"xxt"` as `("x", "x", "t")`; None where it spells none."""
        # Names may be prefixes of each other (x, x1); domains only admit names that can be read in one way.
        if not subscript:
            return ()
        for name in sorted(self.coordinates, key=len, reverse=True):
            if subscript.startswith(name):
                rest = self.read(subscript[len(name):])
                if rest is not None:
                    return (name, *rest)
        return None

    def subscript(self, array: ad.Array, name: str) -> ad.Array:
        """`array.name`: a derivative.  Raises `ProblemError` (codes `derivative`, `reduction`)."""
        index = self.read(name)
        if index is not None:
            return self.derivative(array, index)
        if name in _REDUCTIONS:
            raise _reduction(f"{title(array)}.{name}()")
        close = difflib.get_close_matches(name.replace("_", "").lower(), self._examples(), 1, 0.5)
        raise DerivativeError(
            f"there is no derivative {title(array)}.{name}", where=user_location(),
            why=f"subscripts are coordinates in a row, and the coordinates are {', '.join(self.coordinates)}: "
                + ", ".join(f"{title(array)}.{example}" for example in self._examples()[:6]),
            fix=f"did you mean {title(array)}.{close[0] if close else self.coordinates[0]}?")

    def derivative(self, expression: Any, index: Iterable[str]) -> ad.Array:
        """The total derivative: d(u_a)/dx = u_{a+x}, and forward mode for everything made of it.

        Normals count as constants, as they are on flat faces.
        """
        node = ad.lift(expression)
        for name in self.sorted(index):
            tangent = ad.Forward(self._direction(name)).of(node)
            node = ad.lift(0.0 * ad.Array(node)) if tangent is None else tangent
        return ad.Array(node, self)

    def permit(self, function: Callable[..., Any], arguments: tuple) -> None:
        """Raises `ProblemError` (codes `reduction`, `derivative`) for `np.mean(u)` and `u.T`, which would be u itself."""
        if function is np.transpose and isinstance(arguments[0], ad.Array) and arguments[0].ndim == 0:
            self.subscript(arguments[0], "T")
        if function in _REDUCING and arguments and isinstance(arguments[0], ad.Array) and arguments[0].ndim == 0:
            raise _reduction(f"np.{function.__name__}({title(arguments[0])})")

    def _direction(self, name: str) -> Callable[[ad.Node], ad.Node | None]:
        def tangent(node: ad.Node) -> ad.Node | None:
            key = leaf_key(node)
            if key is None:
                return None
            if key[0] == "jet":
                return self.jet(key[1], (*key[2], name)).node
            return ONE if key == ("coordinate", name) else None

        return tangent

    def _examples(self) -> list[str]:
        names = list(self.coordinates)
        return names + [a + b for i, a in enumerate(names) for b in names[i:]]


def _reduction(written: str) -> ProblemError:
    return ProblemError(f"{written} would reduce over points", where=user_location(), code="reduction",
                        why="an equation is written for one point, and holds at each of them",
                        fix="leave it out; for a choice between two values there are np.maximum and np.minimum")


def title(array: ad.Array) -> str:
    """How an expression is called in a message: `u`, `u.xx`, or `(...)`."""
    key = leaf_key(array.node)
    return "(...)" if key is None else repr(key)


def demands(residuals: Iterable[ad.Array]) -> dict[str, list[Index]]:
    """The derivatives that expressions use, by unknown: `{"u": [(), ("x",), ("x", "x")]}`, low orders first."""
    found: dict[str, set[Index]] = {}
    for node in ad.walk([residual.node for residual in residuals]):
        key = leaf_key(node)
        if key is not None and key[0] == "jet":
            found.setdefault(key[1], set()).add(key[2])
    return {unknown: sorted(found[unknown], key=lambda index: (len(index), index)) for unknown in sorted(found)}
