"""What vectors are made of: the examples of a SOURCE with their labels where it has any, or files and folders as they are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data import archives
from tfl.data.columns import Chosen, choose_source, refuse_other_kind
from tfl.data.csv_source import read_tables
from tfl.data.examples import Examples
from tfl.data.kind import find_kind_and_task
from tfl.data.located import FilesBelow
from tfl.data.parquet import read_parquet
from tfl.data.tables import TEXT_SUFFIXES, read_table
from tfl.data.targets import target_text
from tfl.data.walk import skipped_findings
from tfl.errors import DataError, MismatchError
from tfl.modalities.base import KINDS
from tfl.modalities.files import files_of, kind_in_names
from tfl.recipe import Audio, Data, TaskName, Text
from tfl.serve.files import expand

_INPUTS: dict[str, Text | Audio] = {"text": Text(), "audio": Audio()}
_TABLES = (*TEXT_SUFFIXES, ".parquet")
_NO_LABEL = "no label"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Examples whose vectors are wanted.

    Attributes:
        data: Where they come from, and of which kind they are.
        examples: The examples; their classes and targets mean nothing here.
        labels: The class of each, its labels as `cat;dog`, or its numbers; empty where it has none.
        groups: What each belongs to; empty where the source does not say.
        task: What the labels are for; empty where there are none.
        notes: What was found on the way, as sentences.
    """

    data: Data
    examples: Examples
    labels: list[str]
    groups: list[str]
    task: str
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def name_of(self, index: int) -> str:
        """The path of a file; of another example its source and its number, such as `reviews.csv#12`."""
        return self.examples.name_of(index) if self.examples.paths is not None else f"{self.data.source}#{index}"


def data_of_kind(source: str, kind: str) -> Data:
    """The data at a source, of one kind.

    Example:

    >>> data_of_kind("recordings", "audio").input.kind
    'audio'
    """
    return Data(source, input=_INPUTS.get(kind))


def read_source(
    places: Sequence[Path | str], data: Data, *, kinds: Sequence[str] = KINDS, task: TaskName = "classify", labels: bool = True
) -> Source:
    """The examples at some places, with their labels as far as there are any.

    One place may be whatever a recipe takes as source: class folders, a table, an archive, arrays, `tfds:NAME`, `sample:NAME`.
    A folder that is none of these is taken as the files below it, and a table without a column of labels as the examples that it
    lists or holds. Several places are files and folders of files.

    Args:
        places: One source, or several files and folders.
        data: How it is read; its source is replaced.
        kinds: The kinds that the network can see; with one alone, that is the kind.
        task: What the labels are for, tried first.
        labels: Whether labels are looked for.

    Raises:
        DataError: There is nothing, or nothing of that kind.

    Example:

    >>> import tfl
    >>> found = read_source(["sample:digits"], tfl.Data("unused"))
    >>> len(found), found.labels[0], found.task
    (1797, '0', 'classify')
    """
    if not places:
        raise DataError("There is nothing to make vectors of.", fix="Name a source, or files and folders.")
    fixed = ["data.input"] if len(kinds) == 1 else []
    if len(places) > 1 or _is_example(str(places[0])):
        return _files(places, data, kinds)
    data = dataclasses.replace(data, source=str(places[0]))
    if data.kind not in kinds:
        data = dataclasses.replace(data, input=_INPUTS.get(kinds[0]))
    if not labels:
        return _without_labels(data, kinds, fixed, task)
    try:
        data, task, examples = find_kind_and_task(data, task, fixed=fixed, check_classes=False)
    except DataError as error:
        if isinstance(error, MismatchError) and fixed and "data.input" in error.changes:
            raise
        try:
            found = _without_labels(data, kinds, fixed, task)
        except DataError:
            raise error from None
        return dataclasses.replace(found, notes=[*found.notes, f"{data.source} is taken without labels. {error.what}"])
    return _of_examples(examples, data, task)


def _is_example(place: str) -> bool:
    """Whether it is a file that is an example itself, and not a table, an archive or a file of arrays."""
    path = Path(os.path.expanduser(place))
    return path.is_file() and not archives.is_archive(path) and path.suffix.lower() not in (*_TABLES, ".npz")


