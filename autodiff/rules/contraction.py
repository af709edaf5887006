"""Products that sum: matmul, dot, inner, outer, tensordot and einsum are all one primitive, a contraction of two arrays.

Its attribute is an einsum text with letters in order of appearance.  A contraction whose letters each stand in both operands or
in one operand and the result is closed under transposition: the cotangent of an operand is again a contraction.
"""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any

import numpy as np

from ..array import Array, call, lift, space_of
from ..errors import ShapeError
from ..graph import Node, constant
from ..primitive import BROADCAST, TABLE, Multilinear, broadcast, implements, is_zero
from ..types import POINT, SHARED
from .arithmetic import MULTIPLY
from .layout import CONCATENATE, INDEX, STACK, SUM, take_flat, total

SMALL = 4  # a product with so few rows, or with so few per-point inputs, is written out as sums that join the loops around it


@lru_cache(maxsize=4096)
def _canonical(spec: str) -> str:
    names: dict[str, str] = {}
    for letter in spec:
        if letter.isalpha():
            names.setdefault(letter, string.ascii_lowercase[len(names)])
    return "".join(names.get(c, c) for c in spec)


def _parts(spec: str) -> tuple[str, str, str]:
    left, out = spec.split("->")
    a, b = left.split(",")
    return a, b, out


def _shape(spec: str, a: Node, b: Node) -> tuple[int, ...]:
    sa, sb, out = _parts(spec)
    size = dict(zip(sa + sb, a.shape + b.shape, strict=True))
    return tuple(size[c] for c in out)


@lru_cache(maxsize=4096)
def _plan(spec: str, batched: tuple[bool, bool]) -> str:
    a, b, out = _parts(spec)
    return f"{'Z' * batched[0]}{a},{'Z' * batched[1]}{b}->{'Z' * any(batched)}{out}"


# products of two matrices, and what their transposes are, without the overhead of einsum
MATRICES = {
    "ab,bc->ac": np.matmul, "ab,b->a": np.matmul, "a,ab->b": np.matmul, "a,a->": np.matmul, "a,b->ab": np.multiply.outer,
    "ab,cb->ac": lambda a, b: np.matmul(a, b.T) if b.shape[1] != 1 else np.multiply(a, b.T),
    "ab,bc->ca": lambda a, b: np.matmul(a, b).T,
    "ab,ac->bc": lambda a, b: np.matmul(a.T, b), "ab,ac->cb": lambda a, b: np.matmul(b.T, a),
    "ab,cb->ca": lambda a, b: np.matmul(b, a.T), "ab,ca->bc": lambda a, b: np.matmul(a.T, b.T),
    "ab,ca->cb": lambda a, b: np.matmul(b, a), "ab,a->b": lambda a, b: np.matmul(b, a),
    "a,ba->b": lambda a, b: np.matmul(b, a), "a,b->ba": lambda a, b: np.multiply.outer(b, a),
}  # fmt: skip


