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
from tfl.data.located import IMAGE_SUFFIXES
from tfl.data.split_names import SPLIT_FOLDERS, split_of
from tfl.data.walk import folders_and_files

_NAME = re.compile(r"(?P<label>.*?[^\W\d_].*?)[ _.\-]*\(?\d+\)?")
_NUMBERED = frozenset(
    (
        *("img", "image", "images", "imag", "dsc", "dscn", "dscf", "pxl", "mvi", "vid", "gopr", "gp", "p", "sam", "cimg", "pict"),
        *("picture", "photo", "pic", "foto", "screenshot", "screen", "frame", "scan", "whatsapp", "file", "page", "untitled"),
        *("unnamed", "download", "crop", "tile", "patch", "sample", "item", "fig", "figure", "slide", "wp", "dji", "sdc", "hpim"),
    )
)
"""What cameras, phones and programs put before a number."""


def label_in(name: str) -> str | None:
    """The label in the name of a file: what stands before its last number; None where it is none.

    Example:

    >>> from tfl.data.file_names import label_in
    >>> label_in("Abyssinian_1.jpg"), label_in("cat.0.jpg"), label_in("saint_bernard (3).png"), label_in("0001.png")
    ('Abyssinian', 'cat', 'saint_bernard', None)
    """
    match = _NAME.fullmatch(os.path.splitext(name)[0])
    return match["label"].strip(" _.-(") if match else None


def certain_labels(names: Sequence[str]) -> dict[str, str] | None:
    """The label of each file name; None unless every name has one, and there are two classes or more, each with
    several files and none of them what cameras and programs call their files.

    Example:

    >>> from tfl.data.file_names import certain_labels
    >>> certain_labels(["cat_1.png", "cat_2.png", "cat_3.png", "dog_1.png", "dog_2.png", "dog_3.png"])["dog_2.png"]
    'dog'
    >>> certain_labels([f"{word}_000{number}.jpg" for word in ("IMG", "DSC") for number in range(9)]) is None
    True
    """
    labels = {name: label for name in names if (label := label_in(name))}
    counts = Counter(labels.values())
    if len(labels) < len(names) or len(counts) < 2 or min(counts.values()) < FEWEST:
        return None
    words = {re.split(r"[\W_\d]+", label.lower())[0] for label in counts}
    return None if words & (_NUMBERED | set(SPLIT_FOLDERS)) else labels


def flat_images(folder: Path) -> list[str]:
    """The names of the images in a folder that holds images and no folders; empty for any other folder."""
    folders, files = folders_and_files(folder, [])
    return [] if folders else [name for name in files if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]


def read_file_names(folder: Path) -> Examples | None:
    """The examples of a folder of images, or of flat split folders, whose file names have their labels in them.

    Split folders other than `train` whose file names have other labels or none are left out, and said.

    Returns:
        None where the folder has another layout, or where it is not certain that the names have labels.

    Raises:
        DataError: A folder cannot be read.
    """
    if names := flat_images(folder):
        labels = certain_labels(names)
        return None if labels is None else _examples(folder, {"": list(labels.items())}, [])
    parts = {child.name: flat_images(Path(child.path)) for child in folders_and_files(folder, [])[0]}
    splits = {name: split_of(name) for name in parts}
    train = [name for name, split in splits.items() if split == "train"]
    if len(train) != 1 or not all(splits.values()) or (first := certain_labels(parts[train[0]])) is None:
        return None
    found: dict[str, list[tuple[str, str]]] = {"train": [(f"{train[0]}/{name}", label) for name, label in first.items()]}
    left: list[str] = []
    for name, files in parts.items():
        labels, split = certain_labels(files), splits[name] or ""
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


def suggestion(names: Sequence[str]) -> str:
    """What to do about a flat folder whose file names are not certain to have labels in them."""
    labels = Counter(label for name in names if is_text(name) and (label := label_in(name)))
    if len(labels) < 2:
        return ""
    shown = listed([f"`{label}` ({count})" for label, count in labels.most_common(5)], limit=5)
    return (
        f"If the labels are in the file names ({shown}), list the images in a CSV file with the columns path and label: names "
        f"are read only where each has a label before its last number and each label has at least {FEWEST} files."
    )
