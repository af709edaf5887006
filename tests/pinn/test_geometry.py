"""Domains by table: measures, faces, normals, points inside, the divergence theorem; and every way of misusing them."""

import math
import pickle
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinn.errors import GeometryError
from pinn.geometry import Box, Domain, Piece, Region, Side, Time
from pinn.geometry.grid import check_points, tensor_grid
from pinn.geometry.lattice import estimate_fraction
from pinn.geometry.names import ambiguous_subscript
from pinn.geometry.piece import narrow, whole
from pinn.geometry.region import share
from pinn.sampling import latin_hypercube, sample, sobol, uniform

DOMAINS = {
    "1d": Box(x=(-1, 1)),
    "2d": Box(x=(-1, 1), y=(0, 3)),
    "3d": Box(x=(0, 1), y=(-2, -1), z=(0.5, 2)),
    "5d": Box(x1=(0, 1), x2=(0, 2), x3=(-1, 1), x4=(0, 1), x5=(1, 2)),
    "1d-time": Box(x=(-1, 1)) * Time(t=(0, 2)),
    "2d-time": Time(t=(0, 0.5)) * Box(x=(-1, 1), y=(0, 3)),
    "5d-time": Box(x1=(0, 1), x2=(0, 2), x3=(-1, 1), x4=(0, 1), x5=(1, 2)) * Time(t=(0, 1)),
    "half-periodic": Box(x=(-1, 1), y=(0, 3), periodic="x"),
    "periodic-time": Box(x=(0, 2 * np.pi), periodic="x") * Time(t=(0, 1)),
    "time": Time(t=(1, 4)),
}
WITH_BOUNDARY = {name: domain for name, domain in DOMAINS.items() if not domain.boundary.empty}
EVERY = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)


def rng(seed=0):
    return np.random.default_rng(seed)


def regions(domain):
    found = [domain.interior]
    found += [] if domain.boundary.empty else [domain.boundary]
    found += [domain.face(**{axis: side}) for axis in domain.coordinates if axis not in domain.periodic
              for side in domain.bounds[axis]]
    return found + ([domain.initial, domain.final] if domain.time else [])


def failure(code, make):
    with pytest.raises(GeometryError) as caught:
        make()
    error = caught.value
    assert error.code == code, (error.code, str(error))
    assert error.what and error.why and error.fix
    return str(error)


# ---- what every domain answers -----------------------------------------------------------------------------------


@EVERY
def test_every_domain_answers_the_protocol(domain):
    wanted = [name for name in vars(Domain) if not name.startswith("_")]
    assert len(wanted) >= 12
    assert [name for name in wanted if not hasattr(type(domain), name) and name not in vars(domain)] == []
    assert domain.coordinates == domain.spatial + ((domain.time,) if domain.time else ())
    assert tuple(domain.bounds) == domain.coordinates
    assert all(isinstance(side, float) for bounds in domain.bounds.values() for side in bounds)
    assert domain.measure == pytest.approx(math.prod(b - a for a, b in domain.bounds.values()), rel=1e-14)
    assert domain.interior.measure == pytest.approx(domain.measure, rel=1e-14)
    assert domain.interior.measure_error == 0 and domain.interior.faces == ()


@EVERY
def test_the_boundary_is_the_sum_of_its_faces(domain):
    sides = [(axis, side, sign) for axis in domain.spatial if axis not in domain.periodic
             for side, sign in zip(domain.bounds[axis], (-1, 1), strict=True)]
    assert domain.boundary.faces == tuple(sides)
    faces = [domain.face(**{axis: side}) for axis, side, _ in sides]
    assert [face.faces for face in faces] == [(side,) for side in sides]
    assert domain.boundary.measure == pytest.approx(sum(face.measure for face in faces), rel=1e-14)
    for face, (axis, _, _) in zip(faces, sides, strict=True):
        a, b = domain.bounds[axis]
        assert face.measure * (b - a) == pytest.approx(domain.measure, rel=1e-14)


