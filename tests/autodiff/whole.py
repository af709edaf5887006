"""Programs over whole arrays for tests: made from functions, compiled, and compared with the interpreter."""

from __future__ import annotations

import itertools

import numpy as np

from autodiff.array import Array, lift, unknown
from autodiff.compile import WholeProgram
from autodiff.interpret import evaluate
from autodiff.transforms import reverse


def compiled(arrays, outputs, name="test") -> WholeProgram:
    return WholeProgram([a.node for a in arrays], [lift(y) for y in outputs], name)


def symbols(numbers) -> list[Array]:
    return [Array(unknown(f"x{i}", np.shape(x), np.asarray(x).dtype)) for i, x in enumerate(numbers)]


def agree(function, numbers, tolerance=1e-12):
    """The outputs of the compiled function, which must be those of the interpreter."""
    numbers = [np.asarray(x) for x in numbers]
    arrays = symbols(numbers)
    outputs = [Array(lift(y)) for y in function(*arrays)]
    found = compiled(arrays, outputs)(*numbers)
    values = evaluate([y.node for y in outputs], {a.node: x for a, x in zip(arrays, numbers, strict=True)})
    for i, (y, got, want) in enumerate(zip(outputs, found, values, strict=True)):
        assert got.shape == y.shape and got.dtype == y.dtype and got.flags.c_contiguous, i
        want = np.broadcast_to(np.asarray(want), y.shape)
        if y.dtype.kind == "f":
            np.testing.assert_allclose(got, want.astype(y.dtype), rtol=tolerance, atol=tolerance, err_msg=f"output {i}")
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"output {i}")
    return found


def random_program(seed: int):
    """(inputs, outputs): thirty random operations on small arrays."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 4), (4,), (), (4, 4), (2, 3, 4)]
    numbers = [rng.uniform(-1, 1, s) for s in shapes]
    arrays = symbols(numbers)
    pool = list(arrays)

    def pick(*conditions):
        fit = [p for p in pool if all(c(p) for c in conditions)]
        return fit[rng.integers(len(fit))] if fit else None

    for _ in range(30):
        kind = rng.integers(12)
        a = pool[rng.integers(len(pool))]
        like = pick(lambda p, a=a: p.shape in (a.shape, (), a.shape[1:]) or p.shape == a.shape[-1:])
        if kind <= 2:
            y = (np.add, np.subtract, np.multiply)[kind](a, like)
        elif kind == 3:
            y = (np.tanh, np.sin, np.exp, np.abs, np.arctan)[rng.integers(5)](a)
            y = np.tanh(y)
        elif kind == 4:
            y = np.where(a > 0.1, a, like * 0.5)
        elif kind == 5 and a.ndim:
            y = np.mean(a, axis=int(rng.integers(a.ndim)), keepdims=bool(rng.integers(2)))
        elif kind == 6 and a.ndim:
            y = np.transpose(a, rng.permutation(a.ndim).tolist())
        elif kind == 7 and a.ndim:
            start = int(rng.integers(a.shape[0]))
            y = a[start] if rng.integers(2) else a[start::-1]
        elif kind == 8 and a.ndim:
            b = pick(lambda p, a=a: p.ndim and p.shape[0] == a.shape[-1] and p.ndim <= 2)
            y = np.tanh(np.tensordot(a, b, 1)) if b is not None else np.reshape(a, (-1,))
        elif kind == 9 and a.ndim:
            y = np.stack([a, np.tanh(like) + a], axis=int(rng.integers(a.ndim + 1))) if a.size < 200 else a * 2.0
        elif kind == 10 and a.ndim:
            y = np.concatenate([a, a[:1]]) if a.size < 200 else np.max(a, axis=0)
        else:
            y = 1.0 / (1.5 + np.tanh(a))
        pool.append(y)
    return arrays, numbers, [p for p in pool[len(arrays) :] if rng.random() < 0.3] + [np.sum(pool[-1])]


def training_step(sizes=(6, 5, 3), batch=8):
    """(inputs, outputs, numbers): the loss of a network, its gradients, and a step of Adam."""
    rng = np.random.default_rng(11)
    shapes = [s for m, n in itertools.pairwise(sizes) for s in ((m, n), (n,))]
    weights, first = [0.3 * rng.normal(size=s) for s in shapes], [0.1 * rng.normal(size=s) for s in shapes]
    second = [0.1 * rng.random(s) for s in shapes]
    labels = np.eye(sizes[-1])[rng.integers(0, sizes[-1], batch)]
    numbers = [rng.normal(size=(batch, sizes[0])), labels, np.array(1e-2), np.array(3.0), *weights, *first, *second]
    arrays = symbols(numbers)
    x, y, rate, step = arrays[:4]
    w, m, v = (arrays[4 + k * len(shapes) : 4 + (k + 1) * len(shapes)] for k in range(3))
    h = x
    for k in range(0, len(shapes), 2):
        h = h @ w[k] + w[k + 1]
        h = np.tanh(h) if k + 2 < len(shapes) else h
    below = h - np.max(h, axis=1, keepdims=True)
    loss = -np.mean(np.sum(y * (below - np.log(np.sum(np.exp(below), axis=1, keepdims=True))), axis=1))
    outputs = [loss]
    for p, m1, v1, c in zip(w, m, v, reverse([loss.node], [lift(1.0)], [p.node for p in w]), strict=True):
        g = Array(c)
        m2, v2 = 0.9 * m1 + 0.1 * g, 0.999 * v1 + 0.001 * g * g
        outputs += [p - rate * (m2 / (1 - 0.9**step)) / (np.sqrt(v2 / (1 - 0.999**step)) + 1e-8), m2, v2]
    return arrays, outputs, numbers
