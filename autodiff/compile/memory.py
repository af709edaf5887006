"""Reads and writes of the workspace that say which buffer they touch.

LLVM cannot know that two buffers of one flat workspace do not overlap.  It compares their ranges before a loop, over all rows
at once, and finds that channels which share rows "overlap": the vectorised loop is there and never runs.  Here every access
names its buffer as an alias scope (LLVM Language Reference, `alias.scope` and `noalias`): nothing is left to compare.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

MOST = 48  # buffers of one loop that are told apart; the others are compared as before


class _Scope(ir.MDValue):
    """A node that refers to itself.  Only such nodes are made anew in every inlined copy of a function; nodes told apart by a
    string are the same in all copies, and one copy's output is another one's input."""

    def __init__(self, module: ir.Module, *more: ir.MDValue):
        super().__init__(module, (), str(len(module.metadata)))
        self.operands = (self, *more)

    __eq__, __hash__ = object.__eq__, object.__hash__


def _mark(builder: ir.IRBuilder, instruction: ir.Instruction, buffer: int) -> None:
    if buffer >= MOST:
        return
    function, module = builder.function, builder.module
    if not hasattr(function, "jetspace_scopes"):
        domain = _Scope(module)
        function.jetspace_scopes = [_Scope(module, domain) for _ in range(MOST)]
    scopes = function.jetspace_scopes
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[buffer]]))
    instruction.set_metadata("noalias", module.add_metadata([s for s in scopes if s is not scopes[buffer]]))


def _data(context, builder, kind, array):
    """The address of the first element: of an array, or the pointer itself."""
    return array if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, array).data


def _pointer(context, builder, kind, array, index):
    return builder.gep(_data(context, builder, kind, array), [index], inbounds=True)


@intrinsic(prefer_literal=True)
def get(typing, array, index, buffer):
    """array[index], in the buffer of this (literal) number; `array` may be a pointer."""

    def generate(context, builder, signature, args):
        kind = signature.args[0]
        value = builder.load(_pointer(context, builder, kind, args[0], args[1]))
        _mark(builder, value, signature.args[2].literal_value)
        return context.data_model_manager[kind.dtype].from_data(builder, value)

    return array.dtype(array, types.int64, buffer), generate


@intrinsic(prefer_literal=True)
def put(typing, array, index, buffer, value):
    """array[index] = value, in the buffer of this (literal) number; `array` may be a pointer."""

    def generate(context, builder, signature, args):
        kind = signature.args[0]
        number = context.cast(builder, args[3], signature.args[3], kind.dtype)
        number = context.data_model_manager[kind.dtype].as_data(builder, number)
        done = builder.store(number, _pointer(context, builder, kind, args[0], args[1]))
        _mark(builder, done, signature.args[2].literal_value)
        return context.get_dummy_value()

    value = types.unliteral(value)
    return types.void(array, types.int64, buffer, value), generate


# ---- whole arrays: kernels work on pointers into flat blocks ----------------------------------------------------------------


@intrinsic
def pointer(typing, array):
    """The address of the first element of an array, also of one that must not be written to: that is for others to heed."""

    def generate(context, builder, signature, args):
        return _data(context, builder, signature.args[0], args[0])

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def at(typing, start, offset, dtype):
    """The address `offset` bytes behind `start`, of elements of another type."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        moved = builder.gep(builder.bitcast(args[0], byte), [args[1]], inbounds=True)
        return builder.bitcast(moved, context.get_value_type(signature.return_type))

    return types.CPointer(dtype.dtype)(start, types.int64, dtype), generate


@intrinsic
def block(typing, start, size):
    """`size` elements from a pointer on, as an array."""
    kind = types.Array(start.dtype, 1, "C")

    def generate(context, builder, signature, args):
        array = context.make_array(kind)(context, builder)
        width = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(start.dtype)))
        populate_array(array, args[0], [args[1]], [width], width, meminfo=None)
        return array._getvalue()

    return kind(start, types.int64), generate


@intrinsic
def plus(typing, a, b):
    """a + b of which a sum of many terms is made: the terms may be added in any order, several at a time."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args, flags=("reassoc", "contract"))

    a = types.unliteral(a)
    return a(a, a), generate


def _chosen(relation: str, numbers: bool):
    """The function of two values that keeps the one which is larger or smaller."""

    def typed(typing, a, b):
        def generate(context, builder, signature, args):
            first, second = args
            if isinstance(signature.args[0], types.Integer):
                compare = builder.icmp_signed if signature.args[0].signed else builder.icmp_unsigned
                return builder.select(compare(relation, second, first), second, first)
            flags = ("nnan", "nsz") if numbers else ()
            better = builder.fcmp_ordered(relation, second, first, flags=flags)
            if not numbers:  # nan wins, and stays
                better = builder.or_(better, builder.fcmp_unordered("uno", second, second))
            return builder.select(better, second, first, flags=flags)

        a = types.unliteral(a)
        return a(a, a), generate

    return typed


def _named(name: str, relation: str, numbers: bool, sentence: str):
    typed = _chosen(relation, numbers)
    typed.__name__ = typed.__qualname__ = name
    typed.__doc__ = sentence
    return intrinsic(typed)


above = _named("above", ">", False, "The larger of two values, nan if one is.")
below = _named("below", "<", False, "The smaller of two values, nan if one is.")
larger = _named("larger", ">", True, "The larger of two values that are not nan, of which loops take several at a time.")
smaller = _named("smaller", "<", True, "The smaller of two values that are not nan, of which loops take several at a time.")
