"""The whole network of a recipe: pixels, preprocessing, backbone and head as one flat Functional graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from tfl.backbones.blocks import Block, find_blocks, find_cut_points
from tfl.errors import BackboneError
from tfl.modalities.image.backbones.build import build_backbone
from tfl.modalities.image.backbones.settle import settled
from tfl.model.head import head_layers, put_on, reading_layers, tapped
from tfl.recipe import Recipe


@dataclass(frozen=True)
class Tap:
    """A block that a head with several taps reads, and the vector that it reads of it, in the model's own graph."""

    block: str
    vector: Any = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model with what is known about its parts.

    Args:
        model: From pixels 0..255, (batch, height, width, 3), to probabilities, (batch, classes). Loads with Keras alone.
        backbone_output: The symbolic output of the last block.
        blocks: Of the backbone, input side first, up to the last one that the head reads: what lies above is not in the model.
        head_layers: Names of the head's layers, input side first.
        class_names: In the order of the outputs.
        taps: What the head reads, input side first; empty where it reads the last block alone.
    """

    model: keras.Model
    backbone_output: Any = field(repr=False)
    blocks: tuple[Block, ...]
    head_layers: tuple[str, ...]
    class_names: tuple[str, ...]
    taps: tuple[Tap, ...] = ()

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
        RecipeError: The head taps a block that is not there.
        WeightsNotFoundError: Its weights are not to be had.
    """
    keras.utils.set_random_seed(recipe.seed)
    recipe = settled(recipe)
    backbone = build_backbone(recipe.backbone, image_size=recipe.data.settled_size)
    blocks = find_blocks(backbone)
    read = tapped(recipe.head, [block.name for block in blocks])
    tensors = {point.name: point.tensor for point in find_cut_points(backbone)}
    maps = [tensors[blocks[position].name] for position in read]
    taps, joined = reading_layers(recipe.head, maps)
    layers = head_layers(recipe.head, len(class_names), seed=recipe.seed)
    names = [layer.name for layer in (*(layer for tap in taps for layer in tap), joined, *layers)]
    if taken := {operation.name for operation in backbone.operations} & set(names):
        raise BackboneError(f"The backbone has layers named like the head's: {', '.join(sorted(taken))}.", fix="Rename them.")
    vectors = [put_on(tap, map_) for tap, map_ in zip(taps, maps, strict=bool(taps))]
    output = put_on([joined, *layers], vectors or maps[0])
    return Assembled(
        model=keras.Model(backbone.input, output, name=recipe.name.replace("/", "_")),
        backbone_output=maps[-1],
        blocks=_up_to(blocks, read[-1]),
        head_layers=tuple(names),
        class_names=tuple(class_names),
        taps=tuple(Tap(blocks[position].name, vector) for position, vector in zip(read, vectors, strict=bool(vectors))),
    )


def _up_to(blocks: Sequence[Block], last: int) -> tuple[Block, ...]:
    """The blocks that are used, with their shares of what is computed then."""
    kept = blocks[: last + 1]
    total = sum(block.flops for block in kept) or 1
    return tuple(dataclasses.replace(block, flops_share=block.flops / total) for block in kept)
