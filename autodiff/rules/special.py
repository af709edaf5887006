"""Functions of scipy.special."""

from __future__ import annotations

import math

import numpy as np
import scipy.special

from ..array import call
from ..primitive import implements
from .elementwise import elementwise, expit

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)

elementwise("erf", scipy.special.erf, "math.erf({0})", lambda y, a: (TWO_OVER_ROOT_PI * np.exp(-a * a),), cost=30)
elementwise("erfc", scipy.special.erfc, "math.erfc({0})", lambda y, a: (-TWO_OVER_ROOT_PI * np.exp(-a * a),), cost=30)
implements(scipy.special.expit)(expit)


@implements(scipy.special.logit)
def logit(a):
    return np.log(a) - np.log1p(-a)


@implements(scipy.special.xlogy)
def xlogy(a, b):
    """a log b, and 0 where a = 0."""
    zero = a == 0
    return np.where(zero, 0.0, a * np.log(np.where(zero, 1.0, b)))


_ = call
