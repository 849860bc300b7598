"""The frozen network as a map from pixels to what its blocks make of them, at any size, and what a step of it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from tfl.backbones import flat
from tfl.backbones.blocks import Block, block_outputs, find_blocks
from tfl.errors import BackboneError, RecipeError, did_you_mean
from tfl.features.cost import available_memory
from tfl.modalities.image.backbones.build import build_backbone

if TYPE_CHECKING:
    from tfl.recipe import Backbone

SMALLEST_MAP = 4
"""Places of the shorter side of a map that has a layout or a texture."""
_BYTES = 4
_KEPT = 1.5
"""Bytes at the height of a step, by bytes of the maps that are computed on the way: the maps, kept for the way back, and what the
way back adds to them. Measured with mini and MobileNet alpha 0.75 at 512 and 1024 px: 1.1 to 1.3."""


@dataclass(frozen=True)
class BlockNetwork:
    """A frozen network and its blocks.

    Args:
        model: From pixels to the last feature map, at the size of the result.
        blocks: Those whose output is a map of at least 4 by 4 places.
    """

    model: keras.Model
    blocks: tuple[Block, ...]

    def up_to(self, names: Sequence[str], size: tuple[int, int] | None = None) -> keras.Model:
        """A model from pixels to a dictionary of the outputs of some blocks; what lies above them is left out.

        Args:
            names: Names of blocks.
            size: (height, width) of its input in pixels. Defaults to that of the result. The weights are shared.
        """
        model = self.model
        if size is not None and size != tuple(model.input_shape[1:3]):
            pixels = keras.Input((*size, 3))
            model = keras.Model(pixels, flat.lay_out(self.model, pixels))
        outputs = block_outputs(model)
        return keras.Model(model.input, {name: outputs[name] for name in names})

    def check_names(self, names: Sequence[str], field: str) -> None:
        """Makes sure that blocks of these names are there.

        Raises:
            RecipeError: One is not; the message lists those that are.
        """
        known = [block.name for block in self.blocks]
        for name in names:
            if name not in known:
                raise RecipeError(
                    f"`{self.model.name}` has no block `{name}` with a map of {SMALLEST_MAP}×{SMALLEST_MAP} places or more.",
                    received=f"{field}={','.join(names)}",
                    allowed=known,
                    fix=did_you_mean(name, known) or None,
                )
        if len(set(names)) < len(names):
            raise RecipeError("A block is named twice.", received=f"{field}={','.join(names)}")


def block_network(backbone: Backbone, size: tuple[int, int]) -> BlockNetwork:
    """The network of a backbone at a size, frozen.

    Raises:
        BackboneError: It cannot be built at this size, has no maps, or its weights are not to be had.
    """
    model = build_backbone(backbone, image_size=size)
    model.trainable = False
    blocks = tuple(block for block in find_blocks(model) if _is_map(block.output_shape))
    if not blocks:
        raise BackboneError(
            f"No block of {backbone.name} has a map of {SMALLEST_MAP}×{SMALLEST_MAP} places at {size[0]}×{size[1]} px.",
            fix="Name a larger --size, or a convolutional network.",
        )
    return BlockNetwork(model, blocks)


def _is_map(shape: Sequence[int | None]) -> bool:
    return len(shape) == 3 and all(side is not None for side in shape) and min(shape[0] or 0, shape[1] or 0) >= SMALLEST_MAP


def step_bytes(model: keras.Model) -> int:
    """Bytes that a step takes at its height, about, by the maps on the way to the outputs of the model."""
    nodes: list[Any] = flat.nodes_in_order(model)
    return int(_KEPT * _BYTES * sum(math.prod(tensor.shape[1:]) for node in nodes for tensor in node.outputs))


def check_memory(model: keras.Model, size: tuple[int, int]) -> int:
    """The bytes of `step_bytes`, once it is clear that they are there.

    Raises:
        RecipeError: They are more than the memory that is available.
    """
    needed, there = step_bytes(model), available_memory()
    if there and needed > there:
        side = max(size) * math.sqrt(0.8 * there / needed)
        raise RecipeError(
            f"A step at {size[0]}×{size[1]} px takes about {needed / 1e9:.1f} GB of memory; {there / 1e9:.1f} GB are available.",
            allowed=f"a size of about {int(side // 32 * 32)} px",
            fix="Name a smaller --size, lower blocks, or a smaller network.",
        )
    return needed
