"""A graph as a straight line of numpy calls: what `interpret` means, without walking.

Many small programs run again and again (the derivative of one operation on a tape); each becomes one Python function whose
source can be read.  SHARED values only.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph import CONSTANT, DATUM, Node, walk

_numbers = itertools.count()


def straight_line(leaves: Sequence[Node], outputs: Sequence[Node], name: str = "run") -> Callable[..., tuple]:
    """A function of the numbers of `leaves`, in their order, that answers the tuple of numbers of `outputs`.

    Its text is its attribute `source`.
    """
    known: dict[str, Any] = {"asarray": np.asarray}
    called = {leaf.serial: f"a{i}" for i, leaf in enumerate(leaves)}
    lines = [f"def run({', '.join(called[leaf.serial] for leaf in leaves)}):"]
    for node in walk(outputs, stop=lambda n: n.serial in called):
        if node.serial not in called:
            called[node.serial] = _write(node, called, known, lines)
    lines.append(f"    return ({''.join(called[o.serial] + ', ' for o in outputs)})")
    source = "\n".join(lines)
    # a file name inside this package, so that nobody takes its lines for the user's
    path = os.path.join(os.path.dirname(__file__), f"<{name} {next(_numbers)}>")
    exec(compile(source, path, "exec"), known)
    function = known["run"]
    function.source = source
    return function


def _write(node: Node, called: dict[int, str], known: dict[str, Any], lines: list[str]) -> str:
    """Adds the line that computes a node; answers the name of its number."""
    place = f"v{len(lines)}"
    if node.op is CONSTANT or node.op is DATUM:
        known[f"k{len(lines)}"] = node.attr if node.op is CONSTANT else node.attr.value
        lines.append(f"    {place} = k{len(lines)}")
        return place
    function = f"{node.op.name}_{len(lines)}"
    known[function] = node.op.value
    args = [called[a.serial] for a in node.args]
    if node.op.sort not in ("elementwise", "select"):
        known[f"k{len(lines)}"] = node.attr
        if node.op.sort == "multilinear":
            first = "(False, False)"
        else:
            first = "0"
            args = [f"asarray({x})" if a.shape == () else x for a, x in zip(node.args, args, strict=True)]
        args = [f"k{len(lines)}", first, *args]
    lines.append(f"    {place} = {function}({', '.join(args)})")
    return place
