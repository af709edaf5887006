"""One file per solution, `.npz`: parameters, network, history, and the text of the problem, to be loaded anywhere."""

from __future__ import annotations

import json
import os
import platform
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy

from pinn.errors import FileError, RecipeError
from pinn.geometry import Ball, Box, Domain, Time
from pinn.history import History
from pinn.imposition import Imposition, describe_imposition, impose_by, restore_imposition
from pinn.march import marched
from pinn.networks import (
    ACTIVATIONS,
    MLP,
    FourierFeatures,
    GatedMLP,
    PirateNet,
    RandomFeatures,
    RandomFourierFeatures,
    Separable,
    Sum,
)
from pinn.problem import Problem
from pinn.recipe import Recipe
from pinn.solution import Solution
from pinn.source import Origin, make_problem, run_text
from pinn.supply import Supply
from pinn.verdict import Verdict
from pinn.version import __version__

FORMAT = "jetspace solution"
REVISION = 1
KINDS = (MLP, GatedMLP, FourierFeatures, PirateNet, RandomFeatures, RandomFourierFeatures, Separable, Sum)
NETWORKS: dict[str, Any] = {kind.__name__: kind for kind in KINDS}
MEASURED = ("seed", "threads", "stop_reason", "errors", "residual_rms", "loss", "seconds", "seconds_compile", "steps", "points")


def versions() -> dict[str, str]:
    """The versions that a result was made with."""
    return {"jetspace": __version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
            "numba": numba.__version__}


def save_solution(solution: Solution, path: Path) -> Path:
    """Write a solution, whole or not at all; no pickle is in it.  Raises FileError where it cannot be written."""
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    origin = Origin.of(solution.problem) if solution.origin is None else solution.origin
    about = {
        "format": FORMAT, "revision": REVISION, "versions": versions(),
        "problem": origin.name, "text": origin.text, "parameters": plain(origin.parameters),
        "coordinates": list(solution.problem.domain.coordinates), "unknowns": list(solution.problem.unknowns),
        "domain": describe_domain(solution.problem.domain),
        "network": describe_network(solution.recipe.network), "dtype": solution.recipe.dtype,
        "impose": solution.recipe.impose, "march": plain(solution.recipe.march),
        "slabs": [describe_network(network) for network in solution.supply.slabs],
        "reaches": list(solution.supply.reaches),
        "imposition": describe_imposition(solution.supply.imposition),
        "layout": [[slot.name, slot.offset, list(slot.shape)] for slot in solution.supply.layout],
        "verdict": None if solution.verdict is None else plain(asdict(solution.verdict)),
    } | {name: plain(getattr(solution, name)) for name in MEASURED}
    history = solution.history
    arrays = {"theta": solution.weights, "iteration": history.iteration, "history_seconds": history.seconds,
              "history_loss": history.loss, "stage": np.array(history.stage, dtype=str)}
    arrays |= {f"term:{name}": values for name, values in history.terms.items()}
    arrays |= {f"error:{name}": values for name, values in history.errors.items()}
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FileError(f"the solution cannot be written to {path}", why=error.strerror or str(error),
                        fix="give a folder that exists and that you may write to") from error
    return path


