"""Where the network looked: Grad-CAM (Selvaraju et al. 2017) and its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.flat import nodes_in_order
from tfl.errors import BackboneError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 8
# Dark violet, magenta, orange, yellow: anchors of matplotlib's `plasma`, which stays readable in grey and for the colour-blind.
_RAMP = np.array([[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], np.float32)


def grad_cam(
    model: keras.Model, images: NDArray[np.floating], class_indices: NDArray[np.integer], *, feature_layer: str
) -> NDArray[np.float32]:
    """How much each place of each image speaks for a class.

    map = ReLU(Σₖ wₖ Aₖ) with wₖ the mean over places of ∂logit/∂Aₖ, for the feature maps A of `feature_layer`; then
    scaled up to the image and divided by its largest value.

    Args:
        model: Pixels 0..255 to probabilities; the gradient starts at its layer `logits` if it has one, else at the
            logarithm of the probability.
        images: `(n, height, width, 3)` float32, as the model takes them.
        class_indices: `(n,)`, the class that each map explains.
        feature_layer: A layer with output `(n, h, w, channels)`; the last one before pooling is usual.

    Returns:
        `(n, height, width)` float32, 0..1; all zero where nothing speaks for the class.

    Raises:
        BackboneError: There is no such layer, or its output is not a feature map.
    """
    inner = with_features(model, feature_layer)
    images = np.asarray(images, np.float32)
    maps = np.zeros(images.shape[:3], np.float32)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        maps[part] = maps_of(inner, images[part], np.asarray(class_indices)[part])
    return maps


def overlay(image: NDArray[np.uint8], heat: NDArray[np.floating], *, strength: float = 0.65) -> NDArray[np.uint8]:
    """The image with its map on top: colour where it speaks for the class, the plain (slightly greyed) image elsewhere.

    Args:
        image: `(height, width, 3)` uint8.
        heat: `(height, width)`, 0..1.
        strength: Opacity of the colour at 1.0.

    Example:

    >>> import numpy as np
    >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0.0, 1.0]]))[0].tolist()
    [[0, 0, 0], [156, 162, 21]]
    """
    pixels = np.asarray(image, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    calm = 0.7 * pixels + 0.3 * grey
    opacity = strength * np.clip(heat, 0.0, 1.0)[..., None]
    return np.clip(np.rint((1 - opacity) * calm + opacity * ramp(heat)), 0, 255).astype(np.uint8)


def ramp(heat: NDArray[np.floating]) -> NDArray[np.float64]:
    """The colours of a map: `(height, width)`, 0..1, to `(height, width, 3)`, 0..255, from violet through orange to yellow."""
    places = np.clip(heat, 0.0, 1.0) * (len(_RAMP) - 1)
    return np.stack([np.interp(places, np.arange(len(_RAMP)), _RAMP[:, channel]) for channel in range(3)], axis=-1)


def tensor_of(model: keras.Model, layer_name: str) -> Any:
    """The output of a layer in the model's own graph; `layer.output` would be another graph's where layers are shared.

    Raises:
        BackboneError: There is no such layer.
    """
    outputs = {node.operation.name: node.outputs for node in nodes_in_order(model)}
    if layer_name not in outputs:
        raise BackboneError(f"The model has no layer `{layer_name}`.", fix=did_you_mean(layer_name, outputs) or None)
    found = outputs[layer_name]
    return found[0] if len(found) == 1 else found


def with_features(model: keras.Model, feature_layer: str) -> keras.Model:
    """The model from its input to the feature maps of `feature_layer` and the scores, for `maps_of`.

    Raises:
        BackboneError: There is no such layer, or its output is not a feature map.
    """
    features = tensor_of(model, feature_layer)
    if isinstance(features, list | tuple) or len(features.shape) != 4:
        raise BackboneError(
            f"`{feature_layer}` gives no feature map, so Grad-CAM cannot look at it.",
            received=str(getattr(features, "shape", "several tensors")),
            allowed="a layer with one output (batch, height, width, channels)",
        )
    has_logits = any(layer.name == "logits" for layer in model.layers)
    return keras.Model(model.input, [features, tensor_of(model, "logits") if has_logits else model.output])


def maps_of(inner: keras.Model, images: NDArray[np.float32], classes: NDArray[np.integer]) -> NDArray[np.float32]:
    """One batch of `grad_cam`, by what `with_features` made; for many calls on the same model."""
    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)  # a wholly frozen network has no variable that a tape would follow by itself
        features, scores = inner(pixels, training=False)
        scores = tf.cast(scores, tf.float32)
        if "logits" not in [layer.name for layer in inner.layers]:
            scores = tf.math.log(scores + keras.config.epsilon())
        chosen = tf.gather(scores, tf.constant(classes, tf.int32), axis=1, batch_dims=1)
    slopes = tf.cast(tape.gradient(chosen, features), tf.float32)
    weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    raw = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=-1, keepdims=True))
    large = tf.image.resize(raw, images.shape[1:3])[..., 0]
    return (large / tf.maximum(tf.reduce_max(large, axis=(1, 2), keepdims=True), 1e-12)).numpy()
