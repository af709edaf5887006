"""Pictures of a solution, as matplotlib figures for notebooks and as PNG files."""

from pinn.plots.gallery import figure_field, figure_overview, figure_snapshots, plot_solution
from pinn.plots.losses import figure_losses

__all__ = ["figure_field", "figure_losses", "figure_overview", "figure_snapshots", "plot_solution"]
