"""A straight line through points, by hand: two variables, a tape, gradient descent; then beside numpy's least squares.

    $ python examples/linear_regression.py

The loss is quadratic, so its distance from the minimum shrinks by one factor a step: a straight line in the picture.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"


def data(points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points about the line y = 2 x - 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 2.0, points)
    return x, 2.0 * x - 1.0 + 0.4 * rng.normal(size=points)


def fit(x: np.ndarray, y: np.ndarray, steps: int, rate: float) -> tuple[ad.Variable, ad.Variable, list[float]]:
    """Gradient descent on the mean square of slope x + offset - y, and the loss before each step."""
    slope, offset = ad.Variable(0.0, name="slope"), ad.Variable(0.0, name="offset")
    losses = []
    for _ in range(steps):
        with ad.GradientTape() as tape:
            loss = np.mean((slope * x + offset - y) ** 2)
        by_slope, by_offset = tape.gradient(loss, [slope, offset])
        slope.assign_sub(rate * by_slope)
        offset.assign_sub(rate * by_offset)
        losses.append(float(loss))
    return slope, offset, losses


def main(folder: Path = RESULTS, points: int = 60, steps: int = 80, rate: float = 0.3, seed: int = 0) -> dict[str, float]:
    x, y = data(points, seed)
    slope, offset, losses = fit(x, y, steps, rate)
    best, (least,), *_ = np.linalg.lstsq(np.stack([x, np.ones(points)], axis=1), y)
    difference = float(max(abs(slope - best[0]), abs(offset - best[1])))
    print(f"gradient descent  y = {float(slope):.12f} x {float(offset):+.12f}    loss {losses[-1]:.12f}")
    print(f"least squares     y = {best[0]:.12f} x {best[1]:+.12f}    loss {least / points:.12f}")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    ends = np.array([x.min(), x.max()])
    left.plot(x, y, "o", color="#8a9099", markersize=4, label="data")
    left.plot(ends, float(slope) * ends + float(offset), color="C5", label="gradient descent")
    left.set(xlabel="$x$", ylabel="$y$", title=f"$y = {float(slope):.3f}\\,x {float(offset):+.3f}$")
    left.legend()
    above = np.array(losses) - least / points
    right.semilogy(np.maximum(above, 1e-17))
    right.set(xlabel="step", ylabel="loss above the least", title="One factor a step, down to rounding")
    figure.savefig(folder / "linear_regression.png")
    plt.close(figure)
    return {"difference": difference, "loss": losses[-1], "least": float(least / points)}


if __name__ == "__main__":
    main()
