"""The training examples nearest to a new one: `neighbours.npz` of a run, read without opening its training data."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.listing import read_listing
from tfl.errors import RunError
from tfl.modalities.image.shown import data_uri
from tfl.runs import Run
from tfl.storage import storage_errors
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "neighbours.npz"
SHOWN = 6


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Training examples of a run, with what its head read of them.

    Attributes:
        vectors: `(n, features)` float32, each of length one.
        labels: Its class, its labels or its numbers, as `data.csv` has them.
        files: What each one is called; empty where that is not known.
        previews: A small preview of each.
        media: What the previews are: `image/jpeg`, or `text/plain` in UTF-8.
    """

    vectors: NDArray[np.float32]
    labels: tuple[str, ...]
    files: tuple[str, ...]
    previews: tuple[bytes, ...]
    media: str = "image/jpeg"

    def nearest(self, vector: NDArray[np.floating], *, count: int = SHOWN) -> list[dict[str, Any]]:
        """The nearest examples by cosine distance, the nearest first.

        Returns:
            For each `label`, `file`, `distance`, `thumbnail` (a data URI; None of texts) and `text` (None of what is no text).

        Raises:
            RunError: The vector has another length than these.

        Example:

        >>> import numpy as np
        >>> known = Neighbours(np.eye(2, dtype=np.float32), ("ant", "bee"), ("1.png", "2.png"), (b"", b""))
        >>> [(one["label"], round(one["distance"], 3)) for one in known.nearest(np.array([0.0, 7.0]))]
        [('bee', 0.0), ('ant', 1.0)]
        """
        if self.vectors.shape[1:] != vector.shape:
            raise RunError("The training examples were described by another network.", received=str(self.vectors.shape))
        distances = 1.0 - self.vectors @ unit_length(np.asarray(vector, np.float32)[None])[0]
        return [
            {
                "label": self.labels[at],
                "file": self.files[at],
                "distance": max(0.0, float(distances[at])),
                "thumbnail": None if self._are_texts else data_uri(self.previews[at], self.media),
                "text": self.previews[at].decode(errors="replace") if self._are_texts else None,
            }
            for at in np.argsort(distances, kind="stable")[:count].tolist()
        ]

    @property
    def _are_texts(self) -> bool:
        return self.media == "text/plain"


def load_neighbours(run: Run) -> Neighbours | None:
    """The training examples that a run keeps; None where it keeps none.

    The file is described in `tfl.evaluate.neighbours`; `media` is missing from those of earlier versions, which hold JPEGs.

    Raises:
        RunError: The file is damaged.
    """
    file = run.path(NAME)
    if not file.is_file():
        return None
    names, listing = run.class_names, read_listing(run.folder) or []
    try:
        with storage_errors(file, doing="read"), np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("vectors", "labels", "indices", "thumbnails", "ends")}
            media = str(arrays["media"]) if "media" in arrays else "image/jpeg"
        vectors = unit_length(_of(found["vectors"], np.float16, axes=2).astype(np.float32))
        labels, indices, ends = (_of(found[name], np.integer, axes=1).tolist() for name in ("labels", "indices", "ends"))
        content = _of(found["thumbnails"], np.uint8, axes=1).tobytes()
        if not len(vectors) == len(labels) == len(indices) == len(ends) or min(labels + indices, default=0) < 0:
            raise ValueError("its arrays do not fit together")
        starts = [0, *ends[:-1]]
        rows = [listing[index] if index < len(listing) else None for index in indices]
        return Neighbours(
            vectors=vectors,
            labels=tuple(names[label] if row is None else row.label for label, row in zip(labels, rows, strict=True)),
            files=tuple("" if row is None else row.file for row in rows),
            previews=tuple(content[start:end] for start, end in zip(starts, ends, strict=True)),
            media=media,
        )
    except (ValueError, LookupError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise RunError(f"{file} is damaged: {error}.", fix=f"Write it again: tfl evaluate {run.folder} --confidence") from error


def _of(array: NDArray[Any], kind: Any, *, axes: int) -> NDArray[Any]:
    if array.ndim != axes or not np.issubdtype(array.dtype, kind) or (kind is np.float16 and not np.isfinite(array).all()):
        raise ValueError(f"an array is {array.dtype} of shape {array.shape}")
    return array
