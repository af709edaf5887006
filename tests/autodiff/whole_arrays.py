"""A table of programs over whole arrays of points, written as people write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import autodiff as ad
from autodiff.array import Array, lift
from autodiff.graph import Node, symbol
from autodiff.program import flatten
from autodiff.transforms import Unbatch, reverse
from autodiff.types import SHARED

N, M = 7, 5  # points of two clouds


def leaf(name: str, value: np.ndarray) -> Array:
    return Array(symbol((name,), value.shape, value.dtype, SHARED))


def point_of(node: Node) -> Node:
    """A leaf's value at one point."""
    return symbol(("at one point", *node.attr[0]), node.shape[1:], node.dtype)


def trace(f: Callable, values: dict[str, np.ndarray], lanes: Sequence[str]) -> tuple[list[Node], dict[str, Node], Unbatch]:
    arrays = {name: leaf(name, value) for name, value in values.items()}
    outputs = [lift(y) for y in flatten(f(**arrays))[0]]
    nodes = {name: a.node for name, a in arrays.items()}
    return outputs, nodes, Unbatch({nodes[name]: point_of(nodes[name]) for name in lanes})


def net(x, W, b, V):
    return np.tanh(x @ W + b) @ V


def layered(x, y, W, b, V):
    return np.mean((net(x, W, b, V) - y) ** 2)


def gradients(f: Callable, names: Sequence[str]) -> Callable:
    """The gradients of a program by `names`, with the numpy meaning of everything left to the graph."""

    def program(**arrays):
        loss = lift(f(**arrays))
        sources = [arrays[name].node for name in names]
        found = reverse([loss], [lift(np.ones(loss.shape)) if loss.shape else lift(1.0)], sources)
        return [Array(c) for c in found]

    return program


def fields(x, t, W, b, V):
    u = net(np.concatenate([x, t], axis=1), W, b, V)
    return u


def centres(x, c, s, w):
    """Radial functions: differences of every point from few centres."""
    d = x[:, None, :] - c[None, :, :]
    return np.exp(-np.sum(d * d, axis=2) / s**2) @ w


def hessians(x, W, b, V, A):
    """The Laplacian as the trace of a Hessian of every point, by a network of two layers."""
    H = ad.vmap(ad.hessian(lambda p: (np.tanh(np.tanh(p @ W + b) @ A) @ V)[0]))(x)
    return H[:, 0, 0] + H[:, 1, 1] + H[:, 0, 1] ** 2


def jacobians(x, W, b, V):
    J = ad.vmap(ad.jacobian(lambda p: np.tanh(p @ W + b) @ np.concatenate([V, 2.0 * V, V**2], axis=1)))(x)
    return J, np.einsum("nij,nj->ni", J, x), J.reshape(N, 6), np.sum(J * J, axis=(1, 2)), np.einsum("nij,nik->njk", J, J)


RNG = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


WEIGHTS = {"W": normal(2, 6), "b": normal(6), "V": normal(6, 1)}
POINTS = {"x": normal(N, 2)}
COLUMN = {"x": normal(N, 1), "t": normal(N, 1)}
VECTOR = {"x": normal(N), "t": normal(N)}

