"""The error that asks for a preprocessing, with what linear probes say of each."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.errors import BackboneError
from tfl.job import prepare_data, run_recipe
from tfl.modalities.image.preprocessing import MOST_EXAMPLES, few_of_each_class


@pytest.fixture
def bright_only(tmp_path: Path) -> str:
    """A network that lets red below 50 through, of pixels scaled to -1..1: only `tf` shows it what the classes differ in."""
    inputs = keras.Input((16, 16, 3))
    layer = keras.layers.Conv2D(2, 1, activation="relu", name="stem")
    x = layer(inputs)
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0] = -1.0
    layer.set_weights([kernel, np.array([-0.6, 1.0], np.float32)])
    keras.Model(inputs, x).save(tmp_path / "bright.keras")
    return str(tmp_path / "bright.keras")


@pytest.fixture
def recipe(tmp_path: Path, bright_only: str) -> tfl.Recipe:
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 255, (60, 16, 16, 3)).astype(np.uint8)
    images[..., 0] = np.where(labels == 0, 20, 45)[:, None, None]
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    stages = (tfl.Stage("head", epochs=1),)
    data = tfl.Data(str(tmp_path / "images.npz"))
    return tfl.Recipe(name="red", data=data, backbone=tfl.Backbone(bright_only), stages=stages, export=())


def test_the_message_has_a_score_for_each_choice(recipe: tfl.Recipe, tmp_path: Path) -> None:
    with pytest.raises(BackboneError) as caught:
        run_recipe(recipe, out=tmp_path / "run", console=Console(quiet=True))
    scores = {name: float(value) for name, value in re.findall(r"(none|tf|caffe|torch) (\d\.\d+)", str(caught.value))}
    assert set(scores) == {"none", "tf", "caffe", "torch"}
    assert scores["tf"] == 1.0
    assert scores["none"] < 0.8
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_once_it_is_stated_nothing_is_asked(recipe: tfl.Recipe, tmp_path: Path) -> None:
    stated = recipe.override("backbone.preprocessing", "tf")
    assert prepare_data(stated, Console(quiet=True))[0].data.image_size == (16, 16)
    run = run_recipe(stated, out=tmp_path / "run", console=Console(quiet=True))
    assert run.manifest["weights"]["preprocessing"] == "tf"
    assert run.recipe.data.image_size == (16, 16)
    assert run.recipe.backbone.preprocessing == "tf"


def test_few_images_are_taken_evenly() -> None:
    labels = np.repeat([0, 1, 2], [900, 150, 1])
    taken = few_of_each_class(labels, np.arange(len(labels)), seed=0)
    assert np.bincount(labels[taken], minlength=3).tolist() == [MOST_EXAMPLES // 2, MOST_EXAMPLES // 2, 0]
    assert not len(few_of_each_class(np.zeros(9, int), np.arange(9), seed=0))