def load_solution(path: str | Path, problem: Problem | None = None, network: Any = None) -> Solution:
    """The solution in a file that `save_solution` wrote; its problem is made again by running the saved text.

    Where no file stated the problem there is no text, and fields and derivatives are all that is restored, on the same domain.
    `problem` and `network` stand in for what could not be saved.  Raises FileError for a file that is missing, damaged or
    of another kind.  Running the text is running Python code: load files of people you trust.
    """
    path = Path(path)
    about, arrays = read_file(path)
    try:
        origin = Origin(about["problem"], about["text"], about["parameters"], f"<problem in {path.name}>")
        if problem is None and not origin.text and about.get("domain"):
            problem = Problem.outline(tuple(about["unknowns"]), restore_domain(about["domain"]), origin.name, origin.parameters)
        if problem is None:
            problem = restore_problem(origin, path)
        if network is None:
            network = restore_network(about["network"], path)
        supply, march = supply_of(about, arrays, problem, network, path), about.get("march")
        theta = np.array(arrays["theta"], np.float64)
        expected = [[slot.name, slot.offset, list(slot.shape)] for slot in supply.layout]
        if expected != about["layout"] or theta.shape != (supply.layout.size,):
            raise FileError(f"{path} does not fit its problem", why=f"it holds {theta.size} parameters, the network needs "
                            f"{supply.layout.size}", fix="load(path, network=...) with the network it was trained with")
        history = History(
            arrays["iteration"].astype(np.int64), [str(name) for name in arrays["stage"]], arrays["history_seconds"],
            arrays["history_loss"], {name[5:]: values for name, values in arrays.items() if name.startswith("term:")},
            {name[6:]: values for name, values in arrays.items() if name.startswith("error:")})
        recipe = Recipe(network=network, dtype=about["dtype"], impose=about.get("impose", "penalty"),
                        march=None if march is None else tuple(march))
        return Solution(problem=problem, recipe=recipe, supply=supply, weights=theta,
                        history=history, origin=origin, verdict=restore_verdict(about.get("verdict")),
                        **{name: about[name] for name in MEASURED})
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is not a complete solution", why=f"{type(error).__name__}: {error}", code="damaged",
                        fix="solve the problem again") from error


