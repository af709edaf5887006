"""Functions of scipy.special."""

from __future__ import annotations

import math

import numpy as np
import scipy.special

from ..primitive import implements
from .elementwise import elementwise, expit

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)

elementwise("erf", scipy.special.erf, "math.erf({0})", lambda y, a: (TWO_OVER_ROOT_PI * np.exp(-a * a),), cost=30, vector="erf")
elementwise("erfc", scipy.special.erfc, "math.erfc({0})", lambda y, a: (-TWO_OVER_ROOT_PI * np.exp(-a * a),), cost=30)
implements(scipy.special.expit)(expit)


@implements(scipy.special.logit)
def logit(a):
    return np.log(a) - np.log1p(-a)


@implements(scipy.special.xlogy)
def xlogy(a, b):
    """a log b, and 0 where a = 0."""
    return a * np.log(np.where((a == 0) & (b <= 0), 1.0, b))


@implements(scipy.special.xlog1py)
def xlog1py(a, b):
    """a log(1 + b), and 0 where a = 0."""
    return a * np.log1p(np.where((a == 0) & (b <= -1), 0.0, b))


@implements(scipy.special.entr)
def entr(a):
    """-a log a, and 0 where a = 0."""
    return np.where(a < 0, -np.inf, -xlogy(a, np.where(a < 0, 1.0, a)))


@implements(scipy.special.log_expit)
def log_expit(a):
    """log(1 / (1 + exp(-a)))."""
    return -np.logaddexp(0.0, -a)
