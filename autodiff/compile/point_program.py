"""PointProgram: residuals written for one point, turned into the kernels that optimizers ask for.

From one traced program come the loss, the loss with its gradient, the residual vector, the rows of its Jacobian, J v, J^T w and
H v.  The gradient is the sum over points of the cotangents of the weights, a Jacobian row is the cotangent itself, J v the
tangent, and the product with the Hessian H of the loss the sum of the tangents of the cotangents.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..array import Array
from ..errors import CompileError, ShapeError
from ..graph import CONSTANT, DATUM, SYMBOL, VIEW, Node, constant, digest, substitute, symbol, view, walk
from ..interpret import evaluate
from ..primitive import TABLE, broadcast
from ..transforms import forward, lower, rebuild, reverse
from ..types import POINT, SHARED
from .kernel import Bound, Kernel, Packed, first_call
from .schedule import Target

ONE = constant(1.0)
WORTH_A_COLUMN = 6  # the cost of arithmetic that a load from memory replaces with profit
BLOCK = 4096        # points at which known parts are evaluated at once: their intermediate values stay small


class PointProgram:
    """Residuals (POINT scalars) of columns (POINT scalars) and of weights, which are views of the flat vector "theta".

    `columns` are in the order of the columns of the point array.  Raises CompileError if a residual sums over points, or uses
    an input that is not among the columns.
    """

    def __init__(self, columns: Sequence[Array], residuals: Sequence[Array], parameters: int):
        self.columns = [c.node for c in columns]
        self.parameters, self.terms = parameters, len(residuals)
        nodes = lower([r.node for r in residuals], differentiated=True)
        for k, n in enumerate(nodes):
            _check_residual(k, n, self.columns)
        # what the coordinates alone decide (a source term, boundary data) is computed once per cloud, as further columns
        self.known = Known(nodes, self.columns)
        # what weights alone decide but a kernel cannot read in place is computed once per call, before the points
        self.prologue = Prologue(self.known.residuals, parameters)
        self.residuals = self.prologue.residuals
        self.size = parameters + self.prologue.size
        self.weight = symbol(("weight",))
        self.factors = [symbol(("factor", k)) for k in range(self.terms)]
        self._views = [n for n in walk(self.residuals) if n.op is VIEW]
        self._kernels: dict[tuple[str, str], Kernel] = {}
        self._lock = threading.Lock()

    # -- kernels ------------------------------------------------------------------------------------------------------------
    def kernel(self, kind: str, real: str = "f64") -> Kernel:
        """The kernel of one kind: "loss", "loss_and_gradient", "residual", "jacobian", "jvp", "vjp" or "hvp"."""
        with self._lock:
            if (kind, real) not in self._kernels:
                self._kernels[kind, real] = getattr(self, f"_{kind}_kernel")(real)
            return self._kernels[kind, real]

    @cached_property
    def _squares(self) -> list[Node]:
        times = TABLE["multiply"].make
        return [times((self.weight, times((r, r)))) for r in self.residuals]

    @property
    def weight_column(self) -> int:
        return len(self.columns) + len(self.known.symbols)

    @cached_property
    def _column_numbers(self) -> dict[Node, int]:
        return {node: i for i, node in enumerate([*self.columns, *self.known.symbols, self.weight, *self.factors])}

    def _kernel(self, targets: list[Target], real: str, **sizes) -> Kernel:
        return Kernel(targets, self._column_numbers, real=real, **sizes)

    def _loss_kernel(self, real: str) -> Kernel:
        return self._kernel([Target(s, "sum", k) for k, s in enumerate(self._squares)], real, sums=self.terms)

    def _loss_and_gradient_kernel(self, real: str) -> Kernel:
        targets = [Target(s, "sum", k) for k, s in enumerate(self._squares)]
        targets += self._cotangents(self._squares, [view("scale", k, ()) for k in range(self.terms)], "sum", self.terms)
        return self._kernel(targets, real, sums=self.terms + self.size, vectors=("theta", "scale"))

    def _hvp_kernel(self, real: str) -> Kernel:
        seeds = [view("scale", k, ()) for k in range(self.terms)]
        moved = forward([constant(0.0) if c is None else c for c in reverse(self._squares, seeds, self._views)], _tangent)
        return self._kernel(self._laid_out(moved, "sum", 0), real, sums=self.size, vectors=("theta", "scale", "tangent"))

    def _cotangents(self, outputs: list[Node], seeds: list[Node], kind: str, start: int) -> list[Target]:
        """Targets for the cotangents of all weights, laid out as theta is, from `start`."""
        return self._laid_out(reverse(outputs, seeds, self._views), kind, start)

    def _laid_out(self, found: Sequence[Node | None], kind: str, start: int) -> list[Target]:
        """Targets for one value per window of weights, laid out as theta is, from `start`; None is zero."""
        pairs = [(v, c) for v, c in zip(self._views, found, strict=True) if c is not None]
        lowered = lower([c for _, c in pairs])
        return [
            Target(broadcast(c, v.shape), kind, start + v.attr[1], v.attr[3])
            for (v, _), c in zip(pairs, lowered, strict=True)
        ]

    def _residual_kernel(self, real: str) -> Kernel:
        return self._kernel([Target(r, "row", k) for k, r in enumerate(self.residuals)], real, rows=self.terms)

    def _jacobian_kernel(self, real: str) -> Kernel:
        targets = []
        for k, r in enumerate(self.residuals):
            targets += self._cotangents([r], [ONE], "row", k * self.size)
        return self._kernel(targets, real, rows=self.terms * self.size)

    def _jvp_kernel(self, real: str) -> Kernel:
        moved = [constant(0.0) if t is None else t for t in forward(self.residuals, _tangent)]
        targets = [Target(t, "row", k) for k, t in enumerate(lower(moved))]
        return self._kernel(targets, real, rows=self.terms, vectors=("theta", "tangent"))

    def _vjp_kernel(self, real: str) -> Kernel:
        return self._kernel(self._cotangents(self.residuals, self.factors, "sum", 0), real, sums=self.size)

    def bind(self, points: np.ndarray, weights: np.ndarray, threads: int = 1, dtype: str = "float64") -> BoundProgram:
        """The program over a cloud: `points` (points, columns), `weights` (points,).  Kernels are shared between clouds."""
        points, weights = np.asarray(points, np.float64), np.asarray(weights, np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.columns):
            raise ShapeError(f"the points have shape {points.shape}, but the program has {len(self.columns)} columns",
                             fix="pass an array of shape (points, columns)", code="points-shape")  # fmt: skip
        if weights.shape != points.shape[:1]:
            raise ShapeError(f"{weights.shape} weights for {points.shape[0]} points", why="a point has one weight",
                             fix="np.full(len(points), 1.0 / len(points))", code="points-shape")  # fmt: skip
        return BoundProgram(self, points, weights, threads, {"float64": "f64", "float32": "f32"}[np.dtype(dtype).name])

    def compile(self, kind: str = "loss_and_gradient", points: int = 1 << 30, dtype: str = "float64") -> float:
        """Compiles one kind of kernel for this number of points; returns the seconds it took."""
        count = min(points, 256)
        real = {"float64": "f64", "float32": "f32"}[np.dtype(dtype).name]
        kernel = self.kernel(kind, real)
        P = kernel.tile(points)
        packed = Packed(np.full((count, len(self._column_numbers)), 0.5), P, kernel.dtype, self.weight_column)
        vectors = {"theta": np.full(self.size, 0.1), "scale": np.ones(self.terms), "tangent": np.ones(self.size)}
        return first_call(Bound(kernel, packed, 1), *[vectors[v] for v in kernel.vectors])

    def is_compiled(self, kind: str, points: int = 1 << 30, dtype: str = "float64") -> bool:
        """Whether a call of this kind, over this number of points, has nothing to compile any more."""
        kernel = self._kernels.get((kind, {"float64": "f64", "float32": "f32"}[np.dtype(dtype).name]))
        return kernel is not None and kernel.is_compiled(kernel.tile(points))

    def gemm_flops(self, kind: str = "loss_and_gradient") -> int:
        """Floating point operations of the matrix products, per point."""
        return self.kernel(kind).plan.gemm_flops()


class BoundProgram:
    """A PointProgram over one cloud of points; every method takes the flat float64 vector theta."""

    def __init__(self, program: PointProgram, points: np.ndarray, weights: np.ndarray, threads: int, real: str):
        self.program, self.threads, self.real = program, threads, real
        self.count = points.shape[0]
        fill = np.zeros((self.count, program.terms))
        self._table = np.concatenate([points, program.known.table(points), weights[:, None], fill], axis=1)
        self._packed: dict[int, Packed] = {}
        self._bound: dict[str, Bound] = {}
        self._scale = np.ones(program.terms)

    def _run(self, kind: str) -> Bound:
        if kind not in self._bound:
            kernel = self.program.kernel(kind, self.real)
            P = kernel.tile(self.count)
            if P not in self._packed:
                self._packed[P] = Packed(self._table, P, kernel.dtype, self.program.weight_column)
            self._bound[kind] = Bound(kernel, self._packed[P], self.threads)
        return self._bound[kind]

    def loss(self, theta: np.ndarray) -> np.ndarray:
        """terms[k] = sum_p weights[p] residual_k(p)^2, shape (terms,)."""
        return self._run("loss")(self.program.prologue.extend(theta))[: self.program.terms].copy()

    def loss_and_gradient(self, theta: np.ndarray, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(terms (terms,), gradient (parameters,)) of sum_k scale[k] terms[k]."""
        program = self.program
        full = program.prologue.extend(theta)
        total = self._run("loss_and_gradient")(full, self._scale if scale is None else scale)
        k = program.terms
        return total[:k].copy(), program.prologue.pull(theta, total[k:])

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """Residuals (points, terms)."""
        bound = self._run("residual")
        bound(self.program.prologue.extend(theta))
        return bound.rows()

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Rows of the Jacobian of the residuals, (points, terms, parameters); in memory points come last."""
        bound = self._run("jacobian")
        bound(self.program.prologue.extend(theta))
        rows = bound.columns().T.reshape(self.program.terms, self.program.size, self.count).transpose(2, 0, 1)
        return self.program.prologue.pull_rows(theta, rows)

    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """J v, (points, terms)."""
        bound = self._run("jvp")
        bound(self.program.prologue.extend(theta), self.program.prologue.push(theta, np.asarray(v, np.float64)))
        return bound.rows()

    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
        """J^T w for w of shape (points, terms); returns (parameters,)."""
        bound = self._run("vjp")
        first = self.program.weight_column + 1
        for k in range(self.program.terms):
            # padded points repeat the last one: their factor must be zero
            bound.packed.set(first + k, np.asarray(w, np.float64)[:, k], zero=True)
        return self.program.prologue.pull(theta, bound(self.program.prologue.extend(theta)))

    def hvp(self, theta: np.ndarray, v: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        """H v `(parameters,)` for the Hessian H of sum_k scale[k] terms[k]: forward mode over reverse mode."""
        program, v = self.program, np.ascontiguousarray(v, np.float64)
        prologue, scale = program.prologue, self._scale if scale is None else scale
        full = prologue.extend(theta)
        straight = prologue.pull(theta, self._run("hvp")(full, scale, prologue.push(theta, v)))
        if not prologue.moves:
            return straight
        gradient = self._run("loss_and_gradient")(full, scale)[program.terms:]
        return straight + prologue.bend(theta, gradient, v)


class Known:
    """Parts of residuals that depend on the columns alone and are worth a column of their own: evaluated when points are bound.

    The largest such parts are found; arithmetic cheaper than the load that would replace it stays in the kernel.
    """

    def __init__(self, residuals: list[Node], columns: list[Node]):
        below = walk(residuals)
        fixed = {n.serial for n in columns}
        for n in below:  # numbers and the user's arrays are known, too
            if n.op in (CONSTANT, DATUM) or (n.args and all(a.serial in fixed for a in n.args)):
                fixed.add(n.serial)
        reached = {r.serial: r for r in residuals} | {a.serial: a for n in below if n.serial not in fixed for a in n.args}
        whole = [n for n in reached.values() if n.serial in fixed and n.lane is POINT and n.shape == () and n.dtype.kind == "f"]
        worth = [n for n in whole if n.args and _work(n) >= WORTH_A_COLUMN]
        self.columns, self.values = columns, sorted(worth, key=digest)
        self.symbols = [symbol(("known", i)) for i in range(len(self.values))]
        replacement = dict(zip(self.values, self.symbols, strict=True))
        self.residuals = substitute(residuals, replacement, rebuild) if replacement else residuals

    def table(self, points: np.ndarray) -> np.ndarray:
        """The further columns (points, known)."""
        parts = []
        for start in range(0, len(points), BLOCK):
            block = points[start : start + BLOCK]
            symbols = {column: block[:, i] for i, column in enumerate(self.columns)}
            parts.append(np.reshape(evaluate(self.values, symbols, points=len(block)), (len(self.values), len(block))).T)
        return np.concatenate(parts) if parts else np.zeros((0, len(self.values)))


def _work(node: Node) -> int:
    """The cost of computing a node from the columns."""
    return sum(_price(n) for n in walk([node]) if n.args)


def _price(node: Node) -> int:
    return node.op.cost if node.op.sort in ("elementwise", "select") else WORTH_A_COLUMN


class Prologue:
    """Shared values that a kernel cannot read in place (a normalised weight, a user's array, a sum of weights).

    They are computed before the points, appended to theta, and their cotangents are pulled back afterwards; without any,
    everything passes through untouched.
    """

    def __init__(self, residuals: list[Node], parameters: int):
        shared = shared_values(residuals)
        hard = [n for n in shared if not is_readable(n)]
        # a number that is data stands alone: what is made of it and of weights is read in place
        numbers = [n for n in walk([n for n in shared if is_readable(n)]) if n.op is DATUM]
        self.parameters, self.values = parameters, [*hard, *sorted(numbers, key=digest)]
        self.size, replacement = 0, {}
        for n in self.values:
            replacement[n] = view("theta", parameters + self.size, n.shape)
            self.size += int(np.prod(n.shape))
        self.residuals = substitute(residuals, replacement, rebuild) if replacement else residuals
        self._views = [n for n in walk(hard) if n.op is VIEW]

    @property
    def moves(self) -> bool:
        """Whether any of the values depends on weights."""
        return bool(self._views)

    def extend(self, theta: np.ndarray) -> np.ndarray:
        theta = np.ascontiguousarray(theta, np.float64)
        if not self.values:
            return theta
        return self._append(theta, evaluate(self.values, vectors={"theta": theta}))

    def _append(self, vector: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
        flat = [np.ravel(np.broadcast_to(p, n.shape)) for p, n in zip(parts, self.values, strict=True)]
        return np.concatenate([vector, *flat])

    @cached_property
    def _jacobian(self) -> list[tuple[Node, list[tuple[Node, Node | None]]]]:
        seeds = [symbol(("seed", i), n.shape, lane=SHARED) for i, n in enumerate(self.values)]
        found = reverse(self.values, seeds, self._views)
        return [(seed, []) for seed in seeds] + [(constant(0.0), list(zip(self._views, found, strict=True)))]

    @cached_property
    def _bending(self) -> list[tuple[Node, Node | None]]:
        """The tangents of what `pull` adds to each window: the second derivatives of the values."""
        pairs = self._jacobian[-1][1]
        moved = forward([constant(0.0) if c is None else c for _, c in pairs], _tangent)
        return [(v, t) for (v, _), t in zip(pairs, moved, strict=True)]

    def pull(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The gradient in theta from the gradient in (theta, values)."""
        direct = gradient[: self.parameters].copy()
        if self.moves:
            self._add(direct, self._jacobian[-1][1], gradient, {"theta": theta})
        return direct

    def bend(self, theta: np.ndarray, gradient: np.ndarray, v: np.ndarray) -> np.ndarray:
        """How `pull` of a fixed gradient in (theta, values) changes as theta moves along `v`."""
        change = np.zeros(self.parameters)
        self._add(change, self._bending, gradient, {"theta": theta, "tangent": v})
        return change

    def _add(self, to: np.ndarray, pairs: list[tuple[Node, Node | None]], gradient: np.ndarray,
             vectors: dict[str, np.ndarray]) -> None:  # fmt: skip
        """Adds to each window of `to` what its node says, given the gradient in the values."""
        at, symbols = self.parameters, {}
        for (seed, _), n in zip(self._jacobian, self.values, strict=False):
            size = int(np.prod(n.shape))
            symbols[seed] = gradient[at : at + size].reshape(n.shape)
            at += size
        live = [(v, c) for v, c in pairs if c is not None]
        for (v, c), g in zip(live, evaluate([c for _, c in live], symbols, vectors), strict=True):
            _, offset, shape, strides = v.attr
            window = np.lib.stride_tricks.as_strided(to[offset:], shape, [8 * s for s in strides])
            window += np.broadcast_to(g, c.shape) if c.shape == shape else np.broadcast_to(g, shape)

    def pull_rows(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if not self._views:
            return rows[..., : self.parameters]
        flat = rows.reshape(-1, rows.shape[-1])
        return np.stack([self.pull(theta, row) for row in flat]).reshape(*rows.shape[:-1], self.parameters)

    def push(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The tangent of (theta, values) from the tangent of theta."""
        if not self.values:
            return v
        moved = forward(self.values, _tangent)
        parts = [np.zeros(n.shape) if t is None else evaluate([t], vectors={"theta": theta, "tangent": v})[0]
                 for n, t in zip(self.values, moved, strict=True)]  # fmt: skip
        return self._append(v, parts)


def _tangent(node: Node) -> Node | None:
    """The tangent of a window of theta: the same window of the vector "tangent"."""
    return view("tangent", *node.attr[1:]) if node.op is VIEW and node.attr[0] == "theta" else None


def shared_values(residuals: list[Node]) -> list[Node]:
    """The SHARED nodes that per-point nodes read."""
    seen: dict[int, Node] = {}
    for n in walk(residuals, stop=lambda n: n.lane is SHARED):
        if n.lane is SHARED:
            seen[n.serial] = n
    return sorted(seen.values(), key=digest)


def is_readable(node: Node) -> bool:
    """Whether a loop can read a SHARED value in place: a number, a window of theta, arithmetic on such vectors and numbers."""
    if node.op is DATUM:
        return node.shape == ()
    if not node.args:
        return True
    if node.ndim > 1:
        return False
    fill = node.op is TABLE["broadcast"] and node.args[0].shape == ()
    plain = node.op.sort in ("elementwise", "select") and bool(node.op.source)
    return (fill or plain) and all(is_readable(a) for a in node.args)


def _check_residual(k: int, node: Node, columns: list[Node]) -> None:
    for n in walk([node]):
        if n.op.sort == "reduction":
            raise CompileError(
                f"residual {k} feeds a sum over points back into the points",
                why="a kernel sees one tile of points at a time, so the whole sum is not known when a point needs it",
                fix="compute the sum in a separate program and pass its value as a coefficient",
                code="sum-over-points",
            )
        if n.op is SYMBOL and n.lane is POINT and n not in columns:
            raise CompileError(f"residual {k} uses {n.attr[0]!r}, which is not among the columns of the points",
                               fix="pass it with the columns of the PointProgram", code="unknown-column")  # fmt: skip
    if node.shape != ():
        raise CompileError(f"residual {k} has shape {node.shape} per point", why="a residual is one number at each point",
                           fix="return one scalar for each equation", code="residual-shape")  # fmt: skip