def restore_verdict(said: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict of a description."""
    return None if said is None else Verdict(**{**said, "because": tuple(said["because"])})


def supply_of(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], problem: Problem, network: Any, path: Path) -> Supply:
    """The fields of a file as graphs of its weights.  Raises FileError."""
    if about.get("march") is None:
        return Supply(problem, network, imposition_of(about, problem, path))
    if not problem.conditions:
        raise FileError(f"{path} does not hold its problem", code="no-problem",
                        why="it was solved slab by slab, and no file was found that states its conditions again",
                        fix="load(path, problem=...) with the same problem")
    try:
        networks = [network if said is None else restore_network(said, path) for said in about["slabs"]]
        return marched(problem, networks, about["impose"], about["march"], np.array(arrays["theta"], np.float64),
                       about.get("reaches"))
    except ValueError as error:
        raise FileError(f"{path} does not fit its problem", why=f"its march has {error}",
                        fix="load(path, network=...) with the network it was trained with") from error


def imposition_of(about: Mapping[str, Any], problem: Problem, path: Path) -> Imposition:
    """The form of the fields: as it was written, or from the conditions of the problem.  Raises FileError."""
    if about.get("imposition") is not None:
        return restore_imposition(about["imposition"], problem)
    if about.get("impose") == "exact" and not problem.conditions:
        raise FileError(f"{path} does not hold its problem", code="no-problem",
                        why="its conditions are built into the fields, and no file was found that states them again",
                        fix="load(path, problem=...) with the same problem")
    return impose_by(about.get("impose"), problem)


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a solution file says about itself, and its arrays.  Raises FileError."""
    try:
        with path.open("rb") as raw:  # opened here, because numpy leaves what it cannot read open
            file = np.load(raw, allow_pickle=False)
            arrays = {name: file[name] for name in file.files} if isinstance(file, np.lib.npyio.NpzFile) else {}
            about = json.loads(str(arrays.pop("about")[()]))
    except FileNotFoundError as error:
        raise FileError(f"there is no file {path}", fix="give the solution.npz of a run") from error
    except KeyError as error:
        raise FileError(f"{path} is not a solution of jetspace", why="it is an .npz file of something else", code="foreign",
                        fix="give the solution.npz of a run") from error
    except OSError as error:
        if error.strerror is None:  # numpy could not make sense of the first bytes
            raise _damaged(path, error) from error
        raise FileError(f"{path} cannot be read", why=error.strerror) from error
    except (ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, zlib.error) as error:
        raise _damaged(path, error) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise FileError(f"{path} is not a solution of jetspace", why="it does not say so", code="foreign",
                        fix="give the solution.npz of a run")
    if about.get("revision") != REVISION:
        raise FileError(f"{path} was written by another version of jetspace", code="foreign",
                        why=f"its format has revision {about.get('revision')}, this version reads {REVISION}",
                        fix=f"use jetspace {about.get('versions', {}).get('jetspace', 'of that time')}")
    return about, arrays


def restore_problem(origin: Origin, path: Path) -> Problem:
    """The problem that the saved text states.  Raises FileError where there is no text or it no longer runs."""
    if not origin.text:
        raise FileError(f"{path} does not hold its problem", why="no file was found that makes it again",
                        fix="load(path, problem=...) with the same problem", code="no-problem")
    try:
        problem = make_problem(run_text(origin.text, origin.file), origin.parameters, origin.file)
    except Exception as error:
        what = str(error).splitlines()[0] if str(error) else ""
        raise FileError(f"the problem in {path} can no longer be made", why=f"{type(error).__name__}: {what}",
                        fix="load(path, problem=...) with the same problem", code="no-problem") from error
    return replace(problem, name=origin.name)


def describe_domain(domain: Domain) -> dict[str, Any] | None:
    """A box or a ball, a time or both as plain words and numbers; None for what is neither."""
    shape = getattr(domain, "space", domain)
    if not isinstance(shape, Ball | Box | Time):
        return None
    ball = {"ball": [shape.radius, dict(shape.center)]} if isinstance(shape, Ball) else {}
    return ball | {
        "axes": [[name, *map(float, domain.bounds[name])] for name in domain.spatial], "periodic": list(domain.periodic),
        "time": [domain.time, *map(float, domain.bounds[domain.time])] if domain.time is not None else None}


def restore_domain(said: Mapping[str, Any]) -> Domain:
    """The domain of a description."""
    parts: list[Any] = [Time(**{name: (a, b)}) for name, a, b in ([said["time"]] if said["time"] else [])]
    if "ball" in said:
        parts.append(Ball(said["ball"][0], **said["ball"][1]))
    elif said["axes"]:
        parts.append(Box(**{name: (a, b) for name, a, b in said["axes"]}, periodic=said["periodic"]))
    return parts[0] if len(parts) == 1 else parts[1] * parts[0]


def describe_network(network: Any) -> dict[str, Any] | None:
    """A network as plain words and numbers; None for one that cannot be said so."""
    if type(network).__name__ not in NETWORKS or type(network) is not NETWORKS[type(network).__name__]:
        return None
    said: dict[str, Any] = {"kind": type(network).__name__}
    for one in fields(network):
        value = getattr(network, one.name)
        if one.name == "activation":
            value = next((name for name, function in ACTIVATIONS.items() if function is value), None)
        elif one.name == "network":
            value = describe_network(value)
        elif one.name == "networks":
            value = [describe_network(network) for network in value]
            value = None if None in value else value
        if value is None:
            return None
        said[one.name] = list(value) if isinstance(value, tuple) else value
    return said


def restore_network(said: Mapping[str, Any] | None, path: Path) -> Any:
    """The network of a description.  Raises FileError for one that is unknown."""
    if said is None:
        raise FileError(f"{path} does not hold its network", why="its activation or its kind is not one of the library's",
                        fix="load(path, network=...) with the network it was trained with", code="no-network")
    if said.get("kind") not in NETWORKS:
        raise FileError(f"{path} has a network of the unknown kind {said.get('kind')!r}", code="no-network",
                        why=f"the kinds are {', '.join(NETWORKS)}", fix="load(path, network=...)")
    parts = {name: value for name, value in said.items() if name != "kind"}
    if "networks" in parts:
        parts["networks"] = tuple(restore_network(one, path) for one in parts["networks"])
    if "network" in parts:
        parts["network"] = restore_network(parts["network"], path)
    try:
        return NETWORKS[said["kind"]](**parts)
    except RecipeError as error:
        raise FileError(f"{path} has an impossible network", why=error.what, code="damaged") from error


def plain(value: Any) -> Any:
    """A value as JSON knows it: numbers, words, lists and mappings; anything else by its `repr`."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} is not a solution file, or a damaged one", why=str(error) or type(error).__name__, code="damaged",
                     fix="give the solution.npz of a run")
