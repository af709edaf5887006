"""Diffusion in time."""
