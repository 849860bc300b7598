"""`predictions.csv` of a detector: a row for each true box of the validation and test images, and for each one that was found."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import RunError
from tfl.evaluate.predictions import NAME
from tfl.modalities.image.boxes import shown_size
from tfl.storage import write_atomically
from tfl.tasks.box_metrics import Boxes, Detections
from tfl.tasks.detect import LISTED, detections, true_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("split", "index", "file", "box", "class", "score", "left", "top", "right", "bottom")
TRUE, FOUND = "true", "found"


@dataclass(frozen=True, kw_only=True)
class FoundBoxes:
    """The boxes of the images of one split; corners in pixels of the image.

    Attributes:
        files: What each image is called.
        indices: `(n,)`, its position in the source.
        truths, found: The true boxes of each, and the detections.
    """

    files: tuple[str, ...]
    indices: NDArray[np.int64]
    truths: tuple[Boxes, ...]
    found: tuple[Detections, ...]


def write_boxes(folder: Path | str, examples: Any, split: Any, outputs: Mapping[str, NDArray[np.floating]]) -> Path:
    """Writes `predictions.csv` into the folder of a run that finds boxes.

    An image without true boxes and without detections has one row, in which nothing but its name stands.

    Args:
        folder: Of the run.
        examples: The `tfl.data.examples.Examples` that were evaluated.
        split: The `tfl.data.split.Split`; its `val` and `test` are indices into `examples`.
        outputs: By split name, `(n, detections, 6)`, rows in the order of the split's indices. Detections with a score of at
            least `tfl.tasks.detect.LISTED` are written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    names = [str(name) for name in examples.class_names]
    for split_name, rows in outputs.items():
        indices = np.asarray(getattr(split, split_name))
        truths = true_boxes(np.asarray(examples.targets)[indices])
        for index, true, found in zip(indices.tolist(), truths, detections(rows, least=LISTED), strict=True):
            start, size = (split_name, index, examples.name_of(index)), np.tile(size_of(examples, index), 2)
            lines = [(TRUE, names[name], "", *_cells(box * size)) for name, box in zip(true.classes, true.corners, strict=True)]
            lines += [
                (FOUND, names[name], f"{score:.6g}", *_cells(box * size))
                for name, score, box in zip(found.classes, found.scores, found.corners, strict=True)
            ]
            writer.writerows((*start, *line) for line in lines or [("",) * 7])
    return write_atomically(Path(folder) / NAME, text.getvalue())


def size_of(examples: Any, index: int) -> tuple[int, int]:
    """(width, height) in pixels of an image as it is shown.

    Raises:
        DataError: It cannot be read any more.
    """
    if examples.arrays is not None:
        height, width = examples.arrays[index].shape[:2]
        return width, height
    size = shown_size(examples.bytes_of(index))
    return (1, 1) if size is None else size


def read_boxes(folder: Path | str, class_names: Sequence[str]) -> dict[str, FoundBoxes]:
    """The boxes of a run, by split name (`val`, `test`).

    Args:
        folder: Of the run.
        class_names: Its classes.

    Raises:
        RunError: The file is missing or damaged.
    """
    path, fix = Path(folder) / NAME, f"Evaluate the run again with: tfl evaluate {folder}"
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            header, *body = list(csv.reader(handle))
        if tuple(header) != COLUMNS:
            raise ValueError(f"its columns are {header}")
        of_splits: dict[str, dict[int, list[list[str]]]] = {}
        for row in body:
            of_splits.setdefault(row[0], {}).setdefault(int(row[1]), []).append(row)
        number = {name: at for at, name in enumerate(class_names)}
        return {split: _of_split(rows, number) for split, rows in of_splits.items()}
    except FileNotFoundError as error:
        raise RunError(f"{folder} has no {NAME}.", fix=fix) from error
    except (ValueError, IndexError, KeyError) as error:
        raise RunError(f"{path} is damaged: {error}.", fix=fix) from error


def _of_split(images: Mapping[int, list[list[str]]], number: Mapping[str, int]) -> FoundBoxes:
    truths, found = [], []
    for rows in images.values():
        parts = {kind: [row for row in rows if row[3] == kind] for kind in (TRUE, FOUND)}
        corners = {
            kind: np.array([[float(cell) for cell in row[6:]] for row in own], np.float64).reshape(-1, 4)
            for kind, own in parts.items()
        }
        classes = {kind: np.array([number[row[4]] for row in own], np.int64) for kind, own in parts.items()}
        truths.append(Boxes(corners[TRUE], classes[TRUE]))
        scores = np.array([float(row[5]) for row in parts[FOUND]], np.float64)
        found.append(Detections(corners[FOUND], classes[FOUND], scores))
    return FoundBoxes(
        files=tuple(rows[0][2] for rows in images.values()),
        indices=np.array(list(images), np.int64),
        truths=tuple(truths),
        found=tuple(found),
    )


def _cells(box: NDArray[np.float64]) -> list[str]:
    return [f"{edge:.2f}" for edge in box]