@EVERY
@pytest.mark.parametrize("draw", [uniform, latin_hypercube, sobol])
def test_points_lie_in_their_region_with_unit_outward_normals(domain, draw):
    for region in regions(domain):
        cloud = sample(region, 64, draw, rng())
        assert cloud.points.shape == (cloud.count, region.dim) and cloud.weights.shape == (cloud.count,)
        assert domain.contains(cloud.points).all()
        on_side = [cloud.points[:, domain.coordinates.index(axis)] == value for axis, value, _ in region.faces]
        assert not on_side or np.any(on_side, axis=0).all()
        spatial_face = any(axis in domain.spatial for axis, _, _ in region.faces)
        assert (cloud.normals is not None) == spatial_face
        if spatial_face:
            assert cloud.normals.shape == (cloud.count, len(domain.spatial))
            np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, rtol=1e-15)
            step = np.zeros_like(cloud.points)
            step[:, : len(domain.spatial)] = 1e-6 * cloud.normals
            assert not domain.contains(cloud.points + step).any()
            assert domain.contains(cloud.points - step).all()


def field(points, spatial, powers):
    """F_i = x_i^p_i (1 + sum_j x_j) over space, times (1 + t) if there is time, and its divergence."""
    x = points[:, :spatial]
    rest = np.prod(1 + points[:, spatial:], axis=1)
    total = 1 + x.sum(axis=1)
    flux = x**powers * (total * rest)[:, None]
    divergence = (powers * x ** (powers - 1) * total[:, None] + x**powers).sum(axis=1) * rest
    return flux, divergence


@pytest.mark.parametrize("domain", [DOMAINS[name] for name in WITH_BOUNDARY if name != "half-periodic"],
                         ids=[name for name in WITH_BOUNDARY if name != "half-periodic"])
def test_divergence_theorem(domain):
    spatial = len(domain.spatial)
    powers = 1 + np.arange(spatial) % 3
    inside = sample(domain.interior, 4096, sobol, rng(1))
    around = sample(domain.boundary, 4096, sobol, rng(2))
    volume = inside.quadrature @ field(inside.points, spatial, powers)[1]
    outflow = around.quadrature @ np.sum(field(around.points, spatial, powers)[0] * around.normals, axis=1)
    assert abs(outflow) > 1
    assert volume == pytest.approx(outflow, rel=3e-3)


def test_divergence_theorem_on_a_half_periodic_box():
    domain = DOMAINS["half-periodic"]
    inside = sample(domain.interior, 4096, sobol, rng(1))
    around = sample(domain.boundary, 4096, sobol, rng(2))
    # F = (sin(pi x), y^2 (2 + cos(pi x))) has the period of the box in x.
    x, y = inside.points.T
    volume = inside.quadrature @ (np.pi * np.cos(np.pi * x) + 2 * y * (2 + np.cos(np.pi * x)))
    x, y = around.points.T
    outflow = around.quadrature @ (np.stack([np.sin(np.pi * x), y**2 * (2 + np.cos(np.pi * x))], 1) * around.normals).sum(1)
    assert outflow == pytest.approx(36, rel=1e-3) and volume == pytest.approx(36, rel=1e-3)


def test_representation_reads_like_the_source():
    assert repr(DOMAINS["1d-time"]) == "Box(x=(-1, 1)) * Time(t=(0, 2))"
    assert repr(DOMAINS["half-periodic"]) == 'Box(x=(-1, 1), y=(0, 3), periodic="x")'
    assert repr(Box(x=(-0.0, 1e20), y=(0.1, 2), periodic=["y", "x"])) == 'Box(x=(0, 1e+20), y=(0.1, 2), periodic=("x", "y"))'
    assert repr(DOMAINS["1d-time"].face(x=1)) == "<Region x=1 in (x, t): measure 2>"
    for domain in DOMAINS.values():
        assert eval(repr(domain), {"Box": Box, "Time": Time}) == domain


@EVERY
def test_domains_and_regions_are_frozen_values(domain):
    assert pickle.loads(pickle.dumps(domain)) == domain and hash(domain) == hash(pickle.loads(pickle.dumps(domain)))
    assert domain.boundary == domain.boundary and domain.interior == domain.interior
    with pytest.raises(FrozenInstanceError):
        domain.coordinates = ()
    with pytest.raises(FrozenInstanceError):
        domain.interior.name = "other"


