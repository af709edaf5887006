"""Random features slab by slab: for an evolution that they cannot follow at once, each slab of time by least squares."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.errors import PinnError
from pinn.events import Event, Progress, StageEnded
from pinn.history import History
from pinn.march import March, name_of
from pinn.polish import GROWN, NAME, NEARLY, NOTHING, Corrected, Correction
from pinn.portfolio import Turns
from pinn.problem import edges
from pinn.recipe import Polish, Recipe
from pinn.solution import Solution
from pinn.stopwatch import ERRORS, timed
from pinn.way import Events, Requests, Session, Way, residual_rms, solution_of_march, stop_of

SLABS = 8              # of equal length, to begin with
FAILURES = 2           # slabs in a row that are halved
AFTER, LATEST = 0.15, 0.5  # of the time, between which a march may begin
FAR = 8.0              # powers of ten below the first residual: where what is trained has won so many, there is no march
AGREED = 3.0           # powers of ten below the first residual of the problem that a slab must reach
LONG = 60.0            # seconds, where no time is given
SHARE = 0.5            # of the time that is left
AHEAD, MORE = 1.0, 0.75  # powers of ten below the best residual of the others, with which slabs get more of the time
BEHIND = 0.5           # powers of ten above it, with which they are given up
HOPELESS = 2.0         # times more than there is: a march that would take so long is given up
BEYOND = 0.25          # of its length, to which a slab is solved behind its end, where least squares are worst
AS_WELL = 1.0          # powers of ten: a slab that is so much worse than the first gets more features
LOOKED = 1024          # points at which a slab is judged: its lift has the fields of all slabs before
LATER = 1.3            # times later a march may end that is more than half done
EASY = 0.3             # of the time of a slab, within which one that lets the next be longer is solved


Answer = Generator[Any, Any, "tuple[Corrected | None, float, str | None, Correction | None]"]
Pausing = Generator[Event | None, Requests | None, Any]  # events, and None where others may have a turn


@dataclass(frozen=True, eq=False)
class Slab:
    """One part of the time, solved: its fields, log10 of its residual, its length."""

    found: Corrected
    length: float


class Stepping:
    """A march (see pinn.march) whose slabs are as long as random features by themselves can follow.

    Block time marching: Dong & Li 2021, section 2.3.  A slab that Gauss-Newton does not solve is halved, one that is solved
    at once is followed by a longer one.  It takes turns with what is trained, slab by slab, until one is clearly behind.
    """

    def __init__(self, session: Session, recipe: Recipe, polish: Polish, turns: Turns, rng: np.random.Generator):
        self.session, self.recipe, self.polish, self.turns, self.rng = session, recipe, polish, turns, rng
        self.march: March | None = None
        self.slabs: list[Slab] = []
        self.reached = np.inf  # log10 of the residual over all slabs, once the end is reached
        self.over = False
        self.spent = 0.0       # seconds
        self._started, self._begun, self._worst = np.inf, 0.0, -np.inf
        self._run: Pausing | None = None

    @property
    def now(self) -> float:
        """Seconds of its own, during a turn."""
        return self.spent + self.session.now - self._begun

    def due(self, turns: Turns) -> bool:
        """Whether it is its turn: first where training has not come far in its first turns, then for a share of the time.

        It is over when the residual of what is trained has fallen below that of a slab.
        """
        session = self.session
        if self._run is None:
            begins, latest = (AFTER * session.end, LATEST * session.end) if np.isfinite(session.end) else (LONG, np.inf)
            return not self.over and begins <= session.now <= latest and turns.reached > turns.first - FAR
        if self.reached == np.inf and turns.reached < self._worst - BEHIND:
            self.over = True
        share = MORE if -np.inf < self._worst < turns.reached - AHEAD else SHARE
        return not self.over and self.spent <= share * (session.now - self._started)

    def turn(self) -> Events:
        """March on by a slab: the reason to stop it all, or None."""
        session = self.session
        self._begun = session.now
        if self._run is None:
            self._started, self._run = session.now, self._marches()
        requests: Requests | None = None
        reason = None
        while True:
            try:
                event = self._run.send(requests)
            except StopIteration as end:
                self.over, reason = True, end.value
                break
            if event is None:
                break
            requests = yield event
        self.spent += session.now - self._begun
        return reason

    def _marches(self) -> Pausing:
        """March to the end of the time, if it can be done, and again in shorter slabs if there is time: the reason to stop.

        None is yielded after every slab.
        """
        session, slabs, reason = self.session, SLABS, None
        until = SHARE * (session.end - session.now) if np.isfinite(session.end) else LONG
        try:
            edges(session.problem, 1)
        except PinnError:
            return None
        while reason is None:
            begun, before = self.now, self.reached
            try:
                hopeless, reason = yield from self._march(slabs, until)
            except (ad.AutodiffError, np.linalg.LinAlgError, ValueError, MemoryError):  # others solve the problem
                break
            used = self.now - begun
            if hopeless or self.reached > before - GROWN or self.now + 2 * used > until or self.ended(self.turns):
                break
            slabs *= 2
        return reason

    def _march(self, slabs: int, until: float) -> Pausing:
        """One march that begins with so many slabs: whether it takes far too long, and the reason to stop it all or None."""
        problem = self.session.problem
        low, high = edges(problem, 1)
        march, found_slabs = March(problem, self.recipe.impose, [low]), list[Slab]()
        length, moment, reason, before, failed, hopeless = (high - low) / slabs, low, None, None, 0, False
        self._worst = -np.inf

        def latest() -> float:
            return until * (LATER if moment > 0.5 * (low + high) else 1.0)

        while reason is None and moment < high - 1e-9 * (high - low):
            until = self._until(until)
            if self.now > latest():
                break
            end = min(moment + length, high) if high - moment > 1.5 * length else high
            share = ((until if self.now < until else latest()) - self.now) * (end - moment) / (high - moment)
            name = name_of(problem, moment, end)
            enough = found_slabs[0].found.reached + AS_WELL if found_slabs else -np.inf
            found, used, reason, before = yield from self._slab(march, end, share, name, before, enough)
            if reason is not None:
                break
            if found is None:
                length, before = 0.5 * (end - moment), None  # and another look at the frequencies
                failed += 1
                hopeless = used * (high - moment) / length > HOPELESS * max(latest() - self.now, 0.0)
                if failed > FAILURES or hopeless:
                    break
                yield None
                continue
            failed = 0
            march.add(found.supply, found.weights)
            found_slabs.append(Slab(found, end - moment))
            if used < EASY * share and end < high and length < (high - low) / slabs:
                length = 2 * (end - moment)
            moment, self._worst = end, max(self._worst, found.reached)
            hopeless = used * (high - moment) / found_slabs[-1].length > HOPELESS * max(latest() - self.now, 0.0)
            if hopeless:
                break
            yield None
        told = f"given up at {problem.domain.time} = {moment:g}"
        if moment >= high - 1e-9 * (high - low):
            squares = sum(slab.length * 10.0 ** (2 * slab.found.reached) for slab in found_slabs) / (high - low)
            reached = 0.5 * float(np.log10(max(squares, 1e-300)))
            told = f"residual on fresh points 1e{reached:.1f}"
            if reached < self.reached:
                self.reached, self.march, self.slabs = reached, march, found_slabs
        reason = stop_of((yield StageEnded(f"{NAME} in {len(found_slabs)} slabs", told))) or reason
        return hopeless, reason

    def _until(self, until: float) -> float:
        """Its own seconds at which a march has to end: all that are left, once nobody else wants them."""
        alone = np.isfinite(self.session.end) and all(way.ended is not None for way in self.turns.ways)
        return max(until, self.now + self.session.end - self.turns.reserve - self.session.now) if alone else until

    def _slab(self, march: March, end: float, seconds: float, name: str, before: Correction | None, enough: float) -> Answer:
        """(the fields up to `end` or None, seconds used, the reason to stop it all or None, what found them)."""
        session, first = self.session, self.turns.ways[0]
        march.moments[len(march.parts) + 1:] = [end]
        try:
            low, high = session.problem.domain.bounds[session.problem.domain.time or ""]
            part = march.next(min(end + BEYOND * (end - march.moments[-2]), high))
            inner = Session(part, seconds, session.seed, session.threads, session.stopwatch)
            way = Way(inner, replace(first.recipe, points=LOOKED), tuple(self.rng.spawn(3)))  # for its weights of residuals
        except PinnError:
            return None, 0.0, "", before
        if [w.size for w in way.objective.weights] == [w.size for w in first.objective.weights]:
            way.objective = way.objective.with_weights(first.objective.weights)
        turns = Turns([way], None, points=LOOKED)
        correction = Correction(inner, self.polish, way.supply.imposition, self.rng.spawn(1)[0])
        if before is not None:
            (correction.fastest, correction.count), correction.linear = before.best, before.linear
            correction.searched = correction.known = True
        inner.waited(0.0)
        begun, reason = session.now, None
        run = correction.run(turns, seconds, seconds, NOTHING, enough)
        requests: Requests | None = None
        while True:
            try:
                event = run.send(requests)
            except StopIteration as stop:
                reason = stop.value
                break
            requests = None
            if type(event) is Progress:
                session.steps += 1
                told = replace(event, stage=f"{name}, {event.stage}", seconds=session.now, budget_seconds=session.seconds)
                requests = yield told
        for row in inner.rows:
            stage = f"{name}, {row.stage}"
            session.rows.append(replace(row, stage=stage, seconds=begun + row.seconds, iteration=session.steps))
        found = correction.found
        if found is None or not found.reached <= self.turns.first - AGREED:
            found = None
        return found, session.now - begun, reason, correction if found is not None else before

    def ended(self, turns: Turns) -> str | None:
        """The reason to end the whole run, where hardly more can be won."""
        if self.reached > turns.first - NEARLY:
            return None
        return f"residual on fresh points is 1e{self.reached - turns.first:.0f} of the first"

    def solution(self, reason: str) -> Solution:
        """The slabs as one solution, measured."""
        session, march, total, loss = self.session, self.march, 0.0, 0.0
        assert march is not None
        points: dict[str, int] = {}
        rng, whole = np.random.default_rng([session.seed, 1]), sum(slab.length for slab in self.slabs)
        for slab in self.slabs:
            added, c = slab.found.added, slab.found.coefficients
            total += slab.length / whole * residual_rms(added, added.weights_of(c), self.recipe, rng, LOOKED) ** 2
            loss += slab.length / whole * added.loss(c)
            for name, count in added.points().items():
                points[name] = points.get(name, 0) + count
        recipe = replace(self.turns.ways[0].recipe, network=march.parts[-1].network, polish=False)
        with timed(session.stopwatch, ERRORS):
            return solution_of_march(march, recipe, session.seed, session.threads, History.from_rows(session.rows), reason,
                                     float(np.sqrt(total)), loss, time.perf_counter() - session.begun,
                                     session.seconds_compile, session.steps, points)
