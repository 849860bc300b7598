"""A model cut in two at a block: the prefix makes features, the suffix makes probabilities of them."""

from __future__ import annotations

from typing import Any

import keras

from tfl.backbones.blocks import find_cut_points
from tfl.errors import BackboneError
from tfl.model.assemble import Assembled
from tfl.model.head import POOL


def cut(assembled: Assembled, block_index: int) -> tuple[keras.Model, keras.Model]:
    """The model below block `block_index`, and from it on; both share their layers with the whole model.

    `suffix(prefix(images))` is exactly `model(images)`. At `block_index == len(blocks)` the cut is after the head's pooling,
    so that the features are vectors.

    Args:
        assembled: The network.
        block_index: The first block of the suffix, 1 to the number of blocks: `Plan.first_live_block`.

    Returns:
        prefix: From pixels 0..255 to features.
        suffix: From features to probabilities.

    Raises:
        BackboneError: There is no block below the cut, or no such block.
    """
    if not 1 <= block_index <= len(assembled.blocks):
        raise BackboneError(
            "The network cannot be cut there.",
            received=f"block index {block_index}",
            allowed=f"1 (above the first block) to {len(assembled.blocks)} (under the head)",
        )
    name = POOL if block_index == len(assembled.blocks) else assembled.blocks[block_index - 1].name
    tensor = tensor_at(assembled.model, name)
    prefix = keras.Model(assembled.model.input, tensor, name=f"prefix_{block_index}")
    suffix = keras.Model(tensor, assembled.model.output, name=f"suffix_{block_index}")
    return prefix, suffix


def tensor_at(model: keras.Model, name: str) -> Any:
    """The model's own tensor at the cut point called `name`; `layer.output` would be another's when layers are shared.

    Raises:
        BackboneError: There is no such cut point.
    """
    for point in find_cut_points(model):
        if point.name == name:
            return point.tensor
    raise BackboneError(f"`{model.name}` has no cut point `{name}`.", allowed=[point.name for point in find_cut_points(model)])
