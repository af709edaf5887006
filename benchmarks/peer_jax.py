"""JAX, jitted, in the ways its users write derivatives, up to Taylor arithmetic by hand.

nested     reverse over reverse: `grad` of `grad`, `jacrev`, vmapped over points, as most scripts have it
hvp        forward over reverse: `jvp` of `grad`
jvp        forward over forward: nested `jvp`
jet        `jax.experimental.jet`, one univariate series for each direction
stacked    collapsed Taylor mode by hand, all channels in one product
taylor     the same with one product for each channel, which saves the copies

Reverse mode over the weights follows (`value_and_grad`), and one `jit` around all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import peer_problems
from jax.experimental import jet as series
from peer_problems import NEEDED, Data, Problem, derivatives_of, first_channels, tanh_channels

VERSIONS = ("jax", "jaxlib")
FORMULATIONS = ("nested", "hvp", "jvp", "jet", "stacked", "taylor")
BY_HAND = ("stacked", "taylor")


def mlp(layers: Any, x: Any) -> Any:
    for W, b in layers[:-1]:
        x = jnp.tanh(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def along(f: Callable, v: Any) -> Callable:
    """The derivative of f in the direction v, forward mode."""
    return lambda x: jax.jvp(f, (x,), (v,))[1]


def taylor(f: Callable, x: Any, v: Any, order: int) -> list[Any]:
    """The derivatives of f(x + s v) by s at 0, of orders 0 to `order`."""
    value, rest = series.jet(f, (x,), ((v,) + (jnp.zeros_like(x),) * (order - 1),))
    return [value, *rest]


# ---- operators at one point, formulation by formulation ----------------------------------------------------------------------
def laplacian(formulation: str, f: Callable, basis: Any) -> Callable:
    """The Laplacian of a scalar function of a point."""
    if formulation == "nested":
        return lambda x: jnp.trace(jax.jacrev(jax.grad(f))(x))
    if formulation == "hvp":
        return lambda x: jnp.sum(jax.vmap(lambda v: jax.jvp(jax.grad(f), (x,), (v,))[1] @ v)(basis))
    if formulation == "jvp":
        return lambda x: jnp.sum(jax.vmap(lambda v: along(along(f, v), v)(x))(basis))
    return lambda x: jnp.sum(jax.vmap(lambda v: taylor(f, x, v, 2)[2])(basis))


def bilaplacian(formulation: str, f: Callable, x: Any, basis: Any) -> Any:
    if formulation == "jet":  # 8/9 of the sum of fourth derivatives along three lines at 60 degrees
        angles = np.arange(3) * np.pi / 3
        lines = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], 1), x.dtype)
        return 8 / 9 * jnp.sum(jax.vmap(lambda v: taylor(f, x, v, 4)[4])(lines))
    if formulation == "jvp":
        a, b = basis

        def fourth(v: Any, w: Any) -> Any:
            return along(along(along(along(f, v), v), w), w)(x)

        return fourth(a, a) + 2 * fourth(a, b) + fourth(b, b)
    return laplacian(formulation, laplacian(formulation, f, basis), basis)(x)


def evolution(formulation: str, f: Callable, x: Any, basis: Any, order: int) -> tuple[Any, ...]:
    """u, u_x, u_t and u_xx or u_xxx."""
    e, t = basis
    if formulation == "nested":
        u, (u_x, u_t) = jax.value_and_grad(f)(x)

        def second(y: Any) -> Any:
            return jax.grad(lambda z: jax.grad(f)(z)[0])(y)[0]

        return u, u_x, u_t, second(x) if order == 2 else jax.grad(second)(x)[0]
    if formulation == "hvp":
        (u, g), (_, h) = jax.jvp(jax.value_and_grad(f), (x,), (e,))
        return u, g[0], g[1], h[0] if order == 2 else along(along(jax.grad(f), e), e)(x)[0]
    if formulation == "jet":
        found = taylor(f, x, e, order)
        return found[0], found[1], along(f, t)(x), found[-1]

    def once(y: Any) -> Any:
        return jax.jvp(f, (y,), (e,))

    def twice(y: Any) -> Any:
        return jax.jvp(once, (y,), (e,))

    if order == 2:
        (u, u_x), (_, last) = twice(x)
    else:
        ((u, u_x), _), (_, (_, last)) = jax.jvp(twice, (x,), (e,))
    return u, u_x, along(f, t)(x), last


def flow(formulation: str, f: Callable, x: Any, basis: Any) -> tuple[Any, ...]:
    """What the Navier-Stokes equations need of u, v, p."""
    def velocity(y: Any) -> Any:
        return f(y)[:2]

    if formulation in ("nested", "hvp"):
        y, slopes = f(x), jax.jacrev(f)(x)
        if formulation == "nested":
            laplacians = jnp.trace(jax.jacrev(jax.jacrev(velocity))(x), axis1=1, axis2=2)
        else:
            laplacians = jnp.sum(jax.vmap(lambda v: jax.jvp(jax.jacrev(velocity), (x,), (v,))[1] @ v)(basis), 0)
    else:
        def line(v: Any) -> tuple[Any, ...]:
            if formulation == "jet":
                return tuple(taylor(f, x, v, 2))
            (value, slope), (_, curvature) = jax.jvp(lambda q: jax.jvp(f, (q,), (v,)), (x,), (v,))
            return value, slope, curvature

        y, slopes, curvatures = jax.vmap(line, out_axes=(None, 0, 0))(basis)
        slopes, laplacians = slopes.T, jnp.sum(curvatures, 0)
    return (y[0], y[1], *slopes.ravel(), *laplacians[:2])


def derivatives(problem: Problem, formulation: str, layers: Any, x: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals` at one point."""
    basis = jnp.eye(problem.dim, dtype=x.dtype)

    def f(y: Any) -> Any:
        return mlp(layers, y)

    def scalar(y: Any) -> Any:
        return mlp(layers, y)[0]

    if problem.equation == "navier_stokes":
        return flow(formulation, f, x, basis)
    if problem.equation == "poisson":
        return (laplacian(formulation, scalar, basis)(x),)
    if problem.equation == "biharmonic":
        return (bilaplacian(formulation, scalar, x, basis),)
    return evolution(formulation, scalar, x, basis, 2 if problem.equation == "burgers" else 3)


