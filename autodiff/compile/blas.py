"""Products of matrices for kernels over whole arrays: BLAS, called where the matrices lie."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.linalg import ensure_blas

KINDS = {types.float64: (ir.DoubleType(), "d"), types.float32: (ir.FloatType(), "s")}
BYTE, INDEX = ir.IntType(8), ir.IntType(64)


@intrinsic
def gemm(typing, m, n, k, a, a_step, a_turned, b, b_step, b_turned, c, c_step):
    """c = a b for row-major matrices of m x k, k x n and m x n elements, whose rows lie `step` elements apart.

    A matrix that is `turned` lies transposed in memory: its columns are `step` elements apart.
    """
    ensure_blas()

    def generate(context, builder, signature, args):
        m, n, k, a, a_step, a_turned, b, b_step, b_turned, c, c_step = args
        real, letter = KINDS[signature.args[3].dtype]
        pointer = BYTE.as_pointer()
        kind = ir.FunctionType(ir.IntType(32), [BYTE, BYTE, BYTE, INDEX, INDEX, INDEX, pointer, pointer, INDEX, pointer, INDEX,
                                                pointer, pointer, INDEX])  # fmt: skip
        # the function by which numba itself reaches the BLAS of scipy
        function = cgutils.get_or_insert_function(builder.module, kind, "numba_xxgemm")

        def constant(value):
            return builder.bitcast(cgutils.global_constant(builder.module, "factor", ir.Constant(real, value)), pointer)

        def turn(flag):
            return builder.select(cgutils.is_not_null(builder, flag), BYTE(ord("t")), BYTE(ord("n")))

        # BLAS thinks in columns: it computes the transposed product of what are to it transposed matrices
        builder.call(function, [
            BYTE(ord(letter)), turn(b_turned), turn(a_turned), n, m, k, constant(1.0), builder.bitcast(b, pointer), b_step,
            builder.bitcast(a, pointer), a_step, constant(0.0), builder.bitcast(c, pointer), c_step,
        ])  # fmt: skip
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, a, i, i, b, i, i, c, i), generate
