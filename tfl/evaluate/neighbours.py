"""Training examples that a run keeps to compare new ones with: the head's input for them, and a small preview of each.

`neighbours.npz`, rows in the order of the examples:
    vectors      (n, width) float16   features of the layer `head_pool`, at length one
    labels       (n,) int32           classes; of several labels or numbers the largest, of several targets the first one's
    indices      (n,) int64           positions in the examples, so in `data.csv`
    thumbnails   (bytes,) uint8       the small previews of `Modality.small_preview`, one behind the other
    ends         (n,) int64           where each of them ends
    media        () str               what they are, such as `text/plain`; `Modality.small_preview_media`
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfl.backbones.inputs import count_of, rows_of
from tfl.data.bundle import Bundle
from tfl.data.subset import choose_evenly
from tfl.evaluate.report.verdicts import explained_columns
from tfl.storage import write_atomically
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KEPT", "NAME", "choose_evenly", "write_neighbours"]
NAME = "neighbours.npz"
KEPT = 2000
"""At most so many examples."""
_BATCH = 64


def write_neighbours(folder: Path | str, features: NDArray[np.floating], bundle: Bundle, indices: NDArray[np.int64]) -> Path:
    """Writes `neighbours.npz` into a run folder.

    Args:
        folder: The run's.
        features: `(n, width)`, of the layer `head_pool`.
        bundle: The data.
        indices: `(n,)`, the examples that `features` are of.
    """
    previews = list(_previews(bundle, indices))
    content = io.BytesIO()
    np.savez(
        content,
        vectors=unit_length(features).astype(np.float16),
        labels=explained_columns(bundle.task, np.nan_to_num(bundle.targets[indices])).astype(np.int32),
        indices=np.asarray(indices, np.int64),
        thumbnails=np.frombuffer(b"".join(previews), np.uint8),
        ends=np.cumsum([len(preview) for preview in previews], dtype=np.int64),
        media=np.array(bundle.modality.small_preview_media),
    )
    return write_atomically(Path(folder) / NAME, content.getvalue())


def _previews(bundle: Bundle, indices: NDArray[np.int64]) -> Iterator[bytes]:
    """The small preview of each example, by its modality."""
    places = iter(indices.tolist())
    for tensors, _ in bundle.dataset(indices, batch_size=_BATCH).as_numpy_iterator():
        for row in range(count_of(tensors)):
            yield bundle.modality.small_preview(functools.partial(bundle.examples.bytes_of, next(places)), rows_of(tensors, row))
