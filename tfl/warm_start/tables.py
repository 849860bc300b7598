"""Two tables as vectors and classes, each in three parts; everything that does not fit is refused here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.tables import TEXT_SUFFIXES, Table, read_table
from tfl.errors import DataError, did_you_mean, listed
from tfl.modalities.table.modality import number_of, row_content, with_values
from tfl.recipe import Table as TableInput
from tfl.warm_start.samples import drawn_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = ("train", "validation", "test")
_SHARES = {"validation": 0.2, "test": 0.2}
_FEWEST_OF_A_CLASS, _FEWEST_ROWS, _MOST_CLASSES = 5, 30, 100
_PREFIX = "sample:"
_FARTHEST = 6.0
"""Deviations from the mean: what is farther counts as this far. A column that hardly varied before would drown all others."""
_TARGETS = ("target", "label", "class")


@dataclass(frozen=True)
class Rows:
    """Rows as a model takes them.

    Args:
        x: `(n, width)` float32, standardised.
        y: `(n,)` int64, indices into the classes.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def __add__(self, other: Rows) -> Rows:
        return Rows(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]))


@dataclass(frozen=True)
class Encoding:
    """How cells become a vector: numbers standardised, a missing one as the mean with a mark; other cells as one of the values.

    Args:
        table: The columns and their values.
        mean, deviation: `(width,)`, of the old training rows; 0 and 1 for what is no number.
    """

    table: TableInput
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def fit(cls, table: TableInput, cells: Sequence[Mapping[str, str]]) -> Encoding:
        """The encoding with the mean and the deviation of some rows."""
        raw = _raw(table, cells)
        mean, deviation = np.zeros(raw.shape[1]), np.ones(raw.shape[1])
        for at, is_number in enumerate(_of_numbers(table)):
            known = raw[~np.isnan(raw[:, at]), at]
            if is_number and len(known):
                mean[at], spread = known.mean(), known.std()
                deviation[at] = spread if spread > 1e-12 else 1.0
        return cls(table, mean, deviation)

    def encode(self, cells: Sequence[Mapping[str, str]]) -> NDArray[np.float32]:
        """`(n, width)` float32, from -6 to 6."""
        scaled = (_raw(self.table, cells) - self.mean) / self.deviation
        return np.clip(np.nan_to_num(scaled, nan=0.0), -_FARTHEST, _FARTHEST).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """As a document."""
        values = {name: list(found) for name, found in (self.table.values or {}).items()}
        scale = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        return {"columns": list(self.table.columns), "values": values, **scale}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Encoding:
        """From `to_json()`."""
        values = {name: tuple(found) for name, found in document["values"].items()}
        table = TableInput(columns=tuple(document["columns"]), values=values)
        return cls(table, np.array(document["mean"]), np.array(document["deviation"]))


def _of_numbers(table: TableInput) -> list[bool]:
    entries: list[bool] = []
    for name in table.columns:
        entries += [False] * (len((table.values or {})[name]) + 1) if name in (table.values or {}) else [True, False]
    return entries


