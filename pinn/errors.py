"""Every exception of the solver: what happened, where in the user's file, why, and the fix as a line of code."""

from __future__ import annotations

from collections.abc import Callable


def locate(function: Callable) -> str:
    """`file:line` of a user's function, or an empty string where Python does not know it."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


class PinnError(Exception):
    """A failure with a stable `code`, told as what, where, why and fix."""

    code = "pinn"

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "", code: str = ""):
        self.what, self.where, self.why, self.fix = what, where, why, fix
        if code:
            self.code = code
        lines = [what] + [f"  {name}: {text}" for name, text in (("where", where), ("why", why), ("fix", fix)) if text]
        super().__init__("\n".join(lines))

    def placed(self, line: str) -> PinnError:
        """The same failure at a `file:line`, which comes before what it already says of the place."""
        where = f"{line}, in {self.where}" if self.where else line
        return type(self)(self.what, where=where, why=self.why, fix=self.fix, code=self.code)


class ProblemError(PinnError, ValueError):
    """A problem that does not say a solvable thing: a misspelt name, a missing condition, a wrong shape."""

    code = "problem"


class GeometryError(PinnError, ValueError):
    """A domain, face or region that does not exist or holds no points."""

    code = "geometry"


class RecipeError(PinnError, ValueError):
    """A way of solving that cannot be followed: zero points, an unknown parameter, a bad number."""

    code = "recipe"


class NumericsError(PinnError, FloatingPointError):
    """A value that is not finite, with the term and the point where it appeared."""

    code = "numerics"


class FileError(PinnError, OSError):
    """A file that cannot be read, written or understood."""

    code = "file"
