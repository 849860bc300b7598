"""The image size and the preprocessing that a recipe leaves to its network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError, RecipeError
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone
from tfl.modalities.image.backbones.settle import native_size, preprocessing_note, preprocessing_of, settled, size_note


def recipe(backbone: str, image_size: tuple[int, int] | None = None, **options: Any) -> tfl.Recipe:
    return tfl.Recipe(name="x", data=tfl.Data("photos", image_size=image_size), backbone=tfl.Backbone(backbone, **options))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *(("mini", 96), ("MobileNet", 224), ("ResNet50", 224), ("InceptionV3", 299), ("InceptionResNetV2", 299)),
        *(("Xception", 299), ("NASNetLarge", 331), ("EfficientNetB0", 224), ("EfficientNetB1", 240), ("EfficientNetB7", 600)),
        *(("EfficientNetV2B3", 300), ("EfficientNetV2L", 480)),
    ],
)
def test_without_a_size_it_is_the_networks_own(name: str, side: int) -> None:
    assert settled(recipe(name)).data.image_size == (side, side)


def test_a_stated_size_stays() -> None:
    assert settled(recipe("Xception", (128, 96))).data.image_size == (128, 96)


def test_a_size_that_nothing_decides_is_an_error_and_no_guess() -> None:
    with pytest.raises(RecipeError, match="image_size"):
        tfl.Data("photos").settled_size  # noqa: B018


@pytest.mark.parametrize(
    ("name", "side", "noted"),
    [
        ("MobileNet", 96, True),
        ("MobileNet", 168, False),
        ("MobileNet", 167, True),
        ("MobileNet", 336, False),
        ("MobileNet", 337, True),
        ("mini", 96, False),
        ("mini", 224, True),
        ("EfficientNetB7", 224, True),
    ],
)
def test_a_size_far_from_the_weights_own_is_noted(name: str, side: int, noted: bool) -> None:
    note = size_note(recipe(name, (side, side)))
    assert (note is not None) == noted
    assert note is None or f"{side} × {side} px is far from the" in note
    assert size_note(recipe(name, (side, side), weights=None)) is None
    assert size_note(recipe(name)) is None


def test_weights_published_for_a_size_are_not_far_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    entry = catalog.entry("MobileNetV2")
    own, usual = (tmp_path / "models" / entry.weights_file_for({}, size) for size in ((96, 96), None))
    usual.touch()
    assert "224 × 224" in str(size_note(recipe("MobileNetV2", (96, 96))))  # the weights for 224 px stand in
    own.touch()
    assert size_note(recipe("MobileNetV2", (96, 96))) is None


def conv_file(file: Path, shape: tuple[int | None, int | None, int], *, scaled: bool = False) -> str:
    x = inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(x) if scaled else x
    keras.Model(inputs, keras.layers.Conv2D(4, 3, name="stem")(x)).save(file)
    return str(file)


def test_a_model_file_gives_its_input_size_else_its_architectures(tmp_path: Path) -> None:
    assert settled(recipe(conv_file(tmp_path / "fixed.keras", (40, 56, 3)))).data.image_size == (40, 56)
    any_size = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(None, None, 3))
    any_size.save(tmp_path / "any.keras")
    assert native_size(tfl.Backbone(str(tmp_path / "any.keras"))).size == (224, 224)
    assert native_size(tfl.Backbone(str(tmp_path / "any.keras"))).known
    unknown = recipe(conv_file(tmp_path / "unknown.keras", (None, None, 3)))
    assert settled(unknown).data.image_size == (224, 224)
    assert "does not say its image size" in str(size_note(unknown))


def test_what_a_model_files_layers_decide_is_written_out(tmp_path: Path) -> None:
    scaled = recipe(conv_file(tmp_path / "scaled.keras", (32, 32, 3), scaled=True))
    assert settled(scaled).backbone.preprocessing == "none"
    assert "prepares the pixels" in preprocessing_of(settled(scaled).backbone).reason
    plain = recipe(conv_file(tmp_path / "plain.keras", (32, 32, 3)))
    assert settled(plain).backbone.preprocessing == "auto"
    assert preprocessing_of(plain.backbone).preprocessing is None
    assert settled(recipe("VGG16")).backbone.preprocessing == "auto"  # the catalog's, as before


def test_a_runs_model_prepares_its_pixels_itself(tmp_path: Path) -> None:
    name = conv_file(tmp_path / "model.keras", (32, 32, 3))
    assert preprocessing_of(tfl.Backbone(name)).preprocessing is None
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "recipe.json").write_text("{}")
    assert preprocessing_of(tfl.Backbone(name)).preprocessing == "none"
    assert preprocessing_of(tfl.Backbone(str(tmp_path))).preprocessing == "none"


def test_a_contradiction_to_the_catalog_is_refused() -> None:
    assert preprocessing_of(tfl.Backbone("VGG16", preprocessing="caffe")).preprocessing == "caffe"
    with pytest.raises(BackboneError, match="auto or caffe"):
        settled(recipe("VGG16", preprocessing="tf"))
    with pytest.raises(BackboneError, match="mini scales the pixels itself"):
        settled(recipe("mini", preprocessing="tf"))


def test_a_statement_against_the_layers_is_told(tmp_path: Path) -> None:
    name = conv_file(tmp_path / "scaled.keras", (32, 32, 3), scaled=True)
    assert "although the layer `rescaling" in preprocessing_of(tfl.Backbone(name, preprocessing="tf")).reason


def test_what_the_layers_decided_stays_the_reason(tmp_path: Path) -> None:
    name = conv_file(tmp_path / "scaled.keras", (32, 32, 3), scaled=True)
    note = preprocessing_note(settled(recipe(name)).backbone)
    assert note is not None and note.startswith("preprocessing none: the layer `rescaling")
    plain = conv_file(tmp_path / "plain.keras", (32, 32, 3))
    assert preprocessing_note(tfl.Backbone(plain, preprocessing="tf")) == "preprocessing tf: as stated"


REFERENCES = {
    "none": lambda pixels: pixels,
    "tf": keras.applications.mobilenet.preprocess_input,
    "torch": keras.applications.densenet.preprocess_input,
    "caffe": keras.applications.vgg16.preprocess_input,
}


@pytest.mark.parametrize("way", list(REFERENCES))
def test_a_stated_preprocessing_is_kerass(way: str, tmp_path: Path) -> None:
    name = conv_file(tmp_path / "plain.keras", (32, 32, 3))
    model = keras.models.load_model(name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    built = build_backbone(tfl.Backbone(name, preprocessing=way), image_size=(32, 32))  # type: ignore[arg-type]
    np.testing.assert_allclose(built(pixels), model(REFERENCES[way](pixels.copy())), rtol=1e-4, atol=1e-3)


def test_a_recognised_network_is_built_with_its_preprocessing(tmp_path: Path) -> None:
    raw = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(64, 64, 3))
    raw.save(tmp_path / "m.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    built = build_backbone(tfl.Backbone(str(tmp_path / "m.keras")), image_size=(64, 64))
    np.testing.assert_allclose(built(pixels), raw(pixels / 127.5 - 1), atol=1e-4)


def test_an_undecided_file_asks_and_says_what_was_looked_at(tmp_path: Path) -> None:
    name = conv_file(tmp_path / "plain.keras", (32, 32, 3))
    with pytest.raises(BackboneError) as caught:
        build_backbone(tfl.Backbone(name), image_size=(32, 32))
    for words in ("plain.keras", "`stem` (Conv2D)", "none:", "tf:", "caffe:", "torch:", "--set backbone.preprocessing=tf"):
        assert words in str(caught.value)
