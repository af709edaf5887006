"""Rewriting a program for the kernel: primitives that are dear there are replaced by what they are made of."""

from __future__ import annotations

from collections.abc import Iterable

from ..array import Array, lift
from ..graph import Node, walk
from ..primitive import broadcast
from ..types import POINT


def lower(outputs: Iterable[Node], differentiated: bool = False) -> list[Node]:
    """The same values, with every elementwise primitive that has a `lowered` form written out (sech^2 as 1 - tanh^2).

    So is what compares or rearranges the features of a point; what only says how to differentiate is left out, unless the
    outputs are still to be differentiated.
    """
    outputs = list(outputs)
    new: dict[int, Node] = {}
    for node in walk(outputs):
        args = tuple(new[a.serial] for a in node.args)
        lowered = getattr(node.op, "lowered", None)
        written_out = getattr(node.op, "written_out", None) if node.lane is POINT else None
        passes, y = getattr(node.op, "passes", None), None
        if passes is not None and not differentiated:
            y = args[passes]
        elif lowered is not None:
            y = lowered(*[Array(a) for a in args])
        elif written_out is not None:
            y = written_out(node.attr, *[Array(a) for a in args])
        if y is not None:
            new[node.serial] = lower([broadcast(lift(y), node.shape)], differentiated)[0]
        else:
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            new[node.serial] = node if same else node.op.make(args, node.attr)
    return [new[o.serial] for o in outputs]


def rebuild(op, args: tuple[Node, ...], attr) -> Node:
    """Makes a node anew, simplified, as `substitute` needs it."""
    return op.make(args, attr)
