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

_FILES = [Path(__file__).with_name(name) for name in ("target.py", "products.py", "elementary.py")]
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
