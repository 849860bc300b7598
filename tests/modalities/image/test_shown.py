"""Grad-CAM lies where it belongs, whatever was done to the picture to fit the network."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tfl.modalities.image.shown import heat_picture, in_words, placed_heat, shown_picture


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(120, 240), (300, 200), (64, 64), (120, 300)])
def test_the_map_of_a_bright_square_lies_on_the_square(fit, size):
    from tfl.modalities.image.resize import resize_image

    height, width = size
    picture = np.zeros((*size, 3), np.uint8)
    picture[height // 4 : height // 2, 3 * width // 8 : 5 * width // 8] = 255
    heat = resize_image(picture, (96, 64), fit).numpy()[..., 0] / 255
    placed = placed_heat(heat, size, fit)
    assert placed.shape == tuple(round(side * 160 / max(size)) for side in size)
    wanted = np.asarray(Image.fromarray(picture[..., 0]).resize(placed.shape[::-1], Image.Resampling.BOX), np.float32) / 255
    seen = ~np.isnan(placed)
    assert fit == "crop" or seen.all()
    assert np.abs(placed - wanted)[seen].mean() < 0.05
    assert (placed > 0.5)[seen].sum() == pytest.approx((wanted > 0.5)[seen].sum(), rel=0.25)


def test_what_the_network_does_not_see_is_dimmed_and_the_rest_clear():
    placed = placed_heat(np.zeros((10, 10), np.float32), (50, 100), "crop")
    layer = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat_picture(placed).split(",")[1]))))
    assert (layer[:, :40, 3] == 120).all() and (layer[:, 41:119, 3] == 0).all() and (layer[:, 120:, 3] == 120).all()


@pytest.mark.parametrize(
    ("row", "column", "words"), [(0, 0, "the top left"), (5, 5, "the middle"), (5, 9, "the right"), (9, 5, "the bottom middle")]
)
def test_the_strongest_place_is_named(row, column, words):
    heat = np.zeros((10, 10), np.float32)
    heat[row, column] = 1
    assert in_words(heat) == f"It looked most at {words}."


@pytest.mark.parametrize(("heat", "words"), [(0.0, "Nothing"), (1.0, "All of the picture")])
def test_a_map_without_a_place_is_named(heat, words):
    assert in_words(np.full((4, 4), heat, np.float32)).startswith(words)


@pytest.mark.parametrize(("size", "kind", "shown"), [((28, 28), "png", 28), ((3000, 2000), "jpeg", 800)])
def test_the_picture_is_shown_at_the_size_of_a_screen(size, kind, shown):
    found = shown_picture(np.zeros((*size, 3), np.uint8))
    assert found["source"].startswith(f"data:image/{kind};base64,") and found["height"] == shown
