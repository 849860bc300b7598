"""From a SOURCE, as a recipe or the command line writes it, to labelled examples. Files are not read before they are needed.

SOURCE                                  read by
sample:NAME                             tfl.modalities.samples
tfds:NAME                               tfl.data.tfds_source
FILE.csv · FILE.tsv · FILE.jsonl        tfl.data.csv_source
FILE.parquet                            tfl.data.parquet
a table, for several inputs             tfl.data.inputs_source
FILE.npz · folder of IDX files          tfl.modalities.KIND.arrays
folder with a table or Parquet files    tfl.data.table_folder
flat folder, labels in the file names   tfl.data.file_names
folder of class folders                 tfl.data.folder
FILE.zip · FILE.tar.gz and the like     tfl.data.archives, then one of the above
boxes: Pascal VOC, COCO, a table        tfl.data.boxes, for the task detect
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data import archives, csv_source, file_names, folder, inputs_source, parquet, table_folder, tfds_source
from tfl.data.books import read_books
from tfl.data.boxes import has_boxes, read_boxes
from tfl.data.class_names import check_classes_of, check_names
from tfl.data.columns import Chosen, refuse_other_kind, say_kind
from tfl.data.examples import Examples, listed
from tfl.data.exclude import leave_out
from tfl.data.head_targets import head_targets_of, table_columns
from tfl.data.label_values import number_of
from tfl.data.remote import check_local
from tfl.data.subset import choose_labels, draw_per_class
from tfl.data.tables import TEXT_SUFFIXES
from tfl.data.targets import refuse_constant, targets_of
from tfl.data.walk import files_below
from tfl.errors import DataError, MismatchError, did_you_mean
from tfl.modalities import samples
from tfl.modalities.files import FileKind, array_reader, files_of
from tfl.recipe import DETECT, HEADS, OF_NUMBERS, Data

__all__ = ["Examples", "choose_labels", "draw_per_class", "load_source"]


_UNPACK = "Unpack the archive first: a source cannot be a path inside it."
_OTHER_TABLES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "Save the sheet as CSV UTF-8."),
    **dict.fromkeys(
        (".json", ".xml", ".txt", ".feather", ".h5", ".pkl"), "Write a CSV file with the columns path and label from it."
    ),
}


def load_source(data: Data, *, seed: int = 0, check_classes: bool = True, task: str = "classify") -> Examples:
    """The examples of `data.source`, after `data.exclude`, `data.labels` and `data.per_class`.

    Args:
        data: What to read; only `source`, `exclude`, `labels`, `per_class` and `split_seed` are used here.
        seed: Draws `per_class` where `data.split_seed` is None.
        check_classes: Whether classes must be fit for training; an audit reports those that are not.
        task: What is predicted: `classify`, `multilabel`, `regress` or `detect`.

    Raises:
        DataError: The source is missing, unreadable, or does not hold what the task needs, such as two classes.

    Example:

    >>> import tfl
    >>> from tfl.data.source import load_source
    >>> digits = load_source(tfl.Sample("digits", labels=("3", "8"), per_class=10))
    >>> digits.class_names, len(digits)
    (('3', '8'), 20)
    """
    if data.kind == "passage":
        return read_books(data, seed=seed if data.split_seed is None else data.split_seed)
    chosen = _chosen(data, task)
    found = (
        read_boxes(data, chosen.files)
        if task == DETECT
        else _read(data, chosen, same_classes=check_classes and task == "classify")
    )
    examples = _as_task(replace(found, noun=chosen.files.noun, nouns=chosen.files.nouns), task)
    if examples.paths is not None:
        names = [str(path) for path in examples.paths]
        refuse_other_kind(names, chosen.files, examples.source)
        examples = _with_note(examples, "format_not_read", "warning", _unread(names, chosen.files))
    if data.exclude is not None:
        examples = leave_out(examples, data.exclude)
    if data.labels is not None:
        examples = choose_labels(examples, data.labels)
    if examples.targets is not None:
        check_names(examples)
    elif check_classes:
        check_classes_of(examples)
    if data.per_class is not None:
        examples = draw_per_class(examples, data.per_class, seed=seed if data.split_seed is None else data.split_seed)
    return examples


def _unread(names: list[str], files: FileKind) -> str:
    """A sentence about files whose names say a format that is not read; empty where there are none."""
    found = [name for name in names if os.path.splitext(name)[1].lower() in files.unread]
    if not found:
        return ""
    endings = listed(sorted({os.path.splitext(name)[1].lower() for name in found}))
    count = f"{len(found)} of {len(names)} {files.nouns}"
    return f"{count} have names of formats that are not read ({endings}): {files.how_to_convert}"


def grammar(files: FileKind) -> str:
    """What a source can be, for messages."""
    lists = "lists or holds" if files.in_cells else "lists"
    arrays = " an .npz file, a folder of IDX files," if files.as_arrays else ""
    return (
        f"a folder of class folders, a table that {lists} {files.nouns} (.csv, .tsv, .jsonl, .parquet) or a folder with one, an "
        f"archive of these (.zip, .tar, .tar.gz),{arrays} tfds:NAME, or sample:NAME"
    )


def _chosen(data: Data, task: str) -> Chosen:
    files, named = files_of(data.kind), getattr(data.input, "column", None)
    content, path = (named, data.path_column) if files.in_cells else (None, data.path_column or named)
    return Chosen(path, data.label_column, data.test_fold, content, files, task, data.targets)


def _as_task(examples: Examples, task: str) -> Examples:
    """The examples with the targets of the task, where the source gave classes: names that are numbers can be predicted as such.

    Raises:
        DataError: The source gives one class to each example, and the task wants something else.
    """
    if task == "classify" or examples.targets is not None:
        return examples
    if task == HEADS:
        raise MismatchError(
            f"{examples.source} says one class of each {examples.noun}, and several targets are columns of a table.",
            received=listed(examples.class_names),
            allowed="a table with a column for each target (.csv, .tsv, .jsonl, .parquet), or sample:leaf_tasks",
            fix="Write the targets into a table beside the files, or leave out `data.targets` to predict the class.",
        )
    numbers = [number_of(name) for name in examples.class_names]
    if task in OF_NUMBERS and None not in numbers:
        targets = np.array(numbers, np.float32)[examples.labels][:, None]
        refuse_constant(targets, ["value"], examples.source)
        return replace(examples, class_names=("value",), labels=np.zeros(0, np.int32), targets=targets)
    wanted = "a number" if task in OF_NUMBERS else "any number of labels"
    raise MismatchError(
        f"{examples.source} says one class of each {examples.noun}, and the task `{task}` needs {wanted}.",
        received=listed(examples.class_names),
        allowed="a table with a column of numbers, or several"
        if task in OF_NUMBERS
        else "a table with labels such as cat;dog in one column, or one column of 0 and 1 for each label",
        fix="To predict the class: --set task=classify",
    ).suggesting({"task": "classify"})


def _read(data: Data, chosen: Chosen, *, same_classes: bool) -> Examples:
    if data.inputs:
        return inputs_source.read_inputs(data, chosen)
    kind, _, name = data.source.partition(":")
    if kind == "sample":
        return _read_sample(name, data, chosen)
    if kind == "tfds":
        return _without_table(tfds_source.read_tfds(name, chosen.files, labels=data.labels, content=chosen.content), data)
    path = Path(os.path.expanduser(data.source))
    if not _exists(path, chosen.files):
        check_local(data.source)
        allowed = grammar(chosen.files)
        raise DataError("There is nothing at this source.", received=str(path.absolute()), allowed=allowed, fix=_neighbour(path))
    if not path.is_dir() and archives.is_archive(path):
        return _read_archive(path, data, chosen, same_classes=same_classes)
    return _read_path(path, data, chosen, same_classes=same_classes)


def _read_path(path: Path, data: Data, chosen: Chosen, *, same_classes: bool) -> Examples:
    """The examples of a folder or a file that is no archive."""
    if path.is_dir():
        return _read_folder(path, data, chosen, same_classes=same_classes)
    suffix = path.suffix.lower()
    if chosen.files.kind == "image" and suffix in (".json", *TEXT_SUFFIXES) and not data.label_column and has_boxes(path):
        raise _refuse_boxes(str(path), chosen.files.nouns)
    if suffix in TEXT_SUFFIXES:
        return csv_source.read_csv(path, chosen)
    if suffix == ".parquet":
        return csv_source.read_tables([(parquet.read_parquet([path], chosen.files), "")], chosen, source=str(path))
    reader = array_reader(chosen.files)
    if suffix == ".npz" and reader is not None:
        _refuse_targets(path, data)
        return _without_table(Examples(**reader.read_npz(path, task=chosen.task)), data)
    fix = "Unpack it with another program and name the folder." if suffix in archives.UNREAD else _OTHER_TABLES.get(suffix)
    nouns = chosen.files.nouns
    raise DataError(f"This file is not a source of labelled {nouns}.", received=str(path), allowed=grammar(chosen.files), fix=fix)


def _refuse_boxes(source: str, nouns: str) -> MismatchError:
    return MismatchError(
        f"{source} has boxes on its {nouns}, and no label for each.", fix="To find objects: --set task=detect"
    ).suggesting({"task": DETECT})


def _read_folder(path: Path, data: Data, chosen: Chosen, *, same_classes: bool) -> Examples:
    inner = _innermost(path)
    if chosen.files.kind == "image" and has_boxes(inner):
        raise _refuse_boxes(str(path), chosen.files.nouns)
    reader = array_reader(chosen.files)
    for place in dict.fromkeys((path, inner)) if reader is not None else ():
        if reader.holds_idx(place):
            _refuse_targets(path, data)
            return _without_table(Examples(**reader.read_idx(place)), data)
    found, note = table_folder.read_table_folder(inner, chosen)
    if found is not None:
        return replace(found, source=str(path))
    if (named := file_names.read_file_names(inner, chosen.files)) is not None:
        return _without_table(_with_note(replace(named, source=str(path)), "table_not_used", "warning", note), data)
    try:
        examples = folder.read_folder(path, chosen.files, same_classes=same_classes, chosen=data.labels is not None)
    except DataError as error:
        refuse_other_kind(_names_below(path), chosen.files, str(path))
        if advice := _advice(inner, chosen.files):
            fix = f"{error.fix or ''} {advice}".strip()
            raise DataError(error.what, received=error.received, allowed=error.allowed, fix=fix) from error
        raise
    return _without_table(_with_note(examples, "table_not_used", "warning", note), data)


def _names_below(path: Path) -> list[str]:
    """The names of the files below a folder; none where a folder cannot be read."""
    try:
        return [os.path.basename(file) for file in files_below(path, [])]
    except DataError:
        return []


def _refuse_targets(path: Path, data: Data) -> None:
    """Raises where several targets are asked of arrays, which have one."""
    if data.targets:
        raise DataError(
            "Several targets are columns of a table, and arrays have one.",
            received=str(path),
            allowed="a table with a column for each target: .csv, .tsv, .jsonl or .parquet",
        )


def _advice(inner: Path, files: FileKind) -> str:
    """What to do about a folder that cannot be read, as far as what lies in it says."""
    packed = [file.name for file in table_folder.visible(inner) if file.is_file() and archives.is_archive(file)]
    if packed:
        return f"It holds archives: {listed(packed)}. Unpack it if need be, and name one of them with --data."
    return file_names.suggestion(file_names.flat_files(inner, files), files.nouns)


def _innermost(path: Path) -> Path:
    """The first folder that holds something else than one folder."""
    while True:
        children = table_folder.visible(path)
        if len(children) != 1 or children[0].is_symlink() or not children[0].is_dir():
            return path
        path = children[0]


def _read_archive(path: Path, data: Data, chosen: Chosen, *, same_classes: bool) -> Examples:
    """The examples in an archive: of the one table or file of arrays that it holds, or of its folders."""
    inside = archives.unpacked(path)
    top = _innermost(inside)
    files = table_folder.visible(top)
    alone = len(files) == 1 and files[0].suffix.lower() in (".npz", ".parquet")
    try:
        examples = _read_path(files[0] if alone else inside, data, chosen, same_classes=same_classes)
    except DataError as error:  # the message names the archive, not the place in the cache
        fix = f"{error.fix} {_UNPACK}" if error.fix and str(inside) in error.fix else error.fix
        named = [
            text.replace(str(inside), str(path)) if isinstance(text, str) else text for text in (error.what, error.received, fix)
        ]
        again = type(error)(str(named[0]), received=named[1], allowed=error.allowed, fix=error.fix and str(named[2]))
        if isinstance(error, MismatchError) and isinstance(again, MismatchError):
            again.suggesting(error.changes)
        raise again from error
    findings = tuple({**one, "note": _outside(str(one["note"]), inside, path)} for one in examples.findings)
    root = None if examples.paths is None else examples.root or str(inside)
    return replace(examples, source=str(path), root=root or "", findings=findings)


def _outside(note: str, inside: Path, archive: Path) -> str:
    """A note that names the archive and not the place in the cache; where it advises a path inside, it says to unpack first."""
    advises = f"--data {inside}" in note or f"source {inside}" in note
    return note.replace(str(inside), str(archive)) + (f" {_UNPACK}" if advises else "")


def _without_table(examples: Examples, data: Data) -> Examples:
    """The examples of a source that is no table, with a note where the recipe names columns of one."""
    named = [name for name in ("path_column", "label_column", "test_fold") if getattr(data, name) is not None]
    note = (
        f"{examples.source} is not a table, so {' and '.join(f'`data.{name}`' for name in named)} is not used." if named else ""
    )
    return _with_note(examples, "table_not_used", "warning", note)


def _with_note(examples: Examples, kind: str, severity: str, note: str) -> Examples:
    if not note:
        return examples
    return replace(examples, findings=(*examples.findings, {"kind": kind, "severity": severity, "files": [], "note": note}))


def _neighbour(path: Path) -> str | None:
    """What is there under a similar name."""
    try:
        return did_you_mean(path.name, [child.name for child in path.parent.iterdir() if not child.name.startswith(".")]) or None
    except OSError:
        return None


def _exists(path: Path, files: FileKind) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"Cannot look at {path}: {error.strerror}.", allowed=grammar(files)) from error


def _read_sample(name: str, data: Data, chosen: Chosen) -> Examples:
    source, files = data.source, chosen.files
    if samples.kind_of(name) == "several":  # one of its inputs alone
        return _without_table(Examples(**samples.load_part(name, files.kind), source=source), data)
    if (kind := samples.kind_of(name)) != files.kind:
        own = files_of(kind)
        raise MismatchError(
            f"{source} holds {own.nouns} and no {files.nouns}.",
            fix=say_kind(own) if own.recipe else f"Leave out `data.input`: {own.nouns} are the default.",
        ).suggesting({"data.input": kind if own.recipe else "none"})
    fields = samples.load(name)
    columns = fields.pop("columns", {})
    if "boxes" in fields:
        raise _refuse_boxes(source, files.nouns)
    if columns and chosen.task in OF_NUMBERS and data.label_column:
        return _numbers_of_sample(fields, columns, data.label_column, source)
    if not data.targets:
        return _without_table(Examples(**fields, source=source), data)
    if not columns:
        raise DataError(f"{source} has one target.", allowed="sample:leaf_tasks, or a table of your own")
    places = table_columns(data.targets, tuple(columns), where=source)
    cells = {
        target: [list(row) for row in zip(*(columns[column] for column in place), strict=True)]
        for target, place in places.items()
    }
    found = head_targets_of(cells, places, data.targets, where=source)
    there = np.asarray(np.isfinite(found.values).any(axis=1))
    unlabelled = [f"{(~there).sum()} of {len(there)} {files.nouns} have none of the targets and are left out: {source}."]
    said = [*found.notes, *(unlabelled if not there.all() else [])]
    notes = tuple({"kind": "table_read", "severity": "info", "files": [], "note": note} for note in said)
    told = {"class_names": found.names, "labels": np.zeros(0, np.int32), "targets": found.values, "findings": notes}
    heads = {target: one.kind for target, one in data.targets.items()}
    examples = Examples(**{**fields, **told}, heads=heads, source=source)
    return examples.take(np.flatnonzero(there))


def _numbers_of_sample(fields: dict[str, Any], columns: dict[str, list[str]], wanted: str, source: str) -> Examples:
    """A sample with a column of numbers as target; examples of one class stay together in a split."""
    if wanted not in columns:
        fix = did_you_mean(wanted, columns) or None
        raise DataError(f"{source} has no column of that name.", received=wanted, allowed=tuple(columns), fix=fix)
    found = targets_of([[cell] for cell in columns[wanted]], [wanted], task="regress", where=source)
    groups = np.array(fields["class_names"])[fields["labels"]]
    told = {"class_names": found.names, "labels": np.zeros(0, np.int32), "targets": found.values}
    examples = Examples(**{**fields, **told}, groups=groups, source=source)
    return examples.take(np.flatnonzero(np.isfinite(found.values).any(axis=1)))
