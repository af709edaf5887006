"""Library functions of kernels that pick, run along an axis, or compare: sums that accumulate, gathers, sorting, extremes.

Each writes `out`; arrays are flat, in C order.  An axis of length n has `outer` elements before it and `inner` behind it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .store import jit

# ---- running along an axis, picking by positions -------------------------------------------------------------------------


@jit
def cumsum(out, x, outer, n, inner, backward):
    for o in range(outer):
        for i in range(n):
            row = (o * n + (n - 1 - i if backward else i)) * inner
            before = row + inner if backward else row - inner
            for j in range(inner):
                out[row + j] = x[row + j] if i == 0 else out[before + j] + x[row + j]


@jit
def take(out, x, rows, inner):
    for i in range(rows.size):
        for j in range(inner):
            out[i * inner + j] = x[rows[i] * inner + j]


@jit
def spread(out, ct, rows, inner):
    for i in range(out.size):
        out[i] = 0
    for i in range(rows.size):
        for j in range(inner):
            out[rows[i] * inner + j] += ct[i * inner + j]


@jit
def _place(index, n):
    """A computed position, counted from the end if it is negative."""
    i = np.int64(index)
    i = i + n if i < 0 else i
    if i < 0 or i >= n:
        raise IndexError("a computed index is out of bounds for the axis that it picks from")
    return i


@jit
def gather(out, indices, x, outer, count, n, inner):
    for o in range(outer):
        for i in range(count):
            for j in range(inner):
                at = (o * count + i) * inner + j
                out[at] = x[(o * n + _place(indices[at], n)) * inner + j]


@jit
def put(out, indices, ct, outer, count, n, inner):
    for i in range(out.size):
        out[i] = 0
    for o in range(outer):
        for i in range(count):
            for j in range(inner):
                at = (o * count + i) * inner + j
                out[(o * n + _place(indices[at], n)) * inner + j] += ct[at]


# ---- sorting -------------------------------------------------------------------------------------------------------------


@jit
def _merge(keys, places, keys_out, places_out, width):
    """Neighbouring sorted runs of `width` become one; the left one wins ties, and nan comes last."""
    n = keys.size
    for low in range(0, n, 2 * width):
        middle, high = min(low + width, n), min(low + 2 * width, n)
        i, j = low, middle
        for k in range(low, high):
            if j == high:
                right = False
            elif i == middle:
                right = True
            else:
                a, b = keys[i], keys[j]
                right = b < a or (a != a and b == b)
            if right:
                keys_out[k], places_out[k] = keys[j], places[j]
                j += 1
            else:
                keys_out[k], places_out[k] = keys[i], places[i]
                i += 1


@jit
def argsort(out, x, outer, n, inner):
    """By merging from below (Knuth, The Art of Computer Programming 3, 5.2.4): stable, n log n whatever the order."""
    keys, more = np.empty(n, x.dtype), np.empty(n, x.dtype)
    places, others = np.empty(n, np.int64), np.empty(n, np.int64)
    for line in range(outer * inner):
        start = line // inner * n * inner + line % inner
        for i in range(n):
            keys[i], places[i] = x[start + i * inner], i
        width = 1
        while width < n:
            _merge(keys, places, more, others, width)
            keys, more, places, others = more, keys, others, places
            width *= 2
        for i in range(n):
            out[start + i * inner] = places[i]


# ---- extremes ------------------------------------------------------------------------------------------------------------


@jit
def _above(a, b):
    return a > b


@jit
def _below(a, b):
    return a < b


def _of_run(better: Callable) -> Callable:
    """The best of a run of numbers, nan if there is one."""

    @jit
    def of_run(x, start, count):
        best, spoiled = x[start], 0
        for i in range(start, start + count):
            value = x[i]
            best = value if better(value, best) else best
            spoiled += value != value  # nan beats nothing, so it is counted
        if spoiled:
            for i in range(start, start + count):
                if x[i] != x[i]:
                    return x[i]
        return best

    return of_run


_of_run_max, _of_run_min = _of_run(_above), _of_run(_below)


def _first(better: Callable, of_run: Callable) -> Callable:
    """The place of the first best along an axis, or of the first nan."""

    @jit
    def first(out, x, outer, n, inner):
        best = np.empty(inner, x.dtype)
        for o in range(outer):
            start = o * n * inner
            if inner == 1:
                found, i = of_run(x, start, n), 0
                while x[start + i] != found and x[start + i] == x[start + i]:
                    i += 1
                out[o] = i
                continue
            for j in range(inner):
                best[j], out[o * inner + j] = x[start + j], 0
            for i in range(1, n):
                for j in range(inner):
                    value = x[start + i * inner + j]
                    wins = (better(value, best[j]) or value != value) and best[j] == best[j]
                    best[j] = value if wins else best[j]
                    out[o * inner + j] = i if wins else out[o * inner + j]

    return first


argmax, argmin = _first(_above, _of_run_max), _first(_below, _of_run_min)


@jit
def _target(row, lengths, strides):
    """Where a row of the argument goes, and whether it is the first one there.

    Its number in mixed radix, times strides, which are 0 for axes that vanish.
    """
    offset, first = 0, True
    for i in range(lengths.size - 1, -1, -1):
        digit = row % lengths[i]
        row //= lengths[i]
        offset += digit * strides[i]
        first = first and (strides[i] > 0 or digit == 0)
    return offset, first


def _extreme(better: Callable, of_run: Callable) -> Callable:
    """The best along some axes; rows are `width` long and either vanish (step 0) or stay (step 1)."""

    @jit
    def extreme(out, x, lengths, strides, width, step):
        for row in range(x.size // width):
            offset, first = _target(row, lengths, strides)
            if not step:
                found = of_run(x, row * width, width)
                best = found if first else out[offset]
                out[offset] = found if better(found, best) or found != found else best
            elif first:
                for i in range(width):
                    out[offset + i] = x[row * width + i]
            else:
                for i in range(width):
                    best, value = out[offset + i], x[row * width + i]
                    out[offset + i] = value if better(value, best) or value != value else best

    return extreme


largest, smallest = _extreme(_above, _of_run_max), _extreme(_below, _of_run_min)


def _shares(extreme: Callable) -> Callable:
    """1 where the extreme is attained, shared evenly among ties; nan where it is nan."""

    @jit
    def shares(out, x, lengths, strides, width, step, size):
        best, count = np.empty(size, x.dtype), np.zeros(size, np.int64)
        extreme(best, x, lengths, strides, width, step)
        for row in range(x.size // width):
            offset, _ = _target(row, lengths, strides)
            for i in range(width):
                count[offset + i * step] += x[row * width + i] == best[offset + i * step]
        for row in range(x.size // width):
            offset, _ = _target(row, lengths, strides)
            for i in range(width):
                attained = x[row * width + i] == best[offset + i * step]
                out[row * width + i] = (1.0 if attained else 0.0) / count[offset + i * step]

    return shares


shares_max, shares_min = _shares(largest), _shares(smallest)
