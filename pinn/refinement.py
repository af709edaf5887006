"""Refinement: a second network for what a first one has left of the residual, as small and as fast as that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pinn.archive import save_solution
from pinn.errors import ProblemError, RecipeError
from pinn.events import Callback, Compiled, Finished, Started
from pinn.history import joined
from pinn.networks import MLP, Network
from pinn.objective import Patch, patches_of
from pinn.problem import Problem
from pinn.recipe import Recipe, complete
from pinn.run import write_plots
from pinn.sampling import Cloud, sample
from pinn.solution import Solution
from pinn.solver import available_threads, driven
from pinn.supply import Supply, frozen, summed
from pinn.way import Events, Session, Way, solution_of, stop_of

FIX = "refine(solve(problem, seconds=60), seconds=60)"
LINES, BEADS = 24, 129     # lines along each axis on which changes of sign are counted, and points on each
SLOWEST, FASTEST = 2.4, 60.0   # frequencies of the sines of the second network
TINY = 1e-4                # times its first guess the second network is when its share in the residual is measured
WIDTHS = (20, 20, 20)
POINTS = 2048


def refine(
    solution: Solution, recipe: Recipe | None = None, *, seconds: float | None = None, seed: int = 0,
    threads: int | None = None, callbacks: Sequence[Callback] = (),
) -> Solution:  # fmt: skip
    """A second stage: the fields of `solution` plus eps times a second network, trained on what is left of the residual.

    Wang & Lai 2024, J. Comput. Phys. 504, 112865, section 3 (stages for equations).  The second network N is one of sines whose
    frequency is that of the residual r, told by its changes of sign along lines; eps = |r| / |r'(u) N| at its first guess, so
    that N and its weights are of order one however small the error is.  The first network is frozen: its derivatives are
    columns of numbers.  The result is an ordinary solution of the sum of both, and may be refined again.

    `recipe` says how, as for a first solve; of several ways the first is gone, with the last of its stages, and there is no
    polish.  Where nothing lower is found the solution is returned as it was, with a reason that says so.  Raises RecipeError
    and ProblemError for what cannot be refined, and what `solve` raises.

    It pays where more steps of the first network do not: where that has come to its end, and the error is as fast as the
    residual, as for elliptic equations.  An error that is carried along, by a convection, is slower than its residual.
    """
    problem = solution.problem
    if not problem.equations:
        raise ProblemError(f"{problem.name} has no equations", why="its file holds nothing but its fields",
                           fix="load(path, problem=...) with the problem as it was stated")
    if solution.supply.slabs:
        raise RecipeError("a march cannot be refined", why="it has a network for every slab", fix=FIX)
    if seconds is not None:
        recipe = replace(recipe or Recipe(), seconds=seconds)
    whole = complete(recipe, problem)
    own = replace(whole.each[0], ways=None, polish=False, march=None, impose=solution.recipe.impose)
    own = replace(own, network=None if recipe is None else recipe.network, stages=(own.stages or ())[-1:])
    per_field = bool(getattr(solution.supply.network, "per_field", False))
    if own.network is not None and bool(getattr(own.network, "per_field", False)) != per_field:
        raise RecipeError(f"the second network has per_field={not per_field}", why=f"the first has per_field={per_field}",
                          fix=f"MLP((20, 20, 20), per_field={per_field})")
    threads = available_threads() if threads is None else threads
    return driven(refining(solution, own, whole.seconds, per_field, seed, threads), callbacks)


def refining(solution: Solution, recipe: Recipe, seconds: float | None, per_field: bool, seed: int, threads: int) -> Events:
    """One refinement as a generator: yields events, is sent requests, returns the solution."""
    problem, first = solution.problem, solution.supply
    session = Session(problem, seconds, seed, threads)
    rng = np.random.default_rng([seed, 5])
    base = frozen(first, solution.weights)
    network = recipe.network
    if network is None:
        probe = Supply(problem, MLP((1,), per_field=per_field), first.imposition, base)
        fastest = frequency_of(problem, patches_of(probe, replace(recipe, laplacian=None)), np.zeros(probe.layout.size), rng)
        network = MLP(WIDTHS, activation="sin", frequency=fastest, per_field=per_field)
    scale = scale_of(problem, network, first, base, recipe, rng)
    recipe = replace(recipe, network=network)
    supply = Supply(problem, network, first.imposition, base, scale)
    way = Way(session, recipe, tuple(rng.spawn(3)), None, supply)
    reason = stop_of((yield Started(problem, recipe, seed, way.objective.size, way.objective.points(), seconds)))
    way.compile()
    reason = stop_of((yield Compiled(session.seconds_compile))) or reason
    if reason is None:
        reason = yield from way.run(np.inf if seconds is None else seconds)
    ended = reason or way.ended or f"time budget of {session.seconds:g} s used up"
    objective = way.objective.even()
    if objective.loss(way.best) < objective.loss(np.zeros(objective.size)):
        whole, weights = summed(first, solution.weights, supply, way.best, scale)
        loss, terms = objective.loss(way.best), objective.terms(way.best)
        refined = solution_of(session, replace(recipe, network=whole.network), whole, weights, objective, way.best, ended,
                              loss, terms)
        refined = replace(
            refined, origin=solution.origin, history=joined(solution.history, refined.history), gallery=write_plots,
            saver=save_solution, steps=solution.steps + refined.steps, seconds=solution.seconds + refined.seconds,
            seconds_compile=solution.seconds_compile + refined.seconds_compile)
    else:
        refined = replace(solution, stop_reason=f"{solution.stop_reason}; a second network found nothing lower ({ended})")
    yield Finished(refined)
    return refined


def scale_of(problem: Problem, network: Network, first: Supply, base: dict, recipe: Recipe, rng: np.random.Generator) -> float:
    """eps = |r| / |r'(u) N| at the first guess of N, over the equations."""
    supply = Supply(problem, network, first.imposition, base, TINY)
    theta = supply.initial(rng)
    left = added = 0.0
    for patch in patches_of(supply, replace(recipe, laplacian=None)):
        kinds = [k for k, owner in enumerate(patch.owners) if patch.terms[owner].kind == "equation"]
        if kinds:
            cloud = sample(patch.region, POINTS, recipe.sampling, rng)
            before, after = (patch.residuals_at(cloud, one, 1, "float64")[:, kinds] for one in (np.zeros_like(theta), theta))
            left += float(cloud.weights @ np.sum(before**2, axis=1))
            added += float(cloud.weights @ np.sum((after - before) ** 2, axis=1))
    eps = TINY * math.sqrt(left / added) if added > 0 else 0.0
    if not 0.0 < eps < math.inf:
        raise RecipeError(f"the residual that is left is {math.sqrt(left):.3g}", why="there is nothing to be refined",
                          fix="use the solution as it is")
    return eps


