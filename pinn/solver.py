"""The solver: stages of optimizers on one objective, told as events; callbacks answer with requests."""

from __future__ import annotations

import numbers
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pinn.adaptive import Adaptive
from pinn.errors import NumericsError, RecipeError
from pinn.events import (
    Callback,
    Checkpoint,
    Compiled,
    Event,
    Finished,
    Progress,
    Request,
    Resample,
    StageEnded,
    Started,
    Stop,
    emit,
)
from pinn.history import History, Row
from pinn.objective import Objective
from pinn.optimizers import Optimizer, State
from pinn.problem import Problem
from pinn.profile import TimedOptimizer, watched
from pinn.recipe import Recipe, Stage, complete
from pinn.sampling import Cloud, sample
from pinn.solution import Solution, dense_points, errors_at, evaluate_exact
from pinn.stopwatch import BUILD, CALLBACKS, COMPILE, ERRORS, RESULTS, SAMPLING, Stopwatch, timed
from pinn.supply import Supply

PROBE = 2_000          # points at which errors are watched during training
WATCH_SHARE = 0.02     # of the time, for watching them
WATCH_EVERY = 2.0      # seconds, at least
STUCK_ROUNDS = 3       # fresh clouds in a row on which an optimizer stops at once
STUCK_STEPS = 20
SETTLED_ROUNDS = 20    # fresh clouds in a row on which the residual is no smaller than before
SETTLED_GAIN = 0.9
FELT = 0.05             # of the gradient: as much rounding to float32 sends a mixed stage on in float64
FELT_EVERY = 25         # iterations, at least, between two looks at it

Requests = tuple[Request, ...]
Events = Generator[Event, Requests | None, Any]


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


@dataclass(frozen=True, eq=False)
class Session:
    """What stays the same during one run.  `clock` says when training began, `deadline` when it has to end."""

    problem: Problem
    supply: Supply
    recipe: Recipe
    seed: int
    threads: int
    rng: np.random.Generator
    begun: float
    seconds_compile: float
    clock: float
    deadline: float
    first_loss: float
    probe: Probe
    rows: list[Row]
    stopwatch: Stopwatch | None = None

    def solution(self, objective: Objective, theta: np.ndarray, steps: int, reason: str) -> Solution:
        """The solution at `theta`, measured."""
        with timed(self.stopwatch, ERRORS):
            return self._measured(objective, theta, steps, reason)

    def _measured(self, objective: Objective, theta: np.ndarray, steps: int, reason: str) -> Solution:
        problem, supply = self.problem, self.supply
        return Solution(
            problem=problem, recipe=self.recipe, supply=supply, weights=theta, seed=self.seed, threads=self.threads,
            history=History.from_rows(self.rows), stop_reason=reason,
            errors=errors_at(problem, supply, theta, dense_points(problem)),
            residual_rms=residual_rms(objective, theta, self.recipe, np.random.default_rng([self.seed, 1])),
            loss=objective.loss_and_gradient(theta)[0], seconds=time.perf_counter() - self.begun,
            seconds_compile=self.seconds_compile, steps=steps, points=objective.points())


class Probe:
    """Relative L2 errors on a small grid, as often as a small share of the time allows."""

    def __init__(self, problem: Problem, supply: Supply):
        self.problem, self.supply = problem, supply
        self.points = dense_points(problem, PROBE)
        self.exact = evaluate_exact(problem, self.points)
        self.due = 0.0

    def look(self, theta: np.ndarray, seconds: float, insist: bool = False) -> dict[str, float]:
        """The errors by unknown, {} where they are not known or not due."""
        if self.exact is None or (seconds < self.due and not insist):
            return {}
        start = time.perf_counter()
        found = errors_at(self.problem, self.supply, theta, self.points, self.exact)
        self.due = seconds + max(WATCH_EVERY, (time.perf_counter() - start) / WATCH_SHARE)
        return {name: errors["relative_l2"] for name, errors in found.items()}