def test_names_of_regions():
    domain = DOMAINS["1d-time"]
    assert [region.name for region in (domain.interior, domain.boundary, domain.initial, domain.final)] == [
        "interior", "boundary", "t=0", "t=2"]
    assert domain.face(x=-1).name == "x=-1" and domain.face(t=0) == domain.initial
    assert Box(x=(-0.0, 1)).face(x=0).name == "x=0"
    assert Box(x=(0, np.pi)).face(x=np.pi).name == "x=3.14159"
    assert Box(x=(1, 1 + 1e-9)).face(x=1).name == "x=1.0"
    assert domain.initial.faces == (Side("t", 0.0, -1),)


def test_a_face_is_found_through_rounding_but_not_beyond():
    domain = Box(x=(0, 0.3), y=(1e6, 1e6 + 1))
    assert domain.face(x=0.1 * 3).faces == (("x", 0.3, 1),)
    assert domain.face(y=np.float32(1e6)).faces == (("y", 1e6, -1),)
    failure("face", lambda: domain.face(x=0.3 + 1e-9))
    # Nor is rounding forgiven where it is a visible part of a narrow axis.
    failure("face", lambda: Box(x=(1, 1 + 1e-9)).face(x=1 + 5e-13))


def test_small_boxes_in_numbers():
    rectangle = Box(x=(0, 2), y=(0, 3))
    assert (rectangle.measure, rectangle.boundary.measure, rectangle.face(x=0).measure) == (6, 10, 3)
    assert Box(x=(0, 5)).boundary.measure == 2
    assert (Box(x=(0, 5)) * Time(t=(0, 3))).boundary.measure == 6
    assert Time(t=(0, 3)).initial.measure == 1


def test_contains_is_closed_and_vectorised():
    domain = DOMAINS["1d-time"]
    points = [[-1, 0], [1, 2], [1.1, 1], [0, -0.1], [np.nan, 1]]
    assert domain.contains(points).tolist() == [True, True, False, False, False]
    assert Time(t=(1, 4)).contains(np.array([[1.0], [5.0]])).tolist() == [True, False]
    failure("points", lambda: domain.contains(np.zeros((3, 3))))
    failure("points", lambda: check_points(np.zeros(3), 1))


@EVERY
def test_grid(domain):
    points, shape = domain.grid(3000)
    assert len(points) == math.prod(shape) and len(shape) == len(domain.coordinates)
    assert 0.4 * 3000 < len(points) < 2.5 * 3000
    assert domain.contains(points).all()
    for axis, name in enumerate(domain.coordinates):
        column = points[:, axis].reshape(shape)
        assert (column.min(), column.max()) == domain.bounds[name]
        layers = np.moveaxis(column, axis, 0).reshape(shape[axis], -1)
        assert np.ptp(layers, axis=1).max() == 0 and np.all(np.diff(layers[:, 0]) > 0)
    assert domain.grid((3,) * len(shape))[1] == (3,) * len(shape)


def test_grid_refuses():
    failure("grid", lambda: DOMAINS["2d"].grid((3,)))
    failure("count", lambda: DOMAINS["2d"].grid(0))
    failure("count", lambda: DOMAINS["2d"].grid((3, 2.5)))
    failure("grid", lambda: Box(**{f"x{i}": (0, 1) for i in range(1, 101)}).grid(256))
    points, shape = tensor_grid({"x": (0.0, 1.0), "y": (0.0, 2.0)}, (2, 3))
    assert shape == (2, 3) and points.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


# ---- predicates --------------------------------------------------------------------------------------------------


PARTS = {
    "disk in a square": (Box(x=(-1, 1), y=(-1, 1)).interior, lambda x, y: x * x + y * y < 1, np.pi),
    "half a boundary": (Box(x=(0, 2), y=(0, 3)).boundary, lambda y: y > 1, 2 * 2 + 2),
    "disk over time": ((Box(x=(-1, 1), y=(-1, 1)) * Time(t=(0, 3))).interior, lambda x, y: x * x + y * y < 1, 3 * np.pi),
    "moving front": ((Box(x=(0, 1)) * Time(t=(0, 1))).interior, lambda x, t: x < t, 0.5),
    "a third": (Box(x=(0, 1)).interior, lambda x: x < 1 / 3, 1 / 3),
    "ball in 5-d": (Box(x1=(-1, 1), x2=(-1, 1), x3=(-1, 1), x4=(-1, 1), x5=(-1, 1)).interior,
                    lambda x1, x2, x3, x4, x5: x1**2 + x2**2 + x3**2 + x4**2 + x5**2 < 1, 8 * np.pi**2 / 15),
    "everything": (Box(x=(0, 2)).interior, lambda x, slack=0.5: x > -slack, 2.0),
}


