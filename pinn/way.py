"""One way to a solution: a network, its objective, and stages of optimizers, which may be left and taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from pinn.errors import NumericsError, RecipeError
from pinn.events import Checkpoint, Event, Progress, Request, Resample, StageEnded, Stop
from pinn.history import History, Row
from pinn.imposition import impose_by
from pinn.march import March
from pinn.objective import Objective, Patch, patches_of
from pinn.optimizers import Optimizer, State
from pinn.problem import Problem
from pinn.profile import TimedOptimizer, watched
from pinn.recipe import Recipe, Stage
from pinn.renewal import Renewal
from pinn.sampling import Cloud, sample
from pinn.solution import Solution, dense_points, errors_at, evaluate_exact
from pinn.stopwatch import BUILD, COMPILE, ERRORS, RESULTS, SAMPLING, Stopwatch, timed
from pinn.supply import Supply
from pinn.verdict import judge

PROBE = 2_000          # points at which errors are watched during training
WATCH_SHARE = 0.02     # of the time, for watching them
WATCH_EVERY = 2.0      # seconds, at least
CHEAP = 0.05           # seconds for a look that may be asked for at any time
STUCK_ROUNDS = 3       # fresh clouds in a row on which an optimizer stops at once
STUCK_STEPS = 20
SETTLED_ROUNDS = 20    # fresh clouds in a row on which the residual is no smaller than before
SETTLED_GAIN = 0.9
GROWN_ROUNDS = 10      # of them, after which there are twice as many points, as long as these are not too many
FELT = 0.05             # of the gradient: as much rounding to float32 sends a mixed stage on in float64
RUNNING = "running"    # the reason of what has not ended
LONG = 10.0            # seconds of training that are worth a thorough verdict
FELT_EVERY = 25         # iterations, at least, between two looks at it

Requests = tuple[Request, ...]
Events = Generator[Event, Requests | None, Any]


@dataclass(eq=False)
class Session:
    """What all ways of one run share: the problem, the clock of training, the rows of the history, whom to tell.

    Time that compiling takes is `seconds_compile` and no time of training; `leader` is the way that is ahead.
    """

    problem: Problem
    seconds: float | None
    seed: int
    threads: int
    stopwatch: Stopwatch | None = None
    checkpoint: Callable[[Solution], Any] | None = None
    begun: float = field(default_factory=time.perf_counter)
    seconds_compile: float = 0.0
    rows: list[Row] = field(default_factory=list)
    steps: int = 0
    leader: Way | None = None
    _started: float = np.inf

    @property
    def now(self) -> float:
        """Seconds of training up to now."""
        return max(time.perf_counter() - self._started, 0.0)

    @property
    def end(self) -> float:
        """Seconds of training at which it has to end."""
        return np.inf if self.seconds is None else self.seconds

    def idle(self, wait: Callable[[], Any]) -> None:
        """Wait for what is compiled elsewhere; the clock of training stands still."""
        begun = time.perf_counter()
        wait()
        self.waited(time.perf_counter() - begun)

    def waited(self, seconds: float) -> None:
        """Compiling took so long: the clock of training goes on, or begins, afterwards."""
        self.seconds_compile += seconds
        self._started = time.perf_counter() if self._started == np.inf else self._started + seconds


class Probe:
    """Relative L2 errors on a small grid, as often as a small share of the time allows."""

    def __init__(self, problem: Problem, supply: Supply):
        self.problem, self.supply = problem, supply
        self.points = dense_points(problem, PROBE)
        self.exact = evaluate_exact(problem, self.points)
        self.due = self.cost = 0.0  # seconds

    @property
    def cheap(self) -> bool:
        """Whether a look costs next to nothing."""
        return self.cost < CHEAP

    def look(self, theta: np.ndarray, seconds: float, insist: bool = False) -> dict[str, float]:
        """The errors by unknown, {} where they are not known or not due."""
        if self.exact is None or (seconds < self.due and not insist):
            return {}
        start = time.perf_counter()
        found = errors_at(self.problem, self.supply, theta, self.points, self.exact)
        self.cost = time.perf_counter() - start
        self.due = seconds + max(WATCH_EVERY, self.cost / WATCH_SHARE)
        return {name: errors["relative_l2"] for name, errors in found.items()}


class Way:
    """One recipe on its own network.  `seconds` and `steps` are those it has used, `ended` says why it is over, if it is."""

    def __init__(self, session: Session, recipe: Recipe, generators: tuple[np.random.Generator, ...],
                 start: np.ndarray | None = None, supply: Supply | None = None):
        weights_rng, cloud_rng, fresh_rng = generators
        self.session, self.recipe = session, recipe
        with timed(session.stopwatch, BUILD):
            if supply is None:
                supply = Supply(session.problem, recipe.network, impose_by(recipe.impose, session.problem))
            self.supply = supply
            self.objective = watched(
                Objective.of(session.problem, self.supply, recipe, cloud_rng, session.threads, session.stopwatch),
                session.stopwatch)
        self.theta = self.supply.initial(weights_rng) if start is None else np.array(start, float)
        if self.theta.shape != (self.objective.size,):
            raise RecipeError(
                f"the start has {self.theta.size} parameters, the network {self.objective.size}",
                why="a run is resumed with the network that it began with", fix="give the same recipe, or start anew")
        self.theta0 = self.theta
        self.objective = self.objective.balanced(recipe, self.theta)
        self.renewal = Renewal(recipe, session.problem, fresh_rng)
        self.seconds, self.steps, self.seconds_compile = 0.0, 0, 0.0
        self.compiled, self.first_loss, self.probe = False, np.nan, Probe(session.problem, self.supply)
        self.ended: str | None = None if recipe.stages else ""
        self._stints = iter([Stint(self, stage, k) for k, stage in enumerate(recipe.stages or ())])
        self._stint = next(self._stints, None)

    def kernels(self) -> list[tuple[Any, int]]:
        """The kernels that the stages will ask for, each with a number of points."""
        kinds = {(kind, "f32" if dtype == "float32" else "f64") for stage in self.recipe.stages or ()
                 for dtype in self.recipe.dtypes(stage)
                 for kind in ("loss_and_gradient", *(("residual",) if self.renewal.looks else ()),
                              *getattr(stage.optimizer, "asks", ()))}
        patches = zip(self.objective.patches, self.objective.clouds, strict=True)
        return [(patch.program.kernel(*kind), cloud.count) for patch, cloud in patches for kind in sorted(kinds)]

    def compile(self) -> None:
        """Compile all kernels that the stages will ask for.  Raises NumericsError where the start is no number."""
        before, recipe = time.perf_counter(), self.recipe
        with timed(self.session.stopwatch, COMPILE):
            self.objective.check(self.theta)
            if self.renewal.looks:
                self.objective.residual(self.theta)
            # one step of every optimizer, thrown away, compiles whatever it asks for
            for stage in recipe.stages or ():
                for dtype in recipe.dtypes(stage):
                    typed = self.objective.with_dtype(dtype)
                    stage.optimizer.step(typed, stage.optimizer.init(typed, self.theta))
        self.seconds_compile = time.perf_counter() - before
        self.session.waited(self.seconds_compile)
        self.first_loss, self.compiled = self.objective.loss_and_gradient(self.theta)[0], True
        self.objective = self.renewal.first(self.objective, self.theta)

    def run(self, until: float) -> Events:
        """Train until so many seconds of the session, or until the stages are over: the reason to stop it all, or None."""
        begun, reason = self.session.now, None
        while self._stint is not None and reason is None:
            stint = self._stint
            ended, reason = yield from stint.run(until)
            self.objective, self.theta = stint.objective, stint.best.theta if stint.best is not None else self.theta
            if ended is None and reason is None:
                break
            if ended is not None:
                self._stint = next(self._stints, None)
                if self._stint is None:
                    self.ended = ended
                reason = stop_of((yield StageEnded(stint.stage.name, ended))) or reason
        self.seconds += self.session.now - begun
        return reason

    @property
    def best(self) -> np.ndarray:
        """The best weights so far `(size,)`."""
        return self.theta if self._stint is None or self._stint.best is None else self._stint.best.theta

    def solution(self, reason: str) -> Solution:
        """The solution so far, measured."""
        best, objective = self.best, self.objective.even()
        loss = objective.loss_and_gradient(best)[0]
        return solution_of(self.session, self.recipe, self.supply, best, objective, best, reason, loss, objective.terms(best))


class Stint:
    """One stage of one way: the only thing here that changes, and only while it runs."""

    def __init__(self, way: Way, stage: Stage, index: int):
        self.way, self.stage = way, stage
        self.is_last = index == len(way.recipe.stages or ()) - 1
        self.dtypes, self.looked = way.recipe.dtypes(stage), 0
        self.limit = stage.iterations if stage.iterations is not None else np.iinfo(np.int64).max
        self.settled = Settled()
        self.allowed: float | None = None  # seconds of its own
        self.spent, self.iteration, self.renewed = 0.0, 0, 0
        self.state: State | None = None
        self.best: State | None = None
        self.objective: Objective = way.objective

    def run(self, until: float) -> Events:
        """Step until something ends the stage or the time is there: (its reason or None, the reason to stop it all or None)."""
        way, session, clock = self.way, self.way.session, time.perf_counter
        optimizer: Optimizer = self.stage.optimizer
        if session.stopwatch is not None:
            optimizer = TimedOptimizer(optimizer, session.stopwatch)
        if self.state is None:
            self.objective = way.objective if way.objective.dtype in self.dtypes else way.objective.with_dtype(self.dtypes[0])
            shares = [] if self.stage.seconds is None else [self.stage.seconds]
            if self.stage.share is not None and np.isfinite(session.end):
                shares.append(self.stage.share * max(session.end - session.now, 0.0))
            self.allowed = min(shares, default=None)
            way.renewal.enter(self.is_last)
            try:
                self.state = self.best = optimizer.init(self.objective, way.theta)
            except NumericsError as error:
                return f"{self.stage.name} cannot begin: {error.what}", None
        state, best, objective, iteration, renewed = self.state, self.best, self.objective, self.iteration, self.renewed
        assert best is not None
        coarse = objective.dtype != self.dtypes[-1]
        begun, before = session.now, session.steps
        own = np.inf if self.allowed is None else begun + self.allowed - self.spent
        ends = min(until, own, session.end)
        deadline = clock() + ends - begun
        goal = (way.recipe.tolerance or 0.0) * way.first_loss
        step, limit, first = optimizer.step, self.limit, iteration
        renewal, every = way.renewal, way.renewal.period
        due = 0.0
        ended = whole = None
        paused = asked = False
        while ended is None and not paused:
            # -- the inner loop: nothing here but the optimizer, a clock and comparisons
            if state.stop is None:
                state = step(objective, state)
                iteration += state.stop is None
                if state.loss < best.loss:
                    best = state
            now = clock()
            if best.loss <= goal and not renewal.holds_back:
                ended = whole = f"loss {best.loss:.3g} is {way.recipe.tolerance:.0e} of the first"
            elif iteration >= limit:
                ended = f"{iteration:,d} iterations done"
            elif now >= deadline:
                paused = True
            elif state.stop is not None and not every and not coarse:
                ended = state.stop
            over = ended is not None or paused
            renew = every and not over and (state.stop is not None or iteration - renewed >= every)
            if now < due and not over and not renew and state.stop is None:
                continue
            # -- from here on: now and then
            if paused and ends == session.end:
                ended = whole = f"time budget of {session.seconds:g} s used up"
            elif paused and ends == own:
                ended = "its share of the time is used up"
            session.steps = before + iteration - first
            event = self._progress(objective, best, iteration, over)
            seconds = event.seconds
            due = now + min(max(0.1, seconds / 600), 0.5)
            self.best = best
            requests = yield event
            for request in requests or ():
                if isinstance(request, Stop):
                    ended, whole = request.reason, request.reason
                elif isinstance(request, Resample):
                    renew = asked = True
                elif isinstance(request, Checkpoint) and session.checkpoint is not None:
                    self.objective = objective
                    solution = (session.leader or way).solution(RUNNING)
                    with timed(session.stopwatch, RESULTS):
                        session.checkpoint(solution)
            if coarse and ended is None and (state.stop is not None or self._felt(objective, state, iteration)):
                objective, coarse = objective.with_dtype(self.dtypes[-1]), False
                renew = renew and state.stop is None
                state, best = refined(optimizer, objective, state, best)
            if renew and ended is None:
                stopped = state.stop
                ended = self.settled.judge(iteration - renewed, stopped)
                if ended is not None and renewal.holds_back:
                    renewal.release()
                    ended, self.settled = None, Settled()
                if ended is None:
                    with timed(session.stopwatch, SAMPLING):
                        found = renewal.renew(objective, best.theta, iteration, stopped is not None, asked)
                    same = found.objective is objective and stopped is None  # a look and no more: nothing to carry
                    objective, every, asked = found.objective, renewal.period, False
                    if found.moved:
                        self.settled = Settled()
                    elif renewal.holds_back:
                        if self.settled.watch(state.loss) is not None:  # steps that win nothing move no front
                            renewal.release()
                            self.settled = Settled()
                    elif found.size is not None:
                        ended = self.settled.watch(found.size)
                        if self.settled.stale >= GROWN_ROUNDS and renewal.grow(objective):
                            ended, self.settled = None, Settled()
                    if not same:
                        state = best = optimizer.carry(objective, best if stopped is not None else state)
                    renewed = iteration
        way.steps += iteration - first
        self.spent += session.now - begun
        self.state, self.best, self.objective, self.iteration, self.renewed = state, best, objective, iteration, renewed
        return ended, whole

    def _progress(self, objective: Objective, best: State, iteration: int, insist: bool) -> Progress:
        session, stage, seconds = self.way.session, self.stage, self.way.session.now
        with timed(session.stopwatch, ERRORS):
            errors = self.way.probe.look(best.theta, seconds, insist)
        terms = objective.terms(best.theta)
        event = Progress(stage.name, iteration, stage.iterations, best.loss, terms, errors, seconds, session.seconds,
                         best.theta, self.way.supply)
        session.rows.append(Row(event.stage, session.steps, seconds, best.loss, terms, errors))
        return event

    def _felt(self, objective: Objective, state: State, iteration: int) -> bool:
        """Whether the gradient of a state, computed in a coarse type, differs from that in the last type of the stage."""
        if iteration - self.looked < FELT_EVERY:
            return False
        self.looked = iteration
        _, gradient = objective.with_dtype(self.dtypes[-1]).loss_and_gradient(state.theta)
        return not np.linalg.norm(state.gradient - gradient) <= FELT * np.linalg.norm(gradient)


class Trained(Protocol):
    """What was trained: programs, their points, the weights of residuals."""

    @property
    def patches(self) -> tuple[Patch, ...]: ...
    @property
    def clouds(self) -> tuple[Cloud, ...]: ...
    @property
    def weights(self) -> tuple[np.ndarray, ...]: ...
    @property
    def threads(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    def points(self) -> dict[str, int]: ...


def solution_of(session: Session, recipe: Recipe, supply: Supply, theta: np.ndarray, objective: Trained,
                trained: np.ndarray, reason: str, loss: float, terms: dict[str, float]) -> Solution:  # fmt: skip
    """The solution of fields at weights `(size,)`, measured; `trained` are the weights that the objective knows them by."""
    problem = session.problem
    with timed(session.stopwatch, ERRORS):
        verdict = None
        if reason != RUNNING:
            verdict = judge(objective.patches, trained, objective.weights, terms, supply, theta, recipe,
                            supply.imposition, session.seed, quick=session.now < LONG)
        return Solution(
            problem=problem, recipe=recipe, supply=supply, weights=theta, seed=session.seed, threads=session.threads,
            history=History.from_rows(session.rows), stop_reason=reason,
            errors=errors_at(problem, supply, theta, dense_points(problem), threads=session.threads),
            residual_rms=residual_rms(objective, trained, recipe, np.random.default_rng([session.seed, 1])),
            loss=loss, seconds=time.perf_counter() - session.begun,
            seconds_compile=session.seconds_compile, steps=session.steps, points=objective.points(), verdict=verdict)


def solution_of_march(
    march: March, recipe: Recipe, seed: int, threads: int, history: History, reason: str, residual_rms: float, loss: float,
    seconds: float, seconds_compile: float, steps: int, points: dict[str, int],
) -> Solution:  # fmt: skip
    """The solution of all slabs of a march as one, measured."""
    problem, (supply, theta) = march.problem, march.whole()
    patches = patches_of(supply, recipe)
    verdict = judge(patches, theta, [np.ones(len(patch.owners)) for patch in patches], {}, supply, theta, recipe,
                    impose_by(recipe.impose, problem), seed, quick=seconds < LONG)
    return Solution(
        problem=problem, recipe=replace(recipe, march=tuple(march.moments)), supply=supply, weights=theta, seed=seed,
        threads=threads, history=history, stop_reason=reason,
        errors=errors_at(problem, supply, theta, dense_points(problem), threads=threads), residual_rms=residual_rms, loss=loss,
        seconds=seconds, seconds_compile=seconds_compile, steps=steps, verdict=verdict, points=points)


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


def residual_rms(objective: Trained, theta: np.ndarray, recipe: Recipe, rng: np.random.Generator,
                 most: int | None = None) -> float:  # fmt: skip
    """The root mean square of the equations' residuals, unweighted, on fresh points of the interior, as many or `most`."""
    total = 0.0
    for patch, cloud in zip(objective.patches, objective.clouds, strict=True):
        equations = [k for k, owner in enumerate(patch.owners) if patch.terms[owner].kind == "equation"]
        if equations:
            fresh: Cloud = sample(patch.region, min(cloud.count, most or cloud.count), recipe.sampling, rng)
            values = patch.residuals_at(fresh, theta, objective.threads, objective.dtype)[:, equations]
            total += float(fresh.weights @ np.sum(values**2, axis=1))
    return float(np.sqrt(total))
