"""The pooled output of each block: what linear probes, and heads that start from one, read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.blocks import block_outputs
from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import Bundle
from tfl.errors import RecipeError
from tfl.features.extract import extract
from tfl.modalities.base import MASK
from tfl.model.assemble import Assembled
from tfl.model.head import pool, pooling_layer
from tfl.recipe import Features
from tfl.vectors import side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


WIDEST = 2**15
"""Numbers of an example in all blocks together. With 60,000 the probes of 320 examples took more than five minutes."""


def pooled_models(assembled: Assembled, pooling: str = "avg") -> list[keras.Model]:
    """A model from the inputs to the pooled output of each block, `(batch, features)` float32, sharing the network's layers."""
    tensors = block_outputs(assembled.backbone())
    maps = [tensors[block.name] for block in assembled.blocks]
    mask = next((tensor for tensor in assembled.model.inputs if tensor.name == MASK), None)
    vectors = [pool(pooling_layer(map_.shape, pooling), map_, pooling, mask) for map_ in maps]
    return [keras.Model(inputs_of(assembled.model), vector, name=f"pooled_{number}") for number, vector in enumerate(vectors)]


def refuse_too_wide(assembled: Assembled, pooling: str) -> None:
    """Raises where probes of every block would read more than `WIDEST` numbers of an example, which takes `flatten`.

    Raises:
        RecipeError: They would.
    """
    widths = {block.name: math.prod(side or 1 for side in block.output_shape) for block in assembled.blocks}
    if pooling == "flatten" and sum(widths.values()) > WIDEST:
        largest = max(widths, key=widths.__getitem__)
        raise RecipeError(
            "With `head.pooling=flatten` probes of every block read whole feature maps, and these are too large.",
            received=f"{sum(widths.values()):,} numbers of each example in {len(widths)} blocks, "
            f"{widths[largest]:,} in `{largest}`",
            allowed=f"at most {WIDEST:,}",
            fix="Take head.pooling=avg or max here; a recipe that states its stages may flatten the maps that its head reads.",
        )


def head_inputs(
    assembled: Assembled,
    bundle: Bundle,
    part: str | NDArray[np.integer],
    *,
    pooling: str,
    features: Features,
    console: Console | None = None,
) -> NDArray[np.float32]:
    """What the head reads of some examples, not augmented, before its standardisation: `(n, width)`.

    Made of the pooled outputs of the blocks, which the store holds once for every choice of blocks.

    Args:
        assembled: The network.
        bundle: The data.
        part: `train`, `val` or `test`, or indices into `bundle.examples`.
        pooling: As `Head.pooling`.
        features: Engine and dtype.
        console: Where messages of the store are shown; None shows nothing.
    """
    names = [block.name for block in assembled.blocks]
    read = [names.index(tap.block) for tap in assembled.taps] or [len(names) - 1]
    models = pooled_models(assembled, pooling)
    stored: Any = extract([models[place] for place in read], bundle, part, features=features, console=console)
    return joined([np.asarray(one.read_all(), np.float32) for one in stored], taps=bool(assembled.taps))


def joined(vectors: Sequence[NDArray[np.float32]], *, taps: bool) -> NDArray[np.float32]:
    """The vectors of the blocks that a head reads, as one: side by side where it has taps."""
    return side_by_side(vectors) if taps else vectors[0]
