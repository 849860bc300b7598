"""Which columns of a table are the path or the content, the group and the split: by name, by cells, or as the recipe says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tfl.data.examples import listed
from tfl.data.located import FilesBelow, locate, short
from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import Table
from tfl.errors import DataError, MismatchError, did_you_mean
from tfl.modalities.base import KINDS
from tfl.modalities.files import FileKind, files_of, kind_in_names, sources
from tfl.recipe import Target

_SPLITS = ("split", "subset", "partition", "dataset", "set", "fold", "usage")
_SPLIT_MARKS = ("istrain", "istraining", "isval", "isvalid", "isvalidation", "istest", "istesting")
_ANY_KIND = ("id", "name", "path", "filename", "file", "title")
"""Names of columns that tell nothing about the kind of the examples."""
_MOST_LOOKED_AT = 500
_AS_TEXTS = "--set data.input=text --set data.input.column=NAME"
_FEWEST_WORDS = 3.0
"""Of a text, on average, where a column is found by its cells."""


@dataclass(frozen=True)
class Chosen:
    """What a recipe says about its table.

    Args:
        path, label, test_fold, content: Strings, `data.path_column`, `data.label_column`, `data.test_fold` and
            `data.input.column`; None to find them.
        files: What the examples are. Defaults to the kind of a recipe that says nothing.
        task: String, what is predicted. Defaults to one of several classes.
        targets: By name, several targets; none where there is one.
    """

    path: str | None = None
    label: str | None = None
    test_fold: str | None = None
    content: str | None = None
    files: FileKind = field(default_factory=lambda: files_of(KINDS[0]))
    task: str = "classify"
    targets: Mapping[str, Target] = field(default_factory=dict)

    @property
    def names_columns(self) -> bool:
        """Whether it names any, which says that a table is meant."""
        return bool(self.targets) or any(name is not None for name in (self.path, self.label, self.test_fold, self.content))


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table by what they are for; None where it has none.

    Args:
        source: String, the column with the path or the content of each example.
        in_cells: Boolean, whether its cells are the contents.
        labels: Strings, the column of the label, or those of the labels or numbers.
        group, split, fold: Strings. `fold` numbers the parts of a cross-validation.
        guessed: Strings, the role of each column that was found by another name than its own.
    """

    source: str
    labels: tuple[str, ...]
    in_cells: bool = False
    group: str | None = None
    split: str | None = None
    fold: str | None = None
    guessed: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str | None, ...]:
        """All of them."""
        return (self.source, *self.labels, self.group, self.split, self.fold)


def allowed_columns(noun: str, *, in_cells: bool = False) -> str:
    """What columns a table has, for messages."""
    what = f"the {noun} and its label" if in_cells else f"the path and the label of each {noun}"
    return f"columns for {what}, and optionally group, split or fold"


def by_role(table: Table) -> dict[str, str]:
    """The columns by their names without case and blanks."""
    return {name.strip().lower(): name for name in reversed(table.columns)}


def plain(name: str) -> str:
    """A name without case and marks.

    Example:

    >>> from tfl.data.columns import plain
    >>> plain("Class ID") == plain("class_id")
    True
    """
    return re.sub(r"[\W_]+", "", name.lower())


def choose_source(table: Table, chosen: Chosen, known: FilesBelow) -> tuple[str, bool]:
    """The column with the paths or the contents of the examples, and whether its cells are the contents.

    Raises:
        DataError: There is none, or several may be meant.
    """
    files = chosen.files
    _check_header(table, files)
    if (path := named_column(table, chosen.path, "path_column")) is not None:
        return path, False
    if not files.in_cells:
        return table.stored or by_role(table).get("path") or _path_column(table, files, known), False
    if (content := named_column(table, chosen.content, "input.column")) is not None:
        return content, not _lists_files(table, content, files, known)
    paths = [name for name in table.columns if _lists_files(table, name, files, known)]
    if len(paths) == 1:
        return paths[0], False
    if (content := content_column(table, files)) is not None:
        return content, True
    raise DataError(
        f"{table.file} has no column that {files.verb}, or several that may.",
        received=shown_columns(table, table.columns),
        allowed=allowed_columns(files.noun, in_cells=True),
        fix=f"Name the column with --set data.input={files.kind} --set data.input.column=NAME, or call it `{files.columns[0]}` "
        "in the table.",
    )


