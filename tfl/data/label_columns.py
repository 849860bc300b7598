"""Which columns of a table hold the class, the labels or the numbers: by name, by their cells, or as the recipe says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tfl.data.columns import (
    Chosen,
    Columns,
    allowed_columns,
    by_role,
    choose_source,
    named_column,
    plain,
    shown_columns,
    split_column,
)
from tfl.data.head_targets import table_columns
from tfl.data.label_values import MISSING, looks_like_numbers, mark_of, number_of, separator_of_sets
from tfl.data.located import FilesBelow
from tfl.data.tables import Table
from tfl.errors import DataError, MismatchError
from tfl.recipe import OF_NUMBERS

_LABELS = (
    *("label", "labels", "labelname", "class", "classname", "classes", "category", "categoryname", "target", "species", "breed"),
    *("diagnosis", "dx"),
)
_OFTEN = ("sentiment", "polarity", "intent", "emotion", "topic", "stars")
"""Names of label columns, where no other column has one of the names above."""
_SETS = ("labels", "tags", "label", "tag", "categories", "genres", "topics", "classes")
_NUMBERS = ("target", "targets", "value", "score", "rating", "age", "price", "y", "label")
_MOST_LOOKED_AT = 500


def choose_columns(table: Table, chosen: Chosen, known: FilesBelow) -> Columns:
    """The columns of `table`. A column that is not named `path` or `label` is taken only where no other can be meant.

    The path is the column whose cells are files; where the examples are in the cells, see `tfl.data.columns.content_column`. The
    label is the column with a name that labels have, or the only other column whose cells can be what the task predicts.

    Args:
        table: The table.
        chosen: What the recipe says.
        known: The files below the folder of the table.

    Raises:
        DataError: A column is missing, or several may be meant: one message that lists the columns.
    """
    source, in_cells = choose_source(table, chosen, known)
    own = by_role(table)
    words = split_column(table, source)
    rest = [name for name in table.columns if name and name not in (source, words, own.get("group"), own.get("fold"))]
    if chosen.files.in_cells:
        rest = [name for name in rest if not _counts_rows(table, name)]
    if chosen.targets:
        places = table_columns(chosen.targets, table.columns, where=str(table.file))
        labels = tuple(column for columns in places.values() for column in columns)
    else:
        labels = _named(table, chosen.label) or _found(table, chosen, source, rest)
    role = chosen.files.noun if in_cells else "path"
    roles = ((source, role), *((name, "label") for name in labels if len(labels) == 1))
    guessed = [f"the column `{name}` as the {role}" for name, role in roles if name.lower() != role]
    if len(labels) > 1 and not chosen.targets:
        guessed.append(f"the columns {', '.join(f'`{name}`' for name in labels)} as the labels")
    if words is not None and plain(words) != "split":
        guessed.append(f"the column `{words}` as the split")
    fold = own.get("fold")
    return Columns(
        source=source,
        in_cells=in_cells,
        labels=labels,
        group=own.get("group"),
        split=words,
        fold=fold if fold not in (words, source, *labels) else None,
        guessed=tuple(guessed),
    )


def _named(table: Table, label: str | None) -> tuple[str, ...]:
    """The columns that `data.label_column` names: one, or several with commas between them."""
    if label is None:
        return ()
    names = [label] if label in table.columns or "," not in label else [name.strip() for name in label.split(",")]
    return tuple(name for name in (named_column(table, part, "label_column") for part in names if part) if name)


def _found(table: Table, chosen: Chosen, source: str, rest: Sequence[str]) -> tuple[str, ...]:
    if chosen.task in OF_NUMBERS:
        return _number_columns(table, chosen, source, rest)
    own = by_role(table).get("label")
    if chosen.task == "multilabel" and own is None:
        return _set_columns(table, chosen, source, rest)
    return (own or _label_column(table, chosen, source, rest),)


def _label_column(table: Table, chosen: Chosen, source: str, others: Sequence[str]) -> str:
    called = [name for name in others if plain(name) in _LABELS]
    if not called and chosen.files.in_cells:
        called = [name for name in others if plain(name) in _OFTEN and may_be_classes(table.cells(name))]
    if len(called) == 1:
        return called[0]
    if len(called) > 1 and _same_division(table, called):
        return max(called, key=lambda name: sum(not cell.isdigit() for cell in table.cells(name)[:_MOST_LOOKED_AT]))
    if not called and others:
        possible = [name for name in others if may_be_classes(table.cells(name))]
        marks = [name for name in possible if set(table.cells(name)) <= {"0", "1", "0.0", "1.0", "True", "False"}]
        if len(marks) > 1 and len(marks) == len(possible):
            raise _one_column_each(table, chosen, source, marks)
        if len(possible) == 1 or len(others) == 1:
            return (possible or others)[0]
        called = possible
    raise _none_or_several(table, chosen, "the label", called)


def _set_columns(table: Table, chosen: Chosen, source: str, others: Sequence[str]) -> tuple[str, ...]:
    """The column of sets of labels, or a column of zeros and ones for each label."""
    sets = [name for name in others if separator_of_sets(_distinct(table, name)) is not None]
    called = [name for name in (sets or others) if plain(name) in _SETS]
    if len(sets) == 1 or len(called) == 1:
        return (sets[0] if len(sets) == 1 else called[0],)
    marks = [name for name in others if _all(mark_of, _distinct(table, name))]
    if len(marks) > 1 and not sets:
        return tuple(marks)
    if not sets and len(others) == 1:
        return (others[0],)
    raise _none_or_several(table, chosen, "the labels", sets)


def _number_columns(table: Table, chosen: Chosen, source: str, others: Sequence[str]) -> tuple[str, ...]:
    """The one column of numbers; of several, the one with a usual name, but none that only counts the rows."""
    numbers = [name for name in others if _all(number_of, _distinct(table, name)) and not _counts_rows(table, name)]
    if len(numbers) == 1:
        return (numbers[0],)
    for word in _NUMBERS:
        called = [name for name in numbers if plain(name) == word]
        if len(called) == 1:
            return (called[0],)
    raise _none_or_several(table, chosen, "the number to predict", numbers)


def _distinct(table: Table, name: str) -> list[str]:
    return list(dict.fromkeys(cell for cell in table.cells(name) if cell.lower() not in MISSING))


def _all(reader: object, cells: Sequence[str]) -> bool:
    """Whether there are cells and each can be read."""
    return bool(cells) and callable(reader) and all(reader(cell) is not None for cell in cells)


def _counts_rows(table: Table, name: str) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ...: row numbers as pandas writes them."""
    cells = table.cells(name)
    return len(cells) > 1 and any(cells == [str(number + start) for number in range(len(cells))] for start in (0, 1))