@pytest.mark.parametrize(("region", "predicate", "measure"), PARTS.values(), ids=PARTS)
def test_predicate_regions(region, predicate, measure):
    part = region.where(predicate)
    assert abs(part.measure - measure) <= 4 * part.measure_error
    assert 0 < part.measure_error < 0.03 * measure
    assert part.measure == region.where(predicate).measure
    assert part.predicates == (predicate,)
    for n in (1, 7, 500):
        cloud = sample(part, n, sobol, rng(3))
        assert cloud.count == max(n, len(part.pieces)) and cloud.weights.sum() == pytest.approx(1)
        names = predicate.__code__.co_varnames[: predicate.__code__.co_argcount]
        asked = {name: cloud.points[:, region.coordinates.index(name)] for name in names if name in region.coordinates}
        assert predicate(**asked).all()


def test_a_predicate_on_faces_keeps_only_faces_with_points():
    part = Box(x=(0, 1), y=(0, 1)).boundary.where(lambda y: y == 1)
    assert part.faces == (("y", 1.0, 1),)
    assert part.sample(10, sobol, rng()).normals.tolist() == [[0.0, 1.0]] * 10


def test_predicates_on_single_points_are_exact():
    part = Box(x=(0, 1)).boundary.where(lambda x: x > 0.5)
    assert (part.measure, part.measure_error, part.faces) == (1.0, 0.0, (("x", 1.0, 1),))


def test_predicates_narrow_one_after_the_other():
    def left(x):
        return x < 0

    def low(y):
        return y < 0

    part = Box(x=(-1, 1), y=(-1, 1)).interior.where(left).where(low)
    assert abs(part.measure - 1) <= 4 * part.measure_error and part.predicates == (left, low)
    assert part.name == "interior where left where low"
    assert (part.sample(100, uniform, rng()).x < 0).all()


@dataclass(frozen=True)
class Half:
    """The right half of a box, by a predicate: a shape may bring filters of its own."""

    box: Box
    time = None

    coordinates = spatial = property(lambda self: self.box.coordinates)
    bounds = property(lambda self: self.box.bounds)
    periodic = property(lambda self: self.box.periodic)
    interior = property(lambda self: self.box.interior.where(positive))
    boundary = property(lambda self: self.box.boundary.where(positive))

    def contains(self, points):
        return self.box.contains(points) & (points[:, 0] > 0)


def positive(x):
    return x > 0


def test_a_narrowed_space_times_time_keeps_its_predicate():
    domain = Half(Box(x=(-1, 1), y=(0, 1))) * Time(t=(0, 3))
    for region, measure in ((domain.interior, 3), (domain.initial, 1), (domain.boundary, 9)):
        assert abs(region.measure - measure) <= 4 * region.measure_error
        assert domain.contains(region.sample(50, sobol, rng()).x).all()
        assert region.predicates == (positive,)
    late = domain.interior.where(lambda t: t > 2)
    assert abs(late.measure - 1) <= 4 * late.measure_error
    assert pickle.loads(pickle.dumps(domain)) == domain


def wrong_shape(x):
    return (x > 0)[:, None]


def divides(x):
    return 1 / 0 < x


