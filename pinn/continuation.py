"""Continuation: a hard problem by way of easier ones, each begun from the solution of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pinn.archive import save_solution
from pinn.errors import NumericsError, RecipeError
from pinn.events import Callback, Event, Finished, Progress, Request, StageEnded, Started, Stop, emit
from pinn.history import History, joined
from pinn.problem import Problem
from pinn.recipe import Recipe, complete, positive
from pinn.run import named, write_plots
from pinn.solution import Solution
from pinn.solver import train

FIX = "curriculum(problem, [10, 20, 30], Recipe(stages=[Adam(), SSBroyden()]), seconds=60), where problem(10) is a Problem"


def curriculum(
    build: Callable[[Any], Problem], values: Iterable[Any], recipe: Recipe | None = None, *, enough: float = 1e-4,
    seconds: float | None = None, seed: int = 0, threads: int | None = None, callbacks: Sequence[Callback] = (),
) -> Solution:  # fmt: skip
    """The solution of `build(values[-1])`, from those of all values before it: a curriculum in one parameter.

    Krishnapriyan, Gholami, Zhe, Kirby & Mahoney 2021, NeurIPS 34, section 5.1, with values as 10, 20, 30 for the speed of a
    convection that cannot be learned at once.  The first problem is solved from random weights; each of the others begins from
    the weights of the one before, with the last of the stages, as first stages only lead into a valley.  Numbers of an equation
    are part of its kernels: every value compiles its own, in time that is no time of training.

    Every value has an equal share of the `seconds` that are left; all but the last are over, too, when the loss is `enough` of
    what it was at their start.  Of several ways the first is gone, and only the last solution is polished.  Callbacks see one
    run; stages are named after the values.  Raises RecipeError for what cannot be a curriculum, NumericsError where it is
    stopped before the last value, and what `solve` raises.
    """
    problems = stated(build, values)
    positive(enough, "the share of the loss that is enough", "curriculum(..., enough=1e-4)")
    if seconds is not None:
        recipe = replace(recipe or Recipe(), seconds=seconds)
    whole = complete(recipe, problems[0][1])
    if whole.march is not None:
        raise RecipeError("a curriculum cannot march", fix=FIX,
                          why="a march has a network for every slab, and none to begin from")
    lesson = replace(whole.each[0], ways=None, polish=False, seconds=whole.seconds)
    history, spent, compiling, taken, before, reason = History(), 0.0, 0.0, 0.0, None, None
    for k, (value, problem) in enumerate(problems):
        is_last = k == len(problems) - 1
        left = None if whole.seconds is None else max((whole.seconds - spent) / (len(problems) - k), 1e-3)
        own = replace(lesson, seconds=left, polish=whole.polish if is_last else False,
                      tolerance=whole.tolerance if is_last else max(enough, whole.tolerance or 0.0))
        if before is not None:
            own = replace(own, stages=(lesson.stages or ())[-1:])
        tell = Telling(callbacks, name_of(value), spent, whole.seconds, k == 0, is_last)
        before = train(problem, own, seed=seed, threads=threads, callbacks=[tell],
                       start=None if before is None else before.weights)
        history = joined(history, replace(before.history, stage=[f"{tell.name}, {one}" for one in before.history.stage]))
        spent += float(before.history.seconds[-1]) if len(before.history) else 0.0
        compiling, taken, reason = compiling + before.seconds_compile, taken + before.seconds, tell.stopped
        if reason is not None and not is_last:
            raise NumericsError(f"the curriculum was stopped at {tell.name}", why=reason, code="curriculum",
                                fix="give it more seconds, or fewer values")
    assert before is not None
    problem, origin = named(before.problem)
    if whole.seconds is not None and reason is None and spent >= whole.seconds:
        before = replace(before, stop_reason=f"time budget of {whole.seconds:g} s used up")
    solution = replace(before, problem=problem, history=history, seconds=taken, seconds_compile=compiling, origin=origin,
                       steps=int(history.iteration[-1]) if len(history) else before.steps, gallery=write_plots,
                       saver=save_solution)
    emit(Finished(solution), callbacks)
    return solution


class Telling:
    """A callback that tells others of one lesson as a part of the whole run; `stopped` is why one of them would stop it all."""

    def __init__(self, callbacks: Sequence[Callback], name: str, spent: float, budget: float | None, first: bool, last: bool):
        self.callbacks, self.name, self.spent, self.budget = callbacks, name, spent, budget
        self.first, self.last = first, last
        self.stopped: str | None = None

    def __call__(self, event: Event) -> Request | None:
        if isinstance(event, Finished) or (isinstance(event, Started) and not self.first):
            return None
        if isinstance(event, Progress):
            event = replace(event, stage=f"{self.name}, {event.stage}", seconds=self.spent + event.seconds,
                            budget_seconds=self.budget)
        elif isinstance(event, StageEnded):
            event = replace(event, stage=f"{self.name}, {event.stage}")
        elif isinstance(event, Started):
            event = replace(event, budget_seconds=self.budget)
        requests = emit(event, self.callbacks)
        stop = next((request for request in requests if isinstance(request, Stop)), None)
        if stop is not None:
            self.stopped = stop.reason
            return stop
        return next(iter(requests), None)


def stated(build: Callable[[Any], Problem], values: Iterable[Any]) -> list[tuple[Any, Problem]]:
    """Every value with its problem; all have the same unknowns and coordinates.  Raises RecipeError."""
    if not callable(build):
        raise RecipeError(f"{build!r} makes no problems", why="a curriculum needs a function of its parameter", fix=FIX)
    listed = list(values) if isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str) else []
    if not listed:
        raise RecipeError(f"the values of the curriculum are {values!r}", why="they are a list of at least one", fix=FIX)
    problems = [(value, build(value)) for value in listed]
    for value, problem in problems:
        if not isinstance(problem, Problem):
            raise RecipeError(f"for {value} no Problem is made but a {type(problem).__name__}", fix=FIX,
                              why="a curriculum needs a function that returns one")
        first = problems[0][1]
        shapes = [(one.unknowns, one.domain.coordinates, one.domain.periodic) for one in (first, problem)]
        if shapes[0] != shapes[1]:
            raise RecipeError(f"the problem for {value} has other unknowns or coordinates than that for {problems[0][0]}",
                              why="one network goes through all of them", fix="change only numbers from value to value")
    return problems


def name_of(value: Any) -> str:
    """A value in a few letters."""
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)
