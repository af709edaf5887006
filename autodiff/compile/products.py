"""The matrix products of a tile: register-blocked micro-kernels written straight into LLVM.

A numba loop leaves the width of the vectors to LLVM, which takes 256 bits on most Intel machines, and keeps its sums in memory.
Here both are decided: every block of the result lives in registers for the whole inner loop, as in K. Goto, R. van de Geijn,
*Anatomy of high-performance matrix multiplication*, ACM TOMS 34(3), 2008.  Nothing is packed: a workspace fits in the
second-level cache, its rows start on cache lines, and the weight is broadcast from where it lies, through any strides.

`nn`, `nt` and `rows` return the text of a numba function named `$`; equal text is equal function.  The text needs the names
`nn_tile`, `nt_tile` (here) and `wide_vectors` (`target`).  Workspaces aligned to 64 bytes are faster, others are as right.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from autodiff.compile.target import BITS, REGISTERS

INDEX = ir.IntType(64)
MOST_BYTES = 3072  # of a row in one pass of `nt`: eight such rows stay in the first-level cache


def nn(M: int, K: int, N: int, x_stride: int, y_stride: int, real: str) -> str:
    """Text of `$(A, a, ar, ac, ws, x, y)`: ws[y + i*y_stride + n] = sum_k A[a + i*ar + k*ac] ws[x + k*x_stride + n].

    A and ws share the type `real` ("f64", "f32"); X and Y do not overlap.  Raises ValueError unless vectors divide N.
    """
    _whole_vectors(N, real)
    return f"def $(A, a, ar, ac, ws, x, y):\n nn_tile(A, a, ar, ac, ws, x, y, {M}, {K}, {N}, {x_stride}, {y_stride})\n"


def nt(M: int, K: int, N: int, x_stride: int, y_stride: int, real: str) -> str:
    """Text of `$(acc, c, cr, cc, ws, x, y)`: acc[c + i*cr + k*cc] += sum_n ws[x + i*x_stride + n] ws[y + k*y_stride + n].

    acc is float64 whatever `real`.  Raises ValueError unless vectors divide N.
    """
    _whole_vectors(N, real)
    return f"def $(acc, c, cr, cc, ws, x, y):\n nt_tile(acc, c, cr, cc, ws, x, y, {M}, {K}, {N}, {x_stride}, {y_stride})\n"


def rows(M: int, K: int, P: int, strides: list[tuple[int, int]]) -> str:
    """Text of `$(out, o, cr, cc, ws, a0, b0, ...)`: out[o + i*cr + k*cc + p] = sum_j ws[aj + i*sj + p] ws[bj + k*tj + p].

    `strides` holds (sj, tj); the products over single points are kept, not summed.
    """
    pairs = range(len(strides))
    names = ["o", "cr", "cc"] + [f"{c}{j}" for j in pairs for c in "ab"]
    edge = max(e for e in (4, 5, 3, 2, 1) if K % e == 0 or e == 1)
    text = [f"def $(out, o, cr, cc, ws, {', '.join(names[3:])}):", " wide_vectors()"]
    # Signed offsets make LLVM prove that no index is negative, which it cannot: the loop would stay scalar.
    text += [f" {v} &= 0xffffffff" for v in names]
    text += [f" for i in range({M}):", f"  for k in range(0, {K}, {edge}):"]
    text += [f"   x{j} = a{j} + i*{strides[j][0]}" for j in pairs]
    text += [f"   y{j}_{v} = b{j} + (k + {v})*{strides[j][1]}" for v in range(edge) for j in pairs]
    text += [f"   z{v} = o + i*cr + (k + {v})*cc" for v in range(edge)]
    text += [f"   for p in range({P}):"] + [f"    u{j} = ws[x{j} + p]" for j in pairs]
    text += [f"    out[z{v} + p] = " + " + ".join(f"u{j}*ws[y{j}_{v} + p]" for j in pairs) for v in range(edge)]
    return "\n".join(text) + "\n"


def lanes(real: str) -> int:
    """Elements in a vector of this machine."""
    return BITS // int(real[1:])


def _whole_vectors(N: int, real: str) -> None:
    if N % lanes(real):
        raise ValueError(f"a product over {N} columns of {real} does not fill vectors of {lanes(real)}")


# ---- blocking --------------------------------------------------------------------------------------------------------------
Group = tuple[int, int, int]  # (start, blocks, size)


def split(total: int, most: int) -> list[Group]:
    """Cut `total` into blocks of at most `most` that differ by at most one: [(start, number of blocks, their size)]."""
    parts = ceil(total / most)
    small, larger = divmod(total, parts)
    groups = [(0, larger, small + 1), (larger * (small + 1), parts - larger, small)]
    return [g for g in groups if g[1]]


def nn_blocks(M: int, N: int) -> tuple[list[Group], list[Group]]:
    """The cheapest cut of M rows and N vectors into blocks that fit the registers, in cycles (two products, two loads each)."""

    def cost(groups: tuple[list[Group], list[Group]]) -> float:
        return sum(a * b * (max(r * v / 2, 4.0, (r + v) / 2) + 0.5) for _, a, r in groups[0] for _, b, v in groups[1])

    sizes = [(r, v) for v in range(1, 7) for r in range(1, 17) if r * v + v + 1 <= REGISTERS]
    return min(((split(M, r), split(N, v)) for r, v in sizes), key=cost)


def nt_blocks(M: int, K: int, vectors: int) -> tuple[list[Group], list[Group]]:
    """The same for the product over points, which also pays for adding up the lanes of every sum."""

    def cost(groups: tuple[list[Group], list[Group]]) -> float:
        return sum(
            a
            * b
            * (
                vectors * (max(r * s / 2, 4.0, (r + s) / 2) + 0.4 * r + 0.3)
                + r * (2 * s.bit_count() + 1.5 * sum(ceil(s / 2**t) for t in (1, 2, 3)))
            )
            for _, a, r in groups[0]
            for _, b, s in groups[1]
        )

    sizes = [(r, s) for s in range(1, 9) for r in range(1, 9) if r * s + min(r, s) + 1 <= REGISTERS]
    return min(((split(M, r), split(K, s)) for r, s in sizes), key=cost)


# ---- LLVM ------------------------------------------------------------------------------------------------------------------
class Emit:
    """The few instructions the kernels need, on vectors of one type."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, length: int):
        self.builder, self.element, self.vector = builder, element, ir.VectorType(element, length)
        name = f"llvm.fmuladd.v{length}{'f64' if element == ir.DoubleType() else 'f32'}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, kind, name)
        self.zero = ir.Constant(self.vector, None)

    def at(self, pointer: ir.Value, *terms: object) -> ir.Value:
        """pointer + sum of terms; a term is a value, a number, or a pair to multiply."""
        for term in terms:
            pointer = self.builder.gep(pointer, [self.times(*term) if isinstance(term, tuple) else self.number(term)])
        return pointer

    def number(self, value: object) -> ir.Value:
        return INDEX(value) if isinstance(value, int) else value

    def times(self, a: object, b: object) -> ir.Value:
        return self.builder.mul(self.number(a), self.number(b))

    def load(self, pointer: ir.Value, vector: ir.Type | None = None) -> ir.Value:
        cast = self.builder.bitcast(pointer, (vector or self.vector).as_pointer())
        return self.builder.load(cast, align=4)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=4)

    def splat(self, pointer: ir.Value) -> ir.Value:
        first = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), self.builder.load(pointer), ir.IntType(32)(0)
        )
        return self.shuffle(first, first, [0] * self.vector.count)

    def shuffle(self, a: ir.Value, b: ir.Value, order: list[int]) -> ir.Value:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

    @contextmanager
    def each(self, count: int) -> Iterator[ir.Value]:
        with cgutils.for_range(self.builder, INDEX(count)) as loop:
            yield loop.index