@pytest.mark.parametrize(("predicate", "says"), [
    (lambda X: X > 0, "there are|coordinates here are x, y, t"),
    (lambda x, w: x > w, "coordinates here are x, y, t"),
    (lambda *x: x[0] > 0, "'*x'"),
    (lambda x: x > 0 and x < 1, "&"),
    (lambda x: 0 < x < 1, "&"),
    (lambda x: bool(x > 0), "&"),
    (lambda x: True, "shape ()"),
    (lambda x: np.any(x > 0), "shape ()"),
    (lambda x: x, "float64"),
    (lambda x: None, "object"),
    (wrong_shape, "(16384, 1)"),
    (divides, "ZeroDivisionError"),
    (0.5, "must be a function"),
    (np.isfinite, "argument"),
])
def test_bad_predicates_are_explained(predicate, says):
    domain = Box(x=(-1, 1), y=(0, 1)) * Time(t=(0, 1))
    message = failure("predicate", lambda: domain.interior.where(predicate))
    assert any(part in message for part in says.split("|")), message
    if hasattr(predicate, "__code__"):
        assert f"{__file__}:{predicate.__code__.co_firstlineno}" in message


def test_a_predicate_that_holds_nowhere():
    message = failure("empty-region", lambda: Box(x=(0, 1), y=(0, 1)).face(x=0).where(lambda y: y > 2))
    assert "x=0" in message and "0 <= y <= 1" in message and __file__ in message
    failure("empty-region", lambda: Box(x=(0, 1)).interior.where(lambda x: x == 0.5))


def test_a_predicate_that_changes_its_mind():
    calls = []
    part = Box(x=(0, 1)).interior.where(lambda x: calls.append(1) or (x > 0 if len(calls) == 1 else x < 0))
    failure("empty-region", lambda: part.sample(10, uniform, rng()))


def test_measure_errors_are_honest():
    """Over many disks the error of the estimated area, in units of its standard error, is of size one."""
    ratios = []
    for radius in np.linspace(0.2, 0.45, 60):
        part, error = estimate_fraction(lambda u, r=radius: np.hypot(u[:, 0] - 0.5, u[:, 1] - 0.5) < r, 2)
        ratios.append((part - np.pi * radius**2) / error)
    assert 0.3 < np.sqrt(np.mean(np.square(ratios))) < 2.0


# ---- joining -----------------------------------------------------------------------------------------------------


def test_faces_can_be_joined():
    domain = Box(x=(0, 1), y=(0, 2)) * Time(t=(0, 1))
    corner = domain.face(x=0) | domain.face(y=2)
    assert corner.faces == (("x", 0.0, -1), ("y", 2.0, 1)) and corner.measure == 3 and corner.name == "x=0 | y=2"
    assert (domain.boundary | domain.face(x=0)) == domain.boundary
    assert corner.sample(30, sobol, rng()).counts == {"x=0": 20, "y=2": 10}


def test_what_cannot_be_joined():
    domain = Box(x=(0, 1), y=(0, 2))
    failure("union", lambda: domain.interior | domain.boundary)
    failure("union", lambda: domain.boundary | Box(x=(0, 1)).boundary)
    failure("union", lambda: domain.face(x=0).where(lambda y: y > 1) | domain.face(x=0).where(lambda y: y < 1.5))
    with pytest.raises(TypeError):
        domain.interior | 3


# ---- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, np.inf), (np.nan, 1), ("0", "1"), "01", (0,), (0, 1, 2), 3, None,
                                    (0, 1j), (False, True), (0, 10**400), (-1.7e308, 1.7e308), ((0, 1), (0, 1))])
@pytest.mark.parametrize("make", [Box, Time])
def test_bad_bounds(make, bounds):
    assert "'x'" in failure("bounds", lambda: make(x=bounds))


def test_reversed_bounds_come_back_in_order():
    assert "fix: Box(x=(0, 1))" in failure("bounds", lambda: Box(x=(1, 0)))
    assert "fix: Time(t=(0, 1))" in failure("bounds", lambda: Time(t=(1, 0)))


def test_measures_that_leave_float64():
    failure("bounds", lambda: Box(x=(0, 1e200), y=(0, 1e200)))
    failure("bounds", lambda: Box(x=(0, 1e-200), y=(0, 1e-200)))
    failure("bounds", lambda: Box(x=(0, 1e200)) * Time(t=(0, 1e200)))


def test_numbers_of_all_kinds_become_floats():
    given = [(0, 1), [0, 1], np.array([0, 1]), (np.int64(0), np.float32(1))]
    assert all(Box(x=bounds) == Box(x=(0.0, 1.0)) for bounds in given)


