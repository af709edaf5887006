"""What kernels call for a primitive that is no arithmetic: its declaration says which function of this module, and how.

A function is called `name(out, *arguments, *parameters)`: flat arrays in C order, of exactly the size and type of the nodes, of
which only `out` is written; parameters are whole numbers, or tables of them.
"""

from .factorisations import (
    cholesky,
    cofactors,
    cofactors_along,
    det,
    eigh,
    gaps,
    inv,
    part,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
)
from .ordering import (
    argmax,
    argmin,
    argsort,
    cumsum,
    gather,
    largest,
    put,
    shares_max,
    shares_min,
    smallest,
    spread,
    take,
)

__all__ = [
    "argmax", "argmin", "argsort", "cholesky", "cofactors", "cofactors_along", "cumsum", "det", "eigh", "gaps", "gather", "inv",
    "largest", "part", "pinv", "put", "qr", "shares_max", "shares_min", "slogdet", "smallest", "solve", "spread", "svd",
    "take",
]  # fmt: skip
