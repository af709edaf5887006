"""Values of the user's: variables, which can be assigned and are watched when they are read, and constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .array import Array, Readable, call, combine, eager, no_attribute, operate
from .errors import ArgumentError, ShapeError, TraceError, VariableError
from .primitive import TABLE, UFUNCS
from .recording import ACTIVE, Place, tell_left, user_code


class Identity:
    """Who a variable is: what is left to say about it where only a result of it is at hand."""

    __slots__ = ("serial", "name", "trainable", "place")

    def __init__(self, serial: int, name: str, trainable: bool, place: Place):
        self.serial, self.name, self.trainable, self.place = serial, name, trainable, place


def as_number(value: Any, dtype: Any, what: str) -> np.ndarray:
    """A copy of the numbers of `value`; raises ArgumentError if they are not real numbers."""
    try:
        number = np.array(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{what} cannot be made of this {type(value).__name__}: {error}",
                            fix="pass numbers in equal rows; join arrays with np.stack([...])",
                            code="not-numbers") from None  # fmt: skip
    if number.dtype.kind not in "fiub":
        raise ArgumentError(f"{what} of dtype {number.dtype}", why="only real numbers have derivatives here",
                            fix="pass floats; x.real and x.imag, if it is complex", code="not-real")  # fmt: skip
    return number


def _is_eager(value: Any) -> bool:
    return isinstance(value, Array) and value.number is not None


def constant(value: Any, dtype: Any = None, name: str | None = None) -> Array:
    """An array that carries its numbers, a copy of `value`; a tape sees it only after `tape.watch`.

    Raises ArgumentError, a TypeError, for anything but real numbers.
    """
    if isinstance(value, Readable):
        value = value.read()
    if isinstance(value, Array) and type(value.number) is Array:  # in a function that is traced: a copy, without a number
        number = call(TABLE["stop_gradient"], value.number)
        number = number if dtype is None else number.astype(dtype)
        array = eager(number, ("constant", *user_code(2), name))
        for watcher in ACTIVE.watchers:
            watcher.left(value, "ad.constant()", number)
            watcher.entered(array, number)
        return array
    given = tell_left(value, "ad.constant()", np.array(value._leave("ad.constant()"))) if isinstance(value, Array) else value
    array = eager(as_number(given, dtype, "a constant"), ("constant", *user_code(2), name))
    for watcher in ACTIVE.watchers:
        watcher.entered(array, given)
    return array


class Variable(Readable):
    """A value that can be exchanged: `assign`, `assign_add`, `assign_sub`.

    A tape watches a trainable variable when it is read.  Every use reads the value of that moment: to assign afterwards does
    not change what was computed.
    """

    __array_priority__ = 1001.0
    __hash__ = object.__hash__

    def __init__(self, value: Any, name: str | None = None, trainable: bool = True, dtype: Any = None):
        if isinstance(value, Readable):
            value = value.read()
        if isinstance(value, Array) and type(value.number) is Array:
            raise TraceError("a variable is made of a value that has no number while the function is traced",
                             why="a variable lives on when the function has run", code="variable-of-traced",
                             fix="make the variable once, outside of the function, of plain numbers")  # fmt: skip
        number = as_number(value.number if _is_eager(value) else value, dtype, "a variable")
        number.flags.writeable = False
        code, at = user_code(2)
        array = eager(number, ("variable", code, at))
        self._number = number
        self._used: Array | None = None
        self.identity = Identity(array.serial, name or "Variable", bool(trainable), Place(code, at))
        if ACTIVE.trace is not None:
            ACTIVE.trace.created(self)
        if _is_eager(value):
            for watcher in ACTIVE.watchers:
                watcher.written(self, value)

    # -- what it is
    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def trainable(self) -> bool:
        return self.identity.trainable

    @property
    def serial(self) -> int:
        return self.identity.serial

    @property
    def number(self) -> np.ndarray:
        """Its present numbers, read by nobody: not to be written to."""
        return self._number

    @property
    def shape(self) -> tuple[int, ...]:
        return self._number.shape

    @property
    def dtype(self) -> np.dtype:
        return self._number.dtype

    @property
    def ndim(self) -> int:
        return self._number.ndim

    @property
    def size(self) -> int:
        return self._number.size

    def __repr__(self) -> str:
        text = np.array2string(self._number, separator=", ", prefix="Variable(")
        return f"Variable({text}, name={self.name!r}, dtype={self.dtype.name})"

    # -- reading
    def read(self) -> Array:
        """Its present value, an array; a tape that watches the variable sees this."""
        number = self._number if ACTIVE.trace is None else ACTIVE.trace.number_of(self)
        value = eager(number, ("read", *user_code(2)), self.identity)
        for watcher in ACTIVE.watchers:
            watcher.read(self, value)
        return value

    def use(self) -> Array:
        """Its present value, for an operation at once: watchers may take it for the variable itself, which spares a record."""
        if ACTIVE.trace is not None:
            return self.read()
        for watcher in ACTIVE.watchers:
            if not watcher.used(self):
                return self.read()
        if self._used is None:
            self._used = eager(self._number, ("variable", self.identity.place.code, self.identity.place.at), self.identity,
                               self.identity.serial)  # fmt: skip
        return self._used

    def numpy(self) -> np.ndarray:
        """Its numbers, as a plain ndarray."""
        return self.read().numpy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.read().__array__(dtype, copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Variable) for x in kwargs.get("out", ())):
            raise self._in_place(f"np.{ufunc.__name__} with out=", "v.assign(value)")
        if method == "__call__" and not kwargs and ufunc in UFUNCS and ufunc.nout == 1:
            return combine(ufunc, *inputs) if len(inputs) == 2 else operate(ufunc, *inputs)
        values = [x.read() if isinstance(x, Variable) else x for x in inputs]
        return next(v for v in values if isinstance(v, Array)).__array_ufunc__(ufunc, method, *values, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return self.read_unwatched().__array_function__(function, types, args, kwargs)

    def read_unwatched(self) -> Array:
        """Its present value, which no tape sees."""
        number = self._number if ACTIVE.trace is None else ACTIVE.trace.number_of(self)
        return eager(number, ("read", *user_code(2)), self.identity)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not hasattr(Array, name):
            raise no_attribute("a Variable", name)
        return getattr(self.read(), name)

    def __len__(self) -> int:
        return len(self.read_unwatched())

    def __iter__(self):
        return iter(self.read())

    def __bool__(self) -> bool:
        return bool(self._present())

    def __pos__(self) -> Array:
        return self.read()

    # -- writing
    def assign(self, value: Any) -> Variable:
        """Exchanges the value; the shape stays.  Raises ShapeError."""
        new, given = self._checked(value, "assign")
        if new.shape != self.shape:
            raise self._misshapen(new, "assign")
        return self._write(new if ACTIVE.trace is not None else np.array(new, self.dtype), given)

    def assign_add(self, value: Any) -> Variable:
        """Adds to the value."""
        new, given = self._checked(value, "assign_add")
        return self._write(self._moved(new, "assign_add", np.add), given)

    def assign_sub(self, value: Any) -> Variable:
        """Subtracts from the value."""
        new, given = self._checked(value, "assign_sub")
        return self._write(self._moved(new, "assign_sub", np.subtract), given)

    def _present(self) -> Any:
        return self._number if ACTIVE.trace is None else ACTIVE.trace.number_of(self)

    def _checked(self, value: Any, how: str) -> tuple[Any, Any]:
        """The numbers of a value that may be written, and the value as it was given."""
        if value is None:
            raise ArgumentError(f"cannot {how} None to the variable {self.name!r}",
                                why="a gradient is None where no recorded path leads from the target to the source",
                                fix="tape.explain(target, source) says why", code="assign-none")  # fmt: skip
        if isinstance(value, Readable):
            value = value.read()
        new = value
        if isinstance(value, Array):
            new = value.number if value.number is not None else value._leave(how)  # a traced value raises, and says why
        elif not isinstance(value, (float, int)):
            new = as_number(value, None, f"the new value of {self.name!r}")
        if ACTIVE.trace is None and type(new) is Array:
            new = new._leave(how)  # made while a function was traced, and says so
        kind = (new if type(new) is Array else np.asarray(new)).dtype.kind
        if kind == "f" and self.dtype.kind != "f":
            raise ArgumentError(f"cannot {how} floats to the variable {self.name!r}, which holds {self.dtype}",
                                why="it keeps its dtype, and would lose the fraction",
                                fix=f"Variable(..., dtype=float), or {how} integers", code="variable-dtype")  # fmt: skip
        return (new if isinstance(new, (np.ndarray, Array)) else np.asarray(new)), value

    def _moved(self, new: Any, how: str, ufunc: np.ufunc) -> Any:
        if len(new.shape) > self.ndim or any(n not in (1, m) for n, m in zip(new.shape[::-1], self.shape[::-1], strict=False)):
            raise self._misshapen(new, how)
        return ufunc(self._present(), new)

    def _misshapen(self, new: Any, how: str) -> ShapeError:
        return ShapeError(f"cannot {how} a value of shape {new.shape} to the variable {self.name!r} of shape {self.shape}",
                          why="a variable keeps its shape", fix="make a new Variable for a new shape",
                          code="variable-shape")  # fmt: skip

    def _write(self, number: Any, given: Any) -> Variable:
        if number.shape != self.shape:
            raise self._misshapen(given if isinstance(given, Array) else np.asarray(given), "assign")
        if ACTIVE.trace is not None:
            ACTIVE.trace.assign(self, number)
            for watcher in ACTIVE.watchers:
                watcher.written(self, given)
            return self
        if number.dtype != self.dtype:
            number = number.astype(self.dtype)
        return self.store(number if isinstance(number, np.ndarray) else np.asarray(number), given)

    def store(self, number: np.ndarray, given: Any = None) -> Variable:
        """Exchanges the value for a fresh array of the right shape and dtype, which nobody else may write to."""
        number.flags.writeable = False
        self._number, self._used = number, None
        for watcher in ACTIVE.watchers:
            watcher.written(self, given)
        return self

    def __reduce__(self) -> tuple:
        """Copies are variables of their own."""
        return Variable, (self.numpy(), self.name, self.trainable, self.dtype)

    def _in_place(self, what: str, fix: str) -> VariableError:
        return VariableError(f"{what} on the variable {self.name!r} is not supported", code="variable-in-place", fix=fix,
                             why="it would be replaced by an array, or change behind the back of a tape")  # fmt: skip

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ArgumentError(f"elements of the variable {self.name!r} cannot be assigned",
                            why="what was read before would change with it", code="variable-element",
                            fix="x = v.numpy(); x[i] = value; v.assign(x)")  # fmt: skip


def _refusing(operator: str, fix: str) -> Any:
    """An operator that would leave the name of a variable with an array, as TensorFlow refuses it."""

    def in_place(self: Variable, other: Any) -> Any:
        raise self._in_place(f"`variable {operator}= value`", fix)

    return in_place


def _reading(name: str, read: Callable[[Variable], Array]) -> Any:
    """The operator of arrays, for variables."""
    of_array = getattr(Array, name)

    def of_variable(self: Variable, *others: Any) -> Any:
        return of_array(read(self), *others)

    of_variable.__name__ = name
    return of_variable


ARITHMETIC = """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul neg abs
                lt le gt ge eq ne and rand or ror invert"""
for _name in ARITHMETIC.split():
    setattr(Variable, f"__{_name}__", _reading(f"__{_name}__", Variable.use))
for _name in "getitem float int index format round".split():
    setattr(Variable, f"__{_name}__", _reading(f"__{_name}__", Variable.read))

for _operator, _name, _fix in (
    ("+", "add", "variable.assign_add(value), or out = variable + value"),
    ("-", "sub", "variable.assign_sub(value), or out = variable - value"),
    ("*", "mul", "variable.assign(variable * value), or out = variable * value"),
    ("/", "truediv", "variable.assign(variable / value), or out = variable / value"),
    ("//", "floordiv", "variable.assign(variable // value), or out = variable // value"),
    ("%", "mod", "variable.assign(variable % value), or out = variable % value"),
    ("**", "pow", "variable.assign(variable ** value), or out = variable ** value"),
    ("@", "matmul", "variable.assign(variable @ value), or out = variable @ value"),
):
    setattr(Variable, f"__i{_name}__", _refusing(_operator, _fix))
