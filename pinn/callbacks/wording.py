"""How progress and reports say numbers: durations, counts, magnitudes, rates."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """`0.35 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.995:
        return f"{max(seconds, 0.0):.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def magnitude(value: float) -> str:
    """A loss or an error with three digits, `1.23e-04`, so that columns of them line up."""
    return f"{value:.2e}" if math.isfinite(value) else str(value)


def count(value: int) -> str:
    """`12,345`."""
    return f"{value:,d}"


def rate(steps_per_second: float) -> str:
    """`812 it/s`, `3.4 it/s`, `12 s/it`; nothing where it is not known yet."""
    if not (math.isfinite(steps_per_second) and steps_per_second > 0):
        return ""
    if steps_per_second < 0.2:
        return f"{1 / steps_per_second:.0f} s/it"
    return f"{steps_per_second:,.0f} it/s" if steps_per_second >= 10 else f"{steps_per_second:.1f} it/s"


def position(iteration: int, total: int | None) -> str:
    """`step 1,200 of 5,000`, or without the total where a stage has none."""
    return f"step {count(iteration)}" + (f" of {count(total)}" if total else "")
