"""The problems that are timed: each written once for the engine, and once more in plain numpy to be checked against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

import autodiff as ad

NU = 0.01 / np.pi
X, Y, T = (ad.Array(ad.symbol(name)) for name in ("x", "y", "t"))


def along(*xs: ad.Array) -> list[ad.Forward]:
    """The directions of these coordinates."""
    return [ad.Forward({x.node: ad.lift(1.0)}) for x in xs]


def D(u: ad.Array, *xs: ad.Array) -> ad.Array:
    """u differentiated by each coordinate in turn."""
    for direction in along(*xs):
        u = ad.Array(direction.of(u.node))
    return u


class Windows:
    """Windows of the flat vector theta, handed out one after the other."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, *shape: int) -> ad.Array:
        window = ad.Array(ad.view("theta", self.size, shape))
        self.size += int(np.prod(shape))
        return window


# ---- networks: the same text serves the engine and, on Taylor series of complex numbers, the check ---------------------------
def mlp(window: Callable, sizes: tuple[int, ...]) -> Callable:
    layers = [(window(o, i), window(o)) for i, o in zip(sizes, sizes[1:], strict=False)]

    def network(h):
        for W, b in layers[:-1]:
            h = np.tanh(W @ h + b)
        W, b = layers[-1]
        return W @ h + b

    return network


def gated(window: Callable, sizes: tuple[int, ...]) -> Callable:
    """The modified network of Wang, Teng & Perdikaris 2021: each layer gates between two encodings of the inputs."""
    encoders = [(window(sizes[1], sizes[0]), window(sizes[1])) for _ in range(2)]
    layers = [(window(o, i), window(o)) for i, o in zip(sizes, sizes[1:], strict=False)]

    def network(h):
        a, b = (np.tanh(W @ h + c) for W, c in encoders)
        for W, c in layers[:-1]:
            z = np.tanh(W @ h + c)
            h = z * a + (1.0 - z) * b
        W, c = layers[-1]
        return W @ h + c

    return network


# ---- residuals for the engine ------------------------------------------------------------------------------------------------
def burgers(net):
    u = net(np.stack([X, T]))[0]
    return (X, T), (D(u, T) + u * D(u, X) - NU * D(u, X, X),)


def burgers_collapsed(net):
    """u_t - nu u_xx as one channel: what `pinn` makes of the equation by itself."""
    u = net(np.stack([X, T]))[0]
    (x,), (t,) = along(X), along(T)
    return (X, T), (ad.Array(ad.Collapsed(second=[(x, -NU)], first=[(t, 1.0)]).of(u.node)) + u * D(u, X),)


def poisson(net):
    u = net(np.stack([X, Y]))[0]
    return (X, Y), (ad.Array(ad.Laplacian(along(X, Y)).of(u.node)) + 2 * np.pi**2 * np.sin(np.pi * X) * np.sin(np.pi * Y),)


def poisson_1d(net):
    u = net(np.stack([X]))[0]
    return (X,), (D(u, X, X) + np.pi**2 * np.sin(np.pi * X),)


def navier_stokes(net):
    fields = net(np.stack([X, Y]))
    u, v, p = fields[0], fields[1], fields[2]

    def momentum(f, q):
        laplacian = ad.Array(ad.Laplacian(along(X, Y)).of(f.node))
        return u * D(f, X) + v * D(f, Y) + D(p, q) - 0.01 * laplacian

    return (X, Y), (momentum(u, X), momentum(v, Y), D(u, X) + D(v, Y))


def biharmonic(net):
    u = net(np.stack([X, Y]))[0]
    return (X, Y), (D(u, X, X, X, X) + 2 * D(u, X, X, Y, Y) + D(u, Y, Y, Y, Y) - np.sin(X * Y),)


def kdv(net):
    u = net(np.stack([X, T]))[0]
    return (X, T), (D(u, T) + 6.0 * u * D(u, X) + D(u, X, X, X),)


