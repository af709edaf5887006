"""Domains and their regions: boxes, balls, time and products, with exact measures, faces, normals and even samples."""

from __future__ import annotations

from pinn.geometry.ball import Ball
from pinn.geometry.box import Box
from pinn.geometry.chart import Chart
from pinn.geometry.domain import Domain
from pinn.geometry.piece import Draw, Piece, Side
from pinn.geometry.region import Points, Region
from pinn.geometry.spacetime import SpaceTime
from pinn.geometry.time import Time

__all__ = ["Ball", "Box", "Chart", "Domain", "Draw", "Piece", "Points", "Region", "Side", "SpaceTime", "Time"]