def arguments(context, builder, signature, args):
    """Data pointers of arrays, values of numbers, and the literals at the end as Python integers."""
    for kind, value in zip(signature.args, args, strict=True):
        if isinstance(kind, types.Array):
            yield context.make_array(kind)(context, builder, value).data
        else:
            yield kind.literal_value if isinstance(kind, types.IntegerLiteral) else value


@intrinsic(prefer_literal=True)
def nn_tile(typing, A, a, ar, ac, ws, x, y, M, K, N, xs, ys):
    """The product behind `nn`."""

    def generate(context, builder, signature, args):
        A, a, ar, ac, ws, x, y, M, K, N, xs, ys = arguments(context, builder, signature, args)
        length = lanes(signature.args[4].dtype.name.replace("float", "f"))
        emit = Emit(builder, ws.type.pointee, length)
        A, X, Y = emit.at(A, a), emit.at(ws, x), emit.at(ws, y)
        high, wide = nn_blocks(M, N // length)
        for n0, panels, v in wide:
            with emit.each(panels) as panel:
                n = builder.add(INDEX(n0 * length), emit.times(panel, v * length))
                Xn, Yn = emit.at(X, n), emit.at(Y, n)
                for i0, blocks, r in high:
                    with emit.each(blocks) as block:
                        i = builder.add(INDEX(i0), emit.times(block, r))
                        block_nn(emit, emit.at(A, (i, ar)), ar, ac, Xn, emit.at(Yn, (i, ys)), r, v, K, xs, ys)
        return context.get_dummy_value()

    integers = [types.intp] * 3
    return types.void(A, *integers, ws, types.intp, types.intp, M, K, N, xs, ys), generate


def block_nn(emit, A, ar, ac, X, Y, r, v, K, xs, ys):
    """r rows times v vectors of the result, over all k."""
    length, builder = emit.vector.count, emit.builder
    sums = [[cgutils.alloca_once_value(builder, emit.zero) for _ in range(v)] for _ in range(r)]
    rows = [emit.at(A, (u, ar)) for u in range(r)]
    with emit.each(K) as k:
        column, line = emit.times(k, ac), emit.times(k, xs)
        xk = [emit.load(emit.at(X, line, j * length)) for j in range(v)]
        for u in range(r):
            w = emit.splat(emit.at(rows[u], column))
            for j in range(v):
                builder.store(builder.call(emit.fma, [w, xk[j], builder.load(sums[u][j])]), sums[u][j])
    for u in range(r):
        for j in range(v):
            emit.store(builder.load(sums[u][j]), emit.at(Y, u * ys + j * length))


@intrinsic(prefer_literal=True)
def nt_tile(typing, acc, c, cr, cc, ws, x, y, M, K, N, xs, ys):
    """The product behind `nt`."""

    def generate(context, builder, signature, args):
        acc, c, cr, cc, ws, x, y, M, K, N, xs, ys = arguments(context, builder, signature, args)
        length = lanes(signature.args[4].dtype.name.replace("float", "f"))
        emit = Emit(builder, ws.type.pointee, length)
        C, X, Y = emit.at(acc, c), emit.at(ws, x), emit.at(ws, y)
        for n0, chunks, vectors in split(N // length, MOST_BYTES * 8 // BITS):
            high, wide = nt_blocks(M, K, vectors)
            with emit.each(chunks) as chunk:
                n = builder.add(INDEX(n0 * length), emit.times(chunk, vectors * length))
                Xn, Yn = emit.at(X, n), emit.at(Y, n)
                for k0, kblocks, s in wide:
                    with emit.each(kblocks) as kblock:
                        k = builder.add(INDEX(k0), emit.times(kblock, s))
                        for i0, blocks, r in high:
                            with emit.each(blocks) as block:
                                i = builder.add(INDEX(i0), emit.times(block, r))
                                block_nt(
                                    emit,
                                    emit.at(C, (i, cr), (k, cc)),
                                    cr,
                                    cc,
                                    emit.at(Xn, (i, xs)),
                                    emit.at(Yn, (k, ys)),
                                    r,
                                    s,
                                    vectors,
                                    xs,
                                    ys,
                                )
        return context.get_dummy_value()

    integers = [types.intp] * 3
    return types.void(acc, *integers, ws, types.intp, types.intp, M, K, N, xs, ys), generate


def block_nt(emit, C, cr, cc, X, Y, r, s, vectors, xs, ys):
    """r times s sums over `vectors` vectors of points, added to C."""
    length, builder = emit.vector.count, emit.builder
    sums = [[cgutils.alloca_once_value(builder, emit.zero) for _ in range(s)] for _ in range(r)]
    with emit.each(vectors) as step:
        n = emit.times(step, length)
        Xn, Yn = emit.at(X, n), emit.at(Y, n)
        # The shorter side stays in registers, the longer one passes by: r*s + min(r, s) + 1 of them in all.
        held = [emit.load(emit.at(Xn, u * xs) if r < s else emit.at(Yn, u * ys)) for u in range(min(r, s))]
        for v in range(max(r, s)):
            passing = emit.load(emit.at(Yn, v * ys) if r < s else emit.at(Xn, v * xs))
            for u in range(min(r, s)):
                place = sums[u][v] if r < s else sums[v][u]
                builder.store(builder.call(emit.fma, [passing, held[u], builder.load(place)]), place)
    contiguous = builder.icmp_signed("==", cc, INDEX(1))
    totals = [lane_sums(emit, [builder.load(q) for q in row]) for row in sums]
    with builder.if_else(contiguous) as (together, apart):
        with together:
            for u, pieces in enumerate(totals):
                for start, size, total in pieces:
                    add_line(emit, total, emit.at(C, (u, cr), start), size)
        with apart:
            for u, pieces in enumerate(totals):
                for start, size, total in pieces:
                    for v in range(size):
                        place = emit.at(C, (u, cr), (start + v, cc))
                        builder.store(
                            builder.fadd(builder.load(place), builder.extract_element(total, ir.IntType(32)(v))), place
                        )


def lane_sums(emit, vectors):
    """The sums of the lanes, as (first, number, vector of float64); each shuffle serves two sums."""
    builder, width = emit.builder, BITS // 64
    pieces = []
    for start in range(0, len(vectors), width):
        group = vectors[start : start + width]
        size, run = len(group), emit.vector.count  # run: the lanes that still belong to one sum
        group += [ir.Constant(emit.vector, ir.Undefined)] * (width - size)
        while len(group) > 1:
            low = [lane for lane in range(2 * emit.vector.count) if lane % run < run // 2]
            group = [halve(emit, a, b, low, run // 2) for a, b in zip(group[::2], group[1::2], strict=True)]
            run //= 2
        total = group[0]
        if run == 2:  # float32: twice as many lanes as sums
            total = halve(emit, total, total, list(range(0, 2 * width, 2)), 1)
            total = builder.fpext(total, ir.VectorType(ir.DoubleType(), width))
        pieces.append((start, size, total))
    return pieces


def halve(emit, a, b, low, distance):
    """Lanes `low` of (a, b) plus those `distance` further."""
    return emit.builder.fadd(emit.shuffle(a, b, low), emit.shuffle(a, b, [lane + distance for lane in low]))


def add_line(emit, total, place, size):
    """Add the first `size` lanes to contiguous memory, by powers of two."""
    start = 0
    while start < size:
        run = 1 << ((size - start).bit_length() - 1)
        piece = emit.shuffle(total, total, list(range(start, start + run)))
        target = emit.at(place, start)
        emit.store(emit.builder.fadd(emit.load(target, piece.type), piece), target)
        start += run
