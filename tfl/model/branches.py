"""The networks of several inputs, side by side in one graph.

Each input's network is built as for that input alone, and its layers get the name of the input in front, `note.layer_3`. Its
own graph, from the input's own tensors, is what frozen features are computed by, so a run on the input alone and the joint run
share them in the store. The joint graph calls the same layers on inputs of other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras

from tfl.backbones import flat
from tfl.backbones.blocks import Block, find_blocks, find_cut_points
from tfl.backbones.inputs import inputs_of, structured
from tfl.modalities.base import MASK, Modality
from tfl.modalities.several.modality import tensor_name
from tfl.model.head import pool, pooling_layer

if TYPE_CHECKING:
    import tfl

VECTOR = "vector"
"""What the pooled output of a branch is called among its tensors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """The network of one of several inputs.

    Args:
        name: Of the input.
        model: From the input's own tensors to the last block.
        blocks: Of it, input side first; their names begin with that of the input.
        own: By the name of a block, and of `VECTOR`, its output in `model`'s graph.
        joint: The same in the graph of all inputs.
    """

    name: str
    model: keras.Model = field(repr=False)
    blocks: tuple[Block, ...]
    own: Mapping[str, Any] = field(repr=False)
    joint: Mapping[str, Any] = field(repr=False)

    @property
    def block_names(self) -> list[str]:
        """Names of the blocks, input side first."""
        return [block.name for block in self.blocks]


def build_branch(name: str, modality: Modality, backbone: tfl.Backbone, inputs: Mapping[str, Any], *, pooling: str) -> Branch:
    """The network of one input, in its own graph and in that of all inputs.

    Args:
        name: Of the input.
        modality: The input's own.
        backbone: The input's own.
        inputs: Symbolic inputs of the joint graph by name, such as `note_token_ids`.
        pooling: As `Head.pooling`.
    """
    model = modality.build_backbone(backbone)
    _put_in_front(name, model)
    blocks = find_blocks(model)
    tensors = {point.name: point.tensor for point in find_cut_points(model)}
    last = tensors[blocks[-1].name]
    mask = next((tensor for tensor in model.inputs if tensor.name == MASK), None)
    layer = pooling_layer(last.shape, pooling, name=f"{name}.pool")
    own = {**{block.name: tensors[block.name] for block in blocks}, VECTOR: pool(layer, last, pooling, mask)}
    specs = list(modality.spec())
    x = structured({one: inputs[tensor_name(name, one)] for one in specs})
    joint = flat.lay_out(keras.Model(inputs_of(model), own), x)
    return Branch(name=name, model=model, blocks=tuple(blocks), own=own, joint=joint)


def _put_in_front(name: str, model: keras.Model) -> None:
    """Names every layer and weight after the input too: two inputs may have the same network."""
    inputs = {tensor._keras_history.operation for tensor in model.inputs}
    for operation in flat.operations_inside(model):
        if operation not in inputs:
            operation.name = f"{name}.{operation.name}"
    for weight in model.weights:
        weight._path = f"{name}.{weight.path}"  # by which optimisers tell weights apart
