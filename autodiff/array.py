"""Array: a node that behaves like a numpy array, or the numbers themselves (NEP 13 and NEP 18).

A *traced* array is a node: operators and numpy functions on it build the graph.  An *eager* array carries its numbers:
operators and functions are numpy's own, done at once, and told to whoever watches.  Where both meet, the eager one becomes a
leaf.

While a `@function` is traced the numbers of eager arrays are *symbolic*: traced arrays themselves.  Nobody notices but those
who ask for a plain number, so that tapes do inside a function what they do outside.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np

from .errors import ArgumentError, AutodiffError, MissingError, NoRuleError, RefusedError, ShapeError, TraceError, scipy_call
from .graph import CONSTANT, DATUM, SYMBOL, Node, constant, datum, walk
from .interpret import number
from .leaves import Argument, Held, Input, Name, argument, escaped, leaf_name, needs_number, unknown
from .primitive import FUNCTIONS, SAME, TABLE, UFUNCS
from .recording import ACTIVE, Event, known_files, name_of_operation, tell_left, user_code

# what `ufunc.reduce` is called when it is a function of its own
REDUCE: dict[np.ufunc, Callable] = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min, np.logical_and: np.all, np.logical_or: np.any,
}  # fmt: skip

# what to write instead of a numpy function that has no rule
INSTEAD = {
    "np.linalg.eig": "np.linalg.eigh, if the matrix is symmetric",
    "np.linalg.eigvals": "np.linalg.eigvalsh, if the matrix is symmetric",
    "np.piecewise": "np.select or np.where",
    "np.histogram": "a sum of smooth bumps, one a bin: a count has no derivative",
    "np.bincount": "np.sum of np.where, one a bin, or ad.softmax for a smooth one",
    "np.digitize": "np.searchsorted",
    "np.unique": "np.sort",
    "np.roots": "Newton's method on np.polyval",
    "np.polyfit": "np.linalg.lstsq with np.vander(x)",
    "np.apply_over_axes": "the function once for each axis",
    "np.full": "np.broadcast_to(value, shape)",
    "np.choose": "np.select",
    "np.place": "np.where",
    "np.putmask": "np.where",
    "scipy.special.softmax": "ad.softmax",
    "scipy.special.log_softmax": "ad.log_softmax",
    "scipy.special.logsumexp": "ad.logsumexp",
    "np.put": "np.where",
    "np.copyto": "np.where",
    "np.fill_diagonal": "np.where(np.eye(n, dtype=bool), value, x)",
    "np.apply_along_axis": "ad.vmap",
    "np.vectorize": "ad.vmap",
}


# what tensors and variables of TensorFlow have
FROM_TENSORFLOW = {
    "value": "v.read()", "read_value": "v.read()", "eval": "x.numpy()", "get_shape": "x.shape", "rank": "x.ndim",
    "ref": "x itself: arrays and variables may be keys of a dict", "op": "tape.explain(target, source)",
}  # fmt: skip


class Array:
    """A traced value (`number` is None: it is computed when asked for, or there is none) or an eager one, which has its number.

    `space` gives meaning to subscripts such as `u.x` and refuses numpy functions that have none in an equation (see pinn);
    outside an equation it is None.  An eager array knows its `serial`, by which watchers refer to this very value, and for
    messages where it was made (`origin`), from which variable (`root`), and where it was first used unwatched (`used`).
    `view` says that numpy would have made a view, so that an assignment into it would reach the array that it is taken from.
    """

    __slots__ = ("_node", "space", "number", "serial", "origin", "root", "used", "view")
    __array_priority__ = 1000.0
    __hash__ = object.__hash__
    serial: int
    origin: tuple
    root: Any
    used: Any

    def __init__(self, node: Node, space: Any = None):
        self._node: Node | None = node
        self.space = space
        self.number: Any = None
        self.view = False

    # -- what it is
    @property
    def node(self) -> Node:
        """The node; an eager array becomes a leaf when the first graph needs it."""
        if self._node is None:
            held = Held(self.number, self.serial, self.root)
            if type(self.number) is Array:
                self._node = SAME.make((self.number.node,), held)
            else:
                self._node = datum(self.number)
                self._node.attr = held
        return self._node

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape if self.number is None else self.number.shape

    @property
    def dtype(self) -> np.dtype:
        return self.node.dtype if self.number is None else self.number.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def T(self) -> Array:
        return np.transpose(self)

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentError("a scalar has no length and no elements", fix="x.size is 1; np.reshape(x, 1) has one element",
                                code="unsized")  # fmt: skip
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if self.number is None or type(self.number) is Array:
            return f"Array(shape={self.shape}, dtype={self.dtype.name})"
        return f"Array({np.array2string(np.asarray(self.number), separator=', ', prefix='Array(')}, dtype={self.dtype.name})"

    def __format__(self, spec: str) -> str:
        if not spec or spec[-1] not in "bcdeEfFgGnoxX%":
            return format(str(self), spec)
        return format(self._one(f"the format {spec!r}").item(), spec)

    def __round__(self, digits: int = 0) -> Array:
        return np.round(self, digits)

    def __getattr__(self, name: str) -> Any:
        # only reached when ordinary look-up fails: `u.x`, `u.xx` in an equation
        if name.startswith("__"):  # numpy and copy ask for these, and take no for an answer
            raise AttributeError(name)
        if self.space is None:
            raise no_attribute("an Array", name)
        return self.space.subscript(self, name)

    # -- numbers
    def numpy(self) -> np.ndarray:
        """The numbers, as a plain ndarray."""
        if self.number is None:
            return np.array(self._leave(".numpy()"))
        if type(self.number) is Array:
            return self.number.numpy()
        return tell_left(self, ".numpy()", np.array(self.number))

    def item(self) -> float:
        return tell_left(self, ".item()", self._one("item()").item())

    def tolist(self) -> Any:
        return tell_left(self, ".tolist()", self._leave("tolist()").tolist())

    def _leave(self, how: str, instead: str | None = None) -> np.ndarray:
        if type(self.number) is Array:
            return self.number._leave(how, instead)
        if self.number is not None:
            return self.number
        moves = self.dtype.kind == "f"  # what moves in steps has no derivative to lose
        for leaf in walk([self.node]):
            if leaf.op is SYMBOL or (moves and isinstance(leaf.attr, Argument)):
                if isinstance(leaf.attr, tuple) and isinstance(leaf.attr[0], Input):
                    raise needs_number(leaf, how, f"use {instead}" if instead else "return the array and take its number "
                                       "outside; to look at it inside: ad.run_functions_eagerly(True)")  # fmt: skip
                raise TraceError(
                    f"{how} would cut the derivative: this value depends on {leaf_name(leaf)}, which is being traced",
                    why="a plain number carries no derivative, and numpy cannot be told otherwise",
                    fix=f"use {instead}" if instead else
                    "leave it out: operators and numpy functions take arrays; np.stack([...]) instead of np.array([...])",
                    code="would-cut",
                )
        return number(self.node)

    def __float__(self) -> float:
        return tell_left(self, "float()", float(self._one("float()").item()))

    def __int__(self) -> int:
        return tell_left(self, "int()", int(self._one("int()").item()))

    def __index__(self) -> int:
        if self.shape or self.dtype.kind not in "iu":
            raise ArgumentError(f"an index is one integer, and this has dtype {self.dtype} and shape {self.shape}",
                                why="Python asks for it in range, in lists and in repetitions",
                                fix="int(np.round(x)); range(len(x)); y[x] of an Array y", code="not-an-index")  # fmt: skip
        return self._leave("an index").__index__()

    def _one(self, how: str) -> Any:
        """Its number, which leaves, of an array of one element."""
        if self.size != 1:
            raise ArgumentError(f"{how} needs one number, and the array has shape {self.shape}",
                                fix="np.sum(x), x[0], or x.tolist() for all of them", code="not-one-number")  # fmt: skip
        return self._leave(how)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"the truth of an array of shape {self.shape} is ambiguous",
                             fix="np.where(x > 0, a, b), .any() or .all()",
                             why="some elements may be true and others not", code="ambiguous-truth")  # fmt: skip
        if self.number is not None:
            return bool(self.number)
        for leaf in walk([self.node]):
            if leaf.op is SYMBOL and isinstance(leaf.attr[0], Input):
                raise needs_number(leaf, "an `if`, `while`, `and` or `assert`",
                                   "np.where(condition, a, b), or ad.cond(condition, f, g), ad.while_loop(test, body, start)")
            if leaf.op is SYMBOL:
                raise TraceError(
                    f"an `if` or `and` depends on {leaf_name(leaf)}, which has no number while the program is traced",
                    why="the program is made once for all numbers",
                    fix="use np.where(condition, a, b), or & and | between conditions",
                    code="needs-number",
                )
        return bool(number(self.node))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        foreign = scipy_call()
        value = self._leave(foreign or "np.asarray, np.array or storing into a plain ndarray", INSTEAD.get(foreign))
        return tell_left(self, foreign or "np.asarray()", np.array(value, dtype=dtype))

    # -- numpy's protocols
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__" and ufunc in UFUNCS:
            if ufunc.nout > 1:
                return perform(ufunc, UFUNCS[ufunc], inputs, {})
            if len(inputs) == 2:
                return combine(ufunc, *inputs)
            if len(inputs) > 2 or self.number is None:
                return operate(ufunc, *inputs)
            try:
                value = ufunc(self.number)
            except (TypeError, ValueError):
                return operate(ufunc, self)
            return _made(ufunc, ufunc, inputs, value, 2)
        kwargs = {k: v for k, v in kwargs.items() if not (k == "where" and v is True)}
        if kwargs.get("out") is not None:
            raise TraceError(
                f"np.{ufunc.__name__} would store a traced value into a plain ndarray",
                why="`y += x` and out= write numbers, and a number carries no derivative",
                fix="write y = y + x",
                code="stored",
            )
        if method == "__call__" and not kwargs and ufunc in UFUNCS:  # `where=True` was all there was
            return operate(ufunc, *inputs)
        if method == "reduce" and ufunc in REDUCE and set(kwargs) <= {"axis", "keepdims"}:
            return REDUCE[ufunc](inputs[0], axis=kwargs.get("axis", 0), keepdims=kwargs.get("keepdims", False))
        if method == "outer" and not kwargs and ufunc in UFUNCS:
            return ufunc(np.reshape(inputs[0], np.shape(inputs[0]) + (1,) * np.ndim(inputs[1])), inputs[1])
        home = "np" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"
        if ufunc.__name__.endswith("(vectorized)"):
            home = "np.frompyfunc"
        raise no_rule(f"{home}.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"), kwargs)

    def __array_function__(self, function: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        if self.space is not None:
            self.space.permit(function, args)
        if function not in FUNCTIONS:
            module = getattr(function, "__module__", "numpy") or "numpy"
            raise no_rule(f"{module.replace('numpy', 'np', 1)}.{function.__name__}", {})
        return perform(function, FUNCTIONS[function], args, kwargs)

    # -- methods numpy arrays have
    def sum(self, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduced(np.sum, self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduced(np.mean, self, axis, keepdims)

    def reshape(self, *shape: Any, order: str = "C") -> Array:
        shape = shape[0] if len(shape) == 1 else shape
        return np.reshape(self, shape) if order == "C" else np.reshape(self, shape, order=order)

    def ravel(self, order: str = "C") -> Array:
        return self.reshape(-1, order=order)

    def transpose(self, *axes: Any) -> Array:
        return np.transpose(self, (axes[0] if len(axes) == 1 and axes[0] is not None else axes) or None)

    def dot(self, other: Any) -> Array:
        return np.dot(self, other)

    def astype(self, dtype: Any) -> Array:
        try:
            real = np.dtype(dtype).kind in "fiub"
        except TypeError:
            real = False
        if not real:
            raise ArgumentError(f"an array cannot have dtype {dtype!r} here", why="only real numbers have derivatives",
                                fix="x.astype(float), or x.numpy().astype(...)", code="not-real")  # fmt: skip
        return perform(_astype, FUNCTIONS[np.astype], (self, np.dtype(dtype)), {})

    def clip(self, low: Any = None, high: Any = None) -> Array:
        return np.clip(self, low, high)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduced(np.prod, self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduced(np.max, self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduced(np.min, self, axis, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Array:
        return np.any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Array:
        return np.all(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
        return np.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Array:
        return np.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def cumsum(self, axis: Any = None) -> Array:
        return np.cumsum(self, axis=axis)

    def cumprod(self, axis: Any = None) -> Array:
        return np.cumprod(self, axis=axis)

    def argmax(self, axis: Any = None) -> Array:
        return np.argmax(self, axis=axis)

    def argmin(self, axis: Any = None) -> Array:
        return np.argmin(self, axis=axis)

    def argsort(self, axis: Any = -1) -> Array:
        return np.argsort(self, axis=axis)

    def squeeze(self, axis: Any = None) -> Array:
        return np.squeeze(self, axis=axis)

    def repeat(self, repeats: Any, axis: Any = None) -> Array:
        return np.repeat(self, repeats, axis=axis)

    def take(self, indices: Any, axis: Any = None) -> Array:
        return np.take(self, indices, axis=axis)

    def round(self, decimals: int = 0) -> Array:
        return np.round(self, decimals)

    def swapaxes(self, axis1: int, axis2: int) -> Array:
        return np.swapaxes(self, axis1, axis2)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
        return np.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0) -> Array:
        return np.trace(self, offset)

    def flatten(self, order: str = "C") -> Array:
        return self.reshape(-1, order=order)

    def copy(self) -> Array:
        """The same value under a name of its own: assigning into one does not change the other."""
        return Array(self.node, self.space) if self.number is None else eager(self.number, self.origin, self.root, self.serial)

    def __copy__(self) -> Array:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Array:
        return self.copy()

    def __reduce__(self) -> tuple:
        return restored, (self.numpy(),)

    def __getitem__(self, key: Any) -> Array:
        if (type(key) is int or type(key) is slice) and type(self.number) is np.ndarray:
            try:
                value = self.number[key]
            except (IndexError, TypeError):
                pass  # said below
            else:
                y = _made(operator.getitem, FUNCTIONS["getitem"], (self, key), value, 2)  # type: ignore[index]
                y.view = True
                return y
        y = perform(_picked if ACTIVE.trace else operator.getitem, FUNCTIONS["getitem"], (self, key), {})  # type: ignore[index]
        y.view = type(key) in PLACES or (type(key) is tuple and PLACES.issuperset([type(k) for k in key]))
        return y

    def __setitem__(self, key: Any, value: Any) -> None:
        """A new value takes the place of the old one, so the operations that used the old one stay as they were."""
        if self.view:
            raise TraceError("an array that was taken from another one cannot be assigned into",
                             why="numpy would change the whole array, of which this part knows nothing",
                             fix="y[i, j] = value in one step; or part = y[i].copy(), if the whole shall stay",
                             code="assign-part")  # fmt: skip
        y = perform(_assigned, FUNCTIONS["setitem"], (self, key, value), {})  # type: ignore[index]
        self._node, self.number = y._node, y.number
        if y.number is not None:
            self.serial, self.origin = y.serial, y.origin

    def __add__(self, other): return combine(np.add, self, other)  # noqa: E704
    def __radd__(self, other): return combine(np.add, other, self)  # noqa: E704
    def __sub__(self, other): return combine(np.subtract, self, other)  # noqa: E704
    def __rsub__(self, other): return combine(np.subtract, other, self)  # noqa: E704
    def __mul__(self, other): return combine(np.multiply, self, other)  # noqa: E704
    def __rmul__(self, other): return combine(np.multiply, other, self)  # noqa: E704
    def __truediv__(self, other): return combine(np.divide, self, other)  # noqa: E704
    def __rtruediv__(self, other): return combine(np.divide, other, self)  # noqa: E704
    def __floordiv__(self, other): return combine(np.floor_divide, self, other)  # noqa: E704
    def __rfloordiv__(self, other): return combine(np.floor_divide, other, self)  # noqa: E704
    def __mod__(self, other): return combine(np.remainder, self, other)  # noqa: E704
    def __rmod__(self, other): return combine(np.remainder, other, self)  # noqa: E704
    def __divmod__(self, other): return self // other, self % other  # noqa: E704
    def __rdivmod__(self, other): return other // self, other % self  # noqa: E704
    def __pow__(self, other): return combine(np.power, self, other)  # noqa: E704
    def __rpow__(self, other): return combine(np.power, other, self)  # noqa: E704
    def __matmul__(self, other): return combine(np.matmul, self, other)  # noqa: E704
    def __rmatmul__(self, other): return combine(np.matmul, other, self)  # noqa: E704
    def __neg__(self): return operate(np.negative, self)  # noqa: E704
    def __pos__(self): return self.copy()  # noqa: E704
    def __abs__(self): return operate(np.absolute, self)  # noqa: E704
    def __lt__(self, other): return combine(np.less, self, other)  # noqa: E704
    def __le__(self, other): return combine(np.less_equal, self, other)  # noqa: E704
    def __gt__(self, other): return combine(np.greater, self, other)  # noqa: E704
    def __ge__(self, other): return combine(np.greater_equal, self, other)  # noqa: E704
    def __eq__(self, other): return False if other is None else combine(np.equal, self, other)  # noqa: E704
    def __ne__(self, other): return True if other is None else combine(np.not_equal, self, other)  # noqa: E704
    # for conditions; integers are combined bit by bit, as in numpy
    def __and__(self, other): return combine(np.logical_and if self.dtype == bool else np.bitwise_and, self, other)  # noqa: E704
    def __rand__(self, other): return combine(np.logical_and if self.dtype == bool else np.bitwise_and, other, self)  # noqa: E704
    def __or__(self, other): return combine(np.logical_or if self.dtype == bool else np.bitwise_or, self, other)  # noqa: E704
    def __ror__(self, other): return combine(np.logical_or if self.dtype == bool else np.bitwise_or, other, self)  # noqa: E704
    def __invert__(self): return operate(np.logical_not if self.dtype == bool else np.invert, self)  # noqa: E704


def _reduced(function: Callable, x: Array, axis: Any, keepdims: bool) -> Array:
    """A method that is called as the function: eager arrays need not ask numpy what to do."""
    if type(x.number) is not np.ndarray or keepdims or not (axis is None or type(axis) is int):
        return function(x, axis=axis, keepdims=keepdims)
    xs = (x,) if axis is None else (x, axis)
    try:
        value = QUICK[function](x.number, *xs[1:])
    except (TypeError, ValueError):
        return function(*xs)
    return _made(function, FUNCTIONS[function], xs, value, 3)


class Readable:
    """Something that stands for an array and is read when it is used: a variable.  Abstract."""

    def read(self) -> Array:
        """Its present value."""
        raise NotImplementedError

    def use(self) -> Array:
        """Its present value, for an operation at once and for nothing else."""
        raise NotImplementedError


def no_rule(name: str, options: dict) -> NoRuleError:
    extra = f" with {', '.join(options)}=" if options else ""
    return NoRuleError(
        f"{name}{extra} has no derivative rule here",
        why="only numpy functions in the table of primitives can be traced",
        fix=f"use {INSTEAD[name]}" if name in INSTEAD else f"use other numpy functions, or apply {name} to plain numbers first",
        code="no-rule-option" if options else "no-rule",
    )


def restored(number: np.ndarray) -> Array:
    """An array of another process: it has its numbers, and nobody watches it."""
    return eager(number, ("constant", *user_code(2), None))


def no_attribute(what: str, name: str) -> AttributeError:
    if name in FROM_TENSORFLOW:
        fix = FROM_TENSORFLOW[name]
    elif callable(getattr(np, name, None)):
        fix = f"np.{name}(x)"
    elif hasattr(np.ndarray, name):
        fix = f"x.numpy().{name}"
    else:
        near = get_close_matches(name, [n for n in dir(Array) if not n.startswith("_")], 1)
        fix = f"did you mean x.{near[0]}?" if near else "dir(x) lists them; the functions of numpy do the rest"
    return MissingError(f"{what} has no attribute {name!r}", fix=fix, code="attribute")


def refused(function: Callable, rule: Callable, args: Sequence, kwargs: dict, error: Exception) -> Exception:
    """What to say of arguments that numpy refused: what the rule says, which knows more, else numpy's own words."""
    if isinstance(error, AutodiffError):
        return error
    try:
        made = rule(*args, **kwargs)
        if isinstance(error, np.linalg.LinAlgError):
            for y in made if isinstance(made, tuple) else (made,):
                number(y.node)
    except AutodiffError as told:
        return told
    except (TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError):
        pass
    return RefusedError(f"{name_of_operation(function)}: {str(error) or type(error).__name__}", code="refused",
                        why="numpy does not take these arguments", fix="look at their types and shapes")  # fmt: skip


