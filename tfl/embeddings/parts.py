"""Vectors that were made so far: one file for each finished part of a source, from which a killed pass goes on.

.vectors.parquet.part/about.json    what makes the vectors
.vectors.parquet.part/000000.npz    vectors of the first 512 examples, and what was found about them
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.embeddings.vector_file import Batch, Rows
from tfl.storage import storage_errors, write_atomically, write_json

if TYPE_CHECKING:
    from tfl.data.examples import Examples
    from tfl.embeddings.network import Encoded

PART_ROWS = 512
"""Examples of a part: as many as are decoded, and lost by a kill."""
_ABOUT = "about.json"


class Parts:
    """The finished parts of one pass, in a hidden folder beside the file that they will become.

    Args:
        out: The file that will be written.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.parent / f".{out.name}.part"

    def begin(self, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """Makes the folder, and removes parts that were made by something else.

        Args:
            about: What makes the vectors now, without its engine.

        Returns:
            What the parts that stay were made by, with its engine; None where there are none.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        before = self._read_about()
        if before is not None and {**before, "engine": None} == {**about, "engine": None}:
            return before
        for file in self.folder.glob("*.npz"):
            file.unlink(missing_ok=True)
        return None

    def write_about(self, about: Mapping[str, Any]) -> None:
        """Keeps what makes the vectors."""
        write_json(self.folder / _ABOUT, about)

    def _read_about(self) -> dict[str, Any] | None:
        try:
            document = json.loads((self.folder / _ABOUT).read_bytes())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def has(self, number: int, key: str) -> bool:
        """Whether the part of this number is there, of the same examples."""
        found = self._read(number, vectors=False)
        return found is not None and found[0].get("key") == key

    def write(self, number: int, key: str, rows: Rows, found: Encoded) -> None:
        """Keeps a finished part.

        Raises:
            StorageError: It cannot be written.
        """
        document = {"key": key, "unreadable": found.unreadable, "notes": found.notes, "rows": rows.columns()}
        content = io.BytesIO()
        text = np.frombuffer(json.dumps(document).encode("utf-8", "surrogatepass"), np.uint8)
        np.savez(content, vectors=found.vectors, document=text)
        write_atomically(self._file(number), content.getvalue())

    def unreadable(self, count: int) -> list[dict[str, str]]:
        """What could not be read, over the first `count` parts."""
        return [row for number in range(count) for row in self._document(number)["unreadable"]]

    def notes(self, count: int) -> list[str]:
        """What was found, each sentence once."""
        return list(dict.fromkeys(note for number in range(count) for note in self._document(number)["notes"]))

    def rows(self, count: int) -> int:
        """How many vectors there are in the first `count` parts."""
        return sum(len(self._document(number)["rows"]["files"]) for number in range(count))

    def labelled(self, count: int) -> int:
        """How many of them have a label."""
        return sum(bool(label) for number in range(count) for label in self._document(number)["rows"]["labels"])

    def batches(self, count: int) -> Iterator[Batch]:
        """The rows of the first `count` parts with their vectors, a part at a time."""
        for number in range(count):
            found = self._read(number)
            if found is None:
                raise self._vanished(number)
            document, vectors = found
            if len(vectors):
                yield Rows(**document["rows"]), vectors

    def remove(self) -> None:
        """Removes the folder, once its content is elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _document(self, number: int) -> dict[str, Any]:
        found = self._read(number, vectors=False)
        if found is None:
            raise self._vanished(number)
        return found[0]

    def _read(self, number: int, *, vectors: bool = True) -> tuple[dict[str, Any], Any] | None:
        try:
            with np.load(self._file(number), allow_pickle=False) as arrays:
                document = json.loads(arrays["document"].tobytes().decode("utf-8", "surrogatepass"))
                return document, arrays["vectors"] if vectors else None
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
            return None

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def _vanished(self, number: int) -> OSError:
        return FileNotFoundError(f"{self._file(number)} vanished while it was in use")


def key_of(examples: Examples, labels: Sequence[str], groups: Sequence[str]) -> str:
    """What decides whether a part is of these examples: names, labels, groups, and the size and time of files, else contents."""
    digest = hashlib.sha256(json.dumps([list(labels), list(groups)]).encode())
    for index in range(len(examples)):
        if examples.paths is None:
            digest.update(examples.fingerprint_of(index).encode())
            continue
        name = str(examples.paths[index])
        try:
            status = os.stat(name)
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            state = f"error {error.errno}"
        digest.update(f"{name!r} {state}\n".encode())
    return digest.hexdigest()
