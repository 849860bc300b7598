"""`predictions.csv`: the predictions of the network for each validation and test example. No TensorFlow."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import RunError
from tfl.storage import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "predictions.csv"
_FIXED = ("split", "index", "file", "label", "predicted", "probability")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions on one split.

    Attributes:
        class_names: Tuple of strings, the name of each column of `probabilities`.
        files: Tuple of strings, the name of each example.
        indices: Integer array of shape `(n,)`, the position of each example in the source.
        labels: Array of shape `(n,)`, int32, the true classes.
        probabilities: Array of shape `(n, classes)`, float64.
    """

    class_names: tuple[str, ...]
    files: tuple[str, ...]
    indices: NDArray[np.int64]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float64]


def write_predictions(folder: Path | str, examples: Any, split: Any, probabilities: Mapping[str, NDArray[np.floating]]) -> Path:
    """Writes `predictions.csv` into a run folder: one row per example, in the order of the split.

    Args:
        folder: Path of the run folder.
        examples: `Examples` that were predicted.
        split: `Split`; its `val` and `test` are indices into `examples`.
        probabilities: Dictionary of arrays of shape `(n, classes)` by split name (`val`, `test`), rows in the order of the
            indices of the split.

    Returns:
        The file. Columns: split, index, file, label, predicted, probability, then `p_<class>` for each class.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [str(name) for name in examples.class_names]
    writer.writerow([*_FIXED, *(f"p_{name}" for name in names)])
    for split_name, rows in probabilities.items():
        for index, row in zip(np.asarray(getattr(split, split_name)), np.asarray(rows), strict=True):
            best = int(row.argmax())
            label = names[int(examples.labels[index])]
            shares = [f"{value:.9g}" for value in row]
            writer.writerow([split_name, int(index), examples.name_of(int(index)), label, names[best], shares[best], *shares])
    return write_atomically(Path(folder) / NAME, text.getvalue())


def read_predictions(folder: Path | str) -> dict[str, Predictions]:
    """The predictions of a run, by split name (`val`, `test`).

    Raises:
        RunError: The file is missing or damaged.
    """
    path = Path(folder) / NAME
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        header, body = rows[0], rows[1:]
        if tuple(header[: len(_FIXED)]) != _FIXED:
            raise ValueError(f"its columns are {header[: len(_FIXED)]}")
        return _by_split(tuple(name.removeprefix("p_") for name in header[len(_FIXED) :]), body)
    except FileNotFoundError as error:
        raise RunError(f"{folder} has no {NAME}.", fix=f"Judge the run again with: tfl evaluate {folder}") from error
    except (ValueError, IndexError) as error:
        raise RunError(f"{path} is damaged: {error}.", fix=f"Judge the run again with: tfl evaluate {folder}") from error


def _by_split(class_names: tuple[str, ...], body: list[list[str]]) -> dict[str, Predictions]:
    width = len(_FIXED)
    found: dict[str, list[list[str]]] = {}
    for row in body:
        if len(row) != width + len(class_names):
            raise ValueError(f"a row has {len(row)} cells instead of {width + len(class_names)}")
        found.setdefault(row[0], []).append(row)
    return {
        name: Predictions(
            class_names=class_names,
            files=tuple(row[2] for row in rows),
            indices=np.array([int(row[1]) for row in rows], np.int64),
            labels=np.array([class_names.index(row[3]) for row in rows], np.int32),
            probabilities=np.array([[float(cell) for cell in row[width:]] for row in rows], np.float64),
        )
        for name, rows in found.items()
    }
