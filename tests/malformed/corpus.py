"""Image files with something wrong, made by code: cut short, of false promises, of impossible sizes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from image_files import encoded, heic, noise
from PIL import Image

SIDE = 20
JPEG_XL = bytes.fromhex("ff0a0810b012080810005c004b12c58245801cbd31aa7081095d2a0e9f74d537bfe503")


def formats() -> dict[str, bytes]:
    """A small whole picture in each kind of file that tfl reads."""
    picture, frames = noise(1, SIDE), [noise(2, SIDE), noise(3, SIDE)]
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    return {
        "jpeg": encoded(picture, "JPEG", quality=80),
        "jpeg with exif": encoded(picture, "JPEG", exif=exif),
        "progressive jpeg": encoded(picture, "JPEG", progressive=True),
        "grey jpeg": encoded(picture.convert("L"), "JPEG"),
        "png": encoded(picture, "PNG"),
        "png with a palette": encoded(picture.quantize(64), "PNG"),
        "gif": encoded(picture.quantize(), "GIF"),
        "gif of three frames": encoded(picture, "GIF", save_all=True, append_images=frames),
        "bmp": encoded(picture, "BMP"),
        "bmp with a palette": encoded(picture.quantize(256), "BMP"),
        "webp": encoded(picture, "WEBP", quality=80),
        "lossless webp": encoded(picture, "WEBP", lossless=True),
        "webp of three frames": encoded(picture, "WEBP", save_all=True, append_images=frames),
        "png with exif": encoded(picture, "PNG", exif=exif),
        "webp with exif": encoded(picture, "WEBP", exif=exif),
        "tiff": encoded(picture, "TIFF", exif=exif),
        "packed tiff": encoded(picture, "TIFF", compression="tiff_lzw"),
        "tiff of 16 bits": encoded(deep, "TIFF"),
        "png of 16 bits": encoded(deep, "PNG"),
        "avif": encoded(picture, "AVIF"),
        "heic": heic(picture),
        "jpeg 2000": encoded(picture, "JPEG2000"),
        "ppm": encoded(picture, "PPM"),
        "pgm of 16 bits": encoded(deep, "PPM"),
    }


def cuts(content: bytes, step: int = 64) -> list[bytes]:
    """The content up to every `step`-th byte, and without its last byte."""
    return [content[:end] for end in range(step, len(content), step)] + [content[:-1]]


def png(width: int, height: int, *, data: bytes = b"") -> bytes:
    """A PNG that promises this size and holds what `data` says."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def gif(width: int, height: int, *, frames: int = 1) -> bytes:
    """A GIF that promises this size and this many frames, each of a few bytes."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * frames + b"\x3b"


def bmp(width: int, height: int, *, bits: int = 24) -> bytes:
    """A BMP that promises this size and has one pixel."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, width, height, 1, bits, 0, 4, 0, 0, 0, 0) + bytes(4)


def jpeg(width: int, height: int, *, more_scans: int = 0) -> bytes:
    """A JPEG whose frame header is changed to promise this size, its last scan repeated."""
    content = bytearray(encoded(noise(1, SIDE), "JPEG", progressive=True))
    at = content.index(b"\xff\xc2")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    last = content.rindex(b"\xff\xda")
    return bytes(content[:-2] + content[last:-2] * more_scans + content[-2:])


def jpeg_xl(width: int, height: int, *, boxed: bool = False) -> bytes:
    """The start of a JPEG XL file of this size, bare or in its container (ISO/IEC 18181-1 and -2)."""
    bits, at = 0, 0
    for value, count in ((0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30)):
        bits |= value << at
        at += count
    stream = b"\xff\x0a" + bits.to_bytes(16, "little")
    if not boxed:
        return stream
    boxes = b"\x00\x00\x00\x0cJXL \r\n\x87\n" + struct.pack(">I4s8s", 16, b"ftyp", b"jxl \0\0\0\0")
    return boxes + struct.pack(">I4sI", len(stream) + 12, b"jxlp", 0) + stream


