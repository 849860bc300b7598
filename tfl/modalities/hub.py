"""Presets of KerasHub: names, addresses and folders. KerasHub is imported only where it is asked for more than a folder says.

A preset is one of KerasHub's names (`bert_tiny_en_uncased`), an address (`hf://USER/MODEL`, `kaggle://…`, `modelscope://…`), or a
folder that `save_to_preset` wrote, with `config.json` and `model.weights.h5`; `SHIPPED` names those that come with tfl.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import BackboneError, MissingExtraError, WeightsNotFoundError, did_you_mean

if TYPE_CHECKING:
    import tfl

EXTRA = "text"
"""The extra of tfl that brings KerasHub and tensorflow-text, which it imports."""
ADDRESSES = ("hf://", "kaggle://", "modelscope://")
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
SHIPPED = {"tiny": Path(__file__).with_name("text") / "tiny"}
"""Presets that come with tfl, by name: `tiny` is a small BERT without weights."""
OWN_FOLDER = (
    "Where there is a network: keras_hub.models.Backbone.from_preset(NAME).save_to_preset(FOLDER), and the same with "
    "keras_hub.models.Tokenizer for texts or keras_hub.layers.ImageConverter for images; then name FOLDER as the backbone."
)


def require_extra(*, needed_for: str) -> None:
    """Makes sure that KerasHub and tensorflow-text are installed, without importing them.

    Raises:
        MissingExtraError: One of them is not.
    """
    if any(importlib.util.find_spec(name) is None for name in ("keras_hub", "tensorflow_text")):
        raise MissingExtraError.of(EXTRA, needed_for=needed_for)


def folder_of(name: str) -> Path | None:
    """The preset folder that a backbone's name means; None where it is the name or the address of a preset.

    Raises:
        BackboneError: It looks like a path and there is no such folder, or the folder is no preset.
    """
    if name.startswith(ADDRESSES):
        return None
    path = SHIPPED.get(name) or Path(os.path.expanduser(name))
    if path.is_file():
        raise BackboneError(f"{path} is a file.", allowed="the folder of a KerasHub preset, or the name of one")
    if not path.is_dir():
        if "/" in name or os.sep in name or name.startswith((".", "~")):
            raise BackboneError(f"There is no folder {path}.", allowed="the folder of a KerasHub preset, or the name of one")
        return None
    if not (path / CONFIG).is_file():
        raise BackboneError(f"The folder {path} is no preset of KerasHub: it has no {CONFIG}.", fix=OWN_FOLDER)
    return path


def refuse_missing_weights(backbone: tfl.Backbone) -> None:
    """Makes sure that a folder has weights, where the recipe takes its own. No TensorFlow is imported.

    Raises:
        WeightsNotFoundError: It has none, as `tiny`.
    """
    folder = folder_of(backbone.name)
    if folder is not None and backbone.weights == "pretrained" and not (folder / WEIGHTS).is_file():
        raise WeightsNotFoundError(
            f"The preset `{backbone.name}` has no weights ({folder / WEIGHTS}).",
            fix="Begin with random ones (Backbone.weights=None, --set backbone.weights=none), name a weights file, or name a "
            "preset with weights.",
        )


def refuse_match(backbone: tfl.Backbone) -> None:
    """Makes sure that no layers are to be matched: the weights of a preset come as a whole.

    Raises:
        BackboneError: They are.
    """
    if backbone.match != "exact":
        raise BackboneError(
            f"The weights of the preset `{backbone.name}` come as a whole: its layers are not matched with those of a file.",
            received=f"match={backbone.match!r}",
            allowed="exact",
        )


def config_of(folder: Path) -> dict[str, Any]:
    """What the `config.json` of a preset folder says: `class_name` and `config`. No TensorFlow is imported.

    Raises:
        BackboneError: It cannot be read.
    """
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return {"class_name": str(document["class_name"]), "config": dict(document["config"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"{folder / CONFIG} does not describe a KerasHub preset: {error!r}.", fix=OWN_FOLDER) from error


def class_of_name(name: str, known: Sequence[str], *, what: str, allowed: str) -> str:
    """The class of a built-in preset, one of `known`, whose weights need not be at hand.

    Args:
        name: A name, no address and no folder.
        known: KerasHub classes that are accepted.
        what: What such a preset is, as `encoder of texts`.
        allowed: Which presets are accepted, in words.

    Raises:
        BackboneError: KerasHub has no such preset, or its class is not one of these.
    """
    import keras_hub

    for class_name in known:
        if name in getattr(keras_hub.models, class_name).presets:
            return class_name
    if name in keras_hub.models.Backbone.presets:
        raise BackboneError(f"The preset `{name}` is no {what}.", allowed=allowed)
    names = [preset for class_name in known for preset in getattr(keras_hub.models, class_name).presets]
    raise BackboneError(
        f"KerasHub has no preset `{name}`.",
        allowed=f"such as {', '.join(names[:4])}; the folder of a preset; or {', '.join(ADDRESSES)}…",
        fix=did_you_mean(name, names) or None,
    )


def check_arguments(class_name: str, arguments: Mapping[str, Any]) -> None:
    """Makes sure that a KerasHub class takes these settings: of one that it does not know, it says nothing itself.

    Raises:
        BackboneError: It does not, or tfl sets it.
    """
    import keras_hub

    known = inspect.signature(getattr(keras_hub.models, class_name).__init__).parameters
    allowed = [name for name in known if name not in ("self", "kwargs", *_SET_BY_TFL)]
    for name in arguments:
        if name not in allowed:
            raise BackboneError(
                f"{class_name} does not take the argument `{name}`.", allowed=allowed, fix=did_you_mean(name, allowed) or None
            )


_SET_BY_TFL = ("dtype", "data_format", "image_shape")


def load_backbone(name: str, *, weights: bool = True, arguments: Mapping[str, Any] | None = None) -> Any:
    """The KerasHub backbone of a preset, under the global dtype policy.

    Args:
        name: A preset's name, address or folder.
        weights: Boolean, whether the weights are loaded; else they are random. Defaults to True.
        arguments: Settings of the class that replace those of the preset, such as `{"dropout": 0.0}`.

    Raises:
        BackboneError: The preset cannot be loaded, or an argument does not fit.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    import keras
    import keras_hub

    register_layers()
    options = {"load_weights": weights, "dtype": keras.config.dtype_policy(), **dict(arguments or {})}
    return loaded(name, lambda handle: keras_hub.models.Backbone.from_preset(handle, **options))


