"""The inputs of a model: one tensor, or a dictionary of tensors by name where there are several."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def inputs_of(model: keras.Model) -> Any:
    """The symbolic inputs of a model as tfl feeds them: the tensor itself, or a dictionary by input name.

    Example:

    >>> import keras
    >>> from tfl.backbones.inputs import inputs_of
    >>> a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    >>> sorted(inputs_of(keras.Model([a, b], keras.layers.Add()([a, b]))))
    ['a', 'b']
    """
    return structured({tensor.name: tensor for tensor in model.inputs})


def structured(by_name: dict[str, Any]) -> Any:
    """The only value of a dictionary, or the dictionary where it has several."""
    return by_name if len(by_name) > 1 else next(iter(by_name.values()))


def by_name(model: keras.Model, values: Any) -> dict[str, Any]:
    """The values for a model's inputs by name: the reverse of `structured`."""
    return dict(values) if isinstance(values, dict) else {model.inputs[0].name: values}


def rows_of(values: Any, rows: Any) -> Any:
    """Some rows of an array, or of every array of a dictionary."""
    return {name: value[rows] for name, value in values.items()} if isinstance(values, dict) else values[rows]


def count_of(values: Any) -> int:
    """How many rows an array, or each array of a dictionary, has."""
    return len(next(iter(values.values())) if isinstance(values, dict) else values)


def joined(batches: list[Any]) -> Any:
    """Batches of arrays, or of dictionaries of arrays, put one after the other."""
    if isinstance(batches[0], dict):
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return np.concatenate(batches)
