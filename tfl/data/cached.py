"""Decoded examples kept on disk while a process lives, so that nothing is decoded twice and memory stays small."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.modalities.base import TensorSpec
from tfl.storage import cache_home, storage_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 8 * 2**30
"""Larger sets are decoded again in every pass."""


class Cached:
    """Rows of one shape in a file without a name: it is gone with the process, however that ends.

    Reading is safe from several threads.

    Args:
        file: Open for reading and writing; has room for every row.
        rows: int64 `(n,)`, where in the file each row is.
        row_shape: Shape of one row.
        dtype: NumPy dtype of the rows.

    Example:

    >>> import numpy as np
    >>> from tfl.data.cached import Cached
    >>> rows = Cached.of(3, (2, 2, 3))
    >>> rows.write(1, np.full((2, 2, 3), 7, np.uint8))
    >>> rows[[1, 0]][:, 0, 0, 0].tolist()
    [7, 0]
    """

    def __init__(self, file: Any, rows: NDArray[np.int64], row_shape: tuple[int, ...], dtype: Any = np.uint8) -> None:
        self._file, self._rows, self._row_shape, self.dtype = file, rows, row_shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(row_shape, dtype=np.int64)) * self.dtype.itemsize

    @classmethod
    def of(
        cls, count: int, row_shape: tuple[int, ...], dtype: Any = np.uint8, *, limit_bytes: int | None = None
    ) -> Cached | None:
        """Room for `count` rows of zeros, in the cache folder.

        Returns:
            None where they would take more than `limit_bytes`, or half of what the disk has left, or where that folder cannot
            be written.
        """
        total = count * int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize
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
        return cls(file, np.arange(count, dtype=np.int64), row_shape, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, *row_shape)`."""
        return len(self._rows), *self._row_shape

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, index: int, row: NDArray[Any]) -> None:
        """Keeps one row.

        Raises:
            StorageError: The disk is full.
        """
        with storage_errors(cache_home()):
            left = np.ascontiguousarray(row, self.dtype).reshape(-1).view(np.uint8).data
            place = int(self._rows[index]) * self._row_bytes
            while left:  # the last bytes that a disk has room for are written without an error
                written = os.pwrite(self._file.fileno(), left, place)
                left, place = left[written:], place + written

    def __getitem__(self, indices: Sequence[int] | NDArray[Any] | slice) -> NDArray[Any]:
        chosen = self._rows[indices]
        rows = np.empty((len(chosen), *self._row_shape), self.dtype)
        for row, number in zip(rows, chosen, strict=True):
            os.preadv(self._file.fileno(), [row.reshape(-1).view(np.uint8).data], int(number) * self._row_bytes)
        return rows

    def take(self, indices: NDArray[np.int64]) -> Cached:
        """Those rows alone, in that order; the file is shared."""
        return Cached(self._file, self._rows[indices], self._row_shape, self.dtype)


class CachedTensors:
    """The encoded tensors of examples, by the name of the network's input.

    Args:
        columns: The rows of each tensor.
        specs: What each tensor is when it is read.
    """

    def __init__(self, columns: Mapping[str, Cached], specs: Mapping[str, TensorSpec]) -> None:
        self.columns, self.specs = dict(columns), dict(specs)

    @classmethod
    def of(cls, count: int, specs: Mapping[str, TensorSpec], *, limit_bytes: int | None = None) -> CachedTensors | None:
        """Room for the tensors of `count` examples; None where there is not enough (`Cached.of`)."""
        columns = {}
        for name, spec in specs.items():
            sides = tuple(side for side in spec.shape if side is not None)
            if len(sides) < len(spec.shape):
                return None
            column = Cached.of(count, sides, np.dtype(spec.stored_as or spec.dtype), limit_bytes=limit_bytes)
            if column is None:
                return None
            columns[name] = column
        return cls(columns, specs)

    @classmethod
    def joined(cls, first: CachedTensors, second: CachedTensors) -> CachedTensors | None:
        """Copies of both, one behind the other; None where there is not enough room for them."""
        both = cls.of(len(first) + len(second), first.specs)
        if both is None:
            return None
        for start, part in ((0, first), (len(first), second)):
            for index in range(len(part)):
                for name, column in both.columns.items():
                    column.write(start + index, part.columns[name][[index]][0])
        return both

    def of_input(self, name: str, specs: Mapping[str, TensorSpec]) -> CachedTensors:
        """The tensors of one of several inputs, under their own names; the files are shared."""
        return CachedTensors({one: self.columns[f"{name}_{one}"] for one in specs}, specs)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def alone(self) -> Cached:
        """The rows of the only tensor."""
        (column,) = self.columns.values()
        return column

    def write(self, index: int, tensors: Any) -> None:
        """Keeps the tensors of one example: an array, or a dictionary of arrays.

        Raises:
            StorageError: The disk is full.
        """
        for name, column in self.columns.items():
            column.write(index, tensors[name] if isinstance(tensors, Mapping) else tensors)

    def __getitem__(self, indices: Any) -> Any:
        """The tensors at `indices` as they are stored: an array where there is one tensor, else a dictionary."""
        if len(self.columns) == 1:
            return self.alone[indices]
        return {name: column[indices] for name, column in self.columns.items()}

    def take(self, indices: NDArray[np.int64]) -> CachedTensors:
        """Those examples alone, in that order; the files are shared."""
        return CachedTensors({name: column.take(indices) for name, column in self.columns.items()}, self.specs)
