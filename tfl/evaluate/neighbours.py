"""Training pictures that a run keeps to compare new ones with: what its head reads of them, and how they look.

`neighbours.npz`, rows in the order of the examples:
    vectors      (n, width) float16   features of the layer `head_pool`, at length one
    labels       (n,) int32           classes
    indices      (n,) int64           positions in the examples, so in `data.csv`
    thumbnails   (bytes,) uint8       JPEGs as the network sees the pictures, one behind the other
    ends         (n,) int64           where each JPEG ends
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tfl.data.bundle import Bundle
from tfl.storage import write_atomically
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "neighbours.npz"
KEPT, EDGE = 2000, 96
"""At most so many pictures, each at most so many pixels a side."""
_BATCH = 64


def choose_evenly(labels: NDArray[np.integer], *, count: int, seed: int) -> NDArray[np.int64]:
    """At most `count` positions, as many of each class as there are or as fit, drawn by the seed; ascending.

    Example:

    >>> import numpy as np
    >>> np.bincount(np.array([0] * 90 + [1] * 3)[choose_evenly(np.array([0] * 90 + [1] * 3), count=10, seed=0)]).tolist()
    [7, 3]
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        turn[of_class] = np.arange(len(of_class))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


def write_neighbours(folder: Path | str, features: NDArray[np.floating], bundle: Bundle, indices: NDArray[np.int64]) -> Path:
    """Writes `neighbours.npz` into a run folder.

    Args:
        folder: The run's.
        features: `(n, width)`, of the layer `head_pool`.
        bundle: The data.
        indices: `(n,)`, the examples that `features` are of.
    """
    thumbnails = [_thumbnail(image) for image in _images(bundle, indices)]
    content = io.BytesIO()
    np.savez(
        content,
        vectors=unit_length(features).astype(np.float16),
        labels=np.asarray(bundle.examples.labels)[indices].astype(np.int32),
        indices=np.asarray(indices, np.int64),
        thumbnails=np.frombuffer(b"".join(thumbnails), np.uint8),
        ends=np.cumsum([len(thumbnail) for thumbnail in thumbnails], dtype=np.int64),
    )
    return write_atomically(Path(folder) / NAME, content.getvalue())


def _images(bundle: Bundle, indices: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    dataset = bundle.dataset(indices, batch_size=_BATCH)
    for images, _ in dataset.as_numpy_iterator():
        yield from images.astype(np.uint8)


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    picture, content = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((EDGE, EDGE), Image.Resampling.BILINEAR)
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()
