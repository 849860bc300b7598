"""Formats that TensorFlow does not decode come to the right pixels, or are refused with the reason."""

from __future__ import annotations

import builtins
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from image_files import class_folders, deep, encoded, heic, noise, picture, tiff
from PIL import Image

import tfl
from tfl.data.pipeline import make_dataset
from tfl.data.source import load_source
from tfl.errors import BadImageError
from tfl.modalities.image.convert import in_graph, largest_value, readable_by_graph
from tfl.modalities.image.decode import decode_image
from tfl.modalities.image.headers import FORMATS, read_header
from tfl.modalities.image.modality import ImageModality

RGB = noise(7, 24)
GREY = RGB.convert("L")
LOSSLESS = {
    "tiff": (encoded(RGB, "TIFF"), RGB),
    "tiff, lzw": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "tiff, deflate": (encoded(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB),
    "tiff, packbits": (encoded(RGB, "TIFF", compression="packbits"), RGB),
    "bigtiff": (encoded(RGB, "TIFF", big_tiff=True), RGB),
    "tiff, big endian": (tiff(np.asarray(RGB), photometric="rgb", byteorder=">"), RGB),
    "tiff, separate planes": (tiff(np.asarray(RGB).transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), RGB),
    "tiff, tiles": (tiff(np.asarray(RGB), photometric="rgb", tile=(16, 16)), RGB),
    "tiff, grey": (encoded(GREY, "TIFF"), GREY),
    "tiff, white is zero": (tiff(255 - np.asarray(GREY), photometric="miniswhite"), GREY),
    "tiff, black and white": (encoded(RGB.convert("1"), "TIFF"), RGB.convert("1")),
    "tiff, fax": (encoded(RGB.convert("1"), "TIFF", compression="group4"), RGB.convert("1")),
    "tiff, palette": (encoded(RGB.quantize(16), "TIFF"), RGB.quantize(16)),
    "tiff, alpha": (encoded(RGB.convert("RGBA"), "TIFF"), RGB),
    "tiff, grey and alpha": (encoded(GREY.convert("LA"), "TIFF"), GREY),
    "tiff, cmyk": (encoded(RGB.convert("CMYK"), "TIFF"), RGB.convert("CMYK")),
    "jpeg 2000": (encoded(RGB, "JPEG2000"), RGB),
    "jpeg 2000, bare": (encoded(RGB, "JPEG2000", no_jp2=True), RGB),
    "jpeg 2000, grey": (encoded(GREY, "JPEG2000"), GREY),
    "jpeg 2000, alpha": (encoded(RGB.convert("RGBA"), "JPEG2000"), RGB),
    "ppm": (encoded(RGB, "PPM"), RGB),
    "pgm": (encoded(GREY, "PPM"), GREY),
    "pbm": (encoded(RGB.convert("1"), "PPM"), RGB.convert("1")),
    "pgm as text": (b"P2\n# by hand\n2 2\n255\n1 2\n3 4\n", Image.fromarray(np.array([[1, 2], [3, 4]], np.uint8))),
}


def pixels_of(contents: bytes, bits: int | None = None) -> np.ndarray:
    pixels: np.ndarray = decode_image(tf.constant(readable_by_graph(contents)), bits).numpy()
    return pixels


@pytest.mark.parametrize("name", LOSSLESS)
def test_files_without_loss_keep_every_pixel(name: str) -> None:
    contents, expected = LOSSLESS[name]
    assert not read_header(contents).trouble and read_header(contents).bits == 8
    np.testing.assert_array_equal(pixels_of(contents), np.asarray(expected.convert("RGB")))


@pytest.mark.parametrize("contents", [encoded(picture(), "AVIF", quality=95), heic(picture())], ids=["avif", "heic"])
def test_photos_of_phones_are_nearly_what_was_encoded(contents: bytes) -> None:
    header = read_header(contents)
    assert (header.kind in FORMATS, header.width, header.height) == (True, 60, 40)
    assert np.abs(pixels_of(contents).astype(int) - np.asarray(picture())).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_what_the_graph_reads_is_left_as_it_is(kind: str) -> None:
    contents = encoded(RGB, kind)
    assert in_graph(contents) and readable_by_graph(contents) is contents


DEEP = deep()
COLOURS = deep(colour=True)
SIXTEEN = {
    "png": (encoded(Image.fromarray(DEEP), "PNG"), DEEP),
    "tiff": (encoded(Image.fromarray(DEEP), "TIFF"), DEEP),
    "tiff, deflate, big endian": (tiff(DEEP, photometric="minisblack", compression="zlib", byteorder=">"), DEEP),
    "tiff, white is zero": (tiff(65535 - DEEP, photometric="miniswhite"), DEEP),
    "pgm": (encoded(Image.fromarray(DEEP), "PPM"), DEEP),
    "pgm, white is 4095": (b"P5 30 24 4095\n" + deep(bits=12).astype(">u2").tobytes(), deep(bits=12) / 4095 * 65535),
    "jpeg 2000": (encoded(Image.fromarray(DEEP), "JPEG2000"), DEEP),
    "tiff, colour": (tiff(COLOURS, photometric="rgb"), COLOURS),
    "tiff, colour, deflate": (tiff(COLOURS, photometric="rgb", compression="zlib"), COLOURS),
    "tiff, colour, big endian": (tiff(COLOURS, photometric="rgb", byteorder=">"), COLOURS),
    "ppm": (b"P6 30 24 65535\n" + COLOURS.astype(">u2").tobytes(), COLOURS),
}


@pytest.mark.parametrize("name", SIXTEEN)
def test_16_bits_come_exactly_to_the_graph(name: str) -> None:
    contents, expected = SIXTEEN[name]
    assert read_header(contents).bits == 16 and largest_value(contents) == np.max(expected)
    found = tf.io.decode_png(readable_by_graph(contents), channels=3, dtype=tf.uint16).numpy()
    expected = np.rint(expected if np.ndim(expected) == 3 else np.repeat(expected[..., None], 3, axis=-1))
    np.testing.assert_array_equal(found, expected.astype(np.uint16))
    np.testing.assert_array_equal(pixels_of(contents), found >> 8)


@pytest.mark.slow
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_the_bits_in_use_become_the_whole_range(bits: int, colour: bool, kind: str) -> None:
    values = deep(bits=bits, colour=colour)
    contents = tiff(values, photometric="rgb" if colour else "minisblack")
    if kind == "png":
        contents = readable_by_graph(contents)
    expected = values >> (bits - 8)
    expected = expected if colour else np.repeat(expected[..., None], 3, axis=-1)
    np.testing.assert_array_equal(pixels_of(contents, bits), expected)
    assert pixels_of(contents, bits).max() == 255


@pytest.mark.slow
def test_larger_values_than_the_bits_allow_are_white() -> None:
    contents = encoded(Image.fromarray(np.array([[4095, 4096], [65535, 0]], np.uint16)), "PNG")
    assert pixels_of(contents, 12)[..., 0].tolist() == [[255, 255], [255, 0]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_files_of_8_bits_do_not_change(kind: str) -> None:
    contents = encoded(RGB, kind)
    np.testing.assert_array_equal(pixels_of(contents, 12), pixels_of(contents))


def heading(tags: dict[int, Any]) -> bytes:
    """A TIFF with these tags, as a camera's raw file has them."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    return encoded(RGB, "TIFF", tiffinfo=directory)


def jpeg_2000_of_16_bits() -> bytes:
    """A colour codestream whose header is changed to promise 16 bits a component (ISO/IEC 15444-1, A.5.1)."""
    contents = bytearray(encoded(RGB, "JPEG2000", no_jp2=True))
    for component in range(3):
        contents[42 + 3 * component] = 15
    return bytes(contents)


REFUSED = {
    "Lab colours": (tiff(np.asarray(RGB), photometric="cielab"), "Lab"),
    "16 bits in CMYK": (tiff(np.zeros((8, 8, 4), np.uint16), photometric="separated"), "CMYK"),
    "JPEG 2000 of 16 bits in colour": (jpeg_2000_of_16_bits(), "JPEG 2000 of 16 bits in colour"),
    "floating point": (encoded(RGB.convert("F"), "TIFF"), "floating-point"),
    "32 bits": (encoded(RGB.convert("I"), "TIFF"), "32-bit or signed"),
    "signed 16 bits": (tiff(DEEP.astype(np.int16)), "32-bit or signed"),
    "five channels": (tiff(np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig"), "channels"),
    "16-bit colours in planes": (tiff(COLOURS.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), "planes"),
    "16-bit colours in packed planes": (
        tiff(COLOURS.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", compression="zlib"),
        "planes",
    ),
    "a DNG": (tiff(np.asarray(RGB), photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "DNG"),
    "a NEF": (heading({254: 1, 271: "NIKON CORPORATION", 330: 8}), "NEF"),
    "a cut TIFF": (encoded(RGB, "TIFF")[:40], "TIFF|Corrupt"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_read_wrongly_is_refused_with_the_reason(name: str) -> None:
    contents, words = REFUSED[name]
    header = read_header(contents)
    assert header.trouble in ("unsupported_format", "undecodable") and re.search(words, header.detail)
    with pytest.raises(BadImageError, match=words):
        readable_by_graph(contents)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "JPEG2000", "PPM"])
def test_a_file_without_its_end_is_refused(kind: str) -> None:
    contents = encoded(noise(3, 64), kind)
    with pytest.raises(BadImageError):
        readable_by_graph(contents[: len(contents) // 2])


def test_an_absent_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    contents, import_it = heic(picture()), builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pillow_heif"):
            raise ImportError(name)
        return import_it(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert read_header(contents).trouble == "unsupported_format"
    assert read_header(contents).detail == "HEIC; reading it needs: pip install 'tfl[heif]'"


@pytest.mark.slow
def test_training_reads_every_format(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1})
    files = {"x.tif": encoded(RGB, "TIFF"), "x.avif": encoded(RGB, "AVIF"), "x.heic": heic(RGB), "x.ppm": encoded(RGB, "PPM")}
    files |= {"x.jp2": encoded(RGB, "JPEG2000"), "x": encoded(RGB, "JPEG"), "y.tif": SIXTEEN["tiff"][0]}
    for name, contents in files.items():
        (tmp_path / "a" / name).write_bytes(contents)
    data = tfl.Data(str(tmp_path), image_size=(24, 30), bits=16)
    examples = load_source(data)
    assert examples.paths is not None and len(examples) == 9
    [images] = [images.numpy() for images, _ in make_dataset(examples, np.arange(9), modality=ImageModality(data), batch_size=9)]
    for path, image in zip(examples.paths.tolist(), images, strict=True):
        expected = pixels_of(Path(path).read_bytes(), 16)
        if expected.shape == image.shape:
            np.testing.assert_array_equal(image, expected)
    with Image.open(io.BytesIO(files["x.tif"])) as shown:
        assert shown.size == (24, 24)
