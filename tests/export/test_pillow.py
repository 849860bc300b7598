"""The README's decoding beside tfl's: upright, the same size and place, and nearly the same pixels."""

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.data.pipeline import preprocess_batch
from tfl.export.golden import golden_images
from tfl.export.pillow import pillow_pixels

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
