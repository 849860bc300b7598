"""Reading an image with Pillow and NumPy, as the README of an export without a decoder does it.

Formats other than SavedModel take pixels. Whoever has no TensorFlow decodes with something else, and Pillow resizes in whole
numbers after each direction where TensorFlow rounds once: pixels differ by a little, and the certificate says what that does.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RESIZED = {
    "stretch": "image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
    "crop": "ImageOps.fit(image, ({width}, {height}), Image.Resampling.BILINEAR)",
    # just short of the middle: of an odd number of rows to add, TensorFlow puts the smaller half first
    "pad": "ImageOps.pad(image, ({width}, {height}), Image.Resampling.BILINEAR, centering=(0.4999, 0.4999))",
}
_OPENED = """\
image = ImageOps.exif_transpose(Image.open({file})).convert("RGB")
"""
_OPENED_DEEP = """\
image = ImageOps.exif_transpose(Image.open({file}))
if image.mode.startswith("I"):  # grey of 16 bits, of which {bits} are in use
    image = Image.fromarray(np.minimum(np.asarray(image) // {step}, 255).astype("uint8"))
image = image.convert("RGB")
"""
_READ = """\
pixels = np.asarray({resized}, "float32")[None]
"""


def reading_lines(data: Data, *, file: str = '"photo.jpg"') -> str:
    """The lines of Python that make `pixels`, `(1, height, width, 3)` float32, of a file; they use Pillow and NumPy.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.pillow import reading_lines
    >>> print(reading_lines(tfl.Data("unused", image_size=(64, 96))))
    image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
    pixels = np.asarray(image.resize((96, 64), Image.Resampling.BILINEAR), "float32")[None]
    """
    height, width = data.settled_size
    bits = data.bits
    opened = _OPENED.format(file=file) if bits is None else _OPENED_DEEP.format(file=file, bits=bits, step=2 ** (bits - 8))
    return opened + _READ.format(resized=_RESIZED[data.fit].format(height=height, width=width))


def pillow_pixels(content: bytes, data: Data) -> NDArray[np.float32]:
    """`(height, width, 3)` float32, by the very lines that a README prints.

    Raises:
        OSError: Pillow cannot read it.
    """
    from PIL import Image, ImageOps

    scope: dict[str, Any] = {"Image": Image, "ImageOps": ImageOps, "np": np, "file": io.BytesIO(content)}
    exec(reading_lines(data, file="file"), scope)
    pixels: NDArray[np.float32] = scope["pixels"][0]
    return pixels
