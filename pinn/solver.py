"""The solver: ways to a solution that take turns, told as events; callbacks answer with requests."""

from __future__ import annotations

import itertools
import numbers
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import autodiff as ad
from pinn.errors import NumericsError, RecipeError
from pinn.events import Callback, Compiled, Finished, Progress, StageEnded, Started, emit
from pinn.history import History, joined
from pinn.march import March, name_of
from pinn.polish import Correction
from pinn.portfolio import Turns
from pinn.problem import Problem, edges
from pinn.recipe import Polish, Recipe, complete
from pinn.solution import Solution
from pinn.stepping import Stepping
from pinn.stopwatch import CALLBACKS, ERRORS, Stopwatch, timed
from pinn.way import Events, Requests, Session, Way, solution_of_march, stop_of

RESERVE, LONGEST = 0.05, 10.0  # of the time, and seconds, that are kept for a last correction


def available_threads() -> int:
    """The number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train(
    problem: Problem, recipe: Recipe | None = None, *, seconds: float | None = None, seed: int = 0, threads: int | None = None,
    callbacks: Sequence[Callback] = (), start: np.ndarray | None = None,
    checkpoint: Callable[[Solution], Any] | None = None, stopwatch: Stopwatch | None = None,
) -> Solution:  # fmt: skip
    """Solve a problem: the stages of `recipe` for at most `seconds` of training, from `start` `(size,)` or a fresh network.

    Every event goes to every callback; `checkpoint` receives the solution so far when one asks for it; a `stopwatch` shows
    afterwards where the time went.  Raises RecipeError, ProblemError and NumericsError before the first step; afterwards
    numbers that are not finite end a stage, never the run.
    """
    threads = available_threads() if threads is None else threads
    for said, least, name in ((threads, 1, "threads"), (seed, 0, "seed")):
        if not isinstance(said, numbers.Integral) or isinstance(said, bool) or said < least:
            raise RecipeError(f"{name}={said!r} cannot be", why=f"it is a whole number from {least}", fix=f"{name}={least}")
    if not isinstance(callbacks, Sequence) or not all(callable(one) for one in callbacks):
        raise RecipeError(f"callbacks are {callbacks!r}", why="they are functions of an event, in a list",
                          fix="callbacks=[print]")
    if seconds is not None:
        recipe = replace(recipe or Recipe(), seconds=seconds)
    whole = complete(recipe, problem)
    run = (training if whole.march is None else marching)(problem, whole, seed, threads, start, checkpoint, stopwatch)
    return driven(run, callbacks, stopwatch)


def driven(run: Events, callbacks: Sequence[Callback], stopwatch: Stopwatch | None = None) -> Solution:
    """What a run returns, its events shown to all callbacks and their requests sent back."""
    # The threads of the kernels are the only ones: those of BLAS spin, and what is left for BLAS here is small.
    with threadpool_limits(1, "blas"):
        requests: Requests | None = None
        while True:
            try:
                event = run.send(requests)
            except StopIteration as end:
                return end.value
            with timed(stopwatch, CALLBACKS):
                requests = emit(event, callbacks)


def training(
    problem: Problem, recipe: Recipe, seed: int, threads: int, start: np.ndarray | None,
    checkpoint: Callable[[Solution], Any] | None, stopwatch: Stopwatch | None,
) -> Events:  # fmt: skip
    """One run as a generator: yields events, is sent requests, returns the solution."""
    session = Session(problem, recipe.seconds, seed, threads, stopwatch, checkpoint)
    generator = np.random.default_rng(seed)
    ways = [Way(session, one, tuple(generator.spawn(3)), start if k == 0 else None) for k, one in enumerate(recipe.each)]
    correction = None
    if isinstance(recipe.polish, Polish):
        correction = Correction(session, recipe.polish, ways[0].supply.imposition, generator.spawn(1)[0])
    reserve = 0.0 if correction is None or recipe.seconds is None else min(RESERVE * recipe.seconds, LONGEST)
    turns, first = Turns(ways, recipe.seconds, reserve), ways[0]
    reason = stop_of((yield Started(problem, recipe, seed, first.objective.size, first.objective.points(), recipe.seconds)))
    # the kernels of later ways are compiled beside, where there is a processor for it
    spare = threads > 1 and available_threads() > 1
    ahead = ad.compile_ahead([])
    if correction is not None and start is None and reason is None:
        reason = yield from correction.open(turns)
        reason = reason or correction.ended(turns)
    stepping = None
    if correction is not None and correction.lost(turns):
        stepping = Stepping(session, recipe, correction.polish, turns, generator.spawn(1)[0])
    if reason is None or correction is None or correction.found is None:
        ahead = ad.compile_ahead([kernel for way in ways[1:] for kernel in way.kernels()] if spare else [])
        first.compile()
        reason = stop_of((yield Compiled(session.seconds_compile))) or reason
    while reason is None:
        way = turns.next(session.now)
        if way is None and (stepping is None or stepping.over or session.now >= turns.seconds):
            break
        if way is not None and not way.compiled:
            session.idle(ahead.wait)
            way.compile()
            reason = stop_of((yield Compiled(way.seconds_compile)))
            if reason is not None:
                break
        if way is not None:
            reason = yield from way.run(turns.until(session.now))
            if len(ways) > 1 or correction is not None:
                with timed(stopwatch, ERRORS):
                    turns.measure(way)
            session.leader = turns.leader
        if stepping is not None and reason is None and (stepping.due(turns) or way is None):
            reason = yield from stepping.turn()
            reason = reason or stepping.ended(turns)
        if correction is not None and reason is None and correction.due(turns, closing=False):
            reason = yield from correction.again(turns, closing=False)
            reason = reason or correction.ended(turns)
    ahead.stop()
    ended = reason or (turns.leader.ended if session.now < turns.seconds else None)
    ended = ended or f"time budget of {session.seconds:g} s used up" if session.seconds is not None else ended
    if correction is not None and reason is None and correction.due(turns, closing=True):
        reason = yield from correction.again(turns, closing=True)
        ended = reason or correction.ended(turns) or ended
    if stepping is not None and stepping.reached < min(turns.reached, np.inf if correction is None else correction.reached):
        solution = stepping.solution(ended or "")
    elif correction is not None and correction.found is not None and correction.reached < turns.reached:
        solution = correction.solution(turns, ended or "")
    else:
        solution = turns.leader.solution(ended or "")
    yield Finished(solution)
    return solution


def marching(
    problem: Problem, recipe: Recipe, seed: int, threads: int, start: np.ndarray | None,
    checkpoint: Callable[[Solution], Any] | None, stopwatch: Stopwatch | None,
) -> Events:  # fmt: skip
    """A run slab by slab, each a run of its own with an equal share of the time that is left."""
    begun = time.perf_counter()
    if start is not None:
        raise RecipeError("a march cannot be taken up again", why="every slab begins from the end of the one before, "
                          "so changing one changes all that follow", fix="solve it anew, with more seconds")
    moments = edges(problem, recipe.march or 1)
    march = March(problem, recipe.impose, moments)
    parts: list[Solution] = []
    history, trained, reason = History(), 0.0, None
    for k, (low, high) in enumerate(itertools.pairwise(moments)):
        name = name_of(problem, low, high)
        left = None if recipe.seconds is None else max((recipe.seconds - trained) / (len(moments) - 1 - k), 1e-3)
        run = training(march.next(), replace(recipe, seconds=left, march=None), seed, threads, None, None, stopwatch)
        requests: Requests | None = None
        last = 0.0
        while True:
            event = run.send(requests)
            requests = None
            if type(event) is Finished:
                break
            if type(event) is Started:
                event = replace(event, problem=problem, recipe=recipe, budget_seconds=recipe.seconds)
            elif type(event) is Progress:
                last = event.seconds
                event = replace(event, stage=f"{name}, {event.stage}", seconds=trained + event.seconds,
                                budget_seconds=recipe.seconds)
            elif type(event) is StageEnded:
                event = replace(event, stage=f"{name}, {event.stage}")
            if k == 0 or type(event) is not Started:
                requests = yield event
                reason = stop_of(requests) or reason
        part = event.solution
        trained += last
        parts.append(part)
        history = joined(history, replace(part.history, stage=[f"{name}, {stage}" for stage in part.history.stage]))
        march.add(part.supply, part.weights)
        if reason is not None and k < len(moments) - 2:
            raise NumericsError(f"the march was stopped at {problem.domain.time} = {high:g}", why=reason, code="march",
                                fix="give it more seconds, or fewer slabs")
    with timed(stopwatch, ERRORS):
        size = np.array([b - a for a, b in itertools.pairwise(moments)]) / (moments[-1] - moments[0])
        solution = solution_of_march(
            march, parts[-1].recipe, seed, threads, history, parts[-1].stop_reason,
            float(np.sqrt(size @ [part.residual_rms**2 for part in parts])), float(size @ [part.loss for part in parts]),
            time.perf_counter() - begun, sum(part.seconds_compile for part in parts), sum(part.steps for part in parts),
            {name: sum(part.points.get(name, 0) for part in parts) for name in parts[0].points})
    yield Finished(solution)
    return solution
