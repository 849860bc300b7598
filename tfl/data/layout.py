"""What the folders of a source mean: splits, classes, or wrappers around them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.data.ambiguity import nested_class_finding, refuse_parts, refuse_unclear_classes
from tfl.data.examples import listed
from tfl.data.split_names import SPLIT_FOLDERS, UNLABELLED, is_filler, layout, split_of, splits_of
from tfl.data.walk import files_below, folders_and_files
from tfl.errors import DataError
from tfl.modalities.files import FileKind

__all__ = ["SPLIT_FOLDERS", "Layout", "find_layout"]

_UNKNOWN = frozenset(("unknown", "unlabeled", "unlabelled", "none", "all"))
"""Names of the single folder in a test without labels, which `flow_from_directory` of Keras asked for."""
_PLAIN = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))
"""Folders of these names are what everybody expects: nothing is said about them."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the class folders of a source are.

    Attributes:
        splits: The folder that holds the class folders, by split; by an empty string where the source has no splits.
        findings: What should be said about it, as an audit says it.
    """

    splits: dict[str, Path]
    findings: tuple[dict[str, Any], ...] = ()


def find_layout(root: Path, kind: FileKind, skipped: list[str], *, chosen: bool = False) -> Layout:
    """Looks through wrapper folders and recognises folders of splits, in every spelling of their names.

    Args:
        root: The source.
        kind: What the examples are.
        skipped: Is given the paths of what systems left behind; see `tfl.data.walk`.
        chosen: Whether the recipe names its classes itself, so that folders that hardly look like classes may be some.

    Raises:
        DataError: It is not clear which folders are the classes; the message says what was seen.
    """
    inner, findings = _inside_wrappers(root, skipped)
    named = splits_of([child.name for child in folders_and_files(inner, skipped)[0]])
    if any(split == "train" and _holds_folders(inner / name) for name, split in named.items()):
        roots, more = _split_roots(inner, named, kind, skipped)
        if not chosen:
            refuse_parts(roots["train"], kind)
        return Layout(splits=roots, findings=(*findings, *more))
    if not chosen:
        refuse_unclear_classes(inner, named, kind)
        refuse_parts(inner, kind)
        findings += nested_class_finding(inner, list(named), kind.nouns)
    return Layout(splits={"": inner}, findings=(*findings, *(_loose_finding(inner) if named else ())))


def _inside_wrappers(root: Path, skipped: list[str]) -> tuple[Path, list[dict[str, Any]]]:
    """The innermost folder that is more than a wrapper around a single folder which holds folders itself."""
    folder, findings = root, list[dict[str, Any]]()
    while True:
        folders, _ = folders_and_files(folder, skipped)
        if len(folders) != 1 or split_of(folders[0].name) == "train" or not _holds_folders(Path(folders[0].path)):
            break
        findings += _loose_finding(folder)
        folder = Path(folders[0].path)
    return folder, findings if folder == root else [_wrapper_finding(root, folder), *findings]


def _holds_folders(folder: Path) -> bool:
    return bool(folders_and_files(folder, [])[0])


def _split_roots(
    root: Path, named: Mapping[str, str | None], kind: FileKind, skipped: list[str]
) -> tuple[dict[str, Path], list[dict[str, Any]]]:
    """The folder of each split, and findings about how it was recognised and about those without labels, which are left out."""
    if others := [name for name, split in named.items() if split is None]:
        raise DataError(
            f"{root} has a train folder and other folders next to it.",
            received=listed(others),
            allowed=layout(kind.noun),
            fix="Move them elsewhere, or name the folder that holds the class folders.",
        )
    folders = {name: _inside_doubled(root / name, skipped) for name in named}
    classes = {child.name for name, split in named.items() if split == "train" for child in _folders(folders[name])}
    roots: dict[str, Path] = {}
    findings = _loose_finding(root)
    for name, split in named.items():
        if split is None or split == UNLABELLED or (split != "train" and _has_no_labels(folders[name], classes)):
            findings += _unlabelled_finding(root / name)
        elif split in roots:
            taken = roots[split].relative_to(root).parts[0]
            raise DataError(f"{root} has two folders for the {split} split.", received=f"{taken}, {name}")
        else:
            roots[split] = folders[name]
            findings += _loose_finding(folders[name])
    return roots, [*_recognised_finding(root, roots), *findings]


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    return folders_and_files(folder, [])[0]


def _has_no_labels(folder: Path, classes: set[str]) -> bool:
    """Whether there are no class folders, or only one of a name such as `unknown` that is no class to train on."""
    names = [child.name for child in _folders(folder)]
    return not names or (len(names) == 1 and names[0].lower() in _UNKNOWN and names[0] not in classes)


def _inside_doubled(folder: Path, skipped: list[str]) -> Path:
    """The innermost folder of `training_set/training_set/CLASS` or `test/data/FILE`, where each wraps the next alone."""
    folders, files = folders_and_files(folder, skipped)
    if len(folders) == 1 and not files:
        inner = Path(folders[0].path)
        if _holds_folders(inner) or is_filler(inner.name) or inner.name == folder.name or _same_split(inner, folder):
            return _inside_doubled(inner, skipped)
    return folder


def _same_split(inner: Path, outer: Path) -> bool:
    return split_of(inner.name) is not None and split_of(inner.name) == split_of(outer.name)


def _wrapper_finding(root: Path, inner: Path) -> dict[str, Any]:
    note = f"The class folders are those in {os.path.relpath(inner, root)}{os.sep}, the only folder that holds any."
    return {"kind": "wrapper_folder", "severity": "info", "files": [str(inner)], "note": note}


def _recognised_finding(root: Path, roots: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Says which folder was taken for which split, where the names do not say it in the usual way."""
    names = {split: os.path.relpath(folder, root) for split, folder in roots.items()}
    if all(name.lower() in _PLAIN for name in names.values()):
        return []
    note = f"Folders of splits: {', '.join(f'{name}{os.sep} is {split}' for split, name in names.items())}."
    return [{"kind": "recognised_splits", "severity": "info", "files": [str(folder) for folder in roots.values()], "note": note}]


def _loose_finding(folder: Path) -> list[dict[str, Any]]:
    """Says which files lie next to folders and so belong to no class."""
    folders, files = folders_and_files(folder, [])
    if not folders or not files:
        return []
    note = f"Files directly in {folder} belong to no class and are not used ({len(files)}): {listed(files, limit=5)}."
    return [{"kind": "loose_files", "severity": "warning", "files": [str(folder / name) for name in files], "note": note}]


def _unlabelled_finding(folder: Path) -> list[dict[str, Any]]:
    files = files_below(folder, [])
    note = (
        f"{folder} has no class folders, so its {len(files)} files have no label and are left out of training and evaluation. "
        f"Label them with the finished model: tfl predict RUN {folder}"
        if files
        else f"{folder} holds no files: it is left out."
    )
    return [{"kind": "unlabelled_split", "severity": "warning", "files": files or [str(folder)], "note": note}]
