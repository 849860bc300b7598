"""Standard output and standard error that never stop a command, and that write file names as the file system has them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any

ERRORS = "tfl.file_names"
"""An error handler of codecs: bytes that Python had put into a file name as surrogates (PEP 383) become those bytes again, and a
character that the encoding lacks becomes an escape such as `\\xd7`."""


def keep_streams_open() -> None:
    """Replaces `sys.stdout` and `sys.stderr`, where they are descriptors 1 and 2.

    What is written to a pipe whose reader has gone is dropped, and so is what standard error cannot take for any other reason,
    such as a log on a full disk: the command continues. Standard output that cannot be written for another reason is an error.
    A descriptor that is closed becomes the null device, so that no file takes its number.

    Where the locale is ASCII, text is written as UTF-8, as Python itself does unless it is asked not to (PEP 540).
    """
    codecs.register_error(ERRORS, _file_names)
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or descriptor(stream) == number:
            setattr(sys, name, _kept_open(number, stream))


class _Raw(io.FileIO):
    """A descriptor that becomes the null device as soon as it cannot be written."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.fileno() == 1 and error.errno != errno.EPIPE:
                raise
            return memoryview(data).nbytes


def _kept_open(number: int, stream: Any) -> io.TextIOWrapper:
    encoding, lines, through = "utf-8", number == 2, False
    if stream is not None:
        stream.flush()
        encoding, lines, through = stream.encoding, stream.line_buffering, stream.write_through
    if codecs.lookup(encoding).name == "ascii":
        encoding = "utf-8"
    raw = io.BufferedWriter(_Raw(number, "wb", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors=ERRORS, line_buffering=lines, write_through=through)


def _file_names(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return b"".join(_byte_or_escape(character) for character in characters), error.end


def _byte_or_escape(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00])
    return character.encode("ascii", "backslashreplace")


def descriptor(stream: Any) -> int | None:
    """The number of the descriptor that a stream writes to; None for one that has none."""
    try:
        number: int = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return number
