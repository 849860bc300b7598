"""A folder of class folders, with or without folders for the splits above them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tfl.data.examples import Examples, is_text, listed
from tfl.data.layout import find_layout
from tfl.data.split_names import layout as layout_of
from tfl.data.walk import children, files_below, folders_and_files, skipped_findings
from tfl.errors import DataError
from tfl.modalities.files import FileKind
from tfl.storage import cache_home


def read_folder(root: Path, kind: FileKind, *, same_classes: bool = True, chosen: bool = False) -> Examples:
    """Every file below each class folder, sorted; hidden files, and what systems leave behind, are skipped and counted.

    Folders of splits are recognised by the usual names in every spelling (`train`, `Training Data`, `test_set`, ...), also
    doubled (`test_set/test_set`) and inside wrapper folders. A split without class folders has no labels: it is left out.
    What was recognised, skipped or left out is in the `findings`.

    A class folder or a file may be a link: whoever made it on this machine named what it leads to. Folders below a class
    folder are not followed through links, which may lead back.

    Whether a file can be used is found out by the audit, which names those that are not.

    Args:
        root: The folder.
        kind: What the examples are.
        same_classes: Whether every split must have every class.
        chosen: Whether the recipe names its classes itself, so that folders that hardly look like classes may be some.

    Raises:
        DataError: The folder is empty, unreadable, has no class folders, its splits do not have the same classes, or it is not
            clear which of its folders are the classes.
    """
    skipped: list[str] = []
    layout = find_layout(root, kind, skipped, chosen=chosen)
    found = {split: _class_files(path, kind, skipped) for split, path in layout.splits.items()}
    class_names = _common_classes(root, found, kind.nouns, same=same_classes)
    rows = [
        (label, path, split)
        for split, files in found.items()
        for label, name in enumerate(class_names)
        for path in files.get(name, ())
    ]
    rows.sort(key=lambda row: row[:2])
    if not rows:
        raise DataError(f"The class folders of {root} hold no files.", received=listed(class_names), allowed=layout_of(kind.noun))
    return Examples(
        class_names=class_names,
        labels=np.array([row[0] for row in rows], np.int32),
        paths=np.array([row[1] for row in rows]),
        splits=np.array([row[2] for row in rows]) if "" not in layout.splits else None,
        source=str(root),
        findings=(*layout.findings, *skipped_findings(skipped, root)),
    )


def _class_files(root: Path, kind: FileKind, skipped: list[str]) -> dict[str, list[str]]:
    folders, files = folders_and_files(root, skipped)
    if not folders:
        raise _no_classes(root, files, kind)
    found = {child.name: files_below(Path(child.path), skipped) for child in folders}
    _refuse_strange_names(root, [child.path for child in folders], [file for files in found.values() for file in files])
    return found


def _refuse_strange_names(root: Path, folders: list[str], files: list[str]) -> None:
    """Names become text in labels, lists, reports and TensorFlow's paths, none of which holds bytes that are not UTF-8."""
    strange = [path for path in folders if not is_text(path)] or [path for path in files if not is_text(path)]
    if not strange:
        return
    shown = listed([repr(os.fsencode(os.path.relpath(path, root))) for path in strange], limit=3)
    what = "A name in the folder" if len(strange) == 1 else f"{len(strange)} names in the folder"
    raise DataError(
        f"{what} {root} {'is' if len(strange) == 1 else 'are'} not UTF-8 text.",
        received=shown,
        fix=f"Rename {'it' if len(strange) == 1 else 'them'}, for example all at once: "
        f"convmv -f latin1 -t utf8 -r --notest {root}. `tfl predict` takes such files as they are.",
    )


def _no_classes(root: Path, files: list[str], kind: FileKind) -> DataError:
    fix = f"Put the {kind.nouns} of each class into a folder named after it, or list them in a CSV file (columns path, label)."
    parent = Path(os.path.abspath(root)).parent
    beside = [] if parent == parent.parent or parent.is_relative_to(cache_home()) else _folders_of(parent)
    if files and len(beside) > 1 and all(map(_holds_files, beside)):
        fix = f"Did you mean the folder above it? `{parent}` has a folder of files for each of several names. {fix}"
    return DataError(
        f"{root} has no class folders" + (", only files." if files else ": it is empty."),
        received=listed(files, limit=5) or None,
        allowed=layout_of(kind.noun),
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


def _common_classes(root: Path, found: dict[str, dict[str, list[str]]], nouns: str, *, same: bool) -> tuple[str, ...]:
    """The classes, sorted; a class folder that only some of the splits have would shift indices, so it is an error."""
    names = sorted({name for files in found.values() for name in files})
    for split, files in found.items() if same else ():
        absent = [name for name in names if not files.get(name)]
        if absent:
            where = f"{root}: the {split} split" if split else str(root)
            raise DataError(
                f"{where} has no {nouns} of these classes: {listed(absent)}.",
                fix=f"Add {nouns}, or remove the class folder from every split.",
            )
    return tuple(names)
