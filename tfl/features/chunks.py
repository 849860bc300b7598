"""The files of one space of features: chunks of rows, each with a description that appears last.

    space.json               what the space is, for people and for `tfl cache`
    chunks/000000.npy        rows of features, an array file
    chunks/000000.json       their row ids, the file's SHA-256 and size, and a hash of this document itself
    .reading                 locked (shared) by whoever uses the space; its time is when that was last
    .writing                 locked by the one process that adds rows

A chunk is there when its description is. Both files appear by rename after they reached the disk, so a killed pass leaves
whole chunks or none. What the description promises is checked when a process first uses the chunk. No TensorFlow.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tfl.errors import RecipeError, StorageError
from tfl.storage import storage_errors, write_atomically

BATCH = 32
"""Examples that a prefix computes at once. Chunks hold a multiple of it: a pass that is resumed computes the same batches."""
CHUNK_BYTES, CHUNK_ROWS = 16 * 2**20, 512
BITS: dict[str, np.dtype[Any]] = {
    name: np.dtype(f"uint{bits}") for name, bits in (("float16", 16), ("bfloat16", 16), ("float32", 32))
}
"""How each dtype lies in an array file: as bits, since `.npy` has no word for bfloat16."""
Say = Callable[[str], None]
_checked: set[tuple[str, int, int, int]] = set()


def value_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype called `float16`, `bfloat16` or `float32`."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def encode(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """`array` rounded to nearest in `dtype`.

    float16 is off by at most 1/2048 of a value (below 6.1e-5: by at most 3e-8), bfloat16 by at most 1/256; float32 by nothing.

    Raises:
        RecipeError: A finite value is too large for `dtype`.

    Example:

    >>> encode(np.array([1.0001], "float32"), "float16").tolist()
    [1.0]
    """
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(array.astype(value_dtype(dtype), copy=False))
    if dtype != "float32" and not np.isfinite(rounded).all() and (np.isfinite(array) & ~np.isfinite(rounded)).any():
        raise RecipeError(
            f"A feature is too large for {dtype}.",
            received=f"{np.abs(array[np.isfinite(array)]).max():.4g}",
            allowed="at most 65504 in float16",
            fix="Keep features as bfloat16: --set features.dtype=bfloat16",
        )
    return rounded


def rows_per_chunk(row_bytes: int) -> int:
    """Decided by a row's size alone, so that a pass ends in the same files however often it was killed.

    Example:

    >>> rows_per_chunk(2560), rows_per_chunk(100_000), rows_per_chunk(10**8)
    (512, 160, 32)
    """
    return max(BATCH, min(CHUNK_ROWS, CHUNK_BYTES // max(row_bytes, 1) // BATCH * BATCH))


@dataclass(frozen=True)
class Chunk:
    """One chunk, as its description has it: `rows` are row ids, `size` and `sha256` are of the array file."""

    file: Path
    rows: tuple[str, ...]
    dtype: str
    row_shape: tuple[int, ...]
    size: int
    sha256: str

    @property
    def number(self) -> int:
        """Its place among the chunks of the space."""
        return int(self.file.stem)

    def is_whole(self) -> bool:
        """Whether the array file is what the description says; looked at once a process, as long as the file is the same."""
        try:
            found = self.file.stat()
            seen = (str(self.file), found.st_ino, found.st_mtime_ns, found.st_size)
            if seen in _checked:
                return True
            with open(self.file, "rb") as file:
                whole = found.st_size == self.size and hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False
        if whole:
            _checked.add(seen)
        return whole


def mapped_bits(file: Path) -> NDArray[Any]:
    """The bits of a chunk's rows, memory-mapped; let go of it soon: what was read of a map counts as memory in use.

    Raises:
        StorageError: The file is gone, or no array.
    """
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{file} vanished or changed while its features were in use.", fix="Start again: what is missing is computed anew."
        ) from error


class Folder:
    """The folder of one space. Where `dtype` is empty, chunks of any dtype are part of it."""

    def __init__(self, path: Path, *, key: str, dtype: str) -> None:
        self.path, self.key, self.dtype = path, key, dtype

    def chunks(self) -> list[Chunk]:
        """The chunks that are described, by number; of those whose description is damaged none is told."""
        found = (read_chunk(path, key=self.key) for path in self._descriptions())
        return [chunk for chunk in found if chunk is not None and self.dtype in ("", chunk.dtype)]

    def _descriptions(self) -> list[Path]:
        return sorted((self.path / "chunks").glob("[0-9]*.json"))

    def write_space(self, about: Mapping[str, Any], row_shape: Sequence[int]) -> None:
        """Writes `space.json`, unless it says the same."""
        document = {"space": self.key, "about": dict(about), "dtype": self.dtype, "row_shape": list(row_shape)}
        if read_sealed(self.path / "space.json") != document:
            write_atomically(self.path / "space.json", sealed(document))

    def write_chunk(self, number: int, rows: Sequence[str], values: NDArray[Any]) -> None:
        """Writes one chunk: the array, then its description.

        Raises:
            StorageError: The disk is full or not permitted; no chunk has been added.
        """
        buffer = io.BytesIO()
        np.save(buffer, values.view(BITS[self.dtype]), allow_pickle=False)
        content = buffer.getbuffer()
        document = {
            "space": self.key,
            "dtype": self.dtype,
            "row_shape": list(values.shape[1:]),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "rows": list(rows),
        }
        file = self.path / "chunks" / f"{number:06d}.npy"
        write_atomically(file, bytes(content))
        write_atomically(file.with_suffix(".json"), sealed(document))
        found = file.stat()
        _checked.add((str(file), found.st_ino, found.st_mtime_ns, found.st_size))

    def damaged(self) -> list[Path]:
        """The descriptions of chunks that are not whole, or that are themselves damaged."""
        whole = {chunk.file.stem for chunk in self.chunks() if chunk.is_whole()}
        return [path for path in self._descriptions() if path.stem not in whole]

    def remove_damaged(self, say: Say | None) -> int:
        """Removes chunks that are not whole, and what killed processes left; only for the one that holds `writing`."""
        damaged = self.damaged()
        for path in damaged:
            path.unlink(missing_ok=True)
        left = {path.stem for path in self._descriptions()}
        for path in (self.path / "chunks").glob("[0-9]*.npy"):
            if path.stem not in left:
                path.unlink(missing_ok=True)
        for path in (*self.path.glob(".*.tmp*"), *(self.path / "chunks").glob(".*.tmp*")):
            path.unlink(missing_ok=True)
        if damaged and say is not None:
            say(f"{len(damaged)} damaged chunk(s) of features in {self.path} were removed; their rows are computed again.")
        return len(damaged)

    def hold(self) -> IO[Any]:
        """Opens the space for use: until the handle is closed, or dies with the process, nothing evicts it."""
        path = self.path / ".reading"
        with storage_errors(path):
            while True:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = open(path, "a+")  # noqa: SIM115  (held for as long as the features are)
                fcntl.flock(handle, fcntl.LOCK_SH)
                if _is_still(handle, path):
                    os.utime(path)
                    return handle
                handle.close()

    @contextlib.contextmanager
    def writing(self, say: Say | None = None) -> Iterator[None]:
        """Holds the right to add rows for the block; waits for another process, or thread, that has it."""
        path = self.path / ".writing"
        with storage_errors(path), open(path, "a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                if say is not None:
                    say(f"Process {handle.read().strip() or '?'} is computing the same features; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield


def read_chunk(description: Path, *, key: str) -> Chunk | None:
    """The chunk that a file describes, or None when that is damaged, or of another space."""
    document = read_sealed(description)
    if document is None or document.get("space") != key:
        return None
    return Chunk(
        description.with_suffix(".npy"),
        tuple(document["rows"]),
        document["dtype"],
        tuple(document["row_shape"]),
        document["bytes"],
        document["sha256"],
    )


def sealed(document: Mapping[str, Any]) -> str:
    """`document` as JSON with a hash of itself."""
    return json.dumps({**document, "document_sha256": _hash(document)}) + "\n"


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What `sealed` wrote, or None where it is missing or not as it was written."""
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        own = document.pop("document_sha256")
        return document if own == _hash(document) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _hash(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _is_still(handle: IO[Any], path: Path) -> bool:
    """Whether the locked file is the one that now lies at `path`: an eviction may have been faster."""
    try:
        return os.fstat(handle.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
