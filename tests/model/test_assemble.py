"""The whole network: one flat graph, decided by the recipe and its seed, that loads with Keras alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.weight_hash import weights_fingerprint
from tfl.errors import BackboneError
from tfl.modalities.image.backbones import catalog
from tfl.model.assemble import Assembled, assemble


def build(name: str = "mini", side: int = 64, seed: int = 0, **head: Any) -> Assembled:
    recipe = tfl.Recipe(
        name="test",
        data=tfl.Sample("strawberry", image_size=(side, side)),
        backbone=tfl.Backbone(name, weights=None),
        head=tfl.Head(**head),
        seed=seed,
    )
    return assemble(recipe, ["blight", "healthy", "scorch"])


def pixels(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")


def test_probabilities_of_pixels_with_named_ends() -> None:
    assembled = build(hidden=(16, 8), dropout=0.5, pooling="max", activation="gelu")
    found = np.asarray(assembled.model(pixels()))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert found.shape == (2, 3)
    assert assembled.model.layers[0].name == "pixels"
    assert assembled.model.layers[-1].name == "probabilities"
    logits = keras.Model(assembled.model.input, assembled.model.get_layer("logits").output)(pixels())
    np.testing.assert_allclose(keras.ops.softmax(logits), found, atol=1e-6)


def test_head_follows_the_recipe() -> None:
    names = build(hidden=(16, 8), dropout=0.5).head_layers
    assert names == (
        *("head_pool", "head_dropout1", "head_dense1", "head_dropout2", "head_dense2"),
        *("head_dropout3", "logits", "probabilities"),
    )
    assert build(dropout=0.0).head_layers == ("head_pool", "logits", "probabilities")


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_the_seed_decides_every_new_weight(hidden: tuple[int, ...]) -> None:
    first, same, other = build(hidden=hidden), build(hidden=hidden), build(hidden=hidden, seed=1)
    assert weights_fingerprint(first.model) == weights_fingerprint(same.model)
    for name in ("logits", "stem_conv"):
        ours, theirs = (np.asarray(item.model.get_layer(name).kernel) for item in (first, other))
        assert not np.allclose(ours, theirs)


def test_every_layer_is_in_one_block_or_the_head() -> None:
    assembled = build()
    owned = [layer.name for block in assembled.blocks for layer in assembled.layers_of(block.name)]
    owned += [layer.name for layer in assembled.layers_of("head")]
    assert owned == [layer.name for layer in assembled.model.layers[1:]]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_head_stays_float32(policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assembled = build()
        assert assembled.model.output.dtype == "float32"
        assert assembled.backbone_output.dtype == policy.removeprefix("mixed_")
        assert all(layer.compute_dtype == "float32" for layer in assembled.layers_of("head"))
    finally:
        keras.config.set_dtype_policy(before)


LOADING = """
import sys, numpy, keras
for file in sys.argv[1:]:
    stored = numpy.load(file + ".npz")
    model = keras.models.load_model(file)
    numpy.testing.assert_array_equal(model(stored["pixels"]), stored["found"])
sys.exit("tfl" in sys.modules)
"""


@pytest.mark.slow
def test_a_saved_model_needs_keras_alone(tmp_path: Path) -> None:
    names = ("mini", "MobileNetV3Small")
    files = []
    for name in names:
        side = max(64, catalog.entry(name).minimum_size)
        model = build(name, side).model
        files.append(str(tmp_path / f"{name}.keras"))
        model.save(files[-1])
        np.savez(files[-1] + ".npz", pixels=pixels(side), found=model(pixels(side)))
    done = subprocess.run([sys.executable, "-c", LOADING, *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_runs_model_is_the_next_ones_backbone(tmp_path: Path) -> None:
    first = build(side=32)
    first.model.save(tmp_path / "model.keras")
    recipe = tfl.Recipe(
        name="next", data=tfl.Sample("digits", image_size=(48, 32)), backbone=tfl.Backbone(str(tmp_path / "model.keras"))
    )
    second = assemble(recipe, [str(digit) for digit in range(10)])
    assert second.model.output_shape == (None, 10)
    assert [block.name for block in second.blocks] == [block.name for block in first.blocks]
    np.testing.assert_array_equal(second.model.get_layer("unit7_conv2").kernel, first.model.get_layer("unit7_conv2").kernel)


def test_a_backbone_with_the_heads_names_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    keras.Model(inputs, keras.layers.Conv2D(4, 3, name="logits")(scaled)).save(tmp_path / "own.keras")
    with pytest.raises(BackboneError, match=r"named like the head.s: logits"):
        build(str(tmp_path / "own.keras"))  # weights=None clones it, the name stays
