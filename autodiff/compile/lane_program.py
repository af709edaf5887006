"""LaneProgram: a program over whole arrays, compiled as the program of one of its points.

What all points share is computed first and laid out in one flat vector.  Then kernels run over tiles of points: they add up
what is summed over the points and keep what is asked of each of them.  What is made of the sums comes last.  Where points need
such a sum again (a value centred by its mean), there is a second round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import CompileError
from ..graph import CONSTANT, DATUM, VIEW, Node, substitute, symbol, view, walk
from ..primitive import TABLE
from ..rules.layout import Indices
from ..transforms import PerPoint, Unbatch, lower, rebuild
from ..types import FLOAT, SHARED
from .collapse import collapse
from .kernel import LARGEST, Bound, Kernel, Packed
from .padding import counted
from .point_program import is_readable, shared_values
from .point_sums import merge_sums, targets_of
from .schedule import Target
from .unrolled import unrolled
from .whole_program import WholeProgram
from .window import THETA, Column, Columns, Window, positions

Numbers = dict[Node, np.ndarray]


class LaneProgram:
    """`outputs` (SHARED nodes over whole arrays) of `inputs` (SYMBOL leaves), where the leading axis of `lanes` counts points.

    Lanes of different lengths are clouds of their own, each with its kernel.  `program(*numbers)` answers fresh arrays of the
    shapes and dtypes of the outputs, with the same bits for any number of `threads`.  Raises CompileError, with the `node`, for
    what mixes points or has no compiled form.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], lanes: Sequence[Node], name: str = "program",
                 threads: int = 1):  # fmt: skip
        self.inputs, self.outputs, self.name, self.threads = tuple(inputs), tuple(outputs), name, threads
        for lane in lanes:
            if not lane.shape or not lane.shape[0]:
                raise CompileError(f"a lane of shape {lane.shape} has no points", node=lane,
                                   fix="a lane is an array whose leading axis counts points", code="lanes")  # fmt: skip
        window, columns = Window(), Columns()
        mode = Unbatch({lane: columns.of(lane) for lane in lanes}, window.of, columns.of)
        values = [mode.of(y) for y in outputs]
        self._rows = {i: v for i, v in enumerate(values) if isinstance(v, PerPoint)}
        others = {i: v for i, v in enumerate(values) if not isinstance(v, PerPoint)}
        self._others = list(others)
        try:
            self._rounds, self._last, self._size = self._partition(list(others.values()), window, columns)
        except CompileError as error:
            raise CompileError(error.what, why=error.why, fix=error.fix, node=mode.origin(error.node),
                               code=error.code) from None  # fmt: skip
        self._lock = threading.Lock()

    def _partition(self, others: list[Node], window: Window, columns: Columns) -> tuple[list[Round], Shares, int]:
        """The rounds, what comes after them, and the length of the flat vector."""

        def length(total: Node) -> int:
            return next(columns.places[n].length for n in walk([total]) if n in columns.places)

        # what points ask for may itself be made of sums over points: these come from an earlier round
        asked = list(dict.fromkeys([*window.offsets, *(c.array for c in columns.places.values())]))
        merged = merge_sums([*asked, *others], length)
        sums = [n for n in walk(merged, stop=_is_sum) if _is_sum(n)]
        symbols = {n: symbol(("sum over points", k), n.shape, n.dtype, SHARED) for k, n in enumerate(sums)}
        stands = substitute(merged, symbols, rebuild) if sums else merged
        found = dict(zip(asked, stands, strict=False))
        order = Order({s: n.args[0] for n, s in symbols.items()}, [(found[n], at) for n, at in window.offsets.items()],
                      {point: found[c.array] for point, c in columns.places.items()})  # fmt: skip
        clouds: dict[tuple[int, int], Cloud] = {}
        single = _is_single(self.outputs)

        def cloud(node: Node, count: int) -> Cloud:
            return clouds.setdefault((order.of_point(node), count), Cloud(count, single))

        for n, s in symbols.items():
            cloud(n.args[0], length(n)).sums.append((s, n.args[0]))
        for i, v in self._rows.items():
            cloud(v.node, v.length).rows.append((i, v))
        leaves, rounds, size = [*self.inputs, *symbols.values()], [], window.size
        for k in range(max((k for k, _ in clouds), default=-1) + 1):
            mine = [clouds[key] for key in sorted(clouds) if key[0] == k]
            for c in mine:
                size = c.build(columns.places, order.arrays, size)
            ready = [(n, at) for n, at in order.values if order.of_shared(n) == k]
            rounds.append(Round(ready, mine, leaves, self.name))
        return rounds, Shares(stands[len(asked) :], leaves, f"{self.name}, after the points"), size

    def __call__(self, *numbers: np.ndarray) -> list[np.ndarray]:
        known: Numbers = dict(zip(self.inputs, numbers, strict=True))
        results: dict[int, np.ndarray] = {}
        with self._lock:
            theta = np.empty(self._size)
            for step in self._rounds:
                results |= step.run(known, theta, self.threads)
            results |= zip(self._others, self._last(known), strict=True)
        # an output that is asked for twice, or is an input, is an array of its own
        first = {y: i for i, y in reversed(list(enumerate(self.outputs)))}
        return [_fresh(results[i], y, bool(y.args) and first[y] == i) for i, y in enumerate(self.outputs)]

    def compile(self) -> float:
        """Compiles all that a call needs, without a call; answers the seconds it took, next to none if it was done before."""
        start = time.perf_counter()
        with self._lock:
            for step in self._rounds:
                step.compile(np.ones(self._size), self.threads)
            self._last.compile()
        return time.perf_counter() - start

    @property
    def source(self) -> str:
        """The generated source of all parts, in the order in which they run."""
        parts = [text for step in self._rounds for text in step.sources()] + [self._last.source]
        return "\n\n".join(text for text in parts if text)


