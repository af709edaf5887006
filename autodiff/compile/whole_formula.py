"""The text of one operation in a loop, in the dtype in which numpy computes it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..graph import CONSTANT, Node
from ..types import BOOL
from .whole_reads import no_form
from .whole_text import name_of

# where the text of a primitive is not what numpy answers for every number of every dtype
SOURCE = {
    "sign": "({0} if {0} != {0} else ({0} > 0) - ({0} < 0))",
    "heaviside": "({1} if {0} == 0 else (1.0 if {0} > 0 else (0.0 if {0} < 0 else {0})))",
    "maximum": "({0} if ({0} > {1}) | ({0} != {0}) else {1})", "minimum": "({0} if ({0} < {1}) | ({0} != {0}) else {1})",
    "fmax": "({0} if ({0} > {1}) | ({1} != {1}) else {1})", "fmin": "({0} if ({0} < {1}) | ({1} != {1}) else {1})",
    "remainder": "np.remainder({0}, {1})", "fmod": "np.fmod({0}, {1})", "isinf": "(abs({0}) == np.inf)",
}  # fmt: skip
OF_INTEGERS = {"remainder": "integer_remainder({0}, {1})", "fmod": "integer_fmod({0}, {1})"}
LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
# what gives its own dtype back for floats, so that no conversion need be written
CLOSED = {"add", "subtract", "multiply", "divide", "maximum", "minimum", "fmax", "fmin", "absolute", "sqrt", "where", "copy",
          "gated", "stop_gradient"}  # fmt: skip
COMPARED = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "isnan", "isfinite", "isinf"}


def number(value: float | int | bool, dtype: np.dtype) -> str:
    """A constant of the program as text of this dtype."""
    if dtype == BOOL:
        return repr(bool(value))
    if dtype.kind in "iu":
        return repr(int(value)) if dtype == np.int64 else f"{name_of(dtype)}({int(value)})"
    value = float(value)
    text = repr(value) if math.isfinite(value) else "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    return text if dtype == np.float64 else f"{name_of(dtype)}({text})"


def start_of(name: str, dtype: np.dtype) -> str:
    """What a sum, or a search for the largest or smallest value, begins with."""
    if name == "sum":
        return number(0, dtype)
    if dtype.kind == "f":
        return number(-np.inf if name == "max" else np.inf, dtype)
    low, high = (0, 1) if dtype == BOOL else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return number(low if name == "max" else high, dtype)


def combined(name: str, a: str, b: str, dtype: np.dtype, numbers: bool = False) -> str:
    """a + b, or the larger or smaller of them; with `numbers`, neither is nan, and many may be taken at a time."""
    if dtype == BOOL:
        return f"({a} {'&' if name == 'min' else '|'} {b})"
    if name != "sum":
        functions = ("larger", "smaller") if numbers and dtype.kind == "f" else ("above", "below")
        return f"{functions[name == 'min']}({a}, {b})"
    return f"plus({a}, {b})" if dtype.kind == "f" else f"{name_of(dtype)}({a} + {b})"


def computed_in(node: Node, roots: Sequence[Node]) -> np.dtype:
    """The dtype in which numpy computes a node."""
    if node.op.name in LOGICAL:
        return BOOL
    if node.op.name.startswith("astype") or node.op.name == "copy":
        return np.result_type(roots[0].attr) if roots[0].op is CONSTANT else roots[0].dtype
    dtype = node.dtype
    if node.op.sort == "select":
        return dtype
    if getattr(node.op, "dtype", "same") == "bool":
        dtype = np.result_type(*[n.attr if n.op is CONSTANT else n.dtype for n in roots])
        if node.op.name in ("isnan", "isfinite", "isinf", "signbit") and dtype.kind != "f":
            dtype = np.dtype(np.float64)
    if dtype == BOOL:
        return np.dtype(np.int64)
    return dtype


def template(node: Node, roots: Sequence[Node]) -> str:
    """The text of a node with places for its arguments; `roots` are what these are, or are views of."""
    kind = computed_in(node, roots)
    source = OF_INTEGERS.get(node.op.name) if kind.kind != "f" else None
    source = source or SOURCE.get(node.op.name, node.op.source)
    if not source:
        raise no_form(node, "the primitive declares no text")
    return source


def finished(text: str, node: Node, kind: np.dtype) -> str:
    """The text of a node computed in `kind`, as its own dtype."""
    if node.op.name in CLOSED and node.dtype == kind and (kind.kind == "f" or kind == np.int64) or node.op.name in COMPARED:
        return text
    return f"{name_of(node.dtype)}({text})"
