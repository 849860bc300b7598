"""The catalog: every Keras Applications network by its own name, with the facts that Keras itself acts on."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError
from tfl.modalities.image.backbones import catalog, classic
from tfl.modalities.image.backbones.build import build_backbone


class NoLayer:
    """What stands for a layer, a tensor and a network where only Keras' look for a weights file is of interest."""

    shape = (None, 8, 8, 16)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> NoLayer:
        return self

    def __getattr__(self, name: str) -> NoLayer:
        return self

    __add__ = __mul__ = __call__


SMALLEST = (
    *("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionV3", "MobileNet", "MobileNetV2"),
    *("MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception"),
)
LARGER = [name for name in catalog.names() if name not in (*SMALLEST, "mini", *classic.BUILDERS)]


def test_every_keras_application_is_there_by_its_own_name() -> None:
    public = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    assert public | {"mini", *classic.BUILDERS} == set(catalog.names())


@pytest.mark.parametrize(
    ("name", "arguments", "size", "file"),
    [
        ("MobileNet", {"alpha": 0.75}, (224, 224), "mobilenet_7_5_224_tf_no_top.h5"),
        ("MobileNet", {"alpha": 0.25}, (160, 160), "mobilenet_2_5_160_tf_no_top.h5"),
        ("MobileNet", {}, (96, 96), "mobilenet_1_0_224_tf_no_top.h5"),
        ("MobileNetV2", {"alpha": 0.35}, (96, 96), "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"),
        ("MobileNetV2", {"alpha": 1}, (96, 128), "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        (
            "MobileNetV3Small",
            {"minimalistic": True},
            (224, 224),
            "weights_mobilenet_v3_small_minimalistic_224_1.0_float_no_top_v2.h5",
        ),
        ("EfficientNetV2B0", {}, (224, 224), "efficientnetv2-b0_notop.h5"),
        ("ResNet50V2", {}, (99, 99), "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ],
)
def test_weights_files_by_argument_and_size(name: str, arguments: Mapping[str, Any], size: tuple[int, int], file: str) -> None:
    assert catalog.entry(name).weights_file_for(arguments, size) == file


@pytest.fixture
def no_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras makes no layer of its networks: what it does around them takes no time."""
    made_of_layers = ("layers", "Functional", "Sequential", "LayerScale", "StochasticDepth", "CustomScaleLayer")
    for module in (module for module in vars(keras.src.applications).values() if inspect.ismodule(module)):
        for name in made_of_layers:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, NoLayer() if name == "layers" else NoLayer)


@pytest.mark.usefixtures("no_layers")
@pytest.mark.parametrize("name", [*SMALLEST, *LARGER])
def test_the_weights_file_is_the_one_keras_asks_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def get_file(fname: str, origin: str, **kwargs: Any) -> str:
        asked.append((fname, origin))
        raise ConnectionError("no network in this test")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with warnings.catch_warnings(), pytest.raises(ConnectionError):
        warnings.simplefilter("ignore")
        getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(128, 128, 3))
    entry = catalog.entry(name)
    file = entry.weights_file_for({}, (128, 128))
    assert asked == [(file, entry.address_of(file))]


@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("name", SMALLEST)
def test_the_minimum_size_is_kerass(name: str) -> None:
    smallest = catalog.entry(name).minimum_size
    builder = getattr(keras.applications, name)
    builder(include_top=False, weights=None, input_shape=(smallest, smallest, 3))
    with pytest.raises(ValueError, match="at least"):
        builder(include_top=False, weights=None, input_shape=(smallest - 1, smallest, 3))
    with pytest.raises(BackboneError, match=f"at least {smallest} px"):
        build_backbone(tfl.Backbone(name, weights=None), image_size=(smallest - 1, smallest))


@pytest.mark.parametrize("name", SMALLEST)
def test_preprocessing_is_that_of_the_family(name: str) -> None:
    module = {
        "ConvNeXtTiny": "convnext",
        "DenseNet121": "densenet",
        "EfficientNetB0": "efficientnet",
        "EfficientNetV2B0": "efficientnet_v2",
        "InceptionV3": "inception_v3",
        "MobileNetV2": "mobilenet_v2",
        "MobileNetV3Small": "mobilenet_v3",
        "NASNetMobile": "nasnet",
        "ResNet50V2": "resnet_v2",
    }.get(name, name.lower())
    from tfl.modalities.image.backbones.build import prepare

    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    inputs = keras.Input((4, 5, 3))
    ours = keras.Model(inputs, keras.layers.Identity()(prepare(inputs, catalog.entry(name).preprocessing)))(pixels)
    theirs = getattr(keras.applications, module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "hint"), [("ResNet51", "ResNet50"), ("mobilenetv2", "MobileNetV2"), ("Transformer9", "tfl backbones")]
)
def test_an_unknown_name_says_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(BackboneError, match=hint):
        catalog.entry(name)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("MobileNet", {"alfa": 0.5}, "Did you mean `alpha`"),
        ("MobileNet", {"alpha": "big"}, "alpha"),
        ("MobileNet", {"alpha": 0.0}, "alpha"),
        ("MobileNet", {"alpha": 0.6}, "0.25, 0.5, 0.75, 1.0"),
        ("MobileNetV3Small", {"alpha": 0.75, "minimalistic": True}, "minimalistic"),
        ("VGG16", {"include_top": True}, "include_top"),
        ("mini", {"alpha": 0.5}, "alpha"),
    ],
)
def test_arguments_are_checked(name: str, arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        build_backbone(tfl.Backbone(name, arguments=arguments), image_size=(96, 96))


def test_paths_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"none\.keras"):
        build_backbone(tfl.Backbone(str(tmp_path / "none.keras")), image_size=(96, 96))
