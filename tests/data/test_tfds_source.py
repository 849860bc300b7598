"""A TensorFlow Datasets set becomes image files with their own bytes, once; what cannot be had is said in time."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from image_files import noise

import tfl
from tfl.data import tfds_source
from tfl.data.source import load_source
from tfl.errors import DataError, MismatchError

NAMES = ["plum", "apple", "apricot"]


class TinyFruit(tfds.core.GeneratorBasedBuilder):
    """Nine noise images of three classes for training, three for the test."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=NAMES)})
        return self.dataset_info_from_configs(features=features, supervised_keys=("image", "label"), disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(9, 0), "test": self._generate_examples(3, 100)}

    def _generate_examples(self, count: int, seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            yield index, {"image": np.asarray(noise(seed + index)), "label": NAMES[index % 3]}


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tfds_source, "network_is_absent", lambda: False)


def test_a_set_keeps_its_class_order_its_bytes_and_its_splits() -> None:
    fruit = load_source(tfl.Tfds("tiny_fruit"))
    assert fruit.class_names == tuple(NAMES)
    assert fruit.splits is not None and sorted(fruit.splits) == ["test"] * 3 + ["train"] * 9
    first = np.flatnonzero((fruit.labels == 0) & (fruit.splits == "test"))
    assert fruit.bytes_of(int(first[0]))[:4] == b"\x89PNG"
    pixels = {np.asarray(noise(seed)).tobytes() for seed in range(9)}
    from PIL import Image

    read = {np.asarray(Image.open(fruit.name_of(int(i)))).tobytes() for i in np.flatnonzero(fruit.splits == "train")}
    assert read == pixels


def test_only_the_classes_asked_for_are_written(tmp_path: Path) -> None:
    fruit = load_source(tfl.Tfds("tiny_fruit", labels=("ap*",)))
    assert fruit.class_names == ("apple", "apricot") and fruit.counts() == {"apple": 4, "apricot": 4}
    assert len(list((tmp_path / "cache").rglob("*.png"))) == 8


def test_the_second_reading_needs_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_source(tfl.Tfds("tiny_fruit"))
    monkeypatch.setattr(tfds_source, "_prepare", lambda *_: pytest.fail("prepared again"))
    assert load_source(tfl.Tfds("tiny_fruit")).paths.tolist() == first.paths.tolist()


def test_without_a_network_it_says_where_it_looked_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tfds_source, "network_is_absent", lambda: True)
    with pytest.raises(DataError) as caught:
        load_source(tfl.Tfds("plant_village", labels=("Strawberry*",)))
    for part in ("plant_village", "no network", str(tmp_path / "tfds"), "TFDS_DATA_DIR", "--data"):
        assert part in str(caught.value)


def test_a_download_that_fails_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise ConnectionError("host unreachable")

    monkeypatch.setattr(TinyFruit, "download_and_prepare", fail)
    with pytest.raises(DataError, match="host unreachable"):
        load_source(tfl.Tfds("tiny_fruit"))


def test_an_unknown_set_or_class_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean `plant_village`"):
        load_source(tfl.Tfds("plant_vilage"))
    with pytest.raises(DataError, match="Did you mean `apricot`"):
        load_source(tfl.Tfds("tiny_fruit", labels=("apricott",)))


def test_a_set_that_does_not_classify_images_is_refused() -> None:
    with pytest.raises(MismatchError, match=r"does not classify images.*--set data.input=text") as caught:
        load_source(tfl.Tfds("ag_news_subset"))
    assert caught.value.changes == {"data.input": "text"}


class TinyNotes(tfds.core.GeneratorBasedBuilder):
    """Six texts of two classes, and a sound for each."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "title": tfds.features.Text(),
            "text": tfds.features.Text(),
            "sound": tfds.features.Audio(sample_rate=8000),
            "label": tfds.features.ClassLabel(names=["low", "high"]),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(6):
            sound = np.arange(100, dtype=np.int64) * index
            yield index, {"title": f"t{index}", "text": f"the text {index} é", "sound": sound, "label": index % 2}


def test_texts_and_sounds_of_a_set() -> None:
    texts = load_source(tfl.Tfds("tiny_notes", input=tfl.Text()))
    assert texts.class_names == ("low", "high") and texts.counts() == {"low": 3, "high": 3}
    assert texts.bytes_of(0) == "the text 0 é".encode() and texts.name_of(0).endswith(".txt")
    titles = load_source(tfl.Tfds("tiny_notes", input=tfl.Text(column="title")))
    assert {titles.bytes_of(index) for index in range(6)} == {f"t{index}".encode() for index in range(6)}
    sounds = load_source(tfl.Tfds("tiny_notes", input=tfl.Audio()))
    with wave.open(sounds.name_of(1)) as file:
        assert (file.getframerate(), file.getnchannels()) == (8000, 1)
        assert np.frombuffer(file.readframes(100), "<i2").tolist() == (np.arange(100) * 2).tolist()
