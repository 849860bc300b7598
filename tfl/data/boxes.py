"""From annotated pictures to examples whose targets are boxes: what is wrong with a box is found here, and told.

Corners are kept as shares of the picture's width and height, so that they hold at every size that the picture is stretched to.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data import archives
from tfl.data.box_files import Annotated, BoxFiles, find_box_files, read_box_files
from tfl.data.box_images import Images
from tfl.data.examples import Examples
from tfl.data.remote import check_local
from tfl.data.walk import files_below
from tfl.errors import DataError, listed
from tfl.modalities import samples
from tfl.modalities.files import FileKind
from tfl.recipe import Data
from tfl.tasks.box_metrics import overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = 5
"""Of each box in a row of targets: the index of its class, then left, top, right and bottom as shares of the picture."""
DOUBLED = 0.95
"""Two boxes of one picture are the same object where they overlap by so much of their union."""
_SLACK_PX = 1.5
"""A corner outside the picture by up to this much is no finding: some programs count pixels from 1."""
ALLOWED = (
    "a folder in the form of Pascal VOC (Annotations/*.xml, JPEGImages/), a COCO file (.json) or a folder with one beside its "
    "pictures, a table with the columns image, xmin, ymin, xmax, ymax, class (.csv, .tsv, .jsonl), an archive of these, or "
    "sample:cells"
)


def read_boxes(data: Data, files: FileKind) -> Examples:
    """The pictures of a source with their boxes as targets.

    Args:
        data: Its `source` and `path_column` are read.
        files: What pictures are called.

    Returns:
        `targets` `(n, boxes * 5)`, see `Examples.boxes`. Boxes that are empty, outside, or there twice are left out, and are in
        the `findings`.

    Raises:
        DataError: There are no annotations, or they cannot be read, or none has a box.

    Example:

    >>> import tfl
    >>> from tfl.data.boxes import read_boxes
    >>> from tfl.modalities.files import files_of
    >>> cells = read_boxes(tfl.Sample("cells"), files_of("image"))
    >>> cells.class_names, cells.targets.shape[1] == 5 * cells.boxes
    (('platelet', 'red_cell', 'white_cell'), True)
    """
    kind, _, name = data.source.partition(":")
    if kind == "sample":
        return _of_sample(name, data.source)
    path = Path(os.path.expanduser(data.source))
    if kind == "tfds" or not path.exists():
        check_local(data.source)
        raise DataError("There are no annotated pictures at this source.", received=data.source, allowed=ALLOWED)
    inside = archives.unpacked(path) if not path.is_dir() and archives.is_archive(path) else path
    found = find_box_files(_innermost(inside))
    if found is None:
        raise DataError("This source has no boxes.", received=str(path), allowed=ALLOWED)
    examples = examples_of(list(read_box_files(found)), found, files, below=inside, source=str(path))
    return replace(examples, root=str(inside) if inside.is_dir() else "")


def has_boxes(path: Path) -> bool:
    """Whether a folder holds annotations of boxes, and no other labels."""
    try:
        return find_box_files(_innermost(path)) is not None
    except (DataError, OSError):
        return False


def _innermost(path: Path) -> Path:
    """The first folder that holds something else than one folder."""
    while path.is_dir():
        inner = [child for child in path.iterdir() if not child.name.startswith((".", "__"))]
        if len(inner) != 1 or not inner[0].is_dir():
            break
        path = inner[0]
    return path


def _of_sample(name: str, source: str) -> Examples:
    fields = samples.load(name) if samples.kind_of(name) == "image" else {}
    if "boxes" not in fields:
        raise DataError("This sample has no boxes.", received=source, allowed="sample:cells, sample:cells_dark")
    corners = fields.pop("boxes")
    return Examples(**fields, targets=corners.reshape(len(corners), -1), boxes=corners.shape[1], source=source)


@dataclass
class _Found:
    """What is wrong with boxes, with the files that have such."""

    rows: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, file: str, count: int) -> None:
        self.rows.setdefault(kind, []).extend([file] * count)

    def findings(self, nouns: str) -> list[dict[str, Any]]:
        found = []
        for kind, (severity, words) in _NOTES.items():
            if files := self.rows.get(kind):
                several = dict.fromkeys(files)
                count = f"{len(files)} {'box' if len(files) == 1 else 'boxes'} of {len(several)} {nouns}"
                named = listed([os.path.basename(file) for file in several], limit=5)
                found.append(_finding(kind, severity, several, f"{count} {words}: {named}."))
        return found


_NOTES = {
    "boxes_empty": ("warning", "left out, having no width or no height"),
    "boxes_outside": ("warning", "left out, lying wholly outside of the picture"),
    "boxes_clipped": ("warning", "cut off at the edge of the picture, beyond which they reach"),
    "boxes_doubled": ("warning", "left out, being there twice (the same class, the same place)"),
    "boxes_of_two_classes": ("warning", "kept, though a box of another class is at the same place"),
}


def _finding(kind: str, severity: str, files: Any, note: str) -> dict[str, Any]:
    return {"kind": kind, "severity": severity, "files": list(files), "note": note}


def examples_of(annotated: Sequence[Annotated], found: BoxFiles, files: FileKind, *, below: Path, source: str) -> Examples:
    """Annotated pictures as examples.

    Args:
        annotated: The pictures.
        found: Where they are from.
        files: What pictures are called.
        below: The folder below which the pictures lie, or a file beside them.
        source: What the recipe calls it.

    Raises:
        DataError: No picture of the annotations is there, or none has a box.
    """
    images = Images(files_below(below if below.is_dir() else below.parent, []))
    paths = [images.find(one, files.suffixes) for one in annotated]
    there = [(one, path) for one, path in zip(annotated, paths, strict=True) if path is not None]
    lost = [one.image for one, path in zip(annotated, paths, strict=True) if path is None]
    if not there:
        raise DataError(
            f"None of the {files.nouns} that {source} annotates is there.", received=listed(lost, limit=3), fix="Put them beside."
        )
    wrong, sizes = _Found(), _Sizes()
    kept = [_usable(one, path, sizes, wrong) for one, path in there]
    names = tuple(sorted({name for own, _ in kept for name in own}))
    if not names:
        raise DataError(f"No {files.noun} of {source} has a box that can be used.", allowed="at least one box in all")
    most = max(len(own) for own, _ in kept)
    rows = np.full((len(kept), most, NUMBERS), np.nan, np.float32)
    for row, (own, corners) in zip(rows, kept, strict=True):
        row[: len(own), 0] = [names.index(name) for name in own]
        row[: len(own), 1:] = corners
    splits = np.array([one.split for one, _ in there], "U5")
    findings = [_read_note(there, lost, found, source, files), *wrong.findings(files.nouns)]
    if lost:
        note = f"{len(lost)} annotated {files.nouns} are not there and left out: {listed(lost, limit=5)}."
        findings.append(_finding("box_images_missing", "warning", lost, note))
    if bare := _without(there, images, found, files):
        note = f"{len(bare)} {files.nouns} have no annotation and are left out: {listed(bare, limit=5)}."
        findings.append(_finding("boxes_missing", "warning", bare, note))
    return Examples(
        class_names=names,
        targets=rows.reshape(len(rows), -1),
        boxes=most,
        paths=np.array([path for _, path in there]),
        splits=splits if (splits != "").any() else None,
        source=source,
        findings=tuple(findings),
    )


def _read_note(there: Sequence[Any], lost: Sequence[str], found: BoxFiles, source: str, files: FileKind) -> dict[str, Any]:
    empty = sum(not one.names for one, _ in there)
    form = {"voc": "Pascal VOC", "coco": "COCO", "table": "a table"}[found.kind]
    more = f", {empty} of them without a box" if empty else ""
    return _finding("boxes_read", "info", [], f"{source} is read as {form}: {len(there)} {files.nouns}{more}.")


def _without(there: Sequence[Any], images: Images, found: BoxFiles, files: FileKind) -> list[str]:
    """Pictures that no annotation names, where each has a file of its own."""
    if found.kind != "voc":
        return []
    known = {path for _, path in there}
    return [os.path.basename(file) for file in images.of(files.suffixes) if file not in known]


class _Sizes:
    """The sizes of pictures whose annotation states none, from their headers."""

    def of(self, one: Annotated, path: str) -> tuple[float, float]:
        """(width, height) of a picture as it is shown."""
        if one.size is not None:
            return one.size
        from tfl.modalities.image.boxes import shown_size

        size = shown_size(Path(path).read_bytes())
        if size is None:
            raise DataError(f"{path} cannot be read, and its annotation does not state its size.", received=str(one.file))
        return size


def _usable(one: Annotated, path: str, sizes: _Sizes, wrong: _Found) -> tuple[list[str], NDArray[np.float64]]:
    """The classes and the corners, in shares, of the boxes of a picture that can be used; what cannot is added to `wrong`."""
    if not one.names:
        return [], np.zeros((0, 4))
    width, height = sizes.of(one, path)
    corners, limit = np.array(one.corners, np.float64), np.array([width, height, width, height])
    names = np.array(one.names)
    empty = (corners[:, 2] <= corners[:, 0]) | (corners[:, 3] <= corners[:, 1])
    clipped = np.clip(corners, 0.0, limit)
    outside = ~empty & ((clipped[:, 2] <= clipped[:, 0]) | (clipped[:, 3] <= clipped[:, 1]))
    cut = ~empty & ~outside & (np.abs(clipped - corners).max(axis=1) > _SLACK_PX)
    doubled, contested = _same_place(clipped, names, ~empty & ~outside)
    for kind, which in zip(_NOTES, (empty, outside, cut & ~doubled, doubled, contested), strict=True):
        wrong.add(kind, path, int(which.sum()))
    good = ~empty & ~outside & ~doubled
    return names[good].tolist(), clipped[good] / limit


def _same_place(
    corners: NDArray[np.float64], names: NDArray[Any], usable: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Boxes at the place of an earlier one: of the same class, and of another."""
    same = np.triu(overlap(corners, corners) >= DOUBLED, k=1) & usable[:, None] & usable[None, :]
    alike = names[:, None] == names[None, :]
    doubled = (same & alike).any(axis=0)
    return doubled, (same & ~alike).any(axis=0) & ~doubled
