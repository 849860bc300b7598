"""Files of vectors: one row for each example, with what made them. No TensorFlow.

    vectors.parquet   columns file, label, fingerprint, group, preview, vector; in its metadata, `tfl`, what made them
    vectors.npy       the vectors `(n, width)` float32; vectors.csv the other columns; vectors.json what made them

Every file appears by rename once it is whole. Rows are read and written some at a time, so a file may be larger than memory.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, MissingExtraError, TflError
from tfl.storage import finite, storage_errors, write_atomically, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
ROWS_AT_ONCE = 1024
"""Rows of a group of a Parquet file, and as many as are in memory at a time."""
SUFFIXES = (".parquet", ".npy")
_KEY = b"tfl"
_END_BYTES = 2**16
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is known of some examples, one entry for each.

    Attributes:
        files: What each is called: its path, or `reviews.csv#12` of an example that is no file.
        labels: Its class, its labels as `cat;dog`, or its numbers; empty where it has none.
        fingerprints: The first 32 hexadecimal digits of the SHA-256 of its content.
        groups: What it belongs to, such as a person of whom there are several; empty where nothing says so.
        previews: One line that shows it; empty for files, which can be opened.

    Example:

    >>> rows = Rows(files=["1.png", "2.png"], labels=["ant", ""], fingerprints=["f1", "f2"])
    >>> len(rows), rows.take([1]).files, len(Rows.joined([rows, rows]))
    (2, ['2.png'], 4)
    """

    files: Sequence[str]
    labels: Sequence[str]
    fingerprints: Sequence[str]
    groups: Sequence[str] = field(default=())
    previews: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for one in fields(self):
            value = list(getattr(self, one.name)) or [""] * len(self.files)
            if len(value) != len(self.files):
                raise DataError(f"`{one.name}` does not have an entry for each file.", received=f"{len(value)}")
            object.__setattr__(self, one.name, value)

    def __len__(self) -> int:
        return len(self.files)

    def take(self, positions: Iterable[int]) -> Rows:
        """The rows at these positions, in that order."""
        chosen = list(positions)
        return Rows(**{name: [column[at] for at in chosen] for name, column in self.columns().items()})

    def columns(self) -> dict[str, list[str]]:
        """The entries by name."""
        return {one.name: list(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Several parts, one behind the other."""
        return cls(**{one.name: list(itertools.chain(*(getattr(part, one.name) for part in parts))) for one in fields(cls)})


Batch = tuple[Rows, "NDArray[np.float32]"]
"""Some rows, and their vectors `(rows, width)`."""
_NAMES = {"files": "file", "labels": "label", "fingerprints": "fingerprint", "groups": "group", "previews": "preview"}
"""Fields of `Rows`, and the columns that hold them."""


class VectorFile:
    """A file of vectors that is read a part at a time. Make one with `open_vectors`.

    Attributes:
        path: Where it lies.
        about: What made the vectors, plain data; `tfl.embeddings.network` has its parts.
        rows: What is known of each example.
        width: Numbers in a vector.
    """

    path: Path
    about: dict[str, Any]
    rows: Rows
    width: int

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Where each part starts, and its vectors."""
        raise NotImplementedError

    def take(self, positions: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float32]:
        """The vectors at these positions, `(len(positions), width)`, in that order."""
        wanted = np.asarray(positions, np.int64)
        found = np.empty((len(wanted), self.width), np.float32)
        for start, vectors in self.batches():
            inside = np.flatnonzero((wanted >= start) & (wanted < start + len(vectors)))
            found[inside] = vectors[wanted[inside] - start]
        return found

    def read_all(self) -> NDArray[np.float32]:
        """Every vector, in memory."""
        parts = [vectors for _, vectors in self.batches()]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def contents(self) -> Iterator[Batch]:
        """Every row with its vector, some at a time."""
        for start, vectors in self.batches():
            yield self.rows.take(range(start, start + len(vectors))), vectors


def open_vectors(path: Path | str) -> VectorFile:
    """Opens a file of vectors that `write_vectors` wrote.

    Args:
        path: `.parquet` or `.npy`.

    Raises:
        DataError: There is no such file, it is damaged, or it does not say what made it.
        MissingExtraError: It is a Parquet file and pyarrow is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(
            f"There is no file of vectors {file}.", allowed="a .parquet or .npy file", fix="Make one: tfl embed RUN SOURCE"
        )
    return _ArrayFile(file) if _suffix(file) == ".npy" else _ParquetFile(file)


def check_suffix(path: Path | str) -> None:
    """Makes sure that a file of vectors can have this name, and that what writes it is installed.

    Raises:
        DataError: Its name ends in something else.
        MissingExtraError: It is a Parquet file and pyarrow is not installed.
    """
    if _suffix(Path(path)) == ".parquet":
        _pyarrow()


def write_vectors(path: Path | str, about: Mapping[str, Any], batches: Iterable[Batch], *, count: int) -> Path:
    """Writes a file of vectors, some rows at a time; an existing one is replaced once the new one is whole.

    Args:
        path: `.parquet` or `.npy`.
        about: What made the vectors; `width` is among it.
        batches: The rows, with their vectors `(rows, width)`.
        count: How many rows there are in all.

    Raises:
        StorageError: It cannot be written; what was there before is as it was.
        DataError: There were more or fewer rows.

    Example:

    >>> import tempfile, numpy as np
    >>> rows = Rows(files=["1.png", "2.png"], labels=["ant", "bee"], fingerprints=["f1", "f2"])
    >>> path = f"{tempfile.mkdtemp()}/vectors.npy"
    >>> _ = write_vectors(path, {"width": 3}, [(rows, np.eye(2, 3, dtype=np.float32))], count=2)
    >>> open_vectors(path).rows.labels, open_vectors(path).take([1]).tolist()
    (['ant', 'bee'], [[0.0, 1.0, 0.0]])
    """
    file = Path(path)
    write = _write_parquet if _suffix(file) == ".parquet" else _write_array
    return write(file, {"format": FORMAT, **about}, _of_one_size(batches), count)


def _of_one_size(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows in parts of `ROWS_AT_ONCE`, so that a file does not show in which parts it was made."""
    waiting: list[Batch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += len(batch[0])
        if held >= ROWS_AT_ONCE:
            rows, vectors = Rows.joined([part for part, _ in waiting]), np.concatenate([part for _, part in waiting])
            for start in range(0, held - ROWS_AT_ONCE + 1, ROWS_AT_ONCE):
                yield rows.take(range(start, start + ROWS_AT_ONCE)), vectors[start : start + ROWS_AT_ONCE]
            left = held % ROWS_AT_ONCE
            waiting = [(rows.take(range(held - left, held)), vectors[held - left :])] if left else []
            held = left
    if held:
        yield Rows.joined([part for part, _ in waiting]), np.concatenate([part for _, part in waiting])


def _suffix(file: Path) -> str:
    if file.suffix.lower() not in SUFFIXES:
        raise DataError(
            "The name of a file of vectors says how it is written.",
            received=str(file),
            allowed=SUFFIXES,
            fix="Such as vectors.parquet, or vectors.npy, beside which vectors.csv and vectors.json are written.",
        )
    return file.suffix.lower()


def _wrong_count(received: int, allowed: int) -> DataError:
    return DataError("Another number of vectors was made than was counted.", received=received, allowed=str(allowed))


def _damaged(file: Path, error: object) -> DataError:
    why = " ".join(str(error).split())[:300]
    return DataError(f"{file} is no file of vectors of tfl, or it is damaged: {why}.", fix="Make it again: tfl embed")


def _checked_about(file: Path, document: object) -> dict[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("width"), int):
        raise _damaged(file, "it does not say what made it")
    if document.get("format") != FORMAT:
        raise DataError(
            f"{file} was written by another version of tfl.", received=f"format {document.get('format')}", allowed=[FORMAT]
        )
    return document


# Parquet -------------------------------------------------------------------------------------------------------------


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        missing = MissingExtraError.of("parquet", needed_for="Vectors in a Parquet file")
        raise MissingExtraError(missing.what, fix=f"{missing.fix}, or name a file that ends in .npy.") from error
    return pyarrow


def _write_parquet(file: Path, about: Mapping[str, Any], batches: Iterable[Batch], count: int) -> Path:
    arrow = _pyarrow()
    vector = arrow.list_(arrow.float32(), int(about["width"]))
    schema = arrow.schema([*((name, arrow.string()) for name in _NAMES.values()), ("vector", vector)])
    schema = schema.with_metadata({_KEY: json.dumps(finite(dict(about)))})
    options = {"compression": "zstd", "use_dictionary": ["label", "group"], "write_statistics": False}

    def write(scratch: Path) -> None:
        done = 0
        with arrow.parquet.ParquetWriter(scratch, schema, **options) as writer:
            for rows, vectors in batches:
                columns = [[_as_text(cell) if cell else None for cell in column] for column in rows.columns().values()]
                flat = arrow.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
                arrays = [arrow.array(column, arrow.string()) for column in columns]
                arrays.append(arrow.FixedSizeListArray.from_arrays(flat, int(about["width"])))
                writer.write_table(arrow.Table.from_arrays(arrays, schema=schema), row_group_size=ROWS_AT_ONCE)
                done += len(rows)
        if done != count:
            raise _wrong_count(done, count)

    return write_atomically(file, write)


class _ParquetFile(VectorFile):
    def __init__(self, file: Path) -> None:
        arrow = _pyarrow()
        self.path = file
        try:
            with storage_errors(file, doing="read"):
                self._opened = arrow.parquet.ParquetFile(file)
                metadata = self._opened.schema_arrow.metadata or {}
                self.about = _checked_about(file, json.loads(metadata.get(_KEY, b"null")))
                table = self._opened.read(columns=list(_NAMES.values()))
            columns = {name: [_as_name(cell or "") for cell in table[column].to_pylist()] for name, column in _NAMES.items()}
        except (arrow.ArrowException, OSError, ValueError, LookupError) as error:
            if isinstance(error, TflError):
                raise
            raise _damaged(file, error) from error
        self.rows, self.width = Rows(**columns), self.about["width"]

    def batches(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        start = 0
        for number in range(self._opened.num_row_groups):
            vectors = self._group(number)
            yield start, vectors
            start += len(vectors)

    def take(self, positions: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float32]:
        """Reads only the groups of rows that hold some of them."""
        wanted = np.asarray(positions, np.int64)
        found = np.empty((len(wanted), self.width), np.float32)
        sizes = [self._opened.metadata.row_group(number).num_rows for number in range(self._opened.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        groups = np.searchsorted(ends, wanted, side="right")
        for number in np.unique(groups):
            inside = np.flatnonzero(groups == number)
            found[inside] = self._group(int(number))[wanted[inside] - (ends[number] - sizes[number])]
        return found

    def _group(self, number: int) -> NDArray[np.float32]:
        try:
            column = self._opened.read_row_group(number, columns=["vector"])["vector"].combine_chunks()
            flat = column.chunk(0).flatten() if hasattr(column, "chunk") else column.flatten()
            return np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(-1, self.width)
        except (OSError, ValueError, LookupError) as error:
            raise _damaged(self.path, error) from error


def _as_text(name: str) -> str:
    """A file name as UTF-8 can hold it: bytes that are none become `\\udc80` to `\\udcff`, as in tfl's JSON."""
    return name.encode(errors="backslashreplace").decode()


def _as_name(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(f"dc{found[1]}", 16)), text)


# NumPy ---------------------------------------------------------------------------------------------------------------


def beside(file: Path) -> tuple[Path, Path]:
    """The table and the description of a `.npy` file of vectors.

    Example:

    >>> [one.name for one in beside(Path("a/vectors.npy"))]
    ['vectors.csv', 'vectors.json']
    """
    return file.with_suffix(".csv"), file.with_suffix(".json")


def _write_array(file: Path, about: Mapping[str, Any], batches: Iterable[Batch], count: int) -> Path:
    parts: list[Rows] = []

    def write(scratch: Path) -> None:
        with open(scratch, "wb") as handle:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, int(about["width"]))}
            np.lib.format.write_array_header_1_0(handle, header)
            for rows, vectors in batches:
                parts.append(rows)
                handle.write(np.ascontiguousarray(vectors, "<f4").tobytes())
        if (done := sum(map(len, parts))) != count:
            raise _wrong_count(done, count)

    table, description = beside(file)
    write_atomically(file, write)
    text = _table_text(Rows.joined(parts))
    write_atomically(table, text)
    write_json(description, {**about, "rows": count, "sha256": hashlib.sha256(text).hexdigest(), "end": _end_of(file)})
    return file


def _table_text(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_NAMES.values())
    writer.writerows(zip(*rows.columns().values(), strict=True))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _end_of(file: Path) -> str:
    """A hash of the last bytes of the array, by which another array of the same size is told apart."""
    with open(file, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - _END_BYTES))
        return hashlib.sha256(handle.read()).hexdigest()


class _ArrayFile(VectorFile):
    def __init__(self, file: Path) -> None:
        self.path = file
        table, description = beside(file)
        for other in (table, description):
            if not other.is_file():
                raise DataError(f"{file} is no file of vectors of tfl: {other.name} is not beside it.", fix="Keep them together.")
        try:
            with storage_errors(file, doing="read"):
                about = _checked_about(description, json.loads(description.read_text(encoding="utf-8")))
                content = table.read_bytes()
                self._array = np.load(file, mmap_mode="r", allow_pickle=False)
                parts = (hashlib.sha256(content).hexdigest(), _end_of(file), tuple(self._array.shape), str(self._array.dtype))
            expected = (about.pop("sha256"), about.pop("end"), (about.pop("rows"), about["width"]), "float32")
            if parts != expected:
                raise ValueError(f"{file.name}, {table.name} and {description.name} are not from one time")
            header, *body = csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))
            if header != list(_NAMES.values()):
                raise ValueError(f"the columns of {table.name} are {header}")
        except (OSError, ValueError, LookupError, EOFError, csv.Error) as error:
            if isinstance(error, TflError):
                raise
            raise _damaged(file, error) from error
        self.about, self.width = about, about["width"]
        columns = zip(*body, strict=True) if body else [()] * len(_NAMES)
        self.rows = Rows(**dict(zip(_NAMES, map(list, columns), strict=True)))

    def batches(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield start, np.array(self._array[start : start + ROWS_AT_ONCE])

    def take(self, positions: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float32]:
        return np.array(self._array[np.asarray(positions, np.int64)])


def refuse_if_there(path: Path | str) -> None:
    """Makes sure that nothing would be overwritten.

    Raises:
        DataError: The file is there, or one that is written beside it.
    """
    file = Path(path)
    for one in (file, *(beside(file) if _suffix(file) == ".npy" else ())):
        if one.exists():
            raise DataError(
                f"{one} is already there.",
                fix=f"Name another file with --out, or add to it: tfl similar {file} --add FILE. To make it anew, delete it.",
            )
