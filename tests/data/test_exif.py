"""The orientation that graph operations read and apply is the one that Pillow reads and applies."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from image_files import encoded, picture, with_exif
from PIL import Image, ImageOps

from tfl.data.exif import exif_orientation
from tfl.data.pipeline import decode_image

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
