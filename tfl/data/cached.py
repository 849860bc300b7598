"""Decoded images kept on disk while a process lives, so that no photo is decoded twice and memory stays small."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.storage import cache_home, storage_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 8 * 2**30
"""Larger sets are decoded again in every pass."""


class Pixels:
    """Images of one size, uint8, in a file without a name: it is gone with the process, however that ends.

    Reading is safe from several threads.

    Args:
        file: Open for reading and writing; has room for every row.
        rows: int64 `(n,)`, where in the file each image is.
        size: (height, width) in pixels.

    Example:

    >>> import numpy as np
    >>> from tfl.data.cached import Pixels
    >>> pixels = Pixels.of(3, (2, 2))
    >>> pixels.write(1, np.full((2, 2, 3), 7, np.uint8))
    >>> pixels[[1, 0]][:, 0, 0, 0].tolist()
    [7, 0]
    """

    def __init__(self, file: Any, rows: NDArray[np.int64], size: tuple[int, int]) -> None:
        self._file, self._rows, self._size = file, rows, size

    @classmethod
    def of(cls, count: int, size: tuple[int, int], *, limit_bytes: int | None = None) -> Pixels | None:
        """Room for `count` black images, in the cache folder; None where they would take more than `limit_bytes`, or half of
        what the disk has left, or where that folder cannot be written."""
        total = count * size[0] * size[1] * 3
        if total > (MOST_BYTES if limit_bytes is None else limit_bytes):
            return None
        try:
            home = cache_home()
            home.mkdir(parents=True, exist_ok=True)
            if total > shutil.disk_usage(home).free // 2:
                return None
            file = tempfile.TemporaryFile(dir=home)  # noqa: SIM115 - it lives as long as this object
            file.truncate(total)
        except OSError:
            return None
        return cls(file, np.arange(count, dtype=np.int64), size)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, 3)`."""
        return len(self._rows), *self._size, 3

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, index: int, image: NDArray[np.uint8]) -> None:
        """Keeps one image, `(height, width, 3)`.

        Raises:
            StorageError: The disk is full.
        """
        with storage_errors(cache_home()):
            left, place = np.ascontiguousarray(image, np.uint8).data.cast("B"), int(self._rows[index]) * self._row_bytes
            while left:  # the last bytes that a disk has room for are written without an error
                written = os.pwrite(self._file.fileno(), left, place)
                left, place = left[written:], place + written

    def __getitem__(self, indices: Sequence[int] | NDArray[Any] | slice) -> NDArray[np.uint8]:
        rows = self._rows[indices]
        images = np.empty((len(rows), *self._size, 3), np.uint8)
        for image, row in zip(images, rows, strict=True):
            os.preadv(self._file.fileno(), [image.data], int(row) * self._row_bytes)
        return images

    def take(self, indices: NDArray[np.int64]) -> Pixels:
        """Those images alone, in that order; the file is shared."""
        return Pixels(self._file, self._rows[indices], self._size)

    @property
    def _row_bytes(self) -> int:
        return self._size[0] * self._size[1] * 3