def _none_or_several(table: Table, chosen: Chosen, what: str, several: Sequence[str]) -> DataError:
    begins = f"has several columns that may be {what}" if several else f"has no column that can be {what}"
    names = "NAME" if chosen.task == "classify" else "NAME or NAME,NAME"
    return DataError(
        f"{table.file} {begins}.",
        received=shown_columns(table, several or table.columns),
        allowed=allowed_columns(chosen.files.noun, in_cells=chosen.files.in_cells),
        fix=f"Name the column with --set data.label_column={names}, or call it `label` in the table.",
    )


def is_known_label(name: str) -> bool:
    """Whether a column is called as labels are.

    Example:

    >>> from tfl.data.label_columns import is_known_label
    >>> is_known_label("Class Name"), is_known_label("age")
    (True, False)
    """
    return plain(name) in _LABELS


def _same_division(table: Table, names: Sequence[str]) -> bool:
    """Whether the columns say the same in other words, as `class` and `class_name` do."""
    rows = set(zip(*(table.cells(name) for name in names), strict=True))
    return all(len({row[at] for row in rows}) == len(rows) for at in range(len(names)))


def may_be_classes(cells: Sequence[str]) -> bool:
    """Whether the cells of a column can be classes: several values, which recur and are not numbers to predict."""
    counts = Counter(cell for cell in cells if cell)
    return 2 <= len(counts) <= max(2, counts.total() // 2) and not looks_like_numbers(counts)


def _one_column_each(table: Table, chosen: Chosen, source: str, marks: Sequence[str]) -> DataError:
    """The error for a table with a column of 0 and 1 for each class."""
    rows = zip(*([cell in ("1", "1.0", "True") for cell in table.cells(name)] for name in marks), strict=True)
    single = all(sum(row) == 1 for row in rows)
    code = f"t = pd.read_csv({table.file.name!r}); t['label'] = t[{list(marks)!r}].idxmax(axis=1); t.to_csv('labels.csv')"
    noun = chosen.files.noun
    return MismatchError(
        f"{table.file} has one column for each label, with 0 and 1 in its cells.",
        received=shown_columns(table, [source, *marks]),
        allowed=f"one column with the class of each {noun}",
        fix=f"Each row has exactly one 1, so the class can be written into one column: import pandas as pd; {code}"
        if single
        else f"Some rows have no 1 or several. To train on several labels per {noun}: --set task=multilabel. To train on one of "
        "the columns: --set data.label_column=NAME",
    ).suggesting({} if single else {"task": "multilabel"})
