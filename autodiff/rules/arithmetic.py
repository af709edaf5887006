"""Add, subtract, multiply, divide, power: the primitives that know algebra."""

from __future__ import annotations

import math

import numpy as np

from ..array import Array, call
from ..graph import CONSTANT, Node, constant, is_constant
from ..primitive import TABLE, Elementwise, Multilinear, broadcast, broadcast_shapes, implements, is_zero
from ..types import Shape

ONE, MINUS = constant(1.0), constant(-1.0)
SMALL_POWERS = range(1, 9)


def _keeps_dtype(number: Node, other: Node) -> bool:
    """Whether leaving the number out does not change the dtype: 1.0 * integers are floats."""
    return isinstance(number.attr, int) or np.issubdtype(other.dtype, np.inexact)


def _negated(x: Node) -> Node | None:
    """y if x is written as -1 * y."""
    return x.args[1] if x.op is MULTIPLY and is_constant(x.args[0], -1.0) else None


def _simpler_sum(a: Node, b: Node) -> Node | None:
    for x, y in ((a, b), (b, a)):
        if is_constant(x, 0) and _keeps_dtype(x, y):
            return y
    if a is b:
        return MULTIPLY.make((constant(2.0 if np.issubdtype(a.dtype, np.inexact) else 2), a))
    for x, y in ((a, b), (b, a)):
        if (z := _negated(y)) is not None:
            return SUBTRACT.make((x, z))
    return None


def _simpler_difference(a: Node, b: Node) -> Node | None:
    if is_constant(b, 0) and _keeps_dtype(b, a):
        return a
    if a is b:
        return constant(0.0 if np.issubdtype(a.dtype, np.inexact) else 0)
    if is_constant(a, 0):
        return MULTIPLY.make((MINUS if np.issubdtype(b.dtype, np.inexact) else constant(-1), b))
    if (z := _negated(b)) is not None:
        return ADD.make((a, z))
    return None


def _split_number(x: Node) -> tuple[Node | None, Node]:
    return (x.args[0], x.args[1]) if x.op is MULTIPLY and x.args[0].op is CONSTANT else (None, x)


def _simpler_product(a: Node, b: Node) -> Node | None:
    for x, y in ((a, b), (b, a)):
        if is_constant(x, 0) and _keeps_dtype(x, y):
            return constant(x.attr)
        if is_constant(x, 1) and _keeps_dtype(x, y):
            return y
    # numbers float to the outside and meet: c (d x) = (c d) x
    if b.op is CONSTANT:
        a, b = b, a
    if a.op is CONSTANT:
        number, rest = _split_number(b)
        if number is None or (number := _product(a, number)) is None:
            return None
        return MULTIPLY.make((number, rest))
    (p, x), (q, y) = _split_number(a), _split_number(b)
    number = _product(p, q) if p and q else p or q
    return None if number is None else MULTIPLY.make((number, MULTIPLY.make((x, y))))


def _product(a: Node, b: Node) -> Node | None:
    """The product of two numbers, unless it leaves the range where c (d x) = (c d) x to rounding."""
    y = a.attr * b.attr
    return constant(y) if isinstance(y, int) or _is_normal(y) else None


def _is_normal(y: float) -> bool:
    return 1e-300 < abs(y) < 1e300


def _simpler_quotient(a: Node, b: Node) -> Node | None:
    if b.op is CONSTANT and b.attr != 0 and np.issubdtype(a.dtype, np.inexact) and _is_normal(1.0 / b.attr):
        return MULTIPLY.make((constant(1.0 / b.attr), a))
    return None


def _simpler_power(a: Node, n: Node) -> Node | None:
    """Small integer powers are products: exact at zero, in every mode and every order."""
    if n.op is not CONSTANT or (isinstance(n.attr, float) and not np.issubdtype(a.dtype, np.inexact)):
        return None
    if n.attr == 0:
        return constant(1.0 if np.issubdtype(a.dtype, np.inexact) else 1)
    if n.attr == 0.5:
        return SQRT.make((a,))
    if n.attr == -1 and np.issubdtype(a.dtype, np.inexact):
        return DIVIDE.make((ONE, a))
    return _repeated_product(a, int(n.attr)) if n.attr in SMALL_POWERS else None


def _power_lowered(a: Array, n: Array) -> Array | None:
    """In kernels, negative powers are products too; elsewhere these would lose derivatives of large a to overflow."""
    if n.node.op is not CONSTANT or -n.node.attr not in SMALL_POWERS:
        return None
    return 1.0 / Array(_repeated_product(a.node, int(-n.node.attr)))


