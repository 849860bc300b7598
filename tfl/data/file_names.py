"""Labels in the names of files, as in `Abyssinian_1.jpg` or `cat.0.jpg`: for a flat folder where every file has one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data.examples import Examples, is_text, listed
from tfl.data.label_values import FEWEST
from tfl.data.split_names import SPLIT_FOLDERS, split_of
from tfl.data.walk import folders_and_files
from tfl.modalities.base import KINDS
from tfl.modalities.files import FileKind, files_of

_NAME = re.compile(r"(?P<label>.*?[^\W\d_].*?)[ _.\-]*\(?\d+\)?")
_CROSSED = re.compile(r"(?P<label>[^_\W]+)_(?P<other>[^_\W]+)_\d+")


def label_in(name: str) -> str | None:
    """The label in the name of a file: what stands before its last number; None where it is none.

    Example:

    >>> from tfl.data.file_names import label_in
    >>> label_in("Abyssinian_1.jpg"), label_in("cat.0.jpg"), label_in("saint_bernard (3).png"), label_in("0001.png")
    ('Abyssinian', 'cat', 'saint_bernard', None)
    """
    match = _NAME.fullmatch(os.path.splitext(name)[0])
    return match["label"].strip(" _.-(") if match else None


def certain_labels(names: Sequence[str], files: FileKind | None = None) -> dict[str, str] | None:
    """The label of each file name; None unless every name has one, and there are two classes or more, each with
    several files and none of them what devices and programs call their files.

    Args:
        names: The names of the files.
        files: What they are. Defaults to the kind of a recipe that says nothing.

    Example:

    >>> from tfl.data.file_names import certain_labels
    >>> certain_labels(["cat_1.png", "cat_2.png", "cat_3.png", "dog_1.png", "dog_2.png", "dog_3.png"])["dog_2.png"]
    'dog'
    >>> certain_labels([f"{word}_000{number}.jpg" for word in ("IMG", "DSC") for number in range(9)]) is None
    True
    """
    files = files or files_of(KINDS[0])
    if files.crossed_names and (crossed := crossed_labels(names)) is not None:
        return crossed
    labels = {name: label for name in names if (label := label_in(name))}
    counts = Counter(labels.values())
    if len(labels) < len(names) or len(counts) < 2 or min(counts.values()) < FEWEST:
        return None
    words = {re.split(r"[\W_\d]+", label.lower())[0] for label in counts}
    return None if words & (files.numbered | set(SPLIT_FOLDERS)) else labels


def crossed_labels(names: Sequence[str]) -> dict[str, str] | None:
    """The first part of names such as `7_jackson_32.wav`, where every first part occurs with every second one; else None.

    Example:

    >>> from tfl.data.file_names import crossed_labels
    >>> names = [f"{digit}_{speaker}_{take}.wav" for digit in (0, 1) for speaker in ("ann", "bob") for take in range(3)]
    >>> crossed_labels(names)["1_bob_2.wav"]
    '1'
    >>> crossed_labels(["great_dane_1.wav", "great_dane_2.wav", "irish_setter_1.wav"]) is None
    True
    """
    matches = {name: _CROSSED.fullmatch(os.path.splitext(name)[0]) for name in names}
    parts = {name: (match["label"], match["other"]) for name, match in matches.items() if match}
    labels, others = Counter(first for first, _ in parts.values()), {second for _, second in parts.values()}
    if len(parts) < len(names) or min(len(labels), len(others)) < 2 or min(labels.values()) < FEWEST:
        return None
    crossed = len(set(parts.values())) == len(labels) * len(others)
    return {name: first for name, (first, _) in parts.items()} if crossed else None


def flat_files(folder: Path, files: FileKind) -> list[str]:
    """The names of the files of a kind in a folder that holds such files and no folders; empty for any other folder."""
    folders, names = folders_and_files(folder, [])
    return [] if folders else [name for name in names if files.has(name)]


def read_file_names(folder: Path, files: FileKind) -> Examples | None:
    """The examples of a folder of files of a kind, or of flat split folders, whose file names have their labels in them.

    Split folders other than `train` whose file names have other labels or none are left out, and said.

    Args:
        folder: The folder.
        files: What the examples are.

    Returns:
        None where the folder has another layout, or where it is not certain that the names have labels.

    Raises:
        DataError: A folder cannot be read.
    """
    if names := flat_files(folder, files):
        labels = certain_labels(names, files)
        return None if labels is None else _examples(folder, {"": list(labels.items())}, [])
    parts = {child.name: flat_files(Path(child.path), files) for child in folders_and_files(folder, [])[0]}
    splits = {name: split_of(name) for name in parts}
    train = [name for name, split in splits.items() if split == "train"]
    if len(train) != 1 or not all(splits.values()) or (first := certain_labels(parts[train[0]], files)) is None:
        return None
    found: dict[str, list[tuple[str, str]]] = {"train": [(f"{train[0]}/{name}", label) for name, label in first.items()]}
    left: list[str] = []
    for name, inside in parts.items():
        labels, split = certain_labels(inside, files), splits[name] or ""
        if labels is not None and split not in found and set(labels.values()) == set(first.values()):
            found[split] = [(f"{name}/{file}", label) for file, label in labels.items()]
        elif name != train[0]:
            left.append(name)
    return _examples(folder, found, left)


def _examples(folder: Path, found: dict[str, list[tuple[str, str]]], left: Sequence[str]) -> Examples:
    """The examples by split, each a file and its label; `left` are folders without such labels."""
    rows = [(name, label, split) for split, some in found.items() for name, label in some]
    class_names = tuple(sorted({label for _, label, _ in rows}))
    index = {name: label for label, name in enumerate(class_names)}
    note = (
        f"{folder} has no class folders, so the labels are read from the file names: `{rows[0][0]}` has the class "
        f"`{rows[0][1]}`. {len(class_names)} classes: {listed(class_names)}."
    )
    findings: list[dict[str, Any]] = [{"kind": "labels_from_names", "severity": "info", "files": [], "note": note}]
    for name in left:
        note = f"The file names in {folder / name} do not have such labels, so it is left out of training and evaluation. "
        note += f"Label them with the finished model: tfl predict RUN {folder / name}"
        findings.append({"kind": "unlabelled_split", "severity": "warning", "files": [str(folder / name)], "note": note})
    return Examples(
        class_names=class_names,
        labels=np.array([index[label] for _, label, _ in rows], np.int32),
        paths=np.array([os.path.join(folder, name) for name, _, _ in rows]),
        splits=np.array([split for _, _, split in rows]) if len(found) > 1 else None,
        source=str(folder),
        findings=tuple(findings),
    )


def suggestion(names: Sequence[str], nouns: str) -> str:
    """What to do about a flat folder whose file names are not certain to have labels in them."""
    labels = Counter(label for name in names if is_text(name) and (label := label_in(name)))
    if len(labels) < 2:
        return ""
    shown = listed([f"`{label}` ({count})" for label, count in labels.most_common(5)], limit=5)
    return (
        f"If the labels are in the file names ({shown}), list the {nouns} in a CSV file with the columns path and label: names "
        f"are read only where each has a label before its last number and each label has at least {FEWEST} files."
    )
