"""Decoded images on disk: what goes in comes out, and nothing is left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfl.data.cached import Cached


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def filled(count: int) -> tuple[Cached, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (count, 5, 3, 3), np.uint8)
    pixels = Cached.of(count, (5, 3, 3))
    assert pixels is not None
    for index, image in enumerate(images):
        pixels.write(index, image)
    return pixels, images


def test_any_rows_in_any_order(cache: Path) -> None:
    pixels, images = filled(20)
    assert len(pixels) == 20 and pixels.shape == images.shape
    for rows in (slice(None), np.array([7, 7, 0]), [3], np.array([], np.int64)):
        np.testing.assert_array_equal(pixels[rows], images[rows])
    some = np.array([4, 19, 2])
    np.testing.assert_array_equal(pixels.take(some)[[2, 0]], images[[2, 4]])
    assert list(cache.iterdir()) == []  # a file without a name, which a killed process does not leave


def test_threads_may_read_at_once() -> None:
    pixels, images = filled(200)
    with ThreadPoolExecutor(8) as pool:
        rows = [np.random.default_rng(seed).integers(0, 200, 50) for seed in range(40)]
        for wanted, found in zip(rows, pool.map(pixels.__getitem__, rows), strict=True):
            np.testing.assert_array_equal(found, images[wanted])


def test_no_room_is_no_pixels(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cached.of(2, (4, 4, 3), limit_bytes=95) is None
    assert Cached.of(2, (4, 4, 3), limit_bytes=96) is not None
    assert Cached.of(10**9, (4, 4, 3)) is None
    cache_file = cache.parent / "file"
    cache_file.write_text("not a folder")
    monkeypatch.setenv("TFL_CACHE", str(cache_file / "below"))
    assert Cached.of(2, (4, 4, 3)) is None


def test_unnamed_file_goes_with_its_last_view() -> None:
    pixels, images = filled(3)
    number = pixels._file.fileno()
    view = pixels.take(np.array([1]))
    del pixels
    np.testing.assert_array_equal(view[:], images[1:2])
    del view
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
