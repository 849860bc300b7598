"""The head of a detector: maps of several sizes brought together at the finest one, and what each of its places says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfl.errors import RecipeError
from tfl.model.head import LOGITS, POOL, tapped
from tfl.recipe import Head

HIDDEN = (128, 128)
"""Channels of the convolutions where `Head.hidden` names none."""
STRIDES = (8, 16, 32)
"""Pixels of the picture for each place of the maps that are read where `Head.taps` names none."""
PRIOR = 0.01
"""The score of every place at the start (Lin et al. 2017)."""
GROUPS = 16


def read_maps(head: Head, blocks: Sequence[str], maps: Sequence[Any], height: int) -> list[int]:
    """Which blocks the head reads, as ascending positions: those of `head.taps`, or the last one of each size.

    Args:
        head: Of the recipe.
        blocks: The names of all blocks.
        maps: The output of each.
        height: Of the picture, in pixels.

    Raises:
        RecipeError: A block that is read gives no map.
    """
    flat = [name for name, one in zip(blocks, maps, strict=True) if len(one.shape) != 4 or None in one.shape[1:]]
    if head.taps:
        read = tapped(head, blocks)
    else:
        strides = {at: round(height / one.shape[1]) for at, one in enumerate(maps) if blocks[at] not in flat}
        last = {stride: at for at, stride in strides.items()}
        read = sorted(at for stride, at in last.items() if stride in STRIDES) or sorted(last.values())[-1:]
    if not read or any(blocks[at] in flat for at in read):
        raise RecipeError(
            "A detector reads maps of a fixed size, and this network gives none at the blocks that the head reads.",
            received=", ".join(flat[:5]),
            allowed="a convolutional network, such as MobileNet, ResNet50V2 or mini",
        )
    return read


def put_detector(head: Head, maps: Sequence[Any], classes: int, *, seed: int) -> tuple[Any, list[Any]]:
    """The logits of each place of the finest map, and the maps that the head reads below the coarsest one.

    As in a feature pyramid (Lin et al. 2017) the coarser map is enlarged and added to the finer one; then come the convolutions
    of `head.hidden`, and one that gives a logit for each class and four numbers for the box, see `tfl.tasks.box_grid`.

    Args:
        head: Of the recipe: `hidden`, `dropout` and `activation` are used.
        maps: Symbolic, the finest first.
        classes: How many there are.
        seed: Of the initial weights and of the dropout.

    Returns:
        `(batch, height, width, classes + 4)` float32, and the maps.
    """
    layers, hidden = keras.layers, head.hidden or HIDDEN
    below = [layers.Identity(name=f"head_map{number}", dtype="float32")(one) for number, one in enumerate(maps[:-1], start=1)]
    found = layers.Identity(name=POOL, dtype="float32")(maps[-1])
    found = _normalised(_convolution(hidden[0], 1, f"head_lateral{len(maps)}", seed + 10)(found), hidden[0])
    for number, one in reversed(list(enumerate(below, start=1))):
        own = _normalised(_convolution(hidden[0], 1, f"head_lateral{number}", seed + 10 + number)(one), hidden[0])
        found = layers.Add(name=f"head_add{number}", dtype="float32")([own, _enlarged(found, own.shape, number)])
    for number, width in enumerate(hidden, start=1):
        found = _normalised(_convolution(width, 3, f"head_conv{number}", seed + number)(found), width)
        found = layers.Activation(head.activation, name=f"head_activation{number}", dtype="float32")(found)
    if head.dropout:
        found = layers.SpatialDropout2D(head.dropout, seed=seed + 1, name="head_dropout1", dtype="float32")(found)
    start = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    of_classes = _convolution(classes, 3, "head_classes", seed + 30, bias_initializer=start)(found)
    of_boxes = _convolution(4, 3, "head_boxes", seed + 31, kernel_initializer="zeros")(found)
    return layers.Concatenate(name=LOGITS, dtype="float32")([of_classes, of_boxes]), below


def _convolution(width: int, size: int, name: str, seed: int, **options: Any) -> keras.layers.Layer:
    start = {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed), **options}
    return keras.layers.Conv2D(width, size, padding="same", name=name, dtype="float32", **start)


def _normalised(maps: Any, width: int) -> Any:
    """With a mean of 0 and a deviation of 1 over groups of channels of each example (Wu and He 2018)."""
    name = f"{maps._keras_history.operation.name}_norm"
    return keras.layers.GroupNormalization(math.gcd(GROUPS, width), name=name, dtype="float32")(maps)


def _enlarged(maps: Any, shape: Sequence[int], number: int) -> Any:
    """A map at the height and width of `shape`."""
    factors = [-(-wanted // own) for wanted, own in zip(shape[1:3], maps.shape[1:3], strict=True)]
    found = keras.layers.UpSampling2D(factors, name=f"head_up{number}", dtype="float32")(maps)
    more = [own - wanted for own, wanted in zip(found.shape[1:3], shape[1:3], strict=True)]
    if any(more):
        found = keras.layers.Cropping2D(((0, more[0]), (0, more[1])), name=f"head_crop{number}", dtype="float32")(found)
    return found
