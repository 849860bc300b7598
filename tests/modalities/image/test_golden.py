"""The golden images: of every format that is decoded, turned in every way, and decodable."""

import numpy as np
import tensorflow as tf

from tfl.modalities.image.golden import golden_images
from tfl.modalities.image.resize import preprocess_batch


def test_every_kind_is_there_and_decodes():
    images = golden_images()
    assert {f"jpeg-turned-{number}.jpg" for number in range(2, 9)} < set(images)
    assert {"jpeg-cmyk-wide.jpg", "png-rgba-wide.png", "png-l-wide.png", "bmp-p-wide.bmp", "png-rgb-one-pixel.png"} < set(images)
    pixels = np.asarray(preprocess_batch(tf.constant(list(images.values())), (16, 16)))
    assert pixels.shape == (len(images), 16, 16, 3) and pixels.std() > 10


def test_turned_ones_differ_as_their_tag_says():
    names = ["jpeg-rgb-wide.jpg", "jpeg-turned-2.jpg", "jpeg-turned-3.jpg"]
    upright, mirrored, half_turn = np.asarray(preprocess_batch(tf.constant([golden_images()[name] for name in names]), (32, 64)))
    assert np.abs(upright[:, ::-1] - mirrored).mean() < 8 < np.abs(upright - mirrored).mean()
    assert np.abs(upright[::-1, ::-1] - half_turn).mean() < 8
