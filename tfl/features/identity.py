"""What a network is, as hashes: two networks that could make another number of the same inputs have other hashes."""

from __future__ import annotations

import hashlib
import json
import weakref
from typing import Any

import keras
import tensorflow as tf

VERSIONS = f"tfl 3, tensorflow {tf.__version__}, keras {keras.__version__}"
"""What a measured choice of an engine is valid for."""
_hashed: weakref.WeakKeyDictionary[keras.Model, str] = weakref.WeakKeyDictionary()
"""A run asks several times for the hash of the same network, and Keras takes long to describe one."""


def graph_hash(model: keras.Model) -> str:
    """A hash of a network's layers, their settings and how they are joined: two networks with equal weights may differ.

    Names do not count: Keras numbers them on through a process. Nor does what is trainable: inference is the same. A network is
    hashed once: what decides its inference does not change after it is built.
    """
    if model not in _hashed:
        _hashed[model] = _hash_of(model.get_config(), model.name)
    return _hashed[model]


def _hash_of(config: dict[str, Any], name: str) -> str:
    aliases = {layer["name"]: f"layer {number}" for number, layer in enumerate(config["layers"])} | {name: "model"}
    return hashlib.sha256(json.dumps(_renamed(config, aliases), sort_keys=True, default=repr).encode()).hexdigest()


def _renamed(value: Any, aliases: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {str(key): _renamed(item, aliases) for key, item in value.items() if key != "trainable"}
    if isinstance(value, list | tuple):
        return [_renamed(item, aliases) for item in value]
    return aliases.get(value, value) if isinstance(value, str) else value
