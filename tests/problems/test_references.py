"""Every problem file against its mathematics: the solution restated in mpmath satisfies the equations and the conditions.

The derivatives are mpmath's at 30 digits, so nothing here depends on the library under test; what remains of a residual is
the rounding of the file's own float64 constants.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

PROBLEMS = Path(__file__).parents[2] / "problems"


def navier(x, y, q0=1.0, D=None):
    stiffness = mp.mpf(1) if D is None else 4 * mp.pi**4 * D
    return q0 / stiffness * mp.sin(mp.pi * x) * mp.sin(mp.pi * y)


def standing(x, t, n, c):
    return mp.sin(n * mp.pi * x) * mp.cos(n * c * mp.pi * t)


def decay(Re):
    return mp.mpf(Re) / 2 - mp.sqrt(mp.mpf(Re)**2 / 4 + 4 * mp.pi**2)


def kovasznay_u(x, y, Re=40):
    return 1 - mp.exp(decay(Re) * x) * mp.cos(2 * mp.pi * y)


def kovasznay_v(x, y, Re=40):
    return decay(Re) / (2 * mp.pi) * mp.exp(decay(Re) * x) * mp.sin(2 * mp.pi * y)


def kovasznay_p(x, y, Re=40):
    return (1 - mp.exp(2 * decay(Re) * x)) / 2


def cole_hopf(x, t, nu=None):
    """The quotient of integrals by the trapezoid rule with 240 nodes, cut where the integrand has fallen by 36 digits."""
    nu = mp.mpf("0.01") / mp.pi if nu is None else mp.mpf(nu)
    if t == 0:
        return -mp.sin(mp.pi * x)
    width = mp.sqrt(4 * t * (83 * nu + 1 / mp.pi))
    above = below = mp.mpf(0)
    for node in range(-120, 121):
        e = width * node / 120
        weight = mp.exp(-mp.cos(mp.pi * (x - e)) / (2 * mp.pi * nu) - e**2 / (4 * nu * t))
        above, below = above + mp.sin(mp.pi * (x - e)) * weight, below + weight
    return -above / below


def bump(x):
    return mp.exp(-8 * (x - mp.pi)**2 / mp.pi**2)


def logistic(x, t, rho=5):
    return bump(x) * mp.exp(rho * t) / (bump(x) * mp.exp(rho * t) + 1 - bump(x))


def breather(x, t, w=0.6):
    w = mp.mpf(w)
    q = mp.sqrt(1 - w**2)
    return 4 * mp.atan(q / w * mp.cos(w * t) / mp.cosh(q * x))


def two_solitons(x, t, k=1.6, m=1.0, p=-4.0, q=0.0):
    """2 (F F'' - F'^2) / F^2 with exponentials differentiated by hand, as mpmath's differences would lose their digits."""
    k, m = mp.mpf(k), mp.mpf(m)
    a, b, c = mp.exp(k * (x - p) - k**3 * t), mp.exp(m * (x - q) - m**3 * t), ((k - m) / (k + m))**2
    f, f1, f2 = (n + k**i * a + m**i * b + c * (k + m)**i * a * b for i, n in enumerate((1, 0, 0)))
    return 2 * (f * f2 - f1**2) / f**2


def satsuma_yajima(x, t):
    h = 4 * mp.expj(t / 2) * (mp.cosh(3 * x) + 3 * mp.expj(4 * t) * mp.cosh(x))
    return h / (mp.cosh(4 * x) + 4 * mp.cosh(2 * x) + 3 * mp.cos(4 * t))


def quadratic(*point, dimensions=10, lam=1, c=1):
    *x, t = point
    growth = 1 + 4 * mp.mpf(lam) * c * t
    return c * sum(one**2 for one in x) / growth + dimensions / (2 * mp.mpf(lam)) * mp.log(growth)


def cloud(x, t, theta=1, D=0.5, m=1, s0=0.25):
    theta = mp.mpf(theta)
    s = s0 * mp.exp(-2 * theta * t) + D / theta * (1 - mp.exp(-2 * theta * t))
    return mp.exp(-(x - m * mp.exp(-theta * t))**2 / (2 * s)) / mp.sqrt(2 * mp.pi * s)


@dataclass(frozen=True)
class Reference:
    """The exact solution by unknown, and other values of the file's parameters for which it must hold as well."""

    fields: dict[str, Callable]
    parameters: dict[str, float] = field(default_factory=dict)
    points: int = 3
    free: bool = False  # whether nothing is said, or needed, at the sides
    few: dict[str, float] = field(default_factory=dict)  # parameters with few dimensions, for what needs a whole grid

    def at(self, parameters: dict[str, float]) -> dict[str, Callable]:
        return {name: lambda *point, f=f: f(*point, **parameters) for name, f in self.fields.items()}


REFERENCES = {
    "elliptic.poisson_1d": Reference(
        {"u": lambda x, k=2: mp.sin(k * mp.pi * x)}, {"k": 5}),
    "elliptic.poisson_2d": Reference(
        {"u": lambda x, y, k=1: mp.sin(k * mp.pi * x) * mp.sin(k * mp.pi * y)}, {"k": 3}),
    "elliptic.helmholtz_2d": Reference(
        {"u": lambda x, y, k=1, a1=1, a2=4: mp.sin(a1 * mp.pi * x) * mp.sin(a2 * mp.pi * y)}, {"k": 2.5, "a1": 3, "a2": 2}),
    "elliptic.poisson_5d": Reference(
        {"u": lambda *x: sum(mp.sin(mp.pi * xi / 2) for xi in x)}, points=2),
    "elliptic.poisson_100d": Reference(
        {"u": lambda *x, dimensions=100: sum(mp.sin(mp.pi * xi / 2) for xi in x) / dimensions}, {"dimensions": 7}, points=1,
        few={"dimensions": 4}),
    "elliptic.biharmonic": Reference({"w": navier}, {"q0": 3.0, "D": 0.02}),
    "elliptic.robin": Reference(
        {"u": lambda x, y, h=2: mp.exp(-x) * (2 + mp.sin(mp.pi * y))}, {"h": 0.5}),
    "parabolic.heat_1d": Reference(
        {"u": lambda x, t, kappa=0.1: mp.exp(-kappa * mp.pi**2 * t) * mp.sin(mp.pi * x)}, {"kappa": 0.4}),
    "hyperbolic.wave_1d": Reference(
        {"u": lambda x, t, c=2: standing(x, t, 1, c) + standing(x, t, 4, c) / 2}, {"c": 0.75}),
    "hyperbolic.convection": Reference({"u": lambda x, t, beta=50: mp.sin(x - beta * t)}, {"beta": -7.0}),
    "nonlinear.klein_gordon": Reference(
        {"u": lambda x, t, omega=None: x * mp.cos((5 * mp.pi if omega is None else omega) * t) + (x * t)**3}, {"omega": 4.0}),
    "nonlinear.burgers": Reference({"u": cole_hopf}, {"nu": 0.05}, points=2),
    "nonlinear.reaction": Reference({"u": logistic}, {"rho": 2.0}, free=True),
    "nonlinear.sine_gordon": Reference({"u": breather}, {"w": 0.3}),
    "nonlinear.kdv_two_solitons": Reference({"u": two_solitons}, points=1),
    "nonlinear.allen_cahn_front": Reference(
        {"u": lambda x, t, D=1, k=10: (1 - mp.tanh((mp.sqrt(mp.mpf(k) / (2 * D)) * x - 1.5 * k * t) / 2)) / 2}, {"k": 3.0}),
    "nonlinear.fisher_kpp": Reference(
        {"u": lambda x, t, D=1, k=25: (1 + mp.exp(mp.sqrt(mp.mpf(k) / (6 * D)) * x - mp.mpf(5) * k * t / 6))**-2}, {"k": 6.0}),
    "nonlinear.hjb_10d": Reference({"u": quadratic}, {"dimensions": 3, "lam": 0.5}, points=1, few={"dimensions": 3}),
    "elliptic.poisson_5d_cosines": Reference({"u": lambda *x: sum(mp.cos(mp.pi * xi) for xi in x)}, points=2),
    "parabolic.fokker_planck": Reference({"p": cloud}, {"theta": 0.5}),
    "parabolic.heat_multiscale": Reference(
        {"u": lambda x, y, t: mp.sin(20 * mp.pi * x) * mp.sin(mp.pi * y) * mp.exp(-(1 + mp.mpf("0.0016")) * t)}, points=2),
    "systems.schrodinger": Reference(
        {"u": lambda x, t: mp.re(satsuma_yajima(x, t)), "v": lambda x, t: mp.im(satsuma_yajima(x, t))}, points=2),
    "systems.taylor_green": Reference({
        "u": lambda x, y, t, nu=0.1: -mp.cos(x) * mp.sin(y) * mp.exp(-2 * nu * t),
        "v": lambda x, y, t, nu=0.1: mp.sin(x) * mp.cos(y) * mp.exp(-2 * nu * t),
        "p": lambda x, y, t, nu=0.1: -(mp.cos(2 * x) + mp.cos(2 * y)) / 4 * mp.exp(-4 * nu * t)}, {"nu": 0.02}, points=1),
    "systems.elasticity_plate": Reference({
        "u": lambda x, y, Q=4: mp.cos(2 * mp.pi * x) * mp.sin(mp.pi * y),
        "v": lambda x, y, Q=4: Q * y**4 * mp.sin(mp.pi * x) / 4}, {"Q": 2.0}, points=2),
    "systems.kovasznay": Reference({"u": kovasznay_u, "v": kovasznay_v, "p": kovasznay_p}, {"Re": 20.0}),
}

# without a closed form, or without flat sides: test_numerical.py
NUMERICAL = {"nonlinear.allen_cahn", "systems.lid_cavity", "parabolic.heat_5d_ball"}

CASES = [
    pytest.param(name, parameters, id=name + "".join(f"-{key}={value}" for key, value in parameters.items()))
    for name, reference in REFERENCES.items()
    for parameters in (({}, reference.parameters) if reference.parameters else ({},))]


def draw(reading, rng: random.Random, **fixed: float) -> tuple:
    """A random point of the closed domain, away from its ends, with some coordinates fixed."""
    return tuple(
        mp.mpf(fixed[name]) if name in fixed else mp.mpf(low + (high - low) * rng.uniform(0.05, 0.95))
        for name, (low, high) in reading.domain.axes.items())


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_the_solution_satisfies_the_equations(read, name, parameters):
    reading, rng = read(name, **parameters), random.Random(name)
    residuals = reading.equation_residuals(REFERENCES[name].at(parameters))
    for point in (draw(reading, rng) for _ in range(REFERENCES[name].points)):
        for equation, residual in residuals:
            assert abs(residual(*point)) < 1e-12, (equation, point)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_the_solution_satisfies_the_conditions(read, name, parameters):
    reading, rng = read(name, **parameters), random.Random(name)
    conditions = reading.condition_residuals(REFERENCES[name].at(parameters))
    assert conditions
    for condition, face, residual in conditions:
        for point in (draw(reading, rng, **{face.axis: face.at}) for _ in range(REFERENCES[name].points)):
            assert abs(residual(*point)) < 1e-13, (condition, face, point)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_wrong_solution_is_noticed(read, name):
    """The oracle itself: a bent solution leaves a residual in every equation, and in every face's conditions."""
    reading, rng = read(name), random.Random(name)
    bent = {
        unknown: lambda *point, f=f: f(*point) + mp.exp(sum(point) / 3) / 7
        for unknown, f in REFERENCES[name].at({}).items()}
    for equation, residual in reading.equation_residuals(bent):
        assert abs(residual(*draw(reading, rng))) > 1e-6, equation
    for condition, face, residual in reading.condition_residuals(bent):
        assert abs(residual(*draw(reading, rng, **{face.axis: face.at}))) > 1e-6, (condition, face)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_exact_agrees_with_the_formula(read, name, parameters):
    """In float64, inside, on every face of the space-time box and in its corners."""
    reading, rng = read(name, **parameters), random.Random(name)
    axes = reading.domain.axes
    faces = [{}] * 4 + [{axis: end} for axis, ends in axes.items() for end in ends]
    corners = [{axis: ends[side] for axis, ends in axes.items()} for side in (0, 1)]
    points = [draw(reading, rng, **fixed) for fixed in faces + corners]
    got = exact_fields(reading, *(np.array([float(value) for value in values]) for values in zip(*points, strict=True)))
    for unknown, f in REFERENCES[name].at(parameters).items():
        wanted = np.array([float(f(*point)) for point in points])
        np.testing.assert_allclose(got[unknown], wanted, rtol=0, atol=1e-14 * max(1.0, np.max(np.abs(wanted))))


@pytest.mark.parametrize("name", REFERENCES)
def test_exact_is_vectorised_and_finite(read, name):
    """An open mesh gives the whole grid, value by value what single points give; time zero and the faces included."""
    reading = read(name, **REFERENCES[name].few)
    axes = list(reading.domain.axes.values())
    mesh = np.meshgrid(*(np.linspace(low, high, 3 + i) for i, (low, high) in enumerate(axes)), indexing="ij", sparse=True)
    full = [axis.ravel() for axis in np.broadcast_arrays(*mesh)]
    on_mesh, on_points = exact_fields(reading, *mesh), exact_fields(reading, *full)
    for unknown, values in on_mesh.items():
        assert values.shape == tuple(3 + i for i in range(len(axes))) and values.dtype == np.float64
        assert np.all(np.isfinite(values))
        np.testing.assert_array_equal(values.ravel(), on_points[unknown])
        single = exact_fields(reading, *(float(axis[1]) for axis in full))
        assert float(single[unknown]) == on_points[unknown][1]


@pytest.mark.parametrize("name", REFERENCES)
def test_every_unknown_is_determined_on_its_faces(read, name):
    """Each face of a spatial boundary carries a condition, and an evolution starts somewhere."""
    reading = read(name)
    held = {(face.axis, face.at) for _, face, _ in reading.condition_residuals(REFERENCES[name].at({}))}
    wanted = {(face.axis, face.at) for face in reading.domain.boundary}
    wanted = set() if REFERENCES[name].free else wanted
    wanted |= {(face.axis, face.at) for face in (reading.domain.initial if "t" in reading.domain.axes else ())}
    assert wanted <= held


def test_every_problem_file_is_in_the_table():
    files = {".".join(path.relative_to(PROBLEMS).with_suffix("").parts) for path in PROBLEMS.rglob("*.py")}
    files = {file for file in files if not file.endswith("__init__")}
    assert files == set(REFERENCES) | NUMERICAL


def exact_fields(reading, *coordinates) -> dict[str, np.ndarray]:
    values = reading.exact(**dict(zip(reading.domain.axes, coordinates, strict=True)))
    return values if isinstance(values, dict) else {reading.unknowns: values}
