"""Image formats that TensorFlow does not decode, as PNG without loss: TIFF, AVIF, HEIC, JPEG 2000 and the PNM family.

Pillow reads them. The PNG is upright, has 8 bits a channel, or 16 where the file has more than 8, and goes through the same
graph as every other file. The graph of an exported model cannot do this step: whoever feeds it converts such files first.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BadImageError
from tfl.modalities.image.deep import deep_rawmode, deep_values, pnm_maximum, sample_bits, write_deep_png
from tfl.modalities.image.formats import camera_raw, media_brand

if TYPE_CHECKING:
    from PIL.Image import Image

IN_GRAPH = (b"\xff\xd8", b"\x89P", b"GI", b"BM", b"RI", b"\xff\x0a")
"""The first two bytes of the files that the graph decodes: JPEG, PNG, GIF, BMP, WebP, JPEG XL."""
IN_GRAPH_BOXED = b"\x00\x00\x00\x0cJXL "
"""How a JPEG XL in a container starts, which the graph decodes too."""
PILLOW_NAMES = {"TIFF": "TIFF", "AVIF": "AVIF", "HEIF": "HEIC", "JPEG2000": "JPEG 2000", "PPM": "PNM"}
"""Pillow's word for each format that is converted, and ours."""
_UNREAD_TIFF = "a TIFF whose channels, bits or compression are not read; save it in grey or RGB with 8 or 16 bits"
HEIF_MISSING = "reading it needs: pip install 'tfl[heif]'"
_NEW_SUBFILE, _SUB_IFDS, _DNG_VERSION, _MAKE = 254, 330, 50706, 271  # tags of TIFF 6.0 and DNG 1.6
_REDUCED = 1
_RAW_NAMES = {"NIKON": "NEF", "SONY": "ARW", "CANON": "CR2", "PENTAX": "PEF", "SAMSUNG": "SRW", "FUJIFILM": "RAF"}


def readable_by_graph(content: bytes) -> bytes:
    """The bytes of an image file as the decode graph takes them: as they are, or converted to PNG.

    Args:
        content: Of an image file whose header was checked (`tfl.modalities.image.headers.read_header`).

    Raises:
        BadImageError: It is of a kind that cannot be converted rightly, damaged, or no image; the message says why, and not
            which file.

    Example:

    >>> from tfl.modalities.image.convert import readable_by_graph
    >>> readable_by_graph(b"P5 1 1 255\\n\\x07")[:4]
    b'\\x89PNG'
    """
    if in_graph(content):
        return content
    with open_image(content) as image:
        return _as_png(image, content)


def array_bytes(array: np.ndarray) -> bytes:
    """An array of pixels as PNG, which keeps every pixel.

    Args:
        array: `(height, width)` or `(height, width, 3)` uint8.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.convert import array_bytes
    >>> array_bytes(np.zeros((4, 4), np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def in_graph(content: bytes) -> bool:
    """Whether the decode graph reads files that start like this one."""
    return content.startswith(IN_GRAPH) or content.startswith(IN_GRAPH_BOXED)


def open_image(content: bytes) -> Image:
    """Pillow's image of a file that is converted, nothing of it decoded yet.

    Raises:
        BadImageError: It is of no format that is converted, or its header is damaged.
        PIL.Image.DecompressionBombError: It promises far too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if media_brand(content) in ("HEIC", "HEIF"):
            return _heif(content)
        return Image.open(io.BytesIO(content), formats=[name for name in PILLOW_NAMES if name != "HEIF"])
    except (BadImageError, Image.DecompressionBombError):
        raise
    except UnidentifiedImageError as error:
        raise BadImageError(_UNREAD_TIFF if content[:2] in (b"II", b"MM") else "the header is damaged") from error
    except Exception as error:  # a damaged header can make Pillow's readers raise anything
        raise BadImageError(f"{media_brand(content) or 'the header'} is damaged: {error}") from error


def _heif(content: bytes) -> Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise BadImageError(f"HEIC; {HEIF_MISSING}") from error
    opened: Image = HeifImageFile(io.BytesIO(content))
    return opened


