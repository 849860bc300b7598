"""Whether a backbone's name means an image transformer of KerasHub. No TensorFlow and no KerasHub is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tfl.modalities import hub
from tfl.modalities.image.backbones import catalog

FAMILIES = ("vit_", "deit_", "dinov2_", "dinov3_", "siglip", "clip_", "metaclip")
"""How the names of KerasHub's presets of image transformers begin."""

ENCODERS = (
    "CLIPBackbone",
    "DINOV2Backbone",
    "DINOV3Backbone",
    "DeiTBackbone",
    "MetaCLIP2Backbone",
    "SigLIPBackbone",
    "ViTBackbone",
)
"""KerasHub classes that are accepted. Of those that also read texts, the part that sees images is taken."""


def is_preset(name: str) -> bool:
    """Whether the name is the name, the address or the folder of a preset, and no network of the catalog and no model file.

    Args:
        name: String, as `Backbone.name`.

    Example:

    >>> from tfl.modalities.image.backbones.presets import is_preset
    >>> is_preset("dinov2_small"), is_preset("MobileNetV2")
    (True, False)
    """
    if name in catalog.names():
        return False
    if name.startswith(hub.ADDRESSES):
        return True
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return not (folder / "model.keras").is_file() and _names_a_class(folder / hub.CONFIG)
    return name.startswith(FAMILIES) and not folder.is_file()


def _names_a_class(file: Path) -> bool:
    try:
        return "class_name" in json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
