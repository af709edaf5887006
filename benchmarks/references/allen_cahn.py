"""The reference of `problems/nonlinear/allen_cahn.py`: Fourier modes in x, exponential time differencing of fourth order in t.

    u_t = 1e-4 u_xx + 5 (u - u^3),  u(x, 0) = x^2 cos(pi x),  periodic on (-1, 1)

ETDRK4 with its coefficients by contour integrals (Kassam & Trefethen 2005).  The data have a kink at x = +-1, whose modes fall
like 1 / k^2 until it has diffused, so that many of them are needed: N = 8192 is compared with 16384, and half the time step.

    $ python benchmarks/references/allen_cahn.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.fft import irfft, rfft

from pinn import Reference

DIFFUSION, REACTION = 1e-4, 5.0
DATA = Path(__file__).parents[2] / "problems" / "data" / "allen_cahn.npz"
STEPS = 10_000               # to t = 1
MOMENTS = (np.arange(101) / 100) ** 2  # of the shipped grid: the kink diffuses like t^(1/2)
NODES = 2048                 # of the shipped grid on (-1, 1)


def solve(n: int, steps: int) -> np.ndarray:
    """u at the MOMENTS, `(101, n)`, on x = -1 + 2 j / n."""
    x = -1 + 2 * np.arange(n) / n
    h = 1 / steps
    wave = np.pi * np.arange(n // 2 + 1)
    linear = -DIFFUSION * wave**2 + REACTION
    circle = np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    z = h * linear[:, None] + circle
    f = h * np.mean((np.exp(z / 2) - 1) / z, axis=1).real
    f1 = h * np.mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3, axis=1).real
    f2 = h * np.mean((2 + z + np.exp(z) * (z - 2)) / z**3, axis=1).real
    f3 = h * np.mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3, axis=1).real
    whole, half = np.exp(h * linear), np.exp(h * linear / 2)

    def reaction(v: np.ndarray) -> np.ndarray:
        return -REACTION * rfft(irfft(v, n) ** 3)

    v = rfft(x**2 * np.cos(np.pi * x))
    due = {round(moment * steps): k for k, moment in enumerate(MOMENTS)}
    found = np.empty((len(MOMENTS), n))
    for step in range(steps + 1):
        if step in due:
            found[due[step]] = irfft(v, n)
        nv = reaction(v)
        a = half * v + f * nv
        na = reaction(a)
        b = half * v + f * na
        nb = reaction(b)
        c = half * a + f * (2 * nb - nv)
        v = whole * v + f1 * nv + 2 * f2 * (na + nb) + f3 * reaction(c)
    return found


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Relative L2 over the interval and the time, on the coarser of two grids; the moments are those of a square."""
    n = min(a.shape[1], b.shape[1])
    a, b = a[:, ::a.shape[1] // n], b[:, ::b.shape[1] // n]
    weight = np.gradient(MOMENTS)[:, None]
    return float(np.sqrt(np.sum(weight * (a - b) ** 2) / np.sum(weight * b**2)))


def main() -> None:
    """Solve on several grids, tell how far they are apart, ship the finest, thinned."""
    found = {(n, steps): solve(n, steps) for n, steps in (
        (2048, STEPS), (4096, STEPS), (8192, STEPS), (8192, 2 * STEPS), (16384, STEPS))}
    best = found[16384, STEPS]
    for key, value in found.items():
        print(key, "against (16384, 10000):", f"{difference(value, best):.2e}")
    thin = np.concatenate([best[:, ::16384 // NODES], best[:, :1]], axis=1).T
    x = np.linspace(-1, 1, NODES + 1)
    reference = Reference({"u": thin}, 1e-6, x=x, t=MOMENTS)
    # between its points: other moments, and points in the middle
    fine = np.concatenate([best, best[:, :1]], axis=1)
    between = Reference({"u": thin[:, ::2]}, 1e-6, x=x, t=MOMENTS[::2])
    xs, ts = np.meshgrid(np.linspace(-1, 1, 16385)[4::8], MOMENTS)
    interpolated = reference(x=xs, t=ts)["u"]
    space = difference(interpolated, fine[:, 4::8])
    xs, ts = np.meshgrid(x, MOMENTS[1::2])
    time = float(np.linalg.norm(between(x=xs, t=ts)["u"] - thin.T[1::2]) / np.linalg.norm(thin.T[1::2]))
    print("interpolated in x:", f"{space:.2e}", "in t, with half of the moments:", f"{time:.2e}")
    error = max(difference(found[8192, STEPS], best), space, time)
    print("shipped:", f"{error:.2e}")
    np.savez_compressed(DATA, x=x, t=MOMENTS, u=thin.astype(np.float32), relative_l2=error)
    print(DATA.name, DATA.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
