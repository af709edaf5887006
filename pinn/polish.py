"""Random features by least squares: a solution in a second where fields are smooth, and the last digits of one that is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.added import Added
from pinn.errors import PinnError
from pinn.events import Progress, StageEnded
from pinn.history import Row
from pinn.imposition import Imposition
from pinn.networks import Network, RandomFeatures, Sum
from pinn.portfolio import Turns
from pinn.recipe import Polish
from pinn.solution import Solution
from pinn.stopwatch import ERRORS, timed
from pinn.supply import Supply, frozen, summed
from pinn.way import Events, Probe, Session, solution_of, stop_of

NAME = "random features"
FIRST = 300                 # features of all unknowns together, to begin with
FARTHER = 1.0               # powers of ten that the best fields must have won for another search from them
SHARE = 0.25                # of the time, for all corrections
OPENING, SHORTEST = 0.1, 3.0  # of the time, and seconds, for the first of them, before any network is trained
WINNING = 0.8               # of the time, for the first, as long as each wins a power of ten
DOUBLED = 5.0               # times longer, for twice as many features
NEARLY = 10.0               # powers of ten below the first residual at which nothing else is tried, when these are at their end
HOPELESS = 2.0              # powers of ten that features by themselves must win, to go on by themselves
ROUNDING = 13.0             # powers of ten below the first residual at which numbers end
GRID = (3.0, 48.0)          # frequencies beside the first, of which the best are refined by factors of two
CLEARLY, HARDLY = 0.15, 0.08  # powers of ten: a choice that is better, a step that is not worth another one
COARSE = 1000               # features, from which it pays to begin with fewer
CONVERGING = 0.01           # times the loss before
GROWN = 0.5                 # powers of ten that twice as many features must win, to be doubled again


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields to add to: a supply and its weights, or none; log10 of their residual on fresh points."""

    reached: float
    supply: Supply | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Corrected:
    """Fields with what was added to them: one supply with its weights, and as the features know them."""

    reached: float
    supply: Supply
    weights: np.ndarray
    added: Added
    coefficients: np.ndarray


Base = Fields | Corrected
NOTHING = Fields(np.inf)
Answer = Generator[Any, Any, "tuple[Corrected, str | None]"]


