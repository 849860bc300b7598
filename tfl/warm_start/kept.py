"""The chosen model on disk: arrays in `model.npz` and how cells become vectors in `model.json`. No code of a file is run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, RunError
from tfl.storage import storage_errors, write_atomically, write_json
from tfl.warm_start import linear, net, trees
from tfl.warm_start.tables import Encoding, cells_of, open_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS, ABOUT = "model.npz", "model.json"
_SCORES = {"logistic": linear.scores, "svm": linear.scores, "boosting": trees.scores, "net": net.scores}


@dataclass(frozen=True)
class KeptModel:
    """A model that was kept.

    Args:
        model: One of `logistic`, `svm`, `boosting`, `net`.
        arrays: What it consists of.
        classes: Names.
        encoding: How cells become vectors.
        target: The column that it predicts.
    """

    model: str
    arrays: Mapping[str, NDArray[Any]]
    classes: tuple[str, ...]
    encoding: Encoding
    target: str

    def predict(self, table: Path | str) -> list[str]:
        """The classes of the rows of a table, whose target may be missing.

        Args:
            table: A file, or `sample:machines_old` or `sample:machines_new`.

        Raises:
            DataError: It cannot be read, or a column is missing.
        """
        return self.predict_cells(cells_of(open_table(table), self.encoding.table.columns))

    def predict_cells(self, cells: Sequence[Mapping[str, str]]) -> list[str]:
        """The classes of rows, each a mapping from columns to cells."""
        if not cells:
            return []
        x = self.encoding.encode(cells)
        if not np.isfinite(x).all():
            raise DataError("A number is too large.", fix="Take the row out.")
        return [self.classes[at] for at in _SCORES[self.model](dict(self.arrays), x).argmax(axis=1)]

    def write(self, folder: Path) -> None:
        """Writes `model.npz` and `model.json`."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(self.arrays)
        np.savez(buffer, **arrays)
        write_atomically(folder / ARRAYS, buffer.getvalue())
        about = {"model": self.model, "classes": list(self.classes), "target": self.target, "encoding": self.encoding.to_json()}
        write_json(folder / ABOUT, about)

    @classmethod
    def open(cls, folder: Path | str) -> KeptModel:
        """The model in a folder of `tfl warm`.

        Raises:
            RunError: There is none, or it is damaged.
        """
        folder = Path(folder)
        if not (folder / ABOUT).is_file() or not (folder / ARRAYS).is_file():
            raise RunError(f"{folder} holds no model of `tfl warm`.", fix="Name the folder that --out named.")
        try:
            with storage_errors(folder, doing="read"):
                about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
                with np.load(folder / ARRAYS, allow_pickle=False) as kept:
                    arrays = {name: kept[name] for name in kept.files}
            encoding = Encoding.from_json(about["encoding"])
            return cls(about["model"], arrays, tuple(about["classes"]), encoding, about["target"])
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"The model in {folder} is damaged: {error}.", fix="Run `tfl warm` again in another folder."
            ) from error
