"""Networks of Keras Applications with the classifier of ImageNet: built, loaded, and what is said where files are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities.base import check_available
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone, build_source
from tfl.modalities.image.backbones.imagenet_names import FILE, imagenet_names


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty KERAS_HOME on a machine without a network."""

    def get_file(*args: Any, **kwargs: Any) -> str:
        raise ConnectionError("no network in this test")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setattr("keras.utils.get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def write_names(keras_home: Path) -> None:
    index = {str(place): [f"n{place:08d}", f"class_{place}"] for place in range(1000)}
    (keras_home / FILE).write_text(json.dumps(index))


def test_missing_names_say_where_they_were_looked_for(keras_home: Path) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        build_source(tfl.Backbone("MobileNetV2"), image_size=(96, 96))
    for word in (FILE, str(keras_home), "no network in this test", "storage.googleapis.com"):
        assert word in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"0": ["n1"]}', '{"1": ["n1", "a"]}'])
def test_damaged_names_are_told(keras_home: Path, content: str) -> None:
    (keras_home / FILE).write_text(content)
    with pytest.raises(WeightsNotFoundError, match="damaged"):
        imagenet_names()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("MobileNetV2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96.h5"),
        ("ResNet50", "resnet50_weights_tf_dim_ordering_tf_kernels.h5"),
        ("MobileNetV3Small", "weights_mobilenet_v3_small_224_1.0_float.h5"),
    ],
)
def test_missing_weights_are_those_with_the_classifier(keras_home: Path, name: str, file: str) -> None:
    write_names(keras_home)
    with pytest.raises(WeightsNotFoundError) as caught:
        build_source(tfl.Backbone(name), image_size=(96, 96))
    for word in (file, str(keras_home), "with its classifier", "KERAS_HOME"):
        assert word in str(caught.value)
    assert "weights=None" not in str(caught.value)


@pytest.mark.slow
def test_the_files_with_the_classifier_are_those_that_keras_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get_file(name: str, *args: Any, **kwargs: Any) -> str:
        asked.append(name)
        raise ConnectionError

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    for name in ("MobileNet", "MobileNetV3Large", "ConvNeXtTiny"):
        entry = catalog.entry(name)
        with pytest.raises(ConnectionError):
            getattr(keras.applications, name)(weights="imagenet")
        assert asked[-1] == catalog.with_classifier(entry.weights_file)


@pytest.mark.slow
def test_a_weights_file_with_the_classifier_is_loaded(keras_home: Path, tmp_path: Path) -> None:
    write_names(keras_home)
    keras.utils.set_random_seed(0)
    own = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3))
    own.save_weights(tmp_path / "own.weights.h5")
    backbone = tfl.Backbone("MobileNet", arguments={"alpha": 0.25}, weights=str(tmp_path / "own.weights.h5"))
    found = build_source(backbone, image_size=(64, 64))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(found.model(pixels), own(pixels / 127.5 - 1), atol=1e-6)
    assert found.class_names is not None and found.class_names[999] == "class_999"
    without = build_backbone(tfl.Backbone("MobileNet", arguments={"alpha": 0.25}, weights=None), image_size=(64, 64))
    assert found.backbone_output.shape == without.output.shape
    cut_off = keras.Model(found.model.input, found.backbone_output)
    assert [layer.name for layer in cut_off.layers] == [layer.name for layer in without.layers]
    with pytest.raises(BackboneError, match=r"with its classifier \(include_top=True\)"):
        without.save_weights(tmp_path / "without.weights.h5")
        build_source(
            tfl.Backbone("MobileNet", arguments={"alpha": 0.25}, weights=str(tmp_path / "without.weights.h5")),
            image_size=(64, 64),
        )


def test_the_classifier_of_vgg_takes_one_size(keras_home: Path) -> None:
    write_names(keras_home)
    with pytest.raises(BackboneError, match=r"VGG16 takes one image size.*224×224"):
        build_source(tfl.Backbone("VGG16"), image_size=(96, 96))


@pytest.mark.parametrize("name", ["mini", "ResNet18", "LeNet"])
def test_networks_without_a_classifier_are_refused_before_anything_is_loaded(name: str) -> None:
    recipe = tfl.Recipe(
        name="x",
        data=tfl.Data("nowhere"),
        backbone=tfl.Backbone(name),
        head=tfl.Head(start="source"),
        stages=(tfl.Stage("source", epochs=0),),
    )
    with pytest.raises(WeightsNotFoundError, match=r"without a classifier|no pretrained weights"):
        check_available(recipe)
    with pytest.raises(WeightsNotFoundError):
        check_available(tfl.Recipe(name="x", data=tfl.Data("a"), backbone=tfl.Backbone(name), source_data=tfl.Data("b")))


def test_encoders_for_texts_have_no_classifier() -> None:
    recipe = tfl.Recipe(
        name="x",
        data=tfl.Sample("reviews", input=tfl.Text()),
        backbone=tfl.Backbone("tiny"),
        head=tfl.Head(start="source"),
        stages=(tfl.Stage("source", epochs=0),),
    )
    with pytest.raises(WeightsNotFoundError, match="Encoders for texts come without a classifier"):
        check_available(recipe)