def training(
    problem: Problem, recipe: Recipe, seed: int, threads: int, start: np.ndarray | None,
    checkpoint: Callable[[Solution], Any] | None, stopwatch: Stopwatch | None,
) -> Events:  # fmt: skip
    """One run as a generator: yields events, is sent requests, returns the solution."""
    begun = time.perf_counter()
    weights_rng, cloud_rng, fresh_rng = np.random.default_rng(seed).spawn(3)
    with timed(stopwatch, BUILD):
        supply = Supply(problem, recipe.network, recipe.impose or "penalty")
        objective = watched(Objective.of(problem, supply, recipe, cloud_rng, threads, stopwatch), stopwatch)
    theta = supply.initial(weights_rng) if start is None else np.array(start, float)
    if theta.shape != (objective.size,):
        raise RecipeError(f"the start has {theta.size} parameters, the network {objective.size}",
                          why="a run is resumed with the network that it began with", fix="give the same recipe, or start anew")
    reason = stop_of((yield Started(problem, recipe, seed, objective.size, objective.points(), recipe.seconds)))
    before = time.perf_counter()
    with timed(stopwatch, COMPILE):
        objective.check(theta)
        objective = objective.balanced(recipe, theta)
        # one step of every optimizer, thrown away, compiles whatever it asks for
        for stage in recipe.stages or ():
            for dtype in recipe.dtypes(stage):
                typed = objective.with_dtype(dtype)
                stage.optimizer.step(typed, stage.optimizer.init(typed, theta))
        if recipe.adaptive is not None and recipe.stages:
            for dtype in recipe.dtypes(recipe.stages[-1]):
                objective.with_dtype(dtype).compile_residuals()
    clock = time.perf_counter()
    first_loss = objective.loss_and_gradient(theta)[0]
    session = Session(problem, supply, recipe, seed, threads, fresh_rng, begun, clock - before, clock,
                      clock + (recipe.seconds or np.inf), first_loss, Probe(problem, supply), [], stopwatch)
    reason = stop_of((yield Compiled(session.seconds_compile))) or reason
    steps, ended = 0, ""
    for index, stage in enumerate(recipe.stages or ()):
        if reason is not None:
            break
        taken = Stint(session, stage, index, checkpoint, steps)
        objective, theta, steps, ended, reason = yield from taken.run(objective, theta)
        reason = stop_of((yield StageEnded(stage.name, ended))) or reason
    solution = session.solution(objective, theta, steps, reason or ended)
    yield Finished(solution)
    return solution


class Stint:
    """One stage of one run: the only thing here that changes, and only while it runs."""

    def __init__(self, session: Session, stage: Stage, index: int, checkpoint: Callable[[Solution], Any] | None, steps: int):
        self.session, self.stage, self.checkpoint, self.before = session, stage, checkpoint, steps
        now = time.perf_counter()
        ends = [session.deadline]
        if stage.seconds is not None:
            ends.append(now + stage.seconds)
        if stage.share is not None and np.isfinite(session.deadline):
            ends.append(now + stage.share * (session.deadline - now))
        self.deadline = min(ends)
        self.limit = stage.iterations if stage.iterations is not None else np.iinfo(np.int64).max
        self.goal = (session.recipe.tolerance or 0.0) * session.first_loss
        # a short first stage only finds the valley; fresh points are for the stages that settle in it
        last = index == len(session.recipe.stages or ()) - 1
        self.dtypes, self.looked = session.recipe.dtypes(stage), 0
        self.adaptive: Adaptive | None = session.recipe.adaptive if last else None
        self.settled = Settled()

    def run(self, objective: Objective, theta: np.ndarray) -> Events:
        """Step until something ends the stage: (objective, best theta, steps so far, its reason, the reason to stop it all)."""
        session, clock = self.session, time.perf_counter
        optimizer: Optimizer = self.stage.optimizer
        if session.stopwatch is not None:
            optimizer = TimedOptimizer(optimizer, session.stopwatch)
        if objective.dtype not in self.dtypes:
            objective = objective.with_dtype(self.dtypes[0])
        coarse = objective.dtype != self.dtypes[-1]
        try:
            state = optimizer.init(objective, theta)
        except NumericsError as error:
            return objective, theta, self.before, f"{self.stage.name} cannot begin: {error.what}", None
        best = state
        step, deadline, goal, limit = optimizer.step, self.deadline, self.goal, self.limit
        every = self.adaptive.every if self.adaptive is not None else 0
        iteration, renewed, due = 0, 0, 0.0
        ended = whole = None
        while ended is None:
            # -- the inner loop: nothing here but the optimizer, a clock and comparisons
            if state.stop is None:
                state = step(objective, state)
                iteration += state.stop is None
                if state.loss < best.loss:
                    best = state
            now = clock()
            if best.loss <= goal:
                ended = whole = f"loss {best.loss:.3g} is {session.recipe.tolerance:.0e} of the first"
            elif iteration >= limit:
                ended = f"{iteration:,d} iterations done"
            elif now >= deadline:
                ended = f"its {deadline - clock():.3g} s are used up" if deadline < session.deadline else "time"
            elif state.stop is not None and not every and not coarse:
                ended = state.stop
            renew = every and ended is None and (state.stop is not None or iteration - renewed >= every)
            if now < due and ended is None and not renew and state.stop is None:
                continue
            # -- from here on: now and then
            if ended == "time":
                ended = whole = f"time budget of {session.recipe.seconds:g} s used up"
            elif deadline < session.deadline and now >= deadline:
                ended = "its share of the time is used up"
            seconds = now - session.clock
            event = self._progress(objective, best, iteration, seconds, ended is not None)
            due = now + min(max(0.1, seconds / 600), 0.5)
            requests = yield event
            for request in requests or ():
                if isinstance(request, Stop):
                    ended, whole = request.reason, request.reason
                elif isinstance(request, Resample):
                    renew = True
                elif isinstance(request, Checkpoint) and self.checkpoint is not None:
                    solution = session.solution(objective, best.theta, self.before + iteration, "running")
                    with timed(session.stopwatch, RESULTS):
                        self.checkpoint(solution)
            if coarse and ended is None and (state.stop is not None or self._felt(objective, state, iteration)):
                objective, coarse = objective.with_dtype(self.dtypes[-1]), False
                renew = renew and state.stop is None
                state, best = refined(optimizer, objective, state, best)
            if renew and ended is None:
                stopped = state.stop
                ended = self.settled.judge(iteration - renewed, stopped)
                if ended is None:
                    with timed(session.stopwatch, SAMPLING):
                        objective, size = self._renew(objective, best.theta)
                    ended = self.settled.watch(size)
                    state = optimizer.carry(objective, best if stopped is not None else state)
                    best, renewed = state, iteration
        return objective, best.theta, self.before + iteration, ended, whole

    def _progress(self, objective: Objective, best: State, iteration: int, seconds: float, insist: bool) -> Progress:
        session, stage = self.session, self.stage
        with timed(session.stopwatch, ERRORS):
            errors = session.probe.look(best.theta, seconds, insist)
        terms = objective.terms(best.theta)
        event = Progress(stage.name, iteration, stage.iterations, best.loss, terms, errors, seconds, session.recipe.seconds,
                         best.theta)
        session.rows.append(Row(event.stage, self.before + iteration, seconds, best.loss, terms, errors))
        return event

    def _felt(self, objective: Objective, state: State, iteration: int) -> bool:
        """Whether the gradient of a state, computed in a coarse type, differs from that in the last type of the stage."""
        if iteration - self.looked < FELT_EVERY:
            return False
        self.looked = iteration
        _, gradient = objective.with_dtype(self.dtypes[-1]).loss_and_gradient(state.theta)
        return not np.linalg.norm(state.gradient - gradient) <= FELT * np.linalg.norm(gradient)

    def _renew(self, objective: Objective, theta: np.ndarray) -> tuple[Objective, float]:
        """The objective on fresh points of the interior, and the root mean square of its residual on an even cloud."""
        session, adaptive = self.session, self.adaptive or Adaptive()
        clouds, total = list(objective.clouds), 0.0
        for index, patch in enumerate(objective.patches):
            if not patch.is_interior:
                continue
            fresh = sample(patch.region, max(adaptive.candidates, clouds[index].count), session.recipe.sampling, session.rng)
            size = objective.size_of_residual(index, theta, fresh)
            total += float(fresh.weights @ size**2)
            clouds[index] = adaptive.choose(fresh, size, clouds[index].count, session.rng)
        return objective.with_clouds(clouds), float(np.sqrt(total))