def tiff(width: int, height: int) -> bytes:
    """A TIFF that promises this size and has one byte of pixels."""
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IHH", 12, 0, 0) + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg_2000(width: int, height: int) -> bytes:
    """A bare JPEG 2000 codestream whose header is changed to promise this size (ISO/IEC 15444-1, A.5.1)."""
    content = bytearray(encoded(noise(1, SIDE), "JPEG2000", no_jp2=True))
    for at in (8, 24):  # of the image, and of its only tile
        content[at : at + 8] = struct.pack(">II", width, height)
    return bytes(content)


def hostile() -> dict[str, bytes]:
    """Files that must be refused by their first bytes, before anything is decompressed."""
    return {
        "png of 50000 pixels a side": png(50_000, 50_000),
        "png of two billion pixels a side": png(2**31 - 1, 2**31 - 1),
        "gif of 65535 pixels a side": gif(65_535, 65_535),
        "gif of a thousand large frames": gif(9_000, 9_000, frames=1000),
        "bmp of 40000 pixels a side": bmp(40_000, 40_000),
        "bmp of 40000 pixels a side with a palette": bmp(40_000, 40_000, bits=8),
        "jpeg of 65500 pixels a side": jpeg(65_500, 65_500),
        "jpeg of a thousand large scans": jpeg(9_000, 9_000, more_scans=1000),
        "jpeg xl of a billion pixels a side": jpeg_xl(2**30, 2**30),
        "boxed jpeg xl of 50000 pixels a side": jpeg_xl(50_000, 50_000, boxed=True),
        "tiff of 50000 pixels a side": tiff(50_000, 50_000),
        "tiff of four billion pixels a side": tiff(2**32 - 1, 2**32 - 1),
        "ppm of 50000 pixels a side": b"P6 50000 50000 255\n" + bytes(30),
        "pgm of 16 bits and 50000 pixels a side": b"P5 50000 50000 65535\n" + bytes(30),
        "jpeg 2000 of 50000 pixels a side": jpeg_2000(50_000, 50_000),
        "tiff of no pixels": tiff(0, 0),
        "ppm of no pixels": b"P6 0 0 255\n",
        "tiff whose directory is itself": b"II*\0" + struct.pack("<I", 4) + bytes(20),
        "only an avif's start": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(60),
        "only a heic's start": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
        "only a jpeg 2000's start": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "png of no pixels": png(0, 0),
        "gif of no pixels": gif(0, 0),
        "bmp of no pixels": bmp(0, 0),
        "bmp of less than no pixels": bmp(-5, -(2**31)),
        "jpeg of no pixels": jpeg(0, 0),
        "text": b"this is a text, not a photo\n" * 20,
        "nothing": b"",
        "zeros": bytes(5000),
        "a png's start on a jpeg": b"\x89PNG\r\n\x1a\n" + formats()["jpeg"],
        "a jpeg's start on a png": b"\xff\xd8\xff" + formats()["png"],
        "only a bmp's start": b"BM" + bytes(60),
        "only a webp's start": b"RIFF\x40\0\0\0WEBPVP8 " + bytes(60),
        "only a jpeg xl's start": b"\xff\x0a" + bytes(3),
        "a jpeg xl of boxes that lead nowhere": b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(64),
        "a zip": b"PK\x03\x04" + bytes(100),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
    }


def odd() -> dict[str, bytes]:
    """Whole files of sizes that nothing expects, which decode all the same."""
    return {
        "one row of 60000": encoded(Image.new("RGB", (60_000, 1), "red"), "PNG"),
        "one column of 100000": png(1, 100_000, data=(b"\0" + b"\xff\0\0") * 100_000),
        "one pixel": encoded(Image.new("RGB", (1, 1)), "GIF"),
        "trailing bytes": formats()["jpeg"] + bytes(3000),
    }
