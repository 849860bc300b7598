"""The README's decoding beside tfl's: upright, the same size and place, and nearly the same pixels."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfl
from tfl.modalities.image.golden import golden_images
from tfl.modalities.image.pillow import pillow_pixels
from tfl.modalities.image.resize import preprocess_batch

NAMES = (
    "jpeg-rgb-large.jpg",
    "jpeg-rgb-tall.jpg",
    "jpeg-turned-6.jpg",
    "png-rgba-wide.png",
    "gif-p-wide.gif",
    "webp-rgb-wide.webp",
)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_pixels_are_nearly_those_of_tfl(fit):
    data = tfl.Data("unused", image_size=(48, 64), fit=fit)
    contents = [golden_images()[name] for name in NAMES]
    ours = np.asarray(preprocess_batch(tf.constant(contents), data.image_size, data.fit))
    for name, content, expected in zip(NAMES, contents, ours, strict=True):
        found = pillow_pixels(content, data)
        assert found.shape == expected.shape and found.dtype == np.float32
        gaps = np.abs(found - expected)
        assert gaps.mean() < (4 if fit == "crop" else 1), name  # Pillow crops to parts of a pixel
        if fit != "crop":
            assert gaps.max() <= 3, name


def test_the_bits_in_use_are_in_the_lines():
    data = tfl.Data("unused", image_size=(20, 24), bits=12)
    values = np.random.default_rng(0).integers(0, 4096, (40, 48)).astype("uint16")
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    expected = preprocess_batch(tf.constant([buffer.getvalue()]), data.image_size, data.fit, data.bits)[0].numpy()
    assert expected.mean() > 100
    assert np.abs(pillow_pixels(buffer.getvalue(), data) - expected).max() <= 3
    photo = golden_images()["jpeg-turned-6.jpg"]
    np.testing.assert_array_equal(pillow_pixels(photo, data), pillow_pixels(photo, tfl.Data("unused", image_size=(20, 24))))