class Settled:
    """Whether fresh points still help: an optimizer that stops on each at once, or a residual that no longer falls."""

    def __init__(self) -> None:
        self.stuck, self.stale, self.least = 0, 0, np.inf

    def judge(self, steps: int, stopped: str | None) -> str | None:
        """The reason to end, after `steps` on one cloud that ended with the optimizer's own stop or with none."""
        self.stuck = self.stuck + 1 if stopped is not None and steps < STUCK_STEPS else 0
        return f"{stopped} (on {self.stuck} fresh clouds of points)" if self.stuck >= STUCK_ROUNDS else None

    def watch(self, size: float) -> str | None:
        """The reason to end, given the residual on a cloud that was never trained on."""
        if size < SETTLED_GAIN * self.least:
            self.least, self.stale = size, 0
            return None
        self.stale += 1
        if self.stale < SETTLED_ROUNDS:
            return None
        return f"residual on fresh points no longer falls: {self.least:.3g} was the least, {self.stale} clouds ago"


def refined(optimizer: Optimizer, objective: Objective, state: State, best: State) -> tuple[State, State]:
    """A state and the best one, carried to an objective that computes more exactly: the lower of both is the best there."""
    loss, gradient = objective.loss_and_gradient(best.theta)
    best = replace(best, loss=loss, gradient=gradient, stop=None)
    state = optimizer.carry(objective, state)
    return state, state if state.loss <= best.loss else best


def stop_of(requests: Requests | None) -> str | None:
    """The reason of the first request to stop, if there is one."""
    return next((request.reason for request in requests or () if isinstance(request, Stop)), None)


def residual_rms(objective: Objective, theta: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> float:
    """The root mean square of the equations' residuals, unweighted, on fresh points of the interior."""
    total = 0.0
    for patch, cloud in zip(objective.patches, objective.clouds, strict=True):
        equations = [k for k, owner in enumerate(patch.owners) if patch.terms[owner].kind == "equation"]
        if equations:
            fresh: Cloud = sample(patch.region, cloud.count, recipe.sampling, rng)
            values = patch.bind(fresh, objective.threads, objective.dtype).residual(theta)[:, equations]
            total += float(fresh.weights @ np.sum(values**2, axis=1))
    return float(np.sqrt(total))
