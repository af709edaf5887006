"""Elementary functions that loops can vectorise: branch-free, in float64 and float32, within about 2 ulp.

Calls into the C library keep a loop scalar.  Each function here is a numba intrinsic that writes its formula into the calling
loop as plain arithmetic, for the type of its argument.  Its operations carry the flag `contract` alone whatever `fastmath` the
caller has: rounding by adding a large number is undone by `reassoc`.

The methods are classical (W. J. Cody, W. Waite, *Software manual for the elementary functions*, 1980; J.-M. Muller, *Elementary
functions*, 3rd ed. 2016): reduce the argument by multiples of ln 2 or pi kept in several parts, sum a short series, and put the
power of two or the sign back through the bits.

    VECTOR["tanh"]                 the intrinsic, for use in generated code
    LARGE["sin", "f64"]            beyond this |x| sin and cos are wrong: a kernel looks, and repeats with `math.sin`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import factorial, floor, frexp, inf, ldexp, nan

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from autodiff.compile.target import FMA, wide_vectors

__all__ = ["LARGE", "VECTOR", "wide_vectors"]

PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
LN2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068000949339362196969472")


def parts(number: Fraction, bits: int, count: int) -> list[float]:
    """`count` numbers that sum to `number`, all but the last of `bits` bits."""
    result = []
    for _ in range(count - 1):
        exponent = bits - frexp(float(number))[1]
        result.append(ldexp(floor(number * Fraction(2) ** exponent), -exponent))
        number -= Fraction(result[-1])
    return [*result, float(number)]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format and the lengths of the series in it."""

    bits: int
    mantissa: int  # bits after the leading one
    bias: int
    ln2: list[float]  # k*ln2[0] is exact for every exponent k
    pi: list[float]  # k*pi[0] and k*pi[1] are exact, or what cancels of them is, up to `large`
    large: float
    exp_terms: int
    sin_terms: int
    log_terms: int

    @property
    def integer(self) -> ir.Type:
        return ir.IntType(self.bits)

    @property
    def root_half(self) -> int:
        """The bits of the square root of 1/2."""
        return 0x3FE6A09E667F3BCD if self.bits == 64 else 0x3F3504F3

    @property
    def magic(self) -> float:
        """Adding it leaves no bits for fractions: 1.5 rather than 1 so that negative numbers round in the same binade."""
        return 1.5 * 2.0**self.mantissa


# With a fused multiply-add every k*pi[i] is exact and pi needs no spare bits: the limit is then the rounding of x/pi itself.
_DOUBLE_PI = (parts(PI, 53, 3), 1e15) if FMA else (parts(PI, 32, 3), 3e6)
_SINGLE_PI = (parts(PI, 24, 3), 4e6) if FMA else (parts(PI, 7, 4), 2e5)
FORMATS = {
    ir.DoubleType(): Format(64, 52, 1023, parts(LN2, 33, 2), *_DOUBLE_PI, exp_terms=13, sin_terms=10, log_terms=11),
    ir.FloatType(): Format(32, 23, 127, parts(LN2, 12, 2), *_SINGLE_PI, exp_terms=8, sin_terms=6, log_terms=5),
}
LARGE = {(name, f"f{f.bits}"): f.large for name in ("sin", "cos") for f in FORMATS.values()}


