"""Problems and conditions: what they become, and every way of stating one badly."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import autodiff as ad
import pinn
from pinn import Box, Dirichlet, Initial, Neumann, Problem, Residual, Robin, Time, laplacian, normal_derivative
from pinn.conditions import Term, sample_points
from pinn.errors import GeometryError, NumericsError, PinnError, ProblemError
from pinn.problem.checks import closed_points
from pinn.problem.differences import differentiate

ROD = Box(x=(0, 1)) * Time(t=(0, 2))
PLATE = Box(x=(0, 1), y=(0, 3))
RING = Box(x=(0, 1), periodic="x") * Time(t=(0, 1))
CLOCK = Time(t=(0, 1))


def heat(u, x, t):
    return u.t - u.xx


def wave(u):
    return u.tt - u.xx


def coupled(u, v):
    return u.t - v.xx, v.t - u.xx


def rod(equation=heat, conditions=None, **more):
    given = [Initial(u=0), Dirichlet(u=0)] if conditions is None else conditions
    return Problem(**{"unknowns": "u", "domain": ROD, "equations": [equation], "conditions": given} | more)


def plate(*conditions, equation=lambda u: laplacian(u)):
    return Problem("u", PLATE, [equation], conditions)


def values(term: Term, jets: dict, n: int = 5) -> np.ndarray:
    """The residuals of a term `(residuals, n)` where the jets have the given numbers, at sample points of its region."""
    points, normals = sample_points(term.region, n, 0)
    symbols = dict(zip((column.node for column in term.columns), term.table(points, normals).T, strict=True))
    symbols |= {term.space.jet(*key).node: np.full(len(points), number) for key, number in jets.items()}
    answers = ad.evaluate([residual.node for residual in term.residuals], symbols, points=len(points))
    return np.stack([np.broadcast_to(answer, len(points)) for answer in answers])


# ---- what a problem becomes -----------------------------------------------------------------------------------------------


def test_terms_have_names_kinds_and_regions():
    face = ROD.face(x=0)
    problem = Problem(("u", "v"), ROD, [coupled, lambda u, v: u.x - v.x], [
        Initial(u=0, v=lambda x: x), Dirichlet(u=0, on=face), Neumann(v=1), Residual(lambda u: u.x, on=face),
        Residual(lambda u: u.x, name="slope"), Robin(u=0, on=ROD.face(x=1))])
    named = [(term.name, term.kind, term.region.name) for term in problem.terms]
    assert named == [
        ("coupled", "equation", "interior"), ("equation", "equation", "interior"), ("Initial(u)", "condition", "t=0"),
        ("Initial(v)", "condition", "t=0"),
        ("Dirichlet(u) on x=0", "condition", "x=0"), ("Neumann(v)", "condition", "boundary"),
        ("Residual on x=0", "condition", "x=0"), ("slope", "condition", "interior"), ("Robin(u) on x=1", "condition", "x=1")]
    assert [len(term.residuals) for term in problem.terms] == [2] + [1] * 8
    assert problem.terms[0].demands == {"u": [("t",), ("x", "x")], "v": [("t",), ("x", "x")]}


def test_repeated_names_are_numbered():
    problem = Problem("u", PLATE, [lambda u: u.xx, lambda u: u.yy], [
        Residual(lambda u: u, on=PLATE.boundary), Residual(lambda u: u.x, on=PLATE.boundary)])
    names = [term.name for term in problem.terms]
    assert names == ["equation", "equation (2)", "Residual on boundary", "Residual on boundary (2)"]


def test_a_problem_is_frozen_and_can_be_renamed():
    problem = rod(exact=lambda x: 0 * x)
    with pytest.raises(FrozenInstanceError):
        problem.name = "heat"
    named = replace(problem, name="heat", parameters={"k": 1})
    assert named.name == "heat" and named.parameters == {"k": 1}
    assert named.exact(x=np.ones(3), t=np.ones(3)).shape == (3,)


def test_single_things_need_no_list():
    problem = Problem("u", PLATE, lambda u: laplacian(u), Dirichlet(u=0))
    assert [term.name for term in problem.terms] == ["equation", "Dirichlet(u)"]


def test_conditions_mean_what_they_say():
    u, ux, uy = ("u", ()), ("u", ("x",)), ("u", ("y",))
    jets = {u: 2.0, ux: 3.0, uy: 5.0}
    right, low = PLATE.face(x=1), PLATE.face(y=0)

    def residual(condition):
        return values(plate(condition).terms[1], jets)[0]

    assert residual(Dirichlet(u=0.5, on=right)) == pytest.approx(1.5)
    assert residual(Neumann(u=1, on=right)) == pytest.approx(2.0)
    assert residual(Neumann(u=1, on=low)) == pytest.approx(-6.0)
    assert residual(Robin(u=1, alpha=10, beta=100, on=low)) == pytest.approx(20 - 500 - 1)
    assert residual(Residual(lambda u, nx: nx * u.x + u.y, on=PLATE.face(x=0))) == pytest.approx(2.0)
    assert residual(Residual(lambda u: normal_derivative(u), on=low)) == pytest.approx(-5.0)
    # a value may depend on the field itself, as radiation does
    assert residual(Neumann(u=lambda u: -u**4, on=right)) == pytest.approx(3 + 16)
    places = sample_points(right, 5, 0)[0]
    assert residual(Dirichlet(u=lambda y: y**2, on=right)) == pytest.approx(2 - places[:, 1] ** 2)
    assert residual(Robin(u=lambda y: y, alpha=lambda y: 1 + y, beta=lambda x: 2 * x, on=right)) == pytest.approx(
        2 * (1 + places[:, 1]) + 6 - places[:, 1])


def test_values_may_use_any_numpy_function():
    table = np.array([0.0, 1.0, 4.0])
    problem = plate(Dirichlet(u=lambda x, y: np.interp(x + y, [0, 1, 2], table), on=PLATE.face(y=0)))
    places = sample_points(PLATE.face(y=0), 5, 0)[0]
    assert values(problem.terms[1], {("u", ()): 0.0})[0] == pytest.approx(-np.interp(places[:, 0], [0, 1, 2], table))


def test_columns_are_coordinates_normals_and_data():
    term = plate(Robin(u=lambda y: y, alpha=lambda x: x, on=PLATE.face(x=1))).terms[1]
    assert [repr(column.node.attr[0]) for column in term.columns] == ["x", "y", "nx", "ny", "alpha", "g"]
    points, normals = sample_points(term.region, 4, 0)
    expected = np.column_stack([points, np.tile([1.0, 0.0], (4, 1)), points[:, 0], points[:, 1]])
    assert np.array_equal(term.table(points, normals), expected)


def test_initial_values_of_time_derivatives():
    problem = rod(wave, [Initial(u=lambda x: x, u_t=3)])
    assert [term.name for term in problem.terms[1:]] == ["Initial(u)", "Initial(u_t)"]
    assert values(problem.terms[2], {("u", ("t",)): 5.0})[0] == pytest.approx(2.0)


@pytest.mark.parametrize("conditions", [
    [Initial(u=0, u_t=0)], [Initial(u=0), Residual(lambda u: u.t, on=ROD.initial)],
    [Dirichlet(u=0, on=ROD.face(t=0)), Initial(u_t=0)],
    [Initial(u=0), Dirichlet(u=0, on=ROD.final)], [Residual(lambda u: (u, u.t - 1), on=ROD.initial)]],
    ids=["both", "a residual", "a face", "two moments", "a tuple"])  # fmt: skip
def test_values_at_a_moment_count_however_they_are_said(conditions):
    assert rod(wave, conditions).terms


def test_an_ordinary_differential_equation():
    problem = Problem("u", CLOCK, [lambda u, t: u.tt + u], [Initial(u=1, u_t=0)], exact=lambda t: np.cos(t))
    assert all(row.holds for row in problem.prove(50))
    assert problem.notes == ()


def test_weights_reach_their_terms():
    problem = rod(weights={"Initial(u)": 10})
    assert [term.weight for term in problem.terms] == [1, 10, 1]


def test_exact_fields_by_unknown():
    problem = Problem(("u", "v"), ROD, [coupled], [Initial(u=0, v=0)], exact=lambda x: {"u": x, "v": 2.0})
    points = sample_points(ROD.interior, 4, 0)[0]
    given = problem.exact_fields(points)
    assert np.array_equal(given["u"], points[:, 0]) and np.array_equal(given["v"], np.full(4, 2.0))
    assert rod().exact_fields(points) is None


NOTES = {
    "nothing to say": (lambda: rod(), ()),
    "no boundary": (lambda: rod(conditions=[Initial(u=0)]), ("no condition holds u on the boundary",)),
    "one side": (lambda: rod(conditions=[Initial(u=0), Dirichlet(u=0, on=ROD.face(x=0))]), ("no condition holds u at x = 1",)),
    "periodic": (lambda: rod(conditions=[Initial(u=0)], domain=RING), ()),
    "transport": (lambda: rod(lambda u: u.t + u.x, [Initial(u=0), Dirichlet(u=0, on=ROD.face(x=0))]), ()),
    "too many": (lambda: Problem("u", PLATE, [lambda u: (u.x, u.y)], [Dirichlet(u=0)]),
                 ("2 equations for 1 unknown: more than usual",)),
    "too few": (lambda: Problem(("u", "v"), PLATE, [lambda u, v: u.x + v.y], [Dirichlet(u=0, v=0)]),
                ("1 equation for 2 unknowns: fewer than usual",)),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_notes(name):
    make, expected = NOTES[name]
    assert make().notes == expected


# ---- bad input: class, code, what, and a word of the rest ------------------------------------------------------------------

P, G, N = ProblemError, GeometryError, NumericsError
BAD = {
    # names
    "a coordinate as unknown": (lambda: rod(unknowns="x"), P, "unknowns", "'x' is also a coordinate", "x, t"),
    "a normal as unknown": (lambda: rod(unknowns="nx"), P, "unknowns", "component of the normal", "rename"),
    "twice the same unknown": (lambda: rod(unknowns=("u", "u")), P, "unknowns", "'u' appears twice", "('u',)"),
    "unknowns in one text": (lambda: rod(unknowns="u v"), P, "unknowns", "cannot name", "unknowns=('u', 'v')"),
    "a keyword": (lambda: rod(unknowns="lambda"), P, "unknowns", "cannot name", 'unknowns="u"'),
    "on": (lambda: rod(unknowns="on"), P, "unknowns", "'on' cannot name", "on=..."),
    "no unknowns": (lambda: rod(unknowns=()), P, "unknowns", "not ()", 'unknowns="u"'),
    "a number for unknowns": (lambda: rod(unknowns=3), P, "unknowns", "not 3", 'unknowns="u"'),
    "an attribute as coordinate": (lambda: Box(T=(0, 1)), G, "axis-name", "'T' cannot name", "already means"),
    # domain, equations, conditions
    "no domain": (lambda: rod(domain="box"), P, "domain", "a str", "Box(x=(0, 1))"),
    "a class for a domain": (lambda: rod(domain=Box), P, "domain", "not a domain", "Box(x=(0, 1))"),
    "no equations": (lambda: rod(equations=[]), P, "equations", "without equations", "equations=[heat]"),
    "an equation that is a text": (lambda: rod(equations=["u.t"]), P, "equations", "holds a str", "equations=[heat]"),
    "a condition that is none": (lambda: rod(conditions=[heat]), P, "conditions", "holds a function", "Dirichlet(u=0)"),
    "a condition class": (lambda: rod(conditions=[Dirichlet]), P, "conditions", "holds Dirichlet", "Dirichlet(u=0)"),
    "misspelt argument": (lambda: rod(lambda u, T: u.t), P, "argument", "asks for 'T'", "did you mean"),
    "misspelt derivative": (lambda: rod(lambda u: u.q), P, "derivative", "u.q", "u.x"),
    "returns nothing": (lambda: rod(lambda u: None), P, "return", "returns nothing", "return u.t"),
    "reduces over points": (lambda: rod(lambda u: u.t - np.mean(u)), P, "reduction", "np.mean(u)", "leave it out"),
    "never uses an unknown": (lambda: rod(lambda x: x), P, "no-unknown", "never uses an unknown", "unknowns are u"),
    "an unused unknown": (lambda: rod(unknowns=("u", "v")), P, "unused-unknown", "no equation uses the unknown 'v'", "heat"),
    "a normal in the interior": (lambda: rod(lambda u, nx: nx * u.x), P, "normals", "uses the outward normal", "boundary"),
    "a Neumann at a moment": (lambda: rod(conditions=[Initial(u=0), Neumann(u=0, on=ROD.initial)]),
     P, "normals", "Neumann(u)", "normal"),
    # conditions
    "an unknown field": (lambda: rod(conditions=[Dirichlet(w=0)]),
     P, "condition", "'w', which is no unknown", "Dirichlet(u=...)"),
    "an initial unknown field": (lambda: rod(conditions=[Initial(w=0)]),
     P, "condition", "'w', which is no unknown", "Initial(u"),
    "an initial slope in space": (lambda: rod(conditions=[Initial(u_x=0)]), P, "condition", "no time derivative", "Residual("),
    "an empty condition": (lambda: Dirichlet(), P, "condition", "names no unknown", "Dirichlet(u=0)"),
    "a Robin of zeros": (lambda: plate(Robin(u=0, alpha=0, beta=0)), P, "condition", "alpha = beta = 0", "0 = g"),
    "a Residual of a number": (lambda: Residual(3), P, "condition", "not a int", "lambda u, x"),
    "twice the same condition": (lambda: plate(Dirichlet(u=0), Dirichlet(u=1)), P, "repeated-condition", "given twice", "on="),
    "a face of another domain": (lambda: plate(Dirichlet(u=0, on=ROD.face(x=0))), P, "region", "another domain", "('x', 't')"),
    "a face of another size": (lambda: plate(Dirichlet(u=0, on=Box(x=(0, 1), y=(0, 9)).face(y=9))),
     P, "region", "out of", "Box"),
    "a region that is none": (lambda: plate(Dirichlet(u=0, on="left")), P, "region", "'left'", "domain.face(x=0)"),
    "a face that does not exist": (lambda: plate(Dirichlet(u=0, on=PLATE.face(x=2))), G, "face", "outside", "x = 1"),
    "a region without points": (lambda: PLATE.boundary.where(lambda x: x > 5),
     G, "empty-region", "holds nowhere", "domain.face"),
    "a periodic boundary": (lambda: rod(conditions=[Initial(u=0), Dirichlet(u=0)], domain=RING),
     G, "empty-region", "nowhere", "periodic"),
    "initial without time": (lambda: plate(Initial(u=0)), P, "no-time", "without time", "Time(t=(0, 1))"),
    "missing initial": (lambda: rod(conditions=[Dirichlet(u=0)]),
     P, "missing-initial", "condition on u is missing", "Initial(u=lambda x: ...)"),
    "missing initial speed": (lambda: rod(wave, [Initial(u=0)]),
     P, "missing-initial", "on u_t is missing", "Initial(u_t=lambda x: ...)"),
    "missing both": (lambda: rod(wave, []), P, "missing-initial", "on u and u_t is missing", "Initial(u=lambda x: ..., u_t="),
    "missing in an ODE": (lambda: Problem("u", CLOCK, [lambda u: u.t - u]),
     P, "missing-initial", "on u is missing", "Initial(u=...)"),
    # values
    "an array as value": (lambda: plate(Dirichlet(u=np.zeros(3))), P, "shape", "ndarray of shape (3,)", "lambda x: ..."),
    "a text as value": (lambda: plate(Dirichlet(u="0")), P, "shape", "is a str", "number, or a function"),
    "a value without return": (lambda: plate(Dirichlet(u=lambda x: None)), P, "shape", "returns nothing", "return"),
    "a column": (lambda: plate(Dirichlet(u=lambda x: x[:, None])), P, "shape", "shape (64, 1) for 64 points", ".ravel()"),
    "a mean as value": (lambda: plate(Dirichlet(u=lambda x: np.ones(3))), P, "shape", "shape (3,)", "elementwise"),
    "complex values": (lambda: plate(Dirichlet(u=lambda x: x * 1j)), P, "shape", "complex128", "real"),
    "a value's misspelt name": (lambda: plate(Dirichlet(u=lambda z: z)), P, "argument", "asks for 'z'", "x, y"),
    "a value that raises": (lambda: plate(Dirichlet(u=lambda x: {}[0])), P, "user-function", "KeyError", "Dirichlet(u)"),
    "a vector from a field": (lambda: plate(Dirichlet(u=lambda u: np.stack([u, u]))), P, "shape", "shape (2,)", "one number"),
    "an infinite number": (lambda: plate(Dirichlet(u=math.inf)), N, "numerics", "Dirichlet(u) is inf", "finite"),
    "an infinite value": (lambda: plate(Dirichlet(u=lambda x: 1 / (x - x))), N, "numerics", "inf at x = ", "Dirichlet(u)"),
    "a nan value": (lambda: rod(conditions=[Initial(u=lambda x: np.log(x - 2))]),
     N, "numerics", "the initial value of u is nan at x", "t = 0"),
    "a nan coefficient": (lambda: plate(equation=lambda u, x: np.sqrt(x - 2) * u.xx),
     N, "numerics", "a coefficient of equation is nan", "x = "),
    # exact, weights
    "exact that is a number": (lambda: rod(exact=3), P, "exact", "exact is a int", "lambda x, t"),
    "exact with a misspelt name": (lambda: rod(exact=lambda x, T: x), P, "argument", "asks for 'T'", "x, t"),
    "exact of another field": (lambda: rod(exact=lambda x: {"w": x}), P, "exact", "'w', which is no unknown", '"u": ...'),
    "one array for two": (lambda: Problem(("u", "v"), ROD, [coupled], [Initial(u=0, v=0)], exact=lambda x: x),
     P, "exact", "for 2 unknowns", '"v": ...'),
    "exact of a wrong shape": (lambda: rod(exact=lambda x, t: x[:, None]), P, "shape", "(64, 1)", ".ravel()"),
    "exact that is nan": (lambda: rod(exact=lambda x, t: np.log(x - 2)),
     N, "numerics", "the exact solution of u is nan at x = ", "t = "),
    "a weight of nobody": (lambda: rod(weights={"Initial": 1}), P, "weights", "'Initial', which is no term", "Initial(u)"),
    "a negative weight": (lambda: rod(weights={"heat": -1}), P, "weights", "the weight of heat is -1", "positive"),
    "weights in a list": (lambda: rod(weights=[1, 2]), P, "weights", "a list", "by name"),
    "a proof without exact": (lambda: rod().prove(), P, "exact", "no exact solution", "exact=lambda"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_a_sentence(name):
    make, error, code, what, more = BAD[name]
    with pytest.raises(PinnError) as caught:
        make()
    assert isinstance(caught.value, error)
    assert caught.value.code == code
    assert what in caught.value.what
    assert more in str(caught.value)
    if name not in PLACELESS:
        assert "test_problem.py:" in caught.value.where


# what is said of a value alone, or by geometry, which names the expression
PLACELESS = {name for name, (_, _, code, _, _) in BAD.items() if code in (
    "unknowns", "axis-name", "exact", "weights", "face")}


def test_where_names_the_line_of_the_condition():
    condition = Dirichlet(w=0)
    line = test_where_names_the_line_of_the_condition.__code__.co_firstlineno + 1
    with pytest.raises(ProblemError) as caught:
        plate(condition)
    assert caught.value.where.endswith(f"test_problem.py:{line}")


def test_a_branch_that_is_never_taken_may_be_nan():
    safe = plate(equation=lambda u, x: np.where(x > 2, np.sqrt(x - 2), 1.0) * u.xx
                 + np.where(x > 2, np.sqrt(x - 2) * u.yy, u.yy))
    assert len(safe.terms) == 1


def test_public_names():
    names = "Box Time Problem Initial Dirichlet Neumann Robin Residual D grad div laplacian curl normal_derivative MLP"
    assert set(names.split()) <= set(pinn.__all__) and all(hasattr(pinn, name) for name in pinn.__all__)


# ---- differences ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [(0, 0), (1, 0), (0, 2), (1, 1), (2, 1), (0, 4)])
def test_differences_know_their_error(orders):
    def field(points):
        return np.sin(3 * points[:, 0] + 1) * np.exp(-2 * points[:, 1])

    rng = np.random.default_rng(0)
    points = np.concatenate([rng.random((20, 2)), [[0, 0], [1, 1], [0, 1], [0.5, 0]]])
    answer, doubt = differentiate(field, points, orders, [(0, 1), (0, 1)])
    m, n = orders
    exact = 3**m * np.sin(3 * points[:, 0] + 1 + m * np.pi / 2) * (-2) ** n * np.exp(-2 * points[:, 1])
    error = np.abs(answer - exact)
    assert np.all(error <= doubt + 1e-14)
    assert np.all(doubt < 1e-4 * 3**m * 2**n) and np.max(error) < 1e-6 * 3**m * 2**n


def test_two_stars_receive_all_coordinates_that_are_not_named():
    seen = {}

    def equation(u, x2, **x):
        seen["equation"] = list(x)
        return laplacian(u) + x2 + sum(x.values())

    def value(**x):
        seen["value"] = list(x)
        return sum(x.values())

    domain = Box(x1=(0, 1), x2=(0, 1), x3=(0, 1)) * Time(t=(0, 1))
    part = domain.boundary.where(lambda x1, **rest: x1 + rest["t"] > 0.5)
    made = Problem(unknowns="u", domain=domain, equations=[equation], conditions=[Dirichlet(u=value, on=part)], exact=value)
    assert seen == {"equation": ["x1", "x3", "t"], "value": ["x1", "x2", "x3", "t"]}
    points = np.random.default_rng(0).random((5, 4))
    np.testing.assert_allclose(made.exact_fields(points)["u"], points.sum(axis=1))
    assert len(made.terms[1].data) == 1  # coordinates alone: a column, not a part of the kernel


@pytest.mark.parametrize("count", [3, 11, 70])
def test_functions_are_tried_on_the_closed_domain_in_any_dimension(count):
    domain = Box(**{f"x{i}": (0, 1) for i in range(count)})
    points = closed_points(domain)
    assert len(points) <= 1100 and domain.contains(points).all()
    assert ((points == 0) | (points == 1)).any(axis=1).sum() >= 100
    with pytest.raises(NumericsError, match="exact solution"):
        Problem(unknowns="u", domain=domain, equations=[lambda u: laplacian(u)], conditions=[Dirichlet(u=0)],
                exact=lambda **x: np.log(x["x0"]))
