"""Taylor mode: normalised coefficients y_k = (d/dt)^k y / k! along a path of the inputs, and the collapsed Laplacian.

From y' = p(y, a) a' follows  y_k = 1/k sum_{j=1..k} j a_j p_{k-j}.  The partial p is an ordinary graph that may mention y; its
coefficients are pulled by (node, order), the order strictly falls, and interning closes the recurrence: sin meets cos meets
-sin. (Griewank & Walther, Evaluating Derivatives, 2nd ed., section 13.2.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..array import lift
from ..errors import NoRuleError
from ..graph import Node, constant, walk
from ..primitive import SAME, TABLE, is_zero
from ..types import POINT
from .forward import Forward, add, filled, multiply, partials


class Taylor:
    """Coefficients along one path: `coefficient(node, k)` is a node, or None for zero."""

    def __init__(self, series: Mapping[Node, Sequence[Node | None]]):
        self.series = {n.serial: list(cs) for n, cs in series.items()}
        self._leaves = list(series)
        self.known: dict[tuple[int, int], Node | None] = {}
        self._partials: dict[int, list[Node | None]] = {}
        self._moves: dict[int, bool] = {}
        self._velocities: dict[int, Node | None] = {}  # of opaque nodes, their motion in terms of that of their arguments
        self._of_velocity: dict[int, Node] = {}
        self._held: list[Node] = []

    def moves(self, node: Node) -> bool:
        """Whether the node depends on the path at all."""
        if node.serial not in self._moves:
            for n in walk([node], stop=lambda n: n.serial in self._moves):
                if n.serial not in self._moves:
                    self._moves[n.serial] = n.serial in self.series or any(self._moves[a.serial] for a in n.args)
                    self._held.append(n)
        return self._moves[node.serial]

    def coefficient(self, node: Node, k: int) -> Node | None:
        if k == 0:
            return node
        if not self.moves(node):
            return None
        if (node.serial, k) not in self.known:
            # arguments first and low orders first, so that long programs do not recurse deeply
            for n in walk([node], stop=lambda n: (n.serial, k) in self.known or not self.moves(n)):
                for order in range(1, k + 1):
                    if self.moves(n) and (n.serial, order) not in self.known:
                        y = self._rule(n, order)
                        self.known[n.serial, order] = None if y is None or is_zero(y) else y
        return self.known[node.serial, k]

    def _rule(self, node: Node, k: int) -> Node | None:
        if node.serial in self.series:
            cs = self.series[node.serial]
            return cs[k - 1] if k <= len(cs) else None
        if node.serial in self._of_velocity:
            a = self.coefficient(self._of_velocity[node.serial], k + 1)
            return None if a is None else multiply(constant(k + 1.0), a)
        sort = node.op.sort
        if sort == "opaque" and not node.op.picks:
            return self._opaque(node, k)
        if sort == "elementwise":
            if node.serial not in self._partials:
                self._partials[node.serial] = partials(node)
            total = None
            for a, p in zip(node.args, self._partials[node.serial], strict=True):
                if p is None or is_zero(p):
                    continue
                for j in range(1, k + 1):
                    aj = self.coefficient(a, j)
                    pj = None if aj is None else self.coefficient(p, k - j)
                    if aj is not None and pj is not None:
                        total = add(total, multiply(constant(j / k), multiply(aj, pj)))
            return None if total is None else filled(total, node)
        if sort == "multilinear":
            total = None
            for j in range(k + 1):
                aj, bj = self.coefficient(node.args[0], j), self.coefficient(node.args[1], k - j)
                if aj is not None and bj is not None:
                    total = add(total, node.op.make((aj, bj), node.attr))
            return total
        parts = [self.coefficient(a, k) for a in node.args]
        if all(p is None for p in parts):
            return None
        if sort in ("linear", "reduction"):
            return node.op.make(tuple(filled(p, a) for p, a in zip(parts, node.args, strict=True)), node.attr)
        if sort == "select":
            c, a, b = node.args
            return node.op.make((c, filled(parts[1], a), filled(parts[2], b)))
        if sort == "opaque":
            return node.op.forward(node, parts)
        raise NoRuleError(f"{node.op.name} has no Taylor rule", fix="nest ad.jvp instead", code="no-rule")

    def _opaque(self, node: Node, k: int) -> Node | None:
        """From y' = F(y, a; a'), linear in a', follows y_k = F_{k-1} / k, where a' has the coefficients (j + 1) a_{j+1}."""
        if node.op.taylor is not None:
            return node.op.taylor(node, k, self.coefficient)
        if node.serial not in self._velocities:
            velocities = [self._velocity(a) if self.moves(a) else None for a in node.args]
            self._velocities[node.serial] = node.op.forward(node, velocities)
        moved = self._velocities[node.serial]
        y = None if moved is None else self.coefficient(moved, k - 1)
        return None if y is None else multiply(constant(1.0 / k), y)

    def _velocity(self, a: Node) -> Node:
        """a' as a node of its own, with a series of its own."""
        v = SAME.make((filled(self.coefficient(a, 1), a),), a.serial)
        self._of_velocity[v.serial], self._moves[v.serial] = a, True
        self._held.append(v)
        return v


def taylor(outputs: Iterable[Node], series: Mapping[Node, Sequence[Node | None]], order: int) -> list[list[Node | None]]:
    """Normalised coefficients 1..order of every output."""
    mode = Taylor(series)
    return [[mode.coefficient(o, k) for k in range(1, order + 1)] for o in outputs]


