"""Layers that are not Keras' own: the packages that a `.keras` file needs are imported before it is loaded."""

from __future__ import annotations

import importlib
import re
import zipfile
from pathlib import Path

from tfl.errors import MissingExtraError

_CONFIG, _MOST_BYTES = "config.json", 2**27
_MODULES = (
    (re.compile(rb'"(?:module|package)": "keras_hub[."]|"registered_name": "keras_hub>'), "keras_hub"),
    (re.compile(rb'"registered_name": "tfl>|"module": "tfl\.modalities\.text\.relative"'), "tfl.modalities.text.relative"),
    (re.compile(rb'"registered_name": "tfl>NextTokenLoss"'), "tfl.model.next_token"),
)


def import_layers_of(file: Path) -> None:
    """Imports KerasHub, and tfl's own layers for one of its networks, where a `.keras` file has layers of theirs.

    Args:
        file: Of a model. What is no such file is left to Keras, whose message says so.

    Raises:
        MissingExtraError: KerasHub is not installed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            config = archive.read(_CONFIG) if archive.getinfo(_CONFIG).file_size <= _MOST_BYTES else b""
    except (OSError, KeyError, zipfile.BadZipFile):
        return
    for pattern, module in _MODULES:
        if pattern.search(config):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise MissingExtraError.of("text", needed_for=f"{file.name} has layers of KerasHub, and loading it") from error
