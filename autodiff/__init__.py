"""autodiff: one expression graph, and the readers of it.  This module is the only door; nothing outside imports past it."""

from . import rules  # noqa: F401  (fills the table of primitives)
from .array import Array, lift
from .checking import check_derivatives
from .compile import Ahead, BoundProgram, PointProgram, compile_ahead
from .control import cond, scan, while_loop
from .custom import custom_gradient, recompute_grad
from .errors import (
    ArgumentError,
    AutodiffError,
    AxisError,
    CompileError,
    DegenerateWarning,
    DifferentiationError,
    FunctionError,
    IndexingError,
    MatrixError,
    MissingError,
    NoRuleError,
    NumericsError,
    RefusedError,
    ShapeError,
    TapeError,
    TraceError,
    VariableError,
)
from .function import RetraceWarning, function, run_functions_eagerly
from .functional import grad, hessian, hvp, jacobian, jet, jvp, laplacian, stop_gradient, value_and_grad, vjp, vmap
from .graph import SYMBOL, VIEW, Node, datum, substitute, symbol, text, view, walk
from .health import check_numerics, debug_numerics
from .interpret import evaluate
from .listing import listed, restored
from .rules.activations import elu, gelu, leaky_relu, log_softmax, logsumexp, relu, sigmoid, silu, softmax, softplus, swish
from .rules.reduction import sum_points
from .tape import GradientTape, TapeWarning, UnconnectedWarning
from .transforms import Collapsed, Forward, Laplacian, Taylor, forward, rebuild, reverse, taylor
from .types import POINT, SHARED
from .variable import Variable, constant

__all__ = [
    "GradientTape", "TapeError", "TapeWarning", "UnconnectedWarning", "Variable", "check_numerics", "constant",
    "cond", "custom_gradient", "datum", "debug_numerics", "recompute_grad", "scan", "while_loop",
    "POINT", "SHARED", "SYMBOL", "VIEW", "Ahead", "ArgumentError", "Array", "AutodiffError", "BoundProgram", "Collapsed",
    "CompileError",
    "DifferentiationError", "Forward", "Laplacian", "Node", "NoRuleError", "NumericsError", "PointProgram",
    "ShapeError", "Taylor", "TraceError", "check_derivatives", "compile_ahead", "evaluate", "forward", "grad", "hessian", "hvp",
    "jacobian", "jet", "jvp", "laplacian", "lift", "listed", "rebuild", "restored", "reverse", "substitute",
    "sum_points", "symbol", "taylor", "text",
    "elu", "gelu", "leaky_relu", "log_softmax", "logsumexp", "relu", "sigmoid", "silu", "softmax", "softplus", "swish",
    "FunctionError", "RetraceWarning", "function", "run_functions_eagerly",
    "AxisError", "IndexingError", "MissingError", "RefusedError", "VariableError",
    "DegenerateWarning", "MatrixError", "stop_gradient", "value_and_grad", "view", "vjp", "vmap", "walk",
]  # fmt: skip
