"""How many operations a call in a network's graph takes, counted from its kernels: two for each multiply-add.

Convolutions, dense layers and attention count; normalisation, activations, softmax and look-ups of embeddings do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

SEQUENCE_LENGTH = 128
"""Tokens of a sequence whose length the graph leaves open, as in the pre-training of BERT (Devlin et al. 2018)."""
_KERNELS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
)
_DENSE = (keras.layers.Dense, keras.layers.EinsumDense)


def flops_of(node: Any, *, length: int = SEQUENCE_LENGTH) -> int:
    """The operations of one call for one example.

    Args:
        node: A node of a Functional model.
        length: Tokens of a sequence whose length is not fixed in the graph. Defaults to 128. Other unknown sizes count as one.

    Example:

    >>> import keras
    >>> from tfl.backbones.flat import nodes_in_order
    >>> from tfl.backbones.flops import flops_of
    >>> inputs = keras.Input((None, 16))
    >>> flops_of(nodes_in_order(keras.Model(inputs, keras.layers.Dense(4)(inputs)))[0], length=10)
    1280
    """
    layer, positions = node.operation, _positions(node.outputs[0].shape, length)
    if isinstance(layer, keras.layers.SeparableConv1D | keras.layers.SeparableConv2D):
        return 2 * positions * (_numbers(layer.depthwise_kernel) + _numbers(layer.pointwise_kernel))
    if isinstance(layer, _KERNELS):
        return 2 * positions * _numbers(layer.kernel)
    if isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.Model) and layer.weights:
        return _flops_inside(layer, node.input_tensors[0].shape, positions, length)
    return 0


def sublayers_of(operation: Any) -> list[keras.layers.Layer]:
    """All layers inside a layer, at any depth; none for a model, whose layers are in its own graph."""
    if not isinstance(operation, keras.layers.Layer) or isinstance(operation, keras.Model):
        return []
    return list(operation._flatten_layers(include_self=False, recursive=True))


def is_attention(operation: Any) -> bool:
    """Whether a layer is attention itself: it projects to queries, keys and values."""
    return _kernel_of(operation, "query") is not None


def _flops_inside(layer: keras.layers.Layer, shape: Any, positions: int, length: int) -> int:
    """Of a layer made of layers, such as a transformer layer: each kernel once at each position, and attention."""
    keys = _positions(shape, length)
    total = 0
    projections: set[int] = set()
    for attention in _attentions(layer):
        total += _flops_of_attention(attention, positions, keys)
        projections.update(id(inner) for inner in sublayers_of(attention))
    for inner in sublayers_of(layer):
        if isinstance(inner, _DENSE) and id(inner) not in projections:
            total += 2 * positions * _numbers(inner.kernel)
        elif isinstance(inner, keras.layers.Conv2D):
            total += 2 * _numbers(inner.kernel) * keys // math.prod(inner.strides)
    return total


def _attentions(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for inner in (layer, *sublayers_of(layer)):
        if is_attention(inner):
            yield inner


def _flops_of_attention(attention: keras.layers.Layer, queries: int, keys: int) -> int:
    """Projections, `queries × keys` products of queries with keys, and as many weighted values.

    DeBERTa's disentangled attention (He et al. 2021) also projects `2 × bucket_size` relative positions to queries and keys, and
    compares each with all keys and queries.
    """
    query, key, value, output = (_kernel_of(attention, name) for name in ("query", "key", "value", "output"))
    width = _numbers(query) // query.shape[0]
    total = 2 * (queries * (_numbers(query) + _numbers(output)) + keys * (_numbers(key) + _numbers(value)))
    total += 2 * 2 * queries * keys * width
    if buckets := 2 * getattr(attention, "bucket_size", 0):
        total += 2 * buckets * (_numbers(query) + _numbers(key)) + 2 * buckets * (queries + keys) * width
    return total


def _kernel_of(layer: Any, role: str) -> Any:
    """The kernel of one of the four projections of an attention layer, by its name in Keras or KerasHub, or None."""
    for name in (f"_{role}_dense", f"{role}_dense"):
        if (found := getattr(layer, name, None)) is not None:
            return getattr(found, "kernel", None)
    return None


def _positions(shape: Any, length: int) -> int:
    """Places of a feature map or a sequence at which each kernel is used."""
    sides = shape[1:-1]
    if len(sides) == 1:
        return sides[0] or length
    return math.prod(side or 1 for side in sides)


def _numbers(variable: Any) -> int:
    return 0 if variable is None else math.prod(variable.shape)
