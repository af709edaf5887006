"""Functions of one or two numbers, one line each: value, text for the kernel, first derivative, where to test it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ..array import Array, call
from ..graph import CONSTANT, Node, constant
from ..primitive import FUNCTIONS, TABLE, Elementwise, Select, implements
from .arithmetic import MULTIPLY, SUBTRACT

LN2, LN10 = math.log(2.0), math.log(10.0)


def elementwise(name: str, value, source: str, derivative, **options) -> Elementwise:
    """Declares a primitive; a numpy ufunc then works on traced arrays."""
    primitive = Elementwise(name, value, source, derivative, **options)
    if isinstance(value, np.ufunc):
        implements(value)(lambda *xs: call(primitive, *xs))
    return primitive


def _sign_out(x: Node) -> Node | None:
    """|c| y if x is written as c y with c < 0."""
    if x.op is MULTIPLY and x.args[0].op is CONSTANT and x.args[0].attr < 0:
        return MULTIPLY.make((constant(-x.args[0].attr), x.args[1]))
    return None


def _odd(name: str) -> Callable[[Node], Node | None]:
    """f(-x) = -f(x): the sign moves outward."""

    def simplify(x: Node) -> Node | None:
        positive = _sign_out(x)
        return None if positive is None else SUBTRACT.make((constant(0.0), TABLE[name].make((positive,))))

    return simplify


def _even(name: str) -> Callable[[Node], Node | None]:
    """f(-x) = f(x): the sign vanishes."""

    def simplify(x: Node) -> Node | None:
        positive = _sign_out(x)
        return None if positive is None else TABLE[name].make((positive,))

    return simplify


def _slope(name: str, value: Callable, derivative: Callable, domain: tuple = (-2.0, 2.0)) -> Callable[[Array], Array]:
    """An algebraic function that is the derivative of another one, and knows its own derivative in terms of itself.

    So no square overflows, nothing cancels in higher derivatives, and all derivatives of a nan are nan: a finite one misleads.
    """
    primitive = elementwise(name, value, "", derivative, domain=domain, lowered=value)
    return lambda a: call(primitive, a)


def _sech2_value(x):
    y = 1.0 / np.cosh(x)  # zero where the cosine is infinite, long after the square has left the range of numbers
    return y * y


#                    name       value       text                first derivative               cost, where to test
elementwise("tanh", np.tanh, "math.tanh({0})", lambda y, a: (sech2(a),), cost=16, vector="tanh", simplify=_odd("tanh"))
SECH2 = elementwise("sech2", _sech2_value, "", lambda y, a: (-2.0 * np.tanh(a) * y,),
                    lowered=lambda a: 1.0 - np.tanh(a) * np.tanh(a), simplify=_even("sech2"))  # fmt: skip
elementwise("sin", np.sin, "math.sin({0})", lambda y, a: (np.cos(a),), cost=16, vector="sin", simplify=_odd("sin"))
elementwise("cos", np.cos, "math.cos({0})", lambda y, a: (-np.sin(a),), cost=16, vector="cos", simplify=_even("cos"))
elementwise("tan", np.tan, "math.tan({0})", lambda y, a: (1.0 + y * y,), cost=30, domain=(-1.2, 1.2))
elementwise("exp", np.exp, "math.exp({0})", lambda y, a: (y,), cost=16, vector="exp")
elementwise("exp2", np.exp2, "math.exp({0}*0.6931471805599453)", lambda y, a: (LN2 * y,), cost=16,
            lowered=lambda a: np.exp(LN2 * a))  # fmt: skip
elementwise("expm1", np.expm1, "math.expm1({0})", lambda y, a: (np.exp(a),), cost=30, vector="expm1")
elementwise("log", np.log, "math.log({0})", lambda y, a: (log_slope(a),), cost=30, vector="log", domain=(0.3, 3.0))
elementwise("log2", np.log2, "math.log2({0})", lambda y, a: (log_slope(a) / LN2,), cost=30, domain=(0.3, 3.0))
elementwise("log10", np.log10, "math.log10({0})", lambda y, a: (log_slope(a) / LN10,), cost=30, domain=(0.3, 3.0))
elementwise("log1p", np.log1p, "math.log1p({0})", lambda y, a: (log_slope(1.0 + a),), cost=30, vector="log1p",
            domain=(-0.6, 2.0))  # fmt: skip
elementwise("cbrt", np.cbrt, "cbrt({0})", lambda y, a: (1.0 / (3.0 * y * y),), cost=30, domain=(0.3, 3.0))
elementwise("arcsin", np.arcsin, "math.asin({0})", lambda y, a: (arcsin_slope(a),), cost=30, domain=(-0.7, 0.7))
elementwise("arccos", np.arccos, "math.acos({0})", lambda y, a: (-arcsin_slope(a),), cost=30, domain=(-0.7, 0.7))
elementwise("arctan", np.arctan, "math.atan({0})", lambda y, a: (arctan_slope(a),), cost=30)
elementwise("sinh", np.sinh, "math.sinh({0})", lambda y, a: (np.cosh(a),), cost=30)
elementwise("cosh", np.cosh, "math.cosh({0})", lambda y, a: (np.sinh(a),), cost=30)
elementwise("arcsinh", np.arcsinh, "math.asinh({0})", lambda y, a: (arcsinh_slope(a),), cost=30)
elementwise("arccosh", np.arccosh, "math.acosh({0})", lambda y, a: (arccosh_slope(a),), cost=30, domain=(1.3, 3.0))
elementwise("arctanh", np.arctanh, "math.atanh({0})", lambda y, a: (arctanh_slope(a),), cost=30, domain=(-0.7, 0.7))
elementwise("arctan2", np.arctan2, "math.atan2({0}, {1})",
            lambda y, a, b: (_cosine(b, a) / np.hypot(a, b), -_cosine(a, b) / np.hypot(a, b)), cost=30,
            domain=(0.5, 2.0))  # fmt: skip
elementwise("hypot", np.hypot, "math.hypot({0}, {1})", lambda y, a, b: (_cosine(a, b), _cosine(b, a)), cost=30,
            domain=(0.5, 2.0))  # fmt: skip

log_slope = _slope("log_slope", lambda a: np.where(a < 0.0, np.nan, 1.0 / a), lambda y, a: (-(y * y),), (0.3, 3.0))
arcsin_slope = _slope("arcsin_slope", lambda a: 1.0 / np.sqrt((1.0 - a) * (1.0 + a)), lambda y, a: (a * y * y * y,),
                      (-0.7, 0.7))  # fmt: skip
arctan_slope = _slope("arctan_slope", lambda a: 1.0 / (1.0 + a * a), lambda y, a: (-2.0 * (a * y * y),))
arcsinh_slope = _slope("arcsinh_slope", lambda a: 1.0 / np.hypot(1.0, a), lambda y, a: (-(a * y * y * y),))
arccosh_slope = _slope("arccosh_slope", lambda a: 1.0 / (np.sqrt(a - 1.0) * np.sqrt(a + 1.0)), lambda y, a: (-(a * y * y * y),),
                       (1.3, 3.0))  # fmt: skip
arctanh_slope = _slope("arctanh_slope", lambda a: np.where(np.abs(a) > 1.0, np.nan, 1.0 / ((1.0 - a) * (1.0 + a))),
                       lambda y, a: (2.0 * (a * y * y),), (-0.7, 0.7))  # fmt: skip


def _cosine_value(a, b):
    a, b = np.asarray(a), np.asarray(b)
    r = np.hypot(a, b)
    return np.where(r == 0, 0.0, np.where(np.isinf(a) & np.isfinite(b), np.sign(a), a / np.where(r == 0, 1.0, r)))


def _cosine_derivative(y: Array, a: Array, b: Array):
    r, sine = np.hypot(a, b), _cosine(b, a)
    r = np.where(r == 0, 1.0, r)
    return sine * (sine / r), -(y * (sine / r))


def _cosine_lowered(a: Array, b: Array) -> Array:
    r = np.hypot(a, b)
    return a / np.where(r == 0, 1.0, r)


# a / hypot(a, b); 0 at the origin, where the length is not smooth but zero is its smallest subgradient
COSINE = elementwise("cosine", _cosine_value, "", _cosine_derivative, cost=30, domain=(0.5, 2.0), lowered=_cosine_lowered)


def _cosine(a: Array, b: Array) -> Array:
    return call(COSINE, a, b)


elementwise("logaddexp", np.logaddexp, "np.logaddexp({0}, {1})",
            lambda y, a, b: (_share(a, b), _share(b, a)), cost=60,
            lowered=lambda a, b: np.maximum(a, b) + np.log1p(np.exp(-np.abs(a - b))))  # fmt: skip
elementwise("logaddexp2", np.logaddexp2, "np.logaddexp2({0}, {1})",
            lambda y, a, b: (_share(LN2 * a, LN2 * b), _share(LN2 * b, LN2 * a)), cost=60,
            lowered=lambda a, b: np.maximum(a, b) + np.log1p(np.exp(-LN2 * np.abs(a - b))) / LN2)  # fmt: skip


def _share(a: Array, b: Array) -> Array:
    """d logaddexp(a, b) / da, one half also where both are the same infinity."""
    return expit(np.where(np.isinf(a) & (a == b), 0.0, a - b))


def _expit_value(x):
    x = np.asarray(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


EXPIT = elementwise("expit", _expit_value, "", lambda y, a: (0.25 * sech2(0.5 * a),), cost=16,
                    lowered=lambda a: 0.5 + 0.5 * np.tanh(0.5 * a))  # fmt: skip


def sech2(x: Array) -> Array:
    """1 / cosh(x)^2 with full relative accuracy in the tails, where 1 - tanh(x)^2 has none."""
    return call(SECH2, x)


def expit(x: Array) -> Array:
    """1 / (1 + exp(-x)), accurate in both tails."""
    return call(EXPIT, x)


# ---- kinks: the conventions of the subgradient ------------------------------------------------------------------------
elementwise("absolute", np.absolute, "abs({0})", lambda y, a: (np.sign(a),), dtype="same", avoid=(0.0,))
elementwise("sign", np.sign, "(({0} > 0) - ({0} < 0) + 0.0*{0})", lambda y, a: (0.0,), dtype="same", avoid=(0.0,))
implements(np.fabs)(lambda a: np.absolute(a))


def _ties_split(wins: Array, ties: Array) -> Array:
    return np.where(wins, 1.0, np.where(ties, 0.5, 0.0))


elementwise("maximum", np.maximum, "({0} if ({0} > {1} or {0} != {0}) else {1})",
            lambda y, a, b: (_ties_split(a > b, a == b), _ties_split(b > a, a == b)), dtype="same",
            simplify=lambda a, b: a if a is b else None)  # fmt: skip
elementwise("minimum", np.minimum, "({0} if ({0} < {1} or {0} != {0}) else {1})",
            lambda y, a, b: (_ties_split(a < b, a == b), _ties_split(b < a, a == b)), dtype="same",
            simplify=lambda a, b: a if a is b else None)  # fmt: skip
elementwise("fmax", np.fmax, "({0} if ({0} > {1} or {1} != {1}) else {1})",
            lambda y, a, b: (_ties_split((a > b) | np.isnan(b), a == b), _ties_split((b > a) | np.isnan(a), a == b)),
            dtype="same")  # fmt: skip
elementwise("fmin", np.fmin, "({0} if ({0} < {1} or {1} != {1}) else {1})",
            lambda y, a, b: (_ties_split((a < b) | np.isnan(b), a == b), _ties_split((b < a) | np.isnan(a), a == b)),
            dtype="same")  # fmt: skip
elementwise("remainder", np.remainder, "({0} - {1}*np.floor({0}/{1}))", lambda y, a, b: (1.0, -np.floor(a / b)), cost=30,
            dtype="same", domain=(0.6, 0.95))  # fmt: skip
elementwise("fmod", np.fmod, "np.fmod({0}, {1})", lambda y, a, b: (1.0, -np.trunc(a / b)), cost=30, dtype="same",
            domain=(0.6, 0.95))  # fmt: skip
elementwise("copysign", np.copysign, "math.copysign({0}, {1})", lambda y, a, b: (np.sign(a) * np.sign(y), 0.0),
            avoid=(0.0,))  # fmt: skip

# ---- steps: no derivative, which is zero to the transforms and None to the tape ----------------------------------------
elementwise("floor", np.floor, "np.floor({0})", None, avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))
elementwise("ceil", np.ceil, "np.ceil({0})", None, avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))
elementwise("rint", np.rint, "np.rint({0})", None, avoid=(-1.5, -0.5, 0.5, 1.5))
elementwise("trunc", np.trunc, "np.trunc({0})", None, avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))
elementwise("heaviside", np.heaviside, "({1} if {0} == 0 else (1.0 if {0} > 0 else 0.0*{0}))",
            lambda y, a, b: (0.0, np.where(a == 0, 1.0, 0.0)), avoid=(0.0,))  # fmt: skip

# ---- conditions: no derivative ------------------------------------------------------------------------------------------
for _name, _ufunc, _source in (
    ("less", np.less, "({0} < {1})"), ("less_equal", np.less_equal, "({0} <= {1})"),
    ("greater", np.greater, "({0} > {1})"), ("greater_equal", np.greater_equal, "({0} >= {1})"),
    ("equal", np.equal, "({0} == {1})"), ("not_equal", np.not_equal, "({0} != {1})"),
    ("logical_and", np.logical_and, "({0} & {1})"), ("logical_or", np.logical_or, "({0} | {1})"),
    ("logical_xor", np.logical_xor, "({0} != {1})"), ("logical_not", np.logical_not, "(not {0})"),
    ("isnan", np.isnan, "({0} != {0})"), ("isfinite", np.isfinite, "(({0} - {0}) == 0)"),
    ("isinf", np.isinf, "(abs({0}) == np.inf)"), ("signbit", np.signbit, "(math.copysign(1.0, {0}) < 0)"),
):  # fmt: skip
    elementwise(_name, _ufunc, _source, None, dtype="bool")
implements(np.bitwise_and)(lambda a, b: np.logical_and(a, b))
implements(np.bitwise_or)(lambda a, b: np.logical_or(a, b))
implements(np.invert)(lambda a: np.logical_not(a))

STOP_GRADIENT = elementwise("stop_gradient", lambda x: np.asarray(x), "{0}", None, dtype="same")
STOP_GRADIENT.passes = 0

WHERE = Select("where", np.where, "({1} if {0} else {2})")


@implements(np.where)
def where(condition, *branches):
    return call(WHERE, condition, *branches) if branches else np.nonzero(condition)


@implements(np.clip)
def clip(x, a_min=None, a_max=None, *, min=None, max=None):
    """The derivative is 1 on the closed interval: at a bound an optimiser can still move inward."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if low is not None:
        x = np.where(x < low, low, x)
    return x if high is None else np.where(x > high, high, x)


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    limit = np.finfo(x.dtype).max
    x = np.where(np.isnan(x), nan, x)
    x = np.where(x == np.inf, limit if posinf is None else posinf, x)
    return np.where(x == -np.inf, -limit if neginf is None else neginf, x)


