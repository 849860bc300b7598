"""The classifier of a source as a head: the same probabilities as the source's own, added up by class of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.inputs import inputs_of
from tfl.errors import BackboneError, RecipeError, WeightsNotFoundError
from tfl.features.cut import cut
from tfl.model.assemble import Assembled, assemble
from tfl.model.freeze import make_plan
from tfl.model.head import LOGITS, POOL
from tfl.model.source_head import set_mapping

Layers = keras.layers
SIZE = 32
TARGET = ("cat", "dog")
MATRIX = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [0, 0]], np.float32)
STAGES = (tfl.Stage("source", epochs=0),)


def trunk(pixels: Any) -> Any:
    x = Layers.Rescaling(1 / 255)(pixels)
    for channels in (4, 8, 8, 16):
        x = Layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(x)
    return x


def pooled(x: Any) -> Any:
    return Layers.Dense(5, activation="softmax", name="logits")(Layers.Dropout(0.3)(Layers.GlobalAveragePooling2D(name=POOL)(x)))


def flattened(x: Any) -> Any:
    return Layers.Dense(5)(Layers.Dense(12, activation="relu")(Layers.Flatten()(x)))


def convolved(x: Any) -> Any:
    x = Layers.Conv2D(5, 1)(Layers.GlobalAveragePooling2D(keepdims=True)(x))
    return Layers.Softmax(name="probabilities")(Layers.Reshape((5,))(x))


def shortcut(x: Any) -> Any:
    """What the classifier reads beside the last map, as a head with taps does."""
    low = x._keras_history.operation.input  # the map below the last one
    both = Layers.Concatenate()([Layers.GlobalAveragePooling2D()(low), Layers.GlobalAveragePooling2D()(x)])
    return Layers.Dense(5, activation="softmax")(both)


def saved(folder: Path, top: Any, names: str | None = "tabby\ndog\ntiger cat\ntree\ncar") -> tfl.Recipe:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    keras.Model(pixels, top(trunk(pixels))).save(folder / "mine.keras")
    if names is not None:
        (folder / "labels.txt").write_text(names)
    data = tfl.Data("nowhere", image_size=(SIZE, SIZE))
    backbone = tfl.Backbone(str(folder / "mine.keras"))
    return tfl.Recipe(name="pets", data=data, backbone=backbone, head=tfl.Head(start="source"), stages=STAGES)


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (6, SIZE, SIZE, 3)).astype("float32")


def built(recipe: tfl.Recipe, precision: str = "float32") -> Assembled:
    assembled = assemble(recipe, TARGET, precision=precision)
    set_mapping(assembled.model.layers, MATRIX)
    return assembled


@pytest.mark.parametrize("top", [pooled, flattened, convolved, shortcut])
def test_probabilities_are_those_of_the_source_added_up(top: Any, tmp_path: Path) -> None:
    recipe = saved(tmp_path, top)
    own = keras.models.load_model(tmp_path / "mine.keras")(images()).numpy()
    if top is flattened:
        own = np.asarray(keras.ops.softmax(own))
    assembled = built(recipe)
    classifier = assembled.classifier
    assert classifier is not None and classifier.class_names == ("tabby", "dog", "tiger cat", "tree", "car")
    inside = keras.Model(inputs_of(assembled.model), classifier.probabilities)
    np.testing.assert_allclose(inside(images()), own, atol=1e-6)
    sums = own @ MATRIX
    np.testing.assert_allclose(assembled.model(images()), sums / sums.sum(axis=1, keepdims=True), atol=1e-6)
    logits = keras.Model(inputs_of(assembled.model), assembled.model.get_layer(LOGITS).output)
    np.testing.assert_allclose(logits(images()), np.log(sums), atol=1e-5)


@pytest.mark.parametrize("top", [pooled, flattened, convolved, shortcut])
def test_the_network_is_cut_and_kept_like_any_other(top: Any, tmp_path: Path) -> None:
    assembled = built(saved(tmp_path, top))
    prefix, suffix = cut(assembled, len(assembled.blocks))
    np.testing.assert_allclose(suffix(prefix(images())), assembled.model(images()), atol=1e-6)
    assembled.model.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again(images()), assembled.model(images()))
    assert assembled.backbone().output_shape[1:3] == (2, 2)
    inside = {layer.name for block in assembled.blocks for layer in assembled.layers_of(block.name)}
    heads = {layer.name for layer in assembled.layers_of("head")}
    everything = {layer.name for layer in assembled.model.layers if layer.weights}
    assert not inside & heads and everything <= inside | heads
    assert not any(row.trainable for row in make_plan(assembled, STAGES[0]).rows[:-1])


def test_the_classifier_is_float32_under_mixed_precision(tmp_path: Path) -> None:
    recipe = saved(tmp_path, pooled)
    assembled = built(recipe, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in assembled.layers_of("head")} == {"float32"}
    assert assembled.backbone_output.dtype == "bfloat16"
    np.testing.assert_allclose(assembled.model(images()), built(recipe).model(images()), atol=0.05)


def test_a_class_without_a_source_class_keeps_its_logit_finite(tmp_path: Path) -> None:
    assembled = built(saved(tmp_path, pooled))
    set_mapping(assembled.model.layers, MATRIX * np.array([1, 0], np.float32))
    said = assembled.model(images()).numpy()
    assert np.isfinite(said).all() and (said[:, 0] > 0.999).all()


def test_the_number_of_names_has_to_be_right(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"Received: 2 names\. Allowed: 5"):
        assemble(saved(tmp_path, pooled, "cat\ndog"), TARGET)


def test_a_feature_map_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"mine\.keras has no classifier"):
        assemble(saved(tmp_path, lambda x: x), TARGET)


def test_mini_has_no_classifier() -> None:
    data = tfl.Data("nowhere", image_size=(SIZE, SIZE))
    recipe = tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini"), head=tfl.Head(start="source"), stages=STAGES)
    with pytest.raises(WeightsNotFoundError, match="mini come without a classifier"):
        assemble(recipe, TARGET)


PARTS: dict[str, Any] = {"name": "x", "data": tfl.Data("nowhere"), "backbone": tfl.Backbone("m.keras")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "multilabel"}, "one of several classes.*multilabel"),
        ({"task": "regress"}, "one of several classes.*regress"),
        ({"stages": (tfl.Stage("head", epochs=2),)}, r"nothing is trained.*epochs=\[2\]"),
        ({"stages": tfl.Auto()}, "nothing is trained.*Auto"),
        ({"backbone": tfl.Backbone("m.keras", weights=None)}, "random weights"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        tfl.Recipe(**{**PARTS, "head": tfl.Head(start="source"), "stages": STAGES, **change})


@pytest.mark.parametrize("own", [{"hidden": (8,)}, {"taps": ("a", "b")}, {"probe": "svm"}])
def test_the_head_has_no_layers_of_its_own(own: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="no layers of its own"):
        tfl.Head(start="source", **own)