def _value(spec: str, batched: tuple[bool, bool], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if spec in MATRICES and batched == (False, False):
        return MATRICES[spec](a, b)
    if spec == "ab,b->a" and batched == (False, True):
        return b @ a.T
    return np.einsum(_plan(spec, batched), a, b, optimize=True)


def contract(spec: str, a: Node, b: Node) -> Node:
    """einsum(spec, a, b) for a spec without repeated or lonely letters."""
    return CONTRACT.make((a, b), _canonical(spec))


def _simplify(spec: str, a: Node, b: Node) -> Node | None:
    if is_zero(a) or is_zero(b):
        return broadcast(constant(0.0), _shape(spec, a, b))
    if a.lane is SHARED and b.lane is SHARED:
        return None
    # programs written for one point: small products become sums, pieces of a vector meet their columns of the weight
    if spec == "a,a->":
        return SUM.make((MULTIPLY.make((a, b)),), (0,))
    if spec == "a,ab->b":
        return CONTRACT.make((TABLE["transpose"].make((b,), (1, 0)), a), "ab,b->a")
    if spec == "ab,a->b":
        return CONTRACT.make((TABLE["transpose"].make((a,), (1, 0)), b), "ab,b->a")
    if spec == "a,ba->b":
        return CONTRACT.make((b, a), "ab,b->a")
    if spec == "ab,b->a" and a.lane is SHARED:
        rows, columns = a.shape
        if b.op is STACK and sum(x.lane is POINT for x in b.args) <= SMALL:
            return broadcast(total([MULTIPLY.make((_column(a, i), x)) for i, x in enumerate(b.args)]), (rows,))
        if b.op is CONCATENATE:
            edges = np.cumsum([0] + [part.shape[0] for part in b.args]).tolist()
            pieces = [(slice(low, high), part) for low, high, part in zip(edges, edges[1:], b.args, strict=False)]
            return total([contract("ab,b->a", _columns(a, p), part) for p, part in pieces])
        if rows <= SMALL:
            return STACK.make(tuple(SUM.make((MULTIPLY.make((INDEX.make((a,), (i,)), b)),), (0,)) for i in range(rows)), 0)
        if b.op is BROADCAST and b.args[0].shape == ():
            return MULTIPLY.make((b.args[0], SUM.make((a,), (1,))))
    return None


def _column(a: Node, i: int) -> Node:
    return INDEX.make((a,), ((0, a.shape[0], 1), i))


def _columns(a: Node, part: slice) -> Node:
    return INDEX.make((a,), ((0, a.shape[0], 1), (part.start, part.stop, 1)))


def _transpose_a(ct: Node, b: Node, node: Node) -> Node:
    sa, sb, out = _parts(node.attr)
    return contract(f"{out},{sb}->{sa}", ct, b)


def _transpose_b(ct: Node, a: Node, node: Node) -> Node:
    sa, sb, out = _parts(node.attr)
    return contract(f"{out},{sa}->{sb}", ct, a)


def _batch(spec: str, a: Node, b: Node, a_batched: bool, b_batched: bool) -> Node:
    sa, sb, out = _parts(spec)
    return contract(f"{'Z' * a_batched}{sa},{'Z' * b_batched}{sb}->Z{out}", a, b)


CONTRACT = Multilinear("contract", _value, _shape, (_transpose_a, _transpose_b), _simplify, batch=_batch)


# ---- numpy's names for it -----------------------------------------------------------------------------------------------


def _einsum_two(spec: str, a: Array, b: Array) -> Array:
    """A contraction with any letters: repeated ones are diagonals, lonely ones are summed first."""
    left, out = spec.split("->")
    sa, sb = left.split(",")
    a, sa = _tidy(a, sa, set(sb) | set(out))
    b, sb = _tidy(b, sb, set(sa) | set(out))
    _check(f"{sa},{sb}->{out}", a, b)
    # a letter of length one in one operand broadcasts against the other
    for letter in set(sa) & set(sb):
        m, n = a.shape[sa.index(letter)], b.shape[sb.index(letter)]
        if m == 1 and n != 1:
            a, sa = a[(slice(None),) * sa.index(letter) + (0,)], sa.replace(letter, "")
        elif n == 1 and m != 1:
            b, sb = b[(slice(None),) * sb.index(letter) + (0,)], sb.replace(letter, "")
    a, sa = _tidy(a, sa, set(sb) | set(out))
    b, sb = _tidy(b, sb, set(sa) | set(out))
    return call(CONTRACT, a, b, attr=_canonical(f"{sa},{sb}->{out}"))


def _tidy(x: Array, letters: str, wanted: set[str]) -> tuple[Array, str]:
    for letter in dict.fromkeys(letters):
        if letters.count(letter) > 1:
            i, j = [k for k, c in enumerate(letters) if c == letter][:2]
            positions = np.arange(x.size).reshape(x.shape)
            x, letters = take_flat(x, np.diagonal(positions, 0, i, j)), letters.replace(letter, "") + letter
    lonely = tuple(i for i, c in enumerate(letters) if c not in wanted)
    if lonely:
        x, letters = np.sum(x, axis=lonely), "".join(c for c in letters if c in wanted)
    return x, letters


def _check(spec: str, a: Array, b: Array) -> None:
    sa, sb, _ = _parts(spec)
    size: dict[str, int] = {}
    for letter, n in zip(sa + sb, a.shape + b.shape, strict=True):
        if size.setdefault(letter, n) != n and 1 not in (n, size[letter]):
            raise ShapeError(f"a product of shapes {a.shape} and {b.shape} does not fit: lengths {size[letter]} and {n} meet",
                             why="axes that are summed over, or go together, have one length", fix="a.T, or np.reshape",
                             code="product")  # fmt: skip


def _arrays(*xs: Any) -> list[Array]:
    space = space_of(*xs)
    return [Array(lift(x), space) for x in xs]


@implements(np.matmul)
def matmul(a, b):
    a, b = _arrays(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"@ needs vectors or matrices, not shapes {a.shape} and {b.shape}", fix="a * b for scalars",
                         code="product")  # fmt: skip
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        raise ShapeError(f"@ cannot multiply shapes {a.shape} and {b.shape}: {a.shape[-1]} columns meet "
                         f"{b.shape[-2 if b.ndim > 1 else -1]} rows", code="product",
                         fix="a.T @ b or a @ b.T, if one of them lies on its side")  # fmt: skip
    lead = max(a.ndim, b.ndim, 2) - 2
    letters = string.ascii_letters[3 : 3 + lead]
    sa = letters[lead - max(a.ndim - 2, 0) :] + ("xk" if a.ndim > 1 else "k")
    sb = letters[lead - max(b.ndim - 2, 0) :] + ("ky" if b.ndim > 1 else "k")
    out = letters + ("x" if a.ndim > 1 else "") + ("y" if b.ndim > 1 else "")
    return _einsum_two(f"{sa},{sb}->{out}", a, b)


@implements(np.dot)
def dot(a, b, out=None):
    a, b = _arrays(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b)
    return np.tensordot(a, b, ((a.ndim - 1,), (b.ndim - 2 if b.ndim > 1 else 0,)))


@implements(np.inner)
def inner(a, b):
    a, b = _arrays(a, b)
    return a * b if a.ndim == 0 or b.ndim == 0 else np.tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,)))


