"""What the processor offers, and how to make LLVM use all of it."""

from hashlib import sha256
from pathlib import Path

import llvmlite.binding as llvm
from numba.core import config, types
from numba.extending import intrinsic


def _features() -> set[str]:
    if config.CPU_FEATURES is not None:  # numba's own override, so that a kernel for another machine stays right
        return {f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+")}
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


FEATURES = _features()
BITS = 512 if "avx512f" in FEATURES else 256 if "avx2" in FEATURES else 128
REGISTERS = 32 if BITS == 512 or "neon" in FEATURES else 16
FMA = bool(FEATURES & {"fma", "neon"})

_NAMES = "target frontend products elementary memory blas scalar library ordering factorisations".split()
_FILES = [Path(__file__).with_name(f"{name}.py") for name in _NAMES]
# numba's cache looks at the text of a generated module only; what it becomes also depends on these files: part of the key.
SOURCE_DIGEST = sha256(b"".join(f.read_bytes() for f in _FILES if f.exists())).hexdigest()


@intrinsic
def wide_vectors(typing):
    """Let LLVM vectorise the loops of the calling function with the widest registers of the machine.

    LLVM takes 256 bits on Intel machines that have 512, because wide registers once lowered the clock; here they make a loop of
    tanh 1.4 times faster.  The attribute belongs to one function: call this in every function that has loops, and in every
    one that such a function may be inlined into.
    """

    def generate(context, builder, signature, args):
        # llvmlite knows only attributes without values; `add` of the plain set is all that lies behind its check.
        set.add(builder.function.attributes, f'"prefer-vector-width"="{BITS}"')
        return context.get_dummy_value()

    return types.void(), generate


def _library(context):
    """The code library that numba is filling; None where its internals are not as they are known to be."""
    library = getattr(context, "active_code_library", None)
    known = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "_final_module", "_finalized")
    return library if all(hasattr(library, name) for name in known) else None


@intrinsic
def part_of_kernel(typing):
    """The calling function is only ever a part of a kernel: no machine code of its own.

    Numba optimises and assembles every function by itself and again inside each of its callers.  Here the parts are handed over
    as they are and the kernel is optimised once, whole: a quarter of the compile time less.
    """

    def generate(context, builder, signature, args):
        library = _library(context)
        if library is not None:

            def leave_unfinished(library=library):
                library._finalize_dynamic_globals()
                # numba writes a function's environment into a global of this name; it has to exist, the code has not
                names = [g.name for g in library._final_module.global_variables if "NumbaEnv" in g.name]
                module = llvm.parse_assembly("".join(f'@"{name}" = common global i64 0\n' for name in names))
                library._codegen._engine.add_module(module)
                library._codegen._engine.finalize_object()
                library._finalized = True

            library._optimize_final_module = lambda: None
            library._finalize_final_module = leave_unfinished
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def whole_kernel(typing):
    """The calling function is a kernel: what it is made of belongs to it alone.

    The linker would otherwise prefer parts that exist in the process already, optimised in another surrounding: a kernel just
    compiled and the same kernel loaded from disk would differ in the last bits.
    """

    def generate(context, builder, signature, args):
        library = _library(context)
        if library is not None:
            optimize = library._optimize_final_module

            def close_and_optimize():
                for function in library._final_module.functions:
                    if not function.is_declaration and function.linkage == llvm.Linkage.linkonce_odr:
                        function.linkage = "internal"
                optimize()

            library._optimize_final_module = close_and_optimize
        return context.get_dummy_value()

    return types.void(), generate