@implements(np.round)
def round_(x, decimals=0):
    return np.rint(x) if decimals == 0 else np.rint(x * 10.0**decimals) / 10.0**decimals


NODES, WEIGHTS = (0.5 * (np.polynomial.legendre.leggauss(40)[0] + 1.0), 0.5 * np.polynomial.legendre.leggauss(40)[1])


def _sinc_derivative_value(order: int):
    """The order-th derivative of sin(pi x) / (pi x).

    With z = pi x: near 0 the integral of t^k cos(z t + k pi / 2) over (0, 1) by Gauss quadrature, which has no cancellation;
    elsewhere z s_k + k s_{k-1} = sin^(k)(z).
    """
    turn, phase = ((np.cos, 1), (np.sin, -1), (np.cos, -1), (np.sin, 1))[order % 4]

    def value(x):
        x = np.asarray(x)
        z = np.pi * np.asarray(x, np.float64)
        near = np.abs(z) < order + 1.0
        far = np.where(near, 1.0, z)
        turns = x - 2.0 * np.rint(0.5 * x)  # sin(pi x) of large x keeps its digits
        s = np.sin(np.pi * turns) / far
        for k in range(1, order + 1):
            s = (np.sin(np.pi * (turns + 0.5 * k)) - k * s) / far
        small = phase * (turn(np.where(near, z, 0.0)[..., None] * NODES) @ (WEIGHTS * NODES**order))
        return (np.pi**order * np.where(near, small, s)).astype(np.result_type(x.dtype, np.float32), copy=False)

    return value


