"""What a file says of its layers, in every layout that Keras writes or wrote; and what is said of files that have none."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tfl.backbones.stored_layers import check_file, kind_of, stored_layers, values_of
from tfl.errors import BackboneError, WeightsNotFoundError

Layers = keras.layers


def nested(seed: int = 0) -> keras.Model:
    """A base in a Sequential, with a composite layer, dropout and a layer of no weights."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((16, 16, 3))
    x = Layers.BatchNormalization(name="c1_bn")(Layers.Conv2D(4, 3, name="c1")(pixels))
    base = keras.Model(pixels, x, name="base")
    top = [Layers.Conv2D(8, 3, name="c2"), Layers.GlobalAveragePooling2D(), Layers.Dropout(0.2), Layers.Reshape((2, 4))]
    return keras.Sequential([keras.Input((16, 16, 3)), base, *top, Layers.LSTM(3, name="memory"), Layers.Dense(5, name="fc")])


def save(model: keras.Model, file: Path) -> Path:
    if file.name.endswith(".weights.h5"):
        model.save_weights(file)
    elif file.name == "keras_2.h5":  # weights alone, as `save_weights("name.h5")` of Keras 2 wrote them
        model.save(file.with_name("whole.h5"))
        with h5py.File(file.with_name("whole.h5")) as whole, h5py.File(file, "w") as alone:
            for key, value in whole["model_weights"].attrs.items():
                alone.attrs[key] = value
            for name in whole["model_weights"]:
                whole.copy(f"model_weights/{name}", alone)
    else:
        model.save(file)
    return file


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "keras_2.h5", "own.weights.h5"])
def test_every_layout_has_the_same_layers_and_numbers(name: str, tmp_path: Path) -> None:
    model = nested()
    base = model.layers[0]
    wanted = {layer.name: layer for layer in (base.get_layer("c1"), base.get_layer("c1_bn"), *model.layers[1:]) if layer.weights}
    with stored_layers(save(model, tmp_path / name)) as found:
        assert found.ordered == (name != "own.weights.h5")
        if found.ordered:
            assert [layer.name for layer in found.layers] == ["c1", "c1_bn", "c2", "memory", "fc"]
        assert {layer.name for layer in found.layers} == set(wanted)
        for layer in found.layers:
            assert layer.kind in ("", kind_of(type(wanted[layer.name]).__name__)) and (layer.kind or name == "keras_2.h5")
            values = wanted[layer.name].get_weights()
            assert layer.shapes == tuple(value.shape for value in values)
            for array, value in zip(layer.arrays.values(), values, strict=True):
                np.testing.assert_array_equal(values_of(array), value)


@pytest.mark.parametrize("count", [12])
def test_more_than_ten_layers_of_a_kind_stay_in_order(count: int, tmp_path: Path) -> None:
    layers = [Layers.Dense(units, name=f"dense_of_{units}") for units in range(2, 2 + count)]
    keras.Sequential([keras.Input((3,)), *layers]).save_weights(tmp_path / "own.weights.h5")
    with stored_layers(tmp_path / "own.weights.h5") as found:
        assert [layer.shapes[1] for layer in found.layers] == [(units,) for units in range(2, 2 + count)]


def test_bfloat16_is_read_as_it_was(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), Layers.Dense(4, dtype="bfloat16", name="fc")])
    model.save_weights(tmp_path / "own.weights.h5")
    with stored_layers(tmp_path / "own.weights.h5") as found:
        np.testing.assert_array_equal(
            values_of(found.layers[0].arrays["vars/0"]), np.asarray(model.get_layer("fc").kernel, np.float32)
        )


def write(file: Path, content: Any) -> Path:
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("own.keras", b"", "an empty file"),
        ("own.h5", b"no weights", "another format, or a damaged file"),
        ("own.onnx", b"\x08\x07", "another format"),
        ("own.keras", b"PK\x03\x04 half a zip", "damaged"),
    ],
)
def test_what_is_no_file_of_keras_is_told(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=words) as caught, stored_layers(write(tmp_path / name, content)):
        pass
    assert ".weights.h5" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"no weights file .*none\.keras"):
        check_file(tmp_path / "none.keras")


def test_files_without_layers_are_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["numbers"] = np.ones(3)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("readme.txt", "no model")
    keras.Sequential([keras.Input((3,)), Layers.Flatten()]).save(tmp_path / "empty.keras")
    for name, words in (("table.h5", "no layers"), ("own.zip", "cannot be read"), ("empty.keras", "no layers")):
        with pytest.raises(BackboneError, match=words), stored_layers(tmp_path / name):
            pass


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), Layers.Dense(4, name="fc")])
    model.save_weights(tmp_path / "secret.weights.h5")
    with h5py.File(tmp_path / "own.weights.h5", "w") as file:
        file.create_group("layers/dense/vars")["0"] = h5py.ExternalLink("secret.weights.h5", "layers/dense/vars/0")
    with pytest.raises(BackboneError, match="elsewhere"), stored_layers(tmp_path / "own.weights.h5"):
        pass


def test_no_network_is_built_and_tensorflow_not_imported(tmp_path: Path) -> None:
    pixels = keras.Input((8, 8, 3))
    code = Layers.Lambda(lambda x: x * 2)(Layers.Conv2D(4, 3, name="c1")(pixels))
    keras.Model(pixels, code).save(tmp_path / "code.keras")
    script = (
        "import sys\nfrom tfl.backbones.stored_layers import stored_layers\n"
        "with stored_layers(sys.argv[1]) as found: assert [one.name for one in found.layers] == ['c1']\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "code.keras")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
