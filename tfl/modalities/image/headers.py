"""What an image file promises, read before anything of it is decompressed: format, size, and how much decoding would take.

A file of a few bytes can promise a picture of terabytes, or one that takes hours to decode. Such files are refused here.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfl.errors import BadImageError
from tfl.modalities.image.convert import (
    HEIF_MISSING,
    PILLOW_NAMES,
    depth_of,
    in_graph,
    is_small_copy,
    open_image,
    why_not_converted,
)
from tfl.modalities.image.formats import CR2, media_brand, unread_format

MOST_PIXELS = 100_000_000
SMALLEST_SIDE = 4
"""In pixels: what is smaller is taken for damaged or for a mark, in training and prediction alike."""
MOST_BYTES = 2**30
"""The largest file that is read."""
MOST_ALL_FRAMES = 5 * MOST_PIXELS
"""Of all frames of an animation together: decoders unpack them all before the first one can be used."""
MOST_SCANNED = 20 * MOST_PIXELS
"""Pixels times scans of a JPEG: each scan goes over all pixels. Progressive JPEGs have about ten."""
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "JPEG XL": (".jxl",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "HEIC": (".heic", ".heif", ".hif"),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "PNM": (".pnm", ".ppm", ".pgm", ".pbm"),
}
"""The formats that are read, with the usual ends of their names. The last five are converted (`tfl.modalities.image.convert`)."""
_CONVERTED = re.compile(
    rb"II\*\0|MM\0\*|II\+\0|MM\0\+|\0\0\0\x0cjP  |\xff\x4f\xff\x51|P[1-6][\s#]",
)
"""How TIFF, BigTIFF, JPEG 2000 (boxed and bare) and PNM files start."""
_JXL_STREAM, _JXL_FILE = b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF")
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # neither stuffed bytes nor restarts, which stand inside a scan
_JXL_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


@dataclass(frozen=True)
class Header:
    """What a file promises, or what is wrong with it.

    Args:
        kind: One of `FORMATS`, where it is readable.
        width, height: In pixels, as they are stored.
        bits: 8, or 16 where a channel has more than 8.
        pages: More than one are in the file, and the first is read; of a TIFF.
        trouble: Empty, or `zero_bytes`, `not_an_image`, `unsupported_format`, `too_large` or `undecodable`.
        detail: Particulars of the trouble.
    """

    kind: str = ""
    width: int = 0
    height: int = 0
    bits: int = 8
    pages: bool = False
    trouble: str = ""
    detail: str = ""


def read_header(content: bytes) -> Header:
    """The header of an image file, by its content alone. Never raises, whatever the content.

    Example:

    >>> from tfl.modalities.image.headers import read_header
    >>> read_header(b"once upon a time").detail
    "text: 'once upon a time'"
    """
    if not content:
        return Header(trouble="zero_bytes")
    if content.startswith((_JXL_STREAM, _JXL_FILE)):
        found = _jpeg_xl(content)
    else:
        found = _by_pillow(content) if in_graph(content) else _of_converted(content)
    if not found.trouble and min(found.width, found.height) < 1:
        return Header(trouble="undecodable", detail=f"{found.width}×{found.height} pixels")
    if found.width * found.height > MOST_PIXELS:
        return Header(trouble="too_large", detail=f"{found.width:,}×{found.height:,}")
    return found


@contextmanager
def no_size_warnings() -> Iterator[None]:
    """Silences Pillow, which warns of large images: they are checked here. For the main thread, around any others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _by_pillow(content: bytes) -> Header:
    """Pillow reads headers alone; it decompresses nothing yet."""
    from PIL import Image, UnidentifiedImageError

    if (promised := _png_size(content))[0] * promised[1] > MOST_PIXELS:
        return Header("PNG", *promised)
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind, (width, height) = image.format or "unknown", image.size
            frames = int(getattr(image, "n_frames", 1)) if kind in ("GIF", "WEBP") else 1
    except Image.DecompressionBombError as error:
        return Header(trouble="too_large", detail=_promised(error))
    except UnidentifiedImageError:
        is_cut = content.startswith(_STARTS) and unread_format(content) is None
        return Header(trouble="undecodable", detail=_guess(content)) if is_cut else _of_no_image(content)
    except Exception as error:  # a damaged header can make Pillow's readers raise anything
        return Header(trouble="undecodable", detail=str(error))
    if kind not in FORMATS:
        return Header(trouble="unsupported_format", detail=kind)
    if frames * width * height > MOST_ALL_FRAMES:
        return Header(trouble="too_large", detail=f"{frames} frames of {width:,}×{height:,}")
    if kind in ("JPEG", "MPO") and (scans := jpeg_scans(content)) * width * height > MOST_SCANNED:
        return Header(trouble="too_large", detail=f"{scans} scans of {width:,}×{height:,}")
    return Header(kind, width, height, 16 if is_deep_png(content) else 8)


