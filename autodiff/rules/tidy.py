"""The choices and loops of a whole program, before it is compiled: what is done twice is done once, what nobody reads never.

Derivatives make loops that do again what another one does: the reverse of a loop runs it once more to keep its states, and its
tangent carries its values along.  They leave results behind that are not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..graph import Node, substitute, walk
from ..transforms import rebuild
from .choice import COND, Choice, choose
from .layout import INDEX
from .loop import LOOP, Loop, ending, repeat
from .packing import packed, part


def tidied(outputs: Iterable[Node]) -> list[Node]:
    """The same values, by fewer and smaller choices and loops; in their bodies too."""
    outputs = _inside(outputs)
    while (smaller := _merged(outputs) or _trimmed(outputs)) is not None:
        outputs = smaller
    return outputs


def _inside(outputs: Iterable[Node]) -> list[Node]:
    """Bodies first."""
    outputs = list(outputs)
    new: dict[Node, Node] = {}
    for n in walk(outputs):
        if isinstance(n.attr, (Choice, Loop)):
            attr = n.attr.rewritten(tidied)
            if attr != n.attr:
                new[n] = n.op.make(tuple(substitute(n.args, new, rebuild)), attr)
    return substitute(outputs, new, rebuild) if new else outputs


# ---- once instead of twice -----------------------------------------------------------------------------------------------


def _merged(outputs: Sequence[Node]) -> list[Node] | None:
    """One loop fewer, if one does all that another does."""
    loops = [n for n in walk(outputs) if n.op is LOOP]
    for less in loops:
        for more in loops:
            if more is not less and _covers(more, less) and less.serial not in {n.serial for n in walk([more])}:
                a, b = less.attr, more.attr
                rows = dict(zip(b.ys, b.y_windows, strict=True))
                found = [*b.carry_windows[: len(a.carry)], *[rows[y] for y in a.ys]]
                found += [b.count_window] if a.condition is not None else []
                return substitute(outputs, {less: packed([part(more, w) for w in found], a.windows)}, rebuild)
    return None


def _covers(more: Node, less: Node) -> bool:
    """Whether a loop has the steps of another, and its results among its own."""
    a, b = less.attr, more.attr
    if (a.condition, a.backward, a.counted) != (b.condition, b.backward, b.counted) or a.length not in (None, b.length):
        return False
    if a.counted and less.args[-1] is not more.args[-1]:
        return False
    same = all(tuple(y[: len(x)]) == tuple(x) for x, y in zip(a.groups(less.args), b.groups(more.args), strict=True))
    return same and b.next[: len(a.next)] == a.next and set(a.ys) <= set(b.ys)


# ---- never instead of once -----------------------------------------------------------------------------------------------


def _trimmed(outputs: Sequence[Node]) -> list[Node] | None:
    """One choice or loop without the results that nobody reads, if there is one."""
    order = walk(outputs)
    whole = {n.serial for n in outputs}  # read from the first element to the last
    reads: dict[int, list[tuple[int, int]]] = {}
    for n in order:
        for a in n.args:
            if a.op is LOOP or a.op is COND:
                key = n.attr[0] if n.op is INDEX else None
                if key is None or not isinstance(key, int) and key[2] != 1:
                    whole.add(a.serial)
                else:
                    reads.setdefault(a.serial, []).append((key, key + 1) if isinstance(key, int) else key[:2])
    for n in reversed(order):
        if isinstance(n.attr, (Choice, Loop)) and n.serial not in whole:
            wanted = [any(low < w.stop and w.start < high for low, high in reads[n.serial]) for w in n.attr.windows]
            parts = _needed_of_choice(n, wanted) if isinstance(n.attr, Choice) else _needed_of_loop(n, wanted)
            if parts is not None:
                return substitute(outputs, {n: packed(parts, n.attr.windows)}, rebuild)
    return None


def _picked(found: Iterable[Node], wanted: Sequence[bool]) -> list[Node | None]:
    rest = iter(found)
    return [next(rest) if want else None for want in wanted]


def _needed_of_choice(node: Node, wanted: Sequence[bool]) -> list[Node | None] | None:
    choice: Choice = node.attr
    if all(wanted):
        return None
    keep = [i for i, want in enumerate(wanted) if want]
    operands = dict(zip(choice.leaves, node.args[1:], strict=True))
    found = choose(node.args[0], operands, [choice.yes[i] for i in keep], [choice.no[i] for i in keep],
                   [choice.forms[i] for i in keep])  # fmt: skip
    return _picked(found, wanted)


def _needed_of_loop(node: Node, wanted: Sequence[bool]) -> list[Node | None] | None:
    """A carry is needed if it is read, or if it leads to something that is."""
    loop: Loop = node.attr
    n = len(loop.carry)
    rows = [k for k in range(len(loop.ys)) if wanted[n + k]]
    known = {i for i in range(n) if wanted[i]}
    ends = [] if loop.condition is None else [loop.condition]
    while True:
        below = {m.serial for m in walk([*[loop.next[i] for i in known], *[loop.ys[k] for k in rows], *ends])}
        more = known | {i for i in range(n) if loop.carry[i].serial in below}
        if more == known:
            break
        known = more
    if len(known) == n and len(rows) == len(loop.ys):
        return None
    starts, stacks, shared = (dict(zip(leaves, nodes, strict=True)) for leaves, nodes in
                              zip((loop.carry, loop.xs, loop.shared), loop.groups(node.args), strict=True))  # fmt: skip
    found = repeat({leaf: starts[leaf] for i, leaf in enumerate(loop.carry) if i in known}, stacks, shared,
                   [y for i, y in enumerate(loop.next) if i in known], [loop.ys[k] for k in rows],
                   **ending(loop, node.args))  # fmt: skip
    parts = _picked(found.carry, [i in known for i in range(n)]) + _picked(found.ys, [k in rows for k in range(len(loop.ys))])
    return parts + ([] if loop.condition is None else [found.steps])


__all__ = ["tidied"]
