"""Bad files are found by their content, all named in one message, and left out only when that is asked for."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from image_files import class_folders, deep, encoded, noise, picture
from PIL import Image

import tfl
from tfl.data.examples import Examples
from tfl.data.pipeline import make_dataset
from tfl.data.source import load_source
from tfl.errors import BadImageError, DataError
from tfl.modalities.image.bits import refuse_unused_bits
from tfl.modalities.image.modality import ImageModality


def audit(examples: Examples, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises this size and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


BAD = {
    "zero_bytes": ("empty.jpg", b""),
    "not_an_image": ("text.jpg", b"this is a text, not a photo\n" * 20),
    "too_small": ("dot.png", encoded(Image.new("RGB", (1, 1)), "PNG")),
    "too_large": ("wall.png", png_header(20_000, 20_000)),
    "unsupported_format": ("layers.psd", b"8BPS\x00\x01" + bytes(100)),
    "undecodable": ("half.jpg", encoded(picture(200, 300), "JPEG")[:1500]),
}
ALSO_BAD = {
    "large between the limits": ("too_large", png_header(11_000, 10_000)),
    "progressive jpeg cut short": ("undecodable", encoded(noise(5, 80), "JPEG", progressive=True)[:3000]),
    "png cut short": ("undecodable", encoded(noise(5, 40), "PNG")[:-400]),
    "gif cut short": ("undecodable", encoded(noise(5, 40).quantize(), "GIF")[:-400]),
    "html": ("not_an_image", b"<!DOCTYPE html><html>404</html>"),
    "1-bit bmp": ("undecodable", encoded(picture().convert("1"), "BMP")),
    "binary": ("not_an_image", bytes(range(256)) * 4),
    "only a jpeg's start": ("undecodable", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path, {"a": 4, "b": 4})


def spoil(folder: Path, name: str, content: bytes) -> str:
    (folder / "a" / name).write_bytes(content)
    return str(folder / "a" / name)


def load(folder: Path) -> Examples:
    return load_source(tfl.Data(str(folder)))


def test_clean_files_pass_with_fingerprints(folder: Path) -> None:
    examples = load(folder)
    result = audit(examples, on_bad="error")
    assert result.findings == [] and result.kept.tolist() == list(range(8)) and result.cached is None
    assert result.fingerprints == tuple(examples.fingerprint_of(index) for index in range(8))


@pytest.mark.slow
def test_every_bad_file_is_named_in_one_error(folder: Path) -> None:
    names = [spoil(folder, name, content) for name, content in BAD.values()]
    with pytest.raises(BadImageError) as caught:
        audit(load(folder))
    message = str(caught.value)
    assert "6 of the 14 files" in message and "on_bad=skip" in message
    assert all(name in message for name in names)
    assert "a text, not a photo" in message and "20,000×20,000" in message and "1×1" in message


def test_bad_files_are_left_out_when_asked(folder: Path) -> None:
    names = {kind: spoil(folder, name, content) for kind, (name, content) in BAD.items()}
    result = audit(load(folder), on_bad="skip")
    assert len(result.examples) == 8 and not set(result.examples.paths) & set(names.values())
    assert {finding["kind"]: finding["files"] for finding in result.findings if finding["severity"] == "error"} == {
        kind: [name] for kind, name in names.items()
    }
    assert len(result.fingerprints) == 8 and len(result.kept) == 8


@pytest.mark.slow
def test_other_bad_files_are_told_apart(folder: Path) -> None:
    kinds = {spoil(folder, f"{name.replace(' ', '_')}.jpg", content): kind for name, (kind, content) in ALSO_BAD.items()}
    findings = audit(load(folder), on_bad="skip").findings
    assert {path: finding["kind"] for finding in findings for path in finding["files"]} == kinds


def test_a_file_that_vanished_is_named(folder: Path) -> None:
    examples = load(folder)
    (folder / "a" / "002.png").unlink()
    with pytest.raises(BadImageError, match=r"a/002.png cannot be read \(No such file"):
        audit(examples)


def test_many_bad_files_are_counted(folder: Path) -> None:
    for index in range(30):
        spoil(folder, f"bad{index:02d}.jpg", b"")
    with pytest.raises(BadImageError, match="30 of the 38 files") as caught:
        audit(load(folder))
    assert "and 20 more" in str(caught.value)


def test_a_folder_of_no_images_at_all_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.dat").write_text("nothing to see")
    for on_bad in ("error", "skip"):
        with pytest.raises(BadImageError, match="None of the 2 files"):
            audit(load(tmp_path), on_bad=on_bad)


def test_a_class_with_nothing_left_is_an_error(folder: Path) -> None:
    for file in (folder / "b").iterdir():
        file.write_bytes(b"")
    with pytest.raises(BadImageError, match="no image left: b"):
        audit(load(folder), on_bad="skip")


def test_a_mistyped_file_is_read_and_said(folder: Path) -> None:
    path = spoil(folder, "photo.jpg", encoded(picture(), "PNG"))
    result = audit(load(folder))
    assert len(result.examples) == 9
    assert [(finding["kind"], finding["severity"], finding["files"]) for finding in result.findings] == [
        ("mistyped", "info", [path])
    ]


@pytest.mark.slow
def test_the_pixels_of_the_pass_are_those_of_training(folder: Path) -> None:
    spoil(folder, "bad.jpg", b"")
    data = tfl.Data(str(folder), image_size=(10, 14), fit="pad")
    result = audit(load_source(data), on_bad="skip", data=data, keep=True)
    assert result.cached is not None and result.cached.alone.shape == (8, 10, 14, 3)
    for images, _ in make_dataset(result.examples, np.arange(8), modality=ImageModality(data), batch_size=8):
        np.testing.assert_array_equal(images.numpy(), result.cached[:])


def test_arrays_are_measured_and_fingerprinted() -> None:
    images = np.stack([np.asarray(noise(seed)) for seed in (1, 2, 1)])
    examples = Examples(class_names=("a", "b"), labels=[0, 1, 1], arrays=images, source="memory")
    data = tfl.Data("memory", image_size=(12, 12))
    result = audit(examples, data=data, keep=True)
    assert result.findings == [] and result.fingerprints[0] == result.fingerprints[2] != result.fingerprints[1]
    assert result.cached is not None
    np.testing.assert_array_equal(result.cached[:], images)
    with pytest.raises(DataError, match="at least 4×4"):
        audit(Examples(class_names=("a", "b"), labels=[0], arrays=np.zeros((1, 3, 9), np.uint8), source="memory"))


def test_exif_and_trailing_bytes_do_not_make_a_photo_bad(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    spoil(folder, "phone.jpg", encoded(picture(), "JPEG", exif=exif) + b"\0" * 50)
    assert audit(load(folder)).findings == []


def test_a_picture_of_several_frames_is_one_image(folder: Path) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "GIF", save_all=True, append_images=[picture().transpose(Image.Transpose.ROTATE_180)])
    spoil(folder, "film.gif", buffer.getvalue())
    assert len(audit(load(folder)).examples) == 9


def twelve_bits(folder: Path, *, largest: int = 4095) -> list[str]:
    """Two more images of 16 bits, whose values go up to `largest`."""
    names = []
    for number, name in enumerate(("a/deep.png", "b/deep.tif")):
        values = deep(bits=10)
        values[0, number] = largest
        Image.fromarray(values).save(folder / name)
        names.append(str(folder / name))
    return names


@pytest.mark.parametrize(
    ("largest", "bits", "effect"), [(900, 10, "nearly black"), (4095, 12, "nearly black"), (16_383, 14, "too dark")]
)
def test_16_bit_images_of_fewer_bits_are_found(folder: Path, largest: int, bits: int, effect: str) -> None:
    names = twelve_bits(folder, largest=max(largest, 1023))
    [finding] = audit(load(folder)).findings
    assert (finding["kind"], finding["severity"], finding["files"]) == ("unused_bits", "warning", names)
    assert f"values up to {max(largest, 1023):,} only ({bits} bits), and would be {effect}" in finding["note"]
    assert f"--set data.bits={bits}" in finding["note"]
    with pytest.raises(DataError, match=f"data.bits={bits}"):
        refuse_unused_bits([finding], str(folder))


@pytest.mark.parametrize(("largest", "bits"), [(32_768, None), (4095, 12), (4095, 16)])
def test_16_bit_images_whose_bits_are_known_are_not(folder: Path, largest: int, bits: int | None) -> None:
    twelve_bits(folder, largest=largest)
    assert audit(load(folder), bits=bits).findings == []


@pytest.mark.slow
def test_values_above_the_bits_are_named(folder: Path) -> None:
    names = twelve_bits(folder, largest=5000)
    with pytest.raises(BadImageError, match=r"deep.png has larger values .*up to 5,000; 12 bits allow 4,095") as caught:
        audit(load(folder), bits=12)
    assert "2 of the 10 files" in str(caught.value) and "Raise `data.bits`" in str(caught.value)
    result = audit(load(folder), bits=12, on_bad="skip")
    assert [(finding["kind"], finding["files"]) for finding in result.findings] == [("beyond_bits", names)]


def test_the_pixels_kept_are_those_of_the_bits(folder: Path) -> None:
    names = twelve_bits(folder)
    data = tfl.Data(str(folder), image_size=(24, 30), bits=12)
    result = audit(load_source(data), data=data, keep=True)
    assert result.cached is not None and result.examples.paths is not None
    [index] = np.flatnonzero(result.examples.paths == names[1])
    with Image.open(names[1]) as image:
        np.testing.assert_array_equal(result.cached[[index]][0, ..., 0], np.asarray(image) >> 4)


def test_a_tiff_of_several_pages_is_said(folder: Path) -> None:
    path = spoil(folder, "stack.tif", encoded(picture(), "TIFF", save_all=True, append_images=[noise(9, 40)]))
    thumbnail = [np.asarray(picture()), np.asarray(noise(9, 12))]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for number, page in enumerate(thumbnail):
            writer.write(page, photometric="rgb", subfiletype=number)  # 1: a smaller copy of another page
    spoil(folder, "photo.tif", buffer.getvalue())
    [finding] = audit(load(folder)).findings
    assert (finding["kind"], finding["files"]) == ("several_pages", [path]) and "the first is read" in finding["note"]


def test_healthy_files_of_other_formats_are_not_to_be_repaired(folder: Path) -> None:
    spoil(folder, "page.jpg", b"<!DOCTYPE html><html>404</html>")
    spoil(folder, "depth.tif", encoded(picture().convert("F"), "TIFF"))
    spoil(folder, "raw.cr2", b"II*\0\x10\0\0\0CR\2\0")
    with pytest.raises(BadImageError) as caught:
        audit(load(folder))
    message = str(caught.value)
    assert "page.jpg is not an image (an HTML page, probably an error page of the download; download the image again)" in message
    assert "(TIFF of floating-point values; scale them and save as 8 or 16 bits)" in message
    assert "a camera raw file (CR2); export it as JPEG" in message
    assert "convert files of other formats" in message.lower() and "Allowed" in message and "epair" not in message


@pytest.mark.real_photos
@pytest.mark.slow
def test_real_photos_pass(photos: Path) -> None:
    examples = load_source(tfl.Data(str(photos / "flowers"), per_class=60))
    result = audit(examples)
    assert len(result.examples) == 300 and all(finding["severity"] != "error" for finding in result.findings)
