"""Folders that look like classes and may be none: refused, or said, before a network learns which folder an example came from."""

from __future__ import annotations

import mimetypes
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.data.examples import listed
from tfl.data.split_names import is_filler, layout, split_of
from tfl.data.walk import files_below, folders_and_files
from tfl.errors import DataError
from tfl.modalities.files import FileKind


def refuse_unclear_classes(root: Path, named: Mapping[str, str | None], kind: FileKind) -> None:
    """Makes sure that the folders of a source can be its classes.

    Args:
        root: The folder that holds them.
        named: Each of them, with the split that its name says.
        kind: What the examples are.

    Raises:
        DataError: They are named like splits, they all hold the same folders, one repeats the others, or only one holds examples.
    """
    inside = {name: {child.name for child in folders_and_files(root / name, [])[0]} for name in named}
    _refuse_splits(root, named, inside, kind)
    _refuse_same_inside(root, inside, kind)
    _refuse_repeated(root, inside)
    _refuse_one_with_examples(root, inside, kind)


def refuse_parts(root: Path, kind: FileKind) -> None:
    """Makes sure that the folders are not the examples and what describes them, as detection and segmentation have them.

    Args:
        root: The folder that holds the class folders.
        kind: What the examples are.

    Raises:
        DataError: All of them are named so: a folder of files next to `masks`, `labels` or `annotations`.
    """
    names = [child.name for child in folders_and_files(root, [])[0]]
    parts = [name for name in names if _plain(name) in kind.described_by]
    if (
        parts
        and len(names) > len(parts)
        and all(name in parts or is_filler(name) or _plain(name) in kind.parts for name in names)
    ):
        raise DataError(
            f"The folders of {root} are {kind.nouns} and what describes them, not classes.",
            received=listed(names),
            allowed=layout(kind.noun),
            fix=f"Object detection and segmentation are not trained. To classify the {kind.nouns}, list them in a CSV file "
            f"(columns path, label). {_or_choose(names)}",
        )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "").removesuffix("s")


def nested_class_finding(root: Path, names: list[str], nouns: str) -> list[dict[str, Any]]:
    """A warning where the classes may be one level deeper: one class has folders only, or the same folder is in several."""
    nested = [name for name in names if _holds_folders_only(root / name)]
    if len(nested) == len(names) > 1:
        return _recurring_finding(root, names, nouns)
    if len(nested) != 1 or len(names) < 2:
        return []
    inner = [child.name for child in folders_and_files(root / nested[0], [])[0]]
    if len(inner) < 2:
        return []
    note = (
        f"The class `{nested[0]}` holds only folders ({listed(inner, limit=5)}), while the other classes hold files. "
        f"If those are the classes, use the source {root / nested[0]}."
    )
    return [{"kind": "nested_class", "severity": "warning", "files": [str(root / nested[0])], "note": note}]


def _recurring_finding(root: Path, names: list[str], nouns: str) -> list[dict[str, Any]]:
    counts = Counter(child.name for name in names for child in folders_and_files(root / name, [])[0])
    if not (again := sorted(name for name, count in counts.items() if count > 1)):
        return []
    note = (
        f"All classes hold only folders, and several of them hold {listed(again, limit=5)}. If the inner folders are the "
        f"classes, list the {nouns} in a CSV file (columns path, label, and group for the outer folder)."
    )
    return [{"kind": "nested_class", "severity": "warning", "files": [str(root / name) for name in names], "note": note}]


def _refuse_splits(root: Path, named: Mapping[str, str | None], inside: Mapping[str, set[str]], kind: FileKind) -> None:
    splits = {split for split in named.values() if split}
    if len(named) < 2 or not (all(named.values()) or {"train", "test"} <= splits or {"train", "val"} <= splits):
        return
    like = [name for name, split in named.items() if split]
    labelled = [name for name in like if inside[name]]
    fix = f"Put a folder for each class into them, or list the {kind.nouns} in a CSV file (columns path, label, split)."
    if labelled:
        fix = f"To use one of them alone, name it: {root / labelled[0]}. Otherwise put class folders into the train folder."
    raise DataError(
        f"The folders of {root} look like splits, not like classes.",
        received=f"{listed(like)}; {_which(labelled)} class folders",
        allowed=layout(kind.noun),
        fix=f"{fix} {_or_choose(list(named))}",
    )


def _which(names: list[str]) -> str:
    return f"{listed(names)} {'holds' if len(names) == 1 else 'hold'}" if names else "none of them holds"


def _refuse_same_inside(root: Path, inside: Mapping[str, set[str]], kind: FileKind) -> None:
    common = sorted(set.intersection(*inside.values())) if len(inside) > 1 else []
    if len(common) < 2:
        return
    if all(map(split_of, common)):
        fix = f"Put the splits above the classes, or list the {kind.nouns} in a CSV file (columns path, label, split)."
    else:
        fix = (
            f"If the inner ones are the classes, name one of the outer ones, such as {root / next(iter(inside))}, or list all "
            f"{kind.nouns} in a CSV file (columns path, label, and group for the outer folder)."
        )
    raise DataError(
        f"Each folder of {root} holds the same folders, so it is not clear which of them are the classes.",
        received=f"{listed(list(inside), limit=5)}; in each of them {listed(common, limit=5)}",
        allowed=layout(kind.noun),
        fix=f"{fix} {_or_choose(list(inside))}",
    )


def _refuse_repeated(root: Path, inside: Mapping[str, set[str]]) -> None:
    """A data set that was unpacked into itself has `cat`, `dog`, and a folder with `cat` and `dog` once more."""
    for name, inner in inside.items():
        again = sorted(inner & (set(inside) - {name}))
        if len(again) > 1:
            raise DataError(
                f"The folder {root / name} holds folders of the same names as those next to it, so it is hardly a class.",
                received=listed(again, limit=5),
                fix=f"Remove what is there twice, or use the inner ones alone: {root / name}. {_or_choose(list(inside))}",
            )


def _refuse_one_with_examples(root: Path, inside: Mapping[str, set[str]], kind: FileKind) -> None:
    """One folder of class folders, next to others with notebooks, documents or nothing."""
    holders = [name for name, inner in inside.items() if len(inner) > 1 and _holds_folders_only(root / name)]
    others = [name for name in inside if name not in holders]
    if len(holders) == 1 and others and not any(_may_hold_examples(root / name, kind) for name in others):
        raise DataError(
            f"Of the folders of {root}, only `{holders[0]}` holds {kind.nouns}, in folders of its own.",
            received=f"no {kind.nouns} in {listed(others, limit=5)}",
            fix=f"Did you mean {root / holders[0]}? {_or_choose(list(inside))}",
        )


def _or_choose(names: list[str]) -> str:
    """How to say that the folders are the classes after all: the recipe's own choice of labels is not questioned."""
    return f"If {listed(names, limit=3)} are the classes after all, say so with data.labels (`--set 'data.labels=*'` for all)."


def _holds_folders_only(folder: Path) -> bool:
    folders, files = folders_and_files(folder, [])
    return bool(folders) and not files


def _may_hold_examples(folder: Path, kind: FileKind) -> bool:
    return any(_may_be_example(file, kind) for file in files_below(folder, []))


def _may_be_example(file: str, kind: FileKind) -> bool:
    """Whether the name allows that it is an example: by its ending, or because it has none."""
    return not os.path.splitext(file)[1] or kind.has(file) or (mimetypes.guess_type(file)[0] or "").startswith(f"{kind.kind}/")
