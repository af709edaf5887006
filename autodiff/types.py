"""What a node is, before it has numbers: its shape for one point, its dtype and its lane."""

from __future__ import annotations

import enum

import numpy as np


class Lane(enum.IntEnum):
    """Whether a value is the same for all collocation points (SHARED) or differs from point to point (POINT)."""

    SHARED = 0
    POINT = 1


SHARED, POINT = Lane.SHARED, Lane.POINT
FLOAT = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)

Shape = tuple[int, ...]


def to_inexact(dtype: np.dtype) -> np.dtype:
    """The dtype in which numpy answers `sin` of this one: integers become float64."""
    return dtype if np.issubdtype(dtype, np.inexact) else FLOAT
