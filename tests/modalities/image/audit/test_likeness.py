"""Copies fit onto each other, mirrored and cropped ones too; other pictures do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scenes import pixels, scene

from tfl.modalities.image.audit.copies import ENOUGH
from tfl.modalities.image.audit.likeness import likeness
from tfl.modalities.image.audit.thumbnails import SIDE


def cropped(image: Image.Image, keep: float, where: float) -> Image.Image:
    side = round(image.width * keep)
    at = round((image.width - side) * where)
    return image.crop((at, at, at + side, at + side))


def of(first: Image.Image, second: Image.Image) -> float:
    return float(likeness(pixels([first, second], SIDE), np.array([[0, 1]]), enough=ENOUGH)[0])


@pytest.mark.parametrize("keep, where", [(0.95, 0.0), (0.9, 0.5), (0.9, 1.0), (0.82, 0.3)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_crops_fit(keep: float, where: float, mirrored: bool) -> None:
    image = scene(4, 160)
    copy = cropped(image, keep, where)
    if mirrored:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert of(image, copy) > 0.93 and of(copy, image) > 0.93


def test_copies_fit_without_crops() -> None:
    image = scene(5, 160)
    assert of(image, image.resize((60, 60))) > 0.99
    assert of(image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 0.99


def test_other_pictures_do_not_fit() -> None:
    pictures = pixels([scene(seed) for seed in range(30)], SIDE)
    pairs = np.argwhere(np.triu(np.ones((30, 30)), 1))
    found = likeness(pictures, pairs, enough=ENOUGH)
    assert found.shape == (435,) and found.max() < 0.9


def test_no_pairs() -> None:
    assert likeness(pixels([scene(0)], SIDE), np.empty((0, 2), np.int64), enough=ENOUGH).shape == (0,)
