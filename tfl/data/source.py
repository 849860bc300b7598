"""From a SOURCE, as a recipe or the command line writes it, to labelled examples. Pixels stay on disk until they are needed.

SOURCE                                  read by
sample:NAME                             tfl.modalities.image.sample
tfds:NAME                               tfl.data.tfds_source
FILE.csv · FILE.tsv · FILE.jsonl        tfl.data.csv_source
FILE.parquet                            tfl.data.parquet
FILE.npz · folder of IDX files          tfl.data.arrays
folder with a table or Parquet files    tfl.data.table_folder
flat folder, labels in the file names   tfl.data.file_names
folder of class folders                 tfl.data.folder
FILE.zip · FILE.tar.gz and the like     tfl.data.archives, then one of the above
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfl.data import archives, arrays, csv_source, file_names, folder, parquet, table_folder, tfds_source
from tfl.data.examples import Examples, is_text, listed, matching_names
from tfl.data.exclude import leave_out
from tfl.data.remote import check_local
from tfl.data.tables import TEXT_SUFFIXES
from tfl.errors import DataError, did_you_mean
from tfl.modalities.base import NOUNS
from tfl.recipe import Data

__all__ = ["Examples", "choose_labels", "draw_per_class", "load_source"]

MOST_CHARACTERS = 200
"""Of a class name."""
GRAMMAR = (
    "a folder of class folders, a table that lists images (.csv, .tsv, .jsonl, .parquet) or a folder with one, an archive of "
    "these (.zip, .tar, .tar.gz), an .npz file, a folder of IDX files, tfds:NAME, or sample:NAME"
)

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
        task: What is predicted: `classify`, `multilabel` or `regress`.

    Raises:
        DataError: The source is missing, unreadable, or does not hold at least two classes with an image each.

    Example:

    >>> import tfl
    >>> from tfl.data.source import load_source
    >>> digits = load_source(tfl.Sample("digits", labels=("3", "8"), per_class=10))
    >>> digits.class_names, len(digits)
    (('3', '8'), 20)
    """
    noun, nouns = NOUNS[data.kind]
    examples = replace(_read(data, same_classes=check_classes), noun=noun, nouns=nouns)
    if data.exclude is not None:
        examples = leave_out(examples, data.exclude)
    if data.labels is not None:
        examples = choose_labels(examples, data.labels)
    if check_classes:
        _check_classes(examples)
    if data.per_class is not None:
        examples = draw_per_class(examples, data.per_class, seed=seed if data.split_seed is None else data.split_seed)
    return examples


def _read(data: Data, *, same_classes: bool) -> Examples:
    kind, _, name = data.source.partition(":")
    if kind == "sample":
        return _without_table(_read_sample(name, data.source), data)
    if kind == "tfds":
        return _without_table(tfds_source.read_tfds(name, labels=data.labels), data)
    path = Path(os.path.expanduser(data.source))
    if not _exists(path):
        check_local(data.source)
        raise DataError("There is nothing at this source.", received=str(path.absolute()), allowed=GRAMMAR, fix=_neighbour(path))
    if not path.is_dir() and archives.is_archive(path):
        return _read_archive(path, data, same_classes=same_classes)
    return _read_path(path, data, same_classes=same_classes)


def _read_path(path: Path, data: Data, *, same_classes: bool) -> Examples:
    """The examples of a folder or a file that is no archive."""
    if path.is_dir():
        return _read_folder(path, data, same_classes=same_classes)
    chosen = csv_source.Chosen(data.path_column, data.label_column, data.test_fold)
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return csv_source.read_csv(path, chosen)
    if suffix == ".parquet":
        return csv_source.read_tables([(parquet.read_parquet([path]), "")], chosen, source=str(path))
    if suffix == ".npz":
        return _without_table(arrays.read_npz(path), data)
    fix = "Unpack it with another program and name the folder." if suffix in archives.UNREAD else _OTHER_TABLES.get(suffix)
    raise DataError("This file is not a source of labelled images.", received=str(path), allowed=GRAMMAR, fix=fix)


def _read_folder(path: Path, data: Data, *, same_classes: bool) -> Examples:
    if arrays.holds_idx(path):
        return _without_table(arrays.read_idx(path), data)
    inner = _innermost(path)
    if inner != path and arrays.holds_idx(inner):
        return _without_table(arrays.read_idx(inner), data)
    found, note = table_folder.read_table_folder(inner, csv_source.Chosen(data.path_column, data.label_column, data.test_fold))
    if found is not None:
        return replace(found, source=str(path))
    if (named := file_names.read_file_names(inner)) is not None:
        return _without_table(_with_note(replace(named, source=str(path)), "table_not_used", "warning", note), data)
    try:
        examples = folder.read_folder(path, same_classes=same_classes, chosen=data.labels is not None)
    except DataError as error:
        packed = [file.name for file in table_folder.visible(inner) if file.is_file() and archives.is_archive(file)]
        if advice := (
            f"It holds archives: {listed(packed)}. Unpack it if need be, and name one of them with --data."
            if packed
            else file_names.suggestion(file_names.flat_images(inner))
        ):
            raise DataError(
                error.what, received=error.received, allowed=error.allowed, fix=f"{error.fix or ''} {advice}".strip()
            ) from error
        raise
    return _without_table(_with_note(examples, "table_not_used", "warning", note), data)