@cache
def _sinc(order: int) -> Elementwise:
    """One primitive per order, declared when it is first differentiated."""
    return elementwise(
        f"sinc_{order}" if order else "sinc", _sinc_derivative_value(order) if order else np.sinc, f"sinc({{0}}, {order})",
        lambda y, a: (call(_sinc(order + 1), a),), cost=60, order=4,
    )  # fmt: skip


SINC = _sinc(0)
implements(np.sinc)(lambda x: call(SINC, x))


def _astype(x: Array, dtype, copy: bool = True) -> Array:
    dtype = np.dtype(dtype)
    return x.copy() if dtype == x.dtype else call(_cast(dtype), x)


_casts: dict[np.dtype, Elementwise] = {}


def _cast(dtype: np.dtype) -> Elementwise:
    """One primitive per target dtype; a cast to integers has no derivative."""
    if dtype not in _casts:
        floating = np.issubdtype(dtype, np.inexact)
        primitive = Elementwise(f"astype_{dtype.name}", lambda x: np.asarray(x).astype(dtype), "{0}",
                                (lambda y, a: (1.0,)) if floating else None, dtype="same")  # fmt: skip
        primitive.result_type = lambda args: dtype  # type: ignore[method-assign]
        _casts[dtype] = primitive
    return _casts[dtype]


FUNCTIONS[np.astype] = _astype
