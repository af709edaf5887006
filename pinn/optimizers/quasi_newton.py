"""Dense quasi-Newton methods: BFGS and its self-scaled relatives, with the whole inverse Hessian approximation in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite, sqrt

import numpy as np
import scipy.linalg

from pinn.optimizers.compiled import compiled
from pinn.optimizers.lapack import spread
from pinn.optimizers.line_search import EPS, StrongWolfe, first_step
from pinn.optimizers.oracle import Oracle, State, begin, grain, moved, threads_of
from pinn.optimizers.stopping import Progress, Stopping, nothing_lower

# A member of the Broyden family: (b, h, size) -> (tau, phi), with b = s.B s / y.s and h = y.H y / y.s (B the inverse of H).
Member = Callable[[float, float, int], tuple[float, float]]


def bfgs(b: float, h: float, size: int) -> tuple[float, float]:
    """tau = phi = 1: no scaling (Broyden, Fletcher, Goldfarb, Shanno 1970)."""
    return 1.0, 1.0


def self_scaled_bfgs(b: float, h: float, size: int) -> tuple[float, float]:
    """phi = 1 and tau = min(1, 1 / b): H grows where the last step was longer than H foresaw (Al-Baali 1998)."""
    return (min(1.0, 1.0 / b) if b > 0.0 else 1.0), 1.0


def self_scaled_broyden(b: float, h: float, size: int) -> tuple[float, float]:
    """The self-scaled Broyden member of Al-Baali & Khalfan 2005, as "SSBroyden2" in Urban, Stefanou & Pons 2025.

    a = b h - 1, c = sqrt(a / (1 + a)), rho- = min(1, h (1 - c)), theta- = (rho- - 1) / a, theta+ = 1 / rho-,
    theta = max(theta-, min(theta+, (1 - b) / b)), sigma = 1 + theta a, rho = min(1, 1 / b), sn = sigma**(1 / (1 - n)),
    tau = min(rho sn, sigma) if theta <= 0 else rho min(sn, 1 / theta), phi = (1 - theta) / (1 + a theta).
    Unscaled BFGS where a is zero to rounding (H already fits along s) or the numbers leave the positive range.
    """
    a = b * h - 1.0
    if not (b > 0.0 and h > 0.0 and isfinite(a)) or a <= 1e-14 or size == 1:
        return 1.0, 1.0
    # 1 - c without cancellation: (1 - c)(1 + c) = 1 / (1 + a).
    rho_minus = min(1.0, h / ((1.0 + a) * (1.0 + sqrt(a / (1.0 + a)))))
    if rho_minus < EPS:
        return 1.0, 1.0
    theta = max((rho_minus - 1.0) / a, min(1.0 / rho_minus, (1.0 - b) / b))
    sigma = 1.0 + theta * a
    if sigma <= 0.0:
        return 1.0, 1.0
    rho, sigma_n = min(1.0, 1.0 / b), sigma ** (1.0 / (1.0 - size))
    tau = min(rho * sigma_n, sigma) if theta <= 0.0 else rho * min(sigma_n, 1.0 / theta)
    return tau, (1.0 - theta) / sigma


@compiled
def product(lower, x, first, stop, out):  # type: ignore[no-untyped-def]
    """Adds to `out` what these rows of the lower triangle of the symmetric H contribute to H x, in one pass over them."""
    for i in range(first, stop):
        total, xi = 0.0, x[i]
        for j in range(i):
            total += lower[i, j] * x[j]
            out[j] += lower[i, j] * xi
        out[i] += total + lower[i, i] * xi


@compiled
def update_and_product(lower, keep, s, hy, p, q, x, first, stop, out):  # type: ignore[no-untyped-def]
    """H <- keep H + s p' + Hy q' (symmetric in all) on these rows of the lower triangle, and H x of the new H as `product`."""
    for i in range(first, stop):
        total, si, hyi, xi = 0.0, s[i], hy[i], x[i]
        for j in range(i):
            h = keep * lower[i, j] + si * p[j] + hyi * q[j]
            lower[i, j] = h
            total += h * x[j]
            out[j] += h * xi
        h = keep * lower[i, i] + si * p[i] + hyi * q[i]
        lower[i, i] = h
        out[i] += total + h * xi


def in_blocks(part: Callable[..., None], size: int, threads: int) -> np.ndarray:
    """The sum of the `out` `(size,)` of `part(first, stop, out)` over blocks of rows with equally many numbers, side by side.

    The blocks do not depend on the number of threads, so the bits do not either.
    """
    blocks = BLOCKS if size >= LARGE else 1
    edges = [round(size * sqrt(k / blocks)) for k in range(blocks + 1)]
    outs = np.zeros((blocks, size))
    spread(threads, part, [(a, b, out) for a, b, out in zip(edges, edges[1:], outs, strict=False)])
    return outs.sum(axis=0) if blocks > 1 else outs[0]


LARGE, BLOCKS = 1500, 4  # weights, from which threads share a pass over H, and in how many parts
REFRESH = 25   # updates, after which H g is computed anew and not from the H g before


@dataclass(frozen=True)
class Update:
    """H <- keep H + s p' + Hy q', symmetric in all: what a pair changes."""

    keep: float
    s: np.ndarray
    hy: np.ndarray
    p: np.ndarray
    q: np.ndarray

    def moved(self, hx: np.ndarray, x: np.ndarray) -> np.ndarray:
        """H+ x from H x."""
        return self.keep * hx + float(np.dot(self.p, x)) * self.s + float(np.dot(self.q, x)) * self.hy


@dataclass(frozen=True, eq=False)
class InverseHessian:
    """H: `lower` `(size, size)` is its lower triangle (what is above the diagonal means nothing) before the update `pending`.

    That update is made in the pass over the triangle that the next pair needs anyway. One buffer serves a chain of states: each
    change of it raises `latest`, and a state whose `version` is older no longer has its H; stepping from it anew starts from
    the identity. Theta, loss and gradient of old states never change. `scaled` is False while H is the identity and no
    pair has shown the size of things; `updates` are counted.
    """

    lower: np.ndarray
    latest: np.ndarray
    version: int = 0
    scaled: bool = False
    pending: Update | None = None
    updates: int = 0

    @staticmethod
    def identity(size: int) -> InverseHessian:
        """H = I in a buffer of its own: 8 size^2 bytes."""
        return InverseHessian(np.eye(size), np.zeros(1, dtype=np.int64))

    @property
    def current(self) -> bool:
        """Whether the buffer still holds the H of this version."""
        return int(self.latest[0]) == self.version

    def matrix(self) -> np.ndarray:
        """A full symmetric copy `(size, size)`."""
        whole = np.tril(self.lower) + np.tril(self.lower, -1).T
        if self.pending is None:
            return whole
        u = self.pending
        change = np.outer(u.s, u.p) + np.outer(u.hy, u.q)
        return u.keep * whole + np.tril(change) + np.tril(change, -1).T

    def times(self, x: np.ndarray, threads: int = 1) -> tuple[InverseHessian, np.ndarray]:
        """The same H with nothing pending, and H x `(size,)`, in one pass."""
        u = self.pending
        if u is None:
            return self, in_blocks(partial(product, self.lower, x), x.size, threads)
        found = in_blocks(partial(update_and_product, self.lower, u.keep, u.s, u.hy, u.p, u.q, x), x.size, threads)
        self.latest[0] += 1
        return replace(self, version=int(self.latest[0]), pending=None), found

    def updated(
        self, member: Member, s: np.ndarray, y: np.ndarray, b: float, gradient: np.ndarray, direction: np.ndarray,
        threads: int = 1,
    ) -> tuple[InverseHessian, np.ndarray]:
        """H+ with H+ y = s, and -H+ g `(size,)` for the new gradient; unchanged if y.s is not positive.

        H+ = (H - Hy Hy' / yHy + phi yHy v v') / tau + rho s s', rho = 1 / y.s, v = rho s - Hy / yHy.
        `direction` is -H (g - y): with it H g is H y - direction, and costs no pass.
        """
        size, curvature = s.size, float(np.dot(y, s))
        if not curvature > EPS * sqrt(float(np.dot(s, s)) * float(np.dot(y, y))):
            same, hg = self.times(gradient, threads)
            return same, -hg
        settled, hy = self.times(y, threads)
        hg = hy - direction
        yhy, rho = float(np.dot(y, hy)), 1.0 / curvature
        keep, (tau, phi) = 1.0, (1.0, 1.0)
        if not self.scaled:  # the first pair sets the scale of H = I (Nocedal & Wright, eq. 6.20)
            keep = curvature / yhy
            hy, yhy = keep * hy, keep * yhy
        elif yhy > 0.0:
            tau, phi = member(b, yhy * rho, size)
        else:  # H has lost its definiteness to rounding: begin anew from the scaled identity
            keep = curvature / float(np.dot(y, y))
            self.lower[:] = np.eye(size)
            hy, hg = keep * y, gradient
            yhy = float(np.dot(y, hy))
        ss, sh, hh = rho + phi * yhy * rho * rho / tau, -phi * rho / tau, (phi - 1.0) / (yhy * tau)
        update = Update(keep / tau, s, hy, ss * s + sh * hy, sh * s + hh * hy)
        self.latest[0] += 1
        new = replace(settled, version=int(self.latest[0]), scaled=True, pending=update, updates=self.updates + 1)
        if new.updates % REFRESH == 0:  # what rounding has added to H g along the way is left behind
            new, found = new.times(gradient, threads)
            return new, -found
        return new, -update.moved(hg, gradient)

    def definite(self) -> bool:
        """Whether H, with nothing pending, is positive definite (a Cholesky factorisation, size^3 / 3 operations)."""
        try:
            scipy.linalg.cholesky(self.lower, lower=True, check_finite=True)
        except (np.linalg.LinAlgError, ValueError):
            return False
        return True


@dataclass(frozen=True, eq=False)
class Memory:
    """What a state of a dense quasi-Newton method carries: H, the direction -H g `(size,)`, and the progress so far."""

    inverse: InverseHessian
    direction: np.ndarray
    progress: Progress


@dataclass(frozen=True)
class QuasiNewton:
    """theta += a d with d = -H g, `a` from a strong Wolfe search, and H updated by a `member` of the Broyden family.

    H starts as the identity and takes the scale of the first pair. Where a search fails H is set back to the identity and
    steepest descent is tried in the same step; only if that fails too the run stops. Tolerances as in LBFGS. One `step` is one
    accepted iteration: about 8 size^2 operations in one pass over a triangle of H, and mostly one evaluation.
    Raises RecipeError for settings that cannot work.
    """

    member: Member
    max_line_search: int = 25
    tolerance_gradient: float = 1e-14
    tolerance_loss: float = EPS
    patience: int = 10
    c1: float = 1e-4
    c2: float = 0.9

    def __post_init__(self) -> None:
        self.search, self.stopping  # noqa: B018  (their own checks)

    @property
    def search(self) -> StrongWolfe:
        """The line search of these settings."""
        return StrongWolfe(self.c1, self.c2, self.max_line_search)

    @property
    def stopping(self) -> Stopping:
        """The stopping rule of these settings."""
        return Stopping(self.tolerance_gradient, self.tolerance_loss, self.patience)

    def init(self, oracle: Oracle, theta: np.ndarray) -> State:
        """The state at `theta` `(size,)`; raises RecipeError or NumericsError for a start that cannot be used."""
        state = begin(oracle, theta)
        progress = Progress(float(np.max(np.abs(state.gradient))))
        memory = Memory(InverseHessian.identity(oracle.size), -state.gradient, progress)
        return replace(state, memory=memory, stop=self.stopping.flat(progress, state.gradient))

    def step(self, oracle: Oracle, state: State) -> State:
        """One accepted iteration, or the same point with the reason why there is none."""
        if state.stop is not None:
            return state
        inverse, direction = state.memory.inverse, state.memory.direction
        evaluations, failures = state.evaluations, []
        if not inverse.current:
            inverse, direction = InverseHessian.identity(oracle.size), -state.gradient
        while True:
            found, slope = None, float(np.dot(direction, state.gradient))
            if slope < 0.0:
                decrease = state.memory.progress.decrease
                first = first_step(slope, decrease) if inverse.scaled else min(1.0, 1.0 / float(np.abs(state.gradient).sum()))
                found = self.search(oracle, state, direction, first)
                evaluations += found.evaluations
                if found.trial is not None:
                    break
            failures.append(found.failure if found else "the quasi-Newton direction does not descend")
            if not inverse.scaled:
                return replace(state, evaluations=evaluations, stop=nothing_lower(state.loss, failures, grain(oracle)))
            inverse, direction = InverseHessian.identity(oracle.size), -state.gradient
        trial = found.trial
        s, y = trial.theta - state.theta, trial.gradient - state.gradient
        # B s = -a g, because s = -a H g: s.B s costs no product.
        b = -trial.step * float(np.dot(s, state.gradient)) / (float(np.dot(y, s)) or 1.0)
        inverse, direction = inverse.updated(self.member, s, y, b, trial.gradient, direction, threads_of(oracle))
        progress, stop = self.stopping.judge(state.memory.progress, state.loss, trial.loss, trial.gradient, grain(oracle))
        memory = Memory(inverse, direction, progress)
        return State(trial.theta, trial.loss, trial.gradient, state.iteration + 1, evaluations, stop, memory)

    def carry(self, oracle: Oracle, state: State) -> State:
        """`state` on another oracle (new points): loss and gradient evaluated afresh, H kept if it is positive definite."""
        inverse = state.memory.inverse
        threads = threads_of(oracle)
        if inverse.current:
            inverse, _ = inverse.times(state.gradient, threads)
        if not (inverse.current and inverse.definite()):
            inverse = InverseHessian.identity(oracle.size)
        state = moved(oracle, state, replace(state.memory, inverse=inverse))
        if state.stop is not None:
            return state
        inverse, hg = inverse.times(state.gradient, threads)
        direction = -hg
        return replace(state, memory=Memory(inverse, direction, state.memory.progress.elsewhere()))


def BFGS(
    max_line_search: int = 25, tolerance_gradient: float = 1e-14, tolerance_loss: float = EPS, patience: int = 10
) -> QuasiNewton:
    """Plain BFGS with a dense H (Nocedal & Wright, algorithm 6.1)."""
    return QuasiNewton(bfgs, max_line_search, tolerance_gradient, tolerance_loss, patience)


def SSBFGS(
    max_line_search: int = 25, tolerance_gradient: float = 1e-14, tolerance_loss: float = EPS, patience: int = 10
) -> QuasiNewton:
    """BFGS with H divided by min(1, 1 / b) before each update (Al-Baali 1998)."""
    return QuasiNewton(self_scaled_bfgs, max_line_search, tolerance_gradient, tolerance_loss, patience)


def SSBroyden(
    max_line_search: int = 25, tolerance_gradient: float = 1e-14, tolerance_loss: float = EPS, patience: int = 10
) -> QuasiNewton:
    """The self-scaled Broyden method of Al-Baali & Khalfan 2005: of the three the most accurate on equations."""
    return QuasiNewton(self_scaled_broyden, max_line_search, tolerance_gradient, tolerance_loss, patience)
