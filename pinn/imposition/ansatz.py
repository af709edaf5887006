"""From declared conditions to the form of the fields: which conditions a field can be made to satisfy exactly, and how.

On a box, with or without time, every field becomes  u = lift + factor N + sum_k factor_k N_k:  `lift` interpolates all data
(transfinite interpolation: Gordon & Hall 1973, Numer. Math. 21), `factor` vanishes where values are given (Lagaris, Likas &
Fotiadis 1998, IEEE Trans. Neural Netw. 9), and a small network N_k of the other coordinates carries the value at an end where
only a slope is given, so that a Neumann or Robin condition costs no derivative more.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import autodiff as ad
from pinn.conditions import Prescribed, Term
from pinn.errors import ProblemError
from pinn.geometry import Domain, Piece
from pinn.imposition.profile import Coefficients, Profile, polynomial
from pinn.jetspace import JetSpace, call
from pinn.problem import Problem

AGREE = 1e-9       # of the size of the data: as much data may differ where two conditions meet
SEAM = 1e-6        # of their size: as much data, or derivatives that the equations ask for, may jump where a period ends
SAMPLES = 64       # points of a face at which data are compared
MOST_NODES = 4000  # of a lift: beyond, interpolating the data takes longer than learning them
MOST_FACES = 12    # with data of one field: a product of more factors is small nearly everywhere
MOST_TRACES = 8    # small networks for one field


@dataclass(frozen=True, eq=False)
class Dressing:
    """One field: lift + factor N + sum over `traces` of its factor times a network of all coordinates but those it names."""

    lift: ad.Array
    factor: ad.Array
    traces: tuple[tuple[ad.Array, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, eq=False)
class Imposition:
    """What fields satisfy by construction, `held`, and the terms that are left to be trained.

    `violation` is the greatest difference between data and fields on the faces, relative to the size of the data, at sample
    points, edges and corners; `notes` say which conditions are left to the loss, and why.
    """

    dressings: Mapping[str, Dressing]
    terms: tuple[Term, ...]
    held: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    violation: float = 0.0


@dataclass(frozen=True, eq=False)
class Functional:
    """sum_k c_k d^k u / ds^k = value at s = `end` of an axis, s in [0, 1]; it is part of a term, on one piece of its region."""

    axis: str
    end: int
    coefficients: Coefficients
    value: ad.Array
    term: Term
    piece: Piece

    @property
    def place(self) -> str:
        """How a message calls it."""
        return f"{self.term.name}" if len(self.term.region.pieces) == 1 else f"{self.term.name} on {self.piece.name}"


def impose_by(how: str | None, problem: Problem) -> Imposition:
    """The fields of a problem, "exact" or by "penalty"."""
    return impose(problem) if how == "exact" else nothing_imposed(problem)


def nothing_imposed(problem: Problem) -> Imposition:
    """Fields that are bare networks, and all terms."""
    space = problem.space
    bare = Dressing(ad.Array(ad.lift(0.0), space), ad.Array(ad.lift(1.0), space))
    return Imposition(dict.fromkeys(space.unknowns, bare), problem.terms)


def impose(problem: Problem) -> Imposition:
    """The fields of a problem with every condition built in that can be, the rest as terms, with the reasons."""
    space, frame = problem.space, Frame(problem.space, problem.domain, problem.moving)
    bare = nothing_imposed(problem).dressings
    dressings, held, notes, worst = dict(bare), [], [], 0.0
    done: set[tuple[int, str]] = set()
    for unknown in space.unknowns:
        functionals, refused = read(unknown, problem, frame)
        notes += refused
        faces = [f for f in functionals if f.axis != space.time]
        if len(faces) > MOST_FACES:
            notes += [f"{f.term.name} is left to the loss: it holds on {len(faces)} faces, which are too many" for f in faces]
            functionals = [f for f in functionals if f not in faces]
        functionals, refused = agreeing(functionals, frame)
        notes += refused
        while functionals:
            reason, culprits = "", functionals
            try:
                dressing = build(functionals, frame)
                violation = violated(dressing, functionals, frame)
                reason, culprits = judge(dressing, violation, functionals, frame)
            except TooMuch as excess:
                reason, culprits = str(excess), excess.culprits
            if not reason:
                dressings[unknown], worst = dressing, max(worst, violation)
                done |= {(id(f.term), f.piece.name) for f in functionals}
                held += [f.place for f in functionals]
                break
            notes += [f"{f.place} is left to the loss: {reason}" for f in culprits]
            functionals = [f for f in functionals if f not in culprits]
    return Imposition(dressings, tuple(remaining(problem.terms, done)), tuple(dict.fromkeys(held)),
                      tuple(dict.fromkeys(notes)), worst)


class TooMuch(Exception):
    """A form of the field that would cost more than it saves; `culprits` are the functionals to give up."""

    def __init__(self, reason: str, culprits: list[Functional]):
        super().__init__(reason)
        self.culprits = culprits


@dataclass(frozen=True)
class Frame:
    """The axes of a domain that have ends, scaled to s in [0, 1]."""

    space: JetSpace
    domain: Domain
    moving: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of space first, time last."""
        return tuple(name for name in self.space.coordinates if name not in self.domain.periodic)

    def width(self, axis: str) -> float:
        low, high = self.domain.bounds[axis]
        return high - low

    def scaled(self, axis: str) -> ad.Array:
        """s = (x - a) / (b - a)."""
        low, _ = self.domain.bounds[axis]
        x, scale = self.space.coordinate(axis), 1.0 / self.width(axis)
        return as_data(scale) * (x - as_data(low)) if axis in self.moving else scale * (x - low)

    def at(self, array: ad.Array, axis: str, end: int, coefficients: Coefficients) -> ad.Array:
        """The functional sum_k c_k d^k / ds^k at an end, applied to an expression of the coordinates."""
        total: Any = 0.0
        node, place = array.node, ad.lift(float(self.domain.bounds[axis][end]))
        leaf = self.space.coordinate(axis).node
        for k, c in enumerate(coefficients):
            if k:
                node = self.space.derivative(ad.Array(node, self.space), (axis,)).node
            if c:
                there, = ad.substitute([node], {leaf: place}, ad.rebuild)
                total = total + c * self.width(axis) ** k * ad.Array(there, self.space)
        return total if isinstance(total, ad.Array) else ad.Array(ad.lift(total), self.space)

    def points(self, fixed: Mapping[str, int]) -> np.ndarray:
        """Sample points `(n, dim)` with these axes at an end: random ones, and those with other axes at their ends, too."""
        rng = np.random.default_rng(len(fixed))
        names = self.space.coordinates
        unit = rng.random((SAMPLES, len(names)))
        corners = rng.random((SAMPLES, len(names)))
        pattern = rng.integers(0, 3, corners.shape)
        corners = np.where(pattern == 2, corners, pattern)
        unit = np.concatenate([unit, corners])
        for axis, end in fixed.items():
            unit[:, names.index(axis)] = end
        low, high = np.array([self.domain.bounds[name] for name in names]).T
        return np.where(unit == 1.0, high, low + (high - low) * unit)

    def values(self, arrays: Sequence[ad.Array], points: np.ndarray) -> np.ndarray:
        """The numbers `(arrays, n)` of expressions of the coordinates."""
        symbols = {self.space.coordinate(name).node: points[:, i].copy() for i, name in enumerate(self.space.coordinates)}
        with np.errstate(all="ignore"):
            found = ad.evaluate([array.node for array in arrays], symbols, points=len(points))
        return np.array([np.broadcast_to(np.asarray(one, float), (len(points),)) for one in found])