def loaded(name: str, load: Callable[[str], Any]) -> Any:
    """What `load` returns for the preset; what goes wrong is said in words.

    Raises:
        BackboneError: The preset cannot be loaded.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    from tfl.backbones.load import cause_of

    folder = folder_of(name)
    try:
        return load(name if folder is None else str(folder))
    except TypeError as error:
        raise BackboneError(f"An argument of `{name}` does not fit: {cause_of(error)}") from error
    except Exception as error:
        if folder is None:
            raise WeightsNotFoundError(
                f"The preset `{name}` is not on this machine and cannot be fetched: {cause_of(error)}", fix=OWN_FOLDER
            ) from error
        raise BackboneError(f"The preset {folder} cannot be loaded: {cause_of(error)}") from error


_WRITE_TOO_MUCH = (
    ("vit.vit_layers", "ViTPatchingAndEmbedding"),
    ("vit.vit_layers", "ViTEncoderBlock"),
    ("deit.deit_layers", "DeiTEmbeddings"),
    ("deit.deit_layers", "DeiTEncoderBlock"),
)
_OF_EVERY_LAYER = ("name", "trainable", "dtype")


@functools.cache
def register_layers() -> None:
    """Imports KerasHub, so that saved networks of its layers load, and corrects these layers for this process.

    In KerasHub 0.32 the layers of ViT and DeiT write settings that their constructors do not take, so that what is saved does not
    load, and the embeddings of SigLIP announce one patch too many. Call it before such a network is saved or loaded.
    """
    for module, name in _WRITE_TOO_MUCH:
        kind = getattr(importlib.import_module(f"keras_hub.src.models.{module}"), name)
        kind.get_config = _only_what_is_taken(kind)
    embedding = importlib.import_module("keras_hub.src.models.siglip.siglip_layers").SigLIPVisionEmbedding
    embedding.compute_output_shape = lambda self, shape: (shape[0], self.num_positions, self.hidden_dim)


def _only_what_is_taken(kind: Any) -> Callable[[Any], dict[str, Any]]:
    """`get_config` of a class of layers with the arguments of its constructor and no others."""
    accepted = [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")]
    written = kind.get_config

    def get_config(self: Any) -> dict[str, Any]:
        known = {name: value for name, value in written(self).items() if name in (*accepted, *_OF_EVERY_LAYER)}
        return {**{name: getattr(self, name) for name in accepted if name not in known and hasattr(self, name)}, **known}

    return get_config