# ---- the same in plain numpy -------------------------------------------------------------------------------------------------
class Series:
    """A Taylor polynomial in one direction, coefficients `(order + 1, features, points)`: knows nothing of the engine."""

    __array_ufunc__ = None  # so that ndarray @ series arrives here

    def __init__(self, c: np.ndarray):
        self.c = c

    def __rmatmul__(self, W):
        return Series(np.matmul(W, self.c))

    def __add__(self, b):
        c = np.array(self.c)
        c[0] += np.reshape(b, (-1, 1))
        return Series(c)

    def __rsub__(self, one):
        c = -self.c
        c[0] += one
        return Series(c)

    def __mul__(self, other):
        return Series(np.stack([sum(self.c[j] * other.c[k - j] for j in range(k + 1)) for k in range(len(self.c))]))

    def plus(self, other):
        return Series(self.c + other.c)

    def tanh(self):
        """From y' = (1 - y^2) z', coefficient by coefficient."""
        z, y = self.c, np.zeros_like(self.c)
        y[0] = np.tanh(z[0])
        slope = [1.0 - y[0] ** 2]
        for k in range(1, len(z)):
            y[k] = sum(j * z[j] * slope[k - j] for j in range(1, k + 1)) / k
            slope.append(-sum(y[j] * y[k - j] for j in range(k + 1)))
        return Series(y)


def numpy_network(kind: str, theta: np.ndarray, sizes: tuple[int, ...]) -> Callable[[Series], Series]:
    """The network again, on series, from the bare numbers of theta."""
    at = 0

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return theta[at - int(np.prod(shape)) : at].reshape(shape)

    encoders = [(take(sizes[1], sizes[0]), take(sizes[1])) for _ in range(2)] if kind == "gated" else []
    layers = [(take(o, i), take(o)) for i, o in zip(sizes, sizes[1:], strict=False)]

    def network(h):
        gates = [(W @ h + c).tanh() for W, c in encoders]
        for W, b in layers[:-1]:
            z = (W @ h + b).tanh()
            h = (z * gates[0]).plus((1.0 - z) * gates[1]) if gates else z
        W, b = layers[-1]
        return W @ h + b

    return network


