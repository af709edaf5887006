"""Compiled functions: a training step on digits beside jax.jit, and a PINN by hand beside the solvers' own kernel."""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, Series, alternate, cores, machine, measure, pin, repeats, spread, table
from steps import peer
from threadpoolctl import threadpool_limits
from workloads import Windows, along, mlp

import autodiff as ad

jax, jnp = peer("jax"), peer("jax.numpy")
TOLERANCE = 1e-10
RATE, FIRST, SECOND, TINY = 1e-3, 0.9, 0.999, 1e-8  # Adam: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1
NU = 0.01 / np.pi


# ---- digits: 8 by 8 pixels, ten classes, one hidden layer of tanh, softmax cross entropy, Adam -------------------------------
def start(width: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(64, width)) / 8.0, np.zeros(width), rng.normal(size=(width, 10)) / np.sqrt(width), np.zeros(10)]


def ours(weights: list[np.ndarray]) -> tuple[Callable, Callable]:
    """A training step written with Variables and a tape, compiled; and what the weights are now."""
    w, m, s = ([ad.Variable(k * x) for x in weights] for k in (1.0, 0.0, 0.0))
    count = ad.Variable(0.0)

    @ad.function
    def step(x, one_hot):
        with ad.GradientTape() as tape:
            scores = np.tanh(x @ w[0] + w[1]) @ w[2] + w[3]
            loss = -np.mean(np.sum(one_hot * ad.log_softmax(scores, axis=1), axis=1))
        count.assign_add(1.0)
        for wi, mi, si, g in zip(w, m, s, tape.gradient(loss, w), strict=True):
            mi.assign(FIRST * mi + (1.0 - FIRST) * g)
            si.assign(SECOND * si + (1.0 - SECOND) * g * g)
            wi.assign_sub(RATE * (mi / (1.0 - FIRST**count)) / (np.sqrt(si / (1.0 - SECOND**count)) + TINY))
        return loss

    return step, lambda: [x.numpy() for x in w]


def by_jax(weights: list[np.ndarray]) -> tuple[Callable, Callable]:
    """The same step, functional, under jax.jit with donated buffers; it waits for the loss."""
    state = {"w": [jnp.asarray(x) for x in weights]}
    state |= {k: [jnp.zeros_like(x) for x in state["w"]] for k in "ms"} | {"count": jnp.zeros(())}

    def cross_entropy(w, x, one_hot):
        scores = jnp.tanh(x @ w[0] + w[1]) @ w[2] + w[3]
        return -jnp.mean(jnp.sum(one_hot * jax.nn.log_softmax(scores, axis=1), axis=1))

    def step(state, x, one_hot):
        loss, g = jax.value_and_grad(cross_entropy)(state["w"], x, one_hot)
        count = state["count"] + 1.0
        m = [FIRST * mi + (1.0 - FIRST) * gi for mi, gi in zip(state["m"], g, strict=True)]
        s = [SECOND * si + (1.0 - SECOND) * gi * gi for si, gi in zip(state["s"], g, strict=True)]
        w = [wi - RATE * (mi / (1.0 - FIRST**count)) / (jnp.sqrt(si / (1.0 - SECOND**count)) + TINY)
             for wi, mi, si in zip(state["w"], m, s, strict=True)]  # fmt: skip
        return {"w": w, "m": m, "s": s, "count": count}, loss

    compiled = jax.jit(step, donate_argnums=0)

    def run(x, one_hot):
        nonlocal state
        state, loss = compiled(state, x, one_hot)
        return float(loss)

    return run, lambda: [np.asarray(x) for x in state["w"]]


def digits(batch: int, width: int, rounds: int) -> list[list[str]]:
    rng = np.random.default_rng(0)
    weights = start(width, rng)
    x, one_hot = rng.uniform(size=(batch, 64)), np.eye(10)[rng.integers(0, 10, batch)]
    makers = {"`ad.function`": ours} | ({"`jax.jit`": by_jax} if jax is not None else {})
    steps, now, seconds = {}, {}, {}
    for name, make in makers.items():
        step, now[name] = make(weights)
        steps[name] = partial(step, x, one_hot)
        began = time.perf_counter()
        steps[name]()
        seconds[name] = time.perf_counter() - began
        for _ in range(4):
            steps[name]()
    reached = [now[name]() for name in makers]
    error = max(float(np.max(np.abs(a - b))) for found in reached for a, b in zip(found, reached[0], strict=True))
    if not error < TOLERANCE:
        raise SystemExit(f"digits: the weights differ by {error:.1e} after five steps; nothing was timed")
    found = dict(zip(steps, alternate([partial(measure, s, repeats(s)) for s in steps.values()], rounds), strict=True))
    mine = found["`ad.function`"]
    return [[f"digits 64-{width}-10, batch {batch}", *row(name, s, mine), f"{seconds[name]:.1f}", f"{error:.0e}"]
            for name, s in found.items()]  # fmt: skip


