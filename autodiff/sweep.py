"""Sweep: the whole way back over a tape, as one function.

A program that takes gradients again and again records the same tape again and again, but for the numbers.  When the same
structure comes for the third time, its way back is written down as a straight line of numpy calls: the very calls that
`record.backward` makes, in its order, so the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .record import Identity, Record, backward
from .straight import Text, straight_line

LONGEST = 1000  # records: beyond, writing it down takes longer than it saves
TIMES = 2  # so often a structure is met before it is written down
LARGEST_CACHE, MOST_MET = 256, 4096


@dataclass(frozen=True, slots=True)
class Sweep:
    """`function(pop, *seeds)` pops the rows of the records `used` and answers the cotangents of those sources that are
    `reached`, both counted in their order."""

    function: Callable[..., tuple]
    used: tuple[int, ...]
    reached: tuple[int, ...]


_written: dict[tuple, Sweep | None] = {}
_met: dict[int, int] = {}


def known_sweep(links: Sequence[tuple | None], end: int | None, starts: Sequence[int | None]) -> Sweep | None:
    """The sweep from one number to all of `starts`, if it has been written down."""
    return _written.get((*links, (end,), tuple(starts), 0))


def sweep_of(
    records: Sequence[Any], links: Sequence[tuple | None], places: Mapping[int, int], targets: Sequence[int],
    sources: Sequence[int], batch: int,
) -> Sweep | None:  # fmt: skip
    """The sweep for these records, or None if there is none (yet).

    `links` say what is recorded but for numbers, with `places`, numbers given to values in their order, instead of serials.
    """
    if len(records) > LONGEST or None in links:
        return None
    ends, starts = tuple([places.get(s) for s in targets]), tuple([places.get(s) for s in sources])
    if None in ends or None in starts:
        return None
    key = (*links, ends, starts, batch)
    mark = hash(key)
    times = _met.get(mark, 0)
    if times < TIMES:
        if len(_met) >= MOST_MET:
            _met.clear()
        _met[mark] = times + 1
        return None
    found = _written.get(key, _written)
    if found is not _written:
        return found  # type: ignore[return-value]
    if len(_written) >= LARGEST_CACHE:
        for old in list(_written)[: LARGEST_CACHE // 2]:
            _written.pop(old, None)
    sweep = _written[key] = write(records, targets, sources, batch)
    return sweep


def write(records: Sequence[Any], targets: Sequence[int], sources: Sequence[int], batch: int) -> Sweep | None:
    """Goes the way back with names for cotangents, writing down what is done to them."""
    if any(type(r) is Record and r.pattern.coarse for r in records):  # a note is due
        return None
    text = Text()
    seeds = [f"g{i}" for i in range(len(targets))]
    copies = [Copy(record, k, text) for k, record in enumerate(records)]
    found = backward(copies, zip(targets, seeds, strict=True), set(sources), batch, None, text.sum)
    used = tuple(c.index for c in copies if c.taken)
    function = text.function(["pop", *seeds], list(found.values()), "the way back", frees=True)
    return Sweep(function, used, tuple(list(sources).index(s) for s in found))


class Copy:
    """A record that writes down its pullback instead of doing it."""

    __slots__ = ("step", "selects", "record", "index", "taken", "text")

    def __init__(self, record: Record | Identity, index: int, text: Text):
        self.step, self.selects, self.record, self.index, self.taken, self.text = (
            record.step, record.selects, record, index, False, text)  # fmt: skip

    def pull(self, cotangents: Sequence[Any], wants: tuple[bool, ...], masked: bool, batch: int) -> Iterable[tuple[int, Any]]:
        record, text = self.record, self.text
        if not isinstance(record, Record):
            return record.pull(cotangents, wants, masked, batch)
        pullback = record.pattern.pullback(wants, tuple([c is not None for c in cotangents]), masked, batch)
        args: list[str] = []
        if record.kept:
            self.taken = True
            row = text.line("pop()", ["pop"], len(record.kept), always=True)
            args += [row[i] for i in pullback.takes]
        args += [cotangents[i] for i in pullback.seeds]
        pattern = pullback.pattern
        if pattern.compiler is straight_line:
            names = {leaf.serial: name for leaf, name in zip(pattern.leaves, args, strict=True)}
            return zip(pullback.to, text.graph(pattern.outputs, names), strict=True)
        run = text.know(pattern.run, "run")
        count = len(pullback.to)
        return zip(pullback.to, text.line(f"{run}([{', '.join(args)}]){'[0]' * (count == 1)}", args, count), strict=True)
