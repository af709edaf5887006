"""The solver: ways to a solution that take turns, told as events; callbacks answer with requests."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pinn.errors import RecipeError
from pinn.events import Callback, Compiled, Finished, Started, emit
from pinn.portfolio import Turns
from pinn.problem import Problem
from pinn.recipe import Recipe, complete
from pinn.solution import Solution
from pinn.stopwatch import CALLBACKS, ERRORS, Stopwatch, timed
from pinn.way import Events, Requests, Session, Way, stop_of


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
    run = training(problem, complete(recipe, problem), seed, threads, start, checkpoint, stopwatch)
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
    turns, first = Turns(ways, recipe.seconds), ways[0]
    reason = stop_of((yield Started(problem, recipe, seed, first.objective.size, first.objective.points(), recipe.seconds)))
    first.compile()
    reason = stop_of((yield Compiled(session.seconds_compile))) or reason
    while reason is None:
        way = turns.next(session.now)
        if way is None:
            break
        if not way.compiled:
            way.compile()
            reason = stop_of((yield Compiled(way.seconds_compile)))
            if reason is not None:
                break
        reason = yield from way.run(turns.until(session.now))
        with timed(stopwatch, ERRORS):
            turns.measure(way)
        session.leader = turns.leader
    solution = turns.leader.solution(reason or turns.leader.ended or "")
    yield Finished(solution)
    return solution
