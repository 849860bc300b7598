"""One vector of several: each input's vector standardised, a missing one replaced by its training mean, then joined.

    vector of each input ─▶ standardise ─▶ × is it there ─▶ concat · mean · gated ─▶ head_pool

A standardised vector has mean 0 over the training examples, so that zero is the mean; and no input drowns the others. In training
inputs are left out at random (`Head.drop_input`), as whole modalities in Neverova et al. 2016, *ModDrop*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfl.model.head import POOL
from tfl.recipe import Head

DROP, GATE = "head_drop_input", "head_gate"
_NEVER = -1e9
"""Added to the gate of an input that is not there."""


def standard_name(name: str) -> str:
    """What the layer that standardises the vector of an input is called."""
    return f"{name}.standard"


def join(head: Head, vectors: Mapping[str, Any], present: Any, *, seed: int) -> Any:
    """The joined vector, which the layer called `POOL` gives.

    Args:
        head: Its `join`, `join_width` and `drop_input`.
        vectors: Symbolic `(batch, width)` of each input, in the order of `present`. A number that is NaN is missing.
        present: Symbolic `(batch, inputs)` int32, which inputs are there.
        seed: Of the initial weights and of what is left out.
    """
    ops, layers = keras.ops, keras.layers
    there = _with_dropped(head, ops.cast(present, "float32"), seed=seed)
    of_each = {name: there[:, at : at + 1] for at, name in enumerate(vectors)}
    scaled = {}
    for name, vector in vectors.items():
        standard = layers.Normalization(name=standard_name(name), dtype="float32")(vector)
        scaled[name] = ops.multiply(ops.nan_to_num(standard), of_each[name])
    if head.join == "concat":
        if len(scaled) == 1:
            return layers.Identity(name=POOL, dtype="float32")(next(iter(scaled.values())))
        return layers.Concatenate(name=POOL, dtype="float32")(list(scaled.values()))
    projected = [
        layers.Dense(
            head.join_width,
            name=f"{name}.project",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 101 + at),
            dtype="float32",
        )(vector)
        for at, (name, vector) in enumerate(scaled.items())
    ]
    shares = _gates(scaled, there, seed=seed) if head.join == "gated" else _even(there)
    total = sum(ops.multiply(one, shares[:, at : at + 1]) for at, one in enumerate(projected))
    return layers.Identity(name=POOL, dtype="float32")(total)


def _with_dropped(head: Head, there: Any, *, seed: int) -> Any:
    """Which inputs are used: in training some are left out, but never all of an example."""
    if not head.drop_input or there.shape[-1] == 1:
        return there
    ops = keras.ops
    kept = ops.sign(keras.layers.Dropout(head.drop_input, seed=seed + 100, name=DROP, dtype="float32")(there))
    return ops.where(ops.greater(ops.max(kept, axis=-1, keepdims=True), 0.0), kept, there)


def _even(there: Any) -> Any:
    """The same share for every input that is there."""
    ops = keras.ops
    return ops.divide(there, ops.maximum(ops.sum(there, axis=-1, keepdims=True), 1.0))


def _gates(scaled: Mapping[str, Any], there: Any, *, seed: int) -> Any:
    """A softmax over the inputs that are there, from all of their vectors."""
    ops, layers = keras.ops, keras.layers
    start = keras.initializers.GlorotUniform(seed=seed + 100)
    both = layers.Concatenate(dtype="float32")([*scaled.values(), there])
    logits = layers.Dense(len(scaled), name=GATE, kernel_initializer=start, dtype="float32")(both)
    return ops.softmax(ops.add(logits, ops.multiply(ops.subtract(1.0, there), _NEVER)), axis=-1)
