"""The orientation that graph operations read and apply is the one that Pillow reads and applies."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from image_files import encoded, heic, picture, turned, with_exif
from PIL import Image, ImageOps

from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.decode import decode_image
from tfl.modalities.image.exif import exif_orientation, png_orientation, webp_orientation

JPEG = encoded(picture(), "JPEG", quality=95)
XMP = b"\xff\xe1" + struct.pack(">H", 40_002) + b"http://ns.adobe.com/xap/1.0/\0" + b"x" * (40_000 - 29)


def by_pillow(contents: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGB"))


@pytest.mark.parametrize("big_endian", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation: int, big_endian: bool) -> None:
    contents = with_exif(JPEG, orientation, big_endian=big_endian)
    image = decode_image(tf.constant(contents)).numpy()
    assert image.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    np.testing.assert_array_equal(image, by_pillow(contents))


@pytest.mark.parametrize("big_endian", [True, False])
def test_an_orientation_stored_as_a_long_counts(big_endian: bool) -> None:
    assert exif_orientation(tf.constant(with_exif(JPEG, 6, big_endian=big_endian, kind=4))).numpy() == 6


def test_the_block_that_pillow_writes_is_understood() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    exif[0x010F] = "a camera"
    contents = encoded(picture(), "JPEG", exif=exif)
    np.testing.assert_array_equal(decode_image(tf.constant(contents)).numpy(), by_pillow(contents))
    assert exif_orientation(tf.constant(contents)).numpy() == 8


def test_other_segments_before_it_are_walked_over() -> None:
    turned = with_exif(JPEG, 3, big_endian=False)
    assert exif_orientation(tf.constant(turned[:2] + XMP * 3 + turned[2:])).numpy() == 3


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(JPEG, id="no exif"),
        pytest.param(with_exif(JPEG, 0, big_endian=False), id="zero"),
        pytest.param(with_exif(JPEG, 9, big_endian=True), id="nine"),
        pytest.param(with_exif(JPEG, 2**31 + 1, big_endian=True, kind=4), id="huge"),
        pytest.param(with_exif(JPEG, 6, big_endian=True)[:30], id="cut inside"),
        pytest.param(b"\xff\xd8\xff", id="three bytes"),
        pytest.param(JPEG[:2] + b"\xff\xe1\x00\x08Exif\0\0" + JPEG[2:], id="empty segment"),
        pytest.param(JPEG[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + JPEG[2:], id="directory far outside"),
        pytest.param(JPEG[:2] + b"\xff\xe1\x00\x12Exif\0\0II*\0\x08\0\0\0\xff\xff" + JPEG[2:], id="too many entries"),
    ],
)
def test_what_states_no_valid_orientation_is_upright(contents: bytes) -> None:
    assert exif_orientation(tf.constant(contents)).numpy() == 1


def test_the_text_of_an_exif_block_inside_the_pixels_is_not_taken_for_one() -> None:
    thumbnail = with_exif(JPEG, 6, big_endian=True)[2:100]
    assert exif_orientation(tf.constant(JPEG + thumbnail)).numpy() == 1


def eight(kind: str, **options: Any) -> list[Any]:
    return [pytest.param(turned(picture(), kind, which, **options), which, id=f"{kind} {which}") for which in range(1, 9)]


def upright(contents: bytes) -> np.ndarray:
    return decode_image(tf.constant(readable_by_graph(contents))).numpy()


@pytest.mark.parametrize(
    ("contents", "orientation"),
    [
        *eight("PNG"),
        *eight("WEBP", lossless=True),
        *eight("MPO", save_all=True, append_images=[picture()]),
        *eight("TIFF"),
        *eight("TIFF", compression="tiff_lzw"),
        *eight("AVIF"),
    ],
)
def test_every_container_of_exif_is_turned_as_pillow_turns_it(contents: bytes, orientation: int) -> None:
    image = upright(contents)
    assert image.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    np.testing.assert_array_equal(image, by_pillow(contents))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_photo_is_turned_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = heic(picture(), exif=exif.tobytes())
    original = Image.fromarray(np.asarray(picture()))
    original.info["exif"] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(original)).astype(int)
    image = upright(contents)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 3  # of another turn it is above 40


PIXELS = np.array([[[255, 0, 0], [0, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
TURNS = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.transpose(1, 0, 2),
    6: np.rot90(PIXELS, -1),
    7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PIXELS),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_the_decoder_of_jpeg_xl_turns_the_image_once(orientation: int) -> None:
    """The file states its orientation in three bits of its header, ISO/IEC 18181-1, D.3.1."""
    start, rest = "ff0a0840", "c4040800010048004b188b15c241e39cbd400000103d0578c412"
    contents = bytes.fromhex(f"{start}{2 * orientation - 1:02x}{rest}")
    np.testing.assert_array_equal(upright(contents), TURNS[orientation])


def png_with(contents: bytes, *chunks: tuple[bytes, bytes], behind: bool) -> bytes:
    """`contents` with chunks before or behind its pixels."""
    packed = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    at = contents.index(b"IEND") - 4 if behind else contents.index(b"IDAT") - 4
    return contents[:at] + packed + contents[at:]


def exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_the_chunk_of_a_png_counts_wherever_it_stands(behind: bool, prefix: bytes) -> None:
    plain = encoded(picture(), "PNG")
    contents = png_with(plain, (b"tEXt", b"Comment\0eXIf"), (b"eXIf", prefix + exif_block(6)), behind=behind)
    assert png_orientation(tf.constant(contents)).numpy() == 6
    np.testing.assert_array_equal(upright(contents), np.rot90(np.asarray(picture()), -1))


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(encoded(picture(), "PNG"), id="no exif"),
        pytest.param(png_with(encoded(picture(), "PNG"), (b"tEXt", b"Comment\0eXIf"), behind=False), id="only the word"),
        pytest.param(png_with(encoded(picture(), "PNG"), (b"eXIf", b""), behind=False), id="empty chunk"),
        pytest.param(png_with(encoded(picture(), "PNG"), (b"eXIf", b"II*\0\xff\xff\xff\xff"), behind=False), id="far outside"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIfMM", id="promises four gigabytes"),
        pytest.param(b"\x89PNG\r\n\x1a\neXIf", id="cut inside a chunk"),
    ],
)
def test_a_png_that_states_no_valid_orientation_is_upright(contents: bytes) -> None:
    assert png_orientation(tf.constant(contents)).numpy() == 1


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(encoded(picture(), "WEBP"), id="no exif"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8X", id="cut in its header"),
        pytest.param(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x08" + bytes(9) + b"EXIF\xff\xff\xff\xffII", id="cut in the block"),
    ],
)
def test_a_webp_that_states_no_valid_orientation_is_upright(contents: bytes) -> None:
    assert webp_orientation(tf.constant(contents)).numpy() == 1


@pytest.mark.parametrize("behind", [False, True])
def test_the_chunk_of_a_large_png_is_found(behind: bool) -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 600, 3)).astype(np.uint8))
    contents = png_with(encoded(large, "PNG"), (b"eXIf", exif_block(3)), behind=behind)
    assert len(contents) > 3 * 2**18
    assert png_orientation(tf.constant(contents)).numpy() == 3


@pytest.mark.slow
def test_a_png_of_very_many_chunks_is_walked_over_in_part() -> None:
    many = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * 500_000
    contents = png_with(many + encoded(picture(), "PNG")[8:], (b"eXIf", exif_block(3)), behind=False)
    assert tf.function(png_orientation)(tf.constant(contents)).numpy() == 1  # a graph walks faster


def test_an_animated_webp_is_turned() -> None:
    contents = turned(picture(), "WEBP", 8, save_all=True, append_images=[picture(40, 60).transpose(0)], lossless=True)
    np.testing.assert_array_equal(upright(contents), np.rot90(np.asarray(picture())))
