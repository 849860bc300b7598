"""Mini: its shape, its cut points' names, and weights that are those of the card or are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities.image.backbones import mini


@pytest.fixture(scope="module")
def pretrained() -> keras.Model:
    return mini.build_mini()


@pytest.fixture
def bfloat16() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("size", "output"),
    [((96, 96), (6, 6)), ((32, 32), (2, 2)), ((97, 131), (7, 9)), ((None, None), (None, None))],
)
def test_any_size_gives_a_sixteenth(size: tuple[int | None, int | None], output: tuple[int | None, int | None]) -> None:
    assert mini.build_mini((*size, 3), weights=None).output_shape == (None, *output, 128)


def test_open_shapes_run_on_odd_sizes() -> None:
    model = mini.build_mini((None, None, 3), weights=None)
    assert model(np.zeros((1, 75, 50, 3), "float32")).shape == (1, 5, 4, 128)


def test_units_end_in_named_layers(pretrained: keras.Model) -> None:
    ends = [layer.name for layer in pretrained.layers if layer.name.endswith("_out")]
    assert ends == ["stem_out", *(f"unit{number}_out" for number in range(1, 8))]
    assert not any(isinstance(layer, keras.Model) for layer in pretrained.layers)


def test_pixels_are_scaled_inside(pretrained: keras.Model) -> None:
    scale = pretrained.get_layer("scale_pixels")
    np.testing.assert_allclose(scale(np.array([0.0, 127.5, 255.0], "float32")), [-1, 0, 1], atol=1e-6)


def test_the_weights_are_small_and_the_cards(pretrained: keras.Model) -> None:
    data = mini.WEIGHTS_FILE.read_bytes()
    card = json.loads(mini.CARD_FILE.read_text())
    assert len(data) <= 2_000_000
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["sha256"] in mini.WEIGHTS_FILE.with_suffix(".md").read_text()
    assert {"command", "teacher", "minutes"} <= card.keys()


def test_pretrained_features_are_alive_and_differ_from_random(pretrained: keras.Model) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype("float32")
    features = np.asarray(pretrained(images))
    assert np.isfinite(features).all()
    assert 0.01 < (features > 0).mean() < 0.99
    assert not np.allclose(features, mini.build_mini(weights=None)(images))


def test_mixed_precision_loads_float32_weights(bfloat16: None, pretrained: keras.Model) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    model = mini.build_mini((64, 64, 3))
    assert {variable.dtype for variable in model.weights} == {"float32"}
    exact = np.asarray(mini_in_float32(images, pretrained))
    found = np.asarray(model(images)).astype("float32")
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.99


def mini_in_float32(images: np.ndarray, pretrained: keras.Model) -> np.ndarray:
    keras.config.set_dtype_policy("float32")
    model = mini.build_mini((64, 64, 3), weights=None)
    model.set_weights(pretrained.get_weights())
    keras.config.set_dtype_policy("mixed_bfloat16")
    return model(images)


def test_saved_weights_come_back_as_float16_says(tmp_path: Path) -> None:
    model, again = mini.build_mini(weights=None), mini.build_mini(weights=None)
    mini.save_weights(model, tmp_path / "own.npz", card={"command": "a test"})
    mini.load_weights(again, tmp_path / "own.npz")
    for stored, original in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(stored, original.astype("float16").astype("float32"))


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    model = mini.build_mini(weights=None)
    file = tmp_path / "own.npz"
    mini.save_weights(model, file, card={})
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(BackboneError, match="SHA-256"):
        mini.load_weights(model, file)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    model = mini.build_mini(weights=None)
    mini.save_weights(keras.Model(model.input, model.get_layer("unit3_out").output), tmp_path / "part.npz", card={})
    with pytest.raises(BackboneError, match="unit4_conv1"):
        mini.load_weights(model, tmp_path / "part.npz")


def test_a_missing_file_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"none\.npz.*weights=None"):
        mini.load_weights(mini.build_mini(weights=None), tmp_path / "none.npz")


@pytest.mark.parametrize("shape", [(31, 96, 3), (96, 16, 3), (96, 96, 1), (96, 96)])
def test_shapes_that_cannot_be_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BackboneError, match="input_shape"):
        mini.build_mini(shape, weights=None)  # type: ignore[arg-type]


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(BackboneError, match="imagenet"):
        mini.build_mini(weights="imagenet")  # type: ignore[arg-type]
