"""Contestants: JAX by hand, as an expert would write it for one problem: float64, conditions imposed exactly, Taylor arithmetic
for the derivatives, everything compiled.  `lbfgs`: optax Adam, then optax L-BFGS with its zoom line search.  `ssbroyden`: the
optimiser of jetspace's quick way (Adam, then self-scaled Broyden with Wolfe searches and residual-based resampling)."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
import scipy.stats.qmc as qmc
from race import BOUNDS, FIELDS, KAPPA, LAM, NU, RE, Order, Snapshots

jax.config.update("jax_enable_x64", True)
WIDTHS, POINTS, ADAM, EVERY = (20, 20, 20), 4096, 500, 500


# ---- the network with its first and pure second derivatives, by the rules of Taylor arithmetic
def layers(outputs: int) -> list[tuple[int, int]]:
    sizes = (2, *WIDTHS, outputs)
    return list(zip(sizes[1:], sizes[:-1], strict=True))


def initial(outputs: int, rng: np.random.Generator) -> np.ndarray:
    parts = []
    for out, into in layers(outputs):
        parts += [rng.normal(size=out * into) * np.sqrt(2 / (into + out)), np.zeros(out)]
    return np.concatenate(parts)


def jets(theta, s, scale, outputs):
    """N, its gradient and its pure second derivatives at inputs s (points, 2), ds/dx = scale: (points, outputs) each."""
    ones, zeros = jnp.ones_like(s[:, 0]), jnp.zeros_like(s[:, 0])
    h = s
    first = [jnp.stack([scale[0] * ones, zeros], 1), jnp.stack([zeros, scale[1] * ones], 1)]
    second = [jnp.zeros_like(s), jnp.zeros_like(s)]
    at = 0
    shapes = layers(outputs)
    for k, (out, into) in enumerate(shapes):
        w = theta[at : at + out * into].reshape(out, into).T
        b = theta[at + out * into : at + out * into + out]
        at += out * into + out
        h, first, second = h @ w + b, [d @ w for d in first], [d @ w for d in second]
        if k < len(shapes) - 1:
            t = jnp.tanh(h)
            t1 = 1 - t * t
            t2 = -2 * t * t1
            second = [t1 * dd + t2 * d * d for d, dd in zip(first, second, strict=True)]
            first = [t1 * d for d in first]
            h = t
    return h, first, second


# ---- the problems: lift and factor of each field, and the residuals from u, its gradient and its second derivatives
def lift(problem, x, y):
    if problem == "burgers":
        return [-jnp.sin(jnp.pi * x)]
    if problem == "poisson_2d":
        return [0.0 * x]
    if problem == "heat_1d":
        return [jnp.sin(jnp.pi * x)]
    (a, b), (c, d) = BOUNDS["kovasznay"]
    fields = [lambda x, y: 1 - jnp.exp(LAM * x) * jnp.cos(2 * jnp.pi * y),
              lambda x, y: LAM / (2 * jnp.pi) * jnp.exp(LAM * x) * jnp.sin(2 * jnp.pi * y)]  # fmt: skip
    found = []
    for g in fields:  # transfinite interpolation of the values on the four sides
        s, r = (x - a) / (b - a), (y - c) / (d - c)
        along_x = (1 - s) * g(a, y) + s * g(b, y)
        along_y = (1 - r) * (g(x, c) - (1 - s) * g(a, c) - s * g(b, c)) + r * (g(x, d) - (1 - s) * g(a, d) - s * g(b, d))
        found.append(along_x + along_y)
    return [*found, (1 - jnp.exp(2 * LAM * b)) / 2 + 0.0 * x]


def factor(problem, x, y):
    if problem == "burgers":
        return [(1 - x * x) * y]
    if problem == "poisson_2d":
        return [16 * x * (1 - x) * y * (1 - y)]
    if problem == "heat_1d":
        return [4 * x * (1 - x) * y]
    (a, b), (c, d) = BOUNDS["kovasznay"]
    wall = 16 * (x - a) * (b - x) / (b - a) ** 2 * (y - c) * (d - y) / (d - c) ** 2
    return [wall, wall, (b - x) / (b - a)]


def residuals(problem, x, y, u, u_x, u_y, u_xx, u_yy):
    if problem == "burgers":
        return [u_y[0] + u[0] * u_x[0] - NU * u_xx[0]]
    if problem == "poisson_2d":
        return [u_xx[0] + u_yy[0] + 2 * jnp.pi**2 * jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)]
    if problem == "heat_1d":
        return [u_y[0] - KAPPA * u_xx[0]]
    return [u[0] * u_x[0] + u[1] * u_y[0] + u_x[2] - (u_xx[0] + u_yy[0]) / RE,
            u[0] * u_x[1] + u[1] * u_y[1] + u_y[2] - (u_xx[1] + u_yy[1]) / RE, u_x[0] + u_y[1]]  # fmt: skip


class Oracle:
    """Loss, gradient and residuals of one problem, compiled; the known functions' jets are computed once per cloud."""

    def __init__(self, problem: str):
        self.problem, self.fields = problem, FIELDS[problem]
        self.low, self.high = np.array(BOUNDS[problem], float).T

        def known(point):
            return jnp.stack(lift(problem, point[0], point[1])), jnp.stack(factor(problem, point[0], point[1]))

        def jets_of(k):
            def one(point):
                f = lambda p: known(p)[k]  # noqa: E731
                hessian = jax.hessian(f)(point)
                return f(point), jax.jacobian(f)(point), jnp.stack([hessian[:, 0, 0], hessian[:, 1, 1]], 1)

            return jax.vmap(one)

        self.known = jax.jit(lambda points: (jets_of(0)(points), jets_of(1)(points)))

        def values(theta, points, known):
            (a, da, dda), (f, df, ddf) = known
            n, dn, ddn = jets(theta, self.scaled(points), 2 / (self.high - self.low), len(self.fields))
            u = a + f * n
            d = [da[:, :, i] + df[:, :, i] * n + f * dn[i] for i in range(2)]
            dd = [dda[:, :, i] + ddf[:, :, i] * n + 2 * df[:, :, i] * dn[i] + f * ddn[i] for i in range(2)]
            columns = [list(one.T) for one in (u, *d, *dd)]
            return residuals(problem, points[:, 0], points[:, 1], *columns)

        def loss(theta, points, known):
            return sum(jnp.mean(r * r) for r in values(theta, points, known))

        self.value_and_grad = jax.jit(jax.value_and_grad(loss))
        self.size_of_residual = jax.jit(lambda theta, points, known: jnp.sqrt(sum(r * r for r in values(theta, points, known))))

        def evaluate(theta, points):
            n, _, _ = jets(theta, self.scaled(points), 2 / (self.high - self.low), len(self.fields))
            a, f = jax.vmap(known)(points)
            return a + f * n

        self.evaluate = jax.jit(evaluate)

    def scaled(self, points):
        return 2 * (points - self.low) / (self.high - self.low) - 1

    def points(self, n: int, seed: int) -> np.ndarray:
        unit = qmc.Sobol(2, seed=seed).random(n)
        return self.low + (self.high - self.low) * unit