def lift(x: Any) -> Node:
    """The node of anything a user may write in an expression: an Array, a number, an ndarray, a nested list of numbers."""
    if isinstance(x, Array):
        return x.node
    if isinstance(x, Readable):
        return x.read().node
    if isinstance(x, Node):
        return x
    if isinstance(x, (bool, int, float)):
        return constant(x)
    if isinstance(x, np.generic):
        if x.dtype == np.float64 or x.dtype.kind in "bi":
            return constant(x.item())
        return datum(np.asarray(x))
    if isinstance(x, (list, tuple)) and any(isinstance(e, (Array, Readable)) for e in x):
        return TABLE["stack"].make(tuple(lift(e) for e in x), 0)
    value = np.asarray(x)
    if value.dtype.kind not in "fiub":
        raise TraceError(f"a value of type {type(x).__name__} cannot be combined with arrays",
                         why=f"its dtype is {value.dtype}, and only real numbers have derivatives here",
                         fix="did you forget to return a value?" if x is None else "pass floats",
                         code="not-real")  # fmt: skip
    if value.shape == () and value.dtype in (np.float64, np.int64, np.bool_):
        return constant(value.item())
    return datum(value)


def space_of(*xs: Any) -> Any:
    """The space of the first argument that has one."""
    for x in xs:
        if isinstance(x, Array) and x.space is not None:
            return x.space
    return None


