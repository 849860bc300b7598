"""From the cells of a table to several targets: each by its kind, side by side in one array, NaN where a cell is empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.examples import listed
from tfl.data.label_values import MISSING, looks_like_numbers, mark_of, number_of, separator_of_sets
from tfl.data.targets import Targets, labels_in, separator_of_labels
from tfl.errors import DataError, did_you_mean
from tfl.recipe import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_LABEL = ("none", "-", "[]")
"""Cells that say of several labels that there is none; an empty cell says that nobody knows."""
_MISSING_CLASS = frozenset(("", "nan", "<na>", "#n/a"))
"""What stands for a missing class; `none` and `na` are names that classes may have."""


def columns_of(name: str, target: Target) -> list[str]:
    """The columns that a target names: one, or of labels several.

    Example:

    >>> import tfl
    >>> from tfl.data.head_targets import columns_of
    >>> columns_of("signs", tfl.Target("labels", column="holes, dew")), columns_of("height", tfl.Target("number"))
    (['holes', 'dew'], ['height'])
    """
    written = target.column or name
    several = target.kind == "labels" and "," in written
    return [one for one in (part.strip() for part in written.split(",")) if one] if several else [written]


def table_columns(targets: Mapping[str, Target], there: Sequence[str], *, where: str) -> dict[str, tuple[str, ...]]:
    """The columns of each target in a table, whatever their case.

    Raises:
        DataError: One is not there: the message names the columns that are.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, target in targets.items():
        places = []
        for column in columns_of(name, target):
            same = [one for one in there if one == column] or [one for one in there if one.strip().lower() == column.lower()]
            if len(same) != 1:
                raise DataError(
                    f"{where} has no column `{column}` for the target `{name}`.",
                    received=listed(list(there), limit=20),
                    fix=did_you_mean(column, there) or f"Say its column: data.targets.{name}, as tfl.Target(KIND, column=NAME).",
                )
            places.append(same[0])
        found[name] = tuple(places)
    return found


def missing_cell(cell: str, kind: str) -> bool:
    """Whether a cell says nothing of a target of that kind.

    Example:

    >>> from tfl.data.head_targets import missing_cell
    >>> missing_cell("", "labels"), missing_cell("none", "labels"), missing_cell("NaN", "number"), missing_cell("na", "class")
    (True, False, True, False)
    """
    if kind == "class":
        return cell.lower() in _MISSING_CLASS
    return cell.lower() in MISSING and not (kind == "labels" and cell.lower() in NO_LABEL)


def problem_of_cell(cell: str, column: str, kind: str, *, several: bool) -> str:
    """What is wrong with a cell; empty where nothing is.

    Example:

    >>> from tfl.data.head_targets import problem_of_cell
    >>> problem_of_cell("tall", "height", "number", several=False)
    'no number in `height`, but `tall`'
    """
    if missing_cell(cell, kind):
        return ""
    if kind == "number" and number_of(cell) is None:
        return f"no number in `{column}`, but `{cell[:60]}`"
    if kind == "labels" and several and mark_of(cell) is None:
        return f"neither 0 nor 1 in `{column}`, but `{cell[:60]}`"
    return ""


def head_targets_of(
    cells: Mapping[str, Sequence[Sequence[str]]],
    columns: Mapping[str, Sequence[str]],
    targets: Mapping[str, Target],
    *,
    where: str,
) -> Targets:
    """The targets of a table's rows, side by side.

    Args:
        cells: By target, the cells of each row, one for each of its columns.
        columns: By target, its columns.
        targets: What each is.
        where: The table, for messages.

    Returns:
        Names, `target=name` of each class and label and `target` of a number; values, NaN where one is missing; and notes.

    Raises:
        DataError: A target has fewer than two classes, no label, or no number, or its cells look like another kind.

    Example:

    >>> import tfl
    >>> from tfl.data.head_targets import head_targets_of
    >>> targets = {"kind": tfl.Target("class"), "size": tfl.Target("number")}
    >>> cells = {"kind": [["ant"], ["bee"], [""]], "size": [["3"], [""], ["5"]]}
    >>> found = head_targets_of(cells, {"kind": ["kind"], "size": ["size"]}, targets, where="a.csv")
    >>> found.names, found.values[0].tolist(), found.values[2].tolist()
    (('kind=ant', 'kind=bee', 'size'), [1.0, 0.0, 3.0], [nan, nan, 5.0])
    """
    names: list[str] = []
    values, notes = [], []
    for target, one in targets.items():
        place = f"{where}, target `{target}` (column {listed([f'`{column}`' for column in columns[target]])})"
        own, table = _READERS[one.kind](cells[target], columns[target], place)
        names += [f"{target}={name}" for name in own] if own else [target]
        values.append(table)
        missing = int(np.isnan(table).all(axis=1).sum())
        what = {"class": f"{len(own)} classes", "labels": f"{len(own)} labels", "number": "a number"}[one.kind]
        rows = f"; {missing} of {len(table)} rows have none" if missing else ""
        notes.append(f"{place}: {what}{rows}.")
    return Targets(names=tuple(names), values=np.concatenate(values, axis=1), notes=tuple(notes))