def adam(oracle, theta, points, known, snapshots, order):
    transform = optax.adam(optax.cosine_decay_schedule(5e-3, ADAM, 0.1))

    @jax.jit
    def step(theta, state):
        value, gradient = oracle.value_and_grad(theta, points, known)
        updates, state = transform.update(gradient, state)
        return optax.apply_updates(theta, updates), state, value

    state = transform.init(theta)
    for k in range(ADAM):
        theta, state, value = step(theta, state)
        if k % 25 == 0:
            snapshots.look(float(value), lambda theta=theta: np.asarray(theta))
        if order.left <= 0:
            break
    return theta


def lbfgs(oracle, theta, points, known, snapshots, order) -> tuple[np.ndarray, str]:
    objective = lambda theta: oracle.value_and_grad(theta, points, known)[0]  # noqa: E731
    transform = optax.lbfgs(memory_size=50, linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=30))
    value_and_grad = optax.value_and_grad_from_state(objective)

    @jax.jit
    def steps(theta, state):
        def body(carry, _):
            theta, state = carry
            value, gradient = value_and_grad(theta, state=state)
            updates, state = transform.update(gradient, state, theta, value=value, grad=gradient, value_fn=objective)
            return (optax.apply_updates(theta, updates), state), value

        (theta, state), found = jax.lax.scan(body, (theta, state), None, length=20)
        return theta, state, found[-1]

    state, before, still = transform.init(theta), np.inf, 0
    while order.left > 0:
        theta, state, value = steps(theta, state)
        value = float(value)
        if not np.isfinite(value):
            return theta, "loss not finite"
        snapshots.look(value, lambda theta=theta: np.asarray(theta))
        still = still + 1 if value >= before * (1 - 1e-12) else 0
        if still >= 50:
            return theta, f"no decrease in 1,000 iterations, at loss {value:.2e}"
        before = min(before, value)
    return theta, "time"


