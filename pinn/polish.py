"""The last digits: what random features can add to the best way's fields, found by least squares in a second or two."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from pinn.events import Progress, StageEnded
from pinn.history import Row
from pinn.networks import RandomFeatures
from pinn.objective import Objective
from pinn.optimizers import LevenbergMarquardt, State
from pinn.portfolio import Turns
from pinn.profile import watched
from pinn.recipe import Polish
from pinn.solution import Solution
from pinn.stopwatch import ERRORS, timed
from pinn.supply import Supply, frozen, summed
from pinn.way import Events, Probe, Session, Way, solution_of, stop_of

NAME = "random features"
FARTHER, CLOSING = 1.0, 0.3  # powers of ten that the leader must have won since, on the way and at the end
SHARE = 0.25                 # of the time, for all corrections
ROUNDING = 13.0              # powers of ten below the first residual at which numbers end


@dataclass(frozen=True, eq=False)
class Corrected:
    """The fields of a way with a correction: one supply with its weights, and as the objective of the correction knows them."""

    way: Way
    supply: Supply
    weights: np.ndarray
    objective: Objective
    correction: np.ndarray


class Correction:
    """The best way's fields plus random features: a way of its own whose turn comes when that way has got ahead.

    Fields are base + N with N linear in its weights, so that one step of Gauss-Newton solves a linear equation, and a few solve
    another one (a second stage as in Wang & Lai 2024, with the features of Chen et al. 2022).  The base is frozen: its jets are
    columns, and the kernels are the same for every base.
    """

    def __init__(self, session: Session, polish: Polish, rng: np.random.Generator):
        self.session, self.polish, self.rng = session, polish, rng
        self.seconds, self.steps, self.compiled, self.seconds_compile = 0.0, 0, False, 0.0
        self.ended: str | None = None
        self.based = self.reached = np.inf  # log10 of the residual of the base, and of the corrected fields
        self.found: Corrected | None = None
        self.cost = 0.0

    def begin(self, way: Way) -> tuple[Supply, Objective]:
        """The fields of a way with nothing added yet, and their objective on fresh points."""
        problem, network = self.session.problem, self.features(way)
        supply = Supply(problem, network, way.supply.imposition, frozen(way.supply, way.best))
        equations = max(1, sum(len(term.residuals) for term in supply.imposition.terms if term.kind == "equation"))
        rows = max(256, 3 * supply.layout.size // equations)
        recipe = replace(way.recipe, stages=None, points={"interior": rows}, dtype="float64", ways=None)
        objective = Objective.of(problem, supply, recipe, self.rng, self.session.threads, self.session.stopwatch)
        return supply, watched(objective.with_weights(way.objective.weights), self.session.stopwatch)

    def features(self, way: Way) -> RandomFeatures:
        """As many as the recipe says for each unknown."""
        return RandomFeatures(self.polish.features, self.polish.fastest)

    def due(self, turns: Turns, closing: bool) -> bool:
        """Whether the leader has come far enough since the last correction for another one, within its share of the time."""
        if any(len(seen) < 1 for seen in turns.seen[:1]) or not np.isfinite(turns.reached):
            return False
        cheap = self.seconds + self.cost <= SHARE * max(self.session.now, 1e-9) or not self.compiled
        return turns.reached < self.based - (CLOSING if closing else FARTHER) and (closing or cheap)

    def run(self, turns: Turns, until: float) -> Events:
        """Correct the fields of the leader as they are now: the reason to stop the whole run, or None."""
        session, begun, way = self.session, self.session.now, turns.leader
        supply, objective = self.begin(way)
        optimizer = LevenbergMarquardt(radius=1e6, trials=6, tolerance_loss=0.1, patience=1)
        theta = supply.initial(self.rng)
        probe, reason = Probe(session.problem, supply), None
        before = time.perf_counter()
        state: State = optimizer.init(objective, theta)
        if not self.compiled:  # the first step compiles
            optimizer.step(objective, state)
            self.compiled, self.seconds_compile = True, time.perf_counter() - before
            session.waited(self.seconds_compile)
        while state.stop is None and reason is None and (session.now < until or not state.iteration):
            state = optimizer.step(objective, state)
            session.steps += state.stop is None
            reason = stop_of((yield self._progress(objective, probe, supply, state)))
        ended = state.stop or "its turn is over"
        self.cost = session.now - begun
        self.seconds += self.cost
        self.based, reached = turns.reached, turns.residual(objective, state.theta)
        if reached < self.reached:
            self.reached, self.found = reached, Corrected(way, *join(way, supply, state.theta), objective, state.theta)
        reason = stop_of((yield StageEnded(NAME, ended))) or reason
        return reason

    def solution(self, reason: str) -> Solution:
        """The corrected fields, measured."""
        one = self.found
        assert one is not None
        recipe = replace(one.way.recipe, network=one.supply.network)
        return solution_of(self.session, recipe, one.supply, one.weights, one.objective, one.correction, reason)

    def _progress(self, objective: Objective, probe: Probe, supply: Supply, state: State) -> Progress:
        session = self.session
        with timed(session.stopwatch, ERRORS):
            errors = probe.look(state.theta, session.now, insist=True)
        terms = objective.terms(state.theta)
        event = Progress(NAME, state.iteration, None, state.loss, terms, errors, session.now, session.seconds, state.theta,
                         supply)
        session.rows.append(Row(NAME, session.steps, event.seconds, state.loss, terms, errors))
        return event


def join(way: Way, more: Supply, theta: np.ndarray) -> tuple[Supply, np.ndarray]:
    """The fields of a way and what was added to them as those of one network, with the weights of both."""
    return summed(way.supply, way.best, more, theta)


__all__ = ["Correction", "join"]