# ---- Burgers' equation by hand -----------------------------------------------------------------------------------------------
def by_hand(width: int, depth: int) -> Callable:
    """Loss and gradient with nested tapes, for weights [W, b, ...] with layers as rows of inputs times W."""

    def network(weights, x, t):
        h = np.stack([x, t], axis=1)
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            h = np.tanh(h @ W + b)
        return (h @ weights[-2] + weights[-1])[:, 0]

    def loss_and_gradient(weights, x, t):
        with ad.GradientTape() as tape:
            tape.watch(weights)
            with ad.GradientTape() as outer:
                outer.watch(x)
                with ad.GradientTape() as inner:
                    inner.watch([x, t])
                    u = network(weights, x, t)
                u_x, u_t = inner.gradient(u, [x, t])
            loss = np.mean((u_t + u * u_x - NU * outer.gradient(u_x, x)) ** 2)
        return loss, tape.gradient(loss, weights)

    return loss_and_gradient


def burgers(width: int, depth: int, points: int, rounds: int) -> list[list[str]]:
    rng = np.random.default_rng(0)
    sizes = (2, *(width,) * depth, 1)
    weights = [part for i, o in zip(sizes, sizes[1:], strict=False)
               for part in (rng.normal(size=(i, o)) / np.sqrt(i), 0.1 * rng.normal(size=o))]  # fmt: skip
    x, t = rng.uniform(-1.0, 1.0, points), rng.uniform(0.0, 1.0, points)
    arrays = [ad.constant(w) for w in weights], ad.constant(x), ad.constant(t)

    X, T = (ad.Array(ad.symbol(name)) for name in ("x", "t"))
    windows = Windows()
    u = mlp(windows, sizes)(np.stack([X, T]))[0]
    dx, dt = along(X, T)
    # as `pinn` compiles it: u_t - nu u_xx is one channel
    heat = ad.Array(ad.Collapsed([(dx, -NU)], [(dt, 1.0)]).of(u.node))
    program = ad.PointProgram((X, T), (heat + u * ad.Array(dx.of(u.node)),), windows.size)
    bound = program.bind(np.column_stack([x, t]), np.full(points, 1.0 / points))
    theta = np.concatenate([part.T.ravel() for part in weights])

    hand = by_hand(width, depth)
    calls: dict[str, Callable[[], Any]] = {
        "nested tapes, `ad.function(lanes=\"x t\")`": partial(ad.function(hand, lanes="x t"), *arrays),
        "the solvers' kernel": partial(bound.loss_and_gradient, theta),
        "nested tapes, `ad.function`": partial(ad.function(hand), *arrays),
        "nested tapes, eager": partial(hand, *arrays),
    }  # fmt: skip
    found, seconds = {}, {}
    for name, call in calls.items():
        began = time.perf_counter()
        loss, gradient = call()
        seconds[name] = time.perf_counter() - began
        flat = gradient if isinstance(gradient, np.ndarray) else np.concatenate([np.asarray(g).T.ravel() for g in gradient])
        found[name] = np.append(flat, np.sum(loss))
    expected = found["the solvers' kernel"]
    errors = {name: float(np.max(np.abs(f - expected)) / np.max(np.abs(expected))) for name, f in found.items()}
    for name, error in errors.items():
        if not error < TOLERANCE:
            raise SystemExit(f"{name} is {error:.1e} away from the solvers' kernel; nothing was timed")
    series = dict(zip(calls, alternate([partial(measure, c, repeats(c)) for c in calls.values()], rounds), strict=True))
    mine = series["the solvers' kernel"]
    title = f"Burgers 2-[{width}]*{depth}-1, {points} points"
    return [[title, *row(name, s, mine, over=True), f"{seconds[name]:.1f}", f"{errors[name]:.0e}"]
            for name, s in series.items()]  # fmt: skip


def row(name: str, series: Series, mine: Series, over: bool = False) -> list[str]:
    ratio = series.ratio(mine, "wall") if over else mine.ratio(series, "wall")
    return [name, f"{1e3 * series.median('wall'):.3f}", f"{1e3 * series.least('wall'):.3f}", spread(ratio),
            "disturbed" if series.disturbed or mine.disturbed else ""]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="alternating rounds, at least 7")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for function.md")
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("--rounds must be at least 7: a median of fewer says nothing")
    if jax is not None:
        jax.config.update("jax_enable_x64", True)
    options.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1, "blas"):
        report(options)


def report(options: argparse.Namespace) -> None:
    """Measure everything, print it as it comes, write Markdown."""
    allowed = cores()
    pinned = pin(allowed[-1:])
    version = f"jax {importlib.metadata.version('jax')}" if jax is not None else "jax is not installed"
    lines = ["# Functions: what @function makes of Python", "", *machine(), f"- beside it: {version}",
             f"- {options.rounds} alternating rounds; medians, quartiles in brackets; one thread, "
             + (f"pinned to core {allowed[-1]}" if pinned else "not pinned: the system cannot")]  # fmt: skip

    def say(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)

    print("\n".join(lines))
    head = ["program", "by", "ms wall", "ms wall, least", "{}", "", "first call, s", "difference"]
    say("", "## A training step: tape, gradient and Adam in one program", "")
    say(*table([h.format("**ours / this** (target 1)") for h in head],
               [r for batch, width in ((64, 64), (512, 64)) for r in digits(batch, width, options.rounds)]))
    say("", "## Loss and gradient of a residual, by nested tapes", "")
    say(*table([h.format("**this / the solvers' kernel** (target 1.5)") for h in head],
               [r for size in ((20, 3, 4096), (64, 4, 4096)) for r in burgers(*size, options.rounds)]))
    (options.out / "function.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
