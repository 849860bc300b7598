"""Which columns of a table are the path, the label, the group and the split: by name, by their cells, or as the recipe says."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tfl.data.examples import listed
from tfl.data.label_values import looks_like_numbers
from tfl.data.located import IMAGE_SUFFIXES, FilesBelow, locate, short
from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import Table
from tfl.errors import DataError, did_you_mean

_ALLOWED = "columns for the path and the label of each image, and optionally group, split or fold"
_PATHS = (
    *(
        "path",
        "filename",
        "file",
        "filepath",
        "filepaths",
        "image",
        "imagepath",
        "imagename",
        "imagefile",
        "imagefilename",
        "imageid",
    ),
    *("img", "imgpath", "imgname", "imgid", "photo", "picture", "name", "id"),
)
_LABELS = (
    *("label", "labels", "labelname", "class", "classname", "classes", "category", "categoryname", "target", "species", "breed"),
    *("diagnosis", "dx"),
)
_SPLITS = ("split", "subset", "partition", "dataset", "set", "fold", "usage")
_SPLIT_MARKS = ("istrain", "istraining", "isval", "isvalid", "isvalidation", "istest", "istesting")
_MOST_LOOKED_AT = 500


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table by what they are for; None where it has none.

    Args:
        path, label, group, split, fold: Their names, as the table writes them. `fold` numbers the parts of a cross-validation.
        guessed: The role of each column that was found by another name than its own.
    """

    path: str
    label: str
    group: str | None = None
    split: str | None = None
    fold: str | None = None
    guessed: tuple[str, ...] = ()


def choose_columns(table: Table, *, path: str | None, label: str | None, known: FilesBelow) -> Columns:
    """The columns of `table`. A column that is not named `path` or `label` is taken only where no other can be meant.

    The path is the column whose cells are files. The label is the column with a name that labels have, or the only other column
    whose cells can be classes.

    Args:
        table: The table.
        path, label: The columns that the recipe names; None to find them.
        known: The files below the folder of the table.

    Raises:
        DataError: A column is missing, or several may be meant: one message that lists the columns.
    """
    chosen = choose_path(table, path=path, known=known)
    own = _by_role(table)
    words = _split_column(table, chosen)
    rest = [name for name in table.columns if name not in (chosen, words, own.get("group"), own.get("fold"))]
    labels = _named(table, label, "label_column") or own.get("label") or _label_column(table, chosen, rest)
    roles = ((chosen, "path"), (labels, "label"))
    guessed = [f"the column `{name}` as the {role}" for name, role in roles if name.lower() != role]
    if words is not None and _plain(words) != "split":
        guessed.append(f"the column `{words}` as the split")
    fold = own.get("fold")
    return Columns(
        path=chosen,
        label=labels,
        group=own.get("group"),
        split=words,
        fold=fold if fold not in (words, labels, chosen) else None,
        guessed=tuple(guessed),
    )


def choose_path(table: Table, *, path: str | None, known: FilesBelow) -> str:
    """The column of `table` that names the images, as `choose_columns` finds it.

    Raises:
        DataError: There is none, or several may be meant.
    """
    _check_header(table)
    return _named(table, path, "path_column") or table.images or _by_role(table).get("path") or _path_column(table, known)


def _by_role(table: Table) -> dict[str, str]:
    """The columns by their names without case and blanks."""
    return {name.strip().lower(): name for name in reversed(table.columns)}


def _plain(name: str) -> str:
    """A name without case and marks: `Image ID` and `image_id` are the same."""
    return re.sub(r"[\W_]+", "", name.lower())


