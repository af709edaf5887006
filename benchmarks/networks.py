"""Every kind of network in one equation: loss and gradient, compiled, beside dgemm and beside a plain MLP.  See README.md."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from measuring import RESULTS, alternate, cores, machine, measure, pin, repeats, spread, table
from peer_jetspace import burgers
from threadpoolctl import threadpool_limits

import autodiff as ad
from pinn import (
    MLP,
    Box,
    Dirichlet,
    FourierFeatures,
    GatedMLP,
    Initial,
    PirateNet,
    Problem,
    RandomFeatures,
    RandomFourierFeatures,
    Recipe,
    Separable,
    Sum,
    Time,
)
from pinn.imposition import impose
from pinn.objective import Objective
from pinn.supply import Supply

NETWORKS = {
    "MLP((64, 64, 64, 64))": MLP((64,) * 4),
    "MLP((64, 64, 64, 64), activation='swish')": MLP((64,) * 4, activation="swish"),
    "MLP((64, 64, 64, 64), activation='sin', frequency=30), a SIREN": MLP((64,) * 4, activation="sin", frequency=30),
    "MLP((30, 30, 30)), the default": MLP((30,) * 3),
    "FourierFeatures(MLP((64, 64, 64, 64)), (1, 2, 4))": FourierFeatures(MLP((64,) * 4), (1, 2, 4)),
    "RandomFourierFeatures(MLP((64, 64, 64, 64)), count=32)": RandomFourierFeatures(MLP((64,) * 4), 32),
    "GatedMLP((64, 64, 64, 64))": GatedMLP((64,) * 4),
    "PirateNet(width=64, depth=2)": PirateNet(width=64, depth=2),
    "Separable(MLP((64, 64, 64)), rank=16)": Separable(MLP((64,) * 3), rank=16),
    "RandomFeatures(800)": RandomFeatures(800),
    "Sum((MLP((30, 30, 30)), RandomFeatures(400)))": Sum((MLP((30,) * 3), RandomFeatures(400))),
}  # fmt: skip
POINTS, N = 4096, 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="alternating rounds, at least 7")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for networks.md")
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("--rounds must be at least 7")
    report(options)


def report(options: argparse.Namespace) -> None:
    """Check, measure in alternating rounds, print and write a table."""
    pin(cores()[-1:])
    problem = Problem("u", Box(x=(-1, 1)) * Time(t=(0, 1)), [burgers],
                      [Initial(u=lambda x: -np.sin(np.pi * x)), Dirichlet(u=0)])
    stated = {name: objective(problem, network) for name, network in NETWORKS.items()}
    for name, (one, supply, theta) in stated.items():
        check(name, one, supply, theta)
    square = np.random.default_rng(0).normal(size=(N, N))
    calls = {"dgemm": lambda: square @ square,
             **{name: partial(one.loss_and_gradient, theta) for name, (one, _, theta) in stated.items()}}
    with threadpool_limits(1):
        counts = {name: repeats(call, 0.05) for name, call in calls.items()}
        series = dict(zip(calls, alternate([partial(measure, call, counts[name]) for name, call in calls.items()],
                                           options.rounds), strict=True))
    rows, plain = [], next(iter(NETWORKS))
    for name, (one, _, theta) in stated.items():
        flops = POINTS * one.patches[0].program.gemm_flops()
        share = series["dgemm"].ratio(series[name], "cpu") * flops / (2 * N**3)
        rows.append([name, f"{theta.size:,}", f"{flops / 1e6:,.0f}", f"{1e3 * series[name].median('wall'):.2f}", spread(share),
                     spread(series[name].ratio(series[plain], "cpu"))])
    lines = ["# Networks: loss and gradient of Burgers' equation, compiled", "", *machine(),
             f"- {POINTS:,} points, float64, one thread, conditions built in; {options.rounds} alternating rounds, medians, "
             "quartiles in brackets; ratios of CPU time of the thread",
             "- checked first: the loss against the interpreter to 1e-12, the gradient along a direction against differences "
             "of the interpreter's loss to 1e-6",
             "- counted are the products of matrices that the plan executes; the rest (sines, gates, products of jets) is "
             "time, too", "",
             *table(["network", "weights", "MFLOP in products", "ms", "their rate / dgemm", "time / the first"], rows)]
    print("\n".join(lines))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "networks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def objective(problem: Problem, network) -> tuple[Objective, Supply, np.ndarray]:
    """The objective of a problem with a network, its fields, and weights that are not zero anywhere."""
    recipe = Recipe(network=network, points=POINTS, impose="exact", weighting=1.0)
    rng = np.random.default_rng(0)
    supply = Supply(problem, network, impose(problem))
    theta = supply.initial(rng)
    return Objective.of(problem, supply, recipe, rng, 1), supply, theta + 0.01 * rng.normal(size=theta.size)


def check(name: str, one: Objective, supply: Supply, theta: np.ndarray) -> None:
    """Raises SystemExit where a kernel and the interpreter do not agree."""
    loss, gradient = one.loss_and_gradient(theta)
    direction = np.random.default_rng(1).normal(size=theta.size)
    direction /= np.linalg.norm(direction)
    h = 1e-5
    there, above, below = (interpreted(one, supply, theta + step * direction) for step in (0.0, h, -h))
    slope = float(gradient @ direction)
    if abs(loss - there) > 1e-12 * abs(there) or abs((above - below) / (2 * h) - slope) > 1e-6 * np.linalg.norm(gradient):
        raise SystemExit(f"{name}: kernel {loss}, {slope}; interpreter {there}, {(above - below) / (2 * h)}")


def interpreted(one: Objective, supply: Supply, theta: np.ndarray) -> float:
    """The loss by the interpreter."""
    patch, cloud = one.patches[0], one.clouds[0]
    table_ = patch.table(cloud)
    symbols = {column.node: table_[:, i].copy() for i, column in enumerate(patch.columns)}
    values = ad.evaluate([residual.node for residual in patch.residuals], symbols, {"theta": theta}, cloud.count)
    return float(sum(weight * (cloud.weights @ np.asarray(value) ** 2)
                     for weight, value in zip(one.weights[0], values, strict=True)))


if __name__ == "__main__":
    main()
