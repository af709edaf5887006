"""Which words may name a coordinate: derivatives are written `u.xx`, so a name must be readable as a subscript."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

import numpy as np

from pinn.errors import GeometryError

RESERVED = frozenset(dir(np.ndarray)) | {"node", "space", "numpy", "value", "values", "name", "jet", "lane", "type"}
_NAME = re.compile(r"[a-z][a-z0-9]*\Z")


def check_name(name: str, where: str) -> None:
    """One coordinate name: lower-case letters and digits, no keyword, no attribute of an array.

    Raises `GeometryError` (code `axis-name`).
    """
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        why, fix = "it is a word of Python itself, so u." + name + " cannot be written", f"call it {name[:1]}"
    elif name in RESERVED:
        why = f"u.{name} already means something on every array, so the derivative could not be read"
        fix = f"call it {name.lower() if _readable(name.lower()) else 'x, y, z, r or s'}"
    elif not _NAME.match(name):
        why = "derivatives are subscripts (u.xx): lower-case letters a-z, then letters or digits, without underscores"
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        fix = f"call it {plain if _readable(plain) else 'x, y, theta or x1'}"
    else:
        return
    raise GeometryError(f"{name!r} cannot name a coordinate", where=where, why=why, fix=fix, code="axis-name")


def _readable(name: str) -> bool:
    return bool(_NAME.match(name)) and name not in RESERVED and not keyword.iskeyword(name)


def check_names(names: tuple[str, ...], where: str) -> None:
    """All coordinate names together: different, and every derivative subscript has one reading.

    The names are a code whose words are concatenated (`u.x1x1`), so they must be uniquely decodable
    (Sardinas & Patterson 1953), and no subscript may spell an attribute of an array (axes `a` and `l`: `u.all`)
    or the normal of another axis (axes `x` and `nx`).  Raises `GeometryError`
    (codes `axis-name`, `duplicate-names`, `ambiguous-names`).
    """
    for name in names:
        check_name(name, where)
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise GeometryError(f"the coordinate {doubles[0]!r} appears twice", where=where, code="duplicate-names",
                            why="each coordinate of space and time needs a name of its own",
                            fix="rename one of them: Box(x=...) * Time(t=...)")
    for name in names:
        if "n" + name in names:
            raise GeometryError(f"the coordinates {name!r} and {'n' + name!r} cannot be told from a normal", where=where,
                                why=f"n{name} is the {name} component of the outward normal",
                                fix=f"rename the axis n{name}", code="ambiguous-names")
    subscript = ambiguous_subscript(names)
    if subscript:
        readings = " or ".join(" ".join(reading) for reading in _readings(subscript, names)[:2])
        raise GeometryError(f"the coordinates {_list(names)} make the derivative u.{subscript} ambiguous", where=where,
                            why=f"it reads as {readings}", fix=f"use names such as {_list(_plain(len(names)))}",
                            code="ambiguous-names")
    for word in sorted(RESERVED):
        if _readings(word, names):
            letters = _list(dict.fromkeys(_readings(word, names)[0]))
            raise GeometryError(f"the coordinates {letters} spell an attribute of arrays", where=where,
                                why=f"u.{word} already means something on every array, so that derivative could not be read",
                                fix=f"use names such as {_list(_plain(len(names)))}", code="ambiguous-names")


def ambiguous_subscript(names: Iterable[str]) -> str:
    """A subscript with two readings, or an empty string where every subscript has one (Sardinas & Patterson 1953)."""
    words = sorted(set(names))
    # A dangling suffix is what one reading is ahead of the other; beside it the text read so far.
    pending = [(long[len(short):], long) for short in words for long in words if short != long and long.startswith(short)]
    seen = set()
    while pending:
        suffix, text = pending.pop(0)
        if suffix in words:
            return text
        if suffix in seen:
            continue
        seen.add(suffix)
        for word in words:
            if word.startswith(suffix):
                pending.append((word[len(suffix):], text + word[len(suffix):]))
            elif suffix.startswith(word):
                pending.append((suffix[len(word):], text))
    return ""


def _readings(text: str, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Every way of reading a subscript as coordinates in a row; none where a letter is left over."""
    if not text:
        return [()]
    return [(name, *rest) for name in names if text.startswith(name) for rest in _readings(text[len(name):], names)]


def _plain(count: int) -> tuple[str, ...]:
    return ("x", "y", "z", "t")[:count] if count <= 4 else tuple(f"x{k + 1}" for k in range(min(count, 3)))


def _list(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
