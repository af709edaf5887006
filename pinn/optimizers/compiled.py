"""Loops in machine code, cached on disk where a place for the cache can be found."""

from __future__ import annotations

from collections.abc import Callable

import numba

# Sums may be reordered and products contracted; nan and infinity keep their meaning: trials beyond a wall are judged by them.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


def compiled(function: Callable) -> Callable:
    """`function` compiled by Numba on its first call, without the interpreter lock; cached unless no folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")(function)
    except RuntimeError:  # Numba raises at decoration when neither the package nor the home folder is writable
        return numba.njit(nogil=True, fastmath=FASTMATH, error_model="numpy")(function)
