"""PyTorch: nested autograd as PINN scripts have it, `torch.func`, and Taylor arithmetic by hand, eager and compiled.

autograd    eager `torch.autograd.grad` of `torch.autograd.grad`
jvp         eager nested `torch.func.jvp` (not in the standard run: it lies between autograd and taylor)
taylor      collapsed Taylor mode by hand, eager
compiled    the same through `torch.compile` (inductor; needs a C++ compiler)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import peer_problems
import torch
from peer_problems import NEEDED, Data, Problem, derivatives_of, first_channels, pairs, tanh_channels

VERSIONS = ("torch",)
FORMULATIONS = ("autograd", "jvp", "taylor", "compiled")


def mlp(weights: Sequence[Any], x: Any) -> Any:
    *hidden, (last, offset) = pairs(weights)
    for W, b in hidden:
        x = torch.tanh(torch.addmm(b, x, W))
    return torch.addmm(offset, x, last)


def slope(y: Any, points: Any) -> Any:
    """The gradient of a column by the coordinates, at every point."""
    return torch.autograd.grad(y.sum(), points, create_graph=True)[0]


def nested(problem: Problem, weights: Sequence[Any], points: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals`, by autograd."""
    points = points.detach().requires_grad_(True)
    y = mlp(weights, points)

    def laplacian(q: Any) -> tuple[Any, Any]:
        g = slope(q, points)
        return sum(slope(g[:, i], points)[:, i] for i in range(problem.dim)), g

    if problem.equation in ("burgers", "kdv"):
        g = slope(y, points)
        last = slope(g[:, 0], points)[:, 0]
        if problem.equation == "kdv":
            last = slope(last, points)[:, 0]
        return y[:, 0], g[:, 0], g[:, 1], last
    if problem.equation == "poisson":
        return (laplacian(y)[0],)
    if problem.equation == "biharmonic":
        return (laplacian(laplacian(y)[0])[0],)
    (lap_u, g_u), (lap_v, g_v), g_p = laplacian(y[:, 0]), laplacian(y[:, 1]), slope(y[:, 2], points)
    return (y[:, 0], y[:, 1], *g_u.unbind(1), *g_v.unbind(1), *g_p.unbind(1), lap_u, lap_v)


def nested_jvp(problem: Problem, weights: Sequence[Any], points: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals`, forward over forward."""
    basis = [torch.zeros_like(points).index_fill_(1, torch.tensor([i]), 1.0) for i in range(problem.dim)]

    def f(x: Any) -> Any:
        return mlp(weights, x)

    def along(g: Callable, v: Any) -> Callable:
        return lambda x: torch.func.jvp(g, (x,), (v,))[1]

    def both(g: Callable, v: Any) -> Callable:
        return lambda x: torch.func.jvp(g, (x,), (v,))

    if problem.equation == "poisson":
        return (sum(along(along(f, v), v)(points)[:, 0] for v in basis),)
    if problem.equation == "biharmonic":
        a, b = basis
        fourth = [along(along(along(along(f, v), v), w), w)(points)[:, 0] for v, w in ((a, a), (a, b), (b, b))]
        return (fourth[0] + 2 * fourth[1] + fourth[2],)
    x, t = basis
    if problem.equation == "navier_stokes":
        ((y, y_x), (_, y_xx)), ((_, y_y), (_, y_yy)) = both(both(f, x), x)(points), both(both(f, t), t)(points)
        lap = y_xx + y_yy
        return (y[:, 0], y[:, 1], *(g[:, k] for k in range(3) for g in (y_x, y_y)), lap[:, 0], lap[:, 1])
    if problem.equation == "burgers":
        (u, u_x), (_, last) = both(both(f, x), x)(points)
    else:
        ((u, u_x), _), (_, (_, last)) = both(both(both(f, x), x), x)(points)
    return u[:, 0], u_x[:, 0], along(f, t)(points)[:, 0], last[:, 0]


def by_hand(problem: Problem, weights: Sequence[Any], points: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals`, one product for each channel of each layer."""
    kind = problem.equation
    (W, b), *middle, (last, offset) = pairs(weights)
    a = torch.tanh(torch.addmm(b, points, W))
    h = [a, *(c.expand_as(a) for c in tanh_channels(kind, a, first_channels(kind, W, problem.dim)))]
    for W, b in middle:
        z = [c @ W for c in h[1:]]
        a = torch.tanh(torch.addmm(b, h[0], W))
        h = [a, *tanh_channels(kind, a, z)]
    return derivatives_of(kind, [torch.addmm(offset, h[k], last) if k == 0 else h[k] @ last for k in NEEDED[kind]])


WAYS = {"autograd": nested, "jvp": nested_jvp, "taylor": by_hand, "compiled": by_hand}


class Peer:
    """A loss of leaves that ask for gradients."""

    def __init__(self, problem: Problem, numbers: Data, formulation: str, threads: int, dtype: str):
        torch.set_num_threads(threads)
        self.weights = [torch.from_numpy(w.copy()).requires_grad_(True) for w in numbers.weights]
        self.points, self.source = torch.from_numpy(numbers.points), torch.from_numpy(numbers.source)

        def loss(weights: Sequence[Any], points: Any, source: Any) -> Any:
            return peer_problems.loss(problem.equation, WAYS[formulation](problem, weights, points), source)

        self.loss = torch.compile(loss, fullgraph=True, dynamic=False) if formulation == "compiled" else loss

    def call(self) -> None:
        self.value = self.loss(self.weights, self.points, self.source)
        # the last bias is in no residual of Poisson's equation
        self.gradient = torch.autograd.grad(self.value, self.weights, allow_unused=True)

    def answer(self) -> tuple[float, np.ndarray]:
        there = [torch.zeros_like(w) if g is None else g for g, w in zip(self.gradient, self.weights, strict=True)]
        return self.value.item(), peer_problems.flat([g.detach().numpy() for g in there])
