"""Files that are whole or absent: atomic writes, folder locks, and the place of the cache. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tfl.errors import RunLockedError, StorageError, TflError

_DISK_ERRORS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENAMETOOLONG: "a name in the path is too long",
    errno.ELOOP: "the links in the path lead in a circle",
    errno.EFBIG: "the file would be larger than this file system allows",
    errno.EIO: "the disk reports an input/output error",
    errno.ESTALE: "the network drive is gone",
}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OTHER_PLACE = "name another place (--out for what a command writes, TFL_CACHE for the cache)"
_HIDDEN = re.compile(r"[Ee]rrno(?: =)? (\d+)")
_SCRATCH = re.compile(r"\..+\.\w+\.(tmp(\..+)?|old)")


def cache_home() -> Path:
    """The folder for everything that can be computed again: `TFL_CACHE`, else `XDG_CACHE_HOME/tfl`, else `~/.cache/tfl`."""
    named = os.environ.get("TFL_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tfl"


@contextlib.contextmanager
def storage_errors(path: Path | str, *, doing: str = "write") -> Iterator[None]:
    """Turns disk errors inside the block into one `StorageError` that names `path`: the operating system's, and HDF5's."""
    try:
        yield
    except TflError:
        raise
    except (OSError, RuntimeError) as error:
        code = _disk_error(error)
        if code is None:
            raise
        first = "Free some space" if code in _NO_SPACE else "Make it writable" if doing == "write" else "Change that"
        raise StorageError(
            f"Cannot {doing} {path}: {_DISK_ERRORS[code]}.", fix=f"{first} and start again, or {_OTHER_PLACE}."
        ) from error


def _disk_error(error: BaseException) -> int | None:
    """The number of the disk error that this is, or that a library put into words on its way up; None for any other."""
    told: BaseException | None = error
    while told is not None:
        code = told.errno if isinstance(told, OSError) else None
        words = _HIDDEN.search(str(told))
        code = int(words[1]) if code is None and words else code
        if code in _DISK_ERRORS:
            return code
        told = told.__context__ if isinstance(told, RuntimeError) else None
    return None


def write_atomically(path: Path | str, content: bytes | str | Callable[[Path], None]) -> Path:
    """Writes `path` so that it is either whole or unchanged: a temporary neighbour, flushed to disk, renamed.

    Args:
        path: The file to write; its folder is made if it is missing.
        content: Bytes, text (UTF-8; bytes of file names that are no UTF-8 are written as they are), or a function that is given
            a temporary path (same suffix) and writes that.

    Raises:
        StorageError: The disk is full, read-only or not permitted; `path` is as it was before.
    """
    target = Path(path)
    with storage_errors(target):
        _make_folder(target.parent)
        scratch = _scratch(target)
        try:
            if callable(content):
                content(scratch)
            else:
                scratch.write_bytes(content.encode(errors="surrogateescape") if isinstance(content, str) else content)
            _flush(scratch)
            os.replace(scratch, target)
            flush_folder(target.parent)
        finally:
            if scratch.is_dir():
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                scratch.unlink(missing_ok=True)
    return target


def check_can_write(path: Path | str, *, folder: bool, fix: str = "Name another place with --out.") -> None:
    """Checks that a file or a folder can be written, by a scratch file that is removed again.

    Args:
        path: What will be written later; nothing of it need exist.
        folder: Whether it is a folder that files will be written into, or a file.
        fix: What a person can do about it.

    Raises:
        StorageError: It cannot: not permitted, read-only, no space, a name too long, a file where a folder would have to be or
            a folder where a file would have to be.

    Example:

    >>> import tempfile
    >>> check_can_write(f"{tempfile.mkdtemp()}/new/report.html", folder=False)
    """
    try:
        _write_and_remove(Path(path), folder=folder)
    except OSError as error:
        words = _DISK_ERRORS.get(error.errno or 0, error.strerror or str(error))
        raise StorageError(f"Cannot write {path}: {words}.", fix=fix) from error


def check_is_text(path: Path | str, *, fix: str = "Name another place with --out.") -> None:
    """Checks that TensorFlow can write to a path: it accepts only paths that are UTF-8 text.

    Args:
        path: What will be written later.
        fix: What a person can do about it.

    Raises:
        StorageError: A part of the path is not UTF-8, or the locale of the process does not let Python see that it is.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise StorageError(
            "TensorFlow cannot write to a path that is not UTF-8 text.",
            received=repr(os.fsencode(path)),
            fix=f"{fix} If the path is UTF-8, and the locale is not, set PYTHONUTF8=1.",
        ) from error


