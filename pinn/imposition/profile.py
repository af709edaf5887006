"""Polynomials along one axis that meet what is prescribed at its two ends, and a factor that vanishes there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Coefficients = tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """What is prescribed at s = 0 and s = 1 of an axis: functionals L v = sum_k c_k v^(k), each a tuple (c_0, c_1, ...).

    `dual[j]` are the coefficients, lowest first, of the polynomial with L_i p_j = 1 for i = j and else 0, in the order of the
    functionals at 0, then at 1.  `free` are polynomials with L_i q = 0 for all i: one for each value or derivative at an end
    that no functional decides.  `orders` say how often the factor s^m (1 - s)^n vanishes at the ends, so that
    v = sum_j g_j p_j + sum_k c_k q_k + s^m (1 - s)^n w is every smooth v with L_j v = g_j, once for each c and w.
    Raises ValueError where the functionals of an end depend on one another.
    """

    dual: tuple[Coefficients, ...]
    free: tuple[Coefficients, ...]
    orders: tuple[int, int]

    @staticmethod
    def of(ends: tuple[Sequence[Coefficients], Sequence[Coefficients]]) -> Profile:
        """The profile of the functionals at s = 0 and at s = 1."""
        orders = (order_of(ends[0]), order_of(ends[1]))
        rows, prescribed = [], []
        for s, (functionals, order) in enumerate(zip(ends, orders, strict=True)):
            jets = jet_rows(float(s), order, sum(orders))
            matrix = completed([np.pad(np.array(c, float), (0, order - len(c))) for c in functionals], order)
            rows.append(matrix @ jets)
            prescribed += [k < len(functionals) for k in range(order)]
        system = np.concatenate(rows) if sum(orders) else np.zeros((0, 0))
        columns = np.linalg.solve(system, np.eye(len(system))).T if len(system) else []
        polynomials = [tuple(float(c) for c in column) for column in columns]
        split = {True: [], False: []}  # type: dict[bool, list[Coefficients]]
        for polynomial, given in zip(polynomials, prescribed, strict=True):
            split[given].append(polynomial)
        return Profile(tuple(split[True]), tuple(split[False]), orders)

    def factor(self, s: Any) -> Any:
        """c s^m (1 - s)^n with its greatest value on [0, 1] equal to 1; the number 1 where nothing is prescribed."""
        m, n = self.orders
        if not m + n:
            return 1.0
        top = m / (m + n)
        return 1.0 / (top**m * (1.0 - top)**n) * power(s, m) * power(1.0 - s, n)


def order_of(functionals: Sequence[Coefficients]) -> int:
    """One more than the highest derivative that one of them asks for; 0 for none."""
    return max((len(c) for c in functionals), default=0)


def completed(functionals: Sequence[np.ndarray], order: int) -> np.ndarray:
    """Rows `(order, order)`: the functionals, then the lowest derivatives that make them a basis.

    Raises ValueError where the functionals depend on one another.
    """
    rows = list(functionals)
    if not order:
        return np.zeros((0, 0))
    for k in (*range(order), None):
        if np.linalg.matrix_rank(np.array(rows).reshape(-1, order)) < len(rows):
            raise ValueError("they depend on one another")
        if len(rows) == order or k is None:
            break
        trial = [*rows, np.eye(order)[k]]
        if np.linalg.matrix_rank(np.array(trial)) == len(trial):
            rows = trial
    return np.array(rows).reshape(-1, order)


def jet_rows(s: float, order: int, size: int) -> np.ndarray:
    """Rows `(order, size)`: the derivatives 0, 1, ... at s of the monomials 1, s, s^2, ..."""
    rows = [[math.perm(n, k) * s ** (n - k) if n >= k else 0.0 for n in range(size)] for k in range(order)]
    return np.array(rows).reshape(order, size)


def polynomial(coefficients: Coefficients, s: Any) -> Any:
    """The value at s, by Horner's rule; parts that are zero to rounding are left out."""
    largest = max(map(abs, coefficients), default=0.0)
    value: Any = 0.0
    for c in reversed(coefficients):
        c = 0.0 if abs(c) < 1e-14 * largest else c
        value = value * s + c if not (isinstance(value, float) and value == 0.0) else c
    return value


def power(s: Any, n: int) -> Any:
    """s^n by multiplication, which every part of the engine differentiates for nothing."""
    value: Any = 1.0
    for _ in range(n):
        value = s if isinstance(value, float) else value * s
    return value
