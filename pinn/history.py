"""The record of a run: one row per step that was kept, as columns, and as a CSV file that any tool can read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pinn.errors import FileError

_FIXED = ("iteration", "stage", "seconds", "loss")
_TERM, _ERROR = "term:", "error:"


@dataclass(frozen=True, slots=True)
class Row:
    """One step: what was reached, when, and the errors where they were measured."""

    stage: str
    iteration: int
    seconds: float
    loss: float
    terms: Mapping[str, float]
    errors: Mapping[str, float]


def _no_numbers() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class History:
    """Columns `(rows,)` of a run; a value that was not measured at a row is NaN."""

    iteration: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    stage: list[str] = field(default_factory=list)
    seconds: np.ndarray = field(default_factory=_no_numbers)
    loss: np.ndarray = field(default_factory=_no_numbers)
    terms: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.stage)

    @staticmethod
    def from_rows(rows: Iterable[Row]) -> History:
        """The columns of these rows; a term or error that only some rows have is NaN in the others."""
        rows = list(rows)
        return History(
            iteration=np.array([row.iteration for row in rows], dtype=np.int64),
            stage=[row.stage for row in rows],
            seconds=np.array([row.seconds for row in rows], dtype=np.float64),
            loss=np.array([row.loss for row in rows], dtype=np.float64),
            terms=_columns([row.terms for row in rows]),
            errors=_columns([row.errors for row in rows]))

    def write_csv(self, path: str | Path) -> Path:
        """Write the columns `iteration, stage, seconds, loss, term:*, error:*`, numbers so that they read back exactly.

        Raises `FileError` where the file cannot be written.
        """
        path = Path(path)
        names = [*_FIXED, *(_TERM + name for name in self.terms), *(_ERROR + name for name in self.errors)]
        columns = [self.seconds, self.loss, *self.terms.values(), *self.errors.values()]
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                for index, stage in enumerate(self.stage):
                    writer.writerow([int(self.iteration[index]), stage, *(_number(column[index]) for column in columns)])
        except OSError as error:
            raise FileError(f"the history cannot be written to {path}", why=error.strerror or str(error),
                            fix="give a folder you may write to with --out") from error
        return path

    @staticmethod
    def read_csv(path: str | Path) -> History:
        """The history that `write_csv` wrote.  Raises `FileError` for a file that is missing or is no such table."""
        path = Path(path)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                table = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FileError(f"the history {path} cannot be read", why=str(error)) from error
        header = table[0] if table else []
        if tuple(header[:len(_FIXED)]) != _FIXED:
            raise FileError(f"{path} is not a history", why=f"its first columns should be {', '.join(_FIXED)}")
        body = table[1:]
        if any(len(row) != len(header) for row in body):
            raise FileError(f"{path} is cut short", why=f"not every row has {len(header)} values")
        try:
            named = {name: np.array([float(row[column] or "nan") for row in body])
                     for column, name in enumerate(header) if name != "stage"}
            iteration = np.array([int(row[0]) for row in body], dtype=np.int64)
        except ValueError as error:
            raise FileError(f"{path} holds something that is not a number", why=str(error)) from error
        return History(
            iteration=iteration, stage=[row[1] for row in body], seconds=named["seconds"], loss=named["loss"],
            terms={name.removeprefix(_TERM): values for name, values in named.items() if name.startswith(_TERM)},
            errors={name.removeprefix(_ERROR): values for name, values in named.items() if name.startswith(_ERROR)})


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}


def _number(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def joined(early: History, late: History) -> History:
    """One history after another, with steps and seconds counted on."""
    if not len(early) or not len(late):
        return late if len(late) else early
    a, b = len(early), len(late)

    def column(one: np.ndarray | None, two: np.ndarray | None) -> np.ndarray:
        return np.concatenate([np.full(a, np.nan) if one is None else one, np.full(b, np.nan) if two is None else two])

    def columns(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: column(one.get(name), two.get(name)) for name in dict.fromkeys([*one, *two])}

    return History(np.concatenate([early.iteration, late.iteration + early.iteration[-1]]), early.stage + late.stage,
                   np.concatenate([early.seconds, late.seconds + early.seconds[-1]]), column(early.loss, late.loss),
                   columns(early.terms, late.terms), columns(early.errors, late.errors))