def _is_sum(node: Node) -> bool:
    return node.op is TABLE["sum_points"]


def _is_single(outputs: Sequence[Node]) -> bool:
    """Whether all of a program is written in single precision."""
    return {n.dtype for n in walk(outputs) if n.dtype.kind == "f" and n.op is not CONSTANT} == {np.dtype(np.float32)}


def _fresh(value: np.ndarray, node: Node, own: bool) -> np.ndarray:
    whole = value if value.shape == node.shape else np.broadcast_to(value, node.shape)
    return np.array(whole, node.dtype, order="C", copy=None if own else True)


class Order:
    """In which round a value can be had: what depends on sums over points one round after the last of them."""

    def __init__(self, sums: Mapping[Node, Node], values: list[tuple[Node, int]], arrays: Mapping[Node, Node]):
        self.sums, self.values, self.arrays = sums, values, arrays
        self._known: dict[Node, int] = {}

    def of_shared(self, node: Node) -> int:
        if node not in self._known:
            below = [n for n in walk([node]) if n in self.sums]
            self._known[node] = max([1 + self.of_point(self.sums[s]) for s in below], default=0)
        return self._known[node]

    def of_point(self, node: Node) -> int:
        if node not in self._known:
            below = walk([node])
            read = [self.arrays[n] for n in below if n in self.arrays] + [self._behind(n) for n in below if n.op is VIEW]
            self._known[node] = max([self.of_shared(n) for n in read], default=0)
        return self._known[node]

    def _behind(self, window: Node) -> Node:
        """The value that a window looks into: the last that begins before it."""
        return max((v for v in self.values if v[1] <= window.attr[1]), key=lambda v: v[1])[0]


class Shares:
    """Shared values from those of some leaves: one program for all that has to be computed."""

    def __init__(self, nodes: Sequence[Node], leaves: Sequence[Node], name: str):
        self.nodes = list(nodes)
        self._made = list(dict.fromkeys(n for n in nodes if n.args))
        below = set(walk(self._made))
        self._used = [leaf for leaf in leaves if leaf in below]
        self._program = WholeProgram(self._used, self._made, name) if self._made else None

    def __call__(self, known: Numbers) -> list[np.ndarray]:
        if self._program is not None:
            made = self._program(*[known[leaf] for leaf in self._used])
            known = known | dict(zip(self._made, made, strict=True))
        return [known[n] if n in known else np.asarray(n.attr.value if n.op is DATUM else n.attr) for n in self.nodes]

    def compile(self) -> None:
        if self._program is not None:
            self._program.compile()

    @property
    def source(self) -> str:
        return "" if self._program is None else self._program.source


class Round:
    """Values that points read, written to their places in the flat vector, and then the clouds that can be run with them."""

    def __init__(self, values: Sequence[tuple[Node, int]], clouds: Sequence[Cloud], leaves: Sequence[Node], name: str):
        self.places, self.clouds = [at for _, at in values], clouds
        self.arrays = list(dict.fromkeys(a for c in clouds for a in c.arrays))
        self._shares = Shares([n for n, _ in values] + self.arrays, leaves, f"{name}, before the points")

    def run(self, known: Numbers, theta: np.ndarray, threads: int) -> dict[int, np.ndarray]:
        """Adds the sums to what is known; answers the rows by the number of their output."""
        values = self._shares(known)
        for at, value in zip(self.places, values, strict=False):
            theta[at : at + value.size] = value.ravel()
        arrays = dict(zip(self.arrays, values[len(self.places) :], strict=True))
        rows: dict[int, np.ndarray] = {}
        for cloud in self.clouds:
            rows |= cloud.run(known, arrays, theta, threads)
        return rows

    def compile(self, theta: np.ndarray, threads: int) -> None:
        self._shares.compile()
        for cloud in self.clouds:
            cloud.compile(theta, threads)

    def sources(self) -> list[str]:
        return [self._shares.source, *(c.kernel.source(c.length) for c in self.clouds)]


