"""A folder of class folders, with or without `train/`, `val/` and `test/` above them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tfl.data.examples import Examples, is_text, listed
from tfl.errors import DataError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_LAYOUT = "FOLDER/CLASS/IMAGE or FOLDER/train/CLASS/IMAGE (with val/ and test/ beside train/)"
_LEFT_BY_SYSTEMS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def read_folder(root: Path, *, same_classes: bool = True) -> Examples:
    """Every file below each class folder, sorted; hidden files, and what operating systems leave behind, are passed over.

    A class folder or an image may be a link: whoever made it on this machine named what it leads to. Folders below a class
    folder are not followed through links, which may lead back.

    Whether a file is an image is found out by the audit, which names those that are not.

    Args:
        root: The folder.
        same_classes: Whether every split must have every class.

    Raises:
        DataError: The folder is empty, unreadable, has no class folders, or its splits do not have the same classes.
    """
    children = _children(root)
    if split_roots := _split_roots(root, children):
        found = {split: _class_files(path) for split, path in split_roots.items()}
    else:
        found = {"": _class_files(root)}
    class_names = _common_classes(root, found, same=same_classes)
    rows = [
        (label, path, split)
        for split, files in found.items()
        for label, name in enumerate(class_names)
        for path in files.get(name, ())
    ]
    rows.sort(key=lambda row: row[:2])
    if not rows:
        raise DataError(f"The class folders of {root} hold no files.", received=listed(class_names), allowed=_LAYOUT)
    return Examples(
        class_names=class_names,
        labels=np.array([row[0] for row in rows], np.int32),
        paths=np.array([row[1] for row in rows]),
        splits=np.array([row[2] for row in rows]) if split_roots else None,
        source=str(root),
    )


def _split_roots(root: Path, children: list[os.DirEntry[str]]) -> dict[str, Path]:
    """The split folders, or nothing: `train` counts as one only if it holds folders, since a class may be called so too."""
    folders = [child for child in children if os.path.isdir(child.path)]
    named = [(SPLIT_FOLDERS[child.name.lower()], child) for child in folders if child.name.lower() in SPLIT_FOLDERS]
    train = [child for split, child in named if split == "train"]
    if not train or not any(os.path.isdir(grandchild.path) for grandchild in _children(Path(train[0].path))):
        return {}
    roots: dict[str, Path] = {}
    for split, child in named:
        if split in roots:
            raise DataError(f"{root} has two folders for the {split} split.", received=f"{roots[split].name}, {child.name}")
        roots[split] = Path(child.path)
    others = [child.name for child in folders if child.name.lower() not in SPLIT_FOLDERS]
    if others:
        raise DataError(f"{root} has a train folder and, beside it, others.", received=listed(others), allowed=_LAYOUT)
    return roots


def _class_files(root: Path) -> dict[str, list[str]]:
    children = _children(root)
    folders = [child for child in children if os.path.isdir(child.path)]
    if not folders:
        files = listed([child.name for child in children], limit=5)
        raise DataError(
            f"{root} has no class folders" + (", only files." if files else ": it is empty."),
            received=files or None,
            allowed=_LAYOUT,
            fix="Put the images of each class into a folder named after it, or list them in a CSV file (columns path, label).",
        )
    return {child.name: _files_below(Path(child.path)) for child in folders}


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


def _files_below(folder: Path) -> list[str]:
    files: list[str] = []
    for child in _children(folder):
        if child.is_dir(follow_symlinks=False):
            files += _files_below(Path(child.path))
        elif _may_be_image(child):
            files.append(child.path)
    return files


def _may_be_image(entry: os.DirEntry[str]) -> bool:
    """Files, and links to them; links that lead nowhere too, so that the audit names them."""
    return (entry.is_symlink() and not os.path.exists(entry.path)) or entry.is_file()


def _children(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _LEFT_BY_SYSTEMS]
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}.", fix="Check its permissions.") from error
    if strange := [os.fsencode(entry.name) for entry in visible if not is_text(entry.name)]:
        raise DataError(f"A name in the folder {folder} is not UTF-8 text.", received=repr(strange[0]), fix="Rename it.")
    return sorted(visible, key=lambda entry: entry.name)
