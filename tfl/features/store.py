"""What frozen blocks made of examples, kept by example: computed once, for any split, stage, trial or run that asks again.

A *space* is everything that decides a feature except which example it is of. A *row* is one example in it, under an id made of
the example's content. So another split or subset uses the same rows, and one changed byte of an example is one other row.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tfl.errors import DataError
from tfl.features.budget import make_room
from tfl.features.chunks import BITS, Chunk, Folder, Say, encode, mapped_bits, read_sealed, rows_per_chunk, value_dtype
from tfl.fields import as_plain
from tfl.storage import cache_home

FORMAT = 2
Compute = Callable[[NDArray[np.int64]], Iterable[Sequence[NDArray[Any]]]]
Progress = Callable[[int], None]
Order = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True)
class Space:
    """Everything that decides a feature except which example it is of.

    Args:
        key: A hash of it, 64 hexadecimal digits.
        about: The same for a person: network, cut, view, engine, dtype.
    """

    key: str
    about: Mapping[str, Any]


def space_of(*, about: Mapping[str, Any] | None = None, **parts: Any) -> Space:
    """The space that the named parts decide; everything that decides a feature, except the example, must be among them.

    Args:
        about: What a person is told of it; decides nothing.
        parts: Numbers, text, None, lists, dictionaries, and parts of a recipe.

    Raises:
        TypeError, ValueError: A part has no exact text (an array, an object, NaN).

    Example:

    >>> from tfl.features.store import space_of
    >>> space_of(cut="unit4_out", view=0).key == space_of(view=0, cut="unit4_out").key
    True
    """
    text = json.dumps({"format": FORMAT, "parts": as_plain(parts)}, sort_keys=True, allow_nan=False)
    return Space(hashlib.sha256(text.encode()).hexdigest(), dict(about or {}))


def space_folder(key: str) -> Path:
    """Where the space lies."""
    return cache_home() / "features" / key


class Features:
    """Rows of one space as an array that is read when asked for: `features[[3, 1]]`, or all at once.

    While it lives, nothing evicts the space. Files are mapped for one read and let go, so a set larger than memory is read
    without holding it.
    """

    def __init__(self, chunks: Sequence[Chunk], places: NDArray[np.int64], dtype: str, held: IO[Any]) -> None:
        self._files = {chunk.number: chunk.file for chunk in chunks}
        self._places, self._held, self._name = places, held, dtype
        self.dtype = value_dtype(dtype)
        self.shape = (len(places), *chunks[0].row_shape) if chunks else (0,)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """What all rows would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """The rows at positions `rows` (an integer array or a slice), in that order, `(len(rows), ...)`."""
        numbers, inside = self._places[rows].T
        out = np.empty((len(numbers), *self.shape[1:]), BITS[self._name])
        for number in np.unique(numbers):
            at = np.flatnonzero(numbers == number)
            out[at] = mapped_bits(self._files[int(number)])[inside[at]]
        return out.view(self.dtype)

    def read_all(self) -> NDArray[Any]:
        """Every row, in order, in memory."""
        return self[:]


