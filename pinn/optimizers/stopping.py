"""When a descent is over: each reason is one sentence with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pinn.errors import RecipeError


@dataclass(frozen=True)
class Progress:
    """The past of a descent: the largest entry of its first gradient, its lowest loss, steps since then, last decrease."""

    first_gradient: float
    lowest: float = float("inf")
    standstill: int = 0
    decrease: float = 0.0

    def elsewhere(self) -> Progress:
        """The past as far as it still counts after a move to other points."""
        return Progress(self.first_gradient)


@dataclass(frozen=True)
class Stopping:
    """Stop at max|g| <= gradient * max|g at the start|, or after `patience` steps that each won less than `loss` of it."""

    gradient: float = 1e-14
    loss: float = float(np.finfo(np.float64).eps)
    patience: int = 10

    def __post_init__(self) -> None:
        if not (self.gradient >= 0 and self.loss >= 0 and self.patience >= 1):
            raise RecipeError(
                f"cannot stop by tolerances {self.gradient!r} (gradient), {self.loss!r} (loss) and patience {self.patience!r}",
                why="tolerances are shares, at least 0; patience counts steps, at least 1",
                fix="tolerance_gradient=1e-14, tolerance_loss=2.2e-16, patience=10",
            )

    def judge(
        self, past: Progress, before: float, loss: float, gradient: np.ndarray, eps: float = 0.0
    ) -> tuple[Progress, str | None]:
        """The past after a step from loss `before` to `loss` with `gradient` `(size,)`, and the reason to stop, if any.

        No decrease below the rounding unit `eps` of the oracle counts, whatever was asked for.
        """
        least = max(self.loss, eps)
        lowest = min(past.lowest, before)
        won = lowest - loss > least * max(abs(lowest), abs(loss))
        standstill = 0 if won else past.standstill + 1
        now = Progress(past.first_gradient, min(lowest, loss), standstill, before - loss)
        reason = self.flat(past, gradient)
        if reason is None and standstill >= self.patience:
            reason = f"relative decrease of the loss below {least:.2g} in {standstill} steps in a row, at loss {loss:.6g}"
        return now, reason

    def flat(self, past: Progress, gradient: np.ndarray) -> str | None:
        """The reason to stop at a `gradient` `(size,)` that is small, if it is."""
        largest, bound = float(np.max(np.abs(gradient))), self.gradient * past.first_gradient
        if largest > bound:
            return None
        if largest == 0.0:
            return "gradient is exactly zero"
        return f"gradient small: largest entry {largest:.3g}, {self.gradient:.2g} of the {past.first_gradient:.3g} at the start"


def nothing_lower(loss: float, failures: list[str], eps: float = 0.0) -> str:
    """The sentence for line searches that all failed, the last along steepest descent, at a rounding unit `eps`."""
    real = "float64" if eps <= float(np.finfo(np.float64).eps) else "float32"
    if not any("finite" in failure for failure in failures):
        return f"line search cannot decrease the loss {loss:.6g} in {real}: {', then by steepest descent '.join(failures)}"
    return f"line search finds no finite loss below {loss:.6g}: {', then by steepest descent '.join(failures)}"
