"""A CSV file that lists images: columns `path` and `label`, optional `group` and `split`."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfl.data.examples import Examples, listed
from tfl.data.layout import SPLIT_FOLDERS
from tfl.errors import DataError

_COLUMNS = "a header with the columns path, label, and optionally group, split"


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    trouble: str
    label: str
    group: str
    split: str


def read_csv(file: Path) -> Examples:
    """The examples that `file` lists. Relative paths start at the CSV file's folder; the encoding is UTF-8.

    A relative path may not leave that folder by `..`: such a path was made for another place. A file elsewhere is named by
    its absolute path, or from `~`.

    Rows without a `group` are groups of their own; rows without a `split` are left to the splitter.

    Raises:
        DataError: A column, a label or a file is missing: one message with the line numbers.
    """
    rows = _rows(file)
    if not rows:
        raise DataError(f"{file} lists no images.", allowed=f"{_COLUMNS}, then one line for each image")
    _check_rows(file, rows)
    class_names = tuple(sorted({row.label for row in rows}))
    index = {name: label for label, name in enumerate(class_names)}
    groups = [f"group {row.group}" if row.group else f"line {row.line}" for row in rows]
    return Examples(
        class_names=class_names,
        labels=np.array([index[row.label] for row in rows], np.int32),
        paths=np.array([row.path for row in rows]),
        groups=np.array(groups) if any(row.group for row in rows) else None,
        splits=np.array([SPLIT_FOLDERS.get(row.split, "") for row in rows]) if any(row.split for row in rows) else None,
        source=str(file),
    )


def _rows(file: Path) -> list[_Row]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            columns = [name.strip().lower() for name in next(reader, [])]
            _check_header(file, columns)
            return [_row(file, columns, cells, reader.line_num) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text: {error.reason} at byte {error.start}.", fix="Save it as CSV UTF-8."
        ) from error
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}.", fix="Check the quotes on that line.") from error
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error


def _check_header(file: Path, columns: list[str]) -> None:
    if not {"path", "label"} <= set(columns) or len(set(columns)) < len(columns):
        fix = "Separate the columns by commas." if len(columns) == 1 and any(mark in columns[0] for mark in ";\t") else None
        raise DataError(
            f"{file} has the wrong header.", received=_short(", ".join(columns)) or "an empty file", allowed=_COLUMNS, fix=fix
        )


def _row(file: Path, columns: list[str], cells: list[str], line: int) -> _Row:
    values = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    path, trouble = _located(file.parent, values.get("path", ""))
    return _Row(
        line=line,
        path=path,
        trouble=trouble,
        label=values.get("label", ""),
        group=values.get("group", ""),
        split=values.get("split", "").lower(),
    )


def _located(folder: Path, cell: str) -> tuple[str, str]:
    """Where the file is that a cell names, or an empty path and what is wrong with the cell."""
    if not cell:
        return "", "no path"
    if "\0" in cell:
        return "", f"a NUL character in the path {_short(cell)!r}"
    path = os.path.normpath(os.path.expanduser(cell))
    if path.split(os.sep)[0] == os.pardir:
        return "", f"{_short(cell)} leaves the folder of the CSV file (write the absolute path if that file is meant)"
    path = os.path.join(folder, path)
    return (path, "") if os.path.isfile(path) else (path, f"no file at {_short(path)}")


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"


def _check_rows(file: Path, rows: list[_Row]) -> None:
    """Raises one error for everything that is wrong with any row."""
    problems = [(row.line, problem) for row in rows for problem in _problems(row)]
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if row.path and other.label != row.label:
            problems.append((row.line, f"{row.path} is labelled `{row.label}` here and `{other.label}` on line {other.line}"))
        if row.path and other.split != row.split:
            problems.append((row.line, f"{row.path} is in the split `{row.split}` here and `{other.split}` on line {other.line}"))
    if problems:
        lines = [f"line {line}: {problem}" for line, problem in sorted(problems)]
        raise DataError(
            f"{file} has {len(problems)} {'entry' if len(problems) == 1 else 'entries'} that cannot be used: "
            + listed([f"\n  {line}" for line in lines])
            + ".",
            fix=f"Relative paths start at {file.parent.absolute()}.",
        )


def _problems(row: _Row) -> list[str]:
    problems = [row.trouble] if row.trouble else []
    if not row.label:
        problems.append("no label")
    if row.split and row.split not in SPLIT_FOLDERS:
        problems.append(f"unknown split `{_short(row.split)}` (train, val, test or empty)")
    return problems