class Collapsed:
    """A linear operator L = sum_i a_i D_i^2 + sum_j b_j D_j with constant coefficients, carried as *one* channel.

    L_y = sum_a p_a L_a + sum_i a_i sum_a (D_i p_a) (D_i a): the first derivatives D_i are needed, the second ones and the D_j
    are not.  With a_i = 1 and no b_j this is the forward Laplacian (Li et al. 2023, arXiv:2307.08214, eq. 5), d + 2 channels
    instead of 2 d + 1; the heat operator u_t - k u_xx takes 3 channels instead of 4.  With `constant` directions L (L u) takes
    10 channels in two dimensions, instead of 13 for its parts.
    """

    def __init__(
        self,
        second: Sequence[tuple[Forward, Node | float]],
        first: Sequence[tuple[Forward, Node | float]] = (),
        collect: Callable[[Node], Node] = lambda term: term,
        constant: bool = False,
    ):
        # `collect` sums over directions that are one batch: its argument is the term of a generic direction
        self.collect = collect
        # whether the directions are the same everywhere: then L and D commute
        self.constant = constant
        self.second = [(d, lift(c)) for d, c in second]
        self.first = [(d, lift(c)) for d, c in first]
        self.known: dict[int, Node | None] = {}
        self._held: list[Node] = []

    def of(self, node: Node) -> Node | None:
        known = self.known
        for n in walk([node], stop=lambda n: n.serial in known or self._origin(n) is not None):
            if n.serial not in known:
                y = self._value(n)
                known[n.serial] = None if y is None or is_zero(y) else filled(y, n)
                self._held.append(n)
        return known[node.serial]

    def _value(self, node: Node) -> Node | None:
        origin = self._origin(node)
        if origin is None:
            return self._rule(node)
        d, a = origin  # L D = D L: the third derivatives of L L u are made once, as D_i (L u)
        y = self.of(a)
        return None if y is None else d.of(y)

    def _origin(self, node: Node) -> tuple[Forward, Node] | None:
        """(D, a) if a node is D a, for one of the second derivatives."""
        if self.constant and node.lane is POINT and node.args:
            for d, _ in self.second:
                if node.serial in d.origin:
                    return d, d.origin[node.serial]
        return None

    def _rule(self, node: Node) -> Node | None:
        total: Node | None = None
        if not node.args:
            for d, c in self.first:
                if (t := d.of(node)) is not None:
                    total = add(total, multiply(c, t))
            for d, c in self.second:  # a leaf may stand for a function whose derivatives are leaves, too
                if (t := d.of(node)) is not None and (t := d.of(t)) is not None:
                    total = add(total, multiply(c, t))
            return total
        if all(d.of(node) is None for d, _ in self.second + self.first):
            return None
        parts, sort = [self.known[a.serial] for a in node.args], node.op.sort
        if sort == "elementwise":
            for a, p, part in zip(node.args, partials(node), parts, strict=True):
                if p is None or is_zero(p):
                    continue
                if part is not None:
                    total = add(total, multiply(p, part))
                for d, c in self.second:
                    dp, da = d.of(p), d.of(a)
                    if dp is not None and da is not None:
                        total = add(total, multiply(c, self.collect(multiply(dp, da))))
            return total
        if sort == "multilinear":
            (a, b), (la, lb) = node.args, parts
            for x, y in ((la, b), (a, lb)):
                if x is not None and y is not None:
                    total = add(total, node.op.make((x, y), node.attr))
            for d, c in self.second:
                da, db = d.of(a), d.of(b)
                if da is not None and db is not None:
                    twice = self.collect(node.op.make((da, db), node.attr))
                    total = add(total, multiply(constant(2.0), multiply(c, twice)))
            return total
        if sort == "opaque" and not node.op.picks:
            return self._opaque(node, parts)
        if all(p is None for p in parts):
            return None
        if sort in ("linear", "reduction"):
            return node.op.make(tuple(filled(p, a) for p, a in zip(parts, node.args, strict=True)), node.attr)
        if sort == "select":
            c, a, b = node.args
            return TABLE[node.op.name].make((c, filled(parts[1], a), filled(parts[2], b)))
        if sort == "opaque":
            return node.op.forward(node, parts)
        raise NoRuleError(f"{node.op.name} has no collapsed rule", fix="sum the derivatives one by one instead", code="no-rule")

    def _opaque(self, node: Node, parts: list[Node | None]) -> Node | None:
        """With D y = F(y, a; D a): L y = F(y, a; L a) + sum_i a_i (D_i F)(y, a; D_i a), the last argument held still."""
        total = None if all(p is None for p in parts) else node.op.forward(node, parts)
        for d, c in self.second:
            moving = [d.of(a) for a in node.args]
            held = [None if t is None else d.hold(SAME.make((t,), a.serial)) for t, a in zip(moving, node.args, strict=True)]
            if any(t is not None for t in held):
                slope = node.op.forward(node, held)
                bent = None if slope is None else d.of(slope)
                if bent is not None:
                    total = add(total, multiply(c, self.collect(bent)))
        return total


def Laplacian(directions: Sequence[Forward], collect: Callable[[Node], Node] = lambda term: term) -> Collapsed:
    """sum_i D_i^2 over the given directions, as one channel."""
    return Collapsed([(d, 1.0) for d in directions], collect=collect)
