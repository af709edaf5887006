"""A graph as a straight line of numpy calls: what `interpret` means, without walking.

Many small programs run again and again (the derivative of one operation on a tape, the way back over all of them); each becomes
one Python function whose source can be read.  SHARED values only.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import CONSTANT, DATUM, Node, walk
from .primitive import BROADCAST

_numbers = itertools.count()


@dataclass(frozen=True)
class Line:
    """`targets = text`, where the text uses these names; a line `always` stands, others only if a target is used."""

    targets: tuple[str, ...]
    text: str
    uses: tuple[str, ...]
    always: bool = False


class Text:
    """The body of a function that is being written.  Every value has a name of its own."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._known: dict[str, Any] = {"asarray": np.asarray}  # what the text finds outside of itself
        self._named: dict[int, str] = {}
        self._thin: dict[str, str] = {}  # what was only repeated, and by which name it is shorter

    def know(self, value: Any, name: str) -> str:
        """The name of a value that is there before the function runs."""
        found = self._named.get(id(value))
        if found is None:
            found = self._named[id(value)] = f"{name}_{len(self._known)}"
            self._known[found] = value
        return found

    def line(self, text: str, uses: Iterable[str], count: int = 1, always: bool = False) -> tuple[str, ...]:
        """Adds a line that makes a value, or a tuple of more than one; answers their names."""
        targets = tuple(f"v{len(self.lines)}{f'_{i}' if count > 1 else ''}" for i in range(count))
        self.lines.append(Line(targets, text, tuple(uses), always))
        return targets

    def graph(self, outputs: Sequence[Node], names: Mapping[int, str]) -> list[str]:
        """Adds the lines that compute `outputs` from the leaves called `names`, by serial; answers the names of the outputs."""
        called = dict(names)
        for node in walk(outputs, stop=lambda n: n.serial in called):
            if node.serial not in called:
                called[node.serial] = self._write(node, called)
        return [called[o.serial] for o in outputs]

    def _write(self, node: Node, called: dict[int, str]) -> str:
        if node.op is CONSTANT or node.op is DATUM:
            return self.know(node.attr if node.op is CONSTANT else node.attr.value, "k")
        function, attr, args = self.know(node.op.value, node.op.name), node.attr, [called[a.serial] for a in node.args]
        if node.op.sort in ("elementwise", "select"):
            args = self._thinned(node, args)
            (name,) = self.line(f"{function}({', '.join(args)})", args)
            return name
        if node.op.sort == "multilinear":
            args = self._thinned(node, args) if node.op.source else args  # those with a source go element by element
            (name,) = self.line(f"{function}({self.know(attr, 'k')}, (False, False), {', '.join(args)})", args)
            return name
        given = [f"asarray({x})" if a.shape == () else x for a, x in zip(node.args, args, strict=True)]
        (name,) = self.line(f"{function}({self.know(attr, 'k')}, 0, {', '.join(given)})", args)
        if node.op is BROADCAST and node.args[0].op is not CONSTANT:
            self._thin[name] = args[0]
        return name

    def _thinned(self, node: Node, args: list[str]) -> list[str]:
        """Numpy repeats by itself what need not be repeated, as long as one argument has all of the shape."""
        full = [x not in self._thin and a.shape == node.shape for a, x in zip(node.args, args, strict=True)]
        return [self._thin.get(x, x) for x in args] if any(full) else args

    def sum(self, a: str, b: str) -> str:
        """Adds the line that adds two values of one shape; answers the name of the sum."""
        if (a in self._thin) != (b in self._thin):
            a, b = self._thin.get(a, a), self._thin.get(b, b)
        (name,) = self.line(f"{a} + {b}", [a, b])
        return name

    def function(self, parameters: Sequence[str], results: Sequence[str], name: str, frees: bool = False) -> Callable:
        """The function.  What nobody uses is not computed; if it `frees`, each value is dropped after its last use."""
        used, body = set(results), []
        for line in reversed(self.lines):
            if not line.always and used.isdisjoint(line.targets):
                continue
            if frees:
                last = [x for x in dict.fromkeys((*line.uses, *line.targets)) if x not in used and x not in self._known]
                if last:
                    body.append(f"    del {', '.join(last)}")
            used.update(line.uses)
            used.update(line.targets)
            body.append(f"    {', '.join(line.targets)} = {line.text}")
        head = f"def run({', '.join(parameters)}):"
        source = "\n".join([head, *reversed(body), f"    return ({''.join(x + ', ' for x in results)})"])
        # a file name inside this package, so that nobody takes its lines for the user's
        path = os.path.join(os.path.dirname(__file__), f"<{name} {next(_numbers)}>")
        exec(compile(source, path, "exec"), self._known)
        function = self._known["run"]
        function.source = source
        return function


def straight_line(leaves: Sequence[Node], outputs: Sequence[Node], name: str = "run") -> Callable[..., tuple]:
    """A function of the numbers of `leaves`, in their order, that answers the tuple of numbers of `outputs`.

    Its text is its attribute `source`.
    """
    text = Text()
    parameters = {leaf.serial: f"a{i}" for i, leaf in enumerate(leaves)}
    return text.function(list(parameters.values()), text.graph(outputs, parameters), name)
