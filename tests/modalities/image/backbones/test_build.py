"""Building backbones: weights found, refused or missing, pixels kept exact, a user's own model with its top cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.weight_hash import weights_fingerprint
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone


def build(name: str, side: int = 64, **options: Any) -> keras.Model:
    return build_backbone(tfl.Backbone(name, **options), image_size=(side, side))


def pixels(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")


@pytest.fixture
def bfloat16() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def empty_keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def get_file(*args: Any, **kwargs: Any) -> str:
        raise ConnectionError("no network in this test")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VGG16", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny", "MobileNetV2", "mini"])
def test_pixels_stay_float32_under_mixed_precision(name: str, bfloat16: None) -> None:
    model = build(name, weights=None)
    prepared = {"VGG16": "scale_pixels", "DenseNet121": "scale_pixels", "MobileNetV2": "scale_pixels", "mini": "scale_pixels"}
    last = {"EfficientNetB0": "normalization", "ConvNeXtTiny": "convnext_tiny_prestem_normalization"}.get(name) or prepared[name]
    close = np.full((1, 64, 64, 3), 200, "float32"), np.full((1, 64, 64, 3), 200.25, "float32")
    first = keras.Model(model.input, model.get_layer(last).output)
    assert model.get_layer(last).compute_dtype == "float32"
    assert not np.array_equal(first(close[0]), first(close[1]))  # bfloat16 cannot tell 200 from 200.25
    assert model.output.dtype == "bfloat16"


def test_missing_weights_name_file_place_and_ways(empty_keras_home: Path) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        build("ResNet50")
    for word in (
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        str(empty_keras_home),
        "KERAS_HOME",
        "weights=None",
        "mini",
    ):
        assert word in str(caught.value)


def test_a_weights_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"nowhere\.h5"):
        build("MobileNet", weights=str(tmp_path / "nowhere.h5"))


def test_damaged_and_foreign_weights_are_refused(empty_keras_home: Path) -> None:
    file = empty_keras_home / "mobilenet_2_5_224_tf_no_top.h5"
    file.write_bytes(b"not a weights file")
    with pytest.raises(BackboneError, match=file.name):
        build("MobileNet", arguments={"alpha": 0.25})
    other = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.5, input_shape=(64, 64, 3))
    other.save_weights(empty_keras_home / "other.weights.h5")
    with pytest.raises(BackboneError, match="do not fit MobileNet"):
        build("MobileNet", arguments={"alpha": 0.25}, weights=str(empty_keras_home / "other.weights.h5"))


def test_the_file_for_224_px_serves_any_size(empty_keras_home: Path) -> None:
    source = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(224, 224, 3))
    source.save_weights(empty_keras_home / "x.weights.h5")
    (empty_keras_home / "x.weights.h5").rename(empty_keras_home / "mobilenet_2_5_224_tf_no_top.h5")
    # Keras tells its two weight formats apart by name, so the stand-in for the old format is loaded as a path
    wanted = catalog.entry("MobileNet").weights_file_for({"alpha": 0.25}, (160, 160))
    from tfl.backbones.weight_files import find_imagenet_file

    assert wanted == "mobilenet_2_5_160_tf_no_top.h5"
    found = find_imagenet_file(wanted, catalog.entry("MobileNet").weights_file_for({"alpha": 0.25}))
    assert found == empty_keras_home / "mobilenet_2_5_224_tf_no_top.h5"


def test_weights_of_a_path_are_loaded_whatever_the_size(tmp_path: Path) -> None:
    source = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(96, 96, 3))
    source.save_weights(tmp_path / "own.weights.h5")
    model = build("MobileNet", 160, arguments={"alpha": 0.25}, weights=str(tmp_path / "own.weights.h5"))
    for ours, theirs in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_efficientnet_with_imagenets_file_divides_by_the_deviation(empty_keras_home: Path) -> None:
    plain = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))
    file = empty_keras_home / "efficientnetb0_notop.h5"
    plain.save_weights(empty_keras_home / "efficientnetb0_notop.weights.h5")
    import tfl.modalities.image.backbones.build as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_weights_file", lambda model, path, **options: model.set_weights(plain.get_weights()))
        file.touch()
        model = build("EfficientNetB0")
    scale = 1 / np.sqrt([0.229, 0.224, 0.225])
    np.testing.assert_allclose(model(pixels()), plain(pixels() * scale.astype("float32")), atol=1e-4)


@pytest.mark.slow
@pytest.mark.real_weights
@pytest.mark.parametrize(("name", "arguments"), [("MobileNet", {"alpha": 0.75}), ("MobileNetV2", {"alpha": 0.35})])
def test_real_weights_give_kerass_features_at_another_size(name: str, arguments: dict[str, Any]) -> None:
    file = Path(os.environ["KERAS_HOME"]) / "models" / catalog.entry(name).weights_file_for(arguments)
    reference = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(128, 128, 3), **arguments)
    reference.load_weights(file)
    ours = build_backbone(tfl.Backbone(name, arguments=arguments), image_size=(128, 128))
    np.testing.assert_allclose(ours(pixels(128)), reference(pixels(128) / 127.5 - 1), atol=1e-3)


def small_classifier(side: int = 32, **ending: Any) -> keras.Model:
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="first")(inputs)
    x = keras.layers.Conv2D(8, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def test_a_users_model_loses_its_top_and_takes_another_size(tmp_path: Path) -> None:
    whole = small_classifier()
    whole.save(tmp_path / "own.keras")
    model = build(str(tmp_path / "own.keras"), 48, preprocessing="none")
    assert model.output_shape == (None, 21, 21, 8)
    reference = keras.Model(whole.input, whole.get_layer("second").output)
    np.testing.assert_allclose(
        build(str(tmp_path / "own.keras"), 32, preprocessing="none")(pixels(32)), reference(pixels(32)), atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(("make", "last"), [("MobileNet", "conv_pw_13_relu"), ("MobileNetV3Small", "activation_17")])
def test_the_convolutions_of_an_old_classifier_are_no_blocks(make: str, last: str, tmp_path: Path) -> None:
    getattr(keras.applications, make)(weights=None, input_shape=(64, 64, 3)).save(tmp_path / "own.keras")
    built = build_backbone(tfl.Backbone(str(tmp_path / "own.keras")), image_size=(64, 64))
    assert built.output_shape[1:3] == (2, 2)
    assert {"conv_preds", "logits"}.isdisjoint(layer.name for layer in built.layers)
    assert last == built.output._keras_history.operation.name


def test_a_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    small_classifier().save(tmp_path / "model.keras")
    assert build(str(tmp_path), 32, preprocessing="none").output_shape == (None, 13, 13, 8)


def test_nested_models_are_opened_up(tmp_path: Path) -> None:
    inner = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(64, 64, 3))
    layers = keras.layers
    outer = keras.Sequential([keras.Input((64, 64, 3)), layers.Rescaling(1 / 255), inner, layers.Flatten(), layers.Dense(2)])
    outer.save(tmp_path / "outer.keras")
    model = build(str(tmp_path / "outer.keras"))
    assert {"rescaling", "conv_pw_13_relu"} <= {layer.name for layer in model.layers}
    np.testing.assert_allclose(model(pixels()), inner(pixels() / 255), atol=1e-5)


def test_random_weights_of_a_users_model_are_new(tmp_path: Path) -> None:
    small_classifier().save(tmp_path / "own.keras")
    own, new = (build(str(tmp_path / "own.keras"), 32, weights=weights, preprocessing="none") for weights in ("pretrained", None))
    assert weights_fingerprint(own) != weights_fingerprint(new)
    again = build(str(tmp_path / "own.keras"), 32, preprocessing="tf")
    assert weights_fingerprint(own) == weights_fingerprint(again)


def test_a_users_model_follows_the_precision_asked_for(tmp_path: Path, bfloat16: None) -> None:
    keras.config.set_dtype_policy("float32")
    small_classifier().save(tmp_path / "own.keras")
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert build(str(tmp_path / "own.keras"), 32, preprocessing="tf").output.dtype == "bfloat16"


def test_a_model_with_code_inside_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(tmp_path / "code.keras")
    with pytest.raises(BackboneError, match="Lambda"):
        build(str(tmp_path / "code.keras"), 32)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"text"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.keras").write_bytes(content)
    with pytest.raises(BackboneError, match=r"broken\.keras"):
        build(str(tmp_path / "broken.keras"), 32)


def test_a_model_without_feature_map_or_with_grey_input_is_refused(tmp_path: Path) -> None:
    dense, grey = keras.Input((12,)), keras.Input((32, 32, 1))
    keras.Model(dense, keras.layers.Dense(2)(dense)).save(tmp_path / "dense.keras")
    keras.Model(grey, keras.layers.Conv2D(2, 3)(grey)).save(tmp_path / "grey.keras")
    for name in ("dense", "grey"):
        with pytest.raises(BackboneError, match="RGB"):
            build(str(tmp_path / f"{name}.keras"), 32)
