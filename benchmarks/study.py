"""How the default recipe was chosen: its parts and all of it, three seeds, equal seconds.  See README.md."""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from measuring import ROOT, machine, table

from pinn import MLP, Adaptive, Polish, Recipe, solve
from pinn.recipe import complete
from pinn.run import find_problem, load_problem

PROBLEMS = ("burgers", "kovasznay", "wave_1d", "reaction", "helmholtz_2d", "sine_gordon")
RECIPES = ("features", "quick way, 3 x 20", "quick way, all points at once", "quick way", "exact way", "both ways", "default")
OUT = ROOT / "results" / "accuracy"


def recipe_of(title: str, name: str) -> tuple:
    """A problem, and the recipe of that title for it."""
    problem, _ = load_problem(find_problem(name))
    whole = complete(None, problem)
    quick, exact = (*whole.ways, None)[:2]
    if title == "quick way, 3 x 20":
        quick = replace(quick, network=MLP((20, 20, 20)))
    if title == "quick way, all points at once":
        quick = replace(quick, resample=Adaptive())
    if title.startswith("quick way"):
        return problem, Recipe(ways=(quick,), polish=False)
    if title == "exact way":
        return problem, Recipe(ways=(exact or quick,), polish=False)
    if title == "both ways":
        return problem, replace(whole, polish=False)
    if title == "features":
        return problem, Recipe(ways=(replace(quick, stages=quick.stages[:1]),), polish=Polish())
    return problem, whole


def one(title: str, name: str, seconds: float, seed: int) -> str:
    """The worst error of a run, and its verdict."""
    problem, recipe = recipe_of(title, name)
    solution = solve(problem, recipe, seconds=seconds, seed=seed, threads=1)
    return f"{max(error['relative_l2'] for error in solution.errors.values()):.1e} {solution.verdict.word}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training, for everybody")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for study.json and study.md")
    parser.add_argument("--fresh", action="store_true", help="measure again what study.json has")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(one(*options.one, options.seconds, options.seeds[0]))
        return
    file = options.out / "study.json"
    runs: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, title, seed in itertools.product(options.only, options.recipes, options.seeds):
        key = f"{name}, {title}, seed {seed}, {options.seconds:g} s"
        if key in runs and not options.fresh:
            continue
        # a process of its own, so that nobody has another's kernels in memory
        command = [sys.executable, __file__, "--one", title, name, "--seconds", str(options.seconds), "--seeds", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs[key] = " ".join((done.stdout.split() or ["nan", "error"])[-2:])
        print(key, runs[key], flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    write(runs, options)


def write(runs: dict[str, str], options: argparse.Namespace) -> None:
    """The table of the runs that there are."""
    told = [
        f"- relative L2, the worst field, after {options.seconds:g} s of training (or earlier, where nothing but rounding is "
        "left), one thread, and the verdict",
        "- features: random features by least squares, then Adam; quick way: Adam, self-scaled Broyden, adaptive points, three "
        "layers of 30 (or 20), from an eighth of 8,192 points on (or on all of them at once); exact way: Levenberg-Marquardt "
        "on a network of sines; default: all of them", ""]  # fmt: skip
    rows = []
    for name, title in itertools.product(PROBLEMS, RECIPES):
        found = [runs.get(f"{name}, {title}, seed {seed}, {options.seconds:g} s", "nan -") for seed in options.seeds]
        errors = [float(one.split()[0]) for one in found]
        if np.isfinite(errors).any():
            rows.append([name, title, *(one.replace(" ", ", ") for one in found), f"{np.median(errors):.1e}"])
    head = ["problem", "recipe", *(f"seed {seed}" for seed in options.seeds), "median"]
    lines = ["# What the default recipe is made of", "", *machine(), *told, *table(head, rows)]
    (options.out / "study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
