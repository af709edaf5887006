"""Adversarial examples: a step of epsilon along the sign of the gradient with respect to the pixels fools the classifier.

    $ python examples/adversarial.py

The fast gradient sign method of Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, on the network of digits.py.  Steps of
the same size with random signs are the yardstick: they hardly matter.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from digits import RESULTS, accuracy, cross_entropy, data, scores, train

import autodiff as ad

HERE = Path(__file__).parent
SIZES = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
SHOWN = 0.15


def gradient_signs(weights: list, pixels: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """For each pixel the direction in which the loss grows; pixels are constants, so the tape is told to watch them."""
    x = ad.constant(pixels)
    with ad.GradientTape() as tape:
        tape.watch(x)
        loss = cross_entropy(weights, x, np.eye(10)[digits])
    return np.sign(tape.gradient(loss, x)).numpy()


def main(folder: Path = RESULTS, epochs: int = 30, held_out: int = 360, seed: int = 0) -> dict[str, float]:
    x, digits, x_test, digits_test = data(held_out, seed)
    weights, *_ = train(x, digits, epochs, seed=seed)
    signs = gradient_signs(weights, x_test, digits_test)
    coins = np.random.default_rng(seed).choice([-1.0, 1.0], x_test.shape)

    def after(direction: np.ndarray, size: float) -> float:
        return accuracy(weights, np.clip(x_test + size * direction, 0.0, 1.0), digits_test)

    attacked, shaken = [after(signs, size) for size in SIZES], [after(coins, size) for size in SIZES]
    print("epsilon   gradient signs   random signs")
    for size, fooled, blurred in zip(SIZES, attacked, shaken, strict=True):
        print(f"{size:7.3f} {fooled:16.1%} {blurred:14.1%}")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure = plt.figure(figsize=(9, 3.6))
    left, grid = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.plot(SIZES, attacked, "o-", color="C5", label="gradient signs")
    axes.plot(SIZES, shaken, "o-", color="C0", label="random signs")
    axes.set(xlabel=r"$\epsilon$ (pixels are in [0, 1])", ylabel="accuracy on held-out digits", ylim=(0, 1.03))
    axes.legend(loc="lower left")
    grid.suptitle(rf"Before, and after a step of $\epsilon = {SHOWN}$", fontsize=13)
    fooled = np.clip(x_test + SHOWN * signs, 0.0, 1.0)
    before, answers = (np.argmax(scores(weights, pixels), axis=1).numpy() for pixels in (x_test, fooled))
    panels = grid.subplots(2, 5)
    for panel in panels.ravel():
        panel.axis("off")
    for (top, bottom), k in zip(panels.T, np.flatnonzero((before == digits_test) & (answers != digits_test)), strict=False):
        for panel, pixels, answer in ((top, x_test[k], before[k]), (bottom, fooled[k], answers[k])):
            panel.imshow(pixels.reshape(8, 8), cmap="gray_r", vmin=0.0, vmax=1.0)
            panel.set_title(f"read {answer}", fontsize=11, pad=3)
    figure.savefig(folder / "adversarial.png")
    plt.close(figure)
    return {"clean": attacked[0], "attacked": attacked[-1], "shaken": shaken[-1]}


if __name__ == "__main__":
    main()