def stored_features(
    spaces: Sequence[Space],
    rows: Sequence[str],
    compute: Compute,
    *,
    dtypes: Sequence[str],
    order: Order | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> list[Features]:
    """The rows in each space, from the store; those missing from any space are computed for all of them in one pass.

    Of several processes that want rows of one space, one computes at a time and the others find what it stored.

    Args:
        spaces: Where to look.
        rows: Row ids, `(n,)`; may repeat.
        compute: Given the positions in `rows` of what is missing, yields batch by batch, in that order, one
            `(batch, ...)` array for each space. Not called when nothing is missing.
        dtypes: `float16`, `bfloat16` or `float32`, one for each space, which must be a part of its key.
        order: From the positions of what is missing to the order in which it is computed; None leaves it as it is.
        progress: Called after each batch with how many of the rows are there.
        say: Told in a sentence when a chunk is damaged or another process is waited for; None gives a warning.

    Returns:
        One for each space, `(n, ...)`.

    Raises:
        RecipeError: A feature is too large for float16.
        StorageError: The disk is full or not permitted, or the budget too small; what is stored by then is whole.
        DataError: `compute` made another number of rows than was missing.
    """
    say = say or (lambda sentence: warnings.warn(sentence, RuntimeWarning, stacklevel=3))
    first = {space.key: number for number, space in reversed(list(enumerate(spaces)))}
    once = sorted(first.values())  # a space that is named twice is one space
    folders = [Folder(space_folder(spaces[number].key), key=spaces[number].key, dtype=dtypes[number]) for number in once]
    held = [folder.hold() for folder in folders]
    found = [_find(folder, rows) for folder in folders]
    if any((places < 0).any() for _, places in found):
        with contextlib.ExitStack() as locks:
            for folder in sorted(folders, key=lambda folder: folder.key):  # in one order everywhere, or two would wait forever
                locks.enter_context(folder.writing(say))
                folder.remove_damaged(say)
            writers = [
                _Writer(folder, spaces[number], rows, _find(folder, rows)[1])
                for number, folder in zip(once, folders, strict=True)
            ]
            _compute_missing(writers, rows, lambda missing: _chosen(compute(missing), once), order, progress)
            found = [_find(folder, rows) for folder in folders]
    for (chunks, _), folder, number in zip(found, folders, once, strict=True):
        if chunks and read_sealed(folder.path / "space.json") is None:
            folder.write_space(spaces[number].about, chunks[0].row_shape)
    made = {
        folder.key: Features(chunks, places, folder.dtype, handle)
        for (chunks, places), folder, handle in zip(found, folders, held, strict=True)
    }
    return [made[space.key] for space in spaces]


def missing_rows(space: Space, rows: Sequence[str], *, dtype: str) -> int:
    """How many of the rows the store does not have."""
    _, places = _find(Folder(space_folder(space.key), key=space.key, dtype=dtype), rows)
    return int((places < 0).any(1).sum())


def _find(folder: Folder, rows: Sequence[str]) -> tuple[list[Chunk], NDArray[np.int64]]:
    """The whole chunks that hold some of the rows, and each row's chunk number and place in it, `(n, 2)`; -1 where missing."""
    wanted, where, used = set(rows), {}, []
    for chunk in folder.chunks():
        holds = [(row, place) for place, row in enumerate(chunk.rows) if row in wanted]
        if holds and chunk.is_whole():
            used.append(chunk)
            where.update({row: (chunk.number, place) for row, place in holds})
    places = np.array([where.get(row, (-1, -1)) for row in rows], np.int64).reshape(len(rows), 2)
    return used, places


def _chosen(batches: Iterable[Sequence[NDArray[Any]]], numbers: Sequence[int]) -> Iterator[Sequence[NDArray[Any]]]:
    for arrays in batches:
        yield [arrays[number] for number in numbers]


def _compute_missing(
    writers: Sequence[_Writer], rows: Sequence[str], compute: Compute, order: Order | None, progress: Progress | None
) -> None:
    missing = set().union(*(writer.lacking for writer in writers))
    if not missing:
        return
    first = {row: at for at, row in reversed(list(enumerate(rows))) if row in missing}
    positions, done = np.array(sorted(first.values()), np.int64), 0
    positions = positions if order is None else order(positions)
    for arrays in compute(positions):
        batch = [rows[int(at)] for at in positions[done : done + len(arrays[0])]]
        if not done:
            make_room(sum(writer.begin(np.shape(array)[1:]) for writer, array in zip(writers, arrays, strict=True)))
        for writer, array in zip(writers, arrays, strict=True):
            writer.add(batch, np.asarray(array))
        done += len(arrays[0])
        if progress is not None:
            progress(len(rows) - len(positions) + done)
    if done != len(positions):
        raise _wrong_number(done, len(positions))
    for writer in writers:
        writer.flush()


def _wrong_number(received: int, allowed: int) -> DataError:
    return DataError("A pass made another number of features than were missing.", received=received, allowed=str(allowed))


class _Writer:
    """Gathers rows that a space lacks and writes a chunk whenever it is full."""

    def __init__(self, folder: Folder, space: Space, rows: Sequence[str], places: NDArray[np.int64]) -> None:
        self.folder, self.space = folder, space
        self.lacking = {rows[int(at)] for at in np.flatnonzero(places[:, 0] < 0)}
        self.rows: list[str] = []
        self.parts: list[NDArray[Any]] = []
        self.full = 0
        taken = {chunk.number for chunk in folder.chunks()}
        self.free = (number for number in itertools.count() if number not in taken)

    def begin(self, row_shape: tuple[int, ...]) -> int:
        """Sets the size of chunks, and says how many bytes will be written."""
        row_bytes = math.prod(row_shape) * value_dtype(self.folder.dtype).itemsize
        self.full = rows_per_chunk(row_bytes)
        return row_bytes * len(self.lacking)

    def add(self, rows: Sequence[str], values: NDArray[Any]) -> None:
        if len(values) != len(rows):
            raise _wrong_number(len(values), len(rows))
        keep = [at for at, row in enumerate(rows) if row in self.lacking]
        if not keep:
            return
        self.rows += [rows[at] for at in keep]
        self.parts.append(encode(values if len(keep) == len(rows) else values[keep], self.folder.dtype))
        while len(self.rows) >= self.full:
            self._write(self.full)

    def flush(self) -> None:
        if self.rows:
            self._write(len(self.rows))

    def _write(self, count: int) -> None:
        values = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        self.folder.write_space(self.space.about, values.shape[1:])
        self.folder.write_chunk(next(self.free), self.rows[:count], values[:count])
        self.rows, self.parts = self.rows[count:], [values[count:]] if len(values) > count else []