def numpy_loss(work: Workload, theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The mean squares of the residuals `(terms,)`, without the engine; analytic in theta, so theta may be complex."""
    network = numpy_network(work.network, theta, work.sizes)

    def jet(*direction: float, order: int) -> list[np.ndarray]:
        """The derivatives of all outputs along a direction, each `(outputs, points)`."""
        c = np.zeros((order + 1, points.shape[1], len(points)), theta.dtype)
        c[0], c[1] = points.T, np.reshape(direction, (-1, 1))
        values, factorial, found = network(Series(c)).c, 1.0, []
        for k, value in enumerate(values):
            factorial *= max(k, 1)
            found.append(value * factorial)
        return found

    if work.equation == "poisson_1d":
        residuals = [jet(1, order=2)[2][0] + np.pi**2 * np.sin(np.pi * points[:, 0])]
    elif work.equation == "poisson":
        source = 2 * np.pi**2 * np.sin(np.pi * points[:, 0]) * np.sin(np.pi * points[:, 1])
        residuals = [jet(1, 0, order=2)[2][0] + jet(0, 1, order=2)[2][0] + source]
    elif work.equation == "burgers":
        (u, u_x, u_xx), (_, u_t) = jet(1, 0, order=2), jet(0, 1, order=1)
        residuals = [(u_t + u * u_x - NU * u_xx)[0]]
    elif work.equation == "kdv":
        (u, u_x, _, u_xxx), (_, u_t) = jet(1, 0, order=3), jet(0, 1, order=1)
        residuals = [(u_t + 6.0 * u * u_x + u_xxx)[0]]
    elif work.equation == "navier_stokes":
        ((u, v, _), (u_x, v_x, p_x), (u_xx, v_xx, _)), (_, (u_y, v_y, p_y), (u_yy, v_yy, _)) = (
            jet(1, 0, order=2), jet(0, 1, order=2))  # fmt: skip
        residuals = [u * u_x + v * u_y + p_x - 0.01 * (u_xx + u_yy), u * v_x + v * v_y + p_y - 0.01 * (v_xx + v_yy), u_x + v_y]
    else:
        fourth = [jet(*d, order=4)[4][0] for d in ((1, 0), (0, 1), (1, 1), (1, -1))]
        mixed = (fourth[2] + fourth[3] - 2 * fourth[0] - 2 * fourth[1]) / 12  # polarisation: u_xxyy from four directions
        residuals = [fourth[0] + 2 * mixed + fourth[1] - np.sin(points[:, 0] * points[:, 1])]
    return np.array([np.sum(r * r) for r in residuals]) / len(points)


# ---- workloads ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Workload:
    """One network, one equation, one number of points.

    `channels` is what plain Taylor mode carries through every layer (u, u_x, u_t, u_xx for Burgers; u, the gradient and the
    Laplacian for Poisson; the nine of the collapsed bi-Laplacian), whatever our plan makes of it.
    """

    key: str
    title: str
    equation: str
    sizes: tuple[int, ...]
    points: int
    channels: int
    network: str = "mlp"
    target: float | None = None  # the least share of dgemm's rate that the project asks of itself
    collapsed: bool = field(default=False)

    @property
    def counted_flops(self) -> int:
        """6 points channels sum_l n_l n_(l+1) over the hidden layers.

        A multiply and an add for W h, for W^T g and for g h^T.  The first layer and the last are left out: they hold little,
        and counting them would flatter a plan that does them in its elementwise loops.
        """
        hidden = self.sizes[1:-1]
        cells = sum(a * b for a, b in zip(hidden, hidden[1:], strict=False))
        return 6 * self.points * self.channels * cells

    def program(self) -> ad.PointProgram:
        window = Windows()
        network = {"mlp": mlp, "gated": gated}[self.network](window, self.sizes)
        state = EQUATIONS["burgers_collapsed" if self.collapsed else self.equation]
        columns, residuals = state(network)
        return ad.PointProgram(columns, residuals, window.size)

    def theta(self, rng: np.random.Generator) -> np.ndarray:
        """Glorot weights and small biases."""
        shapes = list(zip(self.sizes[1:], self.sizes, strict=False))
        if self.network == "gated":
            shapes = [shapes[0], shapes[0], *shapes]
        parts = [(rng.normal(size=(o, i)) * np.sqrt(2 / (o + i)), 0.1 * rng.normal(size=o)) for o, i in shapes]
        return np.concatenate([np.ravel(array) for pair in parts for array in pair])

    def cloud(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, (self.points, self.sizes[0]))


EQUATIONS = {f.__name__: f for f in (burgers, burgers_collapsed, poisson, poisson_1d, navier_stokes, biharmonic, kdv)}
_B64 = Workload("b64x4", "Burgers 2-[64]x4-1", "burgers", (2, 64, 64, 64, 64, 1), 10_000, 4, target=0.85)
_B20 = Workload("b20x8", "Burgers 2-[20]x8-1", "burgers", (2, *[20] * 8, 1), 10_000, 4, target=0.72)
WORKLOADS = [
    _B64,
    replace(_B64, key="b64x4c", title=_B64.title + ", one channel for u_t - nu u_xx", collapsed=True),
    Workload("p128x4", "Poisson 2-[128]x4-1", "poisson", (2, 128, 128, 128, 128, 1), 4_096, 4, target=0.85),
    _B20,
    replace(_B20, key="b20x8c", title=_B20.title + ", one channel for u_t - nu u_xx", collapsed=True),
    Workload("tiny", "Poisson 1-[32]x2-1", "poisson_1d", (1, 32, 32, 1), 128, 3),
    Workload("ns50x5", "Navier-Stokes 2-[50]x5-3", "navier_stokes", (2, 50, 50, 50, 50, 50, 3), 4_096, 4),
    Workload("bih64x4", "biharmonic 2-[64]x4-1", "biharmonic", (2, 64, 64, 64, 64, 1), 2_048, 9),
    Workload("kdv64x4", "KdV 2-[64]x4-1", "kdv", (2, 64, 64, 64, 64, 1), 4_096, 5),
    Workload("gated64x4", "Burgers, gated 2-[64]x4-1", "burgers", (2, 64, 64, 64, 64, 1), 4_096, 4, network="gated"),
]


def check(work: Workload, program: ad.PointProgram, rng: np.random.Generator) -> float:
    """The worst relative difference of loss and gradient from plain numpy, at 300 points.

    The gradient is compared along five random directions v by the complex step Im L(theta + i h v) / h, exact to rounding
    (Squire & Trapp 1998).  Five agreements to 1e-10 leave a wrong entry no place to hide.
    """
    small = replace(work, points=300)
    points, theta, h = small.cloud(rng), small.theta(rng), 1e-30
    scale = rng.uniform(0.5, 1.5, program.terms)
    terms, gradient = program.bind(points, np.full(300, 1 / 300)).loss_and_gradient(theta, scale)
    expected = numpy_loss(work, theta, points)
    worst = float(np.max(np.abs(terms - expected) / expected))
    for _ in range(5):
        v = rng.normal(size=theta.size)
        slope = scale @ numpy_loss(work, theta + 1j * h * v, points).imag / h
        # beside |g| rather than |g.v|, which may be small by chance
        worst = max(worst, abs(slope - gradient @ v) / float(np.linalg.norm(gradient)))
    return worst
