"""Burgers' equation u_t + u u_x = nu u_xx by hand: a network, nested tapes for u_t, u_x, u_xx, and a quasi-Newton method.

    $ python examples/pinn_by_hand.py

`loss_and_gradient` runs eagerly as it stands; `ad.function` makes one kernel of the same text, with the same numbers; told that
the points x, t do not depend on each other, it works through them tile by tile.  (`pinn solve` does all this by itself.)
"""

import time
import timeit
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"
NU = 0.1


def exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Cole and Hopf's formula for u(x, 0) = -sin(pi x), by Gauss-Hermite quadrature (Basdevant et al. 1986)."""
    z, weight = np.polynomial.hermite.hermgauss(80)
    y = x[:, None] - 2.0 * np.sqrt(NU * t[:, None]) * z
    weight = weight * np.exp(-np.cos(np.pi * y) / (2.0 * np.pi * NU))
    return -np.sum(weight * np.sin(np.pi * y), axis=1) / np.sum(weight, axis=1)


def solution(theta, x, t, n: int = 20):
    """Two layers of n tanh units with all weights in one vector; what surrounds them makes u(x, 0) and u(+-1, t) exact."""
    w, b, v, c, out = np.split(theta, np.cumsum([2 * n, n, n * n, n]))
    h = np.tanh(np.stack([x, t], axis=1) @ w.reshape(2, n) + b)
    h = np.tanh(h @ v.reshape(n, n) + c)
    return t * (1.0 - x**2) * (h @ out) - np.sin(np.pi * x)


def residual(theta, x, t):
    """u_t + u u_x - nu u_xx at points x, t of shape (n,); no point moves another's u, so gradients of sums are by point."""
    with ad.GradientTape() as outer:
        outer.watch(x)
        with ad.GradientTape() as inner:
            inner.watch([x, t])
            u = solution(theta, x, t)
        u_x, u_t = inner.gradient(u, [x, t])
    return u_t + u * u_x - NU * outer.gradient(u_x, x)


def loss_and_gradient(theta, x, t):
    with ad.GradientTape() as tape:
        tape.watch(theta)
        loss = np.mean(residual(theta, x, t) ** 2)
    return loss, tape.gradient(loss, theta)


@ad.function
def updated(H, s, y, scale):
    """The inverse Hessian after a step s that changed the gradient by y: plain numpy, compiled too."""
    Hy = H @ y
    r = s / (s @ y) - Hy / (y @ Hy)
    return scale * (H - np.outer(Hy, Hy) / (y @ Hy) + (y @ Hy) * np.outer(r, r)) + np.outer(s, s) / (s @ y)


def minimise(f, theta: np.ndarray, steps: int) -> tuple[np.ndarray, list[float]]:
    """Self-scaled BFGS (Al-Baali 1998) with halved steps, and the loss after each; f gives loss and gradient."""
    H, losses = np.eye(len(theta)), []
    loss, g = f(theta)
    for _ in range(steps):
        a, d = 1.0, -H @ g
        while (trial := f(theta + a * d))[0] > loss + 1e-4 * a * (g @ d) and a > 1e-9:
            a /= 2.0
        s, y = a * d, trial[1] - g
        H = updated(H, s, y, np.maximum(1.0, -a * (g @ s) / (s @ y)))
        (loss, g), theta = trial, theta + s
        losses.append(loss)
    return theta, losses


def main(folder: Path = RESULTS, side: int = 32, steps: int = 800, repeats: int = 20, seed: int = 0) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    theta = np.concatenate([rng.normal(size=40), rng.uniform(-1, 1, 20), rng.normal(size=400) / 4.5, np.zeros(20),
                            rng.normal(size=20) / 4.5])  # fmt: skip
    chebyshev = -np.cos(np.pi * (np.arange(side) + 0.5) / side)
    x, t = (ad.constant(a.ravel()) for a in np.meshgrid(chebyshev, 0.5 + 0.5 * chebyshev))

    def numbers(f, theta: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = f(ad.constant(theta), x, t)
        return float(loss), gradient.numpy()

    eager, compiled, tiled = loss_and_gradient, ad.function(loss_and_gradient), ad.function(loss_and_gradient, lanes="x t")
    (_, exactly), differences, times = numbers(eager, theta), [], []
    print("loss and gradient        time   eager / this   difference")
    for name, f in (("eager", eager), ("compiled", compiled), ("tiled", tiled)):
        differences.append(float(np.max(np.abs(numbers(f, theta)[1] - exactly)) / np.max(np.abs(exactly))))
        times.append(min(timeit.repeat(partial(numbers, f, theta), number=1, repeat=repeats)))
        print(f"{name:17s} {1e3 * times[-1]:8.3f} ms {times[0] / times[-1]:14.1f} {differences[-1]:12.0e}")

    began = time.perf_counter()
    theta, losses = minimise(partial(numbers, tiled), theta, steps)
    grid_x, grid_t = np.meshgrid(np.linspace(-1.0, 1.0, 201), np.linspace(0.0, 1.0, 101))
    known = exact(grid_x.ravel(), grid_t.ravel()).reshape(grid_x.shape)
    found = solution(theta, grid_x.ravel(), grid_t.ravel()).reshape(grid_x.shape)
    error = float(np.linalg.norm(found - known) / np.linalg.norm(known))
    print(f"{steps} steps in {time.perf_counter() - began:.1f} s: loss {losses[-1]:.1e}, relative L2 error {error:.1e}")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.2))
    shown = ((found, "RdBu_r", "$u$, the network"), (np.abs(found - known), "magma", "error"))
    for panel, (field, colours, title) in zip(panels, shown, strict=False):
        figure.colorbar(panel.pcolormesh(grid_t, grid_x, field, cmap=colours, shading="gouraud"), ax=panel, format="%.1g")
        panel.set(xlabel="$t$", ylabel="$x$", title=title)
    panels[2].semilogy(losses)
    panels[2].set(xlabel="step", ylabel="mean square of the residual", title=f"relative error {error:.1e}")
    figure.savefig(folder / "pinn_by_hand.png")
    plt.close(figure)
    return {"error": error, "difference": max(differences), "loss": losses[-1], "ratio": times[0] / times[-1]}


if __name__ == "__main__":
    main()