def why_not_converted(image: Image, content: bytes) -> str:
    """Why the pixels of this image cannot be had rightly, by its header; empty where they can.

    Args:
        image: Of `open_image`.
        content: The file.
    """
    tags = getattr(image, "tag_v2", {})
    if (raw := _raw_kind(tags)) is not None:
        return f"{camera_raw(raw).name}; {camera_raw(raw).advice}"
    kind, mode = PILLOW_NAMES.get(image.format or "", str(image.format)), str(image.mode)
    if mode == "F":
        return f"{kind} of floating-point values; scale them and save as 8 or 16 bits"
    if mode == "I" and kind != "PNM":
        return f"{kind} of 32-bit or signed values; scale them and save as 8 or 16 bits"
    if mode == "LAB":
        return f"{kind} in Lab colours; save it as RGB"
    if mode == "CMYK" and sample_bits(image) > 8:
        return f"{kind} of 16 bits in CMYK; save it as RGB"
    if kind == "TIFF" and depth_of(image, content) == 16 and mode in ("RGB", "RGBA") and deep_rawmode(image) is None:
        return "TIFF of 16-bit colours in separate planes or with premultiplied alpha; save it interleaved, without alpha"
    if kind == "JPEG 2000" and mode not in ("L", "I;16") and _jpeg_2000_bits(content) > 8:
        return f"JPEG 2000 of {_jpeg_2000_bits(content)} bits in colour; save it as TIFF or PNG of 16 bits, or with 8 bits"
    if kind == "PNM" and mode == "RGB" and content[:2] == b"P3" and pnm_maximum(image) > 255:
        return "PPM of more than 8 bits as text; save it as PNG"
    return ""


def _raw_kind(tags: Any) -> str | None:
    """The kind of a camera's raw file that is built like a TIFF: its first picture is a thumbnail. None for a plain TIFF."""
    if _DNG_VERSION in tags:
        return "DNG"
    if tags.get(_NEW_SUBFILE, 0) & _REDUCED and _SUB_IFDS in tags:
        make = str(tags.get(_MAKE, "")).upper().split(" ")[0]
        return _RAW_NAMES.get(make, "TIFF with a thumbnail first")
    return None


def is_small_copy(image: Any) -> bool:
    """Whether the page that a TIFF is at says that it is a smaller copy of another one."""
    return bool(image.tag_v2.get(_NEW_SUBFILE, 0) & _REDUCED)


def depth_of(image: Image, content: bytes) -> int:
    """8 or 16: the bits a channel that the PNG of `readable_by_graph` has.

    Args:
        image: Of `open_image`.
        content: The file.
    """
    mode = str(image.mode)
    if mode.startswith("I"):
        return 16
    if image.format == "PPM":
        return 16 if mode == "RGB" and pnm_maximum(image) > 255 else 8
    return 16 if mode in ("RGB", "RGBA") and image.format == "TIFF" and sample_bits(image) > 8 else 8


def _jpeg_2000_bits(content: bytes) -> int:
    """The precision of the first component, from the codestream's SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    at = content.find(b"\xff\x4f\xff\x51")
    return (content[at + 42] & 0x7F) + 1 if 0 <= at < len(content) - 42 else 8


def _as_png(image: Image, content: bytes) -> bytes:
    if trouble := why_not_converted(image, content):
        raise BadImageError(trouble)
    try:
        if depth_of(image, content) == 16:
            return write_deep_png(deep_values(image, content))
        return _write_png(image)
    except Exception as error:  # what Pillow's decoders raise depends on what is damaged
        raise BadImageError(f"damaged: {error}") from error


def _write_png(image: Image) -> bytes:
    from PIL import Image, ImageOps

    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    pixels = np.asarray(ImageOps.exif_transpose(image).convert(mode))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)  # of an array: no profile or EXIF block goes with it
    return buffer.getvalue()


def largest_value(content: bytes) -> int:
    """The largest value of a file of 16 bits a channel, 0..65535: a PNG, or one that is converted.

    Raises:
        BadImageError: It is damaged.
    """
    from PIL import Image

    is_png = content.startswith(b"\x89P")
    try:
        with Image.open(io.BytesIO(content)) if is_png else open_image(content) as image:
            if is_png and image.mode in ("RGB", "RGBA") and image.tile[0][3] == "LA;16B":
                return int(np.asarray(image)[..., 0].max()) * 257  # Pillow keeps the high byte, and that decides the bits
            return int(deep_values(image, content).max())
    except BadImageError:
        raise
    except Exception as error:
        raise BadImageError(f"damaged: {error}") from error