def call(primitive: Any, *xs: Any, attr: Any = None) -> Array:
    """A primitive applied to whatever the user wrote."""
    if any([type(x) is Array and x.number is not None for x in xs]):
        return perform(*_direct(primitive, attr), xs, {})
    return Array(primitive.make(tuple(lift(x) for x in xs), attr), space_of(*xs))


# ---- eager arrays -------------------------------------------------------------------------------------------------------

_serials = itertools.count(1)
_new = object.__new__
_getframe = sys._getframe


def now() -> int:
    """The serial that no value has: of two values, the one made before this moment has the smaller."""
    return next(_serials)


def eager(number: Any, origin: tuple, root: Any = None, serial: int = 0) -> Array:
    """An array that carries its number.  `origin` is (what made it, code, position in the code); `serial` is that of a value
    that has one already."""
    array = _new(Array)
    array._node = array.space = array.used = None
    array.view = False
    array.number, array.origin, array.root, array.serial = number, origin, root, serial or next(_serials)
    return array


PLACES = {int, slice, type(None), type(...), np.int64}  # the keys that make views
PLAIN = {int, float, bool, str, type(None), np.ndarray, np.float64, np.int64, slice, np.dtype, type, type(np._NoValue)}


NOTHING: dict[str, Any] = {}
NUMBERS = (np.ndarray, np.generic, Array)  # what the number of an eager array may be; an Array while a function is traced