# -- reading conditions
def read(unknown: str, problem: Problem, frame: Frame) -> tuple[list[Functional], list[str]]:
    """What is prescribed of an unknown on whole faces, by smooth data; and sentences about the rest."""
    found, notes = [], []
    for term in problem.terms:
        said = term.prescribed
        if term.kind != "condition" or unknown not in term.demands or (said is not None and said.unknown != unknown):
            continue
        reason, value = "", None
        if said is None:
            reason = "only values, slopes and combinations of both with constant factors can be built in"
        else:
            value = smooth(said, term, frame)
            reason = value if isinstance(value, str) else seam(value, unknown, problem, frame)
        for piece in term.region.pieces:
            why = reason or whole_face(piece, frame)
            if why:
                notes.append(f"{term.name} is left to the loss: {why}")
                break
            assert said is not None and isinstance(value, ad.Array) and piece.side is not None
            axis = piece.side.axis
            end = int(piece.side.value == frame.domain.bounds[axis][1])
            sign = 1.0 if axis == frame.space.time else float(piece.side.sign)
            scaled = tuple(c * (sign / frame.width(axis)) ** k for k, c in enumerate(said.coefficients))
            # data may be written with the coordinate that is constant on the face
            found.append(Functional(axis, end, trimmed(scaled), frame.at(value, axis, end, (1.0,)), term, piece))
    return found, notes


def trimmed(coefficients: Iterable[float]) -> Coefficients:
    """Without zeros at the end."""
    kept = list(coefficients)
    while len(kept) > 1 and kept[-1] == 0.0:
        kept.pop()
    return tuple(kept)


