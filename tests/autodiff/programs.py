"""Programs for the tests of the compiler: networks of many kinds, written by hand with plain numpy functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special

import autodiff as ad

X, Y, T = (ad.Array(ad.symbol(name)) for name in ("x", "y", "t"))


class Weights:
    """Windows of theta, handed out one after the other."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, *shape: int) -> ad.Array:
        window = ad.Array(ad.view("theta", self.size, shape))
        self.size += int(np.prod(shape))
        return window


def D(u: ad.Array, *xs: ad.Array) -> ad.Array:
    for x in xs:
        tangent = ad.Forward({x.node: ad.lift(1.0)}).of(u.node)
        u = ad.Array(ad.lift(0.0) if tangent is None else tangent)
    return u


def laplacian(u: ad.Array, *xs: ad.Array) -> ad.Array:
    return ad.Array(ad.Laplacian([ad.Forward({x.node: ad.lift(1.0)}) for x in xs]).of(u.node))


def mlp(weights: Weights, sizes: tuple[int, ...], activation: Callable = np.tanh) -> Callable:
    layers = [(weights(o, i), weights(o)) for i, o in zip(sizes, sizes[1:], strict=False)]

    def network(*xs):
        h = np.stack(xs)
        for W, b in layers[:-1]:
            h = activation(W @ h + b)
        W, b = layers[-1]
        return W @ h + b

    return network


def gated(weights: Weights, width: int) -> Callable:
    u, v = ((weights(width, 2), weights(width)) for _ in range(2))
    layers = [(weights(width, 2), weights(width)), (weights(width, width), weights(width))]
    W_out = weights(1, width)

    def network(*xs):
        h = np.stack(xs)
        a, b = (np.tanh(W @ h + c) for W, c in (u, v))
        for W, c in layers:
            z = np.tanh(W @ h + c)
            h = z * a + (1.0 - z) * b
        return W_out @ h

    return network


def burgers(u):
    return (D(u, T) + u * D(u, X) - 0.01 / np.pi * D(u, X, X),)


def _plain(w):
    return (X, T), burgers(mlp(w, (2, 9, 9, 1))(X, T)[0])


def _unequal(w):
    return (X, T), burgers(mlp(w, (2, 7, 33, 5, 1))(X, T)[0])


def _wide(w):
    return (X, T), burgers(mlp(w, (2, 150, 20, 1))(X, T)[0])


def _collapsed(w):
    u = mlp(w, (2, 12, 12, 1))(X, Y)[0]
    return (X, Y), (laplacian(u, X, Y) + 2 * np.pi**2 * np.sin(np.pi * X) * np.sin(np.pi * Y),)


def _navier_stokes(w):
    u, v, p = mlp(w, (2, 10, 10, 3))(X, Y)
    def momentum(f, q):
        return u * D(f, X) + v * D(f, Y) + D(p, q) - 0.01 * laplacian(f, X, Y)
    return (X, Y), (momentum(u, X), momentum(v, Y), D(u, X) + D(v, Y))


def _many_outputs(w):
    fields = mlp(w, (2, 8, 8, 6))(X, Y)
    return (X, Y), tuple(D(fields[i], X) * fields[(i + 1) % 6] for i in range(6))


def _biharmonic(w):
    u = mlp(w, (2, 8, 8, 1))(X, Y)[0]
    return (X, Y), (D(u, X, X, X, X) + 2 * D(u, X, X, Y, Y) + D(u, Y, Y, Y, Y) - np.sin(X * Y),)


def _gated(w):
    return (X, T), burgers(gated(w, 8)(X, T)[0])


def _ansatz(w):
    return (X, T), burgers(-np.sin(np.pi * X) + T * (1 - X * X) * mlp(w, (2, 8, 8, 1))(X, T)[0])


def _sine(w):
    return (X, T), burgers(mlp(w, (2, 8, 8, 1), np.sin)(X, T)[0])


