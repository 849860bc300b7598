"""Residual adapters: a small network beside each block of a backbone, trained while the backbone stays as it is.

    x + up(relu(down(norm(x))))

`down` makes `width` channels of those of `x`, at each position alone, and `up` brings them back (Rebuffi et al. 2017, *Learning
multiple visual domains with residual adapters*; Houlsby et al. 2019, *Parameter-Efficient Transfer Learning for NLP*, whose
bottleneck this is). `up` is zero at first, so that the network starts as it was.
"""

from __future__ import annotations

from typing import Any

import keras

from tfl.backbones import flat
from tfl.backbones.adapters import adapter_layers
from tfl.backbones.blocks import block_outputs, find_blocks
from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import derived_seed
from tfl.errors import BackboneError


def with_adapters(model: keras.Model, *, width: int, seed: int) -> keras.Model:
    """The network with an adapter at the end of each block, on the same layers: no weight is copied.

    Blocks keep their names, and the adapter belongs to the block that it follows.

    Args:
        model: A flat Functional model with one output; of no other use after this.
        width: Channels of the bottleneck, at least 1.
        seed: Decides the first weights of `down`.

    Raises:
        BackboneError: It has adapters.

    Example:

    >>> from tfl.backbones.blocks import find_blocks
    >>> from tfl.modalities.image.backbones.mini import build_mini
    >>> from tfl.model.adapters import with_adapters
    >>> adapted = with_adapters(build_mini(weights=None), width=8, seed=0)
    >>> block = find_blocks(adapted)[1]
    >>> block.name, block.adapter[-1]
    ('unit1_out', 'unit1_out_adapter')
    """
    blocks, tensors = find_blocks(model), block_outputs(model)
    if there := [block.name for block in blocks if block.adapter]:
        raise BackboneError(
            f"The network has residual adapters, and `adapter_width` asks for further ones: {there[0]} is followed by one.",
            received=f"adapter_width={width}",
            fix='Leave out `adapter_width`: tfl.Stage(..., weights="adapters") trains those that are there.',
        )
    ends = {id(tensors[block.name]): block.name for block in blocks}
    nodes = flat.nodes_in_order(model)
    flat.forget_calls(model)
    known = {id(tensor): tensor for tensor in model.inputs}
    for node in nodes:
        args, kwargs = node.arguments.fill_in(known)
        for old, new in zip(node.outputs, keras.tree.flatten(node.operation(*args, **kwargs)), strict=True):
            block = ends.get(id(old))
            known[id(old)] = new if block is None else _adapted(new, block, width=width, seed=seed)
    return keras.Model(inputs_of(model), known[id(model.outputs[0])], name=model.name)


def _adapted(x: Any, block: str, *, width: int, seed: int) -> Any:
    """The adapter of a block on its output, under the global dtype policy where that computes in the output's own dtype."""
    norm, down, up, total = adapter_layers(block)
    policy = keras.config.dtype_policy()
    dtype = policy if policy.compute_dtype == x.dtype else x.dtype
    start = keras.initializers.HeNormal(seed=derived_seed(seed, down))
    inner = keras.layers.LayerNormalization(name=norm, dtype=dtype)(x)
    inner = keras.layers.Dense(width, activation="relu", kernel_initializer=start, name=down, dtype=dtype)(inner)
    inner = keras.layers.Dense(x.shape[-1], kernel_initializer="zeros", name=up, dtype=dtype)(inner)
    return keras.layers.Add(name=total, dtype=dtype)([x, inner])
