"""Forward mode: the tangent of every node from the tangents of its arguments, t_y = sum_i p_i t_i."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..array import Array, lift
from ..errors import NoRuleError
from ..graph import Node, constant, walk
from ..primitive import TABLE, broadcast, is_zero
from ..types import POINT

ZERO = constant(0.0)


def partials(node: Node) -> list[Node | None]:
    """The first derivatives of an elementwise node, one per argument; None where there is none."""
    if node.op.derivative is None:
        return [None] * len(node.args)
    answer = node.op.derivative(Array(node), *[Array(a) for a in node.args])
    return [None if p is None else lift(p) for p in answer]


def add(a: Node | None, b: Node | None) -> Node | None:
    """a + b where None is zero."""
    return b if a is None else a if b is None else TABLE["add"].make((a, b))


def multiply(a: Node, b: Node) -> Node:
    return TABLE["multiply"].make((a, b))


def filled(tangent: Node | None, node: Node) -> Node:
    """A tangent as a node of the right shape, zeros for None."""
    return broadcast(ZERO if tangent is None else tangent, node.shape)


def is_below(a: Node, b: Node) -> bool:
    """Whether b is made of a.  Arguments are older than what is made of them, so nothing older than a need be looked at."""
    return a.serial < b.serial and any(n is a for n in walk([b], stop=lambda n: n.serial <= a.serial))


class Forward:
    """Tangents in one direction, shared by everything that asks: `of(node)` is a node, or None for zero.

    `later` are directions that, like this one, are the same everywhere.  They commute with this one and come after it: D_x of a
    tangent D_y a is taken as D_y of D_x a, so that no mixed derivative is made twice.
    """

    def __init__(self, seed: Mapping[Node, Node] | Callable[[Node], Node | None], later: tuple[Forward, ...] = ()):
        self.seed, self.later = seed.get if isinstance(seed, Mapping) else seed, later
        self.known: dict[int, Node | None] = {}
        self.origin: dict[int, Node] = {}  # of a tangent: what it is the tangent of
        self._held: list[Node] = []  # keeps nodes alive while their serials are keys

    def hold(self, node: Node) -> Node:
        """The node, which does not move in this direction from now on."""
        self.known[node.serial] = None
        self._held.append(node)
        return node

    def of(self, node: Node) -> Node | None:
        known = self.known
        if node.serial not in known:
            for n in walk([node], stop=lambda n: n.serial in known or bool(self.later) and self._swapped(n) is not None):
                if n.serial not in known:
                    t = self._tangent(n)
                    known[n.serial] = t = None if t is None or is_zero(t) else broadcast(t, n.shape)
                    self._held.append(n)
                    if t is not None and not is_below(t, n):  # D_t (t a) = a: a is then no tangent to be swapped
                        self.origin.setdefault(t.serial, n)
        return known[node.serial]

    def _tangent(self, node: Node) -> Node | None:
        swapped = self._swapped(node)
        if swapped is None:
            return self._rule(node)
        later, a = swapped
        t = self.of(a)
        return None if t is None else later.of(t)

    def _swapped(self, node: Node) -> tuple[Forward, Node] | None:
        """(D, a) if a node is D a for a later direction D."""
        for d in self.later:
            if node.args and node.lane is POINT and node.serial in d.origin:
                return d, d.origin[node.serial]
        return None

    def _rule(self, node: Node) -> Node | None:
        seeded = self.seed(node)
        if seeded is not None:
            return seeded
        tangents = [self.known[a.serial] for a in node.args]
        if all(t is None for t in tangents):
            return None
        sort = node.op.sort
        if sort == "elementwise":
            total = None
            for p, t in zip(partials(node), tangents, strict=True):
                if p is not None and t is not None and not is_zero(p):
                    total = add(total, multiply(p, t))
            return total
        if sort == "multilinear":
            (a, b), (ta, tb) = node.args, tangents
            left = None if ta is None else node.op.make((ta, b), node.attr)
            right = None if tb is None else node.op.make((a, tb), node.attr)
            return add(left, right)
        if sort in ("linear", "reduction"):
            return node.op.make(tuple(filled(t, a) for t, a in zip(tangents, node.args, strict=True)), node.attr)
        if sort == "select":
            (c, a, b), (_, ta, tb) = node.args, tangents
            return node.op.make((c, filled(ta, a), filled(tb, b)))
        if sort == "opaque":
            return node.op.forward(node, tangents)
        raise NoRuleError(f"{node.op.name} has no forward derivative", fix="use ad.grad or ad.vjp", code="no-rule")


def forward(outputs: Iterable[Node], seed: Mapping[Node, Node] | Callable[[Node], Node | None]) -> list[Node | None]:
    """Tangents of `outputs` when the leaves move by `seed`; None is zero."""
    mode = Forward(seed)
    return [mode.of(o) for o in outputs]
