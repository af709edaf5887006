"""Equations as functions on jet space: leaves, total derivatives, the words of vector calculus, tracing."""

from __future__ import annotations

from pinn.jetspace.calling import arguments, call
from pinn.jetspace.location import failure_location, user_location
from pinn.jetspace.operators import D, curl, div, grad, laplacian, normal_derivative
from pinn.jetspace.space import DerivativeError, Index, JetSpace, Key, demands, leaf_key
from pinn.jetspace.trace import Residuals, describe, trace

__all__ = [
    "D", "DerivativeError", "Index", "JetSpace", "Key", "Residuals", "arguments", "call", "curl", "demands", "describe", "div",
    "failure_location", "grad", "laplacian", "leaf_key", "normal_derivative", "trace", "user_location",
]  # fmt: skip
