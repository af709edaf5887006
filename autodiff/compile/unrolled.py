"""Small matrices of a point, taken apart: their rows or columns are vectors, and a tile has forms for vectors only.

A Hessian by `vmap`, a difference from a few centres: one axis is short, and what is done along it is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from ..graph import Node, constant, walk
from ..primitive import BROADCAST, TABLE, broadcast
from ..transforms.unbatch import axis_before, placed, without_axis
from ..types import POINT, SHARED

SHORT = 16  # rows or columns that are written out


def unrolled(nodes: Sequence[Node]) -> list[Node]:
    """The same values per point, in which no vector or number is made from a matrix, as far as axes are short."""
    new: dict[int, Node] = {}
    for n in walk(nodes):
        args = tuple(new[a.serial] for a in n.args)
        same = all(a is b for a, b in zip(args, n.args, strict=True))
        new[n.serial] = _settled(n if same else n.op.make(args, n.attr))
    return [new[n.serial] for n in nodes]


def _is_matrix(n: Node) -> bool:
    return n.lane is POINT and n.ndim > 1


def _settled(n: Node) -> Node:
    """A number or vector without the matrices that it is made from directly; a matrix as outer products, if it is so."""
    if n.lane is SHARED or not any(_is_matrix(a) for a in n.args):
        return n
    if n.ndim > 1:
        return (n.op is TABLE["contract"] and _reduced(n, min(n.shape) - 1)) or n
    return _reduced(n) or _put_together(n) or n


def _reduced(n: Node, most: int = SHORT) -> Node | None:
    """A sum along a short axis, written out."""
    if n.op is TABLE["sum"]:
        (x,) = n.args
        axis = min(n.attr, key=lambda i: x.shape[i])
        rest = tuple(i - (i > axis) for i in n.attr if i != axis)
        return _total(lambda i: n.op.make((part_of(x, axis, i),), rest), x.shape[axis])
    if n.op is not TABLE["contract"]:
        return None
    left, out = n.attr.split("->")
    words = left.split(",")
    summed = [c for c in words[0] if c in words[1] and c not in out]
    if not summed:
        return None
    length = {c: size for word, a in zip(words, n.args, strict=True) for c, size in zip(word, a.shape, strict=True)}
    letter = min(summed, key=length.__getitem__)
    if length[letter] > most:
        return None
    axes: list[int | None] = [word.index(letter) for word in words]

    def term(i: int) -> Node:
        parts = [part_of(a, axis, i) for a, axis in zip(n.args, axes, strict=True)]  # type: ignore[arg-type]
        return without_axis(n, parts, axes, None)

    return _total(term, length[letter])


def _total(term: Callable[[int], Node], length: int) -> Node | None:
    if not 0 < length <= SHORT:
        return None
    return reduce(lambda a, b: TABLE["add"].make((a, b)), [_settled(term(i)) for i in range(length)])


def _put_together(n: Node) -> Node | None:
    """A short vector from its elements, or what an index or another shape makes of a matrix."""
    x = n.args[0]
    if n.op is TABLE["index"] and isinstance(n.attr[0], int):
        row, rest = part_of(x, 0, n.attr[0]), n.attr[1:]
        return _settled(n.op.make((row,), rest)) if rest else row
    if n.op is TABLE["reshape"] and n.ndim == 1 and 0 < x.shape[0] <= SHORT:
        rows = [_settled(n.op.make((part_of(x, 0, i),), (n.shape[0] // x.shape[0],))) for i in range(x.shape[0])]
        return TABLE["concatenate"].make(tuple(rows), 0)
    if n.ndim == 1 and 0 < n.shape[0] <= SHORT and axis_before(n, 0, 0) is not None:
        return TABLE["stack"].make(tuple(part_of(n, 0, i) for i in range(n.shape[0])), 0)
    return None


def part_of(n: Node, axis: int, i: int) -> Node:
    """Element i along an axis: row i of a matrix for axis 0, column i for axis 1."""
    index, shape = TABLE["index"], n.shape[:axis] + n.shape[axis + 1 :]
    whole = index.make((n,), (*((0, k, 1) for k in n.shape[:axis]), i))
    if n.lane is SHARED or n.ndim == 1 and not any(_is_matrix(a) for a in n.args):
        return whole
    if n.op is TABLE["stack"] and n.attr == axis:
        return n.args[i]
    if n.op is TABLE["concatenate"] and n.attr == axis:
        ends = np.cumsum([a.shape[axis] for a in n.args]).tolist()
        k = next(k for k, end in enumerate(ends) if i < end)
        return part_of(n.args[k], axis, i - (ends[k - 1] if k else 0))
    if n.op is BROADCAST:
        (x,) = n.args
        j = axis - (n.ndim - x.ndim)
        inner = x if j < 0 else part_of(x, j, i if x.shape[j] == n.shape[axis] else 0)
        return broadcast(TABLE["reshape"].make((inner,), ()) if inner.shape == (1,) and shape != (1,) else inner, shape)
    if n.op is index:
        kept = [k for k in range(n.args[0].ndim) if k >= len(n.attr) or not isinstance(n.attr[k], int)]
        place = kept[axis]
        start, _, step = n.attr[place] if place < len(n.attr) else (0, 0, 1)
        keys = n.attr[:place] + n.attr[place + 1 :]
        inner = part_of(n.args[0], place, start + i * step)
        return _settled(index.make((inner,), keys)) if keys else inner
    if n.op is TABLE["scatter"]:
        keys, (x,) = n.attr[0], n.args
        key = keys[axis] if axis < len(keys) else (0, n.shape[axis], 1)
        taken = [key] if isinstance(key, int) else list(range(*key))
        if i not in taken:
            return broadcast(constant(0.0), shape)
        before = sum(not isinstance(k, int) for k in keys[:axis])
        inner = x if isinstance(key, int) else part_of(x, before, taken.index(i))
        return _settled(placed(inner, keys[:axis] + keys[axis + 1 :], shape))
    if n.op is TABLE["reshape"] and n.args[0].ndim == 1 and n.ndim == 2:
        first, second = n.shape
        key = (i * second, (i + 1) * second, 1) if axis == 0 else (i, first * second, second)
        return index.make(n.args, (key,))
    axes = [axis_before(n, k, axis) for k in range(len(n.args))]
    if all(j is None for j in axes):
        return whole
    parts = [a if j is None else part_of(a, j, i) for a, j in zip(n.args, axes, strict=True)]
    return _settled(without_axis(n, parts, axes, axis))
