"""Bad files are found by their content, all named in one message, and left out only when that is asked for."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import class_folders, encoded, noise, picture
from PIL import Image

import tfl
from tfl.data.audit import audit
from tfl.data.examples import Examples
from tfl.data.pipeline import make_dataset
from tfl.data.source import load_source
from tfl.errors import BadImageError, DataError


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
    assert result.findings == [] and result.kept.tolist() == list(range(8)) and result.pixels is None
    assert result.fingerprints == tuple(examples.fingerprint_of(index) for index in range(8))


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


@pytest.mark.parametrize("name", ALSO_BAD)
def test_other_bad_files_are_told_apart(folder: Path, name: str) -> None:
    kind, content = ALSO_BAD[name]
    path = spoil(folder, "bad.jpg", content)
    findings = audit(load(folder), on_bad="skip").findings
    assert [(finding["kind"], finding["files"]) for finding in findings] == [(kind, [path])]


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
        (tmp_path / name / "notes.txt").write_text("nothing to see")
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


def test_duplicates_are_found_and_those_of_two_classes_are_a_warning(folder: Path) -> None:
    content = (folder / "a" / "000.png").read_bytes()
    (folder / "a" / "copy.png").write_bytes(content)
    findings = audit(load(folder)).findings
    assert [(finding["kind"], len(finding["files"])) for finding in findings] == [("exact_duplicates", 2)]
    (folder / "b" / "copy.png").write_bytes(content)
    findings = audit(load(folder)).findings
    assert [(finding["kind"], finding["severity"], len(finding["files"])) for finding in findings] == [
        ("exact_duplicates", "info", 3),
        ("conflicting_labels", "warning", 3),
    ]


def test_the_pixels_of_the_pass_are_those_of_training(folder: Path) -> None:
    spoil(folder, "bad.jpg", b"")
    data = tfl.Data(str(folder), image_size=(10, 14), fit="pad")
    result = audit(load_source(data), on_bad="skip", pixels_for=data)
    assert result.pixels is not None and result.pixels.shape == (8, 10, 14, 3)
    for images, _ in make_dataset(result.examples, np.arange(8), data=data, batch_size=8):
        np.testing.assert_array_equal(images.numpy(), result.pixels[:])


def test_arrays_are_measured_and_fingerprinted() -> None:
    images = np.stack([np.asarray(noise(seed)) for seed in (1, 2, 1)])
    examples = Examples(class_names=("a", "b"), labels=[0, 1, 1], images=images, source="memory")
    data = tfl.Data("memory", image_size=(12, 12))
    result = audit(examples, pixels_for=data)
    assert [finding["kind"] for finding in result.findings] == ["exact_duplicates", "conflicting_labels"]
    assert result.pixels is not None
    np.testing.assert_array_equal(result.pixels[:], images)
    with pytest.raises(DataError, match="at least 4×4"):
        audit(Examples(class_names=("a", "b"), labels=[0], images=np.zeros((1, 3, 9), np.uint8), source="memory"))


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


@pytest.mark.real_photos
@pytest.mark.slow
def test_real_photos_pass(photos: Path) -> None:
    examples = load_source(tfl.Data(str(photos / "flowers"), per_class=60))
    result = audit(examples)
    assert len(result.examples) == 300 and all(finding["severity"] != "error" for finding in result.findings)
