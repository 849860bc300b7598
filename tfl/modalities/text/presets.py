"""Which text encoders can be used, and where a preset of KerasHub lies. KerasHub is imported only where it is asked for more.

A preset is one of KerasHub's names (`bert_tiny_en_uncased`), an address (`hf://USER/MODEL`, `kaggle://…`, `modelscope://…`), or a
folder that `save_to_preset` wrote: `config.json`, `model.weights.h5`, `tokenizer.json` and `assets/tokenizer/`.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.errors import BackboneError, MissingExtraError, WeightsNotFoundError, did_you_mean

ENCODERS = (
    "AlbertBackbone",
    "BertBackbone",
    "DebertaV3Backbone",
    "DistilBertBackbone",
    "ElectraBackbone",
    "RobertaBackbone",
    "XLMRobertaBackbone",
)
"""KerasHub classes that read a whole text in both directions and take a padding mask."""
POOLED = ("AlbertBackbone", "BertBackbone", "ElectraBackbone")
"""Those that have a pooled output: a dense layer on the first token, taught in pre-training."""
SEGMENTED = POOLED
"""Those that take `segment_ids`, which are all 0 for one text: the same three classes."""
ADDRESSES = ("hf://", "kaggle://", "modelscope://")
_ALLOWED = "an encoder: ALBERT, BERT, DeBERTa-v3, DistilBERT, ELECTRA, RoBERTa or XLM-RoBERTa"
_OWN_FOLDER = (
    "Where there is a network: keras_hub.models.Backbone.from_preset(NAME).save_to_preset(FOLDER), and "
    "keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset(FOLDER); then name FOLDER as the backbone."
)


def require_extra() -> None:
    """Makes sure that KerasHub and tensorflow-text are installed, without importing them.

    Raises:
        MissingExtraError: One of them is not.
    """
    if any(importlib.util.find_spec(name) is None for name in ("keras_hub", "tensorflow_text")):
        raise MissingExtraError.of("text", needed_for="A backbone for texts")


def folder_of(name: str) -> Path | None:
    """The folder that a backbone's name means; None where it is the name or the address of a preset.

    Raises:
        BackboneError: It looks like a path and there is no such folder, or the folder is no preset.
    """
    if name.startswith(ADDRESSES):
        return None
    path = Path(os.path.expanduser(name))
    if path.is_file():
        raise BackboneError(f"{path} is a file.", allowed="the folder of a KerasHub preset, or the name of one")
    if not path.is_dir():
        if os.sep in name or name.startswith((".", "~")):
            raise BackboneError(f"There is no folder {path}.", allowed="the folder of a KerasHub preset, or the name of one")
        return None
    if not (path / "config.json").is_file():
        raise BackboneError(f"The folder {path} is no preset of KerasHub: it has no config.json.", fix=_OWN_FOLDER)
    return path


def config_of(folder: Path) -> dict[str, Any]:
    """What the `config.json` of a preset folder says: `class_name` and `config`. No TensorFlow is imported.

    Raises:
        BackboneError: It cannot be read, or describes no text encoder.
    """
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = {"class_name": str(document["class_name"]), "config": dict(document["config"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"{folder / 'config.json'} does not describe a KerasHub preset: {error}.") from error
    refuse_other_kinds(found["class_name"], str(folder))
    if not (folder / "tokenizer.json").is_file():
        fix = f"keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset({str(folder)!r}) writes it."
        raise BackboneError(f"The preset {folder} has no tokenizer (tokenizer.json).", fix=fix)
    return found


def refuse_other_kinds(class_name: str, name: str) -> None:
    """Makes sure that a KerasHub class is a text encoder that tfl can use.

    Raises:
        BackboneError: It is a decoder, an encoder of something else, or FNet.

    Example:

    >>> from tfl.modalities.text.presets import refuse_other_kinds
    >>> refuse_other_kinds("BertBackbone", "bert_tiny_en_uncased")
    """
    if class_name in ENCODERS:
        return
    why = "is no encoder of texts"
    if class_name == "FNetBackbone":
        why = "mixes padding into every token, so that its features depend on the length of the other texts"
    raise BackboneError(f"The preset `{name}` {why}.", received=class_name, allowed=_ALLOWED)


def class_of(name: str) -> str:
    """The KerasHub class of a backbone by its name.

    Raises:
        BackboneError: There is no such preset, or it is no text encoder.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: It is an address that cannot be reached.
    """
    require_extra()
    if (folder := folder_of(name)) is not None:
        return str(config_of(folder)["class_name"])
    import keras_hub

    if not name.startswith(ADDRESSES):
        for known in ENCODERS:
            if name in getattr(keras_hub.models, known).presets:
                return known
        others = keras_hub.models.Backbone.presets
        if name in others:
            raise BackboneError(f"The preset `{name}` is no encoder of texts.", allowed=_ALLOWED)
        names = [preset for known in ENCODERS for preset in getattr(keras_hub.models, known).presets]
        raise BackboneError(
            f"KerasHub has no preset `{name}`.",
            allowed=f"such as {', '.join(names[:4])}; a folder of a preset; or {', '.join(ADDRESSES)}…",
            fix=did_you_mean(name, names) or None,
        )
    found = type(load_backbone(name, weights=False)).__name__
    refuse_other_kinds(found, name)
    return found


def most_tokens(config: Mapping[str, Any]) -> int:
    """How many tokens a network takes, from its settings."""
    return int(config.get("max_sequence_length") or 512)


def most_tokens_of(name: str) -> int:
    """How many tokens the network of a preset takes, special tokens included; see `class_of` for what is raised."""
    folder = folder_of(name)
    if folder is not None:
        return most_tokens(config_of(folder)["config"])
    return most_tokens(load_backbone(name, weights=False).get_config())


def load_backbone(name: str, *, weights: bool = True, dtype: Any = None, arguments: Mapping[str, Any] | None = None) -> Any:
    """The KerasHub backbone of a preset, under the dtype policy.

    Args:
        name: A preset's name, address or folder.
        weights: Whether the weights are loaded; else they are random. Defaults to True.
        dtype: The dtype policy. Defaults to the global one.
        arguments: Settings of the class that replace those of the preset, such as `{"dropout": 0.0}`.

    Raises:
        BackboneError: The preset cannot be loaded.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    require_extra()
    import keras
    import keras_hub

    policy = keras.config.dtype_policy() if dtype is None else dtype
    return _loaded(
        name,
        lambda: keras_hub.models.Backbone.from_preset(
            _handle(name), load_weights=weights, dtype=policy, **dict(arguments or {})
        ),
    )


def load_tokenizer(name: str) -> Any:
    """The KerasHub tokenizer of a preset.

    Raises:
        BackboneError: The preset cannot be loaded, or has no tokenizer.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    require_extra()
    import keras_hub

    return _loaded(name, lambda: keras_hub.models.Tokenizer.from_preset(_handle(name)))


def _handle(name: str) -> str:
    folder = folder_of(name)
    return name if folder is None else str(folder)


def _loaded(name: str, load: Any) -> Any:
    """What `load` returns; what goes wrong is said in words."""
    from tfl.backbones.load import cause_of

    try:
        return load()
    except MissingExtraError:
        raise
    except TypeError as error:
        raise BackboneError(f"An argument of `{name}` does not fit: {cause_of(error)}") from error
    except Exception as error:
        if folder_of(name) is None:
            raise WeightsNotFoundError(
                f"The preset `{name}` is not on this machine and cannot be fetched: {cause_of(error)}", fix=_OWN_FOLDER
            ) from error
        raise BackboneError(f"The preset {name} cannot be loaded: {cause_of(error)}") from error
