"""Generated modules on disk: one file per source, named by its hash, compiled once and loaded by every later process.

Two processes that start at once write the same bytes to a temporary name and rename: the loser's rename changes nothing.  Where
nothing can be written, the module lives in a temporary folder of this process, and everything works, compiled anew.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba as nb
from numba.core import types

from .frontend import Generated, compiling
from .target import FEATURES, SOURCE_DIGEST

_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}  # never nnan, ninf: what is not finite must be seen
_OPTIONS: dict[str, Any] = {"fastmath": _FASTMATH, "error_model": "numpy", "boundscheck": False, "pipeline_class": Generated}
# only `main` is called from Python: the wrappers of the others would be a third of the compile time
jit = nb.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
main = nb.njit(cache=True, nogil=True, no_cfunc_wrapper=True, **_OPTIONS)

# kernels over whole arrays mean what numpy means: nothing is reordered but sums (see `memory.plus`)
_EXACT: dict[str, Any] = {**_OPTIONS, "fastmath": {"contract"}}
part = nb.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_EXACT)


def entry(inputs: str, outputs: str) -> Callable:
    """The function of a module that Python calls, for arrays told as `float64 2, int64 0`: dtype and number of axes.

    Inputs may be arrays that must not be written to.
    """
    kinds = [types.Array(types.uint8, 1, "C")]
    for told, readonly in ((inputs, True), (outputs, False)):
        for dtype, ndim in (one.split() for one in told.split(",") if one):
            kinds.append(types.Array(getattr(types, dtype), int(ndim), "C", readonly=readonly))
    return nb.njit(types.int64(*kinds), cache=True, nogil=True, no_cfunc_wrapper=True, **_EXACT)


TEMPORARY = "jetspace-kernels-"
_LOADING = threading.RLock()  # a module is in `sys.modules` before it is ready


@functools.cache
def folder() -> Path:
    """Where kernels are kept: $JETSPACE_CACHE, else the user's cache folder, else a temporary one."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    wanted = Path(os.environ.get("JETSPACE_CACHE") or os.path.join(home, "jetspace"))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        return Path(tempfile.mkdtemp(prefix=TEMPORARY))


def persistent() -> bool:
    """Whether other processes find what this one compiles."""
    return not folder().name.startswith(TEMPORARY)


def has_compiled(source: str) -> bool:
    """Whether the machine code of a source is in memory or on disk."""
    key = _key(source)
    return key in sys.modules or any((folder() / "__pycache__").glob(f"{key}.*.nbi"))


def _key(source: str) -> str:
    # a set has another order in every process: sorted, or every process would compile anew
    flags, features = sorted(_FASTMATH), sorted(FEATURES)
    machine = [nb.__version__, sysconfig.get_platform(), sys.version, str(features), SOURCE_DIGEST, str(flags)]
    return "kernel_" + hashlib.sha256("\n".join([source, *machine]).encode()).hexdigest()[:20]


def load(source: str) -> ModuleType:
    """The module with this source, from memory, from disk, or made now."""
    with _LOADING:
        return _load(source, _key(source))


def _load(source: str, key: str) -> ModuleType:
    if key in sys.modules:
        return sys.modules[key]
    path = folder() / f"{key}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        handle, temporary = tempfile.mkstemp(dir=folder(), suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(source)
        os.replace(temporary, path)
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # before executing it: numba looks its functions' module up by name
    try:
        with compiling():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[key]
        raise
    return module
