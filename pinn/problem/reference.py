"""A numerical solution in place of an exact one: fields on a tensor grid, read between its points by splines."""

from __future__ import annotations

import inspect
import numbers
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from pinn.errors import FileError, ProblemError
from pinn.jetspace import user_location

DEGREE = 5
ERROR = "relative_l2"  # the name in a file of how well the fields are known


class Reference:
    """`Problem(..., exact=Reference({"u": values}, error=1e-7, x=xs, t=ts))`: errors are measured against numbers on a grid.

    `values` `(len(xs), len(ts), ...)` by unknown, in the order of the coordinates given, which rise and need not be even;
    between them, tensor products of splines of degree 5 (de Boor 1978), or less where there are fewer points.  `error` is the
    relative L2 error of the reference itself, from its own convergence.  It is no exact solution: nothing is proven with it.
    Raises `ProblemError` (code `reference`).
    """

    def __init__(self, values: Mapping[str, Any], error: float, **coordinates: Any):
        axes = {name: _numbers(x, f"the grid of {name}") for name, x in coordinates.items()}
        if not axes or not isinstance(values, Mapping) or not values:
            raise _wrong("a reference needs coordinates and values by unknown", "it is a function of the coordinates")
        if not isinstance(error, numbers.Real) or isinstance(error, bool) or not 0 <= error < 1:
            raise _wrong(f"error={error!r} is no relative error", "whoever compares with a reference must know how good it is")
        for name, x in axes.items():
            if x.ndim != 1 or len(x) < 2 or not np.all(np.isfinite(x)) or not np.all(np.diff(x) > 0):
                raise _wrong(f"the grid of {name} does not rise", f"it is of shape {x.shape}; two numbers at least, each "
                             "larger than the one before")  # fmt: skip
        shape = tuple(len(x) for x in axes.values())
        self.error, self.axes, self.values = float(error), axes, dict[str, np.ndarray]()
        for unknown, given in values.items():
            value = _numbers(given, f"the values of {unknown}")
            if value.shape != shape:
                raise _wrong(f"the values of {unknown} are of shape {value.shape}, not {shape}",
                             f"there is one at each point of the grid of {', '.join(axes)}")
            if not np.all(np.isfinite(value)):
                raise _wrong(f"{np.count_nonzero(~np.isfinite(value))} values of {unknown} are not finite",
                             "a spline spreads one of them over all others")
            self.values[unknown] = value
        self._splines: dict[str, Any] = {}
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in axes]
        self.__signature__ = inspect.Signature(parameters)

    @classmethod
    def read(cls, path: str | Path) -> Reference:
        """The reference of an `.npz` file with the names of coordinates, of unknowns, and `relative_l2`.  Raises `FileError`.

        One-dimensional arrays are coordinates, the others values.
        """
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:  # TypeError: a lone array, no .npz
            raise FileError(f"no reference can be read from {path}", why=str(error),
                            fix="give an .npz file of numpy.savez") from error
        known = arrays.pop(ERROR, None)
        if known is None or known.size != 1 or known.dtype.kind != "f":
            raise FileError(f"{path} does not say how good it is", why=f"it has no number {ERROR}",
                            fix=f"numpy.savez(path, x=x, t=t, u=u, {ERROR}=1e-7)")
        axes = {name: array for name, array in arrays.items() if array.ndim == 1}
        return cls({name: array for name, array in arrays.items() if name not in axes}, float(known.ravel()[0]), **axes)

    def __call__(self, *positions: Any, **coordinates: Any) -> dict[str, np.ndarray]:
        """Values by unknown at coordinates of any one shape; NaN outside the grid."""
        given = dict(zip(self.axes, positions, strict=False)) | coordinates
        if set(given) != set(self.axes) or len(positions) > len(self.axes):
            asked = ", ".join(given) or "nothing"
            raise ProblemError(f"{self!r} was asked at {asked}", where=user_location(), code="reference",
                               why=f"its coordinates are {', '.join(self.axes)}",
                               fix=f"reference({', '.join(f'{name}=...' for name in self.axes)})")
        points = np.broadcast_arrays(*(np.asarray(given[name], float) for name in self.axes))
        at = np.stack([point.ravel() for point in points], axis=-1)
        return {unknown: self._spline(unknown)(at).reshape(points[0].shape) for unknown in self.values}

    def __repr__(self) -> str:
        grid = ", ".join(f"{name}: {len(x)}" for name, x in self.axes.items())
        return f"Reference({', '.join(self.values)} on {grid}; relative error {self.error:.1e})"

    def _spline(self, unknown: str) -> Any:
        """The spline of an unknown: interpolation along one axis after the other."""
        # `scipy.interpolate` is reached through `scipy`, which loads it at the first use
        if unknown not in self._splines:
            coefficients, knots, degrees = self.values[unknown], [], []
            for axis, x in enumerate(self.axes.values()):
                degree = max(k for k in (1, 3, DEGREE) if k < len(x))
                one = scipy.interpolate.make_interp_spline(x, coefficients, k=degree, axis=axis)
                coefficients = np.moveaxis(one.c, 0, axis)  # where scipy keeps the axis of the interpolation
                knots.append(one.t)
                degrees.append(degree)
            table = np.ascontiguousarray(coefficients)
            self._splines[unknown] = scipy.interpolate.NdBSpline(tuple(knots), table, tuple(degrees), extrapolate=False)
        return self._splines[unknown]


def _numbers(given: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise _wrong(f"{what} are no numbers", str(error)) from error


def _wrong(what: str, why: str) -> ProblemError:
    return ProblemError(what, where=user_location(), why=why, code="reference",
                        fix='Reference({"u": values}, error=1e-7, x=xs, t=ts)')
