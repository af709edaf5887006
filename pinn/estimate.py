"""Residuals with their Laplacians estimated along random directions, and what half of the directions says against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import autodiff as ad
from pinn.errors import RecipeError
from pinn.hutchinson import Hutchinson
from pinn.jetspace import Residuals
from pinn.supply import Collapse, Supply, find_collapses, leaf_rule


def estimated(supply: Supply, residuals: Sequence[ad.Array], hutchinson: Hutchinson
              ) -> tuple[tuple[ad.Array, ...], Residuals, Residuals]:  # fmt: skip
    """The columns of the directions, m times the coordinates of space; the residuals; and half the difference of two halves.

    Columns are in the order of `Hutchinson.draw`.  Raises RecipeError where no residual has a sum of second derivatives that
    is needed only as a whole.
    """
    space, m = supply.space, hutchinson.directions
    columns = [{name: space.data(f"direction {k}: {name}") for name in space.spatial} for k in range(m)]
    sums = [one for one in find_collapses(residuals, space) if signed(one, space.spatial)]
    if not sums:
        raise RecipeError("there is no Laplacian to estimate", code="no-laplacian", fix="leave laplacian=Hutchinson(...) out",
                          why="no equation needs a sum of second derivatives u_xx + u_yy + ... only as a whole")
    leaves = [supply.space.jet(one.unknown, index).node for one in sums for index, _ in one.parts]
    halves = []
    for chosen in (columns[:m // 2], columns[m // 2:]):
        replacement = dict.fromkeys(leaves, ad.lift(0.0))
        for one in sums:  # residuals are linear in the sum, so it may stand in the place of its first part
            replacement[supply.space.jet(one.unknown, one.parts[0][0]).node] = along(supply, one, chosen)
        nodes = ad.substitute([residual.node for residual in residuals], replacement, ad.rebuild)
        halves.append(supply.program([ad.Array(node, space) for node in nodes], collapse=False))
    mean = tuple(0.5 * (one + two) for one, two in zip(*halves, strict=True))
    apart = tuple(0.5 * (one - two) for one, two in zip(*halves, strict=True))
    return tuple(column for by_axis in columns for column in by_axis.values()), mean, apart


def signed(one: Collapse, spatial: Sequence[str]) -> bool:
    """Whether the second derivatives of a sum are pure ones of space, all with factors of one sign."""
    second = [(index, ratio) for index, ratio in one.parts if len(index) == 2]
    pure = all(index[0] == index[1] and index[0] in spatial for index, _ in second)
    return len(second) > 1 and pure and not one.root and len({ratio > 0 for _, ratio in second}) == 1


def along(supply: Supply, one: Collapse, directions: Sequence[dict[str, ad.Array]]) -> ad.Node:
    """The mean over directions v of D_v D_v u, with the first derivatives of the sum as they are."""
    second = [(index[0], ratio) for index, ratio in one.parts if len(index) == 2]
    first = [(supply.directions[index[0]], ratio) for index, ratio in one.parts if len(index) == 1]
    sign = 1.0 if second[0][1] > 0 else -1.0
    paths = [path(supply, {name: abs(ratio) ** 0.5 * v[name] for name, ratio in second}) for v in directions]
    total = ad.Collapsed([(path, sign / len(paths)) for path in paths], first).of(supply.fields[one.unknown].node)
    return ad.lift(0.0) if total is None else total


def path(supply: Supply, direction: Mapping[str, ad.Array]) -> ad.Forward:
    """The derivative along a direction that is data of a point: of coordinates, and of what stands for functions of them."""
    rules = [(leaf_rule(supply.space, name), part) for name, part in direction.items()]

    def tangent(node: ad.Node) -> ad.Node | None:
        parts = [part * ad.Array(moved) for rule, part in rules if (moved := rule(node)) is not None]
        return sum(parts[1:], start=parts[0]).node if parts else None

    return ad.Forward(tangent)