def content_column(table: Table, files: FileKind) -> str | None:
    """The column whose cells are the examples: by its name, or else the one of long cells that are mostly distinct.

    Example:

    >>> from pathlib import Path
    >>> from tfl.data.columns import content_column
    >>> from tfl.modalities.files import files_of
    >>> table = Table(Path("a.csv"), ("id", "Review"), [["1", "It is good."], ["2", "It was not."]], [2, 3])
    >>> content_column(table, files_of("text"))
    'Review'
    """
    if not files.in_cells:
        return None
    called = [name for word in files.columns for name in table.columns if plain(name) == word and word not in _ANY_KIND]
    for name in called:
        if _mean_words(table.cells(name)) >= 1.5:
            return name
    lengths = {name: _mean_words(cells) for name in table.columns if name and _mostly_distinct(cells := table.cells(name))}
    long = sorted((name for name in lengths if lengths[name] >= _FEWEST_WORDS), key=lambda name: -lengths[name])
    if len(long) > 1 and lengths[long[0]] < 2 * lengths[long[1]]:
        return None
    return long[0] if long else None


def _mean_words(cells: Sequence[str]) -> float:
    """Words in a cell, on average; scripts without blanks count two characters a word."""
    some = [cell for cell in cells if cell][:_MOST_LOOKED_AT]
    words = [len(re.findall(r"[^\W\d_]+", cell)) + sum(ord(letter) > 0x2E80 for letter in cell) / 2 for cell in some]
    return sum(words) / max(1, len(words))


def _mostly_distinct(cells: Sequence[str]) -> bool:
    some = [cell for cell in cells if cell][:_MOST_LOOKED_AT]
    return 2 * len(set(some)) > len(some)


def _check_header(table: Table, files: FileKind) -> None:
    names = [name.lower() for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice or not names or not any(names):
        raise _wrong_header(table, files, f"{listed(twice)} twice" if twice else "an empty file")
    if not files.in_cells and any(files.has(name) for name in names):
        received = f"a first line that names {files.article} {files.noun}"
        raise _wrong_header(table, files, received, fix="Write the names of the columns above it: path,label")


def _wrong_header(table: Table, files: FileKind, received: str, *, fix: str | None = None) -> DataError:
    allowed = allowed_columns(files.noun, in_cells=files.in_cells)
    return DataError(f"{table.file} has the wrong header.", received=short(received), allowed=allowed, fix=fix)


def named_column(table: Table, name: str | None, field: str) -> str | None:
    """The column that the recipe names; None where it names none.

    Raises:
        DataError: There is no such column.
    """
    if name is None:
        return None
    if name in table.columns:
        return name
    same = [column for column in table.columns if column.lower() == name.strip().lower()]
    if len(same) == 1:
        return same[0]
    raise DataError(
        f"{table.file} has no column `{name}`, which `data.{field}` names.",
        received=short(", ".join(table.columns)),
        fix=did_you_mean(name, table.columns) or None,
    )


def _path_column(table: Table, files: FileKind, known: FilesBelow) -> str:
    """The column whose cells are files, or else the one with a name for paths: its cells are then listed as missing."""
    found = [name for name in table.columns if _names_files(table, name, known)]
    called = [name for word in files.columns for name in table.columns if plain(name) == word]
    if len(found) > 1:
        better = [name for name in called if name in found]
        found = better[:1] if len(better) == 1 else found
    if len(found) == 1:
        return found[0]
    if not found and all(plain(name) in _ANY_KIND for name in called):
        refuse_contents(table, files)
    if not found and called and len(table.columns) > 1 and table.rows:
        return called[0]
    what = "has several columns that name" if found else "has no column that names"
    raise DataError(
        f"{table.file} has the wrong header: it {what} {files.nouns}.",
        received=shown_columns(table, found or table.columns),
        allowed=allowed_columns(files.noun),
        fix="Name the column with --set data.path_column=NAME, or call it `path` in the table."
        + ("" if found else f" No cell is the path of a file below {table.folder.absolute()}. If cells are texts: {_AS_TEXTS}."),
    )


def refuse_contents(table: Table, files: FileKind) -> None:
    """Raises where a column holds examples of another kind in its cells, and none names files."""
    for other in sources():
        if other.kind != files.kind and (column := content_column(table, other)) is not None:
            raise MismatchError(
                f"{table.file} has no column that names {files.nouns}, and {other.nouns} in its column `{_brief(column)}`.",
                received=shown_columns(table, table.columns),
                allowed=allowed_columns(files.noun),
                fix=say_kind(other),
            ).suggesting({"data.input": other.kind})


def _brief(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:40]}…"