def _check_header(table: Table) -> None:
    names = [name.lower() for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice or not names or not any(names):
        raise _wrong_header(table, f"{listed(twice)} twice" if twice else "an empty file")
    if any(os.path.splitext(name)[1] in IMAGE_SUFFIXES for name in names):
        raise _wrong_header(table, "a first line that names an image", fix="Write the names of the columns above it: path,label")


def _wrong_header(table: Table, received: str, *, fix: str | None = None) -> DataError:
    return DataError(f"{table.file} has the wrong header.", received=short(received), allowed=_ALLOWED, fix=fix)


def _named(table: Table, name: str | None, field: str) -> str | None:
    """The column that the recipe names."""
    if name is None:
        return None
    for column in table.columns:
        if name == column:
            return column
    same = [column for column in table.columns if column.lower() == name.strip().lower()]
    if len(same) == 1:
        return same[0]
    raise DataError(
        f"{table.file} has no column `{name}`, which `data.{field}` names.",
        received=short(", ".join(table.columns)),
        fix=did_you_mean(name, table.columns) or None,
    )


def _path_column(table: Table, known: FilesBelow) -> str:
    """The column whose cells are files, or else the one with a name for paths: its cells are then listed as missing."""
    found = [name for name in table.columns if _names_files(table, name, known)]
    called = [name for word in _PATHS for name in table.columns if _plain(name) == word]
    if len(found) > 1:
        better = [name for name in called if name in found]
        found = better[:1] if len(better) == 1 else found
    if len(found) == 1:
        return found[0]
    if not found and called and len(table.columns) > 1 and table.rows:
        return called[0]
    what = "has several columns that name images" if found else "has no column that names images"
    raise DataError(
        f"{table.file} has the wrong header: it {what}.",
        received=_shown(table, found or table.columns),
        allowed=_ALLOWED,
        fix="Name the column with --set data.path_column=NAME, or call it `path` in the table."
        + ("" if found else f" No cell is the path of a file below {table.folder.absolute()}."),
    )


def _names_files(table: Table, column: str, known: FilesBelow) -> bool:
    cells = [cell for cell in table.cells(column) if cell][:_MOST_LOOKED_AT]
    if len(set(cells)) <= len(cells) / 2:
        return False
    there = sum(not one.trouble for one in locate(table.folder, cells, table=table.file.stem, known=known))
    return 2 * there > len(cells) > 0


def _split_column(table: Table, path: str) -> str | None:
    """The column `split`, or another whose name and cells say that it is one."""
    for word in _SPLITS:
        for name in table.columns:
            if name != path and _plain(name) == word:
                cells = {cell.lower() for cell in table.cells(name) if cell}
                if word == "split" or (cells and cells <= set(SPLIT_FOLDERS)):
                    return name
    return None


def dividing_columns(table: Table) -> list[str]:
    """The columns whose names say that they divide the images into splits or groups: `split`, `is_train`, `fold`, `group`."""
    return [name for name in table.columns if name and _plain(name) in (*_SPLITS, *_SPLIT_MARKS, "group")]


def _label_column(table: Table, path: str, others: Sequence[str]) -> str:
    others = [name for name in others if name and name != path]
    called = [name for name in others if _plain(name) in _LABELS]
    if len(called) == 1:
        return called[0]
    if len(called) > 1 and _same_division(table, called):
        return max(called, key=lambda name: sum(not cell.isdigit() for cell in table.cells(name)[:_MOST_LOOKED_AT]))
    if not called and others:
        possible = [name for name in others if _may_be_classes(table.cells(name))]
        marks = [name for name in possible if set(table.cells(name)) <= {"0", "1", "0.0", "1.0", "True", "False"}]
        if len(marks) > 1 and len(marks) == len(possible):
            raise _one_column_each(table, path, marks)
        if len(possible) == 1 or len(others) == 1:
            return (possible or others)[0]
        called = possible
    what = "has several columns that may be the label" if called else "has no column that can be the label"
    raise DataError(
        f"{table.file} {what}.",
        received=_shown(table, called or table.columns),
        allowed=_ALLOWED,
        fix="Name the column with --set data.label_column=NAME, or call it `label` in the table.",
    )


def is_known_label(name: str) -> bool:
    """Whether a column is called as labels are.

    Example:

    >>> from tfl.data.columns import is_known_label
    >>> is_known_label("Class Name"), is_known_label("age")
    (True, False)
    """
    return _plain(name) in _LABELS


def _same_division(table: Table, names: Sequence[str]) -> bool:
    """Whether the columns say the same in other words, as `class` and `class_name` do."""
    rows = set(zip(*(table.cells(name) for name in names), strict=True))
    return all(len({row[at] for row in rows}) == len(rows) for at in range(len(names)))


def _may_be_classes(cells: Sequence[str]) -> bool:
    counts = Counter(cell for cell in cells if cell)
    return 2 <= len(counts) <= max(2, counts.total() // 2) and not looks_like_numbers(counts)


def _one_column_each(table: Table, path: str, marks: Sequence[str]) -> DataError:
    """The error for a table with a column of 0 and 1 for each class."""
    rows = zip(*([cell in ("1", "1.0", "True") for cell in table.cells(name)] for name in marks), strict=True)
    single = all(sum(row) == 1 for row in rows)
    code = f"t = pd.read_csv({table.file.name!r}); t['label'] = t[{list(marks)!r}].idxmax(axis=1); t.to_csv('labels.csv')"
    return DataError(
        f"{table.file} has one column for each label, with 0 and 1 in its cells.",
        received=_shown(table, [path, *marks]),
        allowed="one column with the class of each image",
        fix=f"Each row has exactly one 1, so the class can be written into one column: import pandas as pd; {code}"
        if single
        else "Some rows have no 1 or several: several labels per image are not trained yet. Write the one class of each image "
        "into a column, or name the column to train on with --set data.label_column=NAME.",
    )


def _shown(table: Table, columns: Sequence[str]) -> str:
    """Columns, each with the first of its cells."""
    first = {name: next((cell for cell in table.cells(name) if cell), "") for name in columns[:12]}
    return short(listed([f"`{short(name)}`" + (f" ({cell[:40]}, …)" if cell else "") for name, cell in first.items()], limit=12))
