"""Conditions built into the fields: they hold for random weights, every smooth field can be reached, the rest says why."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from pinn import Box, Dirichlet, Initial, Neumann, Problem, Recipe, Residual, Robin, Stage, Time, load, solve
from pinn.conditions import sample_points
from pinn.imposition import describe_imposition, impose, restore_imposition
from pinn.imposition.profile import Profile, order_of, polynomial
from pinn.networks import MLP, GatedMLP
from pinn.optimizers import Adam
from pinn.supply import Supply, frozen

SQUARE = Box(x=(-1, 2), y=(0, 0.5))
ROD = Box(x=(0, 2)) * Time(t=(1, 3))
CUBE = Box(x=(0, 1), y=(-1, 1), z=(0, 2)) * Time(t=(0, 1))
RING = Box(x=(0, 2 * np.pi), periodic="x") * Time(t=(0, 1))


def smooth(x, y):
    return np.sin(x + 2 * y) + x * y


# what is said of one field u by an equation that plays no part, the conditions, and how many of them are to be held
CASES = {
    "values on all sides": (SQUARE, [Dirichlet(u=smooth)], 4),
    "zero on all sides": (SQUARE, [Dirichlet(u=0)], 4),
    "one side": (SQUARE, [Dirichlet(u=lambda y: np.exp(y), on=SQUARE.face(x=2))], 1),
    "slopes on all sides": (SQUARE, [Neumann(u=0)], 4),
    "slopes of a field": (SQUARE, [
        Neumann(u=lambda x, y: 2 * np.cos(x + 2 * y) + x, on=SQUARE.face(y=0.5)),
        Neumann(u=lambda x, y: -(np.cos(x + 2 * y) + y), on=SQUARE.face(x=-1)),
        Dirichlet(u=smooth, on=SQUARE.face(x=2) | SQUARE.face(y=0))], 4),
    "Robin and Dirichlet": (SQUARE, [
        Robin(u=lambda x, y: 3 * smooth(x, y) + 2 * (np.cos(x + 2 * y) + y), alpha=3, beta=2, on=SQUARE.face(x=2)),
        Dirichlet(u=smooth, on=SQUARE.face(x=-1) | SQUARE.face(y=0.5))], 3),
    "value and slope at one side": (SQUARE, [
        Dirichlet(u=smooth, on=SQUARE.face(x=2)), Neumann(u=lambda x, y: np.cos(x + 2 * y) + y, on=SQUARE.face(x=2))], 2),
    "first moment": (ROD, [Initial(u=lambda x: np.sin(np.pi * x)), Dirichlet(u=0)], 3),
    "first moment and velocity": (ROD, [
        Initial(u=lambda x: np.sin(np.pi * x), u_t=lambda x: np.sin(2 * np.pi * x)), Dirichlet(u=0)], 4),
    "moving sides": (ROD, [Initial(u=lambda x: x**2), Dirichlet(u=lambda x, t: x**2 * np.exp(t - 1))], 3),
    "velocity alone": (ROD, [Initial(u_t=lambda x: np.cos(x)), Dirichlet(u=np.cos, on=ROD.final)], 2),
    "insulated rod": (ROD, [Initial(u=lambda x: np.cos(np.pi * x)), Neumann(u=0)], 3),
    "periodic": (RING, [Initial(u=np.sin)], 1),
    "three dimensions and time": (CUBE, [
        Initial(u=lambda x, y, z: np.sin(x) * y + z), Dirichlet(u=lambda x, y, z, t: np.sin(x) * y + z + t * x)], 7),
    "interval": (Box(x=(1, 4)), [Dirichlet(u=lambda x: x), Neumann(u=1, on=Box(x=(1, 4)).face(x=4))][:1], 2),
    "interval, value and slope": (Box(x=(1, 4)), [
        Dirichlet(u=3, on=Box(x=(1, 4)).face(x=1)), Robin(u=2, alpha=0.5, beta=3, on=Box(x=(1, 4)).face(x=4))], 2),
}  # fmt: skip


def stated(domain, conditions, unknowns=("u",)) -> Problem:
    return Problem(unknowns, domain, [lambda u: u.x + u.xx], conditions)


def dressed(problem: Problem, network=None, seed=3) -> tuple[Supply, np.ndarray]:
    supply = Supply(problem, network or MLP(width=6, depth=2), impose(problem))
    theta = supply.initial(np.random.default_rng(seed))
    return supply, theta + 0.3 * np.random.default_rng(seed + 1).normal(size=theta.shape)


def residuals(supply: Supply, theta: np.ndarray, term, n=60) -> np.ndarray:
    """What a condition leaves `(residuals, n)`, by the reference semantics."""
    points, normals = sample_points(term.region, n, 5)
    symbols = dict(zip((column.node for column in term.columns), term.table(points, normals).T, strict=True))
    nodes = supply.resolved([array.node for array in supply.program(term.residuals, collapse=False)])
    return np.array([np.broadcast_to(v, len(points)) for v in ad.evaluate(nodes, symbols, {"theta": theta}, len(points))])


@pytest.mark.parametrize("name", CASES)
def test_conditions_hold_for_any_weights(name):
    domain, conditions, count = CASES[name]
    problem = stated(domain, conditions)
    supply, theta = dressed(problem)
    held = [term for term in problem.terms if term.kind == "condition"]
    for term in held:
        assert np.max(np.abs(residuals(supply, theta, term))) < 2e-13, term.name
    assert len(supply.imposition.held) == count if len(held) == count else len(supply.imposition.held) >= len(held)
    assert [term.kind for term in supply.imposition.terms] == ["equation"]
    assert supply.imposition.violation < 1e-13 and not supply.imposition.notes
    # and the bare network would not have done it
    bare = Supply(problem, MLP(width=6, depth=2))
    assert max(np.max(np.abs(residuals(bare, theta[:bare.layout.size], term))) for term in held) > 1e-2


@pytest.mark.parametrize("name", ["slopes on all sides", "Robin and Dirichlet", "velocity alone", "first moment and velocity"])
def test_nothing_more_is_prescribed(name):
    """Inside, and in what no condition speaks of, the field moves freely: its values at other points are independent."""
    domain, conditions, _ = CASES[name]
    supply, theta = dressed(stated(domain, conditions), MLP(width=12, depth=2))
    points = domain.interior.sample(12, lambda n, dim, rng: rng.random((n, dim)), np.random.default_rng(0)).x
    symbols = {supply.space.coordinate(name).node: points[:, i].copy() for i, name in enumerate(domain.coordinates)}
    views = [node for node in ad.walk([supply.fields["u"].node]) if node.op is ad.VIEW]
    rows = ad.reverse([supply.fields["u"].node], [ad.lift(1.0)], views)
    values = ad.evaluate([r for r in rows if r is not None], symbols, {"theta": theta}, len(points))
    jacobian = np.concatenate([np.broadcast_to(v, (len(points), *r.shape)).reshape(len(points), -1)
                               for v, r in zip(values, (r for r in rows if r is not None), strict=True)], axis=1)
    assert np.linalg.matrix_rank(jacobian, tol=1e-8) == len(points)


def test_the_value_at_an_insulated_end_is_free():
    """A Neumann condition must not fix the value there: it is what the small networks carry."""
    problem = stated(ROD, [Initial(u=lambda x: np.cos(np.pi * x)), Neumann(u=0)])
    supply, theta = dressed(problem)
    assert {block.unknowns for block in supply.blocks} == {("u",)} and len(supply.blocks) == 3
    symbols = {supply.space.coordinate("x").node: np.zeros(3), supply.space.coordinate("t").node: np.array([1.5, 2.0, 3.0])}
    one, = ad.evaluate(supply.resolved([supply.fields["u"].node]), symbols, {"theta": theta}, 3)
    two, = ad.evaluate(supply.resolved([supply.fields["u"].node]), symbols, {"theta": 1.5 * theta}, 3)
    assert np.all(np.abs(one - two) > 1e-4)


SEAMS = {  # data on a ring, and the order up to which they are smooth where it closes
    "a jump": (lambda x: x, 0), "a kink": (lambda x: (x - np.pi) ** 2, 1), "a bent slope": (
        lambda x: x * (x - 2 * np.pi) * np.sin(x), 2), "smooth": (np.sin, 9)}


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("name", SEAMS)
def test_a_kink_where_a_period_ends_is_not_built_in(name, order):
    """A derivative that the equation asks for must exist: what is one order below it must go on across the seam."""
    data, smooth_to = SEAMS[name]

    def equation(u):
        return u.t + sum((getattr(u, "x" * k) for k in range(1, order + 1)), start=0 * u)

    problem = Problem("u", RING, [equation], [Initial(u=data)])
    built = impose(problem)
    if order <= smooth_to:
        assert built.held and not built.notes
    else:
        assert not built.held and "would stay" in built.notes[0] and "from x = 6.28319 to 0" in built.notes[0]


PARTLY = {
    "a lid that jumps": (SQUARE, [
        Dirichlet(u=1, on=SQUARE.face(y=0.5)), Dirichlet(u=0, on=SQUARE.face(x=-1) | SQUARE.face(x=2) | SQUARE.face(y=0))],
        "differ by 1.0e+00", 3, "y=0.5"),
    "a part of a face": (SQUARE, [
        Dirichlet(u=0, on=SQUARE.face(x=-1)), Dirichlet(u=0, on=SQUARE.face(y=0).where(lambda x: x > 0))],
        "part of a face", 1, "y=0"),
    "kinks": (SQUARE, [Dirichlet(u=lambda y: np.abs(y - 0.25), on=SQUARE.face(x=-1)), Dirichlet(u=0, on=SQUARE.face(x=2))],
              "have kinks", 1, "x=-1"),
    "an equation of its own": (SQUARE, [Dirichlet(u=0, on=SQUARE.face(x=-1)), Residual(lambda u: u.x * u, on=SQUARE.face(y=0))],
                               "constant factors", 1, "y=0"),
    "a function that cannot be traced": (SQUARE, [
        Dirichlet(u=lambda y: np.array([float(one) for one in np.atleast_1d(y)]), on=SQUARE.face(x=-1)),
        Dirichlet(u=0, on=SQUARE.face(y=0))],
        "cannot be differentiated", 1, "x=-1"),
    "a variable coefficient": (SQUARE, [
        Robin(u=0, alpha=lambda y: 1 + y, beta=1, on=SQUARE.face(x=-1)), Dirichlet(u=0, on=SQUARE.face(x=2))],
        "constant factors", 1, "x=-1"),
    "a singular value": (SQUARE, [
        Dirichlet(u=lambda x: np.sqrt(x + 1), on=SQUARE.face(y=0)), Neumann(u=0, on=SQUARE.face(y=0.5))],
                         "not finite", 1, "y=0"),
    "twice": (SQUARE, [Dirichlet(u=0, on=SQUARE.face(x=-1)), Residual(lambda u: u, on=SQUARE.face(y=0)),
                       Robin(u=0, alpha=2, beta=0, on=SQUARE.face(x=-1))], "", 1, "y=0"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTLY)
def test_what_cannot_be_built_is_left_with_a_reason(name):
    domain, conditions, said, held, left = PARTLY[name]
    problem = stated(domain, conditions)
    found = impose(problem)
    assert len(found.held) == held, found
    remaining = [term for term in found.terms if term.kind == "condition"]
    assert any(left in term.region.name for term in remaining)
    assert said in " ".join(found.notes) and " is left to the loss: " in found.notes[0]
    assert sum(len(term.region.pieces) for term in remaining) + held == sum(
        len(term.region.pieces) for term in problem.terms if term.kind == "condition")
    supply, theta = dressed(problem)
    for term in problem.terms:
        if term.kind == "condition" and all(term.name != one.name for one in remaining):
            assert np.max(np.abs(residuals(supply, theta, term))) < 1e-12


def test_systems_impose_each_field_by_itself():
    domain = Box(x=(0, 1), y=(0, 1))
    problem = Problem(("u", "v", "p"), domain, [lambda u, v, p: (u.x + v.y, p.x + u.yy, p.y + v.xx)],
                      [Dirichlet(u=lambda x: x), Dirichlet(v=0, on=domain.face(x=0)), Dirichlet(p=0, on=domain.face(y=1))])
    supply, theta = dressed(problem, GatedMLP(width=5, depth=2))
    assert len(supply.imposition.held) == 6
    for term in problem.terms[1:]:
        assert np.max(np.abs(residuals(supply, theta, term))) < 1e-13


@pytest.mark.parametrize("ends", [
    ([(1.0,)], [(1.0,)]), ([(1.0,), (0.0, 1.0)], []), ([(0.0, 2.0)], [(3.0, 0.5)]), ([], [(1.0,), (0.0, 0.0, 1.0)]),
    ([(1.0,), (0.0, 1.0), (0.0, 0.0, 1.0)], [(0.0, 1.0)]), ([], [])])
def test_profiles_interpolate_what_is_prescribed(ends):
    profile = Profile.of(ends)
    functionals = [(s, c) for s, end in zip((0.0, 1.0), ends, strict=True) for c in end]

    def apply(function, s, c):
        series = ad.jet(function, (s,), ([1.0, 0.0, 0.0],))
        jets = [series[0], *series[1]]
        return sum(a * float(b) for a, b in zip(c, jets, strict=False))

    table = np.array([[apply(lambda s, p=p: polynomial(p, s), s, c) for p in profile.dual] for s, c in functionals])
    np.testing.assert_allclose(table.reshape(len(functionals), len(functionals)), np.eye(len(functionals)), atol=1e-13)
    for q in profile.free:
        assert max((abs(apply(lambda s, q=q: polynomial(q, s), s, c)) for s, c in functionals), default=0) < 1e-13
    assert len(profile.free) + len(profile.dual) == order_of(ends[0]) + order_of(ends[1])
    if functionals:
        s = np.linspace(0, 1, 1001)
        assert np.max(profile.factor(s)) == pytest.approx(1.0, abs=1e-5)
        assert max(abs(apply(profile.factor, s, c)) for s, c in functionals) < 1e-13


def test_functionals_that_depend_on_one_another_are_refused():
    with pytest.raises(ValueError, match="depend"):
        Profile.of(([(1.0,), (2.0,)], []))


def test_frozen_fields_are_the_fields_and_carry_a_correction():
    problem = stated(*CASES["first moment and velocity"][:2])
    supply, theta = dressed(problem)
    base = frozen(supply, theta)
    points = ROD.interior.sample(9, lambda n, dim, rng: rng.random((n, dim)), np.random.default_rng(0)).x
    symbols = {supply.space.coordinate(name).node: points[:, i].copy() for i, name in enumerate("xt")}
    expected, = ad.evaluate(supply.resolved([supply.fields["u"].node]), symbols, {"theta": theta}, 9)
    np.testing.assert_array_equal(ad.evaluate([base["u"].node], symbols, points=9)[0], expected)
    more = Supply(problem, MLP(width=4, depth=1), impose(problem), base, 1e-3)
    small = more.initial(np.random.default_rng(0))
    moved, = ad.evaluate(more.resolved([more.fields["u"].node]), symbols, {"theta": small}, 9)
    assert 0 < np.max(np.abs(moved - expected)) < 1e-2
    for term in problem.terms[1:]:
        assert np.max(np.abs(residuals(more, small, term))) < 1e-13


def test_the_form_of_the_fields_is_written_down_and_read():
    for name in ("Robin and Dirichlet", "three dimensions and time", "insulated rod"):
        problem = stated(*CASES[name][:2])
        supply, theta = dressed(problem)
        again = Supply(problem, MLP(width=6, depth=2), restore_imposition(describe_imposition(supply.imposition), problem))
        assert again.resolved([again.fields["u"].node]) == supply.resolved([supply.fields["u"].node])


def test_training_reports_what_is_left_and_files_keep_the_form(tmp_path):
    square = Box(x=(0, 1), y=(0, 1))
    problem = Problem("u", square, [lambda u, x: u.xx + u.yy + np.sin(x)], [
        Dirichlet(u=1, on=square.face(y=1)), Dirichlet(u=0, on=square.face(x=0) | square.face(x=1) | square.face(y=0))])
    recipe = Recipe(network=MLP(width=4, depth=1), points=64, stages=[Stage(Adam(1e-2), iterations=3)], resample=False)
    solution = solve(problem, recipe)
    assert set(solution.history.terms) == {"equation", "Dirichlet(u) on y=1"}
    assert solution.u(x=np.linspace(0, 1, 5), y=0.0) == pytest.approx(0, abs=1e-15)
    again = load(solution.save(tmp_path / "square.npz"))
    np.testing.assert_array_equal(again.u(x=[0.2, 0.7], y=0.4), solution.u(x=[0.2, 0.7], y=0.4))
    loose = solve(problem, Recipe(**{**vars(recipe), "impose": "penalty"}))
    assert len(loose.history.terms) == 3 and np.max(np.abs(loose.u(x=np.linspace(0, 1, 5), y=0.0))) > 1e-3