class Traced(Exception):
    """Among the arguments is an array without a number."""


def operate(ufunc: np.ufunc, *xs: Any) -> Any:
    """A ufunc on whatever the user wrote: at once where there are numbers, else as a node."""
    numbers = []
    for x in xs:
        if type(x) is Array:
            if x.number is None:
                return UFUNCS[ufunc](*xs)
            numbers.append(x.number)
        elif isinstance(x, Readable):
            return operate(ufunc, *[y.use() if isinstance(y, Readable) else y for y in xs])
        else:
            numbers.append(x)
    try:
        value = ufunc(*numbers)
    except (TypeError, ValueError) as error:
        raise refused(ufunc, UFUNCS[ufunc], xs, {}, error) from None
    return _made(ufunc, ufunc, xs, value, 3)


def combine(ufunc: np.ufunc, a: Any, b: Any) -> Any:
    """`operate` for two arguments, written out: this is nearly every operation of every program."""
    if type(a) is Array:
        x = a.number
    elif isinstance(a, Readable):
        a = a.use()
        x = a.number
    else:
        x = a
    if type(b) is Array:
        y = b.number
    elif isinstance(b, Readable):
        b = b.use()
        y = b.number
    else:
        y = b
    if x is None or y is None:
        return UFUNCS[ufunc](a, b)
    try:
        value = ufunc(x, y)
    except (TypeError, ValueError) as error:
        raise refused(ufunc, UFUNCS[ufunc], (a, b), {}, error) from None
    return _made(ufunc, ufunc, (a, b), value, 3)


