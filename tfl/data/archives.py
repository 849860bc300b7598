"""Archives: unpacked once into the cache, under a name made of their content. Nothing is written elsewhere, and no link is made.

Read with Python's `zipfile` and `tarfile`.
"""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from tfl.errors import DataError, TflError
from tfl.storage import cache_home, storage_errors, write_folder_atomically

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
UNREAD = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".tzst", ".lz4")
"""Packed files that are known and not read."""
_MOST_FILES = 5_000_000
_MOST_TIMES, _SMALL_BYTES = 200, 1_000_000_000
_ENCRYPTED, _UTF8 = 0x1, 0x800
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, KeyError)
_NOT_A_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def is_archive(file: Path) -> bool:
    """Whether the name of a file is that of an archive that is read.

    Example:

    >>> from tfl.data.archives import is_archive
    >>> is_archive(Path("leaves.tar.gz")), is_archive(Path("leaves.ZIP")), is_archive(Path("leaves.rar"))
    (True, True, False)
    """
    return file.name.lower().endswith(SUFFIXES)


def unpacked(file: Path) -> Path:
    """The folder in the cache with the content of an archive, which is unpacked where it is not there yet.

    Raises:
        DataError: It is damaged or encrypted, has a path or a link that leads out of it, or unpacks to more than it may.
        StorageError: The archive cannot be read, or the cache cannot be written.
    """
    with storage_errors(file, doing="read"), open(file, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    folder = cache_home() / "archives" / digest[:24]
    if not folder.is_dir():
        unpack = _unpack_zip if file.name.lower().endswith(".zip") else _unpack_tar
        write_folder_atomically(folder, lambda scratch: _in_one_message(unpack, file, scratch))
    return folder


def _in_one_message(unpack: Callable[[Path, Path], None], file: Path, scratch: Path) -> None:
    """Unpacks; whatever the libraries raise becomes one message. Errors of the disk stay what they are."""
    try:
        unpack(file, scratch)
    except TflError:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = os.path.relpath(error.filename, scratch)
        raise DataError(f"{file} has a file and a folder of the same name.", received=name) from error
    except OSError as error:
        if error.errno is not None and error.errno not in _NOT_A_NAME:
            raise
        raise _damaged(file, error.strerror or str(error)) from error
    except _DAMAGED as error:
        raise _damaged(file, str(error) or type(error).__name__) from error
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{file} cannot be unpacked: {error}.", fix="Unpack it with another program and name the folder."
        ) from error


def _damaged(file: Path, reason: str) -> DataError:
    return DataError(f"{file} is not a readable archive: {reason}.", fix="Download it again.")


class _Limits:
    """Counts what is unpacked, and raises before it is too much."""

    def __init__(self, file: Path, scratch: Path) -> None:
        self._file, self._free = file, shutil.disk_usage(scratch).free
        self._most = max(_SMALL_BYTES, _MOST_TIMES * file.stat().st_size)
        self._bytes = self._files = 0

    def add(self, size: int) -> None:
        """One more file of that many bytes."""
        self._bytes += size
        self._files += 1
        if self._bytes > self._most or self._files > _MOST_FILES:
            raise self._error(f"at most {_MOST_TIMES} times the size of the archive, and {_MOST_FILES:,} files")
        if self._bytes > self._free:
            raise self._error(f"{self._free / 1e9:,.1f} GB are free in the cache, {cache_home()}")

    def _error(self, allowed: str) -> DataError:
        return DataError(
            f"{self._file} unpacks to more than it may.",
            received=f"{self._bytes / 1e9:,.1f} GB and more, in {self._files:,} files and more",
            allowed=allowed,
            fix="If you trust it, unpack it with another program and name the folder.",
        )


def _unpack_zip(file: Path, scratch: Path) -> None:
    limits = _Limits(file, scratch)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            limits.add(entry.file_size)
        for entry in entries:
            if entry.flag_bits & _ENCRYPTED:
                raise DataError(f"{file} is encrypted.", fix="Unpack it with its password and name the folder.")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise _leads_out(file, entry.filename, "a link")
            place = _place(file, _zip_name(entry), scratch)
            if entry.is_dir() or entry.filename.endswith("\\"):
                place.mkdir(parents=True, exist_ok=True)
            else:
                with archive.open(entry) as content:
                    _write(content, place)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name of an entry: UTF-8 where it is that without saying so, with `/` for backslashes that some programs write."""
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name if "/" in name else name.replace("\\", "/")


def _unpack_tar(file: Path, scratch: Path) -> None:
    limits = _Limits(file, scratch)
    with tarfile.open(file, "r:*") as archive:
        for member in archive:
            limits.add(member.size)
            place = _place(file, member.name, scratch)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            content = _tar_content(archive, member)
            if content is None:
                raise _leads_out(file, member.name, "a device or a link to a folder or out of the archive")
            with content:
                if member.issym() or member.islnk():
                    limits.add(_size(content))
                _write(content, place)


def _tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """The bytes of a file; of a link, those of the file in the archive that it leads to."""
    try:
        return archive.extractfile(member)
    except KeyError:
        return None


def _size(content: IO[bytes]) -> int:
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    return size


def _place(file: Path, name: str, scratch: Path) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _leads_out(file, name, "a path that leads out of it")
    return scratch / path


def _leads_out(file: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{file} holds {what}, and is not unpacked.",
        received=repr(name[:200]),
        allowed="files and folders inside the archive",
        fix="If you trust it, unpack it with another program and name the folder.",
    )


def _write(content: IO[bytes], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "wb") as out:
        shutil.copyfileobj(content, out, 1 << 20)
