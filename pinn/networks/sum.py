"""The sum of networks: a solution that was found in stages, each of which corrects the ones before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pinn.errors import RecipeError
from pinn.networks.layout import Layout, Network, Weights
from pinn.networks.mlp import MLP

TRACE = MLP((16, 16))  # for the value at an end where only a slope is given: one coordinate less, and as smooth as the data


@dataclass(frozen=True)
class Sum:
    """`Sum((first, second))`: the outputs of networks added up (multi-stage networks: Wang & Lai 2024, J. Comput. Phys. 504).

    Each is multiplied by its number of `scales` first, 1 where there are none.  Raises RecipeError for what are no networks,
    and for scales that are not positive or not as many.
    """

    networks: tuple[Network, ...]
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", tuple(self.networks))
        object.__setattr__(self, "scales", tuple(map(float, self.scales)) or (1.0,) * len(self.networks))
        if not self.networks or not all(callable(getattr(one, "apply", None)) for one in self.networks):
            raise RecipeError(f"a sum of {self.networks!r}", why="it adds up networks", code="networks",
                              fix="Sum((MLP((20, 20, 20)), RandomFeatures(800)))")
        if len(self.scales) != len(self.networks) or not all(0.0 < scale < np.inf for scale in self.scales):
            raise RecipeError(f"scales {self.scales} for {len(self.networks)} networks", code="networks",
                              why="every network has a positive one", fix="Sum((first, second), scales=(1.0, 1e-3))")

    @property
    def per_field(self) -> bool:
        return bool(getattr(self.networks[0], "per_field", False))

    def layout(self, inputs: int, outputs: int) -> Layout:
        """The weights of all, one network after the other."""
        return Layout.of({f"{k}: {name}": shape for k, network in enumerate(self.networks)
                          for name, shape in network.layout(inputs, outputs).shapes().items()})

    def initial(self, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """The first guess of each."""
        parts = []
        for k, network in enumerate(self.networks):
            own = {slot.name.split(f"{k}: ", 1)[1]: slot.shape for slot in layout if f"{k}: " in slot.name}
            parts.append(network.initial(Layout.of(own), rng))
        return np.concatenate(parts)

    def apply(self, weights: Weights, inputs: Any) -> Any:
        """The outputs `(m,)` for inputs `(k,)`."""
        total = None
        for k, (network, scale) in enumerate(zip(self.networks, self.scales, strict=True)):
            mark = f"{k}: "
            own = {name[len(mark):]: value for name, value in weights.items() if name.startswith(mark)}
            part = network.apply(own, inputs)
            part = part if scale == 1.0 else scale * part
            total = part if total is None else total + part
        return total

    def trace(self, kept: tuple[int, ...]) -> Sum:
        """A trace of each."""
        return Sum(tuple(trace_of(network, kept) for network in self.networks), self.scales)


def trace_of(network: Network, kept: tuple[int, ...]) -> Network:
    """The network that carries values at an end for a field of this one, of the inputs that are `kept`."""
    own = getattr(network, "trace", None)
    return own(kept) if callable(own) else TRACE