def _made(function: Callable, rule: Callable, xs: tuple, value: Any, depth: int) -> Array:
    """The eager array that a function made, told to who watches; `eager` and `user_code` written out.

    The user called it `depth` frames above.  The rule of a ufunc is the ufunc.
    """
    if type(value) is Array and ACTIVE.trace is None:
        raise escaped(value.node)
    frame = _getframe(depth)
    code, at = frame.f_code, frame.f_lasti
    if known_files.get(code.co_filename, True):
        code, at = user_code(depth)
    y = _new(Array)
    y._node = y.space = y.used = y.root = None
    y.view = False
    y.number, y.origin, y.serial = value, (function, code, at), next(_serials)
    for x in xs:
        if type(x) is Array and x.root is not None:
            y.root = x.root
            break
    watchers = ACTIVE.watchers
    if watchers and not (len(watchers) == 1 and (quick := getattr(watchers[0], "quick", None)) and quick(rule, xs, NOTHING, y)):
        event = Event(function, UFUNCS.get(rule, rule), xs, {}, [x for x in xs if type(x) is Array], [y], code, at)
        for watcher in watchers:
            watcher.operation(event)
    return y


def _reducing(function: Callable, ufunc: np.ufunc) -> Callable:
    """`function` without the steps that numpy takes before it calls `ufunc.reduce`."""
    reduce = ufunc.reduce

    def quickly(a: Any, axis: Any = None, *more: Any, **options: Any) -> Any:
        if type(a) is not np.ndarray or more or options and (len(options) > 1 or type(options.get("keepdims")) is not bool):
            return function(a, axis, *more, **options)
        return reduce(a, axis, None, None, **options)

    return quickly


