"""Which file a backbone's name stands for, what is said of files that Keras cannot load, and what is read of those it can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tfl.backbones.model_files import input_size, model_file, read_config
from tfl.errors import BackboneError


def small() -> keras.Model:
    inputs = keras.Input((48, 32, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.tflite", "a LiteRT"),
        ("net.onnx", "an ONNX file"),
        ("net.pt", "a PyTorch file"),
        ("net.PTH", "a PyTorch file"),
        ("net.safetensors", "weights without a network"),
        ("net.pb", "a frozen TensorFlow graph"),
    ],
)
def test_other_formats_are_named_with_the_way_to_convert(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(BackboneError, match=words) as caught:
        model_file(str(tmp_path / name))
    assert "model.save('m.keras')" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "saved_as", "words"),
    [
        ("net.keras", ".h5", "an HDF5 file by its content.*Rename it: net.h5"),
        ("net.h5", ".keras", "a `.keras` file by its content.*Rename it: net.keras"),
        ("net.KERAS", ".keras", "Received: .KERAS.*Rename it: net.keras"),
    ],
)
def test_a_wrong_suffix_is_named(name: str, saved_as: str, words: str, tmp_path: Path) -> None:
    small().save(tmp_path / f"saved{saved_as}")
    (tmp_path / f"saved{saved_as}").rename(tmp_path / name)
    with pytest.raises(BackboneError, match=words):
        model_file(str(tmp_path / name))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(("share", "words"), [(0, "is empty"), (0.0001, "is damaged")])
def test_an_empty_and_a_cut_off_file_are_named(share: float, words: str, suffix: str, tmp_path: Path) -> None:
    small().save(tmp_path / f"net{suffix}")
    content = (tmp_path / f"net{suffix}").read_bytes()
    (tmp_path / f"net{suffix}").write_bytes(content[: round(share * len(content)) + (2 if share else 0)])
    with pytest.raises(BackboneError, match=words):
        model_file(str(tmp_path / f"net{suffix}"))


def test_a_saved_model_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(BackboneError, match="is a TensorFlow SavedModel") as caught:
        model_file(str(tmp_path))
    assert "run folder" in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"holds no model\.keras"):
        model_file(str(tmp_path))


@pytest.mark.parametrize("name", ["none.keras", "none.h5", "none.hdf5", "none.onnx", "no/where"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackboneError, match=f"There is no model file {name}"):
        model_file(name)


def test_a_folder_named_like_a_network_of_the_catalog_is_not_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MobileNet").mkdir()
    assert model_file("MobileNet") is None


@pytest.mark.parametrize("name", ["own.weights.h5", "old.h5"])
def test_weights_without_a_network_go_to_weights(name: str, tmp_path: Path) -> None:
    small().save_weights(tmp_path / "own.weights.h5")
    (tmp_path / "own.weights.h5").rename(tmp_path / name)
    with pytest.raises(BackboneError, match="holds weights only") as caught:
        model_file(str(tmp_path / name))
    assert "weights=" in str(caught.value)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_the_input_size_is_read_from_the_file(suffix: str, tmp_path: Path) -> None:
    small().save(tmp_path / f"own{'.h5' if suffix == '.hdf5' else suffix}")
    file = next(tmp_path.iterdir()).rename(tmp_path / f"own{suffix}")
    assert model_file(str(file)) == file
    config = read_config(file)
    assert config is not None
    assert input_size(config) == (48, 32)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip", b"\x89HDF\r\n\x1a\n half"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_cannot_be_read_has_no_description(content: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"broken{suffix}").write_bytes(content)
    assert read_config(tmp_path / f"broken{suffix}") is None


def test_reading_a_model_file_does_not_import_tensorflow(tmp_path: Path) -> None:
    small().save(tmp_path / "own.keras")
    small().save(tmp_path / "own.h5")
    code = (
        "import sys, tfl\nfrom tfl.modalities.image.backbones.settle import settled\n"
        "for name in sys.argv[1:]:\n"
        "    recipe = settled(tfl.Recipe(name='x', data=tfl.Data('y'), backbone=tfl.Backbone(name)))\n"
        "    assert recipe.data.image_size == (48, 32), recipe\n"
        "    assert recipe.backbone.preprocessing == 'none', recipe\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    files = [str(tmp_path / name) for name in ("own.keras", "own.h5")]
    done = subprocess.run([sys.executable, "-c", code, *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
