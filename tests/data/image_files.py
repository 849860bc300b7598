"""Small image files for the data tests: a picture with sharp corners that differ, encoded in many ways."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(height: int = 40, width: int = 60) -> Image.Image:
    """A smooth picture with no symmetry, so that every turn of it is another picture."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    channels = [x * 255 / width, y * 255 / height, (x + 2 * y) * 255 / (width + 2 * height)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(seed: int, size: int = 12) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8))


def class_folders(root: Path, counts: dict[str, int], *, kind: str = "png", start: int = 0) -> Path:
    """`counts[name]` different images in `root/name`."""
    seed = start
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise(seed).save(root / name / f"{index:03d}.{kind}")
            seed += 1
    return root


def with_exif(jpeg: bytes, orientation: int, *, big_endian: bool, kind: int = 3, extra_entries: int = 2) -> bytes:
    """`jpeg` with an Exif segment of our own making right after the start of the image."""
    mark = ">" if big_endian else "<"
    entries = [struct.pack(mark + "HHI4s", 0x010F + index, 2, 4, b"abc\0") for index in range(extra_entries)]
    value = struct.pack(mark + "HH", orientation, 0) if kind == 3 else struct.pack(mark + "I", orientation)
    entries.append(struct.pack(mark + "HHI", 0x0112, kind, 1) + value)
    body = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(mark + "IH", 8, len(entries)) + b"".join(entries) + b"\0\0\0\0"
    segment = b"Exif\0\0" + body
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def deep(height: int = 24, width: int = 30, *, bits: int = 16, colour: bool = False) -> np.ndarray:
    """Values of so many bits in uint16, in no order, with both ends of the range."""
    shape = (height, width, 3) if colour else (height, width)
    values = np.random.default_rng(bits).integers(0, 2**bits, shape).astype(np.uint16)
    values.flat[0], values.flat[1] = 0, 2**bits - 1
    return values


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A TIFF of kinds that Pillow does not write; scikit-image brings the library."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def turned(image: Image.Image, kind: str, orientation: int, **options: Any) -> bytes:
    """A file whose EXIF block states the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif, **options)


def heic(image: Image.Image, **options: Any) -> bytes:
    """As a phone writes it; encoders are not lossless."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    return buffer.getvalue()
