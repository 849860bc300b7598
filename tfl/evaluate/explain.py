"""What an answer rests on: Grad-CAM (Selvaraju et al. 2017) for feature maps, gradient times input for sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.flat import lay_out_above, nodes_in_order
from tfl.backbones.inputs import by_name, count_of, inputs_of, rows_of
from tfl.errors import BackboneError, did_you_mean
from tfl.modalities.base import MASK

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 8


def grad_cam(
    model: keras.Model, tensors: NDArray[np.floating], class_indices: NDArray[np.integer], *, feature_layer: str
) -> NDArray[np.float32]:
    """How much each place of each example speaks for an output.

    map = ReLU(Σₖ wₖ Aₖ) with wₖ the mean over places of ∂logit/∂Aₖ, for the feature maps A of `feature_layer`; then
    scaled up to the input and divided by its largest value.

    Args:
        model: From tensors to probabilities; the gradient starts at its layer `logits` if it has one, else at the logarithm of
            the probability.
        tensors: `(n, height, width, channels)` float32, as the model takes them.
        class_indices: `(n,)`, the output that each map explains.
        feature_layer: A layer with output `(n, h, w, channels)`; the last one before pooling is usual.

    Returns:
        `(n, height, width)` float32, 0..1; all zero where nothing speaks for the class.

    Raises:
        BackboneError: There is no such layer, or its output is not a feature map.
    """
    parts = with_features(model, feature_layer)
    tensors = np.asarray(tensors, np.float32)
    maps = np.zeros(tensors.shape[:3], np.float32)
    for start in range(0, len(tensors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        maps[part] = maps_of(parts, tensors[part], np.asarray(class_indices)[part])
    return maps


def attributions(model: keras.Model, tensors: Any, columns: NDArray[np.integer], *, layer: str) -> NDArray[np.float32]:
    """How much each part of each example speaks for one of the outputs, by what the layer gives.

    For feature maps `(batch, height, width, channels)` this is `grad_cam`, for sequences `(batch, tokens, channels)`
    `token_attributions`.

    Args:
        model: From the tensors of a modality to the outputs of a task.
        tensors: Of some examples, as the model takes them: an array, or a dictionary of arrays by input name.
        columns: `(n,)`, the output that is explained for each example.
        layer: Name of a layer, such as `explained_layer` gives it.

    Raises:
        BackboneError: There is no such layer, or its output has no parts.
    """
    rank = len(getattr(tensor_of(model, layer), "shape", ()))
    if rank == 3:
        return token_attributions(model, tensors, columns, layer=layer)
    return grad_cam(model, tensors, columns, feature_layer=layer)


def explained_layer(model: keras.Model, blocks: Sequence[str]) -> str | None:
    """The layer that `attributions` looks at: the last block where it gives a feature map, the first one where that gives a
    sequence; None where neither is so.

    Args:
        model: The whole network.
        blocks: Names of its blocks, input side first.
    """
    if len(getattr(tensor_of(model, blocks[-1]), "shape", ())) == 4:
        return blocks[-1]
    return blocks[0] if len(getattr(tensor_of(model, blocks[0]), "shape", ())) == 3 else None


def token_attributions(model: keras.Model, tensors: Any, columns: NDArray[np.integer], *, layer: str) -> NDArray[np.float32]:
    """How much each token speaks for an output, or, below zero, against it: gradient times input (Shrikumar et al. 2016).

    attribution = Σₖ xₖ ∂logit/∂xₖ for the vector x of a token, usually its embedding; divided by the largest absolute value of
    the example. Attention weights are not asked, so any network from vectors on will do.

    Args:
        model, tensors, columns: As of `attributions`.
        layer: A layer with output `(n, tokens, channels)`.

    Returns:
        `(n, tokens)` float32, -1..1; zero where the input `padding_mask` is.
    """
    start = tensor_of(model, layer)
    prefix, suffix = keras.Model(inputs_of(model), start), keras.Model([start, *model.inputs], _scores_of(model))
    parts = []
    for first in range(0, count_of(tensors), _AT_ONCE):
        some = keras.tree.map_structure(tf.convert_to_tensor, rows_of(tensors, slice(first, first + _AT_ONCE)))
        vectors = tf.convert_to_tensor(prefix(some, training=False))
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            scores = suffix([vectors, *(by_name(model, some)[tensor.name] for tensor in model.inputs)], training=False)
            chosen = _chosen(model, scores, columns[first : first + _AT_ONCE])
        slopes = tf.cast(tape.gradient(chosen, vectors), tf.float32)
        found = tf.reduce_sum(slopes * tf.cast(vectors, tf.float32), axis=-1).numpy()
        if isinstance(some, Mapping) and MASK in some:
            found = found * (np.asarray(some[MASK]) > 0)
        parts.append(found / np.maximum(np.abs(found).max(axis=1, keepdims=True), 1e-12))
    return np.concatenate(parts).astype(np.float32)


def _scores_of(model: keras.Model) -> Any:
    """The logits of a model, or its output where it has none."""
    return tensor_of(model, "logits") if _has_logits(model) else model.output


def _has_logits(model: keras.Model) -> bool:
    return any(layer.name == "logits" for layer in model.layers)


def _chosen(model: keras.Model, scores: tf.Tensor, columns: NDArray[np.integer]) -> tf.Tensor:
    """`(n,)` of `(n, width)`: the logit in a column, or the logarithm of the probability."""
    scores = tf.cast(scores, tf.float32)
    if not _has_logits(model):
        scores = tf.math.log(scores + keras.config.epsilon())
    return tf.gather(scores, tf.constant(columns, tf.int32), axis=1, batch_dims=1)


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


def with_features(model: keras.Model, feature_layer: str) -> tuple[keras.Model, keras.Model]:
    """For `maps_of`: the model from its input to the feature maps of `feature_layer`, and from these and the input to the scores.

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
    replaced = [features, *model.inputs]
    fresh = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in replaced]
    scores = lay_out_above(keras.Model(model.input, _scores_of(model)), list(zip(replaced, fresh, strict=True)))
    return keras.Model(model.input, features), keras.Model(fresh, scores)


def maps_of(
    parts: tuple[keras.Model, keras.Model], tensors: NDArray[np.float32], classes: NDArray[np.integer]
) -> NDArray[np.float32]:
    """One batch of `grad_cam`, by what `with_features` made; for many calls on the same model."""
    below, above = parts
    given = tf.constant(tensors)
    features = below(given, training=False)
    with tf.GradientTape(watch_accessed_variables=False) as tape:  # of what is above the maps alone
        tape.watch(features)
        scores = above([features, given], training=False)
        chosen = _chosen(above, scores, classes)
    slopes = tf.cast(tape.gradient(chosen, features), tf.float32)
    weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    raw = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=-1, keepdims=True))
    large = tf.image.resize(raw, tensors.shape[1:3])[..., 0]
    return (large / tf.maximum(tf.reduce_max(large, axis=(1, 2), keepdims=True), 1e-12)).numpy()