def ssbroyden(oracle, theta, points, known, snapshots, order) -> tuple[np.ndarray, str]:
    """Self-scaled Broyden with its guards (Al-Baali & Khalfan 2005; Urban et al. 2025), dense, with Wolfe searches."""
    theta, n, rng = np.array(theta), theta.size, np.random.default_rng(order.seed)
    h = np.eye(n)

    def ask(z):
        value, gradient = oracle.value_and_grad(z, points, known)
        return float(value), np.asarray(gradient)

    loss, gradient = ask(theta)
    before, k, memory = None, 0, {}
    while order.left > 0:
        direction = -h @ gradient
        if direction @ gradient >= 0:
            h, direction = np.eye(n), -gradient

        def f(z):
            if memory.get("at") is not z:
                memory["at"], memory["answer"] = z, ask(z)
            return memory["answer"][0]

        def g(z):
            f(z)
            return memory["answer"][1]

        search = scipy.optimize._linesearch.line_search_wolfe1
        found = search(f, g, theta, direction, gradient, loss, before, c1=1e-4, c2=0.9, amax=100)
        a = found[0]
        if a is None:
            if np.array_equal(h, np.eye(n)):
                return theta, f"line search failed at loss {loss:.2e}"
            h = np.eye(n)
            continue
        s = a * direction
        moved = theta + s
        value, gradient_new = ask(moved)
        y = gradient_new - gradient
        ys = y @ s
        if ys > 0:
            hy = h @ y
            yhy = y @ hy
            if k == 0:
                h *= ys / yhy
                hy, yhy = h @ y, y @ h @ y
                tau = phi = 1.0
            else:
                b, c = -a * (s @ gradient) / ys, yhy / ys
                q = b * c - 1
                rho = min(1.0, 1 / b)
                if q <= 1e-14:
                    tau = phi = 1.0
                else:
                    root = np.sqrt(q / (q + 1))
                    rho_minus = min(1.0, c * (1 - root))
                    theta_k = max((rho_minus - 1) / q, min(1 / rho_minus, (1 - b) / b))
                    sigma = 1 + theta_k * q
                    power = sigma ** (-1 / (n - 1))
                    tau = min(rho * power, sigma) if theta_k <= 0 else rho * min(power, 1 / theta_k)
                    phi = (1 - theta_k) / (1 + q * theta_k)
            v = np.sqrt(yhy) * (s / ys - hy / yhy)
            h -= np.outer(hy, hy / yhy)
            h += np.outer(phi * v, v)
            h /= tau
            h += np.outer(s, s / ys)
        before, theta, loss, gradient = loss, moved, value, gradient_new
        k += 1
        snapshots.look(loss, lambda theta=theta: theta)
        if k % EVERY == 0:
            fresh = oracle.points(16384, order.seed + k)
            size = np.asarray(oracle.size_of_residual(theta, fresh, oracle.known(fresh)))
            chance = size / size.mean() + 1.0
            points = fresh[rng.choice(len(fresh), POINTS, replace=False, p=chance / chance.sum())]
            known = oracle.known(points)
            loss, gradient = ask(theta)
            before, snapshots.least = None, np.inf
    return theta, "time"


def main() -> None:
    order, method = Order.read(), sys.argv[2]
    snapshots, oracle = Snapshots(order), Oracle(order.problem)
    points = oracle.points(POINTS, order.seed)
    known = oracle.known(points)
    theta = jnp.asarray(initial(len(oracle.fields), np.random.default_rng(order.seed)))
    theta = adam(oracle, theta, points, known, snapshots, order)
    snapshots.least = np.inf
    theta, reason = {"lbfgs": lbfgs, "ssbroyden": ssbroyden}[method](oracle, theta, points, known, snapshots, order)
    snapshots.look(0.0, lambda: np.asarray(theta), insist=True)

    def fields(theta, grid):
        return dict(zip(oracle.fields, np.asarray(oracle.evaluate(theta, grid)).T, strict=True))

    snapshots.finish(fields, reason, parameters=int(theta.size))


if __name__ == "__main__":
    main()
