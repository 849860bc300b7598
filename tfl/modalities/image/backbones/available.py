"""Whether the files that a backbone names are there, found out before TensorFlow is imported."""

from __future__ import annotations

import os
from pathlib import Path

from tfl.backbones.model_files import model_file
from tfl.backbones.stored_layers import check_file
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities import hub
from tfl.modalities.defaults import no_classifier
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.presets import is_preset
from tfl.recipe import Backbone

_NO_FILES = (None, "pretrained", "imagenet")


def check_available(backbone: Backbone, *, classifier: bool = False) -> None:
    """Makes sure that the network is in the catalog or on disk, and its weights file too where one is named.

    Weights that Keras would download are not looked for.

    Args:
        backbone: Of a recipe.
        classifier: Whether the classifier is needed that the network was trained with.

    Raises:
        BackboneError: There is no network of that name, and no model file; it does not take the arguments; or layers of its
            weights file cannot be matched.
        WeightsNotFoundError: There is no such weights file, nobody publishes weights of the network, or none with a classifier.

    Example:

    >>> import tfl
    >>> check_available(tfl.Backbone("MobileNet", arguments={"alpha": 0.5}))
    """
    if backbone.match != "exact":
        check_match(backbone)
    if is_preset(backbone.name):
        hub.require_extra(needed_for=f"The network `{backbone.name}`")
        hub.folder_of(backbone.name)
        if classifier:
            raise no_classifier("Image transformers of KerasHub", backbone.name)
        return
    weights = backbone.weights
    if model_file(backbone.name) is None:
        entry = catalog.entry(backbone.name)
        entry.check_arguments(backbone.arguments)
        if weights in ("pretrained", "imagenet"):
            entry.refuse_without_weights()
        if classifier:
            entry.refuse_without_classifier()
    if weights not in _NO_FILES and not Path(os.path.expanduser(str(weights))).is_file():
        raise WeightsNotFoundError(
            f"There is no weights file {Path(os.path.expanduser(str(weights)))}.",
            fix="Name an existing file, or use weights=None for random ones.",
        )


def check_match(backbone: Backbone) -> None:
    """Makes sure that the layers of the weights can be matched with those of the network.

    Raises:
        BackboneError: No file is named, it is in another format, or the network is a preset.
        WeightsNotFoundError: There is no such file.
    """
    if is_preset(backbone.name):
        hub.refuse_match(backbone)
    if backbone.weights in _NO_FILES:
        raise BackboneError(
            f"`Backbone.match={backbone.match}` is about the layers of a weights file, and none is named.",
            received=f"weights={backbone.weights!r}",
            fix="Name it: tfl.Backbone(..., weights='own.keras'), --set backbone.weights=own.keras; or leave `match` out.",
        )
    file = check_file(str(backbone.weights))
    if backbone.name in catalog.names() and catalog.entry(backbone.name).is_efficientnet_imagenet(file):
        raise BackboneError(
            f"{file} is the ImageNet weights of {backbone.name}, which go with a layer that Keras adds for them.",
            received=f"match={backbone.match!r}",
            allowed="exact",
        )
