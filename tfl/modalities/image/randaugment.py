"""RandAugment (Cubuk, Zoph, Shlens, Le 2019, arXiv:1909.13719): some of fourteen operations, at random, at one strength.

Ranges follow the paper's reference code at strength 1.0: 30 degrees, shear 0.3, shift 0.45, enhancement by 0.9.
"""

from __future__ import annotations

import math

import tensorflow as tf

_GREY = (0.299, 0.587, 0.114)


def randaugment(image: tf.Tensor, seed: tf.Tensor, *, operations: int, magnitude: float) -> tf.Tensor:
    """`image` after `operations` random ones.

    Args:
        image: `(height, width, 3)` float32 0..255.
        seed: `(2,)` integer.
        operations: How many, one after the other.
        magnitude: Their strength, 0..1.
    """
    draws = tf.random.stateless_uniform([operations, 2], seed, alg="philox")
    for step in range(operations):
        signed = tf.where(draws[step, 1] < 0.5, -magnitude, magnitude)
        which = tf.cast(draws[step, 0] * len(_OPERATIONS), tf.int32)
        before = image
        image = tf.switch_case(
            which,
            [lambda operation=operation, before=before, signed=signed: operation(before, signed) for operation in _OPERATIONS],
        )
        image = tf.ensure_shape(tf.clip_by_value(image, 0.0, 255.0), before.shape)
    return image


def _identity(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return tf.identity(image)


def _autocontrast(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    low, high = tf.reduce_min(image, axis=(0, 1)), tf.reduce_max(image, axis=(0, 1))
    return tf.where(high > low, (image - low) * 255.0 / tf.maximum(high - low, 1.0), image)


def _equalize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return tf.stack([_equalize_channel(image[..., channel]) for channel in range(3)], axis=-1)


def _equalize_channel(channel: tf.Tensor) -> tf.Tensor:
    """Each level becomes the share of pixels at or below it, so that all levels are about equally common."""
    levels = tf.cast(tf.round(channel), tf.int32)
    counts = tf.math.bincount(tf.reshape(levels, [-1]), minlength=256, maxlength=256)
    below = tf.cast(tf.cumsum(counts), tf.float32)
    first = tf.reduce_min(tf.where(counts > 0, below, below[-1]))
    table = tf.where(below[-1] > first, (below - first) * 255.0 / tf.maximum(below[-1] - first, 1.0), tf.range(256.0))
    return tf.gather(tf.maximum(table, 0.0), levels)


def _rotate(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    angle = signed * (30.0 * math.pi / 180.0)
    return _affine(image, tf.cos(angle), -tf.sin(angle), 0.0, tf.sin(angle), tf.cos(angle), 0.0)


def _solarize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return tf.where(image < 255.0 * (1.0 - tf.abs(signed)), image, 255.0 - image)


def _colour(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(_grey(image), image, signed)


def _posterize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    step = tf.pow(2.0, tf.round(4.0 * tf.abs(signed)))
    return tf.floor(image / step) * step


def _contrast(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(tf.reduce_mean(_grey(image)) * tf.ones_like(image), image, signed)


def _brightness(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(tf.zeros_like(image), image, signed)


def _sharpness(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13.0
    padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")[None]
    smooth = tf.nn.depthwise_conv2d(padded, tf.tile(kernel[..., None, None], (1, 1, 3, 1)), (1, 1, 1, 1), "VALID")[0]
    return _blend(smooth, image, signed)


def _shear_x(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, 1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0)


def _shear_y(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, 1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0)


def _shift_x(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, 1.0, 0.0, 0.45 * signed * tf.cast(tf.shape(image)[1], tf.float32), 0.0, 1.0, 0.0)


def _shift_y(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, 1.0, 0.0, 0.0, 0.0, 1.0, 0.45 * signed * tf.cast(tf.shape(image)[0], tf.float32))


def _grey(image: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(image * tf.constant(_GREY), axis=-1, keepdims=True) * tf.ones_like(image)


def _blend(plain: tf.Tensor, image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    """`image` moved away from `plain`, or towards it, by 0.9 of the strength."""
    return plain + (image - plain) * (1.0 + 0.9 * signed)


def _affine(image: tf.Tensor, *rows: tf.Tensor | float) -> tf.Tensor:
    """Reads each output pixel at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`, coordinates counted from the centre; grey outside."""
    a0, a1, a2, b0, b1, b2 = (tf.convert_to_tensor(value, tf.float32) for value in rows)
    x, y = tf.cast(tf.shape(image)[1] - 1, tf.float32) / 2, tf.cast(tf.shape(image)[0] - 1, tf.float32) / 2
    zero = tf.constant(0.0)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([a0, a1, a2 + x - a0 * x - a1 * y, b0, b1, b2 + y - b0 * x - b1 * y, zero, zero])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=128.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]


_OPERATIONS = (
    _identity,
    _autocontrast,
    _equalize,
    _rotate,
    _solarize,
    _colour,
    _posterize,
    _contrast,
    _brightness,
    _sharpness,
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
)
