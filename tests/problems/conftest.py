"""A second reading of problem files, with no automatic differentiation: fields are mpmath functions, derivatives are mpmath's.

`read(module)` runs a problem file's `problem()` with the words of `pinn` replaced by the small classes below, which say in
numbers what the contract says in words.  Whatever the library does with a file, this is what the file means.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partialmethod

import mpmath as mp
import pytest


class Field:
    """A function of all coordinates; arithmetic is pointwise, `u.x`, `u.xy`, ... are its derivatives."""

    def __init__(self, value: Callable, coordinates: tuple[str, ...]):
        self.value, self.coordinates = value, coordinates

    def combine(self, other: object, operation: Callable) -> Field:
        right = other.value if isinstance(other, Field) else lambda *_: mp.mpf(other)
        return Field(lambda *point: operation(self.value(*point), right(*point)), self.coordinates)

    __add__ = __radd__ = partialmethod(combine, operation=lambda a, b: a + b)
    __sub__ = partialmethod(combine, operation=lambda a, b: a - b)
    __rsub__ = partialmethod(combine, operation=lambda a, b: b - a)
    __mul__ = __rmul__ = partialmethod(combine, operation=lambda a, b: a * b)
    __truediv__ = partialmethod(combine, operation=lambda a, b: a / b)
    __rtruediv__ = partialmethod(combine, operation=lambda a, b: b / a)
    __pow__ = partialmethod(combine, operation=lambda a, b: a**b)

    def __neg__(self) -> Field:
        return self.apply(lambda a: -a)

    def apply(self, function: Callable) -> Field:
        return Field(lambda *point: function(self.value(*point)), self.coordinates)

    # numpy's ufuncs call a method of their own name on objects that they do not know
    sin = partialmethod(apply, mp.sin)
    cos = partialmethod(apply, mp.cos)
    exp = partialmethod(apply, mp.exp)
    log = partialmethod(apply, mp.log)
    sqrt = partialmethod(apply, mp.sqrt)
    tanh = partialmethod(apply, mp.tanh)
    cosh = partialmethod(apply, mp.cosh)
    arctan = partialmethod(apply, mp.atan)

    def derivative(self, *names: str) -> Field:
        orders = [names.count(name) for name in self.coordinates]
        return Field(lambda *point: mp.diff(self.value, point, list(orders)), self.coordinates)

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_") or not set(name) <= set(self.coordinates):
            raise AttributeError(name)
        return self.derivative(*name)


def laplacian(u: Field) -> Field:
    return sum(u.derivative(name, name) for name in u.coordinates if name != "t")


def D(u: Field, *coordinates: Field) -> Field:
    """The derivative by coordinates, which are the fields whose value is their own."""
    point = [mp.mpf(i + 2) for i in range(len(u.coordinates))]
    return u.derivative(*(u.coordinates[int(one.value(*point)) - 2] for one in coordinates))


class Faces(tuple):
    """Several faces; `a | b` joins them."""

    def __or__(self, other: Faces) -> Faces:
        return Faces((*self, *other))


@dataclass(frozen=True)
class Face:
    """Where one coordinate has one value; `sign` turns its derivative into the outward normal derivative."""

    axis: str
    at: float
    sign: int


@dataclass(frozen=True)
class Domain:
    axes: dict[str, tuple[float, float]]
    periodic: tuple[str, ...] = ()

    def __mul__(self, other: Domain) -> Domain:
        return Domain({**self.axes, **other.axes}, self.periodic)

    @property
    def boundary(self) -> tuple[Face, ...]:
        spatial = [name for name in self.axes if name != "t" and name not in self.periodic]
        return tuple(Face(name, self.axes[name][side], 2 * side - 1) for name in spatial for side in (0, 1))

    @property
    def initial(self) -> tuple[Face, ...]:
        return (Face("t", self.axes["t"][0], -1),)

    def face(self, **where: float) -> tuple[Face, ...]:
        (axis, at), = where.items()
        assert at in self.axes[axis], f"no face {axis} = {at}"
        return Faces(face for face in self.boundary if (face.axis, face.at) == (axis, at))


def box(periodic: str | tuple[str, ...] = (), **axes: tuple[float, float]) -> Domain:
    return Domain(axes, (periodic,) if isinstance(periodic, str) else tuple(periodic))


@dataclass(frozen=True)
class Condition:
    """`residual(call, fields, face)` is a Field that vanishes on the faces of `on` (None: the whole boundary, or t = 0)."""

    name: str
    residual: Callable
    on: tuple[Face, ...] | None = None
    initial: bool = False


def conditions_by_unknown(word: str, residual: Callable, initial: bool = False) -> Callable:
    def make(on: tuple[Face, ...] | None = None, alpha: float = 1, beta: float = 1, **values: object) -> list[Condition]:
        return [
            Condition(f"{word}({unknown})", lambda call, fields, face, unknown=unknown, value=value:
                      residual(call, fields, face, unknown, value, alpha, beta), on, initial)
            for unknown, value in values.items()]
    return make


def initial(call: Callable, fields: dict, face: Face, unknown: str, value: object, *_: float) -> Field:
    of = fields[unknown] if unknown in fields else fields[unknown.removesuffix("_t")].t
    return of - call(value)


def dirichlet(call: Callable, fields: dict, face: Face, unknown: str, value: object, *_: float) -> Field:
    return fields[unknown] - call(value)


def neumann(call: Callable, fields: dict, face: Face, unknown: str, value: object, *_: float) -> Field:
    return fields[unknown].derivative(face.axis) * face.sign - call(value)


def robin(call: Callable, fields: dict, face: Face, unknown: str, value: object, alpha: float, beta: float) -> Field:
    return fields[unknown] * alpha + fields[unknown].derivative(face.axis) * (face.sign * beta) - call(value)


def residual(function: Callable, on: tuple[Face, ...], name: str = "") -> list[Condition]:
    return [Condition(name or function.__name__, lambda call, fields, face: call(function), on)]


@dataclass(frozen=True)
class Reading:
    """What a problem file says: its domain, its equations, its conditions and its exact solution."""

    unknowns: str | tuple[str, ...]
    domain: Domain
    equations: list[Callable]
    conditions: list
    exact: Callable
    weights: dict = field(default_factory=dict)

    def environment(self, fields: dict[str, Callable]) -> tuple[Callable, dict[str, Field]]:
        """`call`, which gives a function of the file what its argument names ask for, and the fields as `Field`s."""
        names = tuple(self.domain.axes)
        wrapped = {unknown: Field(function, names) for unknown, function in fields.items()}
        known = wrapped | {name: Field(lambda *point, i=i: point[i], names) for i, name in enumerate(names)}

        def call(value: object) -> object:
            if not callable(value):
                return value
            asked = inspect.signature(value).parameters.values()
            rest = names if any(one.kind is one.VAR_KEYWORD for one in asked) else ()
            return value(**{name: known[name] for name in [*(one.name for one in asked if one.name in known), *rest]})

        return call, wrapped

    def equation_residuals(self, fields: dict[str, Callable]) -> list[tuple[str, Callable]]:
        """Every component of every equation as `(name, function of a point)`."""
        call, _ = self.environment(fields)
        results = [(equation.__name__, call(equation)) for equation in self.equations]
        return [(name, part.value) for name, result in results for part in (result if isinstance(result, tuple) else (result,))]

    def condition_residuals(self, fields: dict[str, Callable]) -> list[tuple[str, Face, Callable]]:
        """Every condition on every face where it holds as `(name, face, function of a point)`."""
        call, wrapped = self.environment(fields)
        everything = [condition for group in self.conditions for condition in group]
        whole = {True: self.domain.initial if "t" in self.domain.axes else (), False: self.domain.boundary}
        return [
            (condition.name, face, condition.residual(call, wrapped, face).value)
            for condition in everything
            for face in (whole[condition.initial] if condition.on is None else condition.on)]


WORDS = {
    "Box": box, "Time": box, "Problem": Reading, "laplacian": laplacian, "D": D, "Residual": residual,
    "Initial": conditions_by_unknown("Initial", initial, initial=True),
    "Dirichlet": conditions_by_unknown("Dirichlet", dirichlet),
    "Neumann": conditions_by_unknown("Neumann", neumann), "Robin": conditions_by_unknown("Robin", robin)}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reading]:
    """Read `problems/<module>.py` in numbers; keyword arguments are the problem's parameters."""

    def reading(module: str, **parameters: float) -> Reading:
        file = importlib.import_module(f"problems.{module}")
        for word in set(WORDS) & set(vars(file)):
            monkeypatch.setattr(file, word, WORDS[word])
        return file.problem(**parameters)

    return reading


@pytest.fixture(autouse=True)
def thirty_digits() -> Iterator[None]:
    with mp.workdps(30):
        yield
