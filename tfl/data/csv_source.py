"""Tables that list or hold examples (CSV, TSV, JSON Lines, Parquet): paths or contents, labels, and group, split or fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from tfl.data.columns import Chosen, Columns, dividing_columns
from tfl.data.examples import Examples, listed
from tfl.data.head_targets import columns_of, head_targets_of, missing_cell, problem_of_cell
from tfl.data.label_columns import choose_columns
from tfl.data.label_values import check_labels
from tfl.data.located import FilesBelow, Located, locate, short
from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import Table, read_table
from tfl.data.targets import problem_of, targets_of
from tfl.errors import DataError

__all__ = ["Chosen", "read_csv", "read_tables"]

_MISSING = frozenset(("nan", "<na>", "#n/a"))
"""What pandas and spreadsheets write for a missing value and no class is called."""

GROUP = "group "
"""What the name of a group begins with; a row without one is a group of its own, named by its file and its line."""


@dataclass(frozen=True)
class _Row:
    table: Table
    columns: Columns
    number: int
    cell: str
    path: str
    trouble: str
    cells: tuple[str, ...]
    group: str
    split: str
    fold: str

    @property
    def where(self) -> str:
        return f"{self.table.unit} {self.number}"

    @property
    def label(self) -> str:
        """The cells of its labels, which is one where it has a class."""
        return ", ".join(self.cells)


def read_csv(file: Path, chosen: Chosen | None = None) -> Examples:
    """The examples that a table lists or holds: `read_tables` of one CSV, TSV or JSON Lines file."""
    chosen = chosen or Chosen()
    return read_tables([(read_table(file, prose=chosen.files.in_cells), "")], chosen, source=str(file))


def read_tables(tables: Sequence[tuple[Table, str]], chosen: Chosen, *, source: str) -> Examples:
    """The examples that tables list or hold, in the order of their rows. Relative paths start at the folder of their table.

    A relative path may not leave that folder by `..`: such a path was made for another place. A file elsewhere is named by
    its absolute path, or from `~`.

    Rows without a `group` are groups of their own; rows without a `split` are left to the splitter.

    Args:
        tables: Each with the split that all its rows belong to, or an empty string.
        chosen: What the recipe says about columns, the kind of the examples and the task.
        source: What the recipe calls the data.

    Raises:
        DataError: A column, a label or a file is missing, or the labels do not fit the task: one message with the line numbers.
    """
    rows: list[_Row] = []
    notes: list[str] = []
    for table, split in tables:
        found, columns = _rows(table, split, chosen)
        if not found:
            nouns, noun = chosen.files.nouns, chosen.files.noun
            raise DataError(f"{table.file} lists no {nouns}.", allowed=f"one row for each {noun} below the header")
        found, left_out = _without_unlabelled_test(table, found, chosen, alone=len(tables) == 1)
        notes += left_out
        if not found:
            continue
        if chosen.task == "classify":  # before an empty cell, which may mean that there is no label, is an error
            where = f"{table.file}, column `{columns.labels[0]}`"
            check_labels([row.label for row in found], where=where, noun=chosen.files.noun, nouns=chosen.files.nouns)
        _check_rows(table, found, chosen)
        notes += _notes(table, columns, found, chosen)
        rows += found
    _check_agreement(rows, chosen)
    if chosen.targets:
        rows, left_out = _without_unlabelled(rows, chosen, source)
        notes += left_out
    found = rows if chosen.test_fold is None else _with_test_fold(rows, chosen.test_fold, source)
    if chosen.test_fold is None:
        notes += _fold_notes(rows, chosen)
    return _examples(found, chosen, notes, source)


def _rows(table: Table, split: str, chosen: Chosen) -> tuple[list[_Row], Columns]:
    known = FilesBelow(table.folder, chosen.files)
    columns = choose_columns(table, chosen, known)
    written = table.cells(columns.source)
    if columns.in_cells:
        places = [Located("", "")] * len(written)
    else:
        places = locate(table.folder, written, table=table.file.stem, known=known)
    empty = [""] * len(table.rows)
    cells = [empty if name is None else table.cells(name) for name in (columns.group, columns.split, columns.fold)]
    labels = list(zip(*(_label_cells(table, name, chosen) for name in columns.labels), strict=True))
    rows = [
        _Row(table, columns, number, cell, place.path, place.trouble, label, group, own.lower() or split, fold)
        for number, cell, place, label, group, own, fold in zip(table.numbers, written, places, labels, *cells, strict=True)
    ]
    return rows, columns


def _label_cells(table: Table, name: str, chosen: Chosen) -> list[str]:
    """The cells of a label column; those of one class each by its name."""
    names = table.class_names.get(name)
    cells = table.cells(name)
    of_classes = {(one.column or target).lower() for target, one in chosen.targets.items() if one.kind == "class"}
    numbered = chosen.task == "classify" or name.lower() in of_classes
    return [_class_name(cell, names) for cell in cells] if numbered else cells


def _without_unlabelled_test(table: Table, rows: list[_Row], chosen: Chosen, *, alone: bool) -> tuple[list[_Row], list[str]]:
    """The rows without those of a test split that has no labels at all, and what was left out."""
    test = [row for row in rows if SPLIT_FOLDERS.get(row.split) == "test"]
    if not test or (alone and len(test) == len(rows)) or any(any(row.cells) for row in test):
        return rows, []
    note = f"{len(test)} {chosen.files.nouns} of the test split in {table.file} have no label and are left out."
    return [row for row in rows if SPLIT_FOLDERS.get(row.split) != "test"], [note]


def _class_name(label: str, names: Sequence[str] | None) -> str:
    if names is None or not label:
        return label
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else ""


def _check_rows(table: Table, rows: list[_Row], chosen: Chosen) -> None:
    """Raises one error for everything that is wrong with any row."""
    problems = [(row.number, problem) for row in rows for problem in _problems(row, chosen)]
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if row.path and other.label != row.label:
            problems.append((row.number, f"{row.path} is labelled `{row.label}` here and `{other.label}` on {other.where}"))
        if row.path and other.split != row.split:
            problems.append((row.number, f"{row.path} is in the split `{row.split}` here and `{other.split}` on {other.where}"))
    if problems:
        lines = [f"{table.unit} {number}: {problem}" for number, problem in sorted(problems)]
        paths = "" if rows[0].columns.in_cells else f"Relative paths start at {table.folder.absolute()}.{_beginning(table, rows)}"
        raise DataError(
            f"{table.file} has {len(problems)} {'entry' if len(problems) == 1 else 'entries'} that cannot be used: "
            + listed([f"\n  {line}" for line in lines])
            + ".",
            fix=paths or "Correct these rows, or remove them.",
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


def _problems(row: _Row, chosen: Chosen) -> list[str]:
    problems = [row.trouble] if row.trouble else []
    names = row.columns.labels
    if chosen.targets:
        problems += [problem for problem in _problems_of_targets(row, chosen) if problem]
    elif chosen.task != "classify":
        found = (
            problem_of(cell, name, task=chosen.task, several=len(names) > 1) for cell, name in zip(row.cells, names, strict=True)
        )
        problems += [problem for problem in found if problem]
    elif not row.label:
        problems.append("no label")
    elif row.label.lower() in _MISSING:
        problems.append(f"no label, only `{row.label}`, which stands for a missing value")
    if row.split and row.split not in SPLIT_FOLDERS:
        problems.append(f"unknown split `{short(row.split)}` (train, val, test or empty)")
    return problems


def _problems_of_targets(row: _Row, chosen: Chosen) -> list[str]:
    """What is wrong with the cells of several targets."""
    return [
        problem_of_cell(cell, column, target.kind, several=len(cells) > 1)
        for name, target in chosen.targets.items()
        for cells in (_cells_of_target(row, name, chosen),)
        for column, cell in cells
    ]


def _cells_of_target(row: _Row, name: str, chosen: Chosen) -> list[tuple[str, str]]:
    """The columns of one of several targets, each with the cell of a row."""
    start = 0
    for one, target in chosen.targets.items():
        stop = start + len(columns_of(one, target))
        if one == name:
            return list(zip(row.columns.labels[start:stop], row.cells[start:stop], strict=True))
        start = stop
    raise ValueError(f"There is no target {name}.")


def _without_unlabelled(rows: list[_Row], chosen: Chosen, source: str) -> tuple[list[_Row], list[str]]:
    """The rows that have a target at least, where several are asked for, and what was left out."""
    kept = [
        row
        for row in rows
        if any(
            not missing_cell(cell, target.kind)
            for name, target in chosen.targets.items()
            for _, cell in _cells_of_target(row, name, chosen)
        )
    ]
    left_out = len(rows) - len(kept)
    if not kept:
        raise DataError(f"{source} has no row with a target.", received=listed(list(chosen.targets)))
    if not left_out:
        return kept, []
    words = "has none of the targets and is" if left_out == 1 else "have none of the targets and are"
    return kept, [f"{left_out} of {len(rows)} rows {words} left out: {source}."]


def _check_agreement(rows: Sequence[_Row], chosen: Chosen) -> None:
    """Raises where two tables name the same file with different labels or splits, or have different columns of labels."""
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if row.path and other.table is not row.table and (other.label, other.split) != (row.label, row.split):
            raise DataError(
                f"{row.table.file} and {other.table.file} do not agree on {row.path}.",
                received=f"`{row.label}` {row.split} and `{other.label}` {other.split}".replace("  ", " "),
                fix=f"Keep the {chosen.files.noun} in one of them.",
            )
        if chosen.task != "classify" and row.columns.labels != rows[0].columns.labels:
            raise DataError(
                f"{row.table.file} and {rows[0].table.file} do not have the same columns of labels.",
                received=f"{listed(row.columns.labels)} and {listed(rows[0].columns.labels)}",
                fix="Name them with --set data.label_column=NAME,NAME, in the same order and spelling.",
            )


def _notes(table: Table, columns: Columns, rows: Sequence[_Row], chosen: Chosen) -> list[str]:
    if table.stored is not None:
        return []
    guessed = list(columns.guessed)
    if not columns.in_cells:
        written = os.path.join(table.folder, os.path.expanduser(table.cells(columns.source)[0]))
        if os.path.normpath(rows[0].path) != os.path.normpath(written):
            guessed.append(f"the first path as {rows[0].path}")
    read = [f"{table.file} is read with {', '.join(guessed)}."] if guessed else []
    if table.headless:
        read.insert(0, f"{table.file} has no header: its first line is read as {chosen.files.article} {chosen.files.noun} too.")
    noun = chosen.files.noun
    return [*read, *(_not_a_split(table, name, noun) for name in dividing_columns(table) if name not in columns.used)]


def _not_a_split(table: Table, name: str, noun: str) -> str:
    values = sorted({cell for cell in table.cells(name) if cell})
    return (
        f"The column `{name}` of {table.file} ({listed(values, limit=5)}) is not used. If it says the split of each {noun}, "
        "write train, val or test into a column `split`."
    )


def _fold_notes(rows: Sequence[_Row], chosen: Chosen) -> list[str]:
    """That the table has folds, and how one of them becomes the test split."""
    folds = sorted({row.fold for row in rows if row.fold})
    if not folds or len(folds) > 50:
        return []
    return [
        f"The column `fold` ({listed(folds)}) is not used to split the {chosen.files.nouns}. To test on one fold and train on "
        f"the others: --set data.test_fold={folds[0]}"
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


def _examples(rows: Sequence[_Row], chosen: Chosen, notes: Sequence[str], source: str) -> Examples:
    targets, more = _targets(rows, chosen, source)
    groups = [f"{GROUP}{row.group}" if row.group else f"{row.table.file.name} {row.where}" for row in rows]
    found: list[dict[str, Any]] = [
        {"kind": "table_read", "severity": "info", "files": [], "note": note} for note in (*notes, *more)
    ]
    return Examples(
        **targets,
        **_contents(rows),
        groups=np.array(groups) if any(row.group for row in rows) else None,
        splits=np.array([SPLIT_FOLDERS.get(row.split, "") for row in rows]) if any(row.split for row in rows) else None,
        source=source,
        root=next((row.table.root for row in rows if row.table.root), ""),
        findings=tuple(found),
    )


def _contents(rows: Sequence[_Row]) -> dict[str, Any]:
    """The paths, or the contents as UTF-8."""
    if not rows[0].columns.in_cells:
        return {"paths": np.array([row.path for row in rows])}
    contents = np.empty(len(rows), object)
    contents[:] = [row.cell.encode("utf-8", "replace") for row in rows]
    return {"contents": contents}


def _targets(rows: Sequence[_Row], chosen: Chosen, source: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The classes, or the targets and what is to be said about them."""
    if chosen.task == "classify":
        class_names = tuple(sorted({row.label for row in rows}))
        index = {name: label for label, name in enumerate(class_names)}
        return {"class_names": class_names, "labels": np.array([index[row.label] for row in rows], np.int32)}, ()
    columns = rows[0].columns.labels
    if chosen.targets:
        return _several_targets(rows, chosen, source)
    names = rows[0].table.class_names.get(columns[0], ()) if len(columns) == 1 else ()
    found = targets_of([row.cells for row in rows], columns, task=chosen.task, where=source, class_names=names)
    return {"class_names": found.names, "targets": found.values}, found.notes


def _several_targets(rows: Sequence[_Row], chosen: Chosen, source: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    cells: dict[str, list[list[str]]] = {}
    columns: dict[str, list[str]] = {}
    for name in chosen.targets:
        found = [_cells_of_target(row, name, chosen) for row in rows]
        columns[name] = [column for column, _ in found[0]]
        cells[name] = [[cell for _, cell in row] for row in found]
    made = head_targets_of(cells, columns, chosen.targets, where=source)
    heads = {name: target.kind for name, target in chosen.targets.items()}
    return {"class_names": made.names, "targets": made.values, "heads": heads}, made.notes
