"""From the cells of a table to targets: sets of labels, a column of zeros and ones for each label, or numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples, listed
from tfl.data.label_values import MISSING, mark_of, number_of, separator_of_sets
from tfl.errors import DataError
from tfl.recipe import OF_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The targets of rows.

    Args:
        names: Strings, the name of each column of `values`.
        values: `(n, len(names))` float32; NaN where a value is missing.
        notes: Strings, sentences about how they were read.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def targets_of(
    cells: Sequence[Sequence[str]], columns: Sequence[str], *, task: str, where: str, class_names: Sequence[str] = ()
) -> Targets:
    """The targets of a table's rows.

    Args:
        cells: The cells of each row, one for each of `columns`.
        columns: Strings, the columns.
        task: `multilabel` or `regress`.
        where: String, the table, for messages.
        class_names: Strings, the names of labels that are numbered in the cells.

    Raises:
        DataError: There is no label or number, or the same one everywhere.

    Example:

    >>> from tfl.data.targets import targets_of
    >>> found = targets_of([["cat;dog"], [""], ["dog"]], ["tags"], task="multilabel", where="a.csv")
    >>> found.names, found.values.tolist()
    (('cat', 'dog'), [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    """
    if task in OF_NUMBERS:
        return _numbers(cells, columns, where)
    if len(columns) > 1 or _only_marks([row[0] for row in cells]):
        return _with_missing(tuple(columns), _read(cells, mark_of), where, "labels")
    return _sets([row[0] for row in cells], f"{where}, column `{columns[0]}`", class_names)


def problem_of(cell: str, column: str, *, task: str, several: bool) -> str:
    """What is wrong with a cell for that task; empty where nothing is.

    Example:

    >>> from tfl.data.targets import problem_of
    >>> problem_of("old", "age", task="regress", several=False)
    'no number in `age`, but `old`'
    """
    if cell.lower() in MISSING:
        return ""
    if task in OF_NUMBERS and number_of(cell) is None:
        return f"no number in `{column}`, but `{cell[:60]}`"
    if task == "multilabel" and several and mark_of(cell) is None:
        return f"neither 0 nor 1 in `{column}`, but `{cell[:60]}`"
    return ""


def labels_in(cell: str, mark: str | None) -> list[str]:
    """The labels in a cell; a list as JSON or Python writes it is read as one.

    Example:

    >>> from tfl.data.targets import labels_in
    >>> labels_in("cat; dog", ";"), labels_in("['cat', 'dog']", ","), labels_in('["a, b", "c"]', ","), labels_in("", ";")
    (['cat', 'dog'], ['cat', 'dog'], ['a, b', 'c'], [])
    """
    if cell.startswith("[") and cell.endswith("]"):
        try:
            return [str(label).strip() for label in json.loads(cell)]
        except ValueError:
            pass
    inner = cell[1:-1] if cell[:1] + cell[-1:] in ("[]", "{}", "()") else cell
    parts = [inner] if mark is None else inner.split(mark)
    return [part for part in (part.strip().strip("'\"").strip() for part in parts) if part]


def _sets(cells: Sequence[str], where: str, class_names: Sequence[str]) -> Targets:
    mark = separator_of_labels(list(dict.fromkeys(cell for cell in cells if cell)))
    sets = [[] if cell.lower() in MISSING else labels_in(cell, mark) for cell in cells]
    if class_names:
        sets = [[_called(label, class_names) for label in labels] for labels in sets]
    names = tuple(sorted({label for labels in sets for label in labels}))
    if not names:
        raise DataError(f"{where}: no cell has a label.", allowed="labels in each cell, such as cat;dog, or nothing for none")
    index = {name: column for column, name in enumerate(names)}
    values = np.zeros((len(cells), len(names)), np.float32)
    for row, labels in enumerate(sets):
        values[row, [index[label] for label in labels]] = 1.0
    how = f"separated by {'blanks' if mark == ' ' else f'`{mark}`'}" if mark else "one to a cell"
    empty = sum(not labels for labels in sets)
    more = f"; {empty} {'row has' if empty == 1 else 'rows have'} no label" if empty else ""
    return Targets(names=names, values=values, notes=(f"{where}: {len(names)} labels, {how}: {listed(names)}{more}.",))


def separator_of_labels(values: Sequence[str]) -> str | None:
    """The mark between labels, where the cells show one; else the first usual one that any of them has."""
    lists = [value for value in values if value.startswith("[") and value.endswith("]")]
    if values and len(lists) == len(values):
        return ","
    return separator_of_sets(values) or next((mark for mark in (";", "|", ",") if any(mark in value for value in values)), None)


def _called(label: str, class_names: Sequence[str]) -> str:
    return class_names[int(label)] if label.isdecimal() and int(label) < len(class_names) else label


def _only_marks(cells: Sequence[str]) -> bool:
    """Whether the cells of a single column are zeros and ones: one label, and nothing else is predicted."""
    known = [cell for cell in cells if cell.lower() not in MISSING]
    return bool(known) and all(mark_of(cell) is not None for cell in known)


def _read(cells: Sequence[Sequence[str]], reader: Any) -> NDArray[np.float32]:
    found = [[reader(cell) for cell in row] for row in cells]
    return np.array([[math.nan if value is None else value for value in row] for row in found], np.float32)


def _numbers(cells: Sequence[Sequence[str]], columns: Sequence[str], where: str) -> Targets:
    values = _read(cells, number_of)
    refuse_constant(values, columns, where)
    return _with_missing(tuple(columns), values, where, "numbers")


def refuse_constant(values: NDArray[np.float32], names: Sequence[str], where: str) -> None:
    """Makes sure that there is something to learn of every number.

    Raises:
        DataError: A number is the same in every example, or known in fewer than two.
    """
    known = [column[np.isfinite(column)] for column in values.T]
    same = [f"`{name}` ({_constant(column)})" for name, column in zip(names, known, strict=True) if len(np.unique(column)) < 2]
    if same:
        raise DataError(
            f"There is nothing to learn of {'a number' if len(same) == 1 else 'numbers'} of {where}: it never changes.",
            received=listed(same),
            allowed="columns with two different numbers or more",
            fix="Name the columns to predict with --set data.label_column=NAME or NAME,NAME.",
        )


def _constant(known: NDArray[np.float32]) -> str:
    return "no number in any row" if not len(known) else f"{known[0]:g} in every row"


def _with_missing(names: tuple[str, ...], values: NDArray[np.float32], where: str, what: str) -> Targets:
    """The targets with a note on missing values, by column."""
    missing = {name: int(count) for name, count in zip(names, np.isnan(values).sum(axis=0), strict=True) if count}
    notes = [f"{where}: {what} {listed([f'`{name}`' for name in names])}."]
    if missing:
        shown = listed([f"`{name}` ({count} of {len(values)})" for name, count in missing.items()])
        notes.append(f"{where}: missing values are left out of training and metrics: {shown}.")
    return Targets(names=names, values=values, notes=tuple(notes))


def target_text(examples: Examples, index: int) -> str:
    """The target of an example as people read it: its class, `cat;dog`, `3.5`, or `age=3.5;weight=70`; of boxes how many each
    class has, `cat=2;dog=1`; missing ones are left out.

    Example:

    >>> import numpy as np
    >>> from tfl.data.targets import target_text
    >>> pets = Examples(class_names=("cat", "dog"), targets=np.array([[1, 1]]), contents=np.array([b"x"]))
    >>> target_text(pets, 0)
    'cat;dog'
    >>> names, rows = ("kind=ant", "kind=bee", "size"), np.array([[0, 1, 2.5]])
    >>> both = {"kind": "class", "size": "number"}
    >>> target_text(Examples(class_names=names, targets=rows, contents=np.array([b"x"]), heads=both), 0)
    'kind=bee;size=2.5'
    """
    if examples.targets is None:
        return examples.class_names[int(examples.labels[index])]
    row, names = examples.targets[index], examples.class_names
    if examples.boxes:
        return ";".join(f"{name}={count}" for name, count in examples.take([index]).counts().items() if count)
    if examples.heads:
        return ";".join(_words_of_heads(names, row.tolist(), examples.heads))
    if are_labels(examples):
        return ";".join(name for name, value in zip(names, row, strict=True) if value == 1.0)
    known = [(name, f"{value:.7g}") for name, value in zip(names, row, strict=True) if not np.isnan(value)]
    return ";".join(text if len(names) == 1 else f"{name}={text}" for name, text in known)


def _words_of_heads(names: Sequence[str], row: Sequence[float], heads: Mapping[str, str]) -> list[str]:
    """What is known of each of several targets, such as `disease=rust` and `length=3.5`."""
    words = []
    for name, value in zip(names, row, strict=True):
        if heads[name.partition("=")[0]] == "number":
            words += [] if math.isnan(value) else [f"{name}={value:.7g}"]
        elif value == 1.0:
            words.append(name)
    return words


def are_labels(examples: Examples) -> bool:
    """Whether the targets are zeros and ones alone, as those of labels are."""
    return (
        examples.targets is not None
        and not examples.heads
        and not examples.boxes
        and bool(np.isin(examples.targets[np.isfinite(examples.targets)], (0.0, 1.0)).all())
    )