class Value:
    """A scalar of the generated code with the arithmetic of Python."""

    flags = ("contract",)

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value, self.format = builder, value, FORMATS[value.type]

    def of(self, x: Value | float) -> ir.Value:
        return x.value if isinstance(x, Value) else ir.Constant(self.value.type, x)

    def new(self, value: ir.Value) -> Value:
        return Value(self.builder, value)

    def __add__(self, other: Value | float) -> Value:
        return self.new(self.builder.fadd(self.value, self.of(other), flags=self.flags))

    def __sub__(self, other: Value | float) -> Value:
        return self.new(self.builder.fsub(self.value, self.of(other), flags=self.flags))

    def __mul__(self, other: Value | float) -> Value:
        return self.new(self.builder.fmul(self.value, self.of(other), flags=self.flags))

    def __truediv__(self, other: Value | float) -> Value:
        return self.new(self.builder.fdiv(self.value, self.of(other), flags=self.flags))

    def fma(self, factor: Value | float, term: Value | float) -> Value:
        """self*factor + term, rounded once where the machine can."""
        if not FMA:
            return self * factor + term
        return self.new(self.builder.fma(self.value, self.of(factor), self.of(term)))

    def polynomial(self, *coefficients: float) -> Value:
        """sum_i coefficients[i] self**i by Horner's rule."""
        result = self.new(self.of(coefficients[-1]))
        for c in reversed(coefficients[:-1]):
            result = result.fma(self, c)
        return result

    def choose(self, relation: str, bound: float, yes: Value | float, no: Value | float) -> Value:
        """`yes` where (self relation bound), `no` elsewhere and where self is not a number."""
        condition = self.builder.fcmp_ordered(relation, self.value, self.of(bound), flags=self.flags)
        return self.new(self.builder.select(condition, self.of(yes), self.of(no)))

    def clamp(self, low: float, high: float) -> Value:
        """Within [low, high]; not a number stays so."""
        above = self.choose("<", low, low, self)
        return above.choose(">", high, high, above)

    def to_bits(self) -> ir.Value:
        return self.builder.bitcast(self.value, self.format.integer)

    def of_bits(self, bits: ir.Value) -> Value:
        return self.new(self.builder.bitcast(bits, self.value.type))

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(self.format.integer, value)

    def magnitude(self) -> Value:
        return self.of_bits(self.builder.and_(self.to_bits(), self.integer(2 ** (self.format.bits - 1) - 1)))

    def sign_from(self, other: Value) -> Value:
        sign = self.builder.and_(other.to_bits(), self.integer(-(2 ** (self.format.bits - 1))))
        return self.of_bits(self.builder.or_(self.magnitude().to_bits(), sign))

    def power_of_two(self) -> Value:
        """2**self for a whole number in the range of normal numbers."""
        shifted = (self + (self.format.magic + self.format.bias)).to_bits()
        return self.of_bits(self.builder.shl(shifted, self.integer(self.format.mantissa)))


def exponential(y: Value) -> tuple[Value, Value]:
    """(k, p) with exp(y) = 2**k (1 + p), |p| < 0.42."""
    k = y.fma(float(1 / LN2), y.format.magic) - y.format.magic
    r = k.fma(-y.format.ln2[1], k.fma(-y.format.ln2[0], y))
    p = r.polynomial(*[1 / factorial(i) for i in range(2, y.format.exp_terms + 1)])
    return k, (p * r).fma(r, r)


def exp(x: Value) -> Value:
    """In two powers of two, so that neither overflows nor leaves the normal numbers before the result does."""
    bias = x.format.bias
    k, p = exponential(x.clamp(*((-746.0, 710.0) if bias == 1023 else (-104.0, 89.0))))
    first = k.clamp(2.0 - bias, float(bias))
    scale = first.power_of_two()
    return p.fma(scale, scale) * (k - first).power_of_two()


def expm1(x: Value) -> Value:
    k, p = exponential(x.clamp(*((-40.0, 710.0) if x.format.bias == 1023 else (-20.0, 89.0))))
    first = k.choose(">", float(x.format.bias), float(x.format.bias), k)
    scale = first.power_of_two()
    return (p.fma(scale, scale - 1.0) * (k - first).power_of_two()).sign_from(x)


def tanh(x: Value) -> Value:
    """e / (e + 2) with e = exp(2|x|) - 1; from the bound on it is 1 in this format."""
    y = x.magnitude() * 2.0
    bound = 40.0 if x.format.bias == 1023 else 20.0
    k, p = exponential(y.choose(">", bound, bound, y))
    scale = k.power_of_two()
    e = p.fma(scale, scale - 1.0)
    return (e / (e + 2.0)).sign_from(x)


def sine(r: Value, parity: ir.Value) -> Value:
    """(-1)**parity sin(r) for |r| up to pi/2 and a little."""
    q = r * r
    tail = q.polynomial(*[(-1) ** (i + 1) / factorial(2 * i + 3) for i in range(r.format.sin_terms)])
    s = (q * tail).fma(r, r).sign_from(r)
    flip = r.builder.shl(parity, r.integer(r.format.bits - 1))
    return s.of_bits(r.builder.xor(s.to_bits(), flip))


def minus_multiple(x: Value, k: Value) -> Value:
    """x - k*pi"""
    for part in x.format.pi:
        x = k.fma(-part, x)
    return x


