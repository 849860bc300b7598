"""From the bytes of an image file to pixels at the network's size: graph operations alone, in training as in exports.

Pixels come out as whole numbers 0..255 even after resizing: what is kept on disk as uint8 is then the same as what is computed
anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from tfl.modalities.image.decode import decode_image

Fit = Literal["stretch", "crop", "pad"]


def resize_image(image: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch") -> tf.Tensor:
    """`image` at `size`: bilinear, antialiased when it shrinks, in whole numbers.

    Args:
        image: `(height, width, 3)`, 0..255.
        size: (height, width) in pixels.
        fit: `stretch` ignores the aspect ratio; `crop` keeps the middle; `pad` keeps all and adds black.

    Returns:
        `(*size, 3)` float32, whole numbers 0..255.
    """
    if fit == "crop":
        image = _crop_to_aspect(image, size)
    inner = _inner_size(image, size) if fit == "pad" else tf.constant(size)
    image = _resize_bilinear(image, inner)
    if fit == "pad":
        image = tf.image.resize_with_crop_or_pad(image, *size)
    return tf.ensure_shape(tf.clip_by_value(tf.round(image), 0.0, 255.0), (*size, 3))


def _resize_bilinear(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Antialiased where a side shrinks; where none does that would take several times as long to change next to nothing."""
    shrinks = tf.reduce_any(size < tf.shape(image)[:2])
    return tf.cond(
        shrinks,
        lambda: tf.image.resize(image, size, method="bilinear", antialias=True),
        lambda: tf.image.resize(image, size, method="bilinear"),
    )


def _crop_to_aspect(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    scale = tf.minimum(tf.cast(height, tf.float64) / size[0], tf.cast(width, tf.float64) / size[1])
    target = [
        tf.clip_by_value(tf.cast(tf.round(scale * side), tf.int32), 1, full)
        for side, full in zip(size, (height, width), strict=True)
    ]
    return tf.image.resize_with_crop_or_pad(image, *target)


def _inner_size(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.reduce_min(tf.constant(size, tf.float64) / sides)
    return tf.clip_by_value(tf.cast(tf.round(sides * scale), tf.int32), 1, tf.constant(size))


def preprocess_bytes(contents: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch", bits: int | None = None) -> tf.Tensor:
    """`(*size, 3)` float32 0..255 from the bytes of an image file: what every network here is fed with.

    Args:
        contents: Scalar string, the bytes of a file that the graph decodes (`decode_image`).
        size: (height, width) in pixels.
        fit: As `resize_image`.
        bits: As `decode_image`.
    """
    return resize_image(decode_image(contents, bits), size, fit)


@functools.lru_cache(maxsize=32)
def preprocessor(size: tuple[int, int], fit: Fit = "stretch", bits: int | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
    """`preprocess_bytes` as a function of the contents alone, traced once a process."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda content: preprocess_bytes(content, size, fit, bits), input_signature=signature, autograph=False)


def preprocess_batch(contents: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch", bits: int | None = None) -> tf.Tensor:
    """`(batch, *size, 3)` float32 from `(batch,)` strings; for the serving signature."""
    signature = tf.TensorSpec((*size, 3), tf.float32)
    return tf.map_fn(preprocessor(size, fit, bits), contents, fn_output_signature=signature)
