"""Small random text encoders as preset folders, made once, and the real one where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = ["the", "a", "film", "is", "was", "fine", "dull", "and", "long", "very", "un", "##for", "##get", "##table", ".", ",", "!"]
SMALL = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}


def small_backbones() -> dict[str, Callable[[], Any]]:
    """One of each architecture that is accepted, by the name of its class; each call builds a new one."""
    from keras_hub import models

    settings = {"vocabulary_size": 60, "max_sequence_length": 64, **SMALL}
    electra = {"vocab_size": 60, "embedding_dim": 8, "max_sequence_length": 64, **SMALL}
    return {
        "AlbertBackbone": lambda: models.AlbertBackbone(embedding_dim=8, **settings),
        "BertBackbone": lambda: models.BertBackbone(**settings),
        "DebertaV3Backbone": lambda: models.DebertaV3Backbone(bucket_size=16, **settings),
        "DistilBertBackbone": lambda: models.DistilBertBackbone(**settings),
        "ElectraBackbone": lambda: models.ElectraBackbone(**electra),
        "RobertaBackbone": lambda: models.RobertaBackbone(**settings),
        "XLMRobertaBackbone": lambda: models.XLMRobertaBackbone(**settings),
    }


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with a small vocabulary, as a preset folder."""
    import keras
    from keras_hub import models

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("presets") / "bert"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    models.BertBackbone(vocabulary_size=len(vocabulary), max_sequence_length=64, **SMALL).save_to_preset(str(folder))
    models.BertTokenizer(vocabulary=vocabulary, lowercase=True).save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of the sentence encoder all-MiniLM-L6-v2 as a KerasHub preset."""
    folder = Path(os.environ.get("TFL_TEST_DATA", "/nonexistent")).parent / "text" / "minilm_l6"
    if not (folder / "config.json").is_file():
        pytest.skip(f"no sentence encoder: {folder} is missing (set TFL_TEST_DATA to a folder `data` next to `text`)")
    return str(folder)
