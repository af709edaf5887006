"""Contestant: jetspace as a user meets it, `pinn.solve` of the problem file with nothing set but the seconds."""

from __future__ import annotations

from race import Order, Snapshots

import pinn
from pinn.events import Progress, Stop
from pinn.run import find_problem, load_problem
from pinn.solution import evaluate_fields


def main() -> None:
    order = Order.read()
    problem, recipe = load_problem(find_problem(order.problem))
    snapshots = Snapshots(order)

    def watch(event: object) -> Stop | None:
        if isinstance(event, Progress):
            # ways that take turns have losses of their own: every progress is looked at
            snapshots.least = float("inf")
            snapshots.look(event.loss, lambda: (event.supply, event.theta.copy()))
            if order.left <= 0:
                return Stop("time")
        return None

    solution = pinn.solve(problem, recipe, seconds=order.seconds, seed=order.seed, threads=order.threads, callbacks=[watch])
    snapshots.look(0.0, lambda: (solution.supply, solution.weights), insist=True)

    def fields(parameters: object, points: object) -> dict:
        supply, theta = parameters  # type: ignore[misc]
        return evaluate_fields(supply, theta, points)

    snapshots.finish(fields, solution.stop_reason, parameters=int(solution.weights.size), steps=solution.steps)


if __name__ == "__main__":
    main()
