"""What a run came to: the table at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinn.callbacks.wording import count, duration, magnitude


def report(solution: Any, folder: str | Path | None = None) -> list[tuple[str, str]]:
    """Rows (label, text): errors by unknown, residual on fresh points, time, size, steps, points, stop reason, place."""
    rows = []
    for name, errors in (solution.errors or {}).items():
        rows.append((f"relative L2 error of {name}", magnitude(errors["relative_l2"])))
        rows.append((f"maximum error of {name}", magnitude(errors["max"])))
    verdict = getattr(solution, "verdict", None)
    if verdict is not None:
        rows += [("verdict", f"{verdict.word}, because {verdict.because[0]}")]
        rows += [("", reason) for reason in verdict.because[1:]]
    rows += [
        ("residual on fresh points (rms)", magnitude(solution.residual_rms)),
        ("time", f"{duration(solution.seconds)}, of which {duration(solution.seconds_compile)} to compile"),
        ("parameters", count(solution.weights.size)),
        ("steps", count(solution.steps)),
        ("points", ", ".join(f"{name} {count(number)}" for name, number in solution.points.items())),
        ("stopped because", solution.stop_reason),
    ]
    if folder is not None:
        rows.append(("results", str(folder)))
    return rows