def whole_face(piece: Piece, frame: Frame) -> str:
    """Why a piece is not the whole end of an axis; "" if it is."""
    if piece.filters:
        return "it holds on a part of a face, and what is built in holds on all of it"
    if piece.side is None:
        return f"the {piece.name} is not an end of an axis"
    if piece.side.axis == frame.space.time:
        moment = frame.domain.initial if piece.side.sign < 0 else frame.domain.final
        full = moment.measure
    else:
        full = float(np.prod([frame.width(name) for name in frame.space.coordinates if name != piece.side.axis]))
    if not np.isclose(piece.measure, full, rtol=1e-9):
        return f"the {piece.name} is not the whole end of an axis"
    return ""


def smooth(said: Prescribed, term: Term, frame: Frame) -> ad.Array | str:
    """The data as an expression of the coordinates; a sentence where there is none, or where it has kinks."""
    space, value = frame.space, said.value
    if callable(value):
        try:
            value = call(value, {name: space.coordinate(name) for name in space.coordinates}, term.name, space.coordinates)
        except (ProblemError, ad.AutodiffError):
            return "its data cannot be differentiated"
    try:
        array = ad.Array(ad.lift(value), space)
    except ad.AutodiffError:
        return "its data cannot be differentiated"
    if array.shape or array.node.dtype.kind not in "fiu":
        return "its data cannot be differentiated"
    try:
        slopes = [space.derivative(array, (name,)) for name in space.coordinates]
    except ad.AutodiffError:
        return "its data cannot be differentiated"
    for node in ad.walk([array.node, *(slope.node for slope in slopes)]):
        if (node.dtype.kind == "b" and node.args) or node.op.sort == "select" or getattr(node.op, "avoid", ()):
            return "its data have kinks, which would stay in every derivative of the field"
    return array


def seam(value: ad.Array, unknown: str, problem: Problem, frame: Frame) -> str:
    """Why data are not smooth where a periodic axis ends, as far as the equations see; "" if they are."""
    for axis in frame.domain.periodic:
        order = max((index.count(axis) for term in problem.terms if term.kind == "equation"
                     for index in term.demands.get(unknown, ())), default=0)  # fmt: skip
        derivative, (low, high) = value, frame.domain.bounds[axis]
        for k in range(order):
            points = frame.points({axis: 0})
            there, size = points.copy(), frame.values([derivative], frame.points({}))
            there[:, frame.space.coordinates.index(axis)] = high
            jump = np.abs(frame.values([derivative], points) - frame.values([derivative], there)).max()
            if jump > SEAM * np.abs(size).max():
                what = "its data jump" if k == 0 else f"derivative {k} by {axis} of its data jumps"
                return f"{what} by {jump:.1e} from {axis} = {high:g} to {low:g}, and a kink that is built in would stay"
            derivative = frame.space.derivative(derivative, (axis,))
    return ""


# -- data that meet
def agreeing(functionals: list[Functional], frame: Frame) -> tuple[list[Functional], list[str]]:
    """The functionals whose data agree on the edges where they meet; those that disagree most often are given up first."""
    notes, kept = [], list(functionals)
    for f, g in itertools.combinations(functionals, 2):
        if f.axis == g.axis and f.end == g.end and f.coefficients == g.coefficients and g in kept:
            kept.remove(g)
            notes.append(f"{g.place} is left to the loss: {f.place} says the same thing already")
    clashes = {}
    for f, g in itertools.combinations(kept, 2):
        if f.axis != g.axis:
            gap = mismatch(f, g, frame)
            if not gap <= AGREE:
                clashes[f, g] = gap
    while clashes:
        counts = {f: (sum(f in pair for pair in clashes), max(gap for pair, gap in clashes.items() if f in pair))
                  for f in kept if any(f in pair for pair in clashes)}
        worst = max(counts, key=lambda f: counts[f])
        other = next(one for pair in clashes if worst in pair for one in pair if one is not worst)
        notes.append(f"{worst.place} is left to the loss: its data differ by {counts[worst][1]:.1e} from {other.place} "
                     "where they meet")
        kept.remove(worst)
        clashes = {pair: gap for pair, gap in clashes.items() if worst not in pair}
    return kept, notes


def mismatch(f: Functional, g: Functional, frame: Frame) -> float:
    """max |L_f g - L_g f| on the edge where two faces meet, relative to the size of both."""
    points = frame.points({f.axis: f.end, g.axis: g.end})
    ours = frame.at(g.value, f.axis, f.end, f.coefficients)
    theirs = frame.at(f.value, g.axis, g.end, g.coefficients)
    a, b, f_size, g_size = frame.values([ours, theirs, f.value, g.value], points)
    return float(np.max(np.abs(a - b))) / max(1.0, float(np.max(np.abs(f_size))), float(np.max(np.abs(g_size))))