def _innermost(path: Path) -> Path:
    """The first folder that holds something else than one folder."""
    while True:
        children = table_folder.visible(path)
        if len(children) != 1 or children[0].is_symlink() or not children[0].is_dir():
            return path
        path = children[0]


def _read_archive(path: Path, data: Data, *, same_classes: bool) -> Examples:
    """The examples in an archive: of the one table or file of arrays that it holds, or of its folders."""
    inside = archives.unpacked(path)
    top = _innermost(inside)
    files = table_folder.visible(top)
    alone = len(files) == 1 and files[0].suffix.lower() in (".npz", ".parquet")
    try:
        examples = _read_path(files[0] if alone else inside, data, same_classes=same_classes)
    except DataError as error:  # the message names the archive, not the place in the cache
        fix = f"{error.fix} {_UNPACK}" if error.fix and str(inside) in error.fix else error.fix
        named = [
            text.replace(str(inside), str(path)) if isinstance(text, str) else text for text in (error.what, error.received, fix)
        ]
        raise type(error)(str(named[0]), received=named[1], allowed=error.allowed, fix=error.fix and str(named[2])) from error
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


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"Cannot look at {path}: {error.strerror}.", allowed=GRAMMAR) from error


def _read_sample(name: str, source: str) -> Examples:
    from tfl.modalities.audio import sample as sounds
    from tfl.modalities.image.sample import load_sample

    if name in sounds.SAMPLES:
        drawn = sounds.load_sample(name)
        return Examples(
            class_names=drawn.class_names, labels=drawn.labels, contents=drawn.contents, source=source, note=drawn.note
        )
    sample = load_sample(name)
    return Examples(class_names=sample.class_names, labels=sample.labels, arrays=sample.images, source=source, note=sample.note)


def choose_labels(examples: Examples, patterns: Sequence[str]) -> Examples:
    """Only the classes whose name is, or as a glob fits, one of `patterns`; they keep their order.

    Raises:
        DataError: A pattern fits no class.
    """
    names = examples.class_names
    chosen_names = matching_names(names, patterns, source=examples.source)
    kept = [index for index, name in enumerate(names) if name in chosen_names]
    renumbered = np.full(len(names), -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    chosen = examples.take(np.flatnonzero(renumbered[examples.labels] >= 0))
    return replace(chosen, class_names=chosen_names, labels=renumbered[chosen.labels])


def draw_per_class(examples: Examples, count: int, *, seed: int) -> Examples:
    """At most `count` examples of each class, drawn by `seed`, in their old order; a source's own splits keep their shares."""
    rng = np.random.default_rng(seed)
    splits = np.zeros(len(examples), "U1") if examples.splits is None else examples.splits
    rank = np.empty(len(examples))
    for label in range(len(examples.class_names)):
        for split in np.unique(splits):
            members = rng.permutation(np.flatnonzero((examples.labels == label) & (splits == split)))
            rank[members] = np.arange(len(members)) / max(1, len(members))
    order = np.lexsort((rank, examples.labels))
    starts = np.searchsorted(examples.labels[order], examples.labels[order])
    return examples.take(np.sort(order[np.arange(len(order)) - starts < count]))


def _check_name(name: str, source: str) -> None:
    """A name becomes a line of `labels.txt` and a word in tables: one of several lines would shift the labels after it."""
    if name.strip() and len(name) <= MOST_CHARACTERS and is_text(name) and not any(map(_breaks_lines, name)):
        return
    raise DataError(
        f"A class of {source} has a name that cannot be used.",
        received=repr(name[:MOST_CHARACTERS]),
        allowed=f"1 to {MOST_CHARACTERS} characters, without line breaks and other control characters",
        fix="Rename the class.",
    )


def _breaks_lines(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def _check_classes(examples: Examples) -> None:
    names = examples.class_names
    same: dict[str, str] = {}
    for name in names:
        _check_name(name, examples.source)
        folded = unicodedata.normalize("NFC", name).casefold()
        if (twin := same.get(folded)) is not None:
            raise DataError(
                f"Two classes of {examples.source} have names that "
                + ("are the same." if twin == name else "differ only by case."),
                received=f"`{twin}` and `{name}`",
                fix="Rename one, or merge them: some file systems cannot tell them apart.",
            )
        same[folded] = name
    empty = [name for name, count in examples.counts().items() if count == 0]
    if empty:
        raise DataError(
            f"Of the classes of {examples.source}, these have no {examples.noun}: {listed(empty)}.",
            fix=f"Add {examples.nouns}, remove the class, or choose the others with `data.labels`.",
        )
    if len(names) < 2:
        raise DataError(
            f"{examples.source} has fewer than two classes, and a classifier needs at least two.",
            received=listed(names) or "none",
            allowed="two classes or more",
            fix="Each class is a folder (or a label in the CSV file) of its own.",
        )
