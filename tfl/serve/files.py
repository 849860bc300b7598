"""The image files that a user names, as their contents: nothing is read that could not be an image, or never ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfl.data.examples import listed
from tfl.data.walk import files_below
from tfl.errors import BadImageError, DataError
from tfl.modalities.image.convert import largest_value, readable_by_graph
from tfl.modalities.image.headers import (
    MOST_BYTES,
    MOST_PIXELS,
    SMALLEST_SIDE,
    Header,
    is_deep_png,
    no_size_warnings,
    read_header,
)

UNDECODABLE = "damaged, or not an image of a format that tfl reads"
_WHY = {
    "zero_bytes": "empty",
    "not_an_image": "not an image: {}",
    "unsupported_format": "a format that is not read: {}",
    "too_large": f"{{}}: more than {MOST_PIXELS // 1_000_000} million pixels, or as much work",
    "undecodable": UNDECODABLE,
}


def expand(files: Iterable[Path | str], skipped: list[str] | None = None) -> list[Path]:
    """The files meant by `files`: a file as it is, a folder as every file that training would take from it, sorted.

    Args:
        files: Files, and folders that are searched at any depth.
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
                    f"There is no image below {file}.",
                    received=f"only hidden, system or linked entries: {listed(passed_over[before:], limit=5)}"
                    if len(passed_over) > before
                    else None,
                    fix="Name image files, or folders of them.",
                )
            found += inside
        elif file.exists():
            found.append(file)
        else:
            raise DataError(f"There is no file {file}.", fix="Name image files, or folders of them.")
    if not found:
        raise DataError("There is nothing to predict.", fix="Name image files, or folders of them.")
    return found


def read_image_file(file: Path) -> bytes:
    """The file's content as the model's graph decodes it, once its header says that decoding it is worth the memory.

    Raises:
        BadImageError: It is no image, or would take too much memory; the message says why, and not which file.
    """
    try:
        if not file.is_file():  # a pipe or a device could go on for ever
            raise BadImageError("not a regular file")
        if file.stat().st_size > MOST_BYTES:
            raise BadImageError(f"more than {MOST_BYTES // 2**30} GB")
        content = file.read_bytes()
    except OSError as error:
        raise BadImageError(error.strerror or "cannot be read") from error
    with no_size_warnings():
        header = read_header(content)
        if header.trouble:
            raise BadImageError(why_not(header))
        if min(header.width, header.height) < SMALLEST_SIDE:
            raise BadImageError(f"smaller than {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels ({header.width}×{header.height})")
        return readable_by_graph(content)


def largest_allowed(content: bytes, bits: int | None) -> int:
    """The largest value of a 16-bit image; zero for one of 8 bits.

    Args:
        content: As `read_image_file` returns it.
        bits: As `tfl.recipe.Data.bits`, of the model that will see it.

    Raises:
        BadImageError: It has values that the model was not trained on, above those bits, or it is damaged.
    """
    largest = largest_value(content) if is_deep_png(content) else 0
    if bits is not None and largest >= 2**bits:
        raise BadImageError(f"values up to {largest:,}; the model was trained on {bits} bits, up to {2**bits - 1:,}")
    return largest


def why_not(header: Header) -> str:
    """Why an image file with this header is not decoded, in words."""
    return _WHY[header.trouble].format(header.detail or UNDECODABLE)
