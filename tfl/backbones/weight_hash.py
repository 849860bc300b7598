"""Hashes of weights: the one place where weights are read to tell two networks, or two moments of one network, apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def weights_fingerprint(model: keras.Model) -> str:
    """SHA-256 over every weight of a model, in order, with shapes and dtypes, as the manifest of a run holds it.

    Args:
        model: Any Keras model; equal weights give equal fingerprints, whatever built the model.

    Example:

    >>> import keras
    >>> from tfl.backbones.weight_hash import weights_fingerprint
    >>> inputs = keras.Input((3,))
    >>> len(weights_fingerprint(keras.Model(inputs, keras.layers.Dense(2)(inputs))))
    64
    """
    digest = hashlib.sha256()
    for layer in model.layers:
        for weight in layer.weights:
            array = _array_of(weight)
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def weights_hash(model: keras.Model, known: dict[int, bytes] | None = None) -> str:
    """A hash of all weights and BatchNorm statistics of a network, as the keys of stored features hold it.

    Args:
        model: The network.
        known: Filled with the hash of each weight; networks that share layers take it from each other, so that each weight is
            read once. Only valid for as long as no weight changes.
    """
    known = {} if known is None else known
    digest = hashlib.sha256()
    for weight in model.weights:
        if id(weight) not in known:
            known[id(weight)] = hashlib.sha256(_array_of(weight).tobytes()).digest()
        digest.update(known[id(weight)])
    return digest.hexdigest()


def hash_of(weights: Iterable[Any]) -> str:
    """SHA-256 over the values of some weights, in order, as the ledger compares them."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(_array_of(weight).tobytes())
    return digest.hexdigest()


def _array_of(weight: Any) -> np.ndarray:
    return np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
