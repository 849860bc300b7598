"""The golden images: drawn files of every kind that is decoded, on which every export has to say what the model says.

They need no data. Formats, sizes, colour, grey and alpha, turned by EXIF, one of each that has ever made decoders disagree.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZES = {"square": (64, 64), "tall": (33, 200), "wide": (211, 97), "large": (320, 240)}
_ENCODINGS = (
    *(("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P")),
    *(("GIF", "P"), ("BMP", "RGB"), ("BMP", "P"), ("WEBP", "RGB")),
)
_ORIENTATION = 0x0112
_LEAST = 1


@functools.cache
def golden_images() -> dict[str, bytes]:
    """Contents of drawn image files by name, the same in every process with the same Pillow.

    Example:

    >>> from tfl.modalities.image.golden import golden_images
    >>> sorted({name.split("-")[0] for name in golden_images()})
    ['bmp', 'gif', 'jpeg', 'png', 'webp']
    """
    pictures = {size: _draw(*sides, seed=seed) for seed, (size, sides) in enumerate(_SIZES.items())}
    found = {f"jpeg-rgb-{size}": _encoded(picture, "JPEG", quality=90) for size, picture in pictures.items()}
    for kind, mode in _ENCODINGS:
        found.setdefault(f"{kind.lower()}-{mode.lower()}-wide", _encoded(_in_mode(pictures["wide"], mode), kind))
    for orientation in range(2, 9):
        found[f"jpeg-turned-{orientation}"] = _encoded(pictures["wide"], "JPEG", exif=_exif(orientation))
    found["png-rgb-one-pixel"] = _encoded(pictures["square"].resize((_LEAST, _LEAST)), "PNG")
    return {f"{name}.{name.split('-')[0].replace('jpeg', 'jpg')}": content for name, content in found.items()}


def _draw(width: int, height: int, *, seed: int) -> Image:
    """Waves of colour with a little noise: smooth as a photo, and different in each corner."""
    from PIL import Image

    random = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height))).reshape(2, -1)
    waves = np.sin(random.uniform(0, 0.1, (3, 2)) @ at + seed).T.reshape(height, width, 3)
    pixels = 127 + 90 * waves + random.normal(0, 6, waves.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))


def _in_mode(picture: Image, mode: str) -> Image:
    if mode != "RGBA":
        return picture.convert(mode)
    alpha = picture.convert("L")
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture


def _exif(orientation: int) -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif


def _encoded(picture: Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
