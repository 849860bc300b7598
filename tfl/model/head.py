"""The head: pooling, hidden layers with dropout, one logit a class, and probabilities."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Any

import keras

from tfl.errors import RecipeError, did_you_mean
from tfl.recipe import Head

POOL, STANDARD, LOGITS, PROBABILITIES = "head_pool", "head_standard", "logits", "probabilities"
"""Layer names. `POOL` is the one vector that all the head's weights read, with taps and without; a head with taps then
standardises it by `STANDARD`, whose numbers `tfl.features.standardise` sets."""


def tapped(head: Head, blocks: Sequence[str]) -> list[int]:
    """Which of the blocks the head reads, as ascending positions: those of `head.taps`, or the last one alone.

    Raises:
        RecipeError: A name or glob fits no block.

    Example:

    >>> import tfl
    >>> tapped(tfl.Head(taps=("unit[23]_out", "stem_out")), ["stem_out", "unit1_out", "unit2_out", "unit3_out"])
    [0, 2, 3]
    """
    chosen: set[str] = set()
    for glob in head.taps or blocks[-1:]:
        fitting = fnmatch.filter(blocks, glob) if head.taps else [glob]
        if not fitting:
            raise RecipeError(
                "`head.taps` names a block that the backbone does not have.",
                received=glob,
                allowed=blocks,
                fix=did_you_mean(glob, blocks) or None,
            )
        chosen.update(fitting)
    return [position for position, name in enumerate(blocks) if name in chosen]


def pooling_layer(rank: int, pooling: str, **options: Any) -> keras.layers.Layer:
    """What makes one vector an image of a tensor with so many axes, in float32 under every dtype policy."""
    layers = keras.layers
    if rank == 2:
        return layers.Identity(dtype="float32", **options)
    kinds = {3: (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)}
    average, largest = kinds.get(rank, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D))
    return (average if pooling == "avg" else largest)(dtype="float32", **options)


def tap_layers(width: int, rank: int, pooling: str, *, name: str = "tap") -> list[keras.layers.Layer]:
    """What a head with several taps does to each: pool, then bring the vector to the length `sqrt(width)`.

    As in Head2Toe (Evci et al. 2022), each block's vector gets one length, so that a block with large values does not drown
    the others, and within a block the features keep their proportions. The length is that of a vector of ones instead of 1.
    """
    return [
        pooling_layer(rank, pooling, name=f"{name}_pool"),
        keras.layers.UnitNormalization(name=f"{name}_unit", dtype="float32"),
        keras.layers.Rescaling(math.sqrt(width), name=f"{name}_scale", dtype="float32"),
    ]


def reading_layers(head: Head, maps: Sequence[Any]) -> tuple[list[list[keras.layers.Layer]], keras.layers.Layer]:
    """The layers that make one vector, `POOL`, of the maps that the head reads.

    Returns:
        Those of each tap, in order, none where there is one map alone; and the layer called `POOL`, which takes what they
        make, or that map.
    """
    if len(maps) == 1:
        return [], pooling_layer(len(maps[0].shape), head.pooling, name=POOL)
    taps = [
        tap_layers(map_.shape[-1], len(map_.shape), head.pooling, name=f"head_tap{number}")
        for number, map_ in enumerate(maps, start=1)
    ]
    return taps, keras.layers.Concatenate(name=POOL, dtype="float32")


def head_layers(head: Head, class_count: int, *, seed: int) -> list[keras.layers.Layer]:
    """The layers above `POOL` in order, all in float32 under every dtype policy, their randomness decided by `seed`.

    Args:
        head: What the recipe asks for.
        class_count: One logit each.
        seed: Of the initial weights and of the dropout.
    """
    layers = keras.layers
    made: list[keras.layers.Layer] = [layers.Normalization(name=STANDARD, dtype="float32")] if head.taps else []
    for number, units in enumerate((*head.hidden, None), start=1):
        if head.dropout:
            made.append(layers.Dropout(head.dropout, seed=seed + number, name=f"head_dropout{number}", dtype="float32"))
        start = keras.initializers.GlorotUniform(seed=seed + number)
        if units is None:
            made.append(layers.Dense(class_count, kernel_initializer=start, name=LOGITS, dtype="float32"))
        else:
            name, activation = f"head_dense{number}", head.activation
            made.append(layers.Dense(units, activation=activation, kernel_initializer=start, name=name, dtype="float32"))
    return [*made, layers.Softmax(name=PROBABILITIES, dtype="float32")]


def put_on(layers: list[keras.layers.Layer], x: Any) -> Any:
    """`x` through the layers, one after the other."""
    for layer in layers:
        x = layer(x)
    return x
