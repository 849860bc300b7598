"""The files that a user names, as their contents: nothing is read that could not be an example, or never ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfl.data.examples import listed
from tfl.data.walk import files_below
from tfl.errors import BadContentError, DataError
from tfl.modalities.base import KINDS, NOUNS
from tfl.modalities.shipping import Shipping


def expand(files: Iterable[Path | str], skipped: list[str] | None = None, *, noun: str = NOUNS[KINDS[0]][0]) -> list[Path]:
    """The files meant by `files`: a file as it is, a folder as every file that training would take from it, sorted.

    Args:
        files: Files, and folders that are searched at any depth.
        noun: What messages call an example.
        skipped: Is given the hidden and system files, and the links to folders, that were not taken; see `tfl.data.walk`.

    Raises:
        DataError: A path does not exist, or a folder holds no file.
    """
    found: list[Path] = []
    passed_over: list[str] = [] if skipped is None else skipped
    for file in map(Path, files):
        if file.is_dir():
            before = len(passed_over)
            inside = sorted(map(Path, files_below(file, passed_over)))
            if not inside:
                raise DataError(
                    f"There is no {noun} below {file}.",
                    received=f"only hidden, system or linked entries: {listed(passed_over[before:], limit=5)}"
                    if len(passed_over) > before
                    else None,
                    fix=f"Name {noun} files, or folders of them.",
                )
            found += inside
        elif file.exists():
            found.append(file)
        else:
            raise DataError(f"There is no file {file}.", fix=f"Name {noun} files, or folders of them.")
    if not found:
        raise DataError("There is nothing to predict.", fix=f"Name {noun} files, or folders of them.")
    return found


def read_file(file: Path, shipping: Shipping) -> bytes:
    """The file's content as the model's graph decodes it, once its header says that decoding it is worth the memory.

    Args:
        file: Its path.
        shipping: Of the model that will see it.

    Raises:
        BadContentError: It is no example of that kind, or would take too much memory; the message says why, and not which file.
    """
    most = shipping.modality.most_bytes
    try:
        if not file.is_file():  # a pipe or a device could go on for ever
            raise BadContentError("not a regular file")
        if file.stat().st_size > most:
            raise BadContentError(f"more than {_size(most)}")
        content = file.read_bytes()
    except OSError as error:
        raise BadContentError(error.strerror or "cannot be read") from error
    return shipping.accept(content)


def _size(count: int) -> str:
    return f"{count // 2**30} GB" if count >= 2**30 else f"{count // 2**20} MB"