def _raw(table: TableInput, cells: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
    parts = []
    for name in table.columns:
        column = [row[name].strip() for row in cells]
        if name in (table.values or {}):
            values = (table.values or {})[name]
            same = np.array([[cell == value for value in values] for cell in column], float).reshape(len(column), len(values))
            parts += [same, 1 - same.max(axis=1, keepdims=True)]
        else:
            numbers = [number_of(cell) for cell in column]
            parts.append(np.array([[np.nan if one is None else one, one is None] for one in numbers], float).reshape(-1, 2))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Pair:
    """Both tables, ready.

    Args:
        old, new: By part (`train`, `validation`, `test`) the rows.
        classes: Names, those of both tables.
        only_old, only_new: Classes that one of the tables has alone.
        encoding: How cells become vectors.
        target: The column that is predicted.
    """

    old: Mapping[str, Rows]
    new: Mapping[str, Rows]
    classes: tuple[str, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    encoding: Encoding
    target: str

    def notes(self) -> list[str]:
        """What happens with classes that one table has alone, as sentences."""
        found = []
        if self.only_old:
            found.append(
                f"Only the old table has {listed(self.only_old)}: steps on new rows alone never see them, and accuracy on old "
                "rows counts them."
            )
        if self.only_new:
            found.append(
                f"Only the new table has {listed(self.only_new)}: a model of old rows alone cannot answer with them, and they "
                "are learnt by the steps."
            )
        if found:
            found.append("Boosting takes no trees for other classes than it began with, and is left out.")
        return found


def open_table(name: Path | str) -> Table:
    """A table from a CSV, TSV, JSON Lines or Parquet file, or a drawn one.

    Raises:
        DataError: It is not there, of another format, or cannot be read.
    """
    if str(name).startswith(_PREFIX):
        columns, rows = drawn_table(str(name).removeprefix(_PREFIX))
        return Table(Path(str(name)), columns, rows, list(range(1, len(rows) + 1)), unit="row")
    path = Path(name).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file {path}.", allowed="a table (.csv, .tsv, .jsonl, .parquet), or sample:machines_old")
    if path.suffix.lower() == ".parquet":
        from tfl.data.parquet import read_parquet
        from tfl.modalities.files import files_of

        return read_parquet([path], files_of("text"))
    if path.suffix.lower() not in TEXT_SUFFIXES:
        raise DataError(f"{path} is no table.", received=path.suffix, allowed=f"{', '.join(TEXT_SUFFIXES)}, .parquet")
    return read_table(path)


def cells_of(table: Table, columns: Sequence[str]) -> list[dict[str, str]]:
    """The cells of some columns, row by row.

    Raises:
        DataError: The table has no such column.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"{table.file} has no column {listed([f'`{name}`' for name in missing])}.",
            received=listed(list(table.columns)),
            fix=did_you_mean(missing[0], table.columns) or None,
        )
    found = {name: table.cells(name) for name in columns}
    return [{name: found[name][at] for name in columns} for at in range(len(table.rows))]


def read_pair(old: Path | str, new: Path | str, *, target: str | None, columns: Sequence[str], seed: int) -> Pair:
    """Reads, checks, splits and encodes two tables.

    Args:
        old, new: Files, or `sample:machines_old` and `sample:machines_new`.
        target: The column to predict; None finds one called `target`, `label` or `class`.
        columns: Those to predict from; empty for all others.
        seed: Of the split, which is stratified by class: 60% to train, 20% to validate, 20% to test.

    Raises:
        DataError: Columns differ, targets are missing, or there are too few rows.
    """
    tables = [open_table(old), open_table(new)]
    target = target or _target_of(tables[0])
    used = tuple(columns) or tuple(name for name in tables[0].columns if name != target)
    if not columns:
        _refuse_other_columns(tables)
    if target in used:
        raise DataError(f"The column `{target}` is what is predicted.", fix="Leave it out of the columns to predict from.")
    cells = [cells_of(table, [*used, target]) for table in tables]
    classes = [_classes_of(table, [row[target] for row in rows], target) for table, rows in zip(tables, cells, strict=True)]
    names = tuple(sorted({*classes[0], *classes[1]}))
    if len(names) < 2:
        raise DataError(f"The column `{target}` holds one class only.", received=names[0], allowed="two classes or more")
    labels = [np.array([names.index(row[target]) for row in rows]) for rows in cells]
    parts = [_split(one, np.random.default_rng((seed, at))) for at, one in enumerate(labels)]
    training = [row for rows, part in zip(cells, parts, strict=True) for row in [rows[at] for at in part["train"]]]
    contents = [row_content({name: row[name] for name in used}) for row in training]
    try:
        table = with_values(TableInput(columns=used), [content for content in contents if content is not None])
    except DataError as error:
        raise DataError(error.what, received=error.received, fix="Name the columns to use with --columns.") from error
    encoding = Encoding.fit(table, [cells[0][at] for at in parts[0]["train"]])
    both = [
        {part: Rows(encoding.encode([rows[at] for at in where[part]]), one[where[part]].astype(np.int64)) for part in PARTS}
        for rows, one, where in zip(cells, labels, parts, strict=True)
    ]
    only = [tuple(sorted(set(classes[at]) - set(classes[1 - at]))) for at in (0, 1)]
    return Pair(both[0], both[1], names, only[0], only[1], encoding, target)


def _target_of(table: Table) -> str:
    found = [name for word in _TARGETS for name in table.columns if name.strip().lower() == word]
    if found:
        return found[0]
    raise DataError(
        f"{table.file} has no column called {', '.join(_TARGETS)}.",
        received=listed(list(table.columns)),
        fix="Name the column to predict with --target.",
    )


def _refuse_other_columns(tables: Sequence[Table]) -> None:
    old, new = (set(table.columns) for table in tables)
    if old == new:
        return
    said = [
        f"only {table.file} has {listed(sorted(f'`{name}`' for name in alone))}"
        for table, alone in zip(tables, (old - new, new - old), strict=True)
        if alone
    ]
    raise DataError(
        "The two tables have different columns.",
        received="; ".join(said),
        fix="Rename them, or name those to use with --columns: both tables need them.",
    )


def _classes_of(table: Table, cells: Sequence[str], target: str) -> list[str]:
    """The classes of a table, once every row has one and each has enough rows."""
    empty = [number for number, cell in zip(table.numbers, cells, strict=True) if not cell]
    if empty:
        count = f"{len(empty)} row{'s' if len(empty) > 1 else ''}"
        raise DataError(
            f"{count} of {table.file} have no `{target}`.",
            received=f"{table.unit} {listed([str(number) for number in empty])}",
            fix="Fill the cells, or take the rows out.",
        )
    if len(cells) < _FEWEST_ROWS:
        raise DataError(f"{table.file} has too few rows.", received=f"{len(cells)}", allowed=f"{_FEWEST_ROWS} or more")
    counts = Counter(cells)
    if len(counts) > _MOST_CLASSES:
        raise DataError(
            f"The column `{target}` of {table.file} has {len(counts)} values: it holds numbers or names, no classes.",
            allowed=f"at most {_MOST_CLASSES} classes",
        )
    few = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < _FEWEST_OF_A_CLASS]
    if few:
        raise DataError(
            f"Classes of {table.file} have too few rows to train, to choose and to test.",
            received=listed(few),
            allowed=f"{_FEWEST_OF_A_CLASS} rows of each class that a table has",
        )
    return sorted(counts)


def _split(labels: NDArray[np.int64], rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        start = 0
        for part, share in _SHARES.items():
            count = max(1, round(share * len(rows)))
            parts[part] += rows[start : start + count].tolist()
            start += count
        parts["train"] += rows[start:].tolist()
    return {part: np.sort(np.array(rows, np.int64)) for part, rows in parts.items()}
