"""Handwritten digits, 8 by 8 pixels: a network of two layers, trained by Adam in one compiled step.

    $ python examples/digits.py

`step` below holds the tape, the gradient and Adam's update of the variables; `@ad.function` makes one kernel of it.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

try:
    from sklearn.datasets import load_digits
except ImportError:
    raise SystemExit('the digits come with scikit-learn: pip install ".[examples]"') from None

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"


def data(held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in [0, 1], shape (n, 64), and digits, shape (n,): for training, then held out."""
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(digits))
    train, test = order[held_out:], order[:held_out]
    return pixels[train] / 16.0, digits[train], pixels[test] / 16.0, digits[test]


def scores(weights: list, x):
    """One score for each of the ten digits, shape (n, 10); the largest one is the answer."""
    w, b, v, c = weights
    return np.tanh(x @ w + b) @ v + c


def cross_entropy(weights: list, x, one_hot):
    return -np.mean(np.sum(one_hot * ad.log_softmax(scores(weights, x), axis=1), axis=1))


def accuracy(weights: list, x, digits: np.ndarray) -> float:
    return float(np.mean(np.argmax(scores(weights, x), axis=1) == digits))


def train(x: np.ndarray, digits: np.ndarray, epochs: int, width: int = 64, batch: int = 64, seed: int = 0,
          rate: float = 3e-3) -> tuple[list[ad.Variable], list[float], float]:  # fmt: skip
    """The weights, the loss of every batch, and the seconds of a step.  Adam: Kingma and Ba 2015, arXiv:1412.6980."""
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=(64, width)) / 8.0, np.zeros(width), rng.normal(size=(width, 10)) / np.sqrt(width), np.zeros(10)]
    weights = [ad.Variable(w) for w in start]
    means = [ad.Variable(0.0 * w) for w in start]
    squares = [ad.Variable(0.0 * w) for w in start]
    count = ad.Variable(0.0)

    @ad.function
    def step(x, one_hot):
        with ad.GradientTape() as tape:
            loss = cross_entropy(weights, x, one_hot)
        count.assign_add(1.0)
        for w, m, s, g in zip(weights, means, squares, tape.gradient(loss, weights), strict=True):
            m.assign(0.9 * m + 0.1 * g)
            s.assign(0.999 * s + 0.001 * g**2)
            w.assign_sub(rate * (m / (1.0 - 0.9**count)) / (np.sqrt(s / (1.0 - 0.999**count)) + 1e-8))
        return loss

    one_hot, losses, times = np.eye(10)[digits], [], [time.perf_counter()]
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for rows in [order[k : k + batch] for k in range(0, len(x) - batch + 1, batch)]:
            losses.append(float(step(x[rows], one_hot[rows])))
            times.append(time.perf_counter())
    return weights, losses, float(np.median(np.diff(times)))


def main(folder: Path = RESULTS, epochs: int = 30, held_out: int = 360, seed: int = 0) -> dict[str, float]:
    x, digits, x_test, digits_test = data(held_out, seed)
    weights, losses, fast = train(x, digits, epochs, seed=seed)
    right = accuracy(weights, x_test, digits_test)
    ad.run_functions_eagerly(True)
    _, again, slow = train(x, digits, min(epochs, 3), seed=seed)
    ad.run_functions_eagerly(False)
    difference = float(np.max(np.abs(np.subtract(losses[: len(again)], again))))
    print(f"right on {right:.2%} of {held_out} held-out digits after {len(losses)} steps")
    print(f"a step: compiled {1e6 * fast:.0f} us, eager {1e6 * slow:.0f} us; their losses differ by {difference:.1e}")

    plt.style.use(HERE / "jetspace.mplstyle")
    answers = np.argmax(scores(weights, x_test), axis=1).numpy()
    wrong = np.flatnonzero(answers != digits_test)[:8]
    figure = plt.figure(figsize=(9, 3.6))
    left, grid = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.semilogy(losses, linewidth=0.7)
    axes.set(xlabel="step", ylabel="cross-entropy of the batch", title=f"{right:.1%} right on held-out digits")
    grid.suptitle("Mistaken: the digit, and what was read", fontsize=13)
    panels = grid.subplots(2, 4).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, k in zip(panels, wrong, strict=False):
        panel.imshow(x_test[k].reshape(8, 8), cmap="gray_r")
        panel.set_title(f"{digits_test[k]}, read {answers[k]}", fontsize=11, pad=3)
    figure.savefig(folder / "digits.png")
    plt.close(figure)
    return {"accuracy": right, "loss": losses[-1], "difference": difference, "ratio": slow / fast}


if __name__ == "__main__":
    main()
