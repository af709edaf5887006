"""The reference of `problems/systems/lid_cavity.py`: the stream function by Chebyshev collocation, corners taken out.

    u = psi_y,  v = -psi_x,  Lap^2 psi / Re = psi_y (Lap psi)_x - psi_x (Lap psi)_y  on (0, 1)^2,  psi = 0 on all sides,
    psi_y = 4 x (1 - x) at y = 1,  psi_n = 0 on the other sides.

At the upper corners the speed of the lid grows like 4 r, and psi like r^2 f(theta), which no polynomial follows.  This leading
term (Moffatt 1964) is a solution of Lap^2 psi = 0 on the whole square and is taken out at both corners; what is left is a
tensor product of Chebyshev polynomials, found by Newton's method with least squares on twice as many points.

    $ python benchmarks/references/lid_cavity.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.linalg

RE = 100.0
NODES = 129  # of the shipped grid, along each axis
DATA = Path(__file__).parents[2] / "problems" / "data" / "lid_cavity.npz"


def corner(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """r^2 f(theta) about (0, 1) with speed 4 r on the lid, and its derivatives: theta = 0 there, pi / 2 on the wall.

    f = pi / 2 (1 - cos 2 theta) - 2 theta - sin 2 theta, so r^2 f = pi Y^2 - 2 r^2 theta - 2 X Y with X = x, Y = 1 - y.
    """
    X, Y = x, 1 - y
    theta, square = np.arctan2(Y, X), np.maximum(X**2 + Y**2, 1e-300)
    # d theta = (X dY - Y dX) / r^2; Lap psi = 2 pi - 8 theta
    return {"": np.pi * Y**2 - 2 * square * theta - 2 * X * Y,
            "x": -4 * X * theta + 2 * Y - 2 * Y,
            "y": -(2 * np.pi * Y - 4 * Y * theta - 2 * X - 2 * X),
            "lap": 2 * np.pi - 8 * theta, "lapx": 8 * Y / square, "lapy": 8 * X / square}


def corners(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The same at both upper corners, mirrored in x = 1/2."""
    left, right = corner(x, y), corner(1 - x, y)
    return {name: value + (-1 if name.endswith("x") else 1) * right[name] for name, value in left.items()}


def chebyshev(n: int, x: np.ndarray, order: int) -> list[np.ndarray]:
    """T_k(2 x - 1) and its derivatives by x up to an order, each `(points, n)`."""
    every = np.eye(n)
    return [np.polynomial.chebyshev.chebval(2 * x - 1, np.polynomial.chebyshev.chebder(every, k) if k else every).T * 2.0**k
            for k in range(order + 1)]


def tensor(n: int, x: np.ndarray, y: np.ndarray, order: int) -> dict[tuple[int, int], np.ndarray]:
    """All derivatives up to an order of the products T_i(x) T_j(y) `(points, n * n)`."""
    a, b = chebyshev(n, x, order), chebyshev(n, y, order)
    return {(i, j): (a[i][:, :, None] * b[j][:, None, :]).reshape(len(x), n * n)
            for i in range(order + 1) for j in range(order + 1 - i)}


def gauss(n: int) -> np.ndarray:
    """The zeros of T_n, on (0, 1)."""
    return (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n)) / 2


def solve(n: int) -> np.ndarray:
    """The coefficients `(n, n)` of psi without its corners."""
    nodes = gauss(n + n // 2)
    x, y = (one.ravel() for one in np.meshgrid(nodes, nodes, indexing="ij"))
    s, known = tensor(n, x, y, 4), corners(x, y)
    lapx, lapy = s[3, 0] + s[1, 2], s[2, 1] + s[0, 3]
    bilaplacian = s[4, 0] + 2 * s[2, 2] + s[0, 4]
    rows, right = [], []
    for axis in (0, 1):
        for side in (0.0, 1.0):
            fixed = np.full(len(nodes), side)
            at = (fixed, nodes) if axis == 0 else (nodes, fixed)
            t, c = tensor(n, *at, 1), corners(*at)
            speed = 4 * nodes * (1 - nodes) if (axis, side) == (1, 1.0) else 0 * nodes
            rows += [1e4 * t[0, 0], 1e3 * (t[1, 0] if axis == 0 else t[0, 1])]
            right += [-1e4 * c[""], 1e3 * (speed - (c["x"] if axis == 0 else c["y"]))]
    boundary, data = np.concatenate(rows), np.concatenate(right)
    # residuals are singular at the corners and matter little there: psi answers to them in a norm that is weaker by two orders
    weight = (x * (1 - x) * y * (1 - y)) ** 1.25 / len(nodes)
    c = np.zeros(n * n)
    for _ in range(30):
        u, v = s[0, 1] @ c + known["y"], -(s[1, 0] @ c + known["x"])
        wx, wy = lapx @ c + known["lapx"], lapy @ c + known["lapy"]
        residual = bilaplacian @ c / RE - u * wx - v * wy
        slope = (bilaplacian / RE - u[:, None] * lapx - v[:, None] * lapy - wx[:, None] * s[0, 1] + wy[:, None] * s[1, 0])
        matrix = np.concatenate([weight[:, None] * slope, boundary])
        vector = np.concatenate([-weight * residual, data - boundary @ c])
        size = np.linalg.norm(matrix, axis=0)
        step = scipy.linalg.lstsq(matrix / size, vector, lapack_driver="gelsy", check_finite=False)[0] / size
        c = c + step
        moved = float(np.linalg.norm(s[0, 1] @ step) / np.linalg.norm(s[0, 1] @ c))
        print(f"  n = {n}: step {moved:.1e}, residual {np.linalg.norm(weight * residual):.1e}", flush=True)
        if moved < 1e-11:
            break
    return c


def velocities(c: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u and v at points."""
    n, known = int(np.sqrt(c.size)), corners(x, y)
    s = tensor(n, x, y, 1)
    return s[0, 1] @ c + known["y"], -(s[1, 0] @ c + known["x"])


def main() -> None:
    """Solve with more and more polynomials, ship the last, tell how far it is from the one before."""
    even = np.linspace(0, 1, 101)
    x, y = (one.ravel() for one in np.meshgrid(even, even, indexing="ij"))
    found = {n: solve(n) for n in (24, 36, 48)}
    fields = {n: velocities(c, x, y) for n, c in found.items()}
    for a, b in ((24, 48), (36, 48)):
        print(a, b, [float(np.linalg.norm(p - q) / np.linalg.norm(q)) for p, q in zip(fields[a], fields[b], strict=True)])
    error = max(float(np.linalg.norm(p - q) / np.linalg.norm(q)) for p, q in zip(fields[36], fields[48], strict=True))
    grid = (1 - np.cos(np.pi * np.linspace(0, 1, NODES))) / 2
    grid[-1] = 1.0
    gx, gy = (one.ravel() for one in np.meshgrid(grid, grid, indexing="ij"))
    u, v = (one.reshape(NODES, NODES) for one in velocities(found[48], gx, gy))
    for name, field in (("u", u), ("v", v)):
        print(name, "minimum", field.min(), "maximum", field.max())
    np.savez_compressed(DATA, x=grid, y=grid, u=u, v=v, relative_l2=error)


if __name__ == "__main__":
    main()
