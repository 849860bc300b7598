"""The head: pooling, hidden layers with dropout, one logit a class, and probabilities."""

from __future__ import annotations

from typing import Any

import keras

from tfl.recipe import Head

POOL, LOGITS, PROBABILITIES = "head_pool", "logits", "probabilities"


def head_layers(head: Head, class_count: int, *, seed: int) -> list[keras.layers.Layer]:
    """The head's layers in order, all in float32 under every dtype policy, their randomness decided by `seed`.

    Args:
        head: What the recipe asks for.
        class_count: One logit each.
        seed: Of the initial weights and of the dropout.
    """
    layers = keras.layers
    pooling = layers.GlobalAveragePooling2D if head.pooling == "avg" else layers.GlobalMaxPooling2D
    made: list[keras.layers.Layer] = [pooling(name=POOL, dtype="float32")]
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
