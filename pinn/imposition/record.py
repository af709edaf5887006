"""The form of the fields as plain lists, so that a solution lives on where nobody can state its conditions again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import autodiff as ad
from pinn.imposition.ansatz import Dressing, Imposition
from pinn.jetspace import leaf_key
from pinn.problem import Problem


def describe_imposition(imposition: Imposition) -> dict[str, Any] | None:
    """Lift, factor and traces of every unknown; None where they hold more than elementwise operations on coordinates."""
    said = {}
    for unknown, dressing in imposition.dressings.items():
        graphs = ad.listed([dressing.lift, dressing.factor, *(factor for factor, _ in dressing.traces)], _coordinate)
        if graphs is None:
            return None
        said[unknown] = {"graphs": graphs, "without": [list(names) for _, names in dressing.traces]}
    return said


def restore_imposition(said: Mapping[str, Any] | None, problem: Problem) -> Imposition:
    """The imposition of a description; it holds fields, and no terms.  Raises KeyError for what is not known."""
    space = problem.space
    leaves = {name: space.coordinate(name) for name in space.coordinates}
    dressings = {}
    for unknown, one in (said or {}).items():
        lift, factor, *factors = (ad.Array(array.node, space) for array in ad.restored(one["graphs"], leaves))
        dressings[unknown] = Dressing(lift, factor, tuple(zip(factors, map(tuple, one["without"]), strict=True)))
    return Imposition(dressings, problem.terms)


def _coordinate(node: ad.Node) -> str | None:
    key = leaf_key(node)
    return key[1] if key is not None and key[0] == "coordinate" else None
