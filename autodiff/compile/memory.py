"""Reads and writes of the workspace that say which buffer they touch.

LLVM cannot know that two buffers of one flat workspace do not overlap.  It compares their ranges before a loop, over all rows
at once, and finds that channels which share rows "overlap": the vectorised loop is there and never runs.  Here every access
names its buffer as an alias scope (LLVM Language Reference, `alias.scope` and `noalias`): nothing is left to compare.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

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


def _pointer(context, builder, kind, array, index):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index], inbounds=True)


@intrinsic(prefer_literal=True)
def get(typing, array, index, buffer):
    """array[index], in the buffer of this (literal) number."""

    def generate(context, builder, signature, args):
        kind = signature.args[0]
        value = builder.load(_pointer(context, builder, kind, args[0], args[1]))
        _mark(builder, value, signature.args[2].literal_value)
        return value

    return array.dtype(array, types.int64, buffer), generate


@intrinsic(prefer_literal=True)
def put(typing, array, index, buffer, value):
    """array[index] = value, in the buffer of this (literal) number."""

    def generate(context, builder, signature, args):
        kind = signature.args[0]
        number = context.cast(builder, args[3], signature.args[3], kind.dtype)
        done = builder.store(number, _pointer(context, builder, kind, args[0], args[1]))
        _mark(builder, done, signature.args[2].literal_value)
        return context.get_dummy_value()

    value = types.unliteral(value)
    return types.void(array, types.int64, buffer, value), generate
