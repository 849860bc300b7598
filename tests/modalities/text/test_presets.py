"""Which presets are taken, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tfl
from tests.modalities.text.conftest import SMALL, small_backbones
from tfl.errors import BackboneError, MissingExtraError, WeightsNotFoundError
from tfl.modalities import hub
from tfl.modalities.text import presets

pytest.importorskip("keras_hub")


def test_every_encoder_is_tried_by_the_tests() -> None:
    assert sorted(presets.ENCODERS) == sorted(small_backbones())


def test_a_folder_says_its_class(bert_folder: Path) -> None:
    assert presets.class_of(str(bert_folder)) == "BertBackbone"
    assert presets.most_tokens_of(str(bert_folder)) == 64


def test_names_are_keras_hubs() -> None:
    assert presets.class_of("bert_tiny_en_uncased") == "BertBackbone"
    assert presets.class_of("distil_bert_base_multi") == "DistilBertBackbone"
    with pytest.raises(BackboneError, match="Did you mean `bert_tiny_en_uncased`"):
        presets.class_of("bert_tiny_en_uncase")


@pytest.mark.parametrize("name", ["gpt2_base_en", "vit_base_patch16_224_imagenet", "f_net_base_en"])
def test_presets_of_other_kinds_are_refused_by_name(name: str) -> None:
    with pytest.raises(BackboneError, match=f"`{name}` is no encoder of texts.*XLM-RoBERTa"):
        presets.class_of(name)


@pytest.mark.parametrize(("kind", "words"), [("GPT2Backbone", "no encoder"), ("FNetBackbone", "mixes padding")])
def test_folders_of_other_kinds_are_refused(kind: str, words: str, tmp_path: Path) -> None:
    from keras_hub import models

    settings = {key: value for key, value in SMALL.items() if not (kind == "FNetBackbone" and key == "num_heads")}
    getattr(models, kind)(vocabulary_size=20, **settings).save_to_preset(str(tmp_path))
    with pytest.raises(BackboneError, match=words):
        presets.class_of(str(tmp_path))


def test_folders_that_are_no_preset(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"no preset of KerasHub: it has no config\.json"):
        presets.class_of(str(tmp_path))
    with pytest.raises(BackboneError, match="There is no folder"):
        presets.class_of(str(tmp_path / "missing"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneError, match="does not describe a KerasHub preset"):
        presets.class_of(str(tmp_path))
    with pytest.raises(BackboneError, match="is a file"):
        presets.class_of(str(tmp_path / "config.json"))


def test_a_preset_without_a_tokenizer(tmp_path: Path) -> None:
    small_backbones()["BertBackbone"]().save_to_preset(str(tmp_path))
    with pytest.raises(BackboneError, match=r"no tokenizer \(tokenizer\.json\)"):
        presets.class_of(str(tmp_path))


def test_a_damaged_preset(bert_folder: Path, tmp_path: Path) -> None:
    for file in bert_folder.rglob("*"):
        if file.is_file():
            (tmp_path / file.relative_to(bert_folder)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file.relative_to(bert_folder)).write_bytes(file.read_bytes())
    document = json.loads((tmp_path / "config.json").read_text())
    document["config"]["hidden_dim"] = 32
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(BackboneError, match="cannot be loaded"):
        hub.load_backbone(str(tmp_path))


def test_what_cannot_be_fetched_says_how_to_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras_hub

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("name resolution failed")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", offline)
    with pytest.raises(WeightsNotFoundError, match=r"name resolution failed.*save_to_preset\(FOLDER\)"):
        presets.class_of("hf://someone/something")


def test_without_keras_hub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[text\]'"):
        presets.class_of("bert_tiny_en_uncased")


def test_tiny_ships_with_a_vocabulary_and_without_weights() -> None:
    settings = presets.settings_of(hub.SHIPPED["tiny"])
    words = (hub.SHIPPED["tiny"] / "assets" / "tokenizer" / "vocabulary.txt").read_text().split()
    assert len(words) == len(set(words)) == settings["config"]["vocabulary_size"] and words[0] == "[PAD]"
    tokenizer = presets.load_tokenizer("tiny")
    spelt = [int(one) for one in tokenizer(["the zebra !"])[0]]
    assert [tokenizer.id_to_token(one) for one in spelt] == ["the", "z", "##e", "##b", "##r", "##a", "!"]


def test_weights_that_a_folder_does_not_have() -> None:
    hub.refuse_missing_weights(tfl.Backbone("tiny", weights=None))
    with pytest.raises(WeightsNotFoundError, match=r"`tiny` has no weights.*--set backbone.weights=none"):
        hub.refuse_missing_weights(tfl.Backbone("tiny"))
