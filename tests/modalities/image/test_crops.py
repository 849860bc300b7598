"""Crops: each picture decided by its number, windows that stay inside the photo, photos that are named when missing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tfl.errors import DataError
from tfl.modalities.image import crops


@pytest.fixture(scope="module")
def maker() -> crops.Crops:
    return crops.Crops()


@pytest.mark.parametrize("drawn", [False, True])
def test_a_picture_is_decided_by_its_number(maker: crops.Crops, drawn: bool) -> None:
    first, again, other = (maker.picture(number, drawn=drawn) for number in (3, 3, 4))
    assert first.shape == (192, 192, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [(200, 200), (640, 300)])
def test_windows_stay_inside_the_photo(size: tuple[int, int]) -> None:
    white = [Image.new("RGB", size, "white")]  # outside of it PIL fills with black
    windows = np.stack([crops.cut(np.random.default_rng(seed), white) for seed in range(40)])
    assert (windows == 1).mean() > 0.97


def test_a_missing_photo_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.png.*pip install scikit-image"):
        crops.find_photo("nowhere.png")