def _classes(cells: Sequence[Sequence[str]], columns: Sequence[str], where: str) -> tuple[list[str], NDArray[np.float32]]:
    said = [row[0] for row in cells]
    counts = Counter(cell for cell in said if not missing_cell(cell, "class"))
    if looks_like_numbers(counts):
        raise DataError(
            f"{where}: the cells look like a number, not like classes.",
            received=f"{len(counts)} different numbers",
            fix='Say so: "number" in `data.targets`. Otherwise write ranges as names of classes, such as `0-10` and `10-20`.',
        )
    if (mark := separator_of_sets(list(counts))) is not None:
        raise DataError(
            f"{where}: the cells look like several labels each, separated by {'blanks' if mark == ' ' else f'`{mark}`'}.",
            received=listed([f"`{value[:60]}`" for value in counts if mark in value][:3]),
            fix='Say so: "labels" in `data.targets`. Otherwise write one class in each cell.',
        )
    if len(counts) < 2:
        raise DataError(
            f"{where} has fewer than two classes.", received=listed(sorted(counts)) or "none", allowed="two classes or more"
        )
    names = sorted(counts)
    index = {name: at for at, name in enumerate(names)}
    table = np.full((len(said), len(names)), np.nan, np.float32)
    for row, cell in enumerate(said):
        if not missing_cell(cell, "class"):
            table[row] = np.arange(len(names)) == index[cell]
    return names, table


def _labels(cells: Sequence[Sequence[str]], columns: Sequence[str], where: str) -> tuple[list[str], NDArray[np.float32]]:
    if len(columns) > 1:
        return list(columns), _numbers_of(cells, mark_of)
    said = [row[0] for row in cells]
    known = [cell for cell in said if not missing_cell(cell, "labels")]
    some = list(dict.fromkeys(cell for cell in known if cell.lower() not in NO_LABEL))
    if known and all(mark_of(cell) is not None for cell in known):
        return list(columns), _numbers_of(cells, mark_of)
    mark = separator_of_labels(some)
    names = sorted({label for cell in some for label in labels_in(cell, mark)})
    if not names:
        raise DataError(
            f"{where}: no cell has a label.",
            allowed="labels in each cell, such as cat;dog, `none` for none, nothing where unknown",
        )
    index = {name: at for at, name in enumerate(names)}
    table = np.full((len(said), len(names)), np.nan, np.float32)
    for row, cell in enumerate(said):
        if not missing_cell(cell, "labels"):
            table[row] = 0.0
            if cell.lower() not in NO_LABEL:
                table[row, [index[label] for label in labels_in(cell, mark)]] = 1.0
    return names, table


def _number(cells: Sequence[Sequence[str]], columns: Sequence[str], where: str) -> tuple[list[str], NDArray[np.float32]]:
    table = _numbers_of(cells, number_of)
    known = np.unique(table[np.isfinite(table)])
    if len(known) < 2:
        raise DataError(
            f"There is nothing to learn of {where}: it never changes.",
            received=f"{known[0]:g} in every row" if len(known) else "no number in any row",
            allowed="a column with two different numbers or more",
        )
    return [], table


def _numbers_of(cells: Sequence[Sequence[str]], reader: object) -> NDArray[np.float32]:
    read = reader if callable(reader) else float
    found = [[read(cell) for cell in row] for row in cells]
    return np.array([[np.nan if value is None else value for value in row] for row in found], np.float32)


_READERS = {"class": _classes, "labels": _labels, "number": _number}
