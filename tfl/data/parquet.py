"""Parquet files that hold examples, as Hugging Face datasets do, or that list files: read into a `Table`.

Contents in a column of bytes are written once to the cache as files, byte for byte. The names of the classes come from the
schema's metadata (https://huggingface.co/docs/datasets, feature `ClassLabel`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.data.examples import listed
from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import Table, as_cell
from tfl.errors import DataError, MissingExtraError
from tfl.modalities.files import FileKind
from tfl.storage import cache_home, storage_errors, write_folder_atomically

_SHARD = re.compile(r"(?P<split>[a-z_]+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-\w+)?\.parquet", re.IGNORECASE)
_ROWS_AT_ONCE = 16
_ANY_BYTES = ("path", "filename", "file", "name", "id")
"""Names of columns that do not say what their bytes are."""
_UNLABELLED = -1
"""The class number that Hugging Face datasets give to examples without a label."""


def split_in_name(file: Path) -> str:
    """The split in the name of a shard, else in the name of the file or of its folder; empty where none says one.

    Example:

    >>> from tfl.data.parquet import split_in_name
    >>> [split_in_name(Path(name)) for name in ("data/train-00000-of-00002.parquet", "set/test/0000.parquet", "a.parquet")]
    ['train', 'test', '']
    """
    if match := _SHARD.fullmatch(file.name):
        return match["split"].lower()
    words = (file.stem.lower(), file.parent.name.lower() if file.stem.isdecimal() else "")
    return next((word for word in words if word in SPLIT_FOLDERS), "")


def refuse_missing_shards(files: Sequence[Path]) -> None:
    """Makes sure that all shards of each split are there, as their names count them: `train-00000-of-00003.parquet`.

    Raises:
        DataError: Some are not there, as after a download that was interrupted.
    """
    there: dict[tuple[str, str, int], set[int]] = {}
    for file in files:
        if match := _SHARD.fullmatch(file.name):
            there.setdefault((str(file.parent), match["split"], int(match["count"])), set()).add(int(match["number"]))
    for (folder, split, count), numbers in there.items():
        if missing := sorted(set(range(count)) - numbers):
            raise DataError(
                f"{folder} does not have all {count} Parquet files of the split {split}.",
                received=f"{len(numbers)} of {count}; not there: "
                + listed([f"{split}-{number:05d}-of-{count:05d}.parquet" for number in missing], limit=3),
                fix="Download the rest. To use some of the files alone, rename them, such as to train.parquet.",
            )


def read_parquet(files: Sequence[Path], kind: FileKind, *, stored: str | None = None) -> Table:
    """The rows of Parquet files that belong together. Contents become files in the cache; other columns become text.

    The splits that the names of the files say become a column `split`, where the files have none. Rows whose class number is -1,
    which means that they have no label, get an empty label.

    Args:
        files: The files.
        kind: What the examples are; columns of bytes are not used where they are in cells of text.
        stored: The column of their contents, where it is one of several inputs: a content may be missing then, and its cell is
            empty. None finds it.

    Raises:
        DataError: A file is damaged, a content is missing, or the files do not have the same column of contents.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    optional = stored is not None
    parts = [_Part(arrow, file, kind, stored) for file in files]
    stored = parts[0].stored
    if differing := [part for part in parts if part.stored != stored]:
        raise DataError(
            f"{differing[0].file} and {files[0].name} do not have the same column of {kind.nouns}.",
            received=f"{differing[0].stored or 'none'} and {stored or 'none'}",
        )
    paths, root = ([], "") if stored is None else _as_files(parts, stored, kind, optional=optional)
    columns: dict[str, list[str]] = {} if stored is None else {stored: paths}
    for name in dict.fromkeys(name for part in parts for name in part.texts):
        columns[name] = [cell for part in parts for cell in part.cells(name)]
    splits = [split_in_name(file) for file in files]
    if any(splits) and not any(name.lower() == "split" for name in columns):
        columns["split"] = [split for split, part in zip(splits, parts, strict=True) for _ in range(part.rows)]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return Table(
        files[0] if len(files) == 1 else files[0].parent,
        tuple(columns),
        rows,
        list(range(1, len(rows) + 1)),
        unit="row",
        folder=files[0].parent,
        stored=stored,
        class_names={name: names for part in reversed(parts) for name, names in part.class_names.items()},
        root=root,
    )


