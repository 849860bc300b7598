"""The bits that 16-bit images use are measured over all of them, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import class_folders, deep, tiff
from PIL import Image

import tfl
from tfl.data.source import load_source
from tfl.modalities.image.bits import bits_in_use, used_bits


@pytest.mark.parametrize(
    ("largest", "bits"), [([], None), ([65_535], None), ([32_768, 3], None), ([32_767], 15), ([4096, 9], 13), ([200], 8)]
)
def test_the_largest_value_of_all_decides(largest: list[int], bits: int | None) -> None:
    assert used_bits(largest) == bits


def test_files_of_8_bits_and_bad_ones_do_not_count(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.tif").write_bytes(b"II*\0 is no TIFF")
    assert bits_in_use(load_source(tfl.Data(str(tmp_path)))) is None
    Image.fromarray(deep(bits=10)).save(tmp_path / "a" / "deep.png")
    assert bits_in_use(load_source(tfl.Data(str(tmp_path)))) == 10
    (tmp_path / "b" / "deep.tif").write_bytes(tiff(deep(bits=12, colour=True), photometric="rgb"))
    assert bits_in_use(load_source(tfl.Data(str(tmp_path)))) == 12
    Image.fromarray(np.full((9, 9), 65_535, np.uint16)).save(tmp_path / "b" / "bright.png")
    assert bits_in_use(load_source(tfl.Data(str(tmp_path)))) is None


def test_no_tensorflow_is_needed() -> None:
    code = "import sys; from tfl.modalities.image import bits, convert, headers; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_class_of_fewer_bits_than_the_others_is_found() -> None:
    from tfl.modalities.image.bits import uneven_bits_findings

    largest = {"a/1.png": 4080, "a/2.png": 900, "b/1.png": 65_000, "b/2.png": 60_000, "c/1.png": 20_000}
    found = uneven_bits_findings(largest, {name: name[0] for name in largest})
    assert [(one["kind"], one["files"]) for one in found] == [("uneven_bits", ["a/1.png", "a/2.png"])]
    assert "Class `a`" in found[0]["note"] and "4,080 only (12 bits)" in found[0]["note"] and "65,000" in found[0]["note"]
