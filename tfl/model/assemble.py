"""The whole network of a recipe: pixels, preprocessing, backbone and head as one flat Functional graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from tfl.backbones import catalog
from tfl.backbones.blocks import Block, find_blocks
from tfl.errors import BackboneError
from tfl.model.head import head_layers, put_on
from tfl.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model with what is known about its parts.

    Args:
        model: From pixels 0..255, (batch, height, width, 3), to probabilities, (batch, classes). Loads with Keras alone.
        backbone_output: The symbolic feature map under the head.
        blocks: Of the backbone, input side first.
        head_layers: Names of the head's layers, input side first.
        class_names: In the order of the outputs.
    """

    model: keras.Model
    backbone_output: Any = field(repr=False)
    blocks: tuple[Block, ...]
    head_layers: tuple[str, ...]
    class_names: tuple[str, ...]

    def layers_of(self, block: str) -> list[keras.layers.Layer]:
        """The Keras layers of the block called `block`, or of `head`; operations without state are left out."""
        names = self.head_layers if block == HEAD else next(item.layers for item in self.blocks if item.name == block)
        wanted = set(names)
        return [layer for layer in self.model.layers if layer.name in wanted]

    def backbone(self) -> keras.Model:
        """The backbone alone, sharing its layers with the model."""
        return keras.Model(self.model.input, self.backbone_output)


HEAD = "head"
"""What plans and ledgers call the head, beside the blocks' names."""


def assemble(recipe: Recipe, class_names: Sequence[str]) -> Assembled:
    """Builds the recipe's network under the global dtype policy; new weights are drawn from `recipe.seed`.

    Sets the global seeds of Python, NumPy and TensorFlow: some layers draw from them.

    Raises:
        BackboneError: The backbone cannot be built, or names one of its layers as the head's.
        WeightsNotFoundError: Its weights are not to be had.
    """
    keras.utils.set_random_seed(recipe.seed)
    backbone = catalog.build_backbone(recipe.backbone, image_size=recipe.data.image_size)
    layers = head_layers(recipe.head, len(class_names), seed=recipe.seed)
    taken = {operation.name for operation in backbone.operations} & {layer.name for layer in layers}
    if taken:
        raise BackboneError(f"The backbone has layers named like the head's: {', '.join(sorted(taken))}.", fix="Rename them.")
    model = keras.Model(backbone.input, put_on(layers, backbone.output), name=recipe.name.replace("/", "_"))
    return Assembled(
        model=model,
        backbone_output=backbone.output,
        blocks=tuple(find_blocks(backbone)),
        head_layers=tuple(layer.name for layer in layers),
        class_names=tuple(class_names),
    )
