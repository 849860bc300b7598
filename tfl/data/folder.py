"""A folder of class folders, with or without folders for the splits above them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tfl.data.examples import Examples, is_text, listed
from tfl.data.layout import LAYOUT, find_layout
from tfl.data.walk import children, files_below, skipped_finding
from tfl.errors import DataError


def read_folder(root: Path, *, same_classes: bool = True) -> Examples:
    """Every file below each class folder, sorted; hidden files, and what systems leave behind, are skipped and counted.

    Folders of splits are recognised by the usual names in every spelling (`train`, `Training Images`, `test_set`, ...), also
    doubled (`test_set/test_set`) and inside wrapper folders. A split without class folders has no labels: it is left out.
    What was recognised, skipped or left out is in the `findings`.

    A class folder or an image may be a link: whoever made it on this machine named what it leads to. Folders below a class
    folder are not followed through links, which may lead back.

    Whether a file is an image is found out by the audit, which names those that are not.

    Args:
        root: The folder.
        same_classes: Whether every split must have every class.

    Raises:
        DataError: The folder is empty, unreadable, has no class folders, its splits do not have the same classes, or it is not
            clear which of its folders are the classes.
    """
    skipped: list[str] = []
    layout = find_layout(root, skipped)
    found = {split: _class_files(path, skipped) for split, path in layout.splits.items()}
    class_names = _common_classes(root, found, same=same_classes)
    rows = [
        (label, path, split)
        for split, files in found.items()
        for label, name in enumerate(class_names)
        for path in files.get(name, ())
    ]
    rows.sort(key=lambda row: row[:2])
    if not rows:
        raise DataError(f"The class folders of {root} hold no files.", received=listed(class_names), allowed=LAYOUT)
    return Examples(
        class_names=class_names,
        labels=np.array([row[0] for row in rows], np.int32),
        paths=np.array([row[1] for row in rows]),
        splits=np.array([row[2] for row in rows]) if "" not in layout.splits else None,
        source=str(root),
        findings=(*layout.findings, *skipped_finding(list(dict.fromkeys(skipped)), root)),
    )


def _class_files(root: Path, skipped: list[str]) -> dict[str, list[str]]:
    entries = children(root, skipped)
    folders = [child for child in entries if os.path.isdir(child.path)]
    if not folders:
        raise _no_classes(root, [child.name for child in entries])
    found = {child.name: files_below(Path(child.path), skipped) for child in folders}
    for path in (*(child.path for child in folders), *(file for files in found.values() for file in files)):
        if not is_text(path):
            name = os.fsencode(os.path.relpath(path, root))
            raise DataError(f"A name in the folder {root} is not UTF-8 text.", received=repr(name), fix="Rename it.")
    return found


def _no_classes(root: Path, files: list[str]) -> DataError:
    fix = "Put the images of each class into a folder named after it, or list them in a CSV file (columns path, label)."
    parent = Path(os.path.abspath(root)).parent
    beside = [] if parent == parent.parent else _folders_of(parent)
    if files and len(beside) > 1 and all(map(_holds_files, beside)):
        fix = f"Did you mean the folder above it? `{parent}` has a folder of files for each of several names. {fix}"
    return DataError(
        f"{root} has no class folders" + (", only files." if files else ": it is empty."),
        received=listed(files, limit=5) or None,
        allowed=LAYOUT,
        fix=fix,
    )


def _folders_of(folder: Path) -> list[Path]:
    try:
        return [Path(child.path) for child in children(folder, []) if os.path.isdir(child.path)]
    except DataError:
        return []


def _holds_files(folder: Path) -> bool:
    try:
        return any(child.is_file() for child in children(folder, []))
    except DataError:
        return False


def _common_classes(root: Path, found: dict[str, dict[str, list[str]]], *, same: bool) -> tuple[str, ...]:
    """The classes, sorted; a class folder that only some of the splits have would shift indices, so it is an error."""
    names = sorted({name for files in found.values() for name in files})
    for split, files in found.items() if same else ():
        absent = [name for name in names if not files.get(name)]
        if absent:
            where = f"{root}: the {split} split" if split else str(root)
            raise DataError(
                f"{where} has no images of these classes: {listed(absent)}.",
                fix="Add images, or remove the class folder from every split.",
            )
    return tuple(names)
