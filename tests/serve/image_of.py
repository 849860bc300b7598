"""Drawn image files, good and hostile."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def jpeg(*, seed=0, size=(40, 30)):
    """A JPEG of colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype="uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def png_bomb(width=60_000, height=60_000):
    """A PNG that promises a picture it does not have."""
    chunk = b"IHDR" + struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def gif_of(frames, size=(100, 100)):
    """An animation."""
    pictures = [Image.new("RGB", size, (80 * at, 0, 255 - 80 * at)) for at in range(frames)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:])
    return buffer.getvalue()
