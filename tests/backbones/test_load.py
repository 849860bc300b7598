"""Model files of other Keras versions and of other people: loaded, or refused with the whole reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tfl.backbones.load import load_network
from tfl.errors import BackboneError

Layers = keras.layers


def classifier() -> keras.Model:
    """As Teachable Machine saves it: a MobileNetV2 in a Sequential in a Sequential."""
    base = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35, input_shape=(96, 96, 3))
    features = keras.Sequential([keras.Input((96, 96, 3)), base, Layers.GlobalAveragePooling2D()])
    return keras.Sequential([keras.Input((96, 96, 3)), features, keras.Sequential([Layers.Dense(4), Layers.Dense(2)])])


def change_layers(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites the settings of each layer in a whole model in HDF5."""

    def visit(layers: list[dict[str, Any]]) -> None:
        for layer in layers:
            change(layer)
            visit(layer["config"].get("layers", []))

    with h5py.File(file, "r+") as handle:
        config = json.loads(handle.attrs["model_config"])
        visit([config])
        handle.attrs["model_config"] = json.dumps(config)


def set_groups(value: int) -> Callable[[dict[str, Any]], None]:
    def change(layer: dict[str, Any]) -> None:
        if layer["class_name"] == "DepthwiseConv2D":
            layer["config"]["groups"] = value

    return change


@pytest.mark.slow
def test_a_teachable_machine_file_loads(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "keras_model.h5")
    change_layers(tmp_path / "keras_model.h5", set_groups(1))  # Keras 2 wrote it, Keras 3 refuses it
    with pytest.raises(Exception, match="groups"):
        keras.models.load_model(tmp_path / "keras_model.h5", compile=False)
    loaded = load_network(tmp_path / "keras_model.h5")
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype("float32")
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=1e-5)
    loaded.save(tmp_path / "again.keras")
    keras.models.load_model(tmp_path / "again.keras")  # with Keras alone


@pytest.mark.slow
def test_the_cause_stands_whole_in_the_message(tmp_path: Path) -> None:
    classifier().save(tmp_path / "keras_model.h5")
    change_layers(tmp_path / "keras_model.h5", set_groups(3))
    with pytest.raises(BackboneError) as caught:
        load_network(tmp_path / "keras_model.h5")
    message = str(caught.value)
    assert "Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 3}" in message
    assert "model.save('m.keras')" in message
    assert "batch_shape" not in message  # without the settings of every layer


CUSTOM = """
import sys, keras
@keras.saving.register_keras_serializable()
class Sharpen(keras.layers.Layer):
    def call(self, x):
        return x
class Blur(keras.layers.Layer):
    def call(self, x):
        return x
x = inputs = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(4, 3)(Blur(name="blur_1")(Sharpen(name="sharpen_1")(x)))
for suffix in (".keras", ".h5"):
    keras.Model(inputs, x).save(sys.argv[1] + suffix)
"""


@pytest.mark.slow
def test_layers_that_are_not_kerass_are_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CUSTOM, str(tmp_path / "own")], check=True, capture_output=True)
    for suffix in (".keras", ".h5"):
        with pytest.raises(BackboneError) as caught:
            load_network(tmp_path / f"own{suffix}")
        for words in ("Sharpen (layer `sharpen_1`)", "Blur (layer `blur_1`)", "not part of Keras", ".save('m.keras')"):
            assert words in str(caught.value)


def test_operations_in_an_old_file_are_named(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    x = keras.applications.mobilenet.preprocess_input(inputs)
    keras.Model(inputs, Layers.Conv2D(4, 3)(x)).save(tmp_path / "traced.h5")
    with pytest.raises(BackboneError, match=r"operations .*TrueDivide") as caught:
        load_network(tmp_path / "traced.h5")
    assert "keras.layers.Rescaling" in str(caught.value)


def test_code_in_an_h5_file_does_not_run(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, Layers.Conv2D(4, 3)(Layers.Lambda(lambda x: x * 2)(inputs))).save(tmp_path / "code.h5")
    with pytest.raises(BackboneError, match="Lambda"):
        load_network(tmp_path / "code.h5")

    def as_keras_2(layer: dict[str, Any]) -> None:
        if layer["class_name"] == "Lambda":
            layer["config"] |= {"function": ["4wEAAAAA", None, None], "function_type": "lambda", "module": "__main__"}

    change_layers(tmp_path / "code.h5", as_keras_2)
    with pytest.raises(BackboneError, match=r"(?i)lambda"):
        load_network(tmp_path / "code.h5")
