"""Every exception of the engine: what happened, where in the user's file, why, and the fix as a line of code."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

import numpy as np

_LIBRARY = os.path.dirname(os.path.abspath(__file__))


def is_library(path: str) -> bool:
    """Whether a file belongs to this package, to numpy or scipy, or to the interpreter itself."""
    return path.startswith((_LIBRARY, "<frozen ", "<__array_function__")) or _is_of("numpy", path) or _is_of("scipy", path)


def _is_of(package: str, path: str) -> bool:
    return f"{os.sep}{package}{os.sep}" in path


def scipy_call() -> str:
    """The function of scipy that is running, as the user wrote it: `scipy.special.softmax`; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    name = ""
    while frame is not None and is_library(frame.f_code.co_filename):
        if _is_of("scipy", frame.f_code.co_filename):
            module = frame.f_globals.get("__name__", "scipy").partition("._")[0]
            name = f"{module}.{frame.f_code.co_name}"
        frame = frame.f_back
    return name


def user_location() -> str:
    """The innermost `file:line` on the stack that belongs neither to this package nor to numpy: where the user wrote it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_library(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class AutodiffError(Exception):
    """A failure with a stable `code`, told as what, where, why and fix."""

    code = "autodiff"

    def __init__(self, what: str, *, where: str | None = None, why: str = "", fix: str = "", code: str = ""):
        self.what, self.where, self.why, self.fix = what, user_location() if where is None else where, why, fix
        if code:
            self.code = code
        lines = [what] + [f"  {name}: {text}" for name, text in (("where", self.where), ("why", why), ("fix", fix)) if text]
        super().__init__("\n".join(lines))


class ShapeError(AutodiffError, ValueError):
    """Shapes that do not fit together."""

    code = "shape"


class AxisError(ShapeError, IndexError):
    """An axis that an array does not have."""

    code = "axis"


class IndexingError(ShapeError, IndexError):
    """An index that is outside of an array."""

    code = "index"


class NoRuleError(AutodiffError, TypeError):
    """A numpy function that has no derivative rule here."""

    code = "no-rule"


class TraceError(AutodiffError, TypeError):
    """A traced value was used where only a number can be."""

    code = "trace"


class DifferentiationError(AutodiffError, ValueError):
    """A derivative that was asked for in a way that has no answer."""

    code = "differentiation"


class ArgumentError(DifferentiationError, TypeError):
    """An argument of a kind that has no derivative, or arguments that do not correspond."""

    code = "argument"


class RefusedError(ArgumentError, IndexError):
    """Arguments that a numpy function does not take."""

    code = "refused"


class MissingError(AutodiffError, AttributeError):
    """An attribute that arrays do not have."""

    code = "attribute"


class NumericsError(AutodiffError, FloatingPointError):
    """A value that is not finite."""

    code = "numerics"


class TapeError(AutodiffError, RuntimeError, ValueError):
    """A tape was asked for something that its state does not allow."""

    code = "tape"


class VariableError(AutodiffError, RuntimeError):
    """A variable was used in a way that would lose it."""

    code = "variable"


class MatrixError(NumericsError, np.linalg.LinAlgError):
    """A matrix that has no inverse, or no factor of the kind asked for."""

    code = "matrix"


class DegenerateWarning(RuntimeWarning):
    """Equal eigenvalues or singular values: the derivatives of their vectors do not exist and are nan."""


class CompileError(AutodiffError, NotImplementedError):
    """A program that cannot become a kernel; `node` is the part that has no compiled form, if it is one."""

    code = "compile"

    def __init__(self, what: str, *, node: Any = None, **told: Any):
        self.node = node
        super().__init__(what, **told)


class FunctionError(AutodiffError, ValueError):
    """A function that cannot be traced once and run many times."""

    code = "function"
