"""Waves and transport: linear problems that remember their initial data."""
