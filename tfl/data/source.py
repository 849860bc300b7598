"""From a SOURCE, as a recipe or the command line writes it, to labelled examples. Pixels stay on disk until they are needed.

SOURCE                         read by
sample:NAME                    tfl.data.sample
tfds:NAME                      tfl.data.tfds_source
FILE.csv                       tfl.data.csv_source
FILE.npz · folder of IDX files tfl.data.arrays
folder of class folders        tfl.data.folder
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfl.data import arrays, csv_source, folder, tfds_source
from tfl.data.examples import Examples, is_text, listed, matching_names
from tfl.data.exclude import leave_out
from tfl.errors import DataError
from tfl.recipe import Data

__all__ = ["Examples", "choose_labels", "draw_per_class", "load_source"]

MOST_CHARACTERS = 200
"""Of a class name."""
GRAMMAR = "a folder of class folders, a .csv file, an .npz file, a folder of IDX files, tfds:NAME, or sample:NAME"


def load_source(data: Data, *, seed: int = 0, check_classes: bool = True) -> Examples:
    """The examples of `data.source`, after `data.exclude`, `data.labels` and `data.per_class`.

    Args:
        data: What to read; only `source`, `exclude`, `labels`, `per_class` and `split_seed` are used here.
        seed: Draws `per_class` where `data.split_seed` is None.
        check_classes: Whether classes must be fit for training; an audit reports those that are not.

    Raises:
        DataError: The source is missing, unreadable, or does not hold at least two classes with an image each.

    Example:

    >>> import tfl
    >>> from tfl.data.source import load_source
    >>> digits = load_source(tfl.Sample("digits", labels=("3", "8"), per_class=10))
    >>> digits.class_names, len(digits)
    (('3', '8'), 20)
    """
    examples = _read(data, same_classes=check_classes)
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
        return _read_sample(name, data.source)
    if kind == "tfds":
        return tfds_source.read_tfds(name, labels=data.labels)
    path = Path(os.path.expanduser(data.source))
    if not _exists(path):
        raise DataError("There is nothing at this source.", received=str(path.absolute()), allowed=GRAMMAR)
    if path.is_dir():
        if arrays.holds_idx(path):
            return arrays.read_idx(path)
        return folder.read_folder(path, same_classes=same_classes, chosen=data.labels is not None)
    if path.suffix.lower() == ".csv":
        return csv_source.read_csv(path)
    if path.suffix.lower() == ".npz":
        return arrays.read_npz(path)
    raise DataError("This file is not a source of labelled images.", received=str(path), allowed=GRAMMAR)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"Cannot look at {path}: {error.strerror}.", allowed=GRAMMAR) from error


def _read_sample(name: str, source: str) -> Examples:
    from tfl.data.sample import load_sample

    sample = load_sample(name)
    return Examples(class_names=sample.class_names, labels=sample.labels, images=sample.images, source=source, note=sample.note)


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
            f"Of the classes of {examples.source}, these have no image: {listed(empty)}.",
            fix="Add images, remove the class, or choose the others with `data.labels`.",
        )
    if len(names) < 2:
        raise DataError(
            f"{examples.source} has fewer than two classes, and a classifier needs at least two.",
            received=listed(names) or "none",
            allowed="two classes or more",
            fix="Each class is a folder (or a label in the CSV file) of its own.",
        )
