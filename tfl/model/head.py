"""The head: pooling, hidden layers with dropout, and one logit per output; the task puts its output layers on them."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Any

import keras

from tfl.errors import RecipeError, did_you_mean
from tfl.model.neighbours import EXAMPLES, neighbour_layers, neighbour_logits
from tfl.recipe import Head

POOL, STANDARD, LOGITS = "head_pool", "head_standard", "logits"
"""Layer names. `POOL` is the one vector that all the head's weights read, with taps and without; a head with taps, or of nearest
neighbours, then standardises it by `STANDARD`, whose numbers `tfl.features.standardise` sets."""


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


def pooling_layer(shape: Sequence[int | None], pooling: str, **options: Any) -> keras.layers.Layer:
    """What makes one vector of each example in `pool`, in float32 under every dtype policy.

    Args:
        shape: Of what is pooled, the batch included: of a feature map (4 axes), a sequence (3) or a vector (2).
        pooling: As `Head.pooling`.
        options: Further arguments of the layer, such as its name.

    Raises:
        RecipeError: `first` is asked for, and the tensor is no sequence; or `flatten`, and its size is not fixed.
    """
    layers, rank = keras.layers, len(shape)
    if pooling == "first" and rank > 3:
        raise RecipeError(
            "`head.pooling=first` takes the first token of a sequence, and this network has none.", allowed="`avg` or `max`"
        )
    if rank == 2 or pooling == "first":
        return layers.Identity(dtype="float32", **options)
    if pooling == "flatten":
        if None in shape[1:]:
            raise RecipeError(
                "`head.pooling=flatten` takes maps of a fixed size, and those of this network vary with the example.",
                received=f"{tuple(shape[1:])}",
                allowed="`avg` or `max`",
            )
        return layers.Flatten(dtype="float32", **options)
    kinds = {3: (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)}
    average, largest = kinds.get(rank, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D))
    return (largest if pooling == "max" else average)(dtype="float32", **options)


def pool(layer: keras.layers.Layer, x: Any, pooling: str, mask: Any = None) -> Any:
    """`x` through a `pooling_layer`; padding of a sequence does not count.

    Args:
        layer: Of `pooling_layer`.
        x: `(batch, features)`, `(batch, positions, features)` or `(batch, height, width, features)`.
        pooling: As `Head.pooling`.
        mask: `(batch, positions)`, which positions of a sequence are in use; None for all.
    """
    if pooling == "flatten" and mask is not None:
        raise RecipeError(
            "`head.pooling=flatten` takes maps of a fixed size, and these examples are padded to one.",
            allowed="`avg`, `max` or `first`",
        )
    if len(x.shape) != 3 or pooling == "flatten":
        return layer(x)
    if pooling == "first":
        return layer(x[:, 0])
    if mask is None:
        return layer(x)
    if pooling == "max":
        used = keras.ops.expand_dims(keras.ops.cast(mask, "bool"), -1)
        return layer(keras.ops.where(used, keras.ops.cast(x, "float32"), _BELOW_ALL))
    return layer(x, mask=mask)


_BELOW_ALL = -1e30
"""Takes the place of padding before a maximum; finite, so that no gradient becomes NaN."""


def tap_layers(shape: Sequence[int | None], pooling: str, *, name: str = "tap") -> list[keras.layers.Layer]:
    """What a head with several taps does to each: pool, then bring the vector to the length `sqrt(width)`.

    As in Head2Toe (Evci et al. 2022), each block's vector gets one length, so that a block with large values does not drown
    the others, and within a block the features keep their proportions. The length is that of a vector of ones instead of 1.
    """
    pooling_ = pooling_layer(shape, pooling, name=f"{name}_pool")
    width = math.prod(side or 1 for side in shape[1:]) if pooling == "flatten" else shape[-1] or 1
    return [
        pooling_,
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
        return [], pooling_layer(maps[0].shape, head.pooling, name=POOL)
    taps = [tap_layers(map_.shape, head.pooling, name=f"head_tap{number}") for number, map_ in enumerate(maps, start=1)]
    return taps, keras.layers.Concatenate(name=POOL, dtype="float32")


def head_layers(head: Head, class_count: int, *, seed: int, examples: int = 0) -> list[keras.layers.Layer]:
    """The layers above `POOL` up to the logits, in order, all in float32 under every dtype policy; `seed` decides what is random.

    Args:
        head: What the recipe asks for.
        class_count: Number of logits.
        seed: Of the initial weights and of the dropout.
        examples: Number of training examples, which a head of nearest neighbours holds.
    """
    if head.probe == "knn":
        return neighbour_layers(class_count, examples=examples, standard=STANDARD, logits=LOGITS)
    standard = [keras.layers.Normalization(name=STANDARD, dtype="float32")] if head.taps else []
    return [*standard, *dense_layers(head, class_count, seed=seed, prefix="head_", logits=LOGITS)]


def dense_layers(head: Head, class_count: int, *, seed: int, prefix: str, logits: str) -> list[keras.layers.Layer]:
    """The hidden layers with their dropout, and the last one, which gives the logits.

    Args:
        head: What the recipe asks for.
        class_count: Number of logits.
        seed: Of the initial weights and of the dropout.
        prefix: What the names of the layers begin with.
        logits: Name of the last one.
    """
    layers, made = keras.layers, list[keras.layers.Layer]()
    for number, units in enumerate((*head.hidden, None), start=1):
        if head.dropout:
            made.append(layers.Dropout(head.dropout, seed=seed + number, name=f"{prefix}dropout{number}", dtype="float32"))
        start = keras.initializers.GlorotUniform(seed=seed + number)
        if units is None:
            made.append(layers.Dense(class_count, kernel_initializer=start, name=logits, dtype="float32"))
        else:
            name, activation = f"{prefix}dense{number}", head.activation
            made.append(layers.Dense(units, activation=activation, kernel_initializer=start, name=name, dtype="float32"))
    return made


def put_on(layers: list[keras.layers.Layer], x: Any, *, pooling: str = "avg", mask: Any = None) -> Any:
    """`x` through the layers, one after the other; the first one pools it where it is a single tensor with positions."""
    first, *others = layers
    x = first(x) if isinstance(x, list) else pool(first, x, pooling, mask)
    if any(layer.name == EXAMPLES for layer in others):
        end = next(at for at, layer in enumerate(others) if layer.name == LOGITS) + 1
        x, others = neighbour_logits(others[:end], x), others[end:]
    for layer in others:
        x = layer(x)
    return x
