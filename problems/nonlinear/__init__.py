"""Nonlinear evolution equations of one unknown."""