def test_unnamed_and_missing_axes():
    for make in (lambda: Box(), lambda: Box((0, 1)), lambda: Time(), lambda: Time((0, 1)), lambda: Time(t=(0, 1), s=(0, 1)),
                 lambda: Time(t=(0, 1), periodic="t")):
        failure("bounds", make)


@pytest.mark.parametrize("name", ["T", "shape", "dtype", "ndim", "size", "astype", "numpy", "node", "space", "real", "imag",
                                  "copy", "mean", "lambda", "is", "match", "X", "x_1", "_x", "x y", "1x", "", "θ", "x'"])
@pytest.mark.parametrize("make", [Box, Time])
def test_names_that_cannot_be_coordinates(make, name):
    assert repr(name) in failure("axis-name", lambda: make(**{name: (0, 1)}))


@pytest.mark.parametrize("names", [("x", "xx"), ("x", "y", "xy"), ("a", "ab", "b"), ("x", "x1", "x1x"), ("a", "l"),
                                   ("s", "u", "m"), ("x", "nx")])
def test_names_that_are_ambiguous_together(names):
    failure("ambiguous-names", lambda: Box(**dict.fromkeys(names, (0, 1))))


@pytest.mark.parametrize("names", [("x",), ("x", "y", "z"), ("r", "theta"), ("x1", "x2", "x10"), ("x", "x1"), ("xi", "eta")])
def test_names_that_are_clear_together(names):
    assert (Box(**dict.fromkeys(names, (0, 1))) * Time(t=(0, 1))).spatial == names


@settings(max_examples=200, deadline=None)
@given(st.sets(st.text("ab1", min_size=1, max_size=3), min_size=1, max_size=4))
def test_ambiguity_agrees_with_brute_force(names):
    def texts(length):
        rows = [("", 0)]
        for text, depth in rows:
            if depth < length:
                rows += [(text + name, depth + 1) for name in names]
        return [text for text, depth in rows if depth]

    found = ambiguous_subscript(names)
    if found:
        ways = [1] + [0] * len(found)
        for end in range(1, len(found) + 1):
            ways[end] = sum(ways[end - len(name)] for name in names if found[:end].endswith(name) and end >= len(name))
        assert ways[-1] >= 2
    else:
        assert len(set(texts(4))) == len(texts(4))


def test_names_shared_by_space_and_time():
    assert "'t'" in failure("duplicate-names", lambda: Box(t=(0, 1)) * Time(t=(0, 1)))
    failure("ambiguous-names", lambda: Box(tt=(0, 1)) * Time(t=(0, 1)))


def test_products_that_are_none():
    domain = Box(x=(0, 1)) * Time(t=(0, 1))
    failure("product", lambda: domain * Time(s=(0, 1)))
    failure("product", lambda: Time(t=(0, 1)) * Time(s=(0, 1)))
    failure("product", lambda: Box(x=(0, 1)) * Box(y=(0, 1)))
    for make in (lambda: Box(x=(0, 1)) * 3, lambda: 3 * Time(t=(0, 1)), lambda: Time(t=(0, 1)) * "t"):
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("periodic", ["z", ("x", "z"), True, None, 3, (0,), "xy"])
def test_bad_periodic(periodic):
    assert "x, y" in failure("periodic", lambda: Box(x=(0, 1), y=(0, 1), periodic=periodic))


def test_single_points():
    plate = Box(x=(0, 2), y=(-1, 1))
    corner = plate.point(y=-1, x=0)
    points = corner.sample(100, sobol, np.random.default_rng(0))
    assert points.x.tolist() == [[0.0, -1.0]] and corner.measure == 1 and corner.name == "x=0, y=-1" and not corner.faces
    gauge = (plate * Time(t=(0, 3))).point(x=1.5, y=0)
    points = gauge.sample(8, sobol, np.random.default_rng(0)).x
    assert len(points) == 8 and np.all(points[:, :2] == [1.5, 0]) and len(set(points[:, 2])) == 8 and gauge.measure == 3
    assert Time(t=(0, 3)).point(t=0.5).sample(4, sobol, np.random.default_rng(0)).x.tolist() == [[0.5]]


