"""Graphs of numbers, leaves and elementwise operations as plain lists, which any file can keep, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .array import Array, lift
from .graph import CONSTANT, Node, constant, walk
from .primitive import TABLE


def listed(outputs: Sequence[Array], name: Callable[[Node], str | None]) -> dict[str, Any] | None:
    """Rows `[operation, *rows of its arguments]`, `["number", value]` or `["leaf", name(node)]`, and the rows of the outputs.

    None where there is a leaf without a name, or an operation that is not elementwise.
    """
    nodes = [lift(output) for output in outputs]
    rows: list[list[Any]] = []
    place: dict[int, int] = {}
    for node in walk(nodes):
        if node.op is CONSTANT:
            row = ["number", node.attr]
        elif not node.args and (leaf := name(node)) is not None:
            row = ["leaf", leaf]
        elif node.op.sort in ("elementwise", "select") and node.attr is None and node.shape == ():
            row = [node.op.name, *(place[a.serial] for a in node.args)]
        else:
            return None
        place[node.serial] = len(rows)
        rows.append(row)
    return {"rows": rows, "outputs": [place[node.serial] for node in nodes]}


def restored(said: Mapping[str, Any], leaves: Mapping[str, Array]) -> list[Array]:
    """The outputs of a listing, with leaves by name.  Raises KeyError for an operation or a leaf that is not known."""
    made: list[Node] = []
    for kind, *rest in said["rows"]:
        if kind == "number":
            made.append(constant(rest[0]))
        elif kind == "leaf":
            made.append(leaves[rest[0]].node)
        else:
            made.append(TABLE[kind].make(tuple(made[i] for i in rest)))
    return [Array(made[i]) for i in said["outputs"]]
