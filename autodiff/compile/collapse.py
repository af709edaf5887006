"""Channels of a network that matter only together are carried as one: the derivatives in u_t - k u_xx, or in a Laplacian.

A layer multiplies its weight with one vector for each derivative that is asked for.  If all that a program wants depends on
two of these products, P = W p and Q = W q, only as P + c Q, then W (p + c q) may stand in the place of P, and zero in that of
Q: one channel less, forward and on the way back (the forward Laplacian of Li et al. 2023, arXiv:2307.08214, found afterwards).

That it is so is tried on random numbers, as identities of functions are (Schwartz 1980, doi:10.1145/322217.322225): moving P
and Q so that P + c Q stays must change nothing.  The rewritten program is tried against the old one in the same way, and
dropped if it differs.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import CONSTANT, SYMBOL, VIEW, Node, constant, digest, substitute, symbol, walk
from ..interpret import evaluate
from ..primitive import TABLE, broadcast
from ..transforms import rebuild
from ..types import POINT
from .schedule import is_product, outer_terms

STEP = 1e-4     # of the differences that find a ratio
CLOSE = 1e-4    # how far the ratio they find may be from one that is written in the program
EXACT = 1e-9    # how far the values of equal programs may be apart, relatively
TRIALS = 3      # random points at which programs are compared
MOST = 12       # products of one weight: pairs of more are not tried
SEED = 20230717


@dataclass(frozen=True, eq=False)
class Relation:
    """Products `kept` and `dropped` of one weight that matter only as kept + ratio * dropped."""

    kept: Node
    dropped: Node
    ratio: float


def collapse(nodes: Sequence[Node]) -> list[Node]:
    """The same values per point, with as few products of weights as they need."""
    nodes = list(nodes)
    groups: dict[int, list[Node]] = defaultdict(list)
    for n in walk(nodes):
        if is_product(n) and n.args[1].lane is POINT:
            groups[n.args[0].serial].append(n)
    tried = [g for g in groups.values() if 2 < len(g) <= MOST]
    if not tried:
        return nodes
    numbers, written = Numbers(nodes), _ratios(nodes)
    # what holds for the vectors holds for the matrices, whose gradients come from the same loss; all are compared in the end
    some = [n for n in nodes if n.ndim < 2] or nodes
    with np.errstate(all="ignore"):
        relations = [r for products in tried for r in _relations(some, products, numbers, written)]
        if not relations:
            return nodes
        collapsed = _tidied(_exchanged(nodes, relations), relations)
        return collapsed if numbers.agree(nodes, collapsed) else nodes


class Numbers:
    """Random numbers for the leaves of a program."""

    def __init__(self, nodes: Sequence[Node]):
        rng = np.random.default_rng(SEED)
        leaves = [n for n in walk(nodes) if not n.args]
        length = max([n.attr[1] + 1 + sum((k - 1) * s for k, s in zip(n.shape, n.attr[3], strict=True))
                      for n in leaves if n.op is VIEW], default=1)  # fmt: skip
        width = max([n.shape[-1] for n in leaves if n.op is VIEW and n.ndim == 2], default=1)
        self.vectors = {n.attr[0]: rng.standard_normal(length) / np.sqrt(width) for n in leaves if n.op is VIEW}
        self.symbols = {n: rng.uniform(0.2, 0.9, (TRIALS, *n.shape)) for n in leaves if n.op is SYMBOL}
        self.directions = rng

    def at(self, nodes: Sequence[Node]) -> list[np.ndarray]:
        return evaluate(nodes, self.symbols, self.vectors, TRIALS)

    def moved(self, nodes: Sequence[Node], given: Mapping[Node, np.ndarray]) -> np.ndarray:
        """All values side by side (rows, ...) at the first point, with a row for each of those of the `given` symbols."""
        rows = len(next(iter(given.values())))
        symbols = {n: np.repeat(x[:1], rows, axis=0) for n, x in self.symbols.items()} | dict(given)
        found = evaluate(nodes, symbols, self.vectors, rows)
        parts = [np.broadcast_to(x, (rows, *n.shape)).reshape(rows, -1) for n, x in zip(nodes, found, strict=True)]
        # every value counts the same, whatever its size
        return np.concatenate([x / (np.abs(x).max() or 1.0) for x in parts], axis=1)

    def agree(self, old: Sequence[Node], new: Sequence[Node]) -> bool:
        pairs = zip(self.at(old), self.at(new), strict=True)
        return all(np.allclose(x, y, rtol=0, atol=EXACT * np.abs(x).max()) for x, y in pairs)


def _relations(nodes: list[Node], products: list[Node], numbers: Numbers, written: np.ndarray) -> list[Relation]:
    """The products that follow another one, each found with a ratio that is written in the program."""
    stands = {p: symbol(("product", k), p.shape) for k, p in enumerate(products)}
    below = substitute(nodes, stands, rebuild)
    base = dict(zip(stands.values(), (x[0] for x in numbers.at(products)), strict=True))
    step = numbers.directions.standard_normal(products[0].shape)
    leaves = list(base)

    def values(moves: list[dict[Node, float]]) -> np.ndarray:
        rows = {s: np.stack([base[s] + move.get(s, 0.0) * step for move in moves]) for s in leaves}
        return numbers.moved(below, rows)

    moved = values([{s: sign * STEP} for s in leaves for sign in (1.0, -1.0)])
    slopes = (moved[::2] - moved[1::2]) / (2 * STEP)
    if not np.isfinite(slopes).all():
        return []
    found, followers = [], set()
    for i, j in itertools.combinations(range(len(products)), 2):
        size = slopes[i] @ slopes[i]
        if i in followers or j in followers or not size:
            continue
        ratio = slopes[i] @ slopes[j] / size
        if not ratio or np.abs(slopes[j] - ratio * slopes[i]).max() > CLOSE * np.abs(slopes[j]).max():
            continue
        away = np.abs(written - ratio)
        for c in written[np.argsort(away, kind="stable")[: min(4, np.count_nonzero(away < CLOSE * abs(ratio)))]].tolist():
            still = values([{}, {leaves[i]: -c, leaves[j]: 1.0}, {leaves[i]: 2.0 * c, leaves[j]: -2.0}])
            if np.abs(still - still[0]).max() < EXACT and products[i] not in walk([products[j].args[1]]):
                found.append(Relation(products[i], products[j], c))
                followers.add(j)
                break
    return found


def _ratios(nodes: list[Node]) -> np.ndarray:
    """The numbers that a program could mean by a ratio: those written in it, and their quotients."""
    numbers = {abs(float(n.attr)) for n in walk(nodes) if n.op is CONSTANT and n.attr and np.isfinite(n.attr)} | {1.0}
    written = sorted(numbers)[:64]
    # by their first digits: a quotient that is a written number up to rounding is that number
    quotients = {f"{a / b:.12e}": a / b for a in written for b in written} | {f"{a:.12e}": a for a in written}
    return np.array(sorted({*quotients.values(), *(-q for q in quotients.values())}))


def _exchanged(nodes: list[Node], relations: list[Relation]) -> list[Node]:
    """Each kept product multiplied with all that it stands for, each dropped one zero."""
    count = len(nodes)
    involved = list(dict.fromkeys(p for r in relations for p in (r.kept, r.dropped)))
    # what comes later in the network is seen through every exchange before it
    now = [*nodes, *involved]
    for kept in dict.fromkeys(r.kept for r in relations):
        mine = [r for r in relations if r.kept is kept]
        at = {p: now[count + involved.index(p)] for p in (kept, *(r.dropped for r in mine))}
        vector = _combined([(1.0, at[kept].args[1]), *((r.ratio, at[r.dropped].args[1]) for r in mine)])
        exchange = {at[r.dropped]: broadcast(constant(0.0), r.dropped.shape) for r in mine}
        exchange[at[kept]] = at[kept].op.make((at[kept].args[0], vector), at[kept].attr)
        open_ = [k for k in range(len(now)) if k < count or involved[k - count] not in at]
        for k, n in zip(open_, substitute([now[k] for k in open_], exchange, rebuild), strict=True):
            now[k] = n
    return now[:count]


def _combined(terms: Sequence[tuple[float, Node]]) -> Node:
    """sum of number * node, in an order that depends on the nodes alone, so that the same sum is the same node."""
    total = None
    for number, n in sorted(terms, key=lambda term: digest(term[1])):
        part = n if number == 1.0 else broadcast(TABLE["multiply"].make((constant(number), n)), n.shape)
        total = part if total is None else TABLE["add"].make((total, part))
    assert total is not None
    return total


def _tidied(nodes: list[Node], relations: list[Relation]) -> list[Node]:
    """Products with multiples of one vector as one product, outer products with multiples of one side as one."""
    new: dict[int, Node] = {}
    known: dict[tuple, tuple[float, Node]] = {}
    written = list(dict.fromkeys([r.ratio for r in relations] + [float(n.attr) for n in walk(nodes) if n.op is CONSTANT]))
    for n in walk(nodes):
        args = tuple(new[a.serial] for a in n.args)
        same = all(a is b for a, b in zip(args, n.args, strict=True))
        y = n if same else n.op.make(args, n.attr)
        if is_product(y):
            number, rest = _split(y.args[1])
            first, product = known.setdefault((y.args[0].serial, rest.serial), (number, y))
            y = y if product is y else TABLE["multiply"].make((constant(_exactly(number / first, written)), product))
        new[n.serial] = y
    inputs = {n.args[1].serial for n in walk([new[n.serial] for n in nodes]) if is_product(n)}
    return [_gathered(new[n.serial], written, inputs) if n.ndim == 2 else new[n.serial] for n in nodes]


def _split(x: Node) -> tuple[float, Node]:
    """The number that a value begins with, and the rest."""
    if x.op is TABLE["multiply"] and x.args[0].op is CONSTANT:
        return float(x.args[0].attr), broadcast(x.args[1], x.shape)
    return 1.0, x


def _exactly(ratio: float, written: Sequence[float]) -> float:
    """The number of the program that a ratio is up to rounding, so that what was written twice is computed once."""
    return next((c for c in written if abs(ratio - c) <= 1e-14 * abs(c)), ratio)


def _gathered(node: Node, written: Sequence[float], inputs: set[int]) -> Node:
    """A sum of outer products, those with multiples of one right or left side as one; `inputs` have a place in any case."""
    pairs = outer_terms(node)
    for side in (1, 0):
        groups: dict[int, list[tuple[float, tuple[Node, Node]]]] = defaultdict(list)
        for pair in pairs:
            number, rest = _split(pair[side])
            groups[rest.serial].append((number, pair))
        pairs = []
        for group in groups.values():
            choices = []
            for first, base in group if len(group) <= MOST else group[:1]:
                other = _combined([(_exactly(number / first, written), pair[1 - side]) for number, pair in group])
                choices.append((other, base[1]) if side else (base[0], other))
            pairs.append(next((c for c in choices if c[1 - side].serial in inputs), choices[0]))
    total = None
    for pair in pairs:
        term = TABLE["contract"].make(pair, "a,b->ab")
        total = term if total is None else TABLE["add"].make((total, term))
    assert total is not None
    return total