class Correction:
    """Random features whose coefficients least squares find: by themselves before anything is trained, then on the best fields.

    Fields are base + N with N linear in its weights, so that one step of Gauss-Newton solves a linear equation, and a few solve
    another one (Dong & Li 2021, Chen et al. 2022).  The base is nothing at first, later the best way's fields or those that
    were found before, and is frozen (a further stage as in Wang & Lai 2024).  Frequencies are those with which the residual
    becomes the lowest; the number of features doubles as long as that pays.  Nothing is compiled.
    """

    def __init__(self, session: Session, polish: Polish, imposition: Imposition, rng: np.random.Generator):
        self.session, self.polish, self.imposition, self.rng = session, polish, imposition, rng
        space = session.problem.space
        inputs = {name: 2 if name in session.problem.domain.periodic else 1 for name in space.coordinates}
        self.inputs = list(inputs.values())
        self.fastest = np.full(len(inputs), polish.fastest)  # by coordinate
        self.count = min(FIRST, polish.features)             # of all unknowns together
        self.searched = self.known = False                   # whether frequencies were looked for, and need no other look
        self.alone = True       # whether features by themselves still promise something
        self.exhausted = False  # whether more of them on the same fields do not
        self.linear = False
        self.best = (self.fastest, self.count)  # of what was found
        self.seconds, self.cost = 0.0, 0.0
        self.based = np.inf     # log10 of the residual of the fields that were last added to
        self.found: Corrected | None = None

    @property
    def reached(self) -> float:
        """log10 of the lowest residual that was found on fresh points."""
        return np.inf if self.found is None else self.found.reached

    def open(self, turns: Turns) -> Events:
        """Begin, before any network is trained: the reason to stop the whole run, or None."""
        end = self.session.end
        self.session.waited(0.0)
        until = min(max(SHORTEST, OPENING * end), 0.5 * end)
        return (yield from self.spared(self.run(turns, until, max(until, WINNING * end), NOTHING)))

    def due(self, turns: Turns, closing: bool) -> bool:
        """Whether there is something to add to, or to add, and time for it."""
        far = min(turns.reached, self.reached) < self.based - (0.3 if closing else FARTHER)
        spare = self.seconds + self.cost <= SHARE * self.session.now
        return np.isfinite(turns.reached) and (far or not self.exhausted) and (closing or spare)

    def again(self, turns: Turns, closing: bool) -> Events:
        """Correct the best fields as they are now: the reason to stop the whole run, or None."""
        way, session = turns.leader, self.session
        if self.found is not None and self.reached < turns.reached:
            base: Base = NOTHING if self.alone else self.found
        else:
            base = Fields(turns.reached, way.supply, np.array(way.best))
        until = session.end if closing else min(session.now + max(SHARE * session.now - self.seconds, 0.0), session.end)
        return (yield from self.spared(self.run(turns, until, until, base)))

    def spared(self, run: Events) -> Events:
        """A run whose failures in numbers or memory cost nothing but itself: others solve the problem."""
        try:
            return (yield from run)
        except PinnError:
            raise
        except (ad.AutodiffError, np.linalg.LinAlgError, ValueError, MemoryError):
            self.alone, self.exhausted = False, True
            return None

    def run(self, turns: Turns, until: float, most: float, base: Base, enough: float = -np.inf) -> Events:
        """One correction after the other: until then, and to `most` as long as each wins a lot, down to `enough`."""
        session, begun, reason, passes = self.session, self.session.now, None, 0
        gained = 0.0
        while reason is None and (session.now < until or (gained >= GROWN and session.now < most)):
            same = base is self.found or (base is NOTHING and self.found is not None)
            if same and not self.grow(most if gained >= GROWN else until):
                break
            self.based = min(base.reached, self.based) if base is NOTHING else base.reached
            before = min(self.reached, base.reached)
            added = self.chosen(turns, base, 0.5 * (session.now + until))
            found, reason = yield from self.solved(turns, base, added, most)
            passes += 1
            gained = before - found.reached
            if found.reached < self.reached:
                self.found, self.best = found, (self.fastest, self.count)
            if found.reached <= max(turns.first - ROUNDING, enough):
                self.exhausted = True
                break
            hopeless = found.reached > turns.first - (HOPELESS if self.count > FIRST else GROWN) and not self.linear
            if gained < GROWN or (base is NOTHING and hopeless):
                if base is NOTHING and self.found is not None and self.reached < turns.first - HOPELESS:
                    self.alone, base, gained = False, self.found, FARTHER  # what rounding left out, by a further stage
                    continue
                self.alone, self.exhausted = False, True
                break
            if base is not NOTHING and self.found is not None:
                base = self.found
        self.seconds += session.now - begun
        if self.found is not None:
            self.based = min(self.based, self.reached) if base is NOTHING else self.based
        if passes:
            reason = stop_of((yield StageEnded(NAME, f"residual on fresh points 1e{self.reached:.1f}"))) or reason
        return reason

    def ended(self, turns: Turns) -> str | None:
        """The reason to end the whole run, where nothing but rounding is left."""
        if self.reached > turns.first - (NEARLY if self.exhausted else ROUNDING):
            return None
        told = f"residual on fresh points is 1e{self.reached - turns.first:.0f} of the first"
        return f"{told}: rounding is left" if self.reached <= turns.first - ROUNDING else f"{told}, and no longer falls"

    def lost(self, turns: Turns) -> bool:
        """Whether features by themselves do not solve this."""
        return not self.alone and self.reached > turns.first - HOPELESS

    def grow(self, until: float) -> bool:
        """Twice as many features from now on, if there is time for them."""
        if 2 * self.count > self.polish.features:
            self.exhausted = True
            return False
        if self.session.now + DOUBLED * self.cost > until:
            return False
        self.count, self.exhausted, self.cost = 2 * self.count, False, DOUBLED * self.cost
        return True

    def chosen(self, turns: Turns, base: Base, until: float) -> Added:
        """The features with which the residual becomes the lowest, of frequencies around those that were best before."""
        problem, first = self.session.problem, turns.ways[0]
        fields = None if base.supply is None or base.weights is None else frozen(base.supply, base.weights)
        separate = bool(getattr(base.supply.network, "per_field", False)) if base.supply is not None else False
        each = max(1, self.count // len(problem.unknowns))

        def features(fastest: np.ndarray) -> RandomFeatures:
            by_input = tuple(float(one) for one, n in zip(fastest, self.inputs, strict=True) for _ in range(n))
            return RandomFeatures(each, by_input, seed=stages_of(base), per_field=separate)

        added = Added.of(problem, self.imposition, fields, features(self.fastest), first.recipe, first.objective.weights,
                         self.rng, self.session.threads)

        def tried(fastest: np.ndarray) -> tuple[float, np.ndarray, Added]:
            one = added.faster(features(fastest), fields)
            before, after = one.foreseen()
            if base is NOTHING and not self.linear:
                after = np.sqrt(min([before**2, *(loss for _, loss in newton(one, lambda: self.session.now < until))]))
            return np.log10(max(after, 1e-300) / (before or 1.0)), fastest, one

        self.linear = self.linear or (base is NOTHING and added.is_linear())
        if self.known:
            return added
        best = tried(self.fastest)
        enough = -ROUNDING - (0.0 if base.supply is None else base.reached - turns.first)
        if best[0] > enough and not self.searched:
            for fastest in starts(self.fastest):
                best = min(best, tried(fastest), key=lambda one: one[0])
                if best[0] <= enough or self.session.now >= until:
                    break
        moves, failed = itertools.cycle(neighbours(len(self.inputs))), 0
        move = next(moves)
        while best[0] > enough and failed < 2 * len(self.inputs) + 2 and self.session.now < until:
            one = tried(best[1] * move)
            if one[0] < best[0] - CLEARLY:
                best, failed = one, 0
            else:
                move, failed = next(moves), failed + 1
        self.searched, self.fastest = True, best[1]
        return best[2]

    def solved(self, turns: Turns, base: Base, added: Added, until: float) -> Answer:
        """The fields with what steps of Gauss-Newton add to them, and the reason to stop the whole run or None."""
        session, probe, reason = self.session, Probe(self.session.problem, added.supply), None
        begun = session.now
        c = start = np.zeros(added.size)
        if not self.linear and added.size >= COARSE:
            c = start = begun_coarse(added, lambda: session.now < until)
        for k, (c, loss) in enumerate(newton(added, lambda: session.now < until, start)):
            session.steps += 1
            reason = stop_of((yield self._progress(added, probe, c, loss, k + 1)))
            if reason is not None:
                break
        reached = turns.residual(added.patches, added.weights_of(c), added.dtype)
        self.cost = session.now - begun
        supply, weights = join(base, added, c)
        return Corrected(reached, supply, weights, added.lean(), c), reason

    def solution(self, turns: Turns, reason: str) -> Solution:
        """The corrected fields, measured."""
        one = self.found
        assert one is not None
        recipe = replace((turns.ways[0] if turns.seen[0] == [] else turns.leader).recipe, network=one.supply.network)
        c = one.coefficients
        return solution_of(self.session, recipe, one.supply, one.weights, one.added, one.added.weights_of(c), reason,
                           one.added.loss(c), one.added.terms(c))

    def _progress(self, added: Added, probe: Probe, c: np.ndarray, loss: float, step: int) -> Progress:
        session = self.session
        with timed(session.stopwatch, ERRORS):
            errors = probe.look(c, session.now, insist=probe.cheap)
        terms = added.terms(c)
        event = Progress(NAME, step, None, loss, terms, errors, session.now, session.seconds, c, added.supply)
        session.rows.append(Row(NAME, session.steps, event.seconds, loss, terms, errors))
        return event


def begun_coarse(added: Added, more: Callable[[], bool]) -> np.ndarray:
    """Coefficients to begin from: what few features come to, a small part of the cost of a step with all; or nothing."""
    nothing = np.zeros(added.size)
    found = [c for c, _ in newton(added.coarse(), more)]
    begun = found[-1] if found else nothing
    return begun if added.loss(begun) < added.loss(nothing) else nothing


def newton(added: Added, more: Callable[[], bool], start: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, float]]:
    """Coefficients and loss after each step of Gauss-Newton, until none is worth another.

    One that converges goes on to its end, which is near, whether there is `more` time or not.
    """
    c, power, last, converging = np.zeros(added.size) if start is None else start, 0, np.inf, True
    while converging or more():
        step = added.step(c, power)
        if step is None:
            return
        c, loss, power = step
        power = max(power - 1, 0)
        yield c, loss
        converging = last == np.inf or loss < CONVERGING * last
        if loss > last * 10.0 ** (-2 * HARDLY):
            return
        last = loss


