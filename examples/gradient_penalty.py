"""A gradient penalty: a network that is zero on a curve, with a gradient of length one, measures the distance to it.

    $ python examples/gradient_penalty.py

The loss holds a gradient, so its own gradient is a second derivative: a tape inside a tape.  After Gropp et al. 2020,
"Implicit geometric regularization", arXiv:2002.10099.  The control is the same network without the penalty.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"


def trefoil(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the curve r = 0.5 + 0.12 cos(3 angle), and the unit normals that point outward, both of shape (n, 2)."""
    r, slope = 0.5 + 0.12 * np.cos(3 * angles), -0.36 * np.sin(3 * angles)
    out, along = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    normals = r[:, None] * out - slope[:, None] * along
    return r[:, None] * out, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def distance(points: np.ndarray) -> np.ndarray:
    """The true distance to the curve, negative inside."""
    nearest = np.min([np.hypot(*(points - p).T) for p in trefoil(np.linspace(0, 2 * np.pi, 720))[0]], axis=0)
    inside = np.hypot(*points.T) < 0.5 + 0.12 * np.cos(3 * np.arctan2(*points.T[::-1]))
    return np.where(inside, -nearest, nearest)


def field(weights: list, points):
    w, b, v, c, out, shift = weights
    return ad.softplus(8.0 * (ad.softplus(8.0 * (points @ w + b)) @ v + c)) @ out + shift


def field_and_slope(weights: list, points) -> tuple:
    with ad.GradientTape() as inner:
        inner.watch(points)
        u = field(weights, points)
    return u, inner.gradient(u, points)


def learn(penalty: float, steps: int, width: int, seed: int) -> list[ad.Variable]:
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=(2, width)), rng.normal(size=width) / 2, rng.normal(size=(width, width)) / (8 * np.sqrt(width)),
             np.zeros(width), rng.normal(size=width) / (8 * np.sqrt(width)), np.zeros(())]  # fmt: skip
    weights, means, squares = ([ad.Variable(k * w) for w in start] for k in (1.0, 0.0, 0.0))
    count, penalty = ad.Variable(0.0), ad.constant(penalty)  # a plain number would be a part of the program

    @ad.function
    def step(curve, normals, cloud):
        with ad.GradientTape() as tape:
            u, slope = field_and_slope(weights, curve)
            _, elsewhere = field_and_slope(weights, cloud)
            loss = np.mean(u**2) + 0.1 * np.mean((slope - normals) ** 2)
            loss = loss + penalty * np.mean((np.linalg.norm(elsewhere, axis=1) - 1.0) ** 2)
        rate = 5e-3 * (1.0 - count / steps)
        count.assign_add(1.0)
        for w, m, s, g in zip(weights, means, squares, tape.gradient(loss, weights), strict=True):
            m.assign(0.9 * m + 0.1 * g)
            s.assign(0.999 * s + 0.001 * g**2)
            w.assign_sub(rate * (m / (1.0 - 0.9**count)) / (np.sqrt(s / (1.0 - 0.999**count)) + 1e-8))
        return loss

    curve, normals = (ad.constant(a) for a in trefoil(np.linspace(0, 2 * np.pi, 40, endpoint=False)))
    for _ in range(steps):
        step(curve, normals, ad.constant(rng.uniform(-1, 1, (100, 2))))
    return weights


def main(folder: Path = RESULTS, steps: int = 2000, width: int = 32, seed: int = 0) -> dict[str, float]:
    x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    truth = distance(points)
    plt.style.use(HERE / "jetspace.mplstyle")
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="compressed")
    shown, errors = {"true distance": truth}, []
    for penalty, name in ((0.0, "without the penalty"), (0.1, "with it")):
        learnt = np.asarray(field(learn(penalty, steps, width, seed), points))
        errors.append(float(np.mean(np.abs(learnt - truth))))
        shown[f"{name}: off by {errors[-1]:.3f}"] = learnt
        print(f"{name:20s} the distance is off by {errors[-1]:.4f} on average, {np.abs(learnt - truth).max():.3f} at most")
    for panel, (title, values) in zip(panels, shown.items(), strict=True):
        panel.contourf(x, y, values.reshape(x.shape), np.arange(-0.8, 1.3, 0.1), cmap="RdBu_r", vmin=-1, vmax=1, extend="both")
        panel.contour(x, y, values.reshape(x.shape), [0.0], colors="black")
        panel.set(title=title, aspect="equal", xlabel="$x$")
    panels[0].set_ylabel("$y$")
    figure.savefig(folder / "gradient_penalty.png")
    plt.close(figure)
    return {"without": errors[0], "with": errors[1]}


if __name__ == "__main__":
    main()
