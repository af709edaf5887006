"""Numba's front end without what generated code does not need: there, in Python, most of the time of compiling is spent.

Two things, and neither changes what is compiled.  Generated code has no closures, no `with`, no object mode and nothing to
inline by hand, so the passes that look for these are left out.  And numba finds the type of `a + b` by asking a dozen
templates, NumPy's ufuncs among them, at every plus sign anew; while a kernel is compiled, the answer for the same operator on
numbers of the same types is remembered.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import types
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.types.functions import BaseFunction
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

PASSES = (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA, NopythonTypeInference, PreLowerStripPhis,
          NoPythonSupportedFeatureValidation, IRLegalization, AnnotateTypes, NativeLowering, NoPythonBackend)  # fmt: skip


class Generated(CompilerBase):
    """The passes of numba that straight generated code needs, in numba's order."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("generated")
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


_LOCK = threading.Lock()
_inside = 0
_asked = BaseFunction.get_call_type


def _remembered(self: Any, context: Any, args: tuple, kws: Any) -> Any:
    """`get_call_type`, asked once for numbers of the same types; how to lower the call is left behind by that one time."""
    if kws or not all(isinstance(one, types.Number) for one in args):
        return _asked(self, context, args, kws)
    known = self.__dict__.setdefault("_jetspace_answers", {})
    key = context, *args
    if key not in known:
        known[key] = _asked(self, context, args, kws)
    return known[key]


@contextmanager
def compiling() -> Iterator[None]:
    """While something generated is compiled: types of operators remembered, no search for cycles of garbage.

    Compiling makes millions of objects that live, and that search was an eighth of it.
    """
    global _inside
    with _LOCK:
        _inside += 1
        if _inside == 1:
            BaseFunction.get_call_type = _remembered
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                BaseFunction.get_call_type = _asked
