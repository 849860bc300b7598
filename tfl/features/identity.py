"""What a network is, as hashes: two networks that could make another number of the same inputs have other hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import tensorflow as tf

VERSIONS = f"tfl 3, tensorflow {tf.__version__}, keras {keras.__version__}"
"""What a measured choice of an engine is valid for."""


def graph_hash(model: keras.Model) -> str:
    """A hash of a network's layers, their settings and how they are joined: two networks with equal weights may differ.

    Names do not count: Keras numbers them on through a process. Nor does what is trainable: inference is the same.
    """
    config = model.get_config()
    aliases = {layer["name"]: f"layer {number}" for number, layer in enumerate(config["layers"])} | {model.name: "model"}
    return hashlib.sha256(json.dumps(_renamed(config, aliases), sort_keys=True, default=repr).encode()).hexdigest()


def _renamed(value: Any, aliases: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {str(key): _renamed(item, aliases) for key, item in value.items() if key != "trainable"}
    if isinstance(value, list | tuple):
        return [_renamed(item, aliases) for item in value]
    return aliases.get(value, value) if isinstance(value, str) else value
