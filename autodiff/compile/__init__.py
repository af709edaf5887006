"""Programs for one point, compiled to kernels over tiles of points: schedule -> emit -> store -> kernel."""

from .ahead import Ahead, compile_ahead
from .kernel import Kernel
from .lane_program import LaneProgram
from .point_program import BoundProgram, PointProgram
from .schedule import Plan, Target
from .whole_program import WholeProgram

__all__ = ["Ahead", "BoundProgram", "Kernel", "LaneProgram", "Plan", "PointProgram", "Target", "WholeProgram", "compile_ahead"]
