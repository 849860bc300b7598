"""Tables that list images (CSV, TSV, JSON Lines, Parquet): columns of paths and labels, and optionally group, split and fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from tfl.data.columns import Columns, choose_columns, dividing_columns
from tfl.data.examples import Examples, listed
from tfl.data.label_values import check_labels
from tfl.data.located import FilesBelow, locate, short
from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import Table, read_table
from tfl.errors import DataError

_MISSING = frozenset(("nan", "<na>", "#n/a"))
"""What pandas and spreadsheets write for a missing value and no class is called."""


@dataclass(frozen=True)
class Chosen:
    """What a recipe says about the columns of its table: `data.path_column`, `data.label_column` and `data.test_fold`."""

    path: str | None = None
    label: str | None = None
    test_fold: str | None = None


@dataclass(frozen=True)
class _Row:
    table: Table
    number: int
    cell: str
    path: str
    trouble: str
    label: str
    group: str
    split: str
    fold: str

    @property
    def where(self) -> str:
        return f"{self.table.unit} {self.number}"


def read_csv(file: Path, chosen: Chosen | None = None) -> Examples:
    """The examples that a table lists: `read_tables` of one CSV, TSV or JSON Lines file."""
    return read_tables([(read_table(file), "")], chosen or Chosen(), source=str(file))


def read_tables(tables: Sequence[tuple[Table, str]], chosen: Chosen, *, source: str) -> Examples:
    """The examples that tables list, in the order of their rows. Relative paths start at the folder of their table.

    A relative path may not leave that folder by `..`: such a path was made for another place. A file elsewhere is named by
    its absolute path, or from `~`.

    Rows without a `group` are groups of their own; rows without a `split` are left to the splitter.

    Args:
        tables: Each with the split that all its rows belong to, or an empty string.
        chosen: The columns that the recipe names.
        source: What the recipe calls the data.

    Raises:
        DataError: A column, a label or a file is missing, or the labels are no classes: one message with the line numbers.
    """
    rows: list[_Row] = []
    notes: list[str] = []
    for table, split in tables:
        found, columns = _rows(table, split, chosen)
        if not found:
            raise DataError(f"{table.file} lists no images.", allowed="one row for each image below the header")
        found, left_out = _without_unlabelled_test(table, found)
        notes += left_out
        _check_rows(table, found)
        check_labels([row.label for row in found], where=f"{table.file}, column `{columns.label}`")
        notes += _notes(table, columns, found)
        rows += found
    _check_agreement(rows)
    found = rows if chosen.test_fold is None else _with_test_fold(rows, chosen.test_fold, source)
    if chosen.test_fold is None:
        notes += _fold_notes(rows)
    return _examples(found, tables, notes, source)


def _rows(table: Table, split: str, chosen: Chosen) -> tuple[list[_Row], Columns]:
    known = FilesBelow(table.folder)
    columns = choose_columns(table, path=chosen.path, label=chosen.label, known=known)
    paths = table.cells(columns.path)
    places = locate(table.folder, paths, table=table.file.stem, known=known)
    names = table.class_names.get(columns.label)
    empty = [""] * len(table.rows)
    cells = [empty if name is None else table.cells(name) for name in (columns.label, columns.group, columns.split, columns.fold)]
    rows = [
        _Row(table, number, cell, place.path, place.trouble, _class_name(label, names), group, own.lower() or split, fold)
        for number, cell, place, label, group, own, fold in zip(table.numbers, paths, places, *cells, strict=True)
    ]
    return rows, columns


def _without_unlabelled_test(table: Table, rows: list[_Row]) -> tuple[list[_Row], list[str]]:
    """The rows without those of a test split that has no labels at all, and what was left out."""
    test = [row for row in rows if SPLIT_FOLDERS.get(row.split) == "test"]
    if not test or len(test) == len(rows) or any(row.label for row in test):
        return rows, []
    note = f"{len(test)} images of the test split in {table.file} have no label and are left out."
    return [row for row in rows if SPLIT_FOLDERS.get(row.split) != "test"], [note]


def _class_name(label: str, names: Sequence[str] | None) -> str:
    if names is None or not label:
        return label
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else ""


def _check_rows(table: Table, rows: list[_Row]) -> None:
    """Raises one error for everything that is wrong with any row."""
    problems = [(row.number, problem) for row in rows for problem in _problems(row)]
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if row.path and other.label != row.label:
            problems.append((row.number, f"{row.path} is labelled `{row.label}` here and `{other.label}` on {other.where}"))
        if row.path and other.split != row.split:
            problems.append((row.number, f"{row.path} is in the split `{row.split}` here and `{other.split}` on {other.where}"))
    if problems:
        lines = [f"{table.unit} {number}: {problem}" for number, problem in sorted(problems)]
        raise DataError(
            f"{table.file} has {len(problems)} {'entry' if len(problems) == 1 else 'entries'} that cannot be used: "
            + listed([f"\n  {line}" for line in lines])
            + ".",
            fix=f"Relative paths start at {table.folder.absolute()}.{_beginning(table, rows)}",
        )


def _beginning(table: Table, rows: Sequence[_Row]) -> str:
    """A sentence about the folder of another computer that all paths begin with, where the rest of each is a file here."""
    paths = [PureWindowsPath(row.cell) for row in rows]
    if any(not row.trouble for row in rows):
        return ""
    for count in range(1, min(20, len(paths[0].parts))):
        starts = {path.parts[:count] for path in paths}
        if len(starts) == 1 and all(os.path.isfile(table.folder / PurePosixPath(*path.parts[count:])) for path in paths):
            rest = str(PureWindowsPath(*paths[0].parts[count:]))
            return f" Every file is there without the beginning `{rows[0].cell[: -len(rest)]}`: remove it from the paths."
    return ""


def _problems(row: _Row) -> list[str]:
    problems = [row.trouble] if row.trouble else []
    if not row.label:
        problems.append("no label")
    elif row.label.lower() in _MISSING:
        problems.append(f"no label, only `{row.label}`, which stands for a missing value")
    if row.split and row.split not in SPLIT_FOLDERS:
        problems.append(f"unknown split `{short(row.split)}` (train, val, test or empty)")
    return problems


def _check_agreement(rows: Sequence[_Row]) -> None:
    """Raises where two tables name the same image with different labels or splits."""
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if other.table is not row.table and (other.label, other.split) != (row.label, row.split):
            raise DataError(
                f"{row.table.file} and {other.table.file} do not agree on {row.path}.",
                received=f"`{row.label}` {row.split} and `{other.label}` {other.split}".replace("  ", " "),
                fix="Keep the image in one of them.",
            )


def _notes(table: Table, columns: Columns, rows: Sequence[_Row]) -> list[str]:
    if table.images is not None:
        return []
    guessed = list(columns.guessed)
    written = os.path.join(table.folder, os.path.expanduser(table.cells(columns.path)[0]))
    if os.path.normpath(rows[0].path) != os.path.normpath(written):
        guessed.append(f"the first path as {rows[0].path}")
    read = [f"{table.file} is read with {', '.join(guessed)}."] if guessed else []
    return [*read, *(_not_a_split(table, name) for name in dividing_columns(table) if name not in _used(columns))]


def _used(columns: Columns) -> tuple[str | None, ...]:
    return (columns.path, columns.label, columns.group, columns.split, columns.fold)


def _not_a_split(table: Table, name: str) -> str:
    values = sorted({cell for cell in table.cells(name) if cell})
    return (
        f"The column `{name}` of {table.file} ({listed(values, limit=5)}) is not used. If it says the split of each image, write "
        "train, val or test into a column `split`."
    )


def _fold_notes(rows: Sequence[_Row]) -> list[str]:
    """That the table has folds, and how one of them becomes the test split."""
    folds = sorted({row.fold for row in rows if row.fold})
    if not folds or len(folds) > 50:
        return []
    return [
        f"The column `fold` ({listed(folds)}) is not used to split the images. To test on one fold and train on the others: "
        f"--set data.test_fold={folds[0]}"
    ]


def _with_test_fold(rows: Sequence[_Row], fold: str, source: str) -> list[_Row]:
    folds = sorted({row.fold for row in rows if row.fold})
    if fold not in folds:
        raise DataError(
            f"{source} has no fold `{fold}`, which `data.test_fold` names.",
            received=listed(folds) or "no column `fold`",
            allowed="a value of the column `fold`",
        )
    return [replace(row, split="test" if row.fold == fold else "train") for row in rows]


def _examples(rows: Sequence[_Row], tables: Sequence[tuple[Table, str]], notes: Sequence[str], source: str) -> Examples:
    class_names = tuple(sorted({row.label for row in rows}))
    index = {name: label for label, name in enumerate(class_names)}
    groups = [f"group {row.group}" if row.group else f"{row.table.file.name} {row.where}" for row in rows]
    findings: list[dict[str, Any]] = [{"kind": "table_read", "severity": "info", "files": [], "note": note} for note in notes]
    return Examples(
        class_names=class_names,
        labels=np.array([index[row.label] for row in rows], np.int32),
        paths=np.array([row.path for row in rows]),
        groups=np.array(groups) if any(row.group for row in rows) else None,
        splits=np.array([SPLIT_FOLDERS.get(row.split, "") for row in rows]) if any(row.split for row in rows) else None,
        source=source,
        root=next((table.root for table, _ in tables if table.root), ""),
        findings=tuple(findings),
    )