def frequency_of(problem: Problem, patches: Sequence[Patch], theta: np.ndarray, rng: np.random.Generator) -> float:
    """The frequency of sines that change their sign as often as the residual does, along the axis where it does so most.

    A sine of angular frequency w changes its sign 2 w / pi times in [-1, 1], which is what a network sees of an axis; of a
    periodic one it sees the circle.  First layers draw up to frequency / inputs for each input.
    """
    inputs = len(problem.domain.coordinates) + len(problem.domain.periodic)
    fastest = 0.0
    bounds = [problem.domain.bounds[name] for name in problem.domain.coordinates]
    low, high = (np.array(ends, float) for ends in zip(*bounds, strict=True))
    for patch in patches:
        if not patch.is_interior:
            continue
        for axis, name in enumerate(problem.domain.coordinates):
            unit = np.repeat(rng.random((LINES, 1, len(low))), BEADS, axis=1)
            unit[:, :, axis] = (np.arange(BEADS) + 0.5) / BEADS
            points = (low + (high - low) * unit).reshape(-1, len(low))
            cloud = Cloud(points, np.full(len(points), 1 / len(points)), None, patch.region, len(points), 1.0)
            signs = np.sign(patch.residuals_at(cloud, theta, 1, "float64").reshape(LINES, BEADS, -1))
            changes = float(np.mean(np.sum(signs[:, 1:] * signs[:, :-1] < 0, axis=1), axis=0).max())
            fastest = max(fastest, changes / 2 if name in problem.domain.periodic else math.pi * changes / 2)
    return float(np.clip(0.5 * inputs * fastest, SLOWEST, FASTEST))