@implements(np.vdot)
def vdot(a, b):
    a, b = _arrays(a, b)
    return matmul(np.ravel(a), np.ravel(b))


@implements(np.outer)
def outer(a, b, out=None):
    a, b = _arrays(a, b)
    return _einsum_two("x,y->xy", np.ravel(a), np.ravel(b))


@implements(np.tensordot)
def tensordot(a, b, axes=2):
    a, b = _arrays(a, b)
    if isinstance(axes, int):
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    xs, ys = [[i] if isinstance(i, int) else list(i) for i in axes]
    sa = list(string.ascii_letters[: a.ndim])
    sb = list(string.ascii_letters[a.ndim : a.ndim + b.ndim])
    for i, j in zip(xs, ys, strict=True):
        sb[j] = sa[i]
    out = [c for c in sa if c not in sb] + [c for c in sb if c not in sa]
    return _einsum_two(f"{''.join(sa)},{''.join(sb)}->{''.join(out)}", a, b)


@implements(np.einsum)
def einsum(subscripts, *operands, out=None, optimize=False, **options):
    if not isinstance(subscripts, str):
        subscripts, operands = _spelled(subscripts, *operands)
    arrays = _arrays(*operands)
    spec = _explicit(subscripts.replace(" ", ""), [a.ndim for a in arrays])
    left, result = spec.split("->")
    terms = left.split(",")
    while len(arrays) > 2:
        rest = set("".join(terms[2:])) | set(result)
        between = "".join(dict.fromkeys(c for c in terms[0] + terms[1] if c in rest))
        arrays = [_einsum_two(f"{terms[0]},{terms[1]}->{between}", *arrays[:2]), *arrays[2:]]
        terms = [between, *terms[2:]]
    if len(arrays) == 2:
        return _einsum_two(f"{terms[0]},{terms[1]}->{result}", *arrays)
    x, letters = _tidy(arrays[0], terms[0], set(result))
    return np.transpose(x, [letters.index(c) for c in result])


def _spelled(*given: Any) -> tuple[str, tuple]:
    """The other way to call einsum, arrays and lists of numbers in turn, with letters instead."""
    terms = ["".join("..." if k is Ellipsis else string.ascii_letters[k] for k in axes) for axes in (*given[1::2], given[-1])]
    pairs = len(given) // 2
    spec = ",".join(terms[:pairs]) + (f"->{terms[-1]}" if len(given) % 2 else "")
    return spec, given[: 2 * pairs : 2]


def _explicit(spec: str, ndims: list[int]) -> str:
    """The same subscripts with the result written out and the ellipsis replaced by letters."""
    left, _, result = spec.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(f"einsum {spec!r} names {len(terms)} operands, but {len(ndims)} were given", code="einsum",
                         fix="one group of letters for each array, with commas between: 'ij,jk->ik'")  # fmt: skip
    if "..." in left:
        free = [c for c in string.ascii_letters[::-1] if c not in spec]
        most = max(n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True) if "..." in t)
        dots = "".join(free[:most])
        terms = [t.replace("...", dots[most - (n - len(t.replace("...", ""))) :]) for t, n in zip(terms, ndims, strict=True)]
        result = result.replace("...", dots)
        if "->" not in spec:
            result = dots
    if "->" not in spec:
        every = "".join(terms)
        result += "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in result))
    for t, n in zip(terms, ndims, strict=True):
        if len(t) != n:
            raise ShapeError(f"einsum {spec!r}: the term {t!r} has {len(t)} letters for an array of dimension {n}",
                             fix="one letter for each axis, or ... for those in front", code="einsum")  # fmt: skip
    return f"{','.join(terms)}->{result}"


@implements(np.kron)
def kron(a, b):
    a, b = _arrays(a, b)
    n = max(a.ndim, b.ndim)
    a, b = (np.reshape(x, (1,) * (n - x.ndim) + x.shape) for x in (a, b))
    rows, columns = string.ascii_letters[:n], string.ascii_letters[n : 2 * n]
    y = _einsum_two(f"{rows},{columns}->{''.join(i + j for i, j in zip(rows, columns, strict=True))}", a, b)
    return np.reshape(y, tuple(i * j for i, j in zip(a.shape, b.shape, strict=True)))
