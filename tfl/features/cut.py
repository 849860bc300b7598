"""A model cut in two at a block: the prefix makes features, the suffix makes probabilities of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras

from tfl.backbones.blocks import find_cut_points
from tfl.backbones.flat import lay_out
from tfl.errors import BackboneError
from tfl.model.assemble import Assembled
from tfl.model.head import POOL


def cut(assembled: Assembled, block_index: int) -> tuple[keras.Model, keras.Model]:
    """The model below block `block_index`, and from it on; both share their layers with the whole model.

    `suffix(prefix(images))` is exactly `model(images)`. At `block_index == len(blocks)` the cut is after the head's pooling,
    so that the features are vectors. Where the head taps blocks below the cut, what it reads of them travels beside the
    feature map: both in one row of numbers, `(batch, 1, numbers)`, which the suffix takes apart again.

    Args:
        assembled: The network.
        block_index: The first block of the suffix, 1 to the number of blocks: `Plan.first_live_block`.

    Returns:
        prefix: From pixels 0..255 to features.
        suffix: From features to probabilities.

    Raises:
        BackboneError: There is no block below the cut, or no such block.
    """
    count = len(assembled.blocks)
    if not 1 <= block_index <= count:
        raise BackboneError(
            "The network cannot be cut there.",
            received=f"block index {block_index}",
            allowed=f"1 (above the first block) to {count} (under the head)",
        )
    pixels, output, name = assembled.model.input, assembled.model.output, assembled.blocks[block_index - 1].name
    below = {block.name for block in assembled.blocks[: block_index - 1]}
    vectors = [tap.vector for tap in assembled.taps if tap.block in below]
    if block_index < count and vectors:
        tensors = [tensor_at(assembled.backbone(), name), *vectors]
        prefix = keras.Model(pixels, _packed(tensors), name=f"prefix_{block_index}")
        return prefix, _suffix_of_packed(tensors, output, name=f"suffix_{block_index}")
    tensor = tensor_at(assembled.model, POOL if block_index == count else name)
    prefix = keras.Model(pixels, tensor, name=f"prefix_{block_index}")
    return prefix, keras.Model(tensor, output, name=f"suffix_{block_index}")


def tensor_at(model: keras.Model, name: str) -> Any:
    """The model's own tensor at the cut point called `name`; `layer.output` would be another's when layers are shared.

    Raises:
        BackboneError: There is no such cut point.
    """
    for point in find_cut_points(model):
        if point.name == name:
            return point.tensor
    raise BackboneError(f"`{model.name}` has no cut point `{name}`.", allowed=[point.name for point in find_cut_points(model)])


def _packed(tensors: list[Any]) -> Any:
    """The tensors of each image behind one another, float32, which holds bfloat16 and float16 exactly."""
    rows = [keras.layers.Flatten(dtype="float32")(tensor) for tensor in tensors]
    joined = keras.layers.Concatenate(dtype="float32")(rows)
    # A map, not a vector, to whoever chooses by rank how many rows to take at once: a row is as large as a feature map.
    return keras.layers.Reshape((1, joined.shape[-1]), dtype="float32")(joined)


def _suffix_of_packed(tensors: list[Any], output: Any, *, name: str) -> keras.Model:
    """From what `_packed` makes of the tensors to `output`; laid out flat, so that the layers under the output are at hand."""
    sizes = [math.prod(tensor.shape[1:]) for tensor in tensors]
    features = keras.Input((1, sum(sizes)), dtype="float32")
    row = keras.layers.Reshape((sum(sizes),), dtype="float32")(features)
    pieces = [
        keras.layers.Reshape(tensor.shape[1:], dtype=str(tensor.dtype))(row[:, start : start + size])
        for tensor, size, start in zip(tensors, sizes, itertools.accumulate(sizes, initial=0), strict=False)
    ]
    return keras.Model(features, lay_out(keras.Model(tensors, output), pieces), name=name)
