"""Which text encoders of KerasHub can be used, and what their presets say. See `tfl.modalities.hub` for what a preset is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.errors import BackboneError
from tfl.modalities import hub

POOLED = ("AlbertBackbone", "BertBackbone", "ElectraBackbone")
"""KerasHub classes with a pooled output: a dense layer on the first token, taught in pre-training."""
SEGMENTED = POOLED
"""Those that take `segment_ids`, which are all 0 for one text: the same three."""
ENCODERS = (*POOLED, "DebertaV3Backbone", "DistilBertBackbone", "RobertaBackbone", "XLMRobertaBackbone")
"""Those that read a whole text in both directions and take a padding mask."""
_ALLOWED = "ALBERT, BERT, DeBERTa-v3, DistilBERT, ELECTRA, RoBERTa and XLM-RoBERTa"


def require_extra() -> None:
    """Makes sure that KerasHub and tensorflow-text are installed, without importing them.

    Raises:
        MissingExtraError: One of them is not.
    """
    hub.require_extra(needed_for="A network for texts")


def refuse_other_kinds(class_name: str, name: str) -> None:
    """Makes sure that a KerasHub class is a text encoder that can be used.

    Raises:
        BackboneError: It is a decoder, an encoder of something else, or FNet.

    Example:

    >>> from tfl.modalities.text.presets import refuse_other_kinds
    >>> refuse_other_kinds("BertBackbone", "bert_tiny_en_uncased")
    """
    if class_name in ENCODERS:
        return
    why = "is no encoder of texts that can be used"
    if class_name == "FNetBackbone":
        why = "mixes padding into every token, so that its features depend on the length of the other texts"
    raise BackboneError(f"The preset `{name}` {why}.", received=class_name, allowed=_ALLOWED)


def settings_of(folder: Path) -> dict[str, Any]:
    """`class_name` and `config` of the encoder in a preset folder. No TensorFlow is imported.

    Raises:
        BackboneError: It is no text encoder, or has no tokenizer.
    """
    found = hub.config_of(folder)
    refuse_other_kinds(found["class_name"], str(folder))
    if not (folder / "tokenizer.json").is_file():
        fix = f"keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset({str(folder)!r}) writes it."
        raise BackboneError(f"The preset {folder} has no tokenizer (tokenizer.json).", fix=fix)
    return found


def class_of(name: str) -> str:
    """The KerasHub class of a backbone by its name.

    Args:
        name: A preset's name, address or folder.

    Raises:
        BackboneError: There is no such preset, or it is no text encoder.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: It is an address that cannot be reached.
    """
    require_extra()
    if (folder := hub.folder_of(name)) is not None:
        return str(settings_of(folder)["class_name"])
    if not name.startswith(hub.ADDRESSES):
        return hub.class_of_name(name, ENCODERS, what="encoder of texts that can be used", allowed=_ALLOWED)
    found = type(hub.load_backbone(name, weights=False)).__name__
    refuse_other_kinds(found, name)
    return found


def most_tokens(config: Mapping[str, Any]) -> int:
    """How many tokens a network takes, special tokens included, from its settings."""
    return int(config.get("max_sequence_length") or 512)


def most_tokens_of(name: str) -> int:
    """How many tokens the network of a preset takes, special tokens included; see `class_of` for what is raised."""
    class_of(name)
    folder = hub.folder_of(name)
    if folder is not None:
        return most_tokens(settings_of(folder)["config"])
    return most_tokens(hub.load_backbone(name, weights=False).get_config())


def load_tokenizer(name: str) -> Any:
    """The KerasHub tokenizer of a preset.

    Raises:
        BackboneError: The preset cannot be loaded, or is no text encoder.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    class_of(name)
    import keras_hub

    return hub.loaded(name, keras_hub.models.Tokenizer.from_preset)
