"""Image files of more than 8 bits a channel: their exact values, and a PNG that keeps them."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284  # tags of TIFF 6.0
_INVERTED, _SEPARATE = 0, 2


def sample_bits(image: Image) -> int:
    """The bits a channel that a TIFF states; 8 for any other file."""
    return int(max(getattr(image, "tag_v2", {}).get(_BITS, (8,))))


def pnm_maximum(image: Image) -> int:
    """The value that means white; Pillow's raw reader is for 255 and, in grey, for 65535."""
    (tile,) = image.tile
    return int(tile[3][1]) if tile[0] in ("ppm", "ppm_plain") else 255


def deep_values(image: Image, content: bytes) -> NDArray[np.uint16]:
    """The upright pixels of an image of more than 8 bits a channel, `(height, width)` or `(height, width, 3)` in 0..65535.

    Args:
        image: Of `open_image`, or of a PNG file, with 16 bits.
        content: The file.
    """
    from PIL import ImageOps

    if image.mode in ("RGB", "RGBA"):
        return _deep_colours(image, content)
    scale = 1 << (16 - sample_bits(image)) if image.format == "TIFF" and 8 < sample_bits(image) < 16 else 1
    is_inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _INVERTED
    image.load()
    values = np.clip(np.asarray(ImageOps.exif_transpose(image), np.int64), 0, 65535) * scale
    return (65535 - values if is_inverted else values).astype(np.uint16)


def _deep_colours(image: Image, content: bytes) -> NDArray[np.uint16]:
    """Pillow keeps the high byte of 16-bit colours; read once more in the other byte order, it keeps the low one."""
    from PIL import Image, ImageOps

    if image.format == "PPM":
        return _pnm_colours(image, content)
    rawmode = deep_rawmode(image)
    if rawmode is None:
        raise ValueError("16-bit colours that are not interleaved")
    other = Image.open(io.BytesIO(content), formats=[str(image.format)])
    swapped = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[rawmode[-1]]
    other.tile = [_with_rawmode(tile, rawmode[:-1] + swapped) for tile in other.tile]
    high, low = (np.asarray(ImageOps.exif_transpose(one).convert("RGB"), np.uint16) for one in (image, other))
    return ((high << 8) | low).astype(np.uint16)


def deep_rawmode(image: Any) -> str | None:
    """How Pillow unpacks 16-bit colours that lie beside each other, such as `RGB;16L`; None for what it unpacks otherwise.

    Pillow 13 misreads 16-bit colours of a TIFF that lie in separate planes.
    """
    if getattr(image, "tag_v2", {}).get(_PLANES) == _SEPARATE:
        return None
    found = {tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in image.tile}
    rawmode = str(found.pop()) if len(found) == 1 else ""
    return rawmode if re.fullmatch(r"(RGB|RGBA|RGBX);16[BLN]", rawmode) else None


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    return tile._replace(args=rawmode if isinstance(tile[3], str) else (rawmode, *tile[3][1:]))


def _pnm_colours(image: Image, content: bytes) -> NDArray[np.uint16]:
    """A PPM of two bytes a value, the higher first (netpbm.sourceforge.net/doc/ppm.html); its maximum means white."""
    (width, height), start = image.size, image.tile[0][2]
    values = np.frombuffer(content, ">u2", 3 * width * height, start).reshape(height, width, 3).astype(np.int64)
    scaled = (values * 65535 + pnm_maximum(image) // 2) // pnm_maximum(image)
    return np.minimum(scaled, 65535).astype(np.uint16)


def write_deep_png(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel: Pillow writes none in colour.

    Args:
        values: `(height, width)` or `(height, width, 3)`.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.convert import write_deep_png
    >>> write_deep_png(np.zeros((2, 2), np.uint16))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width = values.shape[:2]
    colour = 2 if values.ndim == 3 else 0
    rows = np.ascontiguousarray(values, ">u2").reshape(height, -1).view(np.uint8)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # no filter
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b""))
    packed = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
