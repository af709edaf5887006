"""Reverse mode: cotangents flow from the outputs to the sources.

Blind to lanes: the cotangent of a SHARED weight under a POINT output is a POINT value, one row of the Jacobian; `sum_points` of
it is the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..array import unknown
from ..errors import NoRuleError
from ..graph import Node, constant, depends, walk
from ..primitive import TABLE, is_zero, sum_to
from .forward import add, multiply, partials

ZERO = constant(0.0)


def reverse(outputs: Sequence[Node], seeds: Sequence[Node | None], sources: Iterable[Node],
            masked: bool = False) -> list[Node | None]:  # fmt: skip
    """Cotangents of `sources` for the cotangents `seeds` of `outputs`; None where no path leads from source to output.

    `masked` says that a seed may be exactly zero where a derivative is not finite, and that zero must win; by default it is so
    for what a selection chooses from.
    """
    sources = list(sources)
    live = depends(outputs, sources)
    order = [n for n in walk(outputs) if n.serial in live]
    # below a selection, a cotangent can be exactly zero in a branch whose derivative is not finite: zero must win
    choices = [n for n in order if n.op.sort == "select" or n.op is TABLE["gated"]]
    guarded = live if masked else {n.serial for n in walk([a for n in choices for a in n.args])}
    wanted = {s.serial for s in sources}
    cotangent: dict[int, Node] = {}

    def give(node: Node, ct: Node | None) -> None:
        if ct is None or node.serial not in live or is_zero(ct):
            return
        ct = sum_to(ct, node.shape) if len(ct.shape) > len(node.shape) or ct.shape != node.shape and ct.shape != () else ct
        cotangent[node.serial] = add(cotangent.get(node.serial), ct)  # type: ignore[assignment]

    for output, seed in zip(outputs, seeds, strict=True):
        give(output, seed)
    for node in reversed(order):
        ct = cotangent.get(node.serial)
        if ct is None:
            continue
        if node.serial not in wanted:
            del cotangent[node.serial]
        if node.args:
            for a, g in zip(node.args, _pull(node, ct, live, node.serial in guarded), strict=True):
                give(a, g)
    return [cotangent.get(s.serial) for s in sources]


def _pull(node: Node, ct: Node, live: set[int], masked: bool) -> list[Node | None]:
    sort, wants = node.op.sort, [a.serial in live for a in node.args]
    if ct.shape != node.shape:
        ct = TABLE["broadcast"].make((ct,), node.shape)
    if sort == "elementwise":
        times = (lambda p, g: TABLE["gated"].make((g, p))) if masked else multiply
        return [
            sum_to(times(p, ct), a.shape) if want and p is not None and not is_zero(p) else None
            for p, want, a in zip(partials(node), wants, node.args, strict=True)
        ]
    if sort == "multilinear":
        a, b = node.args
        left = node.op.transposes[0](ct, b, node) if wants[0] else None
        right = node.op.transposes[1](ct, a, node) if wants[1] else None
        return [left, right]
    if sort == "linear":
        return [node.op.transpose(ct, i, node) if want else None for i, want in enumerate(wants)]
    if sort == "select":
        c, a, b = node.args
        pick = node.op.make
        return [None, sum_to(pick((c, ct, ZERO)), a.shape) if wants[1] else None,
                sum_to(pick((c, ZERO, ct)), b.shape) if wants[2] else None]  # fmt: skip
    if sort == "reduction":
        return [ct]
    if sort == "opaque":
        if node.op.reverse is None:
            return _transposed(node, ct, wants)
        return list(node.op.reverse(node, ct, wants, masked) if node.op.selective else node.op.reverse(node, ct))
    raise NoRuleError(f"{node.op.name} has no reverse derivative", fix="use ad.jvp", code="no-rule")


def _transposed(node: Node, ct: Node, wants: list[bool]) -> list[Node | None]:
    """Forward mode is linear in the tangents, so its own cotangents are those of the node."""
    pairs = zip(node.args, wants, strict=True)
    tangents = [unknown("tangent", a.shape, a.dtype, a.lane) if want else None for a, want in pairs]
    moved = node.op.forward(node, tangents)
    if moved is None:
        return [None] * len(wants)
    found = iter(reverse([moved], [ct], [t for t in tangents if t is not None]))
    return [next(found) if want else None for want in wants]
