"""Newton's method in Rosenbrock's valley: the Hessian is the Jacobian of a gradient, a tape inside a tape.

    $ python examples/newton.py

Near the minimum the error of a step is below the square of the one before: the number of right digits (at least) doubles.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"
MINIMUM = np.array([1.0, 1.0])


def rosenbrock(x, y):
    return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2


def derivatives(p: ad.Variable) -> tuple:
    """Value, gradient (2,) and Hessian (2, 2).  The inner gradient is taken inside the outer `with`, which so records it."""
    with ad.GradientTape() as outer:
        with ad.GradientTape() as inner:
            value = rosenbrock(p[0], p[1])
        slope = inner.gradient(value, p)
    return value, slope, outer.jacobian(slope, p)


def main(folder: Path = RESULTS, steps: int = 7, start: tuple[float, float] = (-1.2, 1.0)) -> dict[str, float]:
    p = ad.Variable(start, name="p")
    path = [p.numpy()]
    for _ in range(steps):
        _, slope, hessian = derivatives(p)
        p.assign_sub(np.linalg.solve(hessian, slope))
        path.append(p.numpy())
    errors = np.linalg.norm(np.array(path) - MINIMUM, axis=1)
    ratios = errors[1:] / np.maximum(errors[:-1], 1e-8) ** 2  # of what rounding leaves, nothing can be told
    print("step        x               y           error     error / (error before)^2")
    for k, (x, y) in enumerate(path):
        print(f"{k:3d} {x:15.12f} {y:15.12f} {errors[k]:10.1e}", f"{ratios[k - 1]:10.3f}" if k else "")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    x, y = np.meshgrid(np.linspace(-1.6, 1.6, 200), np.linspace(-3.6, 2.0, 200))
    left.contourf(x, y, np.log10(rosenbrock(x, y) + 1e-3), 20, cmap="viridis")
    left.plot(*np.transpose(path), "o-", color="C1", markersize=4)
    left.plot(*MINIMUM, "*", color="white", markersize=11)
    left.set(xlabel="$x$", ylabel="$y$", title="The path of Newton's method")
    left.grid(False)
    right.semilogy(np.maximum(errors, 1e-17), "o-")
    right.set(xlabel="step", ylabel="distance to the minimum", title="Errors are squared near the end")
    figure.savefig(folder / "newton.png")
    plt.close(figure)
    return {"error": float(errors[-1]), "ratio": float(ratios[3:].max())}


if __name__ == "__main__":
    main()
