"""The lean front end of numba: the same passes in numba's order, the same bits, and nothing left behind."""

from __future__ import annotations

import gc
import threading

import numba as nb
import numpy as np
import pytest
from numba.core.compiler import DefaultPassBuilder, Flags, StateDict
from numba.core.types.functions import BaseFunction

from autodiff.compile.frontend import PASSES, Generated, compiling


def test_its_passes_are_numbas_in_the_same_order():
    state = StateDict()
    state.func_ir, state.flags = None, Flags()
    state.flags.enable_ssa = True
    whole = [one[0] for one in DefaultPassBuilder.define_nopython_pipeline(state).passes]
    places = [whole.index(one) for one in PASSES]
    assert places == sorted(places)


def horner(x, n):
    total, k = 0.0, 0
    for i in range(n):
        total = total * x[i] ** 2 + np.sin(x[i]) / (1 + i) - abs(x[i] // 0.3) * (x[i] > 0.1)
        k += i & 3
    return total + k


def test_code_is_that_of_the_whole_pipeline():
    x = np.random.default_rng(0).normal(size=50)
    plain = nb.njit(error_model="numpy")(horner)(x, 50)
    with compiling():
        lean = nb.njit(error_model="numpy", pipeline_class=Generated)(horner)(x, 50)
    assert plain == lean == pytest.approx(horner(x, 50), rel=1e-12)


def test_types_that_are_told_apart_stay_apart():
    def add(a, b):
        return a + b

    with compiling():
        lean = nb.njit(pipeline_class=Generated)(add)
        answers = [lean(a, b) for a, b in ((1, 2), (1.0, 2), (np.float32(1), np.float32(2)), (True, 2.0), (1, 1j), (1, 2))]
    assert [type(one) for one in answers] == [int, float, float, float, complex, int] and answers[0] == 3
    found = {str(signature.return_type) for signature in lean.nopython_signatures}
    assert found == {"int64", "float64", "float32", "complex128"}


def test_nothing_is_left_behind():
    before = BaseFunction.get_call_type
    inside = threading.Event()

    def other():
        with compiling():
            inside.set()

    with pytest.raises(ZeroDivisionError), compiling():
        assert BaseFunction.get_call_type is not before and not gc.isenabled()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert inside.is_set() and BaseFunction.get_call_type is not before  # another thread is still compiling
        raise ZeroDivisionError
    assert BaseFunction.get_call_type is before and gc.isenabled()
