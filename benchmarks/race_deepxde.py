"""Contestant: DeepXDE by its own documentation: its examples' points, network and Adam, then L-BFGS to the end, in float64."""

from __future__ import annotations

import os

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch
from race import KAPPA, LAM, NU, RE, Order, Snapshots

HUGE = 10**8


def burgers():
    """https://deepxde.readthedocs.io, Burgers equation: 2540 + 80 + 160 points, 3 layers of 20, Adam 15,000, then L-BFGS."""
    space = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))

    def pde(x, y):
        return (dde.grad.jacobian(y, x, i=0, j=1) + y * dde.grad.jacobian(y, x, i=0, j=0)
                - NU * dde.grad.hessian(y, x, i=0, j=0))  # fmt: skip

    conditions = [dde.icbc.DirichletBC(space, lambda x: 0, lambda _, on: on),
                  dde.icbc.IC(space, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on: on)]  # fmt: skip
    data = dde.data.TimePDE(space, pde, conditions, num_domain=2540, num_boundary=80, num_initial=160)
    return data, [2, 20, 20, 20, 1], 15_000


def heat_1d():
    """Its heat equation example: as Burgers', Adam 20,000."""
    space = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))

    def pde(x, y):
        return dde.grad.jacobian(y, x, i=0, j=1) - KAPPA * dde.grad.hessian(y, x, i=0, j=0)

    conditions = [dde.icbc.DirichletBC(space, lambda x: 0, lambda _, on: on),
                  dde.icbc.IC(space, lambda x: np.sin(np.pi * x[:, 0:1]), lambda _, on: on)]  # fmt: skip
    data = dde.data.TimePDE(space, pde, conditions, num_domain=2540, num_boundary=80, num_initial=160)
    return data, [2, 20, 20, 20, 1], 20_000


def poisson_2d():
    """Its Poisson example in two dimensions: 1200 + 120 points, 4 layers of 50; Adam as for Burgers."""
    space = dde.geometry.Rectangle([0, 0], [1, 1])

    def pde(x, y):
        source = 2 * np.pi**2 * torch.sin(np.pi * x[:, 0:1]) * torch.sin(np.pi * x[:, 1:2])
        return dde.grad.hessian(y, x, i=0, j=0) + dde.grad.hessian(y, x, i=1, j=1) + source

    conditions = [dde.icbc.DirichletBC(space, lambda x: 0, lambda _, on: on)]
    return dde.data.PDE(space, pde, conditions, num_domain=1200, num_boundary=120), [2, 50, 50, 50, 50, 1], 15_000


def kovasznay():
    """Its Kovasznay flow example: 2601 + 400 points, 4 layers of 50, Adam 30,000, then L-BFGS."""
    space = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5])

    def pde(x, w):
        u, v = w[:, 0:1], w[:, 1:2]
        d = lambda i, j: dde.grad.jacobian(w, x, i=i, j=j)  # noqa: E731
        dd = lambda i, j: dde.grad.hessian(w, x, component=i, i=j, j=j)  # noqa: E731
        return [u * d(0, 0) + v * d(0, 1) + d(2, 0) - (dd(0, 0) + dd(0, 1)) / RE,
                u * d(1, 0) + v * d(1, 1) + d(2, 1) - (dd(1, 0) + dd(1, 1)) / RE, d(0, 0) + d(1, 1)]  # fmt: skip

    def velocity(x):
        return 1 - np.exp(LAM * x[:, 0:1]) * np.cos(2 * np.pi * x[:, 1:2])

    def across(x):
        return LAM / (2 * np.pi) * np.exp(LAM * x[:, 0:1]) * np.sin(2 * np.pi * x[:, 1:2])

    def pressure(x):
        return (1 - np.exp(2 * LAM * x[:, 0:1])) / 2

    outflow = lambda x, on: on and dde.utils.isclose(x[0], 1)  # noqa: E731
    conditions = [dde.icbc.DirichletBC(space, velocity, lambda _, on: on, component=0),
                  dde.icbc.DirichletBC(space, across, lambda _, on: on, component=1),
                  dde.icbc.DirichletBC(space, pressure, outflow, component=2)]  # fmt: skip
    return dde.data.PDE(space, pde, conditions, num_domain=2601, num_boundary=400), [2, 50, 50, 50, 50, 3], 30_000


class Watch(dde.callbacks.Callback):
    """Snapshots of the weights, and the end when the time is up."""

    def __init__(self, snapshots: Snapshots):
        super().__init__()
        self.snapshots, self.calls = snapshots, 0

    def on_epoch_end(self) -> None:
        self.calls += 1
        if self.calls % 20 == 0 or self.snapshots.order.left <= 0 or self.lbfgs:
            net = self.model.net
            self.snapshots.least = np.inf
            self.snapshots.look(0.0, lambda: [p.detach().numpy().copy() for p in net.parameters()])
        if self.snapshots.order.left <= 0:
            self.model.stop_training = True

    lbfgs = False


def main() -> None:
    order = Order.read()
    torch.set_num_threads(order.threads)
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(order.seed)
    problems = {"burgers": burgers, "heat_1d": heat_1d, "poisson_2d": poisson_2d, "kovasznay": kovasznay}
    data, sizes, adam = problems[order.problem]()
    net = dde.nn.FNN(sizes, "tanh", "Glorot normal")
    model = dde.Model(data, net)
    snapshots = Snapshots(order)
    watch = Watch(snapshots)
    model.compile("adam", lr=1e-3)
    model.train(iterations=adam, display_every=HUGE, callbacks=[watch], verbose=0)
    reason = "time"
    if order.left > 0:
        # its defaults stop after 15,000 iterations or at a gradient of 1e-8: to the end instead
        dde.optimizers.config.set_LBFGS_options(maxcor=100, ftol=0, gtol=0, maxiter=HUGE, maxfun=HUGE)
        dde.optimizers.config.LBFGS_options["iter_per_step"] = 20
        model.compile("L-BFGS")
        watch.lbfgs = True
        model.train(display_every=HUGE, callbacks=[watch], verbose=0)
        reason = "time" if order.left <= 0 else "L-BFGS stopped by itself"
    snapshots.look(0.0, lambda: [p.detach().numpy().copy() for p in net.parameters()], insist=True)

    def fields(weights, points):
        with torch.no_grad():
            for p, w in zip(net.parameters(), weights, strict=True):
                p.copy_(torch.as_tensor(w))
            found = net(torch.as_tensor(points)).numpy()
        return dict(zip(("u", "v", "p"), found.T, strict=False))

    snapshots.finish(fields, reason, parameters=sum(p.numel() for p in net.parameters()))


if __name__ == "__main__":
    main()