def test_points_that_do_not_exist():
    plate = Box(x=(0, 2), y=(-1, 1))
    assert "one value for each of x, y" in failure("point", lambda: plate.point(x=0))
    assert "domain.point(x=0, y=-1)" in failure("point", lambda: plate.point(x=0, y=3))
    for bad in ({}, {"x": 0, "y": 0, "z": 0}, {"x": np.nan, "y": 0}, {"x": "0", "y": 0}, {"x": True, "y": 0}):
        failure("point", lambda bad=bad: plate.point(**bad))
    failure("point", lambda: (plate * Time(t=(0, 1))).point(x=0, y=0, t=0))
    failure("point", lambda: Time(t=(0, 1)).point(t=2))


def test_faces_that_do_not_exist():
    domain = Box(x=(-1, 1), y=(0, 1), periodic="y") * Time(t=(0, 1))
    assert "x = 0.5 is inside; the sides are x = -1 and x = 1" in failure("face", lambda: domain.face(x=0.5))
    assert "x = 7 is outside" in failure("face", lambda: domain.face(x=7))
    message = failure("face", lambda: domain.face(z=0))
    assert "the axes are x, y, t, the faces x = -1, x = 1, t = 0, t = 1" in message and "domain.face(x=-1)" in message
    assert "periodic" in failure("face", lambda: domain.face(y=0))
    assert "domain.face(x=1) | domain.face(t=0)" in failure("face", lambda: domain.face(x=1, t=0))
    for bad in ({}, {"x": "left"}, {"x": np.nan}, {"x": True}, {"x": None}, {"x": 10**400}, {"t": 0.5}):
        failure("face", lambda bad=bad: domain.face(**bad))
    failure("face", lambda: Time(t=(0, 1)).face(x=0))


def test_moments_without_time():
    for domain in (Box(x=(0, 1)), Box(x=(0, 1), y=(0, 1))):
        assert "Time(t=(0, 1))" in failure("no-time", lambda domain=domain: domain.initial)
        failure("no-time", lambda domain=domain: domain.final)


def test_regions_without_points():
    for domain, why in ((DOMAINS["periodic-time"], "periodic"), (Time(t=(0, 1)), "only time")):
        assert domain.boundary.empty and domain.boundary.measure == 0 and domain.boundary.faces == ()
        assert why in failure("empty-region", lambda domain=domain: domain.boundary.sample(10, sobol, rng()))
        failure("empty-region", lambda domain=domain: domain.boundary.where(lambda t: t > 0))


# ---- random boxes ------------------------------------------------------------------------------------------------

WIDTHS = st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(WIDTHS, min_size=1, max_size=4), st.one_of(st.none(), WIDTHS), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_random_boxes(sides, times, n, seed):
    domain = Box(**{name: bounds for name, bounds in zip("xyzw", sides, strict=False)})
    domain = domain if times is None else domain * Time(t=times)
    for region in (domain.interior, domain.boundary):
        cloud = sample(region, n, sobol, rng(seed))
        assert domain.contains(cloud.points).all()
        assert cloud.weights.sum() == pytest.approx(1, rel=1e-12) and cloud.weights.min() > 0
        assert cloud.quadrature.sum() == pytest.approx(region.measure, rel=1e-12)
    # The integral of the outward normal over a closed surface vanishes.
    total = cloud.quadrature @ cloud.normals
    np.testing.assert_allclose(total, 0, atol=1e-9 * region.measure)


@settings(max_examples=300, deadline=None)
@given(st.floats(-10, 10), st.floats(1e-9, 10))
def test_rounding_does_not_leave_the_box(a, width):
    domain = Box(x=(a, a + width))
    for u in (0.0, 0.5, np.nextafter(1.0, 0.0)):
        assert domain.contains(domain.interior.sample(1, lambda n, dim, rng, u=u: np.full((n, dim), u), rng()).x).all()


def test_the_largest_remainders_get_the_spare_points():
    assert share(10, np.array([2.6, 3.3, 4.1])).tolist() == [3, 3, 4]
    assert share(7, np.array([1.0, 1.0, 1.0])).tolist() == [3, 2, 2]
    assert share(2, np.array([1.0, 5.0, 1.0])).tolist() == [1, 1, 1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9), st.integers(1, 3000))