@dataclass(eq=False)
class Cloud:
    """What a kernel does with points of one number in one round: `sums` by their symbols, `rows` by their outputs."""

    length: int
    single: bool
    sums: list[tuple[Node, Node]] = field(default_factory=list)
    rows: list[tuple[int, PerPoint]] = field(default_factory=list)

    def build(self, places: Mapping[Node, Column], arrays: Mapping[Node, Node], size: int) -> int:
        """Plans the kernel; answers how long the flat vector is with what the kernel has to find there."""
        nodes = collapse(lower(unrolled([n for _, n in self.sums] + [v.node for _, v in self.rows])))
        real = "f32" if self.single else "f64"
        # the points that fill up the last tile must not count
        self.weight = symbol(("weight",)) if self.length % LARGEST[real] else None
        if self.weight is not None:
            nodes[: len(self.sums)] = counted(nodes[: len(self.sums)], self.weight)
        targets, self._sum_places, self._row_places = self._targets(nodes)
        targets, size = self._read(targets, size)
        used = [n for n in walk([t.node for t in targets]) if n in places]
        columns = [n for n in places if n in set(used)]
        self._columns = [(i, arrays[n], places[n]) for i, n in enumerate(columns)]
        self.arrays = [a for _, a, _ in self._columns]
        numbers = {n: i for i, n in enumerate([*columns, *([self.weight] if self.weight else [])])}
        self.kernel = Kernel(targets, numbers, sums=self._sum_places[-1], rows=self._row_places[-1], real=real)
        self._bound: Bound | None = None
        return size

    def _targets(self, nodes: list[Node]) -> tuple[list[Target], list[int], list[int]]:
        sums, rows = nodes[: len(self.sums)], nodes[len(self.sums) :]
        at = [np.cumsum([0] + [int(np.prod(n.shape)) for n in part]).tolist() for part in (sums, rows)]
        targets = [t for n, place in zip(sums, at[0], strict=False) for t in targets_of(n, "sum", place)]
        targets += [t for n, place in zip(rows, at[1], strict=False) for t in targets_of(n, "row", place)]
        return targets, at[0], at[1]

    def _read(self, targets: list[Target], size: int) -> tuple[list[Target], int]:
        """The targets, where shared values that a loop cannot read in place are windows that are filled before it."""
        hard = [n for n in shared_values([t.node for t in targets]) if not is_readable(n)]
        base, moved, self._hard_places = symbol((THETA,), (size,), FLOAT, SHARED), {}, []
        for n in hard:
            moved[n] = view(THETA, size, n.shape)
            self._hard_places.append(size)
            size += int(np.prod(n.shape))
        windows = {n: TABLE["take"].make((base,), Indices(positions(n))) for n in walk(hard) if n.op is VIEW}
        self._base, self._hard = base, Shares(substitute(hard, windows, rebuild), [base], "before the points")
        nodes = substitute([t.node for t in targets], moved, rebuild) if hard else [t.node for t in targets]
        return [replace(t, node=n) for t, n in zip(targets, nodes, strict=True)], size

    def _over_points(self, threads: int) -> Bound:
        """The kernel with memory for all points, whose columns every call writes anew; the weight stays."""
        if self._bound is None:
            count = len(self.kernel.columns)
            P, weight = self.kernel.tile(self.length), count - 1 if self.weight else None
            self._bound = Bound(self.kernel, Packed(np.ones((self.length, count)), P, self.kernel.dtype, weight), threads)
        return self._bound

    def compile(self, theta: np.ndarray, threads: int) -> None:
        self._hard.compile()
        self._over_points(threads)(theta)

    def run(self, known: Numbers, arrays: Numbers, theta: np.ndarray, threads: int) -> dict[int, np.ndarray]:
        if self._hard_places:
            values = self._hard({self._base: theta[: self._base.shape[0]]})
            for at, value, n in zip(self._hard_places, values, self._hard.nodes, strict=True):
                theta[at : at + int(np.prod(n.shape))] = np.broadcast_to(value, n.shape).ravel()
        bound = self._over_points(threads)
        for i, array, c in self._columns:
            bound.packed.set(i, np.moveaxis(arrays[array], c.axis, 0).reshape(self.length, -1)[:, c.cell])
        total = bound(theta)
        for (s, n), at in zip(self.sums, self._sum_places, strict=False):
            known[s] = total[at : at + int(np.prod(n.shape))].reshape(n.shape).astype(s.dtype)
        if not self.rows:
            return {}
        table = bound.rows()
        return {i: np.moveaxis(table[:, at : at + int(np.prod(v.node.shape))].reshape(-1, *v.node.shape), 0, v.axis)
                for (i, v), at in zip(self.rows, self._row_places, strict=False)}  # fmt: skip
