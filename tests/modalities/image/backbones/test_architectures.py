"""What a model file's layers say: the preprocessing of each family of Keras Applications, and of networks around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tfl.backbones.model_files import read_config
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.architectures import architecture, expected_preprocessing

Layers = keras.layers
APPLICATIONS = keras.applications


def config_of(model: keras.Model, folder: Path, suffix: str = ".keras") -> dict[str, Any]:
    """The description that is read from the saved file."""
    model.save(folder / f"network{suffix}")
    found = read_config(folder / f"network{suffix}")
    assert found is not None
    return found


def mobilenet(**options: Any) -> keras.Model:
    return APPLICATIONS.MobileNet(**{"include_top": False, "weights": None, "alpha": 0.25, "input_shape": (64, 64, 3)} | options)


@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    "name",
    [
        *("VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV2", "MobileNetV3Small", "InceptionV3"),
        *("InceptionResNetV2", "Xception", "NASNetMobile", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny"),
    ],
)
def test_every_family_is_recognised(name: str) -> None:
    size = (224, 224) if name == "NASNetMobile" else (None, None)
    model = getattr(APPLICATIONS, name)(include_top=False, weights=None, input_shape=(*size, 3))
    config = json.loads(keras.Model(model.inputs, model.outputs, name="renamed").to_json())  # what its file would hold
    assert expected_preprocessing(config).preprocessing == catalog.entry(name).preprocessing
    found = architecture(config)
    assert found is not None
    assert catalog.entry(found).family == catalog.entry(name).family
    assert catalog.entry(found).native_size == catalog.entry(name).native_size


@pytest.mark.parametrize(
    "options", [{}, {"alpha": 0.5}, {"input_shape": (None, None, 3)}, {"pooling": "avg"}, {"include_top": True, "classes": 7}]
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_mobilenet_is_recognised_however_it_is_built(options: dict[str, Any], suffix: str, tmp_path: Path) -> None:
    found = expected_preprocessing(config_of(mobilenet(**options), tmp_path, suffix))
    assert found.preprocessing == "tf"
    assert "MobileNet in Keras Applications" in found.reason


def with_a_head(base: keras.Model) -> keras.Model:
    x = Layers.Dense(3)(Layers.GlobalAveragePooling2D()(base.output))
    return keras.Model(base.input, x, name="mine")


def nested(base: keras.Model) -> keras.Model:
    return keras.Sequential([keras.Input((64, 64, 3)), Layers.RandomFlip(), base, Layers.Flatten(), Layers.Dense(3)])


def cut_short(base: keras.Model) -> keras.Model:
    return keras.Model(base.input, base.get_layer("conv_pw_5_relu").output)


@pytest.mark.parametrize("around", [with_a_head, nested, cut_short])
def test_a_users_network_around_it_is_recognised(around: Callable[[keras.Model], keras.Model], tmp_path: Path) -> None:
    config = config_of(around(mobilenet()), tmp_path)
    assert expected_preprocessing(config).preprocessing == "tf"
    assert architecture(config) == "MobileNet"


def prepared(prepare: Callable[[Any], Any]) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        pixels = keras.Input((64, 64, 3))
        return keras.Model(pixels, mobilenet()(prepare(pixels)))

    return build


@pytest.mark.parametrize(
    "build",
    [
        prepared(Layers.Rescaling(1 / 127.5, offset=-1)),
        prepared(lambda x: Layers.Rescaling(1 / 255)(Layers.ZeroPadding2D(0)(x))),
        prepared(Layers.Normalization(mean=[120.0] * 3, variance=[3000.0] * 3)),
        prepared(APPLICATIONS.mobilenet.preprocess_input),
        prepared(APPLICATIONS.vgg16.preprocess_input),
        prepared(APPLICATIONS.densenet.preprocess_input),
        prepared(keras.Sequential([Layers.RandomFlip(), Layers.Rescaling(1 / 255)])),
    ],
    ids=["rescaling", "after padding", "normalization", "tf traced", "caffe traced", "torch traced", "nested first model"],
)
def test_scaling_at_the_input_means_that_nothing_is_added(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    found = expected_preprocessing(config_of(build(), tmp_path))
    assert found.preprocessing == "none"
    assert "prepares the pixels" in found.reason


def test_scaling_after_the_first_convolution_does_not_count(tmp_path: Path) -> None:
    x = inputs = keras.Input((32, 32, 3))
    x = Layers.Rescaling(2.0)(Layers.Conv2D(4, 3, name="stem")(x))
    found = expected_preprocessing(config_of(keras.Model(inputs, x), tmp_path))
    assert found.preprocessing is None
    assert "`stem` (Conv2D)" in found.reason


def lookalike(**changes: Any) -> keras.Model:
    """Names of MobileNet on other layers: with biases, or with another stride."""
    x = inputs = keras.Input((64, 64, 3))
    settings: dict[str, Any] = {"strides": 2, "use_bias": False} | changes
    x = Layers.Conv2D(8, 3, name="conv1", **settings)(x)
    x = Layers.DepthwiseConv2D(3, use_bias=False, name="conv_dw_1")(x)
    x = Layers.Conv2D(8, 1, use_bias=False, name="conv_pw_1")(x)
    return keras.Model(inputs, Layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="conv_dw_2")(x))


def test_a_network_that_only_shares_names_is_not_taken_for_it(tmp_path: Path) -> None:
    assert expected_preprocessing(config_of(lookalike(), tmp_path)).preprocessing == "tf"  # so the next two differ in one thing
    for changes in ({"use_bias": True}, {"strides": 1}):
        assert expected_preprocessing(config_of(lookalike(**changes), tmp_path)).preprocessing is None


def test_another_first_convolution_in_front_of_it_decides_nothing(tmp_path: Path) -> None:
    x = inputs = keras.Input((64, 64, 3))
    config = config_of(keras.Model(inputs, mobilenet()(Layers.Conv2D(3, 1, name="colours")(x))), tmp_path)
    assert expected_preprocessing(config).preprocessing is None
    assert architecture(config) is None


def test_mobilenetv3_without_its_own_scaling_takes_minus_one_to_one(tmp_path: Path) -> None:
    model = APPLICATIONS.MobileNetV3Small(include_top=False, weights=None, alpha=0.75, include_preprocessing=False)
    assert expected_preprocessing(config_of(model, tmp_path)).preprocessing == "tf"
