"""A graph over whole arrays as one compiled function: planned and written at once, compiled when it is first called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numba.core.errors import NumbaError

from ..errors import ArgumentError, DifferentiationError, IndexingError, MatrixError
from ..graph import Node
from .kernel import aligned
from .store import load
from .whole_plan import Plan
from .whole_source import Source, main_text


class WholeProgram:
    """`outputs` as a compiled function of the SYMBOL leaves `inputs`; every call may come from another thread.

    Raises CompileError, with the `node`, for what has no compiled form.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], name: str = "program"):
        self.name = name
        self.plan = plan = Plan(inputs, outputs)
        text = Source()
        self.source = text.module(main_text(plan, text.program(plan)))
        self._excess = text.excess
        self._fresh = [(n.shape, n.dtype) for n in plan.reads.outputs]
        self._given = [(n.shape, n.dtype) for n in plan.reads.inputs]
        tables = np.concatenate([*text.tables, np.zeros(1, np.int64)])
        # `ascontiguousarray` makes a scalar a vector
        # as they are now: who changes an array afterwards does not change the program
        self._known = [np.array(n.attr.value, order="C") for n in plan.constants]
        self._tables = tables
        self._workspaces: list[np.ndarray] = []  # those that no call is using
        self._lock = threading.Lock()
        self._main: Callable | None = None
        self._untidy: tuple[int, ...] = ()  # inputs that come as something else than contiguous arrays

    def compile(self) -> float:
        """Compiles, or loads what an earlier process compiled; the seconds that it took, 0 if it was done before."""
        with self._lock:
            if self._main is not None:
                return 0.0
            start = time.perf_counter()
            self._main = load(self.source).main
            return time.perf_counter() - start

    def _compiled(self) -> Callable:
        self.compile()
        assert self._main is not None
        return self._main

    def __call__(self, *numbers: np.ndarray) -> list[np.ndarray]:
        """Fresh arrays, one an output; raises MatrixError where numpy raises LinAlgError."""
        main = self._main or self._compiled()
        if self._untidy:
            numbers = tuple([np.ascontiguousarray(x, self._given[i][1]).reshape(self._given[i][0]) if i in self._untidy else x
                             for i, x in enumerate(numbers)])  # fmt: skip
        try:
            workspace = self._workspaces.pop()  # atomic, as `append` is: no two calls share one
        except IndexError:
            workspace = aligned(self.plan.workspace, np.dtype(np.uint8))
        outputs = [np.empty(shape, dtype) for shape, dtype in self._fresh]
        try:
            wrong = main(workspace, self._tables, *numbers, *self._known, *outputs)
        except (TypeError, NumbaError):  # the second of arrays that numba has no type for, in older versions
            if not self._look_at(numbers):
                raise
            return self(*numbers)
        except OverflowError as error:
            steps = 2 * self._excess[str(error)]
            raise DifferentiationError(str(error), fix=f"pass maximum_iterations={steps} to ad.while_loop",
                                       why="a program must know how many to keep room for",
                                       code="loop-capacity") from None  # fmt: skip
        except IndexError as error:
            raise IndexingError(f"{self.name}: {error}", fix="np.clip(index, 0, len(x) - 1)", code="index") from None
        except MatrixError as error:  # of a function of the library, which knows its own name only
            raise MatrixError(f"{self.name}: {error.what}", code="matrix",
                              fix="ad.run_functions_eagerly(True) shows the line and the numbers") from None  # fmt: skip
        self._workspaces.append(workspace)
        if wrong:
            raise ArgumentError(f"{self.name} was compiled for arrays of shapes {', '.join(str(s) for s, _ in self._given)}, "
                                f"not {', '.join(str(np.shape(x)) for x in numbers)}", code="function-argument")  # fmt: skip
        return outputs

    def _look_at(self, numbers: Sequence[np.ndarray]) -> bool:
        """Notes which inputs have to be made arrays, of the right dtype and contiguous; whether there is a new one."""
        if len(numbers) != len(self._given):
            return False
        untidy = set(self._untidy)
        for i, (x, (shape, dtype)) in enumerate(zip(numbers, self._given, strict=True)):
            fits = type(x) is np.ndarray and x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned and x.shape == shape
            if not fits:
                untidy.add(i)
        new = untidy != set(self._untidy)
        self._untidy = tuple(sorted(untidy))
        return new