# ---- by hand -----------------------------------------------------------------------------------------------------------------
def by_hand(problem: Problem, formulation: str, layers: Any, points: Any) -> tuple[Any, ...]:
    """The derivatives for `residuals` at all points."""
    kind = problem.equation
    (W, b), *middle, (last, offset) = layers
    a = jnp.tanh(points @ W + b)
    h = [a, *(jnp.broadcast_to(c, a.shape) for c in tanh_channels(kind, a, first_channels(kind, W, problem.dim)))]
    for W, b in middle:
        z = list(jnp.stack(h) @ W) if formulation == "stacked" else [c @ W for c in h]
        a = jnp.tanh(z[0] + b)
        h = [a, *tanh_channels(kind, a, z[1:])]
    return derivatives_of(kind, [h[k] @ last + (offset if k == 0 else 0) for k in NEEDED[kind]])


class Peer:
    """A jitted function of weights, points and source, all of them on the device."""

    def __init__(self, problem: Problem, numbers: Data, formulation: str, threads: int, dtype: str):
        self.arguments = jax.tree.map(jnp.asarray, (numbers.layers, numbers.points, numbers.source))
        assert self.arguments[1].dtype == dtype, "JAX_ENABLE_X64 is not as it should be"

        def loss(layers: Any, points: Any, source: Any) -> Any:
            if formulation in BY_HAND:
                found = by_hand(problem, formulation, layers, points)
            else:
                found = jax.vmap(lambda x: derivatives(problem, formulation, layers, x))(points)
            return peer_problems.loss(problem.equation, found, source)

        self.function = jax.jit(jax.value_and_grad(loss))

    def call(self) -> None:
        self.found = jax.block_until_ready(self.function(*self.arguments))

    def answer(self) -> tuple[float, np.ndarray]:
        value, gradient = self.found
        return float(value), peer_problems.flat([g for pair in gradient for g in pair])
