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