def say_kind(files: FileKind) -> str:
    """How a recipe and the command line say which kind the examples are."""
    return f"Say so: tfl.Data(..., input={files.recipe}), or --set data.input={files.kind}"


def refuse_other_kind(names: Sequence[str], files: FileKind, where: str) -> None:
    """Makes sure that the files of a source can be of the kind that the recipe says, as far as their names tell.

    Raises:
        MismatchError: None of them ends as files of that kind do, and nearly all as those of another kind.
    """
    other, suffixes = kind_in_names(names)
    if other is None or other.kind == files.kind or any(map(files.has, names)):
        return
    if suffixes.total() >= 0.8 * len(names):
        endings = ", ".join(suffix for suffix, _ in suffixes.most_common(3))
        count = suffixes.total()
        raise MismatchError(
            f"{where} holds {count} {other.noun if count == 1 else other.nouns} ({endings}) and no {files.nouns}.",
            fix=say_kind(other) if other.recipe else f"Leave out `data.input`: {other.nouns} are the default.",
        ).suggesting({"data.input": other.kind if other.recipe else "none"})


def _names_files(table: Table, column: str, known: FilesBelow) -> bool:
    cells = [cell for cell in table.cells(column) if cell][:_MOST_LOOKED_AT]
    if len(set(cells)) <= len(cells) / 2:
        return False
    there = sum(not one.trouble for one in locate(table.folder, cells, table=table.file.stem, known=known))
    return 2 * there > len(cells) > 0


def _lists_files(table: Table, column: str, files: FileKind, known: FilesBelow) -> bool:
    """Whether most cells end as names of files of the kind do, and are files."""
    cells = [cell for cell in table.cells(column) if cell][:_MOST_LOOKED_AT]
    return 2 * sum(map(files.has, cells)) > len(cells) and _names_files(table, column, known)


def split_column(table: Table, source: str) -> str | None:
    """The column `split`, or another whose name and cells say that it is one."""
    for word in _SPLITS:
        for name in table.columns:
            if name != source and plain(name) == word:
                cells = {cell.lower() for cell in table.cells(name) if cell}
                if word == "split" or (cells and cells <= set(SPLIT_FOLDERS)):
                    return name
    return None


def dividing_columns(table: Table) -> list[str]:
    """The columns whose names say that they divide the examples into splits or groups: `split`, `is_train`, `fold`, `group`."""
    return [name for name in table.columns if name and plain(name) in (*_SPLITS, *_SPLIT_MARKS, "group")]


def shown_columns(table: Table, columns: Sequence[str]) -> str:
    """Columns, each with the first of its cells, for messages."""
    first = {name: next((cell for cell in table.cells(name) if cell), "") for name in columns[:12]}
    return short(listed([f"`{short(name)}`" + (f" ({cell[:40]}, …)" if cell else "") for name, cell in first.items()], limit=12))
