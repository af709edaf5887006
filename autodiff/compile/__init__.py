"""Programs for one point, compiled to kernels over tiles of points: schedule -> emit -> store -> kernel."""

from .kernel import Kernel
from .point_program import BoundProgram, PointProgram
from .schedule import Plan, Target

__all__ = ["BoundProgram", "Kernel", "Plan", "PointProgram", "Target"]