def is_deep_png(content: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel, by its first 25 bytes."""
    return content.startswith(b"\x89PNG\r\n") and content[24:25] == b"\x10"


def _of_converted(content: bytes) -> Header:
    """The header of a file that the decode graph does not read, but that can be converted for it; or what it is instead."""
    is_known = _CONVERTED.match(content) is not None or media_brand(content) in ("AVIF", "HEIC", "HEIF")
    return _convertible(content) if is_known and not content.startswith(CR2, 8) else _of_no_image(content)


def _convertible(content: bytes) -> Header:
    from PIL import Image

    try:
        with open_image(content) as image:
            (width, height), kind = image.size, PILLOW_NAMES[str(image.format)]
            if why := why_not_converted(image, content):
                return Header(trouble="unsupported_format", detail=why)
            bits = depth_of(image, content)
            return Header(kind, width, height, bits, kind == "TIFF" and _has_pages(image))
    except BadImageError as error:
        missing = HEIF_MISSING in str(error)
        return Header(trouble="unsupported_format" if missing else "undecodable", detail=str(error))
    except Image.DecompressionBombError as error:
        return Header(trouble="too_large", detail=_promised(error))
    except Exception as error:  # a damaged header can make Pillow's readers raise anything
        return Header(trouble="undecodable", detail=str(error))


def _has_pages(image: Any) -> bool:
    """Whether a TIFF has a second page that is more than a small copy of the first."""
    try:
        image.seek(1)
    except Exception:  # there is none, or it is damaged
        return False
    return not is_small_copy(image)


def _promised(error: Exception) -> str:
    """The size in the words of Pillow's error about a decompression bomb."""
    return str(error).split(" pixels")[0].split("(")[-1] + " pixels"


def _of_no_image(content: bytes) -> Header:
    """What a file is that is not read, and what can be done with it."""
    if (known := unread_format(content)) is not None:
        trouble = "unsupported_format" if known.is_image else "not_an_image"
        return Header(trouble=trouble, detail=f"{known.name}; {known.advice}")
    return Header(trouble="not_an_image", detail=_guess(content))


def jpeg_scans(content: bytes) -> int:
    """How many scans the first picture of a JPEG file has (ITU-T T.81, annex B): a hostile one has thousands."""
    at, scans = 2, 0
    while (found := _MARKER.search(content, at)) is not None:
        at, marker = found.start(), found[0][1]
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    return scans


def _png_size(content: bytes) -> tuple[int, int]:
    """What a PNG's header promises, of a file that may have nothing else (so that Pillow takes it for no image); or zeros."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return 0, 0
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _jpeg_xl(content: bytes) -> Header:
    """The size by ISO/IEC 18181-1, since Pillow does not read this format."""
    stream = content if content.startswith(_JXL_STREAM) else _first_stream(content)
    if not stream.startswith(_JXL_STREAM) or len(stream) < 12:
        return Header(trouble="undecodable", detail="the file is cut short")
    bits = _Bits(stream[2:12])
    in_eights = bits.take(1)
    height = bits.side(in_eights)
    ratio = bits.take(3)
    if ratio:
        over, under = _JXL_RATIOS[ratio]
        return Header("JPEG XL", height * over // under, height)
    return Header("JPEG XL", bits.side(in_eights), height)


def _first_stream(content: bytes) -> bytes:
    """Where the picture starts in a JPEG XL container: the first `jxlc` box, or the first `jxlp` behind its number."""
    at = 0
    while at + 8 <= len(content):
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start = at + head + (4 if kind == b"jxlp" else 0)
            return content[start : start + 16]
        if size < head:
            break
        at += size
    return b""


class _Bits:
    """Bits from the lowest of the first byte on."""

    def __init__(self, content: bytes) -> None:
        self._rest = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def side(self, in_eights: int) -> int:
        return 8 * (1 + self.take(5)) if in_eights else 1 + self.take((9, 13, 18, 30)[self.take(2)])


def _guess(content: bytes) -> str:
    head = content[:200]
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return f"text: {head[:30].decode('utf-8', 'replace').split(chr(10))[0]!r}"
    return f"starts with {head[:4].hex()}"
