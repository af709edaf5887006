"""Supply: fields against plain numpy, jets against differences by rate, collapsed operators against their parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autodiff as ad
from pinn import Box, D, Dirichlet, Initial, Problem, Time, laplacian
from pinn.networks import (
    MLP,
    FourierFeatures,
    GatedMLP,
    PirateNet,
    RandomFeatures,
    RandomFourierFeatures,
    Separable,
    Sum,
)
from pinn.supply import Supply, find_collapses
from pinn.work import Work

ROOM = Box(x=(-1, 3), y=(0, 0.5)) * Time(t=(2, 5))
RING = Box(x=(0, 2 * np.pi), y=(-1, 1), periodic="x") * Time(t=(0, 1))

NETWORKS = {
    "tanh": MLP(widths=(7, 5)), "sin": MLP(width=6, depth=2, activation="sin", frequency=2.0),
    "swish": MLP(width=6, depth=2, activation="swish"), "gated": GatedMLP(width=6, depth=2),
    "fourier": FourierFeatures(MLP(width=6, depth=1), frequencies=(0.5, 1)), "per field": MLP(width=5, depth=2, per_field=True),
    "fourier by input": FourierFeatures(MLP(width=4, depth=1), frequencies=((0.5,), (1, 2), ())),
    "random fourier": RandomFourierFeatures(MLP(width=4, depth=1), count=4, scale=1.5),
    "pirate": PirateNet(width=4, depth=1), "separable": Separable(MLP(width=4, depth=1), rank=3),
    "sum": Sum((MLP(width=4, depth=1), RandomFeatures(8, 3.0))),
}  # fmt: skip


def stated(equation, domain=ROOM, unknowns=("u", "v")) -> Problem:
    """A problem with this equation, and with conditions at the first moment that make it complete."""
    start = [Initial(**{unknown: 0, f"{unknown}_t": 0}) for unknown in unknowns] if domain.time else []
    return Problem(unknowns, domain, [equation], start)


def everything(u, v):
    return u.t + u.xx + v.y, v.t + u


def supplied(network, domain=ROOM, seed=0):
    supply = Supply(stated(everything, domain), network)
    theta = supply.initial(np.random.default_rng(seed))
    # no zero biases, so that nothing is symmetric by chance
    return supply, theta + 0.1 * np.random.default_rng(seed + 1).normal(size=theta.shape)


def values(arrays, supply: Supply, theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    space = supply.space
    symbols = {space.coordinate(name).node: points[:, i] for i, name in enumerate(space.coordinates)}
    answers = ad.evaluate([array.node for array in arrays], symbols, {"theta": theta}, len(points))
    return np.array([np.broadcast_to(answer, len(points)) for answer in answers])


def draw(domain, n=6, seed=5) -> np.ndarray:
    low, high = np.array(list(domain.bounds.values())).T
    return low + (high - low) * np.random.default_rng(seed).uniform(0.1, 0.9, (n, len(low)))


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_the_network_at_scaled_coordinates(name):
    network = NETWORKS[name]
    supply, theta = supplied(network)
    points = draw(ROOM)
    scaled = np.column_stack([(points[:, 0] - 1) / 2, (points[:, 1] - 0.25) / 0.25, (points[:, 2] - 3.5) / 1.5])
    if name == "per field":
        layout = network.layout(3, 1)
        parts = [layout.views(part) for part in np.split(theta, 2)]
        expected = np.array([[network.apply(part, p)[0] for p in scaled] for part in parts])
    else:
        expected = np.array([network.apply(network.layout(3, 2).views(theta), p) for p in scaled]).T
    assert values([supply.fields["u"], supply.fields["v"]], supply, theta, points) == pytest.approx(expected, rel=1e-13)
    assert supply.layout.size == len(theta)


INDICES = [("x",), ("t",), ("x", "x"), ("x", "t"), ("y", "y"), ("x", "y", "y"), ("t", "t", "t"), ("x", "x", "y", "y")]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("index", INDICES, ids="".join)
def test_jets_are_limits_of_differences(name, index):
    """Each derivative against differences of the one before it, at rate 2; the chain starts from the tested field."""
    supply, theta = supplied(NETWORKS[name])
    points = draw(ROOM)
    # the last axis first, so that the order of differentiation differs from the one supply chooses
    axis = supply.space.coordinates.index(index[0])
    width = np.ptp(ROOM.bounds[index[0]])
    for unknown in ("u", "v"):
        exact = values([supply.jet(unknown, index)], supply, theta, points)[0]
        errors = []
        for h in (2e-3 * width, 1e-3 * width):
            sides = []
            for sign in (1, -1):
                moved = points.copy()
                moved[:, axis] += sign * h
                sides.append(values([supply.jet(unknown, index[1:])], supply, theta, moved)[0])
            errors.append(np.max(np.abs((sides[0] - sides[1]) / (2 * h) - exact)) / np.max(np.abs(exact)))
        assert errors[1] < 1e-2
        assert errors[1] < 1e-9 or 1.8 < math.log2(errors[0] / errors[1]) < 2.2


def test_jets_are_made_once_whatever_their_order():
    supply, _ = supplied(NETWORKS["tanh"])
    assert supply.jet("u", ("x", "t")).node is supply.jet("u", ("t", "x")).node
    assert D(supply.jet("u"), "x").shape == ()


def test_per_field_networks_share_nothing():
    supply, theta = supplied(NETWORKS["per field"])
    points = draw(ROOM)
    before = values([supply.fields["u"], supply.fields["v"]], supply, theta, points)
    moved = theta.copy()
    moved[len(theta) // 2:] += 0.3
    after = values([supply.fields["u"], supply.fields["v"]], supply, moved, points)
    assert np.array_equal(before[0], after[0]) and np.min(np.abs(before[1] - after[1])) > 1e-6
    assert [slot.name for slot in supply.layout][:2] == ["u.W0", "u.b0"]


def test_periodic_axes_are_exact():
    supply, theta = supplied(NETWORKS["tanh"], RING)
    points = draw(RING)
    turned = points + np.array([2 * np.pi, 0, 0])
    jets = [supply.jet("u", index) for index in ((), ("x",), ("x", "x"), ("x", "y"), ("x", "x", "x"))]
    assert values(jets, supply, theta, turned) == pytest.approx(values(jets, supply, theta, points), rel=1e-11, abs=1e-13)
    half = points + np.array([np.pi, 0, 0])
    assert np.min(np.abs(values(jets[:1], supply, theta, half) - values(jets[:1], supply, theta, points))) > 1e-6
    # two numbers stand for the axis
    assert next(iter(supply.layout)).shape == (7, 4)


RESIDUALS = {
    "heat": (lambda u, v: u.t - 0.3 * u.xx + v, "u_t - 0.3 u_xx"),
    "scaled heat": (lambda u, v: (2 * u.t - 0.5 * laplacian(u)) / 3 + v, "u_t - 0.25 u_xx - 0.25 u_yy"),
    "burgers": (lambda u, v: u.t + u * u.x - 0.01 * u.xx + v, "u_t - 0.01 u_xx"),
    "wave": (lambda u, v: u.tt - 4 * u.xx + v, "u_tt - 4 u_xx"),
    "laplace": (lambda u, v: laplacian(u) + v, "u_xx + u_yy"),
    "convection": (lambda u, v: u.t + 30 * u.x + v, "u_t + 30 u_x"),
    "coefficient of the place": (lambda u, v, x: np.exp(x) * laplacian(u) + v * u.t, "u_xx + u_yy"),
    "coefficient of another field": (lambda u, v: (1 + v * v) * laplacian(u) + u.t, "u_xx + u_yy"),
    "flow": (lambda u, v: (u * u.x + v * u.y - laplacian(u) / 40, u * v.x + v * v.y - laplacian(v) / 40, u.x + v.y),
             "u_xx + u_yy; v_xx + v_yy"),
    "in two residuals": (lambda u, v: (laplacian(u) + v, v - 2 * laplacian(u) + u.t), "u_xx + u_yy"),
    "biharmonic": (lambda u, v: laplacian(laplacian(u)) + v, "u_xxxx + 2 u_xxyy + u_yyyy"),
    "plate": (lambda u, v: 3 * u.xxxx + 24 * u.xxyy + 48 * u.yyyy + u.t + v, "u_xxxx + 8 u_xxyy + 16 u_yyyy"),
    "Swift-Hohenberg": (lambda u, v: u.t + laplacian(laplacian(u)) + 2 * laplacian(u) + v,
                        "u_xxxx + 2 u_xxyy + u_yyyy"),
    "opposite signs": (lambda u, v: u.xxxx - 2 * u.xxyy + u.yyyy + v, "u_xxxx - 2 u_xxyy + u_yyyy"),
    "anisotropic": (lambda u, v: u.xx + u.xy + u.yy + v, "u_xx + u_xy + u_yy"),
    "saddle": (lambda u, v: 3 * u.xy + u.t + v, "u_t + 3 u_xy"),
    "along a diagonal": (lambda u, v: u.xx + 2 * u.xy + u.yy + u.x + v, "u_xx + 2 u_xy + u_yy"),
    "full tensor": (lambda u, v: u.xx + 2 * u.xy + 3 * u.yy - u.yt + 2 * u.tt + v,
                    "u_tt + 0.5 u_xx + u_xy - 0.5 u_yt + 1.5 u_yy"),
    # what must stay apart
    "a mixed derivative alone": (lambda u, v: u.xy * u + u.t * u.x + v, ""),
    "a mixed step": (lambda u, v: u.xx + u.xy + u.xxy + u.yy * u + v, ""),
    "different coefficients": (lambda u, v, x: u.xx + x * u.yy + v, ""),
    "not linear": (lambda u, v: u.xx * u.yy + v, ""),
    "a square": (lambda u, v: laplacian(u) ** 2 + v, ""),
    "needed alone": (lambda u, v: (laplacian(u) + v, u.xx - v), ""),
    "in a selection": (lambda u, v: np.where(u.xx > 0, u.xx, 2 * u.xx) + u.yy + v, ""),
    "a step to another": (lambda u, v: u.xx + u.yy + u.xxy + u.xyy + v, ""),
    "half of it a step": (lambda u, v: u.t + u.tt + u.xx + v, "u_tt + u_xx"),
    "no square": (lambda u, v: u.xxxx + u.xxyy + u.yyyy + v, ""),
    "fourth derivatives alone": (lambda u, v: u.xxxx + 2 * u.xxyy + u.yyyy + v + u.xxxx * u, ""),
    "a fifth": (lambda u, v: laplacian(laplacian(u)) + v + u.xxxxy, ""),
    "opposite ratios": (lambda u, v: (u.xx + u.yy + v, u.xx - u.yy), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RESIDUALS)
@pytest.mark.parametrize("network", ["tanh", "gated", "per field"])
def test_collapsed_operators_equal_their_parts(name, network):
    equation, expected = RESIDUALS[name]
    problem = stated(equation)
    supply = Supply(problem, NETWORKS[network])
    residuals = problem.terms[0].residuals
    theta = supply.initial(np.random.default_rng(2))
    points = draw(ROOM)
    whole, parts = supply.program(residuals), supply.program(residuals, collapse=False)
    assert values(whole, supply, theta, points) == pytest.approx(values(parts, supply, theta, points), rel=1e-11, abs=1e-11)
    assert "; ".join(map(str, find_collapses(residuals, supply.space))) == expected
    if expected:
        assert Work.of(whole).flops < Work.of(parts).flops
    else:
        assert all(a.node is b.node for a, b in zip(whole, parts, strict=True))


def test_no_jet_is_left_in_a_program():
    supply, _ = supplied(NETWORKS["tanh"])
    (residual,) = supply.program(stated(lambda u, v: u.t * v.xy + laplacian(u) * v.tt).terms[0].residuals)
    kinds = {node.attr[0][0] for node in ad.walk([residual.node]) if node.op is ad.SYMBOL}
    assert kinds == {"coordinate"}


def test_conditions_keep_their_data_and_normals():
    domain = Box(x=(0, 1), y=(0, 2))
    problem = Problem("u", domain, [lambda u: laplacian(u)], [Dirichlet(u=lambda x: np.interp(x, [0, 1], [2, 3]))])
    supply = Supply(problem, MLP(width=4, depth=1))
    term = problem.terms[1]
    (residual,) = supply.program(term.residuals)
    theta = supply.initial(np.random.default_rng(0))
    points = np.array([[0.25, 0.0], [1.0, 2.0]])
    symbols = dict(zip((column.node for column in term.columns), term.table(points).T, strict=True))
    answer = ad.evaluate([residual.node], symbols, {"theta": theta}, 2)[0]
    assert answer == pytest.approx(values([supply.fields["u"]], supply, theta, points)[0] - (2 + points[:, 0]), rel=1e-13)


@pytest.mark.parametrize("name", RESIDUALS)
@pytest.mark.parametrize("network", ["tanh", "sin", "gated"])
def test_every_plan_is_the_same_function_and_the_chosen_one_is_the_least_work(name, network):
    problem = stated(RESIDUALS[name][0])
    supply = Supply(problem, NETWORKS[network])
    residuals = problem.terms[0].residuals
    theta, points = supply.initial(np.random.default_rng(2)), draw(ROOM)
    plans = supply.plans(residuals)
    parts = values(supply.program(residuals, collapse=False), supply, theta, points)
    for plan in plans:
        assert values(plan.residuals, supply, theta, points) == pytest.approx(parts, rel=1e-11, abs=1e-11)
        assert plans[0].work.cost <= plan.work.cost and plans[0].work.flops <= plan.work.flops
    assert sum(not plan.collapses for plan in plans) == 1
    assert Work.of(supply.program(residuals)) == plans[0].work


@pytest.mark.parametrize("name", RESIDUALS)
@pytest.mark.parametrize("network", ["tanh", "sin", "gated", "per field", "fourier"])
def test_the_counted_work_is_what_the_compiled_plan_executes(name, network):
    problem = stated(RESIDUALS[name][0])
    supply = Supply(problem, NETWORKS[network])
    columns = [supply.space.coordinate(name) for name in supply.space.coordinates]
    plans = supply.plans(problem.terms[0].residuals)
    for plan in (plans[0], plans[-1]):
        assert plan.work.flops == ad.PointProgram(columns, plan.residuals, supply.layout.size).gemm_flops()


@pytest.mark.parametrize(("equation", "channels", "apart"), [
    ("burgers", 3, 4), ("laplace", 4, 5), ("wave", 4, 5), ("convection", 2, 3), ("biharmonic", 9, 13),
    ("Swift-Hohenberg", 10, 14), ("anisotropic", 4, 6), ("saddle", 4, 5), ("full tensor", 5, 9)])
def test_channels(equation, channels, apart):
    problem = stated(RESIDUALS[equation][0])
    supply = Supply(problem, MLP(width=16, depth=3))
    residuals = problem.terms[0].residuals
    assert Work.of(supply.program(residuals)).channels == channels
    assert Work.of(supply.program(residuals, collapse=False)).channels == apart


def test_time_is_counted_work_over_the_peak():
    work = Work(channels=3, flops=1000, rows=50, elementwise=700)
    assert work.cost == 1000 + 12 * 50 + 100
    assert work.milliseconds(2000, 1e9) == pytest.approx(1e3 * 2000 * 1700 / 1e9)


def test_the_plan_can_be_read():
    problem = stated(RESIDUALS["burgers"][0])
    plan = Supply(problem, MLP(width=16, depth=3)).plan(problem.terms[0].residuals)
    assert "u: u, u_t, u_x, u_xx" in plan and "u_t - 0.01 u_xx carried as one channel" in plan
    assert "3 channels" in plan and f"{6 * 2 * 256 * 3} floating point operations" in plan
    assert f"chosen before: derivatives one by one (4 channels, {6 * 2 * 256 * 4} operations in products, 1.3" in plan


@pytest.mark.parametrize(("count", "ways"), [(2, 2), (12, 1)])
def test_of_many_derivatives_only_the_collapsed_way_is_made(count, ways):
    names = [f"x{k}" for k in range(count)]
    problem = Problem(("u", "v"), Box(**{name: (0, 1) for name in names}), [lambda u, v: (laplacian(u) + v, laplacian(v))],
                      [Dirichlet(u=0, v=0)])
    supply = Supply(problem, MLP(width=6, depth=2))
    plans = supply.plans(problem.terms[0].residuals)
    assert len(plans) == ways**2 and plans[0].work.channels == count + 2
