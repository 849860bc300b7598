"""The three parts of the loss, each relative to the photo. After Gatys, Ecker and Bethge 2016, "Image Style Transfer Using
Convolutional Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

_LEAST = 1e-8


def gram(features: tf.Tensor) -> tf.Tensor:
    """How channels of a map go together, wherever that is: `(batch, channels, channels)`, divided by the number of places.

    Args:
        features: `(batch, height, width, channels)`.

    Example:

    >>> import tensorflow as tf
    >>> from tfl.styling.losses import gram
    >>> gram(tf.ones((1, 2, 3, 2)))[0].numpy().tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    shape = tf.shape(features)
    places = tf.reshape(features, (shape[0], shape[1] * shape[2], shape[3]))
    return tf.matmul(places, places, transpose_a=True) / tf.cast(shape[1] * shape[2], features.dtype)


def variation(pixels: tf.Tensor) -> tf.Tensor:
    """The mean squared difference of neighbours, down and across; a scalar."""
    down, across = pixels[:, 1:] - pixels[:, :-1], pixels[:, :, 1:] - pixels[:, :, :-1]
    return tf.reduce_mean(tf.square(down)) + tf.reduce_mean(tf.square(across))


@dataclass(frozen=True)
class Targets:
    """What the losses compare a picture with, by block.

    Args:
        content: The photo's maps.
        content_scale: Their variance over places.
        style: The painting's Gram matrices.
        style_scale: The squared distance of the photo's Gram matrices from them.
        variation_scale: The total variation of the photo.
    """

    content: Mapping[str, tf.Tensor]
    content_scale: Mapping[str, tf.Tensor]
    style: Mapping[str, tf.Tensor]
    style_scale: Mapping[str, tf.Tensor]
    variation_scale: tf.Tensor

    @classmethod
    def of(
        cls,
        photo: tf.Tensor,
        photo_maps: Mapping[str, tf.Tensor],
        painting_maps: Mapping[str, tf.Tensor],
        *,
        content: Sequence[str],
        style: Sequence[str],
    ) -> Targets:
        """The targets of a photo, `(1, height, width, 3)`, and a painting, from the maps that blocks make of them."""
        means = {name: tf.reduce_mean(photo_maps[name], axis=(1, 2), keepdims=True) for name in content}
        scales = {name: tf.reduce_mean(tf.square(photo_maps[name] - means[name])) for name in content}
        grams = {name: gram(painting_maps[name]) for name in style}
        distances = {name: tf.reduce_sum(tf.square(gram(photo_maps[name]) - grams[name])) for name in style}
        return cls(
            {name: photo_maps[name] for name in content},
            {name: tf.maximum(scale, _LEAST) for name, scale in scales.items()},
            grams,
            {name: tf.maximum(distance, _LEAST) for name, distance in distances.items()},
            tf.maximum(variation(photo), _LEAST),
        )

    def losses(self, pixels: tf.Tensor, maps: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """`content NAME` and `style NAME` of every block, and `variation`.

        Args:
            pixels: `(1, height, width, 3)`.
            maps: What the blocks make of them.
        """
        found = {
            f"content {name}": tf.reduce_mean(tf.square(maps[name] - target)) / self.content_scale[name]
            for name, target in self.content.items()
        }
        for name, target in self.style.items():
            found[f"style {name}"] = tf.reduce_sum(tf.square(gram(maps[name]) - target)) / self.style_scale[name]
        found["variation"] = variation(pixels) / self.variation_scale
        return found


def total(losses: Mapping[str, Any], *, content_weight: float, style_weight: float, variation_weight: float) -> Any:
    """The weighted sum of the mean content loss, the mean style loss and the variation.

    Example:

    >>> from tfl.styling.losses import total
    >>> parts = {"content a": 0.5, "style a": 1.0, "style b": 0.0, "variation": 1.0}
    >>> total(parts, content_weight=1, style_weight=10, variation_weight=0.5)
    6.0
    """
    content, style = (mean_of(losses, part) for part in ("content", "style"))
    return content_weight * content + style_weight * style + variation_weight * losses["variation"]


def mean_of(losses: Mapping[str, Any], part: str) -> Any:
    """The mean over the blocks of `content` or `style`."""
    values = [value for name, value in losses.items() if name.startswith(f"{part} ")]
    return sum(values) / len(values)
