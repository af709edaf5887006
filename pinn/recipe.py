"""How a problem is solved: network, points, stages of optimizers, weights; every part optional, one default for all."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pinn.adaptive import Adaptive
from pinn.emphasis import Attention, Causal
from pinn.errors import RecipeError
from pinn.geometry import Draw, Region
from pinn.hutchinson import Hutchinson
from pinn.networks import MLP, RandomFeatures
from pinn.optimizers import Adam, Cosine, LevenbergMarquardt, Optimizer, SSBroyden
from pinn.problem import Problem
from pinn.sampling import sobol
from pinn.weighting import Balance

Points = int | Mapping[str, int]
DTYPES = ("float64", "float32", "mixed")
IMPOSE = ("exact", "penalty")

Weights = float | Mapping[str, float] | Balance


@dataclass(frozen=True)
class Stage:
    """One optimizer, for `iterations` steps or `seconds` or a `share` of the time that is left, or until it stops by itself.

    `dtype` is that of its evaluations, as in `Recipe`, which is asked where none is said: `Stage(Adam(), dtype="float32")`.
    Raises RecipeError for what is no optimizer and for limits that are not positive.
    """

    optimizer: Optimizer
    iterations: int | None = None
    seconds: float | None = None
    share: float | None = None
    name: str = ""
    dtype: str | None = None

    def __post_init__(self) -> None:
        if not offers(self.optimizer, ("init", "step", "carry")):
            raise RecipeError(f"{self.optimizer!r} is no optimizer", why="a stage of a recipe is an optimizer or a Stage",
                              fix="stages=[Adam(learning_rate=1e-3), SSBroyden()]")
        if self.iterations is not None:
            whole(self.iterations, "the iterations of a stage", "Stage(Adam(), iterations=1000)")
        for name, value in (("seconds", self.seconds), ("share", self.share)):
            if value is not None:
                positive(value, f"the {name} of a stage", f"Stage(Adam(), {name}={30 if name == 'seconds' else 0.2})")
        if self.dtype is not None:
            check_dtype(self.dtype)
        if not self.name:
            member = getattr(self.optimizer, "member", None)
            title = type(self.optimizer).__name__ if member is None else member.__name__.replace("_", " ")
            object.__setattr__(self, "name", title)


@dataclass(frozen=True)
class Polish:
    """First, now and then, and at the end, correct the best fields by random features, found by linear least squares.

    At most `features` of all unknowns together; `fastest` is the frequency that the search begins from (see `pinn.polish`).
    Raises RecipeError for numbers that cannot be.
    """

    features: int = 2400
    fastest: float = 12.0

    def __post_init__(self) -> None:
        RandomFeatures(self.features, self.fastest)


@dataclass(frozen=True)
class Recipe:
    """How to solve; what is None is chosen by `complete` for the problem at hand.

    network     any network, or None for an MLP of the default size
    points      number of points of the interior, or numbers by the name of a condition, an equation or a region
    stages      optimizers or Stages, one after the other, each from the best parameters of the one before
    ways        recipes that take turns, each with a network of its own, until one is far ahead (see `pinn.portfolio`); the
                solution is that with the lowest residual on fresh points.  What a way leaves open is as said here
    impose      "exact" builds conditions into the fields where it can (see `pinn.imposition`), "penalty" trains all of them
    weighting   a Balance, or the weight of every condition against the equations, or weights by name; losses are mean squares
    dtype       float64, float32, or mixed: each stage in float32 until rounding shows in the gradient, then in float64
    emphasis    a Causal or an Attention: how hard single points pull (see `pinn.emphasis`); None for all alike
    resample    iterations between fresh points, an Adaptive, or False for the same points throughout
    seconds     the time of training; compiling is not counted
    tolerance   stop when the loss is this share of the loss at the start
    laplacian   a Hutchinson, which estimates sums of second derivatives along random directions; None for the exact ones
    march       slabs of time that are solved one after another, a number of equal ones or the moments between them: for
                long, stiff or fast evolution; each begins from where the one before came to, and has a network of its own
    polish      a Polish, which corrects the best fields by random features; False for none
    sampling    one of the functions of `pinn.sampling`

    Raises RecipeError.
    """

    network: Any = None
    points: Points | None = None
    stages: tuple[Any, ...] | None = None
    impose: str | None = None
    weighting: Weights | None = None
    emphasis: Causal | Attention | None = None
    resample: Adaptive | int | None = None
    dtype: str = "float64"
    seconds: float | None = None
    tolerance: float | None = None
    sampling: Draw = sobol
    laplacian: Hutchinson | None = None
    march: int | tuple[float, ...] | None = None
    polish: Polish | bool | None = None
    ways: tuple[Recipe, ...] | None = None

    def __post_init__(self) -> None:
        asked = ("layout", "initial", "apply")
        if self.network is not None and not offers(self.network, asked):
            raise RecipeError(f"{self.network!r} is no network", why=f"a network has the methods {', '.join(asked)}",
                              fix="network=MLP(width=32, depth=3)")
        if self.points is not None:
            for name, count in entries(self.points):
                whole(count, f"the number of points{name}", "Recipe(points=4096)")
        if self.weighting is not None and not isinstance(self.weighting, Balance):
            for name, weight in entries(self.weighting):
                positive(weight, f"the weight{name}", "Recipe(weighting=100.0)")
        if self.emphasis is not None and not isinstance(self.emphasis, (Causal, Attention)):
            raise RecipeError(f"emphasis={self.emphasis!r} is no way of weighing points",
                              why="it is a Causal, an Attention, or None", fix="emphasis=Causal(slabs=32)")
        if self.stages is not None:
            object.__setattr__(self, "stages", read_stages(self.stages))
        if self.polish not in (None, False) and not isinstance(self.polish, Polish):
            raise RecipeError(f"polish={self.polish!r} is no way of polishing", why="it is a Polish, or False",
                              fix="polish=Polish(features=800)")
        if self.march is not None:
            object.__setattr__(self, "march", read_march(self.march))
        if self.ways is not None:
            object.__setattr__(self, "ways", read_ways(self.ways, self.stages))
        if self.impose not in (None, *IMPOSE):
            raise RecipeError(f"impose={self.impose!r} is not offered", fix='impose="exact"',
                              why=f"the ways of imposing conditions are: {', '.join(map(repr, IMPOSE))}")
        if self.resample is not None and not isinstance(self.resample, Adaptive):
            if self.resample is False or self.resample == 0:
                object.__setattr__(self, "resample", 0)
            else:
                whole(self.resample, "the number of iterations between fresh points", "Recipe(resample=500)")
                object.__setattr__(self, "resample", Adaptive(every=int(self.resample)))
        check_dtype(self.dtype)
        if self.seconds is not None:
            positive(self.seconds, "the time", "Recipe(seconds=60)")
        if self.tolerance is not None and not (isinstance(self.tolerance, numbers.Real) and 0 <= self.tolerance < 1):
            raise RecipeError(f"tolerance={self.tolerance!r}", why="it is a share of the first loss", fix="tolerance=1e-14")
        if self.laplacian is not None and not isinstance(self.laplacian, Hutchinson):
            raise RecipeError(f"laplacian={self.laplacian!r} is no way of estimating", why="it is a Hutchinson, or None",
                              fix="laplacian=Hutchinson(directions=16)")
        if not callable(self.sampling):
            raise RecipeError(f"sampling={self.sampling!r} is no way of drawing points", fix="sampling=pinn.sampling.sobol")

    def dtypes(self, stage: Stage) -> tuple[str, ...]:
        """The types that a stage computes in, one after the other; optimizers keep theta and their memory in float64."""
        said = stage.dtype or self.dtype
        return ("float32", "float64") if said == "mixed" else (said,)

    @property
    def each(self) -> tuple[Recipe, ...]:
        """The recipes that are tried: its ways, or itself."""
        return self.ways or (self,)

    @property
    def adaptive(self) -> Adaptive | None:
        """How fresh points are drawn, or None for the same points throughout."""
        return self.resample if isinstance(self.resample, Adaptive) else None


def default(problem: Problem, network: Any = None) -> Recipe:
    """The recipe that solves ordinary problems with nothing set: two ways that take turns (compared by benchmarks/study.py).

    Self-scaled Broyden with fresh points where the residual is large is quick, and finds layers and fronts; it begins on an
    eighth of the points.  Levenberg-
    Marquardt on fixed points, from random weights, takes longer to begin, and brings smooth solutions down to rounding: its
    network is one of sines, slow ones with random phases, and it gets twice as many residuals as there are weights.  The cost
    of both grows with the square of the weights and more, which keeps networks small, that of the second above all; a `network`
    with too many weights is left to the first.
    """
    inputs = len(problem.domain.coordinates) + len(problem.domain.periodic)
    waves = network or MLP((20, 20) if inputs == 1 else (20, 20, 20), activation="sin", frequency=SLOW)
    network = network or MLP((20, 20) if inputs == 1 else (30, 30, 30) if inputs <= FEW else (20, 20, 20))
    weights = waves.layout(inputs, len(problem.unknowns)).size
    equations = sum(len(term.residuals) for term in problem.terms if term.kind == "equation")
    quick = Recipe(stages=(Stage(Adam(Cosine(5e-3, 500, 5e-4)), iterations=500), Stage(SSBroyden(), name="SSBroyden")),
                   resample=Adaptive(fewer=8))
    exact = Recipe(network=waves, stages=(LevenbergMarquardt(tolerance_loss=1e-3),), resample=False,
                   points=power_of_two(2 * weights / max(equations, 1)))
    return Recipe(
        network=network,
        points={},
        impose="exact",
        weighting=Balance(),
        resample=Adaptive(),
        seconds=60.0,
        tolerance=0.0,
        ways=(quick, exact) if weights <= DENSE and inputs <= FEW else (quick,),
        polish=Polish() if inputs <= FEW else False,
    )


def power_of_two(least: float) -> int:
    """The first power of two that is not below `least`, since low-discrepancy points are even in such numbers."""
    return 1 << max(0, math.ceil(math.log2(max(least, 1.0))))


def complete(recipe: Recipe | None, problem: Problem) -> Recipe:
    """`recipe` with every part that was left open taken from the default of this problem, and its ways from it in turn."""
    if recipe is not None and not isinstance(recipe, Recipe):
        raise RecipeError(f"the recipe is a {type(recipe).__name__}", why="how to solve is said by a Recipe",
                          fix="Recipe(network=MLP((32, 32, 32)), points=4096)")
    tried = () if recipe is None else (recipe, *(recipe.ways or ()))
    if problem.domain.time is None and any(isinstance(one.emphasis, Causal) for one in tried):
        raise RecipeError("the recipe weighs moments of time, but the problem has none", why="nothing in it evolves",
                          fix="emphasis=Attention(), or a domain with Time(t=(0, 1))")
    said = {name: value for name, value in vars(recipe or Recipe()).items() if value is not None}
    standard = default(problem, said.get("network"))
    if "stages" in said or "ways" in said:
        # who says the stages wants these stages
        recipe = replace(standard, **{"ways": None, "polish": False, **said})
    else:
        # what is said counts for every way, whatever the default says of it
        of_ways = {name: said[name] for name in said if name in WAY}
        ways = standard.ways or ()
        if said.get("laplacian") is not None or said["dtype"] == "float32":
            ways = ways[:1]  # estimates and coarse numbers are no way to the last digits
            said.setdefault("polish", False)
        recipe = replace(standard, **said, ways=tuple(replace(way, **of_ways) for way in ways))
    return replace(recipe, ways=tuple(filled(way, recipe) for way in recipe.ways)) if recipe.ways else recipe


WAY = ("points", "resample")
SLOW = 2.4    # frequency of the sines of the first layer: of 1 to 6 that which served smooth and oscillating solutions alike
DENSE = 2500  # weights, above which a factorisation of the Jacobian takes seconds
FEW = 6       # coordinates, above which fixed points leave too much room between them


def filled(way: Recipe, whole: Recipe) -> Recipe:
    """A way with every part that it leaves open as in the whole recipe."""
    left_open = {name: value for name, value in vars(whole).items() if getattr(way, name) is None and name != "ways"}
    return replace(way, **left_open, dtype=whole.dtype, sampling=whole.sampling)


def read_march(march: Any) -> int | tuple[float, ...] | None:
    """A number of slabs, or the moments between them; None for a single slab.  Raises RecipeError."""
    fix = "march=4 for four equal slabs, or the moments between them: march=(0.1, 0.3)"
    if isinstance(march, (tuple, list, np.ndarray)):
        moments = tuple(float(t) if isinstance(t, numbers.Real) else math.nan for t in march)
        if not moments or not all(a < b for a, b in itertools.pairwise(moments)) or not all(map(math.isfinite, moments)):
            raise RecipeError(f"march={march!r}", why="moments are finite numbers that rise", fix=fix)
        return moments
    whole(march, "the number of slabs", fix)
    return int(march) if march > 1 else None


def read_ways(ways: Any, stages: Any) -> tuple[Recipe, ...]:
    """Recipes with stages, as a tuple.  Raises RecipeError."""
    listed = tuple(ways) if isinstance(ways, (tuple, list)) else (ways,)
    fix = "ways=[Recipe(stages=[Adam(), SSBroyden()]), Recipe(stages=[LevenbergMarquardt()], resample=False)]"
    if not listed or not all(isinstance(way, Recipe) and way.stages is not None and way.ways is None for way in listed):
        raise RecipeError("the ways of a recipe are no recipes with stages", why="each of them says how to solve", fix=fix)
    if stages is not None:
        raise RecipeError("a recipe with stages and with ways", why="every way has stages of its own", fix=fix)
    return listed


INTERIOR = (1, 512, 8192, 8192, 16384)  # points by the number of coordinates: layers and fronts in the plane want many


def share_points(points: Points | None, region: Region, names: tuple[str, ...], is_interior: bool) -> int:
    """How many points a region with these terms gets: said by name, or by its dimension.

    The interior gets 512, 8192, 8192, 16384 points in 1, 2, 3, more coordinates; conditions 512, 2048, 4096 in 1, 2, more.
    """
    said = dict(points) if isinstance(points, Mapping) else {} if points is None else {"interior": points}
    kinds = (*names, region.name, *(("interior",) if is_interior else ("conditions",)))
    for name in kinds:
        if name in said:
            return int(said[name])
    dim = dimension(region)
    counts = INTERIOR if is_interior else (1, 512, 2048, 4096, 4096)
    count = counts[min(dim, len(counts) - 1)]
    # a number for the interior alone moves the rest with it, as the measure of a boundary moves with the square root
    if not is_interior and "interior" in said and dim:
        standard = INTERIOR[min(dim + 1, 4)]
        count = max(16, round(count * (said["interior"] / standard) ** (dim / (dim + 1))))
    return count


def dimension(region: Region) -> int:
    """The dimension of a region itself: 0 for single points."""
    return max((piece.chart.cube for piece in region.pieces), default=0)


def offers(thing: Any, methods: Iterable[str]) -> bool:
    """Whether a thing, not the class of it, has these methods."""
    return not isinstance(thing, type) and all(callable(getattr(thing, method, None)) for method in methods)


def entries(value: Any) -> list[tuple[str, Any]]:
    """The numbers of a number or of a mapping, each with ` of 'name'` for messages."""
    return [(f" of {name!r}", one) for name, one in value.items()] if isinstance(value, Mapping) else [("", value)]


def read_stages(stages: Any) -> tuple[Stage, ...]:
    """Optimizers and Stages as a tuple of Stages."""
    listed = tuple(stages) if isinstance(stages, (tuple, list)) else (stages,)
    if not listed:
        raise RecipeError("the recipe has no stages", why="nothing would be trained", fix="stages=[Adam(), SSBroyden()]")
    return tuple(stage if isinstance(stage, Stage) else Stage(stage) for stage in listed)


def check_dtype(said: Any) -> None:
    """RecipeError unless `said` is one of DTYPES."""
    if said not in DTYPES:
        raise RecipeError(f"dtype={said!r} is not offered", fix='dtype="float64"',
                          why="kernels compute in float64 or float32, or 'mixed': in float32 first and in float64 at the end")


def whole(value: Any, what: str, fix: str) -> None:
    """RecipeError unless `value` is a positive integer."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise RecipeError(f"{what} is {value!r}", why="it must be a whole number", fix=fix)
    if value < 1:
        raise RecipeError(f"{what} is {value}", why="it must be positive", fix=fix)


def positive(value: Any, what: str, fix: str) -> None:
    """RecipeError unless `value` is a positive finite number."""
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if not (number and math.isfinite(value) and value > 0):
        raise RecipeError(f"{what} is {value!r}", why="it must be a positive number", fix=fix)