def test_shares_follow_measure(measures, n):
    measures = np.array(measures)
    counts = share(n, measures)
    assert counts.min() >= 1 and counts.sum() == max(n, len(measures))
    ideal = n * measures / measures.sum()
    if ideal.min() >= 1:
        assert np.abs(counts - ideal).max() < 1
    assert all(counts[i] <= counts[j] + 1 for i in range(len(counts)) for j in range(len(counts)) if measures[i] < measures[j])


# ---- a new room: shapes that this package does not know ----------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """The chart of a disk or of its circle: r = sqrt(u) and phi = 2 pi v spread points evenly."""

    radius: float
    cube: int
    dim: int = 2

    @property
    def measure(self):
        return np.pi * self.radius**2 if self.cube == 2 else 2 * np.pi * self.radius

    def points(self, unit):
        angle = 2 * np.pi * unit[:, -1]
        radius = self.radius * (np.sqrt(unit[:, 0]) if self.cube == 2 else 1.0)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def normals(self, points):
        return points / self.radius if self.cube == 1 else None


@dataclass(frozen=True)
class Plate:
    """A square with a round hole: filters and charts of two shapes together."""

    half: float = 1.0
    hole: float = 0.5
    coordinates = spatial = ("x", "y")
    time = None
    periodic = ()

    @property
    def bounds(self):
        return {"x": (-self.half, self.half), "y": (-self.half, self.half)}

    def outside(self, points):
        return np.hypot(*points.T) >= self.hole

    @property
    def interior(self):
        square = Box(**self.bounds).interior.pieces[0]
        return Region("interior", self.coordinates, (narrow(square, self.outside),))

    @property
    def boundary(self):
        circle = Inward(Round(self.hole, 1))
        return Region("boundary", self.coordinates, (*Box(**self.bounds).boundary.pieces, whole("hole", circle)))

    @property
    def measure(self):
        return 4 * self.half**2 - np.pi * self.hole**2

    def contains(self, points):
        return Box(**self.bounds).contains(points) & self.outside(points)


@dataclass(frozen=True)
class Inward:
    circle: Round
    cube: int = 1
    dim: int = 2

    @property
    def measure(self):
        return self.circle.measure

    def points(self, unit):
        return self.circle.points(unit)

    def normals(self, points):
        return -self.circle.normals(points)


@pytest.mark.parametrize("over_time", [False, True])
def test_a_new_shape_needs_no_change_elsewhere(over_time):
    domain = Plate() * Time(t=(0, 2)) if over_time else Plate()
    length = 2 if over_time else 1
    assert domain.measure == pytest.approx((4 - np.pi / 4) * length)
    inside, around = sample(domain.interior, 3000, sobol, rng(1)), sample(domain.boundary, 3000, sobol, rng(2))
    assert inside.count == around.count == 3000
    assert around.measure == pytest.approx((8 + np.pi) * length)
    assert domain.contains(inside.points).all()
    # div (x^3, x + y) = 3 x^2 + 1
    volume = inside.quadrature @ (3 * inside.points[:, 0] ** 2 + 1)
    x, y = around.points[:, 0], around.points[:, 1]
    outflow = around.quadrature @ (x**3 * around.normals[:, 0] + (x + y) * around.normals[:, 1])
    assert volume == pytest.approx(outflow, rel=5e-3)
    if over_time:
        assert sample(domain.initial, 100, sobol, rng()).points[:, 2].tolist() == [0.0] * 100
        assert abs(domain.initial.measure - domain.measure / 2) <= 4 * domain.initial.measure_error
        quarter = domain.boundary.where(lambda x, y: (x > 0) & (y > 0))
        assert abs(quarter.measure - domain.boundary.measure / 4) <= 4 * quarter.measure_error


def test_pieces_are_exact_until_filtered():
    piece = whole("disk", Round(2.0, 2))
    assert isinstance(piece, Piece) and piece.measure == 4 * np.pi and piece.measure_error == 0
    half = narrow(piece, lambda points: points[:, 0] > 0)
    assert abs(half.measure - 2 * np.pi) <= 4 * half.measure_error