def _mean(a: Any, axis: Any = None, *more: Any, **options: Any) -> Any:
    simple = type(a) is np.ndarray and a.dtype.char == "d" and a.size and (axis is None or type(axis) is int)
    if not simple or more or options:
        return np.mean(a, axis, *more, **options)
    return np.add.reduce(a, axis) / (a.size if axis is None else a.shape[axis])


# functions that numpy takes longer to prepare than to do; what stands for them on numbers does the same arithmetic
QUICK: dict[Callable, Callable] = {f: _reducing(f, ufunc) for ufunc, f in REDUCE.items() if ufunc.identity is not True}
QUICK[np.mean] = _mean


def perform(function: Callable, rule: Callable, args: tuple, kwargs: dict) -> Any:
    """A function on whatever the user wrote: `function` on numbers, `rule` if something is traced."""
    arrays: list[Array] = []
    numbers: Any = []
    for x in args:
        kind = type(x)
        if kind is Array and x.number is not None:
            arrays.append(x)
            numbers.append(x.number)
        elif kind in PLAIN:
            numbers.append(x)
        else:
            break
    options, plain = kwargs, len(numbers) == len(args)
    for x in kwargs.values():
        plain = plain and type(x) in PLAIN
    if not plain:
        arrays = []
        args, kwargs = read(args), {k: read(v) for k, v in kwargs.items()}
        try:
            numbers, options = numbers_of(args, arrays), {k: numbers_of(v, arrays) for k, v in kwargs.items()}
        except Traced:
            return rule(*args, **kwargs)
    try:
        value = QUICK.get(function, function)(*numbers, **options)
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise refused(function, rule, args, kwargs, error) from None
    code, at = user_code(2)
    root = None
    for a in arrays:
        if a.root is not None:
            root = a.root
            break
    watchers = ACTIVE.watchers
    if isinstance(value, NUMBERS):
        if type(value) is Array and ACTIVE.trace is None:
            raise escaped(value.node)
        y: Any = eager(value, (function, code, at), root)
        if not watchers:
            return y
        if len(watchers) == 1 and (quick := getattr(watchers[0], "quick", None)) and quick(rule, args, kwargs, y):
            return y
        outputs = [y]
    elif isinstance(value, (tuple, list)) and value and all(isinstance(v, NUMBERS) for v in value):
        outputs = [eager(v, (function, code, at), root) for v in value]
        y = type(value)(*outputs) if hasattr(value, "_fields") else type(value)(outputs)
    else:
        return value  # a shape, a dtype, the answer to a question
    if watchers:
        event = Event(function, rule, args, kwargs, arrays, outputs, code, at)
        for watcher in watchers:
            watcher.operation(event)
    return y


