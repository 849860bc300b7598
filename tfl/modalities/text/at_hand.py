"""Which encoders for texts have their weights on this machine: presets of KerasHub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.errors import BackboneError
from tfl.modalities import hub_cache
from tfl.modalities.at_hand import AtHand
from tfl.modalities.text.presets import most_tokens, settings_of
from tfl.recipe import Backbone

BENCHMARK = "MNLI, fine-tuned"
ACCURACY = {
    "albert_base_en_uncased": 84.6,
    "albert_large_en_uncased": 86.5,
    "albert_extra_large_en_uncased": 87.9,
    "albert_extra_extra_large_en_uncased": 90.6,
    "bert_tiny_en_uncased": 70.2,
    "bert_small_en_uncased": 77.6,
    "bert_medium_en_uncased": 80.0,
    "bert_base_en_uncased": 84.6,
    "bert_large_en_uncased": 86.7,
    "deberta_v3_extra_small_en": 88.1,
    "deberta_v3_small_en": 88.3,
    "deberta_v3_base_en": 90.6,
    "deberta_v3_large_en": 91.8,
    "distil_bert_base_en_uncased": 82.2,
    "electra_base_discriminator_uncased_en": 88.8,
    "roberta_base_en": 87.6,
    "roberta_large_en": 90.2,
}
"""Accuracy in percent on MNLI (matched) of encoders for English after fine-tuning. It says less about frozen features.

BERT: Devlin et al. 2019, table 1; its small ones: README of github.com/google-research/bert. DistilBERT: Sanh et al. 2019,
table 1. ALBERT version 2: README of github.com/google-research/albert. The others: https://huggingface.co/microsoft/deberta-v3-base.
"""
LENGTH = 128
"""Tokens of the text for which FLOPs are given."""


def at_hand(folders: Sequence[Path]) -> Iterator[AtHand]:
    """See `tfl.modalities.at_hand.at_hand`."""
    for preset in hub_cache.presets(folders):
        try:
            config = settings_of(preset.folder)["config"]
        except BackboneError:  # of another kind, or without a tokenizer
            continue
        accuracy = ACCURACY.get(preset.name)
        parameters, flops = size_and_cost(config)
        yield AtHand(
            backbone=Backbone(preset.name),
            file=preset.folder,
            input_size=(most_tokens(config),),
            accuracy=accuracy,
            benchmark=BENCHMARK if accuracy is not None else "",
            parameters=parameters,
            flops=flops,
        )


def size_and_cost(config: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """About the parameters of an encoder, and its FLOPs for 128 tokens, from its settings: what its matrices have.

    A layer has four matrices of the attention and two of the feed-forward part; ALBERT's layers share theirs.

    Example:

    >>> from tfl.modalities.text.at_hand import size_and_cost
    >>> bert_tiny = {"vocabulary_size": 30522, "num_layers": 2, "hidden_dim": 128, "intermediate_dim": 512}
    >>> size_and_cost(bert_tiny)
    (4300032, 117440512.0)
    """
    try:
        width, layers = int(config["hidden_dim"]), int(config["num_layers"])
        words, inner = int(config["vocabulary_size"]), int(config["intermediate_dim"])
    except (KeyError, TypeError, ValueError):
        return None, None
    layer = 4 * width * width + 2 * width * inner
    attention = 2 * LENGTH * width  # products of each token with all tokens
    embedding = words * int(config.get("embedding_dim") or config.get("embedding_size") or width)
    own = int(config.get("num_groups") or layers)
    return embedding + own * layer, 2.0 * LENGTH * layers * (layer + attention)
