"""Batching: the same program with a leading axis on everything that depends on the batched leaves."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import NoRuleError
from ..graph import Node, walk
from ..primitive import TABLE, broadcast


class Batch:
    """Leaves get a leading axis of length n, and so does all that depends on them: `of(node)` has shape (n, *node.shape)."""

    def __init__(self, leaves: Mapping[Node, Node], n: int):
        self.n = n
        self.known: dict[int, Node | None] = {leaf.serial: batched for leaf, batched in leaves.items()}
        self._held: list[Node] = list(leaves)

    def of(self, node: Node) -> Node:
        """The batched node; what does not depend on a batched leaf is repeated."""
        known = self.known
        for m in walk([node], stop=lambda m: m.serial in known):
            if m.serial not in known:
                known[m.serial] = self._rule(m)
                self._held.append(m)
        batched = known[node.serial]
        return broadcast(node, (self.n, *node.shape)) if batched is None else batched

    def _rule(self, node: Node) -> Node | None:
        parts = [self.known[a.serial] for a in node.args]
        if all(p is None for p in parts):
            return None
        sort = node.op.sort
        if sort in ("elementwise", "select"):
            args = [a if p is None else self._align(p, node.ndim) for a, p in zip(node.args, parts, strict=True)]
            y = node.op.make(tuple(args), node.attr)
            return broadcast(y, (self.n, *node.shape))
        if sort == "reduction":
            return node.op.make((self.of(node.args[0]),), node.attr)
        rule = getattr(node.op, "batch", None)
        if rule is None:
            raise NoRuleError(f"{node.op.name} has no rule for batches", fix="np.stack([f(x) for x in xs]) instead of ad.vmap",
                              code="no-rule")  # fmt: skip
        if sort == "multilinear":
            (a, b), (pa, pb) = node.args, parts
            return rule(node.attr, a if pa is None else pa, b if pb is None else pb, pa is not None, pb is not None)
        return rule(self.n, node.attr, *[self.of(a) for a in node.args])

    def _align(self, x: Node, ndim: int) -> Node:
        """A batched scalar that meets an array of `ndim` axes gets axes of length one behind the batch axis."""
        missing = ndim - (x.ndim - 1)
        return TABLE["reshape"].make((x,), (self.n,) + (1,) * missing + x.shape[1:]) if missing else x