def sin(x: Value) -> Value:
    t = x.fma(float(1 / PI), x.format.magic)
    return sine(minus_multiple(x, t - x.format.magic), t.to_bits())


def cos(x: Value) -> Value:
    """sin(x + pi/2), with multiples of pi that end in one half."""
    t = x.fma(float(1 / PI), 0.5) + x.format.magic
    return sine(minus_multiple(x, t - x.format.magic - 0.5), t.to_bits())


def logarithm(x: Value, extra: Value | None = None) -> Value:
    """log(x) + extra: x = 2**k (1 + f), and log(1 + f) = f - f*f/2 + s (f*f/2 + R(s*s)) with s = f/(2 + f)."""
    form, builder = x.format, x.builder
    scaled = x.choose("<", ldexp(1.0, 1 - form.bias), x * 2.0**form.mantissa, x)
    bits, width = scaled.to_bits(), x.integer(form.mantissa)
    exponent = builder.ashr(builder.sub(bits, x.integer(form.root_half)), width)
    f = x.of_bits(builder.sub(bits, builder.shl(exponent, width))) - 1.0
    k = x.of_bits(builder.add(exponent, x.new(x.of(form.magic)).to_bits())) - form.magic
    k = k - x.choose("<", ldexp(1.0, 1 - form.bias), float(form.mantissa), 0.0)
    s, half_square = f / (f + 2.0), f * f * 0.5
    q = s * s
    tail = q * q.polynomial(*[2 / (2 * i + 3) for i in range(form.log_terms)])
    low = k * form.ln2[1] if extra is None else k.fma(form.ln2[1], extra)
    result = k * form.ln2[0] - ((half_square - s.fma(half_square + tail, low)) - f)
    result = x.choose("<", inf, result, x)
    return x.choose(">", 0.0, result, x.choose("==", 0.0, -inf, nan))


def log(x: Value) -> Value:
    return logarithm(x)


def log1p(x: Value) -> Value:
    """log(u) + c/u, where u + c is 1 + x exactly."""
    u = x + 1.0
    return x.choose("==", 0.0, x, logarithm(u, (x - (u - 1.0)) / u))


# erf(x) = x + x S(x*x) for |x| < 1 and 1 - exp(-x*x) T(s), s = (3x - 8)/(x + 4), for x in [1, 6]: interpolation at 12 and 16
# Chebyshev nodes, computed in 200 bits; relative errors 8e-18 and 5e-17 (of which erf sees a sixth).
_ERF_NEAR = (
    0.1283791670955125739,
    -0.37612638903183543,
    0.11283791670945006,
    -0.02686617064323777,
    0.0052239776071164225,
    -0.0008548325975389692,
    0.00012055294904839707,
    -1.492473690741966e-05,
    1.6447424703317362e-06,
    -1.6208483801871705e-07,
    1.3720064546777686e-08,
    -7.795898827002142e-10,
)
_ERF_FAR = (
    0.19907263099386566,
    -0.14812992991458332,
    0.055891085566079926,
    -0.018078437227012082,
    0.004990286041095359,
    -0.0011615374405673708,
    0.00022259643172453767,
    -3.346127706454e-05,
    3.498817724639476e-06,
    -1.4320649275925599e-07,
    -2.5772220860626256e-08,
    4.956466489229388e-09,
    -1.0609088834225667e-10,
    -6.917780982018686e-11,
    5.9943243455437045e-12,
    7.970561922845925e-13,
)


def erf(x: Value) -> Value:
    y = x.magnitude().clamp(0.0, 6.0)
    z = y * y
    near = z.polynomial(*_ERF_NEAR).fma(y, y)
    far = ((y * 3.0 - 8.0) / (y + 4.0)).polynomial(*_ERF_FAR)
    return y.choose("<", 1.0, near, exp(z * -1.0).fma(far * -1.0, 1.0)).sign_from(x)


def intrinsic_of(formula: Callable[[Value], Value]):
    """The formula as a numba function of one float64 or float32."""

    def typed(typing, x):
        if not isinstance(x, types.Float):
            return None
        return x(x), lambda context, builder, signature, args: formula(Value(builder, args[0])).value

    typed.__name__ = typed.__qualname__ = formula.__name__
    typed.__doc__ = formula.__doc__
    return intrinsic(typed)


VECTOR = {f.__name__: intrinsic_of(f) for f in (exp, expm1, tanh, sin, cos, log, log1p, erf)}
