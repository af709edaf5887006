"""Those who listen to a solve: progress on the screen, the history, Ctrl-C, checkpoints, the table at the end."""

from pinn.callbacks.checkpoint import CheckpointEvery
from pinn.callbacks.history import Collect
from pinn.callbacks.interrupt import Interrupt
from pinn.callbacks.lines import Lines
from pinn.callbacks.panel import Panel
from pinn.callbacks.profile import profile_rows
from pinn.callbacks.progress import progress
from pinn.callbacks.report import report

__all__ = ["CheckpointEvery", "Collect", "Interrupt", "Lines", "Panel", "profile_rows", "progress", "report"]
