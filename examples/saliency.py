"""Saliency maps: which pixels does the answer hang on?  |d score / d pixel| of the digit that the network of digits.py reads.

    $ python examples/saliency.py

Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034.  To see that the maps say something, the most salient pixels are wiped
out, and then as many at random: the first hurts more.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from digits import RESULTS, accuracy, data, scores, train

import autodiff as ad

HERE = Path(__file__).parent


def saliency(weights: list, pixels: np.ndarray) -> np.ndarray:
    """|d score of the answer / d pixel|, shape (n, 64); no image moves another's score, so one sum serves them all."""
    x = ad.constant(pixels)
    with ad.GradientTape() as tape:
        tape.watch(x)
        answers = np.max(scores(weights, x), axis=1)
    return np.abs(tape.gradient(answers, x)).numpy()


def main(folder: Path = RESULTS, epochs: int = 30, held_out: int = 360, wiped: int = 8, seed: int = 0) -> dict[str, float]:
    x, digits, x_test, digits_test = data(held_out, seed)
    weights, *_ = train(x, digits, epochs, seed=seed)
    maps = saliency(weights, x_test)
    noise = np.random.default_rng(seed).uniform(size=maps.shape)

    def without(rank: np.ndarray) -> float:
        """Accuracy when the `wiped` pixels that rank highest are replaced by their mean over the training images."""
        chosen = np.argsort(np.argsort(-rank, axis=1), axis=1) < wiped
        return accuracy(weights, np.where(chosen, x.mean(axis=0), x_test), digits_test)

    untouched, salient, random = accuracy(weights, x_test, digits_test), without(maps), without(noise)
    print(f"right on {untouched:.1%}; without {wiped} random pixels {random:.1%}; without the most salient {salient:.1%}")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure, panels = plt.subplots(2, 10, figsize=(9, 2.3))
    for digit, (top, bottom) in enumerate(panels.T):
        k = np.flatnonzero(digits_test == digit)[0]
        top.imshow(x_test[k].reshape(8, 8), cmap="gray_r")
        bottom.imshow(maps[k].reshape(8, 8), cmap="magma")
        top.axis("off")
        bottom.axis("off")
    figure.suptitle(r"Ten digits, and $|\partial\,$score$\,/\,\partial\,$pixel$|$: bright where a change would matter most")
    figure.savefig(folder / "saliency.png")
    plt.close(figure)
    return {"untouched": untouched, "random": random, "salient": salient}


if __name__ == "__main__":
    main()
