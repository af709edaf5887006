"""Reference semantics: what a graph means, in plain numpy, slow and obviously right.  Every kernel must agree with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .errors import TraceError
from .graph import CONSTANT, DATUM, SYMBOL, VIEW, Node, walk
from .types import POINT


def evaluate(
    outputs: Iterable[Node],
    symbols: Mapping[Node, np.ndarray] | None = None,
    vectors: Mapping[str, np.ndarray] | None = None,
    points: int = 0,
) -> list[np.ndarray]:
    """The numbers of `outputs`.

    `symbols` gives a value to each SYMBOL leaf: `(points, *shape)` if it is per point, `shape` if it is shared; `vectors` gives
    the flat arrays that VIEW leaves look into.  Values per point come back as `(points, *shape)`.
    """
    outputs = list(outputs)
    symbols, vectors = symbols or {}, vectors or {}
    value: dict[int, np.ndarray] = {}
    nodes = walk(outputs, stop=lambda n: n.memo is not None)
    uses: dict[int, int] = {}
    for node in nodes:
        if node.memo is None:
            for a in node.args:
                uses[a.serial] = uses.get(a.serial, 0) + 1
    for node in outputs:
        uses[node.serial] = uses.get(node.serial, 0) + 1
    with np.errstate(all="ignore"):
        for node in nodes:
            value[node.serial] = node.memo if node.memo is not None else _compute(node, value, symbols, vectors, points)
            if node.memo is None:
                for a in node.args:  # free what nobody needs any more: memory follows the live front
                    uses[a.serial] -= 1
                    if not uses[a.serial]:
                        del value[a.serial]
    return [_per_point(node, value[node.serial], points) for node in outputs]


def _per_point(node: Node, value: np.ndarray, points: int) -> np.ndarray:
    return np.broadcast_to(value, (points, *node.shape)) if node.lane is POINT else value


def _compute(node: Node, value: dict, symbols: Mapping, vectors: Mapping, points: int) -> np.ndarray:
    if node.op is CONSTANT:
        return node.attr  # a Python number, so that NEP 50 keeps float32 programs in float32
    if node.op is DATUM:
        return node.attr.value
    if node.op is SYMBOL:
        if node not in symbols:
            raise TraceError(
                f"the number of {node.attr[0]!r} is needed, but the program is being traced and it has none",
                why="a Python `if`, `float()` or numpy conversion asked a traced value for its number",
                fix="use np.where(condition, a, b) for a choice between values",
                code="needs-number",
            )
        return np.asarray(symbols[node])
    if node.op is VIEW:
        vector, offset, _, strides = node.attr
        data = vectors[vector]
        return np.lib.stride_tricks.as_strided(data[offset:], node.shape, [data.itemsize * s for s in strides])
    args = [value[a.serial] for a in node.args]
    sort = node.op.sort
    if sort in ("elementwise", "select"):
        args = [_align(a, x, node.ndim) for a, x in zip(node.args, args, strict=True)]
        return node.op.value(*args)
    if sort == "multilinear":
        return node.op.value(node.attr, tuple(a.lane is POINT for a in node.args), *args)
    if sort == "reduction":
        arg = node.args[0]
        return args[0].sum(0) if arg.lane is POINT else points * np.asarray(args[0])
    if node.lane is POINT:
        args = [np.broadcast_to(x, (points, *a.shape)) for a, x in zip(node.args, args, strict=True)]
    return node.op.value(node.attr, int(node.lane is POINT), *[np.asarray(x) for x in args])


def _align(arg: Node, x: np.ndarray, ndim: int) -> np.ndarray:
    """Puts the point axis of a scalar argument in front of the axes that it will be broadcast over."""
    if arg.lane is POINT and arg.ndim < ndim:
        return x.reshape(x.shape[:1] + (1,) * (ndim - arg.ndim) + x.shape[1:])
    return x


def number(node: Node) -> np.ndarray:
    """The value of a node that needs no inputs, remembered on the node.

    Its arguments are remembered too, so that a loop that asks `while x > 1` computes every x once.
    """
    if node.memo is None:
        for n, value in zip((*node.args, node), evaluate([*node.args, node]), strict=True):
            n.memo = np.asarray(value, n.dtype)
    return node.memo