class _Part:
    """One Parquet file: its columns of text and of contents, read a few rows at a time."""

    def __init__(self, arrow: Any, file: Path, kind: FileKind, stored: str | None = None) -> None:
        self.file = file
        try:
            self._opened = arrow.parquet.ParquetFile(file)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise _damaged(file, error) from error
        schema = self._opened.schema_arrow
        self.rows: int = self._opened.metadata.num_rows
        self.class_names = _class_names(schema)
        self.stored = None if kind.in_cells else stored or _stored_column(arrow, file, schema, kind)
        if stored is not None and (stored not in schema.names or not _holds_bytes(arrow, schema.field(stored).type)):
            raise DataError(
                f"{file} has no column `{stored}` of file names or of bytes.",
                received=", ".join(schema.names),
                allowed=kind.nouns,
            )
        self.texts = [name for name in schema.names if name != self.stored and _is_text(arrow.types, schema.field(name).type)]

    def cells(self, column: str) -> list[str]:
        """The cells of a column as text; all empty where the file does not have it."""
        if column not in self.texts:
            return [""] * self.rows
        unlabelled = _UNLABELLED if column in self.class_names else object()
        return ["" if value == unlabelled else as_cell(value) for value in self._values(column, 4096)]

    def contents(self, column: str) -> Iterator[bytes | None]:
        """The bytes of each example; None where there are none."""
        for value in self._values(column, _ROWS_AT_ONCE):
            yield value.get("bytes") if isinstance(value, Mapping) else value

    def _values(self, column: str, size: int) -> Iterator[Any]:
        count = 0
        try:
            for batch in self._opened.iter_batches(batch_size=size, columns=[column], use_threads=False):
                count += len(batch)
                yield from batch.column(0).to_pylist()
        except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors are of these kinds
            raise _damaged(self.file, error) from error
        if count != self.rows:  # pyarrow reads what is there where the metadata promise another number
            raise _damaged(self.file, ValueError(f"column `{column}` has {count} of {self.rows} rows"))


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError.of("parquet", needed_for="Reading Parquet files") from error
    return pyarrow


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(f"{file} is not a readable Parquet file: {' '.join(str(error).split())[:300]}.", fix="Download it again.")


def _stored_column(arrow: Any, file: Path, schema: Any, kind: FileKind) -> str | None:
    """The column with the bytes of the examples: a struct with a field `bytes`, or binary; None where there is none."""
    found = [name for name in schema.names if _holds_bytes(arrow, schema.field(name).type)]
    if len(found) > 1:
        called = {name.lower(): name for name in found}
        preferred = [called[word] for word in kind.columns if word in called and word not in _ANY_BYTES]
        found = preferred[:1] or found
    if len(found) > 1:
        raise DataError(f"{file} has several columns that hold {kind.nouns}.", received=", ".join(found), allowed="one")
    return found[0] if found else None


def _holds_bytes(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    if types.is_struct(kind):
        return any(kind.field(at).name == "bytes" and _holds_bytes(arrow, kind.field(at).type) for at in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(types: Any, kind: Any) -> bool:
    """Whether the values of a column can be cells: scalars other than bytes, and lists of them."""
    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of the class numbers of each column, from the metadata that Hugging Face's `datasets` writes."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        labels = {name: _class_label(feature) for name, feature in features.items()}
        found = {name: label["names"] for name, label in labels.items() if label is not None}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: tuple(map(str, names)) for name, names in found.items() if isinstance(names, list)}


def _class_label(feature: Any) -> Mapping[str, Any] | None:
    """The feature `ClassLabel` in a feature: itself, or what a sequence is of; None for another."""
    inner = feature[0] if isinstance(feature, list) and len(feature) == 1 else feature
    if isinstance(inner, Mapping) and inner.get("_type") in ("Sequence", "List"):
        inner = inner.get("feature")
    return inner if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel" else None


def _as_files(parts: Sequence[_Part], column: str, kind: FileKind, *, optional: bool = False) -> tuple[list[str], str]:
    """The path of each row's content, written to the cache where it is not there yet, and the folder of all."""
    digest = hashlib.sha256(column.encode() + (b" optional" if optional else b""))
    for part in parts:
        with storage_errors(part.file, doing="read"), open(part.file, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    folder = cache_home() / f"parquet-{kind.nouns}" / digest.hexdigest()[:24]
    if not (folder / "index.json").is_file():
        write_folder_atomically(folder, lambda scratch: _write(parts, column, scratch, kind, optional=optional))
    with storage_errors(folder, doing="read"):
        names = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [str(folder / name) if name else "" for name in names], str(folder)


def _write(parts: Sequence[_Part], column: str, scratch: Path, kind: FileKind, *, optional: bool) -> None:
    names: list[str] = []
    missing: list[str] = []
    left = shutil.disk_usage(scratch).free
    for number, part in enumerate(parts):
        stem = part.file.stem if [other.file.stem for other in parts].count(part.file.stem) == 1 else f"{number}_{part.file.stem}"
        (scratch / stem).mkdir()
        for row, content in enumerate(part.contents(column), 1):
            if content is None:
                names.append("")
                missing += [] if optional else [f"row {row} of {part.file.name}"]
                continue
            left -= len(content)
            _check_room(part.file, left, kind.nouns)
            names.append(f"{stem}/{row:06d}{suffix_of(content, kind)}")
            (scratch / names[-1]).write_bytes(content)
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        what = f"the bytes of {kind.article} {kind.noun} in `{column}`"
        raise DataError(
            f"{parts[0].file} has rows without {what}: {', '.join(missing[:5])}{more}.",
            fix="Keep the bytes in the file (`datasets` does with `push_to_hub`, or `embed_external_files=True`).",
        )
    (scratch / "index.json").write_text(json.dumps(names), encoding="utf-8")


def _check_room(file: Path, left: int, nouns: str) -> None:
    if left < 0:
        raise DataError(
            f"{file} holds more {nouns} than fit on the disk of the cache, {cache_home()}.",
            fix="Free some space, or name a folder on another disk with TFL_CACHE.",
        )


def suffix_of(content: bytes, kind: FileKind) -> str:
    """The end of the name of a file with that content, by its first bytes.

    Example:

    >>> from tfl.modalities.files import files_of
    >>> suffix_of(b"fLaC\\0", files_of("audio")), suffix_of(b"?", files_of("audio"))
    ('.flac', '.bin')
    """
    return next((suffix for start, suffix in kind.starts.items() if content.startswith(start)), kind.unknown)
