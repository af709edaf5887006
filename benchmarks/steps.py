"""One training step's loss and gradient, written for our tape, by hand in numpy, and for the peers that are installed.

Every step is what a user of that library would write, on equal numbers, and answers (loss, gradients of all weights).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

import autodiff as ad

Layers = list[tuple[Any, Any]]


def peer(name: str) -> ModuleType | None:
    """A library that may be missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


autograd, autograd_numpy, autograd_scipy = peer("autograd"), peer("autograd.numpy"), peer("autograd.scipy.special")
torch = peer("torch")


@dataclass(frozen=True)
class Task:
    """A network of tanh layers, the rows it is trained on, and what it is trained for: numbers, or one of some classes."""

    title: str
    sizes: tuple[int, ...]
    inputs: np.ndarray
    targets: np.ndarray
    weights: tuple[np.ndarray, ...]  # W, b, W, b, ...: rows of inputs times W

    @staticmethod
    def of(sizes: tuple[int, ...], rows: int, classes: bool, rng: np.random.Generator) -> Task:
        weights: list[np.ndarray] = []
        for m, n in zip(sizes, sizes[1:], strict=False):
            weights += [rng.normal(size=(m, n)) / np.sqrt(m), 0.1 * rng.normal(size=n)]
        targets = rng.integers(sizes[-1], size=rows) if classes else rng.normal(size=(rows, sizes[-1]))
        kind = "cross-entropy" if classes else "mean square"
        title = f"{'-'.join(map(str, sizes))}, {rows} rows, {kind}"
        return Task(title, sizes, rng.normal(size=(rows, sizes[0])), targets, tuple(weights))

    @property
    def classes(self) -> bool:
        return self.targets.dtype.kind == "i"

    @property
    def chosen(self) -> np.ndarray:
        """The classes as rows of zeros and one 1."""
        return np.eye(self.sizes[-1])[self.targets]


def pairs(weights: Any) -> Layers:
    return list(zip(weights[::2], weights[1::2], strict=True))


def network(h: Any, weights: Any, tanh: Callable) -> Any:
    """The same text for every library."""
    layers = pairs(weights)
    for W, b in layers[:-1]:
        h = tanh(h @ W + b)
    W, b = layers[-1]
    return h @ W + b


# ---- by hand: what the arithmetic costs --------------------------------------------------------------------------------------
def by_hand(task: Task) -> Callable[[], tuple[Any, list[Any]]]:
    """Plain numpy with the gradient worked out on paper."""
    layers, x, y, rows = pairs(task.weights), task.inputs, task.targets, len(task.inputs)
    chosen = task.chosen if task.classes else None

    def step() -> tuple[Any, list[Any]]:
        hidden = [x]
        for W, b in layers[:-1]:
            hidden.append(np.tanh(hidden[-1] @ W + b))
        W, b = layers[-1]
        z = hidden[-1] @ W + b
        if chosen is None:
            r = z - y
            loss = np.mean(r * r)
            dz = r * (2 / r.size)
        else:
            top = z.max(axis=1, keepdims=True)
            e = np.exp(z - top)
            total = e.sum(axis=1, keepdims=True)
            loss = np.mean(np.log(total) + top) - np.sum(z * chosen) / rows
            dz = (e / total - chosen) / rows
        found: list[Any] = []
        for k in range(len(layers) - 1, -1, -1):
            h = hidden[k]
            found[:0] = [h.T @ dz, dz.sum(axis=0)]
            if k:
                dz = (dz @ layers[k][0].T) * (1 - h * h)
        return loss, found

    return step


# ---- ours --------------------------------------------------------------------------------------------------------------------
def ours(task: Task) -> Callable[[], tuple[Any, list[Any]]]:
    """Variables and a tape."""
    weights, x, y = [ad.Variable(w) for w in task.weights], task.inputs, task.targets
    chosen = task.chosen if task.classes else None

    def step() -> tuple[Any, list[Any]]:
        with ad.GradientTape() as tape:
            z = network(x, weights, np.tanh)
            if chosen is None:
                loss = np.mean((z - y) ** 2)
            else:
                loss = np.mean(ad.logsumexp(z, axis=1) - np.sum(z * chosen, axis=1))
        return loss, tape.gradient(loss, weights)

    return step


# ---- peers -------------------------------------------------------------------------------------------------------------------
def with_autograd(task: Task) -> Callable[[], tuple[Any, list[Any]]]:
    """HIPS/autograd: `value_and_grad` of the loss as a function of the list of weights."""
    x, y, np_ = task.inputs, task.targets, autograd_numpy
    chosen = task.chosen if task.classes else None

    def loss(weights: list) -> Any:
        z = network(x, weights, np_.tanh)
        if chosen is None:
            return np_.mean((z - y) ** 2)
        return np_.mean(autograd_scipy.logsumexp(z, axis=1) - np_.sum(z * chosen, axis=1))

    return partial(autograd.value_and_grad(loss), list(task.weights))


def with_torch(task: Task) -> Callable[[], tuple[Any, list[Any]]]:
    """PyTorch, eager, on the CPU, in float64: its own fused loss functions, and `torch.autograd.grad`."""
    weights = [torch.tensor(w, requires_grad=True) for w in task.weights]
    x, y = torch.tensor(task.inputs), torch.tensor(task.targets)
    measure = torch.nn.functional.cross_entropy if task.classes else torch.nn.functional.mse_loss

    def step() -> tuple[Any, list[Any]]:
        loss = measure(network(x, weights, torch.tanh), y)
        return loss, torch.autograd.grad(loss, weights)

    return step


PEERS: dict[str, tuple[ModuleType | None, Callable]] = {
    "HIPS/autograd": (autograd, with_autograd),
    "PyTorch eager": (torch, with_torch),
}


def numbers(answer: tuple[Any, Any]) -> list[np.ndarray]:
    """Loss and gradients of any library, as plain arrays."""
    loss, gradients = answer
    values = [x.detach() if hasattr(x, "detach") else x for x in (loss, *gradients)]
    return [x.numpy() if hasattr(x, "numpy") else np.asarray(x) for x in values]


def distance(found: tuple[Any, Any], expected: tuple[Any, Any]) -> float:
    """The largest difference, as a share of the largest number of its array."""
    both = zip(numbers(found), numbers(expected), strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in both)
