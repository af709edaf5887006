"""Unbatching: a program over whole arrays, one axis of which counts points, becomes the program of a single point.

The inverse of `Batch`.  Leaves with a leading axis of points are exchanged for what one point has of them; from there on every
value either has the axis of points somewhere (transposing moves it) or is the same for all points.  Summing that axis away, in
a sum or in a product, is `sum_points`.  Whatever else mixes points has no form for one of them and is a CompileError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import CONSTANT, DATUM, Node, constant, datum, symbol, walk
from ..primitive import BROADCAST, TABLE, broadcast, is_zero
from ..types import SHARED, Shape

FEW = 8  # a vector of so few numbers meets the rows of a matrix one by one


@dataclass(frozen=True, eq=False)
class PerPoint:
    """A value that has an axis of points: `node` is what one point has of it, a shape without that axis."""

    node: Node
    axis: int
    length: int


class Unbatch:
    """The values of one point: `of(node)` is a PerPoint, or the node of what all points share.

    `lanes` gives each leaf of shape (n, *shape) its value at one point, of shape `shape`.  Where points meet what they share,
    `shared` says how they read it; an array that has a row for every point but is no lane becomes one: `column(array, axis)`
    gives what one point has of it, and `columns` collects these.  Raises CompileError, with the `node`, for what mixes points.
    """

    def __init__(self, lanes: Mapping[Node, Node], shared: Callable[[Node], Node] = lambda node: node,
                 column: Callable[[Node, int], Node] | None = None):  # fmt: skip
        self.shared, self.column = shared, column or _symbol
        self.columns: dict[tuple[Node, int], Node] = {}
        self.known: dict[int, Node | PerPoint] = {
            leaf.serial: PerPoint(point, 0, leaf.shape[0]) for leaf, point in lanes.items()
        }
        self._fixed: dict[tuple[int, int], Node | None] = {}
        self._held: list[Node] = list(lanes)

    def of(self, node: Node) -> Node | PerPoint:
        known = self.known
        for n in walk([node], stop=lambda n: n.serial in known):
            if n.serial not in known:
                known[n.serial] = self._rule(n)
                self._held.append(n)
        return known[node.serial]

    def origin(self, point: object) -> object:
        """The whole array that a value per point comes from, as far as it can be told; the value itself if it cannot."""
        pairs = [(n, self.known[n.serial]) for n in self._held if n.serial in self.known]
        found = [(n, v.node) for n, v in pairs if isinstance(v, PerPoint) and n.args]
        same = [n for n, v in found if v is point]
        alike = [n for n, v in found if isinstance(point, Node) and (n.op, v.shape) == (point.op, point.shape)]
        return next(iter([*same, *alike]), point)

    def _rule(self, node: Node) -> Node | PerPoint:
        values = [self.known[a.serial] for a in node.args]
        if node.op is TABLE["same"]:
            return values[0]
        points = [(k, v) for k, v in enumerate(values) if isinstance(v, PerPoint)]
        if not points:
            same = all(v is a for v, a in zip(values, node.args, strict=True))
            return node if same else node.op.make(tuple(values), node.attr)
        k, first = points[0]
        place = _place(node, k, first.axis)
        axes = [_counterpart(node, k, first.axis, i) for i in range(len(values))]
        if any(v.axis != axes[i] or v.length != first.length for i, v in points):
            raise refuse(node, "its arguments count points along different axes, so that every point would meet every other",
                         "let only values of the same point meet: (n, 1) with (n, k), not (n, 1) with (n,)")  # fmt: skip
        args = [self._at_point(v, axis, first.length) for v, axis in zip(values, axes, strict=True)]
        if place == SUMMED:
            return _sum_points(without_axis(node, args, axes, None), first.length)
        return PerPoint(without_axis(node, args, axes, place), place, first.length)

    def _at_point(self, value: Node | PerPoint, axis: int | None, length: int) -> Node:
        """What one point reads of an argument whose `axis`, if it has one, counts points."""
        if isinstance(value, PerPoint):
            return value.node
        if axis is None:
            return self.shared(value)
        fixed = self._without(value, axis)
        if fixed is not None:
            return self.shared(fixed)
        if (value, axis) not in self.columns:
            self.columns[value, axis] = self.column(value, axis)
        return self.columns[value, axis]

    def _without(self, node: Node, axis: int) -> Node | None:
        """A shared value without an axis along which it does not change; None if it may change."""
        key = (node.serial, axis)
        if key not in self._fixed:
            self._held.append(node)
            self._fixed[key] = self._drop(node, axis)
        return self._fixed[key]

    def _drop(self, node: Node, axis: int) -> Node | None:
        shape = node.shape[:axis] + node.shape[axis + 1 :]
        if node.op is DATUM:
            value = np.moveaxis(node.attr.value, axis, 0)
            if not len(value) or not np.array_equal(value, np.broadcast_to(value[:1], value.shape)):
                return None
            return constant(value[0].item()) if shape == () and value.dtype == np.float64 else datum(value[0].copy())
        if node.op is BROADCAST:
            (x,) = node.args
            i = axis - (node.ndim - x.ndim)
            if i < 0 or x.shape[i] != node.shape[axis]:
                return _repeat(x if i < 0 else TABLE["reshape"].make((x,), x.shape[:i] + x.shape[i + 1 :]), shape)
        if node.shape[axis] == 1:
            return TABLE["reshape"].make((node,), shape)
        if not node.args:
            return None
        axes = [axis_before(node, k, axis) for k in range(len(node.args))]
        if all(i is None for i in axes):
            return None
        args = [a if i is None else self._without(a, i) for a, i in zip(node.args, axes, strict=True)]
        return None if any(a is None for a in args) else without_axis(node, args, axes, axis)  # type: ignore[arg-type]


def _symbol(array: Node, axis: int) -> Node:
    return symbol(("column", array.serial, axis), array.shape[:axis] + array.shape[axis + 1 :], array.dtype)


def refuse(node: Node, why: str, fix: str = "") -> CompileError:
    """The error for a node that has no form for one point."""
    shapes = " and ".join(str(a.shape) for a in node.args)
    return CompileError(f"{node.op.name} of {shapes or node.shape} cannot be written for one point", why=why, fix=fix,
                        node=node, code="not-pointwise")  # fmt: skip


def _sum_points(x: Node, length: int) -> Node:
    if x.lane is SHARED:
        return broadcast(TABLE["multiply"].make((constant(float(length)), x)), x.shape)
    return TABLE["sum_points"].make((x,))


# ---- where an axis goes ---------------------------------------------------------------------------------------------------

SUMMED = -1  # instead of a place: the axis is summed away


def _place(node: Node, k: int, axis: int) -> int:
    """Where `axis` of argument k is in the result, or SUMMED; raises CompileError where it is neither."""
    found = _moved(node, k, axis)
    if isinstance(found, str):
        raise refuse(node, found, "keep the axis of points whole, and leave what compares or picks points outside")
    return found


def axis_before(node: Node, k: int, place: int) -> int | None:
    """The axis of argument k that is at `place` in the result; None if there is none."""
    return next((i for i in range(node.args[k].ndim) if _moved(node, k, i) == place), None)


def _counterpart(node: Node, k: int, axis: int, other: int) -> int | None:
    """The axis of another argument that runs along with `axis` of argument k."""
    if other == k:
        return axis
    place = _place(node, k, axis)
    if place != SUMMED:
        return axis_before(node, other, place)
    mine, its = _letters(node)[k], _letters(node)[other]
    return its.index(mine[axis])


def _letters(node: Node) -> tuple[str, str, str]:
    left, out = node.attr.split("->")
    a, b = left.split(",")
    return a, b, out


def _moved(node: Node, k: int, axis: int) -> int | str:
    """The same as `_place`, with the reason where there is none."""
    x, op, attr, sort = node.args[k], node.op, node.attr, node.op.sort
    if sort in ("elementwise", "select") or op is TABLE["gated"] or op is BROADCAST:
        place = axis + node.ndim - x.ndim
        fits = node.shape[place] == x.shape[axis] or op is not BROADCAST and x.shape[axis] == 1
        return place if fits else "a single point would be repeated"
    if op is TABLE["contract"]:
        letter, out = _letters(node)[k][axis], _letters(node)[2]
        return out.index(letter) if letter in out else SUMMED
    if op is TABLE["sum"]:
        return SUMMED if axis in attr else axis - sum(a < axis for a in attr)
    if op is TABLE["reshape"]:
        return _reshaped(x.shape, axis, attr)
    if op is TABLE["transpose"]:
        return attr.index(axis)
    if op is TABLE["index"]:
        if axis < len(attr) and attr[axis] != (0, x.shape[axis], 1):
            return "it picks some of the points"
        return axis - sum(isinstance(key, int) for key in attr[:axis])
    if op is TABLE["scatter"]:
        keys, shape = attr
        places = [i for i in range(len(shape)) if i >= len(keys) or not isinstance(keys[i], int)]
        return places[axis] if shape[places[axis]] == x.shape[axis] else "it places the points among others"
    if op is TABLE["take"]:
        return axis + attr.value.ndim - 1 if axis else "it gathers from the points"
    if op is TABLE["spread"]:
        ndim = attr[0].value.ndim
        return axis - ndim + 1 if axis >= ndim else "it adds points up by their positions"
    if op is TABLE["stack"]:
        return axis + (attr <= axis)
    if op is TABLE["concatenate"]:
        return axis if axis != attr else "it joins points with others"
    if axis == 0 and _attribute(node) is not MISSING:
        return 0
    return "it needs all points at once" if axis == 0 else "it is known only for arrays whose first axis counts the points"


def _reshaped(shape: Shape, axis: int, new: Shape) -> int | str:
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    for place, n in enumerate(new):
        if n == shape[axis] and math.prod(new[:place]) == before and math.prod(new[place + 1 :]) == after:
            return place
    return f"the shape {new} mixes the points with another axis"


# ---- what one point does ---------------------------------------------------------------------------------------------------


def without_axis(node: Node, args: list[Node], axes: list[int | None], place: int | None) -> Node:
    """The operation on `args`, which have lost their `axes`; in the result the axis was at `place`, None if it was summed."""
    op, attr, sort = node.op, node.attr, node.op.sort
    shape = node.shape if place is None else node.shape[:place] + node.shape[place + 1 :]
    if sort in ("elementwise", "select") or op is TABLE["gated"]:
        return broadcast(op.make(tuple(a if a.shape == () else _repeat(a, shape) for a in args), attr), shape)
    if op is BROADCAST:
        return _repeat(args[0], shape)
    if op is TABLE["contract"]:
        terms = [w if i is None else w[:i] + w[i + 1 :] for w, i in zip(_letters(node), (*axes, place), strict=True)]
        return _product((terms[0], terms[1], terms[2]), *args)
    axis = next(i for i in axes if i is not None)  # all arguments of the others are alike
    if op is TABLE["sum"]:
        return op.make(tuple(args), tuple(a - (a > axis) for a in attr if a != axis))
    if op is TABLE["reshape"]:
        return op.make(tuple(args), shape)
    if op is TABLE["transpose"]:
        return op.make(tuple(args), tuple(i - (i > axis) for i in attr if i != axis))
    if op is TABLE["index"]:
        keys = attr[:axis] + attr[axis + 1 :]
        return op.make(tuple(args), keys) if keys else args[0]
    if op is TABLE["scatter"]:
        return placed(args[0], attr[0][:place] + attr[0][place + 1 :], shape)  # type: ignore[index, operator]
    if op is TABLE["take"]:
        return op.make(tuple(args), attr)
    if op is TABLE["spread"]:
        return op.make(tuple(args), (attr[0], shape))
    if op is TABLE["stack"]:
        return op.make(tuple(args), attr - (place < attr))  # type: ignore[operator]
    if op is TABLE["concatenate"]:
        return op.make(tuple(args), attr - (axis < attr))
    return op.make(tuple(args), _attribute(node))


def _repeat(x: Node, shape: Shape) -> Node:
    """x repeated to `shape`; a vector of one is a number, which the features of a point can take."""
    if x.shape == (1,) and shape != (1,):
        x = TABLE["reshape"].make((x,), ())
    return broadcast(x, shape)


def placed(x: Node, keys: tuple, shape: Shape) -> Node:
    """x in an array of zeros; in one of few features as a concatenation, which dissolves."""
    if len(shape) != 1 or not keys or not isinstance(keys[0], int) and keys[0][2] != 1:
        return TABLE["scatter"].make((x,), (keys, shape)) if keys else x
    low = keys[0] if isinstance(keys[0], int) else keys[0][0]
    middle = TABLE["stack"].make((x,), 0) if isinstance(keys[0], int) else x
    ends = [broadcast(constant(0.0), (n,)) for n in (low, shape[0] - low - middle.shape[0])]
    parts = [part for part in (ends[0], middle, ends[1]) if part.shape[0]]
    return TABLE["concatenate"].make(tuple(parts), 0)


def _product(terms: tuple[str, str, str], a: Node, b: Node) -> Node:
    """The contraction of what one point has; numbers stand outside, and few of them pick the rows that they meet."""
    a_letters, b_letters, out = terms
    for (sa, x), (sb, y) in (((a_letters, a), (b_letters, b)), ((b_letters, b), (a_letters, a))):
        if sa == "":
            turned = y if sb == out else TABLE["transpose"].make((y,), tuple(sb.index(c) for c in out))
            return broadcast(TABLE["multiply"].make((x, turned)), turned.shape)
        numbers = _numbers(x) if y.lane is SHARED and len(sa) == 1 and sa not in out else None
        if numbers is not None and len(sb) == 2:
            i, total = sb.index(sa), None
            for row, number in enumerate(numbers):
                if not is_zero(number):
                    key = ((0, y.shape[0], 1),) * i + (row,)
                    term = TABLE["multiply"].make((number, TABLE["index"].make((y,), key)))
                    total = term if total is None else TABLE["add"].make((total, term))
            length = y.shape[1 - i]
            return broadcast(constant(0.0) if total is None else total, (length,))
    if out == b_letters + a_letters and len(out) == 2:  # outer products have one form
        a_letters, b_letters, a, b = b_letters, a_letters, b, a
    names: dict[str, str] = {}
    for letter in a_letters + b_letters:
        names.setdefault(letter, chr(ord("a") + len(names)))
    words = ["".join(names[c] for c in word) for word in (a_letters, b_letters, out)]
    return TABLE["contract"].make((a, b), f"{words[0]},{words[1]}->{words[2]}")


def _numbers(x: Node) -> list[Node] | None:
    """The elements of a short vector that is written as numbers."""
    if x.ndim != 1 or x.shape[0] > FEW:
        return None
    if x.op is BROADCAST and x.args[0].op is CONSTANT:
        return [x.args[0]] * x.shape[0]
    if x.op is TABLE["stack"] and all(a.op is CONSTANT for a in x.args):
        return list(x.args)
    if x.op is TABLE["concatenate"]:
        parts = [_numbers(a) for a in x.args]
        return None if any(p is None for p in parts) else [number for p in parts for number in p]  # type: ignore[union-attr]
    return None


# ---- primitives that a transform knows nothing of -----------------------------------------------------------------------

MISSING: Any = object()


def _attribute(node: Node) -> Any:
    """The attribute with which a primitive does for one point what the node does along axes behind the first; or MISSING.

    Found by asking the primitive: batching the right one gives the node.
    """
    batch = getattr(node.op, "batch", None)
    if batch is None or node.op.sort not in ("linear", "opaque") or not all(a.ndim for a in node.args):
        return MISSING
    probes = [symbol(("probe", k), a.shape, a.dtype, SHARED) for k, a in enumerate(node.args)]
    for attr in _earlier(node.attr):
        if attr == node.attr and max(p.ndim for p in probes) < 3:
            continue  # without axes of its own it works on matrices, and a point has none
        try:
            batched = batch(node.args[0].shape[0], attr, *probes)
        except (TypeError, IndexError, ValueError):  # not an attribute of this primitive
            continue
        alike = batched.op is node.op and batched.attr == node.attr and len(batched.args) == len(probes)
        if alike and all(a is p for a, p in zip(batched.args, probes, strict=True)):
            return attr
    return MISSING


def _earlier(attr: Any) -> list[Hashable]:
    """The attribute with axes counted from one axis later: all numbers in it may be axes, or only the first."""

    def less(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(less(y) for y in x)
        return x - 1 if isinstance(x, int) and not isinstance(x, bool) else x

    def counts(x: Any) -> bool:
        return all(counts(y) for y in x) if isinstance(x, tuple) else not isinstance(x, int) or x >= 0

    first = (less(attr[0]), *attr[1:]) if isinstance(attr, tuple) and attr else attr
    # a negative axis would be the axis of points itself
    return [x for x in (less(attr), first, attr) if counts(x)]
