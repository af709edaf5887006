"""Where in the user's file something was written, for messages."""

from __future__ import annotations

import os
import sys
from types import FrameType, TracebackType

import numpy as np
import scipy

import autodiff as ad

# Frames of these packages are ours, numpy's or scipy's; the innermost other frame is the user's.
_FILES = (os.path.dirname(__file__), ad.__file__, np.__file__, scipy.__file__)
_OURS = tuple(os.path.dirname(os.path.abspath(path)) + os.sep for path in _FILES)


def is_user_file(path: str) -> bool:
    """Whether a file belongs neither to this library, nor to numpy or scipy, nor to code that was generated."""
    return not path.startswith(("<frozen", "<__array", "<string")) and not os.path.abspath(path).startswith(_OURS)


def user_location() -> str:
    """`file:line` of the innermost call that the user wrote, or an empty string."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_user_file(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def failure_location(traceback: TracebackType | None) -> str:
    """`file:line` of the innermost line of the user's that an exception passed through, or an empty string."""
    found = ""
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if is_user_file(path):
            found = f"{path}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