def starts(fastest: np.ndarray) -> Iterator[np.ndarray]:
    """Frequencies far from the given ones: all combinations of slow and fast axes where these are few, else single ones."""
    slow, fast = (value / float(fastest.max()) for value in GRID)
    n = fastest.size
    if n <= 2:
        for chosen in itertools.product((1.0, slow, fast), repeat=n):
            if any(one != 1.0 for one in chosen):
                yield fastest * chosen
        return
    yield from (fastest * slow, fastest * fast)
    for k in range(n):
        for others, one in ((1.0, slow), (1.0, fast), (slow, fast)):
            yield fastest * np.where(np.arange(n) == k, one, others)


def neighbours(n: int) -> list[np.ndarray]:
    """Factors for the frequencies along n axes: each by itself, and all."""
    single = [np.where(np.arange(n) == k, factor, 1.0) for k in range(n if n > 1 else 0) for factor in (2.0, 0.5)]
    return [*single, np.full(n, 2.0), np.full(n, 0.5)]


def join(base: Base, added: Added, c: np.ndarray) -> tuple[Supply, np.ndarray]:
    """The fields of a base and what was added to them as those of one network, with the weights of both."""
    if base.supply is None or base.weights is None:
        return added.supply, c
    return summed(base.supply, base.weights, added.supply, c)


def parts_of(network: Network) -> Sequence[Network]:
    """The networks of a sum, or the one."""
    return network.networks if isinstance(network, Sum) else (network,)


def stages_of(base: Base) -> int:
    """How many features were added before: each gets waves of its own."""
    return 0 if base.supply is None else sum(isinstance(one, RandomFeatures) for one in parts_of(base.supply.network))


__all__ = ["NAME", "Correction", "join"]
