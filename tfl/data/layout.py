"""What the folders of a source mean: splits, classes, or wrappers around them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.data.examples import listed
from tfl.data.walk import children, files_below
from tfl.errors import DataError

LAYOUT = "FOLDER/CLASS/IMAGE or FOLDER/train/CLASS/IMAGE (with val/ and test/ next to train/)"
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
_UNLABELLED = frozenset(("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"))
_FILLERS = ("set", "sets", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "split", "seg", "folder")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def split_of(name: str) -> str | None:
    """The split that a folder's name says: `train`, `val`, `test`, `unlabelled`, or None for the name of something else.

    Example:

    >>> from tfl.data.layout import split_of
    >>> [split_of(name) for name in ("training_set", "Test Images", "seg_train", "valset", "test_tube", "trams")]
    ['train', 'test', 'train', 'val', None, None]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if any(ord(character) > 127 for character in name) or not words:
        return None
    left = [word for word in words if word not in _FILLERS]
    if len(left) == 1 and left[0] not in SPLIT_FOLDERS:
        left = [left[0].removesuffix(next((filler for filler in _FILLERS if left[0].endswith(filler)), ""))]
    if len(left) != 1:
        return None
    return "unlabelled" if left[0] in _UNLABELLED else SPLIT_FOLDERS.get(left[0])


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the class folders of a source are.

    Attributes:
        splits: The folder that holds the class folders, by split; by an empty string where the source has no splits.
        findings: What should be said about it, as an audit says it.
    """

    splits: dict[str, Path]
    findings: tuple[dict[str, Any], ...] = ()


def find_layout(root: Path, skipped: list[str]) -> Layout:
    """Looks through wrapper folders and recognises folders of splits, in every spelling of their names.

    Args:
        root: The source.
        skipped: Is given the paths of what systems left behind; see `tfl.data.walk`.

    Raises:
        DataError: It is not clear which folders are the classes; the message says what was seen.
    """
    inner = _inside_wrappers(root)
    findings = [] if inner == root else [_wrapper_finding(root, inner)]
    folders, files = _folders_and_files(inner, skipped)
    named = {child.name: split_of(child.name) for child in folders}
    if any(split == "train" and _holds_folders(inner / name) for name, split in named.items()):
        roots, more = _split_roots(inner, named)
        findings += more
    else:
        _refuse_unclear_classes(inner, named)
        roots = {"": inner}
    if folders and files:
        findings.append(_loose_finding(inner, files))
    return Layout(splits=roots, findings=tuple(findings))


def _inside_wrappers(folder: Path) -> Path:
    """The innermost folder that is more than a wrapper around a single folder which holds folders itself."""
    while True:
        folders, _ = _folders_and_files(folder, [])
        if len(folders) != 1 or split_of(folders[0].name) == "train" or not _holds_folders(Path(folders[0].path)):
            return folder
        folder = Path(folders[0].path)


def _folders_and_files(folder: Path, skipped: list[str]) -> tuple[list[os.DirEntry[str]], list[str]]:
    entries = children(folder, skipped)
    folders = [child for child in entries if os.path.isdir(child.path)]
    return folders, [child.name for child in entries if not os.path.isdir(child.path)]


def _holds_folders(folder: Path) -> bool:
    return bool(_folders_and_files(folder, [])[0])


def _split_roots(root: Path, named: dict[str, str | None]) -> tuple[dict[str, Path], list[dict[str, Any]]]:
    """The folder of each split, and findings about those without labels, which are left out."""
    if others := [name for name, split in named.items() if split is None]:
        raise DataError(
            f"{root} has a train folder and other folders next to it.",
            received=listed(others),
            allowed=LAYOUT,
            fix="Move them elsewhere, or name the folder that holds the class folders.",
        )
    roots: dict[str, Path] = {}
    findings: list[dict[str, Any]] = []
    for name, split in named.items():
        folder = _inside_doubled(root / name)
        if split is None or split == "unlabelled" or (split != "train" and not _holds_folders(folder)):
            findings += _unlabelled_finding(root / name)
        elif split in roots:
            taken = roots[split].relative_to(root).parts[0]
            raise DataError(f"{root} has two folders for the {split} split.", received=f"{taken}, {name}")
        else:
            roots[split] = folder
    return roots, findings


def _inside_doubled(folder: Path) -> Path:
    """The innermost folder of `training_set/training_set/CLASS` or `test/images/FILE`, where each wraps the next alone."""
    folders, files = _folders_and_files(folder, [])
    if len(folders) == 1 and not files:
        inner = Path(folders[0].path)
        if _holds_folders(inner) or inner.name.lower() in _FILLERS or split_of(inner.name) == split_of(folder.name):
            return _inside_doubled(inner)
    return folder


def _refuse_unclear_classes(root: Path, named: dict[str, str | None]) -> None:
    """Raises where a network would learn which split or which site an image is from."""
    if len(named) > 1 and all(named.values()):
        raise DataError(
            f"The folders of {root} look like splits, not like classes.",
            received=listed(list(named)),
            allowed=LAYOUT,
            fix="Put a folder for each class into them, or list the images in a CSV file (columns path, label, split).",
        )
    inside = [{child.name for child in _folders_and_files(root / name, [])[0]} for name in named]
    common = sorted(set.intersection(*inside)) if len(inside) > 1 else []
    if len(common) > 1:
        raise DataError(
            f"Each folder of {root} holds the same folders, so it is not clear which of them are the classes.",
            received=f"{listed(list(named), limit=5)}; in each of them {listed(common, limit=5)}",
            allowed=LAYOUT,
            fix=f"If the inner ones are the classes, name one of the outer ones, such as {root / next(iter(named))}, or list all "
            "images in a CSV file (columns path, label, and group for the outer folder).",
        )


def _wrapper_finding(root: Path, inner: Path) -> dict[str, Any]:
    note = f"The class folders are those in {os.path.relpath(inner, root)}{os.sep}, the only folder that holds any."
    return {"kind": "wrapper_folder", "severity": "info", "files": [str(inner)], "note": note}


def _loose_finding(root: Path, files: list[str]) -> dict[str, Any]:
    note = f"Files next to the class folders belong to no class and are not used ({len(files)}): {listed(files, limit=5)}."
    return {"kind": "loose_files", "severity": "warning", "files": [str(root / name) for name in files], "note": note}


def _unlabelled_finding(folder: Path) -> list[dict[str, Any]]:
    files = files_below(folder, [])
    if not files:
        return []
    note = (
        f"{folder} has no class folders, so its {len(files)} files have no label and are left out of training and evaluation. "
        f"Label them with the finished model: tfl predict RUN {folder}"
    )
    return [{"kind": "unlabelled_split", "severity": "warning", "files": files, "note": note}]