def _swish(w):
    return (X, T), burgers(mlp(w, (2, 8, 8, 1), lambda z: z * scipy.special.expit(z))(X, T)[0])


def _fourier(w):
    B, inner = w(6, 2), mlp(w, (12, 8, 8, 1))

    def network(*xs):
        z = 3.0 * (B @ np.stack(xs))
        h = np.concatenate([np.sin(z), np.cos(z)])
        return inner(*[h[i] for i in range(12)])

    return (X, T), burgers(network(X, T)[0])


def _fourier_whole(w):
    B, W, b, V = w(6, 2), w(8, 12), w(8), w(1, 8)
    z = B @ np.stack([X, T])
    return (X, T), burgers((V @ np.tanh(W @ np.concatenate([np.sin(z), np.cos(z)]) + b))[0])


def _per_field(w):
    u, p = mlp(w, (2, 8, 1))(X, Y)[0], mlp(w, (2, 5, 5, 1))(X, Y)[0]
    return (X, Y), (D(u, X) * p + D(p, Y), laplacian(u, X, Y) + p)


def _inverse(w):
    nu, slope = w(), w()
    u = mlp(w, (2, 8, 8, 1), lambda z: np.tanh((1.0 + slope) * z))(X, T)[0]
    return (X, T), (D(u, T) + u * D(u, X) - np.exp(nu) * D(u, X, X),)


def _ten_inputs(w):
    xs = [ad.Array(ad.symbol(f"x{i}")) for i in range(10)]
    u = mlp(w, (10, 8, 8, 1))(*xs)[0]
    return tuple(xs), (laplacian(u, *xs) - u,)


def _kdv(w):
    u = mlp(w, (2, 8, 8, 1))(X, T)[0]
    return (X, T), (D(u, T) + 6.0 * u * D(u, X) + D(u, X, X, X),)


def _weight_norm(w):
    V, g, b, out = w(8, 8), w(8), w(8), w(1, 8)
    first = mlp(w, (2, 8, 8))
    scaled = np.reshape(g / np.sqrt(np.sum(V * V, axis=1)), (8, 1)) * V
    return (X, T), burgers((out @ np.tanh(scaled @ first(X, T) + b))[0])


def _data(w):
    nodes = np.linspace(0.1, 1.0, 5)  # a user's array inside the equation: a sum over quadrature nodes
    u = mlp(w, (2, 8, 1))(X, T)[0]
    return (X, T), (u - np.sum(np.cos(nodes * X) * np.exp(-nodes)),)


def _choice(w):
    u = mlp(w, (2, 8, 8, 1))(X, T)[0]
    return (X, T), (np.where(X > 0.0, D(u, X), D(u, T)) + np.maximum(u, 0.1 * u) + np.clip(X, -0.5, 0.5) * np.abs(u),)


def _residual_block(w):
    first, W, b, out = mlp(w, (2, 8, 8)), w(8, 8), w(8), w(1, 8)
    h = np.tanh(first(X, T))
    h = h + np.tanh(W @ h + b)
    h = h + np.tanh(W @ h + b)  # the same weight twice
    return (X, T), burgers((out @ h)[0])


def _product(w):
    a, b = mlp(w, (1, 6, 4))(X), mlp(w, (1, 6, 4))(Y)  # separable: sum_r f_r(x) g_r(y)
    return (X, Y), (laplacian(np.sum(a * b), X, Y) + np.dot(a, b),)


PROGRAMS: dict[str, Callable] = {
    name.strip("_"): make
    for name, make in list(globals().items())
    if name.startswith("_") and callable(make) and not name.startswith("__")
}


def build(name: str) -> tuple[ad.PointProgram, tuple, tuple]:
    """(the program, its columns, its residuals)."""
    weights = Weights()
    columns, residuals = PROGRAMS[name](weights)
    return ad.PointProgram(columns, residuals, weights.size), columns, residuals
