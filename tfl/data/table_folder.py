"""A folder with a table next to its files, as Hugging Face and Kaggle have it, with tables of texts, or with Parquet files."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfl.data.columns import Chosen, choose_source, dividing_columns, refuse_contents
from tfl.data.csv_source import read_tables
from tfl.data.examples import SPLITS, Examples, listed
from tfl.data.label_columns import choose_columns, is_known_label
from tfl.data.located import FilesBelow, locate
from tfl.data.parquet import read_parquet, refuse_missing_shards, split_in_name
from tfl.data.split_names import split_of
from tfl.data.tables import TEXT_SUFFIXES, Table, read_table
from tfl.data.walk import children
from tfl.errors import DataError, MismatchError

_NOT_LABELS = re.compile(r"submission|dictionary|data_?set_?card|readme", re.IGNORECASE)
_METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class _Candidate:
    """A table that lists files of the folder, or holds examples.

    Args:
        table: The table.
        split: The split that its name or its folder says.
        label: Its label column; None where none is certain.
        error: Why none is.
        folders: The labels that each folder of listed files has; without labels where none are certain.
    """

    table: Table
    split: str
    label: str | None
    error: DataError | None
    folders: dict[str, set[str]]


def read_table_folder(folder: Path, chosen: Chosen) -> tuple[Examples | None, str]:
    """The examples that the tables in a folder list; None where it has no such table, or where its class folders are meant.

    The tables are `metadata.csv`, `.tsv`, `.jsonl` or `.parquet` of the folder or of its split folders, one other table in the
    folder, tables named after splits (`train.csv`, `test.csv`), or Parquet files that hold the examples.

    Args:
        folder: The folder.
        chosen: What the recipe says. Naming a column says that the table is meant and not the class folders.

    Returns:
        The examples, and a note about a table that labels the files of class folders in another way.

    Raises:
        DataError: The columns of the table are not certain, there are several tables, or it contradicts the class folders.
    """
    if files := _parquet_files(folder):
        refuse_missing_shards(files)
        table = read_parquet(files, chosen.files)
        if table.stored is not None or chosen.files.in_cells:
            return read_tables([(table, "")], chosen, source=str(folder)), ""
        refuse_contents(table, chosen.files)
    candidates, failed = _candidates(folder, chosen)
    meant = chosen.names_columns
    if not candidates:
        if failed and meant:
            raise failed[0]
        _refuse_other_kind(folder, failed, chosen)
        return None, ""
    if not meant and _class_folders_are_meant(folder, candidates, chosen.files.nouns):
        return None, _contradiction(candidates, chosen.files.nouns)
    usable = _one_of(folder, [one for one in candidates if one.label is not None] or candidates, chosen.files.nouns)
    if (error := usable[0].error) is not None:
        raise error
    found = read_tables([(one.table, one.split) for one in usable], chosen, source=str(folder))
    names = " and ".join(os.path.relpath(one.table.file, folder) for one in usable)
    notes = [_left_out(one, folder) for one in candidates if one.label is None and one.split == "test" and one not in usable]
    notes.insert(
        0, f"The {chosen.files.nouns} and their labels are those that {names} {'lists' if len(usable) == 1 else 'list'}."
    )
    said = [{"kind": "table_read", "severity": "info", "files": [], "note": note} for note in notes]
    return replace(found, findings=(*said, *found.findings)), ""


def _left_out(one: _Candidate, folder: Path) -> str:
    return f"{os.path.relpath(one.table.file, folder)} has no labels and is left out."


def _refuse_other_kind(folder: Path, failed: Sequence[DataError], chosen: Chosen) -> None:
    """Raises where a table holds examples of another kind, and nothing else in the folder can be meant."""
    mismatches = [error for error in failed if isinstance(error, MismatchError)]
    if mismatches and not any(child.is_dir() or chosen.files.has(child.name) for child in visible(folder)):
        raise mismatches[0]


def _contradiction(candidates: Sequence[_Candidate], nouns: str) -> str:
    for one in candidates:
        if one.label is not None and any(len(labels) > 1 for labels in one.folders.values()):
            file = one.table.file
            return (
                f"{file.name} lists {nouns} of the class folders too, with other labels in its column `{one.label}`. The class "
                f"folders are used. To use the table: --data {file} --set data.label_column={one.label}"
            )
    for one in candidates:
        if names := dividing_columns(one.table):
            return (
                f"{one.table.file.name} lists {nouns} of the class folders too, and divides them with {listed(names)}, which is "
                f"not used. The class folders are used. To use the table: --data {one.table.file}"
            )
    return ""


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files in the folder, in `data/` or in split folders; none where the folder has folders without them."""
    folders = [child for child in visible(folder) if child.is_dir()]
    holders = [folder, *(child for child in folders if child.name.lower() == "data" or split_of(child.name))]
    files = [file for holder in holders for file in visible(holder) if file.suffix == ".parquet" and file.name not in _METADATA]
    if len(holders) <= len(folders) or any(not any(file.parent == holder for file in files) for holder in holders[1:]):
        return []
    return sorted(files, key=lambda file: (split_in_name(file), str(file)))


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden files and what systems leave behind; nothing where it cannot be read."""
    try:
        return [Path(child.path) for child in children(folder, [])]
    except DataError:
        return []


def _candidates(folder: Path, chosen: Chosen) -> tuple[list[_Candidate], list[DataError]]:
    """The tables whose paths are files or that hold examples, and why others do not."""
    inside = visible(folder)
    splits = [child for child in inside if split_of(child.name) and child.is_dir()]
    below = [child / name for child in splits for name in _METADATA if (child / name).is_file()]
    here = [file for file in inside if file.is_file() and (file.suffix.lower() in TEXT_SUFFIXES or file.name in _METADATA)]
    found: list[_Candidate] = []
    failed: list[DataError] = []
    for file in below or [file for file in here if not _NOT_LABELS.search(file.name)]:
        try:
            prose = chosen.files.in_cells
            table = read_parquet([file], chosen.files) if file.suffix == ".parquet" else read_table(file, prose=prose)
            if (one := _candidate(table, file.parent.name if below else "", chosen)) is not None:
                found.append(one)
        except DataError as error:
            failed.append(error)
    return found, failed


def _candidate(table: Table, holder: str, chosen: Chosen) -> _Candidate | None:
    known = FilesBelow(table.folder, chosen.files)
    source, in_cells = choose_source(table, chosen, known)
    places = [] if in_cells else locate(table.folder, table.cells(source), table=table.file.stem, known=known)
    if not in_cells and 2 * sum(not place.trouble for place in places) < max(1, len(places)):
        return None
    label, error, labels = None, None, [""] * len(table.rows)
    try:
        label = choose_columns(table, chosen, known).labels[0]
        labels = table.cells(label)
    except DataError as why:
        error = why
    folders: dict[str, set[str]] = defaultdict(set)
    for place, text in zip(places, labels, strict=not in_cells):
        folders[os.path.dirname(os.path.abspath(place.path))].add(text)
    word = split_of(
        holder or re.sub(r"[\W_]*(labels?|annotations?|metadata|classes|list)$", "", table.file.stem, flags=re.IGNORECASE)
    )
    return _Candidate(table, word if word in SPLITS else "", label, error, dict(folders))


def _class_folders_are_meant(folder: Path, candidates: Sequence[_Candidate], nouns: str) -> bool:
    """Whether the folders of the files are their classes, whatever the tables next to them say.

    Raises:
        DataError: Either may be meant: the files lie in several folders, and a column that is called as labels are divides each.
    """
    covered = {os.path.basename(name) for one in candidates for name in one.folders}
    others = [child.name for child in visible(folder) if child.is_dir() and child.name not in covered and visible(child)]
    strange = [name for name in others if split_of(name) is None]
    if covered and all(map(split_of, covered)):
        return False
    dividing = [one for one in candidates if one.label is not None and all(len(labels) > 1 for labels in one.folders.values())]
    certain = [one for one in dividing if one.label is not None and is_known_label(one.label)]
    if all(len(one.folders) < 2 for one in candidates):
        return bool(strange) and not certain
    if certain and len(certain[0].folders) > 1:
        raise _ambiguous(folder, certain[0], nouns)
    return True


def _ambiguous(folder: Path, one: _Candidate, nouns: str) -> DataError:
    names = sorted(os.path.relpath(name, folder) for name in one.folders)
    labels = sorted({label for some in one.folders.values() for label in some})
    return DataError(
        f"{folder} has folders of {nouns}, and {one.table.file.name} labels the same {nouns} in another way.",
        received=f"folders {listed(names, limit=5)}; labels {listed(labels, limit=5)}",
        allowed="class folders, or a table",
        fix=f"To use the table: --data {one.table.file}. To use the folders as classes, move the table elsewhere.",
    )


def _one_of(folder: Path, usable: Sequence[_Candidate], nouns: str) -> list[_Candidate]:
    """The one table, or those of several splits."""
    if len(usable) == 1:
        only = usable[0]
        return [only if only.table.file.parent != folder else replace(only, split="")]
    splits = [one.split for one in usable]
    if all(splits) and len(set(splits)) == len(splits):
        return list(usable)
    named = [one for one in usable if one.table.file.name in _METADATA]
    if len(named) == 1:
        return named
    raise DataError(
        f"{folder} has several tables that list its {nouns}.",
        received=", ".join(os.path.relpath(one.table.file, folder) for one in usable),
        allowed="one table, or one for each split (train.csv, val.csv, test.csv)",
        fix=f"Name the one to use: --data {usable[0].table.file}",
    )