def _repeated_product(a: Node, n: int) -> Node:
    if n == 1:
        return a
    half = _repeated_product(a, n // 2)
    square = MULTIPLY.make((half, half))
    return MULTIPLY.make((a, square)) if n % 2 else square


def _power_derivative(y: Array, a: Array, n: Array):
    if n.node.op is CONSTANT:
        return n.node.attr * np.power(a, n.node.attr - 1), None
    base = n * np.power(a, np.where(n == 0, 1.0, n - 1.0))
    # x^n log x, with 0 where x = 0 and n >= 0: the limit, and what an unused logarithm must not spoil
    exponent = np.where((a == 0) & (n >= 0), 0.0, y * np.log(np.where(a == 0, 1.0, a)))
    return base, exponent


ADD = Elementwise("add", np.add, "({0} + {1})", lambda y, a, b: (1.0, 1.0),
                  dtype="same", commutes=True, simplify=_simpler_sum)  # fmt: skip
SUBTRACT = Elementwise("subtract", np.subtract, "({0} - {1})", lambda y, a, b: (1.0, -1.0),
                       dtype="same", simplify=_simpler_difference)  # fmt: skip
MULTIPLY = Elementwise("multiply", np.multiply, "({0}*{1})", lambda y, a, b: (b, a),
                       dtype="same", commutes=True, simplify=_simpler_product)  # fmt: skip
DIVIDE = Elementwise("divide", np.divide, "({0}/{1})", lambda y, a, b: (1.0 / b, -y / b),
                     cost=6, simplify=_simpler_quotient, domain=(0.5, 2.0))  # fmt: skip
SQRT = Elementwise("sqrt", np.sqrt, "math.sqrt({0})", lambda y, a: (0.5 / y,), cost=8, domain=(0.2, 3.0))
POWER = Elementwise("power", np.power, "({0}**{1})", _power_derivative, cost=30, dtype="same",
                    simplify=_simpler_power, domain=(0.5, 2.0), lowered=_power_lowered)  # fmt: skip


def _gated_shape(attr: None, a: Node, b: Node) -> Shape:
    return broadcast_shapes("gated", (a, b))


def _gated_value(attr: None, batched: tuple[bool, bool], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if batched == (False, False):
        y = np.multiply(a, b)
        # a sum of squares is finite only if all is, and then there is nothing to win over; it costs less than looking
        return y if math.isfinite(np.vdot(y, y)) else np.where(a == 0, 0.0, y)
    a, b = np.asarray(a), np.asarray(b)
    inner = max(x.ndim - p for x, p in zip((a, b), batched, strict=True))
    a, b = (x.reshape(x.shape[:1] + (1,) * (inner - x.ndim + 1) + x.shape[1:]) if p else x
            for x, p in zip((a, b), batched, strict=True))  # fmt: skip
    return np.where(a == 0, 0.0, np.multiply(a, b))


def _gated_simplify(attr: None, a: Node, b: Node) -> Node | None:
    if is_zero(a):
        return broadcast(constant(0.0), _gated_shape(None, a, b))
    if b.op is CONSTANT and np.isfinite(b.attr):
        return MULTIPLY.make((a, b))
    return None


def _gated_batch(attr: None, a: Node, b: Node, a_batched: bool, b_batched: bool) -> Node:
    ndim = max(a.ndim - a_batched, b.ndim - b_batched)

    def align(x: Node, batched: bool) -> Node:
        return TABLE["reshape"].make((x,), x.shape[:1] + (1,) * (ndim + 1 - x.ndim) + x.shape[1:]) if batched else x

    return GATED.make((align(a, a_batched), align(b, b_batched)))


# a * b where a zero in `a` wins over infinity and nan in `b`: a cotangent that never arrives cannot be spoilt on its way
GATED = Multilinear("gated", _gated_value, _gated_shape,
                    (lambda ct, b, node: GATED.make((ct, b)), lambda ct, a, node: GATED.make((a, ct))),
                    simplify=_gated_simplify, source="(({0}*{1}) if {0} != 0 else {0})", batch=_gated_batch)  # fmt: skip


def gated(a: Array, b: Array) -> Array:
    return call(GATED, a, b)


@implements(np.add)
def add(a, b): return call(ADD, a, b)  # noqa: E704
@implements(np.subtract)
def subtract(a, b): return call(SUBTRACT, a, b)  # noqa: E704
@implements(np.multiply)
def multiply(a, b): return call(MULTIPLY, a, b)  # noqa: E704
@implements(np.divide)
def divide(a, b): return call(DIVIDE, a, b)  # noqa: E704
@implements(np.negative)
def negative(a): return call(SUBTRACT, 0, a)  # noqa: E704
@implements(np.positive)
def positive(a): return a.copy()  # noqa: E704
@implements(np.reciprocal)
def reciprocal(a): return call(DIVIDE, 1, a)  # noqa: E704
@implements(np.square)
def square(a): return call(MULTIPLY, a, a)  # noqa: E704
@implements(np.sqrt)
def sqrt(a): return call(SQRT, a)  # noqa: E704
@implements(np.power)
def power(a, n): return call(POWER, a, n)  # noqa: E704
@implements(np.float_power)
def float_power(a, n): return call(POWER, 1.0 * a if not isinstance(a, (int, bool)) else float(a), n)  # noqa: E704
@implements(np.deg2rad, np.radians)
def deg2rad(a): return call(MULTIPLY, np.pi / 180, a)  # noqa: E704
@implements(np.rad2deg, np.degrees)
def rad2deg(a): return call(MULTIPLY, 180 / np.pi, a)  # noqa: E704