def _write_and_remove(target: Path, *, folder: bool) -> None:
    within = target if folder else target.parent
    if not folder and target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with contextlib.ExitStack() as made:
        for place in reversed((within, *within.parents)):
            if not os.path.lexists(place):
                place.mkdir()
                made.callback(_remove_if_empty, place)
            elif not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        scratch = within / f".check.{os.getpid()}.tmp" if folder else _scratch(target)
        scratch.write_bytes(b"0")  # an empty file needs no space
        scratch.unlink()


def write_folder_atomically(path: Path | str, fill: Callable[[Path], None]) -> Path:
    """Makes the folder `path` by calling `fill` on a temporary neighbour and renaming that; replaces an older one."""
    target = Path(path)
    with storage_errors(target):
        _make_folder(target.parent)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        try:
            scratch.chmod(0o755)
            fill(scratch)
            for file in scratch.rglob("*"):
                _flush(file)
            flush_folder(scratch)
            if target.exists():
                old = target.with_name(f".{target.name}.{os.getpid()}.old")
                os.replace(target, old)
                os.replace(scratch, target)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(scratch, target)
            flush_folder(target.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def write_json(path: Path | str, document: object) -> Path:
    """Writes `document` as indented JSON, atomically. Non-finite numbers become null: JSON has no word for them.

    Bytes of a file name that are no UTF-8 become the escapes `\\udc80` to `\\udcff`, which `os.fsencode` turns back into bytes.
    """
    text = json.dumps(finite(document), indent=2, ensure_ascii=False) + "\n"
    return write_atomically(path, text.encode(errors="backslashreplace"))


def finite(value: object) -> object:
    """`value` with NaN and infinities replaced by None, through dictionaries, lists and tuples."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


@contextlib.contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Holds `folder/.lock` for the block. A process that died holds nothing: the lock is the kernel's, not the file's.

    Raises:
        RunLockedError: Another living process holds it.
    """
    path = Path(folder) / ".lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+")  # noqa: SIM115  (held for the whole block, closed below)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise RunLockedError(
                f"{folder} is being written by another process (process id {owner}).",
                fix="Wait for it to end, or name another folder with --out.",
            ) from error
        with contextlib.suppress(OSError):  # the number is for a message: the lock holds without it, on a full disk as well
            os.ftruncate(handle.fileno(), 0)
            os.write(handle.fileno(), str(os.getpid()).encode())
        yield
    finally:
        handle.close()


def is_scratch(name: str) -> bool:
    """Whether a file of that name is one that is being written, or was when its writer died.

    Example:

    >>> from tfl.storage import is_scratch
    >>> is_scratch(".manifest.4711.tmp.json"), is_scratch("manifest.json")
    (True, False)
    """
    return _SCRATCH.fullmatch(name) is not None


def remove_scratch(folder: Path | str) -> list[Path]:
    """Removes what killed writers left below `folder`, and says what that was; only for the one process that writes there."""
    found = [path for path in Path(folder).rglob(".*") if is_scratch(path.name)]
    with storage_errors(folder, doing="tidy"):
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return found


def flush_folder(folder: Path) -> None:
    """Brings the names in a folder to disk: a renamed file could otherwise be gone after a power cut."""
    with contextlib.suppress(PermissionError):  # one that may be written but not read
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # network drives that flush by themselves
                raise
        finally:
            os.close(handle)


def _scratch(target: Path) -> Path:
    """What a file is called until it is whole; threads of one process may write the same file."""
    return target.parent / f".{target.stem}.{os.getpid()}_{threading.get_ident()}.tmp{''.join(target.suffixes)}"


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another process has begun to write there
        folder.rmdir()


def _make_folder(folder: Path) -> None:
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        flush_folder(place.parent)


def _flush(path: Path) -> None:
    if path.is_dir():
        flush_folder(path)
    elif path.is_file():
        with open(path, "rb") as handle:
            os.fsync(handle.fileno())
