"""Which kinds of examples a network can see, by its name. No TensorFlow and no KerasHub is imported."""

from __future__ import annotations

from tfl.backbones.model_files import model_file
from tfl.modalities import hub
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.presets import is_preset
from tfl.modalities.image.pair import is_pair
from tfl.modalities.text.presets import ENCODERS


def kinds_of_network(name: str) -> tuple[str, ...]:
    """The kinds of examples that a network of this name can see, the usual one first; those of every name that does not tell.

    Args:
        name: As `Backbone.name`.

    Raises:
        BackboneError: It looks like a path, and nothing lies there.

    Example:

    >>> kinds_of_network("mini"), kinds_of_network("tiny")
    (('image', 'audio'), ('text',))
    """
    if name in hub.SHIPPED:
        return ("text",)
    if not is_preset(name):
        return ("image", "audio") if name in catalog.names() or model_file(name) is not None else ("text", "image", "audio")
    if name.startswith(hub.ADDRESSES):
        return ("image", "text", "audio")
    if is_pair(name):
        return ("image", "text", "audio")
    folder = hub.folder_of(name)
    if folder is not None and hub.config_of(folder)["class_name"] in ENCODERS:
        return ("text",)
    return ("image", "audio")