# -- the field
def build(functionals: Sequence[Functional], frame: Frame) -> Dressing:
    """The form of one field that satisfies all functionals.  Raises TooMuch."""
    space = frame.space
    lift, factor = ad.Array(ad.lift(0.0), space), ad.Array(ad.lift(1.0), space)
    choices: list[list[tuple[ad.Array, tuple[str, ...]]]] = []
    for axis in frame.axes:
        here = [f for f in functionals if f.axis == axis]
        if not here:
            continue
        ordered = sorted(here, key=lambda f: f.end)
        ends = ([f.coefficients for f in ordered if f.end == 0], [f.coefficients for f in ordered if f.end == 1])
        try:
            profile = Profile.of(ends)
        except (ValueError, np.linalg.LinAlgError):
            raise TooMuch("what it prescribes depends on another condition at the same face", ordered[1:] or ordered) from None
        s = frame.scaled(axis)
        lift = sum((polynomial(p, s) * (f.value - frame.at(lift, axis, f.end, f.coefficients))
                    for f, p in zip(ordered, profile.dual, strict=True)), start=lift)
        if sum(1 for _ in ad.walk([lift.node])) > MOST_NODES:
            raise TooMuch("interpolating data over so many faces costs more than learning them",
                          [f for f in functionals if f.axis != space.time] or list(functionals))
        vanishing = as_array(profile.factor(s), space)
        factor = factor * vanishing
        choices.append([(vanishing, ())] + [(as_array(polynomial(q, s), space), (axis,)) for q in profile.free])
    traces = []
    for chosen in itertools.product(*choices):
        fixed = tuple(name for _, names in chosen for name in names)
        if fixed:
            weight = ad.Array(ad.lift(1.0), space)
            for one, _ in chosen:
                weight = weight * one
            traces.append((weight, fixed))
    if len(traces) > MOST_TRACES:
        slopes = [f for f in functionals if len(f.coefficients) > 1 and f.axis != space.time]
        raise TooMuch(f"slopes at so many faces would take {len(traces)} more networks", slopes[-1:] or list(functionals))
    return Dressing(as_array(lift, space), as_array(factor, space), tuple(traces))


def as_data(value: float) -> ad.Array:
    """A number that is no part of the program, so that another one needs no other kernel."""
    return ad.Array(ad.datum(np.array(value)))


def as_array(value: Any, space: JetSpace) -> ad.Array:
    return ad.Array(ad.lift(value), space)


def violated(dressing: Dressing, functionals: Sequence[Functional], frame: Frame) -> float:
    """The greatest |L u - g| over the functionals, relative to the size of the data, for the lift, which alone decides it."""
    worst = 0.0
    for f in functionals:
        points = frame.points({f.axis: f.end})
        got, asked = frame.values([frame.at(dressing.lift, f.axis, f.end, f.coefficients), f.value], points)
        gap = float(np.max(np.abs(got - asked))) / max(1.0, float(np.max(np.abs(asked))))
        worst = max(worst, gap if np.isfinite(gap) else np.inf)
    return worst


def judge(dressing: Dressing, violation: float, functionals: list[Functional], frame: Frame) -> tuple[str, list[Functional]]:
    """Why a form will not do, and which functionals to give up; ("", []) if it will."""
    if not finite(dressing.lift, frame):
        lone = [f for f in functionals if not finite(f.value, frame)]
        return "its data, or their derivatives, are not finite everywhere", lone or functionals
    if not violation <= AGREE:
        return f"the field would miss it by {violation:.1e}", functionals
    return "", []


def finite(array: ad.Array, frame: Frame) -> bool:
    """Whether an expression and its first and second derivatives are finite, corners included."""
    nodes = [array] + [frame.space.derivative(array, (name,) * k) for name in frame.axes for k in (1, 2)]
    return bool(np.isfinite(frame.values(nodes, frame.points({}))).all())


def remaining(terms: Sequence[Term], done: set[tuple[int, str]]) -> Iterable[Term]:
    """The terms without the pieces of their regions on which they hold by construction."""
    for term in terms:
        left = tuple(piece for piece in term.region.pieces if (id(term), piece.name) not in done)
        if len(left) == len(term.region.pieces):
            yield term
        elif left:
            yield replace(term, region=replace(term.region, pieces=left, name=" | ".join(piece.name for piece in left)))


__all__ = ["Dressing", "Imposition", "as_data", "impose", "impose_by", "nothing_imposed"]