@lru_cache(maxsize=1024)
def _direct(primitive: Any, attr: Any) -> tuple[Callable, Callable]:
    """A primitive as a function of numbers and as one of traced arrays."""

    def number_of(*xs: Any) -> Any:
        if any([type(x) is Array for x in xs]):
            return rule(*xs)
        if primitive.sort in ("elementwise", "select"):
            return primitive.value(*xs)
        first = (False, False) if primitive.sort == "multilinear" else 0
        return primitive.value(attr, first, *[np.asarray(x) for x in xs])

    def rule(*xs: Any) -> Array:
        return Array(primitive.make(tuple(lift(x) for x in xs), attr), space_of(*xs))

    number_of.__name__ = primitive.name
    return number_of, rule


def read(tree: Any) -> Any:
    """The same arguments with variables read."""
    if isinstance(tree, Readable):
        return tree.read()
    if type(tree) in (tuple, list) and tree:
        return type(tree)([read(x) for x in tree])
    return tree


def numbers_of(tree: Any, arrays: list[Array]) -> Any:
    """The same arguments with numbers for arrays, which are listed in `arrays`; raises Traced if one has none."""
    kind = type(tree)
    if kind is Array:
        if tree.number is None:
            raise Traced
        arrays.append(tree)
        return tree.number
    if kind is tuple or kind is list:
        return kind([numbers_of(x, arrays) for x in tree])
    return tree


def _astype(x: Any, dtype: np.dtype) -> Any:
    if type(x) is Array:
        return FUNCTIONS[np.astype](x, dtype)
    return np.asarray(x).astype(dtype)[()]


_astype.__name__ = "astype"


def _picked(x: Any, key: Any) -> Any:
    """x[key] where one or the other is symbolic."""
    return operator.getitem(x if type(x) is Array else Array(lift(x)), key)


_picked.__name__ = "x[...]"


def _assigned(x: Any, key: Any, value: Any) -> Any:
    if type(x) is Array or type(value) is Array:
        return FUNCTIONS["setitem"](Array(lift(x)), key, value)  # type: ignore[index]
    y = np.array(x)
    y[key] = value
    return y


__all__ = [
    "CONSTANT", "DATUM", "NUMBERS", "Array", "Argument", "Held", "Name", "Readable", "argument", "call", "combine", "eager",
    "leaf_name", "lift", "now", "operate", "perform", "read", "space_of", "unknown",
]  # fmt: skip