# name, program, its arrays, which of them are lanes
PROGRAMS: list[tuple[str, Callable, dict[str, np.ndarray], str]] = [
    ("elementwise vector", lambda x, t: np.sin(x) * t - 2.0 * x, VECTOR, "x t"),
    ("a column and a row", lambda x, b: x * b, {"x": normal(N, 1), "b": normal(4)}, "x"),
    ("a column and an unlaned vector", lambda x, y: x + y, {"x": normal(N), "y": normal(N)}, "x"),
    ("an unlaned matrix of rows", lambda x, y: x * y, {"x": normal(N, 3), "y": normal(N, 3)}, "x"),
    ("an unlaned computed matrix", lambda x, y: x * np.sin(y), {"x": normal(N, 3), "y": normal(N, 3)}, "x"),
    ("columns of a matrix", lambda x: x[:, 0] * x[:, 1] + x[:, 0:1].T, POINTS, "x"),
    ("the last column, sliced", lambda x: x[:, 1:] - x[..., -1:], POINTS, "x"),
    ("every second column", lambda x: x[:, ::2] * 2.0, {"x": normal(N, 5)}, "x"),
    ("a new axis", lambda x: x[:, None] * np.ones(3), {"x": normal(N)}, "x"),
    ("ravel of a column", lambda x, t: np.ravel(x) + t.reshape(-1), COLUMN, "x t"),
    ("stack and transpose", lambda x, t: np.stack([x, t]).T @ np.ones((2, 3)), VECTOR, "x t"),
    ("stack behind", lambda x, t: np.stack([x, 2.0 * t, 1.0 + 0.0 * t], axis=1), VECTOR, "x t"),
    ("concatenate with shared", lambda x, b: np.concatenate([x, np.broadcast_to(b, (N, 4))], axis=1),
     {"x": normal(N, 2), "b": normal(4)}, "x"),
    ("column stack", lambda x, t: np.column_stack([x, t]) @ np.arange(2.0), VECTOR, "x t"),
    ("a layer", lambda x, W, b: np.tanh(x @ W + b), POINTS | {"W": normal(2, 6), "b": normal(6)}, "x"),
    ("weights on the left", lambda x, W, b: (W @ x.T + b[:, None]).T, POINTS | {"W": normal(6, 2), "b": normal(6)}, "x"),
    ("einsum", lambda x, W: np.einsum("ni,ij,nj->n", x, W, x), POINTS | {"W": normal(2, 2)}, "x"),
    ("a network", net, POINTS | WEIGHTS, "x"),
    ("a network of two columns", fields, COLUMN | WEIGHTS, "x t"),
    ("sums over points", lambda x: (x.sum(), x.sum(0), x.mean(axis=0), x.sum(axis=1), x.sum(axis=1, keepdims=True)),
     POINTS, "x"),
    ("a sum of what all share", lambda x, b: np.sum(0.0 * x[:, :1] + b, axis=0) + np.sum(np.broadcast_to(b, (N, 3))),
     {"x": normal(N, 1), "b": normal(3)}, "x"),
    ("a Gram matrix", lambda x: x.T @ x, POINTS, "x"),
    ("products over points", lambda x, y: (x.T @ y, y @ x, np.tensordot(x, y, (0, 0)), np.dot(y, y)),
     POINTS | {"y": normal(N)}, "x y"),
    ("a product over points with ones", lambda x: np.ones(N) @ x + np.ones((N, 2)).sum(0), POINTS, "x"),
    ("where", lambda x, t: np.where(x > t, x * t, np.where(t > 0.0, 1.0, x)), VECTOR, "x t"),
    ("where of columns", lambda x, b: np.where(x[:, :1] > 0.0, x, b), POINTS | {"b": normal(2)}, "x"),
    ("features compared", lambda x: (np.max(x, axis=1), np.sort(x, axis=1), np.argmax(x, axis=1), np.cumsum(x, axis=1)),
     {"x": normal(N, 4)}, "x"),
    ("log of a sum of exponentials", lambda x: np.log(np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1)),
     {"x": normal(N, 4)}, "x"),
    ("a centred value", lambda x: (x - np.mean(x, axis=0)) / np.std(x, axis=0), POINTS, "x"),
    ("a loss", layered, POINTS | WEIGHTS | {"y": normal(N, 1)}, "x y"),
    ("a loss with unlaned data", layered, POINTS | WEIGHTS | {"y": normal(N, 1)}, "x"),
    ("gradients", gradients(layered, ("W", "b", "V")), POINTS | WEIGHTS | {"y": normal(N, 1)}, "x y"),
    ("gradients by points", gradients(layered, ("x", "y")), POINTS | WEIGHTS | {"y": normal(N, 1)}, "x y"),
    ("gradients of a column", gradients(lambda x: np.sum(np.sin(x[:, 0]) * x[:, 1]), ("x",)), POINTS, "x"),
    ("gradients of features compared", gradients(lambda x: np.sum(np.max(x, axis=1) ** 2), ("x",)), {"x": normal(N, 3)}, "x"),
    ("two clouds", lambda x, y, W: (np.sum((x @ W) ** 2) + np.mean((y @ W) ** 2), x @ W, y @ W),
     {"x": normal(N, 2), "y": normal(M, 2), "W": normal(2, 3)}, "x y"),
    ("a reshape of features", lambda x: x.reshape(N, 2, 2).sum(axis=2), {"x": normal(N, 4)}, "x"),
    ("few centres", centres, POINTS | {"c": normal(5, 2), "s": np.array(1.3), "w": normal(5)}, "x"),
    ("gradients of few centres", gradients(lambda **a: np.mean(centres(**a) ** 2), ("c", "s", "w", "x")),
     POINTS | {"c": normal(5, 2), "s": np.array(1.3), "w": normal(5)}, "x"),
    ("a Hessian for every point", hessians, POINTS | WEIGHTS | {"A": normal(6, 6)}, "x"),
    ("gradients of Hessians", gradients(lambda **a: np.mean(hessians(**a) ** 2), ("W", "b", "V", "A")),
     POINTS | WEIGHTS | {"A": normal(6, 6)}, "x"),
    ("a Jacobian for every point", jacobians, POINTS | WEIGHTS, "x"),
    ("a Laplacian for every point", lambda x, W, b, V: ad.vmap(ad.laplacian(lambda p: net(p, W, b, V)[0]))(x),
     POINTS | WEIGHTS, "x"),
    ("a batch of matrices", lambda x: np.linalg.inv(x.reshape(N, 2, 2) + 4.0 * np.eye(2)), {"x": normal(N, 4)}, "x"),
]  # fmt: skip
