"""DeepXDE through its own doors: `data.PDE`, `nn.FNN`, `grad.jacobian` and `grad.hessian`, `Model`; PyTorch or JAX below.

Timed is what its training step does before the optimizer moves: `outputs_losses_train` and the gradient of the sum, jitted
under JAX as there.  reverse and forward are its two settings of `set_default_autodiff`.
"""

from __future__ import annotations

from typing import Any

import deepxde
import numpy as np
import peer_problems
from peer_problems import Data, Problem

UNDER_JAX = deepxde.backend.backend_name == "jax"
if UNDER_JAX:
    import jax
    import jax.numpy as xp
else:
    import torch as xp

VERSIONS = ("deepxde", "jax" if UNDER_JAX else "torch")
FORMULATIONS = ("reverse", "forward")


def stated(problem: Problem, paired: bool) -> Any:
    """The equation as a DeepXDE function of inputs and outputs; `paired` if derivatives come as (value, function)."""
    def value(q: Any) -> Any:
        return q[0] if paired else q

    def d(y: Any, x: Any, i: int, j: int) -> Any:
        return value(deepxde.grad.jacobian(y, x, i=i, j=j))

    def second(y: Any, x: Any, i: int, j: int) -> Any:
        return deepxde.grad.hessian(y, x, component=i, i=j, j=j)

    def source(x: Any) -> Any:
        product = peer_problems.SOURCE[problem.equation](problem.dim)
        for i in range(problem.dim):
            product = product * xp.sin(np.pi * x[:, i : i + 1])
        return product

    def equation(x: Any, y: Any) -> list[Any]:
        fields, kind = value(y), problem.equation
        if kind == "navier_stokes":
            slopes = [d(y, x, i, j) for i in range(3) for j in range(2)]
            laplacians = [value(second(y, x, i, 0)) + value(second(y, x, i, 1)) for i in range(2)]
            found = [fields[:, 0:1], fields[:, 1:2], *slopes, *laplacians]
        elif kind == "poisson":
            found = [sum(value(second(y, x, 0, j)) for j in range(problem.dim))]
        elif kind == "biharmonic":
            xx, yy = second(y, x, 0, 0), second(y, x, 0, 1)
            found = [value(second(xx, x, 0, 0)) + 2 * value(second(xx, x, 0, 1)) + value(second(yy, x, 0, 1))]
        else:
            last = second(y, x, 0, 0)
            last = value(last) if kind == "burgers" else d(last, x, 0, 0)
            found = [fields, d(y, x, 0, 0), d(y, x, 0, 1), last]
        return peer_problems.residuals(kind, found, source(x) if kind in peer_problems.SOURCE else None)

    return equation


class Peer:
    """A compiled `Model` at the given weights and points."""

    def __init__(self, problem: Problem, numbers: Data, formulation: str, threads: int, dtype: str):
        if not UNDER_JAX:
            xp.set_num_threads(threads)
        deepxde.config.set_default_float(dtype)
        deepxde.config.set_default_autodiff(formulation)
        d = problem.dim
        geometry = deepxde.geometry.Hypercube([-1] * d, [1] * d) if d > 1 else deepxde.geometry.Interval(-1, 1)
        paired = UNDER_JAX or formulation == "forward"
        pde = deepxde.data.PDE(geometry, stated(problem, paired), [], num_domain=0, anchors=numbers.points)
        network = deepxde.nn.FNN(list(problem.sizes), "tanh", "Glorot normal")
        self.model, self.layers = deepxde.Model(pde, network), len(numbers.layers)
        if not UNDER_JAX:
            with xp.no_grad():
                for linear, (W, b) in zip(network.linears, numbers.layers, strict=True):
                    linear.weight.copy_(xp.from_numpy(W.T.copy()))
                    linear.bias.copy_(xp.from_numpy(b))
        self.model.compile("adam", lr=1e-3)
        if UNDER_JAX:
            given = {"params": {f"denses_{k}": {"kernel": xp.asarray(W), "bias": xp.asarray(b)}
                                for k, (W, b) in enumerate(numbers.layers)}}  # fmt: skip
            assert jax.tree.structure(given) == jax.tree.structure(network.params), "DeepXDE names its weights otherwise"
            network.params, self.model.params = given, [given, self.model.params[1]]
            losses = self.model.outputs_losses_train
            self.function = jax.jit(jax.value_and_grad(lambda weights, x: xp.sum(losses(weights, x, None)[1])))
        self.model.train_state.set_data_train(*pde.train_next_batch(self.model.batch_size))
        trained = self.model.train_state.X_train
        assert np.array_equal(np.sort(trained, 0), np.sort(numbers.points, 0)), "DeepXDE trains on other points"

    def call(self) -> None:
        state = self.model.train_state
        if UNDER_JAX:
            self.found = jax.block_until_ready(self.function(self.model.params, state.X_train))
            return
        self.value = xp.sum(self.model.outputs_losses_train(state.X_train, state.y_train, state.train_aux_vars)[1])
        self.model.opt.zero_grad()
        self.value.backward()

    def answer(self) -> tuple[float, np.ndarray]:
        if UNDER_JAX:
            value, (gradient, *_) = self.found
            named = [gradient["params"][f"denses_{k}"] for k in range(self.layers)]
            return float(value), peer_problems.flat([layer[part] for layer in named for part in ("kernel", "bias")])
        weights = [w for linear in self.model.net.linears for w in (linear.weight, linear.bias)]
        gradients = [np.zeros(w.shape) if w.grad is None else w.grad.numpy() for w in weights]
        return self.value.item(), peer_problems.flat([g.T for g in gradients])