def _of_examples(examples: Examples, data: Data, task: str) -> Source:
    count = len(examples)
    groups = [""] * count if examples.groups is None else [str(group) for group in examples.groups]
    notes = [str(finding["note"]) for finding in examples.findings]
    labels = [target_text(examples, index) for index in range(count)] if task else [""] * count
    return Source(data=data, examples=_plain(examples), labels=labels, groups=groups, task=task, notes=notes)


def _plain(examples: Examples) -> Examples:
    """The examples with a class that means nothing, so that labels of every kind are handled alike."""
    return dataclasses.replace(examples, class_names=(_NO_LABEL,), labels=np.zeros(len(examples), np.int32), targets=None)


def _without_labels(data: Data, kinds: Sequence[str], fixed: Sequence[str], task: TaskName) -> Source:
    """The examples at one place, whatever it says about labels.

    Raises:
        DataError: There is nothing, or it cannot be read without labels.
    """
    path = Path(os.path.expanduser(data.source))
    if path.is_dir():
        return _files([path], data, kinds)
    if path.is_file() and path.suffix.lower() in _TABLES:
        return _table(path, data, kinds)
    data, _, examples = find_kind_and_task(data, task, fixed=fixed, check_classes=False)
    return _of_examples(examples, data, "")


def _files(places: Sequence[Path | str], data: Data, kinds: Sequence[str]) -> Source:
    skipped: list[str] = []
    files = [str(file) for file in expand([os.path.expanduser(place) for place in places], skipped)]
    kind = kinds[0]
    if len(kinds) > 1 and (named := kind_in_names(files)[0]) is not None and named.kind in kinds:
        kind = named.kind
    where = str(places[0]) if len(places) == 1 else "What is named"
    refuse_other_kind(files, files_of(kind), where)
    own = data if data.kind == kind else dataclasses.replace(data, input=_INPUTS.get(kind))
    examples = _paths(files, kind, str(places[0]))
    notes = [str(finding["note"]) for finding in skipped_findings(skipped)]
    none = [""] * len(files)
    own = dataclasses.replace(own, source=str(places[0]))
    return Source(data=own, examples=examples, labels=none, groups=none, task="", notes=notes)


def _paths(files: Sequence[str], kind: str, source: str) -> Examples:
    named = files_of(kind)
    return Examples(
        class_names=(_NO_LABEL,),
        labels=np.zeros(len(files), np.int32),
        paths=np.array(files),
        source=source,
        noun=named.noun,
        nouns=named.nouns,
    )


def _table(path: Path, data: Data, kinds: Sequence[str]) -> Source:
    """The examples that a table lists or holds, read with a column that gives each the same label."""
    failed: DataError | None = None
    for kind in sorted(kinds, key=lambda kind: kind != data.kind):
        own = data if data.kind == kind else dataclasses.replace(data, input=_INPUTS.get(kind))
        try:
            return _of_examples(_read_table(path, own), own, "")
        except DataError as error:
            failed = failed or error
    raise failed or DataError("There is no kind of example to read.", received=str(path))


def _read_table(path: Path, data: Data) -> Examples:
    files = files_of(data.kind)
    parquet = path.suffix.lower() == ".parquet"
    table = read_parquet([path], files) if parquet else read_table(path, prose=files.in_cells)
    content: Any = getattr(data.input, "column", None)
    chosen = Chosen(data.path_column, _NO_LABEL, None, content, files)
    column, in_cells = choose_source(table, chosen, FilesBelow(table.folder, files))
    stated = dataclasses.replace(chosen, path=None if in_cells else column, content=column if in_cells else None)
    rows = [[*cells[: len(table.columns)], *[""] * (len(table.columns) - len(cells)), _NO_LABEL] for cells in table.rows]
    labelled = dataclasses.replace(table, columns=(*table.columns, _NO_LABEL), rows=rows)
    return read_tables([(labelled, "")], stated, source=str(path))


def examples_of_texts(texts: Sequence[str]) -> Examples:
    """Texts that were typed, as examples."""
    contents = np.empty(len(texts), object)
    contents[:] = [text.encode("utf-8", "surrogateescape") for text in texts]
    named = files_of("text")
    labels = np.zeros(len(texts), np.int32)
    return Examples(class_names=(_NO_LABEL,), labels=labels, contents=contents, noun=named.noun, nouns=named.nouns)
