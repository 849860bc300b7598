"""What the head reads: the last block, an earlier one, or several side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import RecipeError
from tfl.features.pooled import pooled_models, refuse_too_wide
from tfl.model.assemble import Assembled, assemble
from tfl.model.head import POOL, STANDARD, pool, pooling_layer, tapped
from tfl.vectors import side_by_side

MINI = ["stem_out", *(f"unit{number}_out" for number in range(1, 8))]


def build(*taps: str, name: str = "mini", size: int = 64, **head: Any) -> Assembled:
    recipe = tfl.Recipe(
        name="test",
        data=tfl.Sample("strawberry", image_size=(size, size)),
        backbone=tfl.Backbone(name, weights=None),
        head=tfl.Head(taps=taps, **head),
    )
    return assemble(recipe, ["a", "b", "c"])


def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")


def read_by(assembled: Assembled) -> np.ndarray:
    return np.asarray(keras.Model(assembled.model.input, assembled.model.get_layer(POOL).output)(pixels()))


@pytest.mark.parametrize(
    ("taps", "expected"),
    [
        ((), [7]),
        (("unit3_out",), [3]),
        (("unit6_out", "stem_out"), [0, 6]),
        (("unit[12]_out", "unit2_out", "unit*7*"), [1, 2, 7]),
        (("*",), list(range(8))),
    ],
)
def test_names_and_globs_become_positions(taps: tuple[str, ...], expected: list[int]) -> None:
    assert tapped(tfl.Head(taps=taps), MINI) == expected


def test_an_unknown_tap_is_an_error_with_the_blocks_and_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"uni3_out.*stem_out, unit1_out.*Did you mean `unit3_out`") as raised:
        build("unit1_out", "uni3_out")
    assert "head.taps" in str(raised.value)


def test_each_tap_has_the_same_size_and_its_own_proportions() -> None:
    assembled = build("unit2_out", "unit5_out")
    found = read_by(assembled)
    maps = [assembled.model.get_layer(name).output for name in ("unit2_out", "unit5_out")]
    pooled = [np.asarray(keras.Model(assembled.model.input, map_)(pixels())).mean(axis=(1, 2)) for map_ in maps]
    widths = [vector.shape[1] for vector in pooled]
    parts = np.split(found, np.cumsum(widths)[:-1], axis=1)
    for part, vector in zip(parts, pooled, strict=True):
        np.testing.assert_allclose(np.sqrt((part**2).mean(axis=1)), 1, rtol=1e-5)
        np.testing.assert_allclose(part / np.linalg.norm(part, axis=1, keepdims=True), vector / norm(vector), atol=1e-5)
    assert [tap.block for tap in assembled.taps] == ["unit2_out", "unit5_out"]


def norm(vector: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vector, axis=1, keepdims=True)


@pytest.mark.parametrize("taps", [("unit3_out",), ("stem_out", "unit3_out")])
def test_blocks_above_the_highest_tap_are_not_in_the_network(taps: tuple[str, ...]) -> None:
    assembled = build(*taps)
    assert [block.name for block in assembled.blocks] == MINI[:4]
    assert sum(block.flops_share for block in assembled.blocks) == pytest.approx(1)
    assert not [layer.name for layer in assembled.model.layers if layer.name.startswith("unit4")]
    owned = {layer.name for name in (*MINI[:4], "head") for layer in assembled.layers_of(name)}
    assert owned == {layer.name for layer in assembled.model.layers[1:]}


@pytest.mark.slow
def test_one_tap_is_read_as_the_last_block_is_and_then_standardised() -> None:
    whole, last = build(), build("unit7_out")
    assert last.head_layers == (POOL, STANDARD, *whole.head_layers[1:]) and last.taps == ()
    for name in ("unit7_conv2", "logits"):
        np.testing.assert_array_equal(whole.model.get_layer(name).kernel, last.model.get_layer(name).kernel)
    np.testing.assert_array_equal(read_by(whole), read_by(last))
    np.testing.assert_allclose(whole.model(pixels()), last.model(pixels()), atol=1e-6)  # nothing is set yet
    early = build("unit3_out", pooling="max")
    map_ = keras.Model(early.model.input, early.backbone_output)(pixels())
    np.testing.assert_array_equal(read_by(early), np.max(map_, axis=(1, 2)))


def test_a_flattened_map_is_read_whole() -> None:
    assembled = build(pooling="flatten", hidden=(5, 4), activation="relu")
    map_ = np.asarray(keras.Model(assembled.model.input, assembled.backbone_output)(pixels()))
    assert map_.shape[1] > 1
    vector = map_.reshape(len(map_), -1)
    np.testing.assert_array_equal(read_by(assembled), vector)
    x = vector
    for name in ("head_dense1", "head_dense2", "logits"):
        kernel, bias = assembled.model.get_layer(name).get_weights()
        x = x @ kernel + bias if name == "logits" else np.maximum(x @ kernel + bias, 0)
    expected = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(assembled.model(pixels()), expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert assembled.model.get_layer("head_dense1").kernel.shape == (vector.shape[1], 5)


def test_flattened_taps_are_those_of_the_probes() -> None:
    assembled = build("unit2_out", "unit5_out", pooling="flatten")
    models = pooled_models(assembled, "flatten")
    names = [block.name for block in assembled.blocks]
    vectors = [np.asarray(models[names.index(name)](pixels())) for name in ("unit2_out", "unit5_out")]
    assert vectors[0].shape[1] == 16 * 16 * 48
    np.testing.assert_allclose(read_by(assembled), side_by_side(vectors), rtol=1e-4, atol=1e-5)


def test_flatten_takes_maps_of_one_size() -> None:
    with pytest.raises(RecipeError, match=r"texts have lengths of their own.*`avg`"):
        tfl.Recipe(
            name="texts",
            data=tfl.Sample("reviews", input=tfl.Text()),
            backbone=tfl.Backbone("tiny", weights=None),
            head=tfl.Head(pooling="flatten"),
        )
    for shape in ((None, None, None, 8), (None, None, 8)):
        with pytest.raises(RecipeError, match=r"vary with the example.*\(.*None"):
            pooling_layer(shape, "flatten")
    tokens = keras.Input((6, 8))
    assert pool(pooling_layer(tokens.shape, "flatten"), tokens, "flatten").shape == (None, 48)
    assert pool(pooling_layer((None, 8), "flatten"), keras.Input((8,)), "flatten").shape == (None, 8)
    with pytest.raises(RecipeError, match="padded"):
        pool(pooling_layer(tokens.shape, "flatten"), tokens, "flatten", mask=keras.Input((6,)))


def test_probes_of_every_block_do_not_read_maps_that_are_too_large() -> None:
    small, large = (build(size=size) for size in (32, 64))
    refuse_too_wide(small, "flatten")
    refuse_too_wide(large, "avg")
    with pytest.raises(RecipeError, match=r"90,112 numbers of each example in 8 blocks, 24,576 in `stem_out`.*at most 32,768"):
        refuse_too_wide(large, "flatten")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_tapping_head_stays_float32(policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assembled = build("unit2_out", "unit5_out", hidden=(4,))
        assert all(layer.compute_dtype == "float32" for layer in assembled.layers_of("head"))
        assert assembled.backbone_output.dtype == policy.removeprefix("mixed_")
    finally:
        keras.config.set_dtype_policy(before)


def test_a_dead_block_is_read_as_zeros_and_not_as_nan() -> None:
    assembled = build("unit2_out", "unit5_out")
    for layer in assembled.layers_of("unit2_out"):
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    found = read_by(assembled)
    assert np.isfinite(found).all() and not np.any(np.isnan(assembled.model(pixels())))


@pytest.mark.slow
def test_a_run_with_taps_is_the_next_ones_backbone(tmp_path: Path) -> None:
    first = build("stem_out", "unit2_out", "unit5_out")
    first.model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(pixels()), first.model(pixels()))
    recipe = tfl.Recipe(
        name="next",
        data=tfl.Sample("digits", image_size=(64, 64)),
        backbone=tfl.Backbone(str(tmp_path / "model.keras")),
        head=tfl.Head(taps=("unit1_out", "unit4_out")),
    )
    second = assemble(recipe, ["a", "b"])
    assert [block.name for block in second.blocks] == MINI[:5]
    np.testing.assert_array_equal(second.model.get_layer("unit4_conv2").kernel, first.model.get_layer("unit4_conv2").kernel)
    whole = assemble(recipe.override("head.taps", ""), ["a", "b"])
    assert [block.name for block in whole.blocks] == [block.name for block in first.blocks]
    map_, again = (keras.Model(item.model.input, item.backbone_output)(pixels()) for item in (first, whole))
    np.testing.assert_array_equal(map_, again)


@pytest.mark.slow
def test_a_run_with_taps_trains_exports_explains_and_goes_on(tmp_path: Path, small_network: str, pictures: None) -> None:
    """Head stage from stored vectors, a stage between two taps, Grad-CAM, parity, prediction, and a run on top of it."""
    from PIL import Image
    from rich.console import Console

    from tfl.job import run_recipe
    from tfl.modalities.image.sample import load_sample
    from tfl.serve.predictor import open_predictor

    recipe = tfl.Recipe(
        name="tapped",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("0", "3", "8")),
        backbone=tfl.Backbone(small_network),
        head=tfl.Head(taps=("unit1_out", "unit3_out")),
        stages=(
            tfl.Stage("head", epochs=5, learning_rate=1e-2),
            tfl.Stage("upper", train="top:2", epochs=1, learning_rate=1e-3),
            tfl.Stage("tapped", train="blocks:unit1_out", epochs=1, learning_rate=1e-4),
        ),
    )
    quiet = Console(quiet=True)
    run = run_recipe(recipe, out=tmp_path / "first", console=quiet)
    ledger = run.read_json("ledger.json")
    assert [row["block"] for row in ledger["upper"] if row["was_to_move"]] == ["unit2_out", "unit3_out", "head"]
    assert run.read_json("metrics.json")["test"]["accuracy"] > 0.6
    assert run.manifest["parity"]["saved_model"]["holds"]
    assert run.read_json("report/album.json")["feature_layer"] == "unit3_out"
    assert not [layer.name for layer in keras.models.load_model(run.path("model.keras")).layers if "unit4" in layer.name]
    Image.fromarray(load_sample("digits").images[0]).save(tmp_path / "digit.png")
    by_run, by_export = (
        open_predictor(folder).predict([tmp_path / "digit.png"])[0] for folder in (run.folder, run.path("export"))
    )
    assert by_export["probabilities"] == pytest.approx(by_run["probabilities"], abs=1e-5)
    second = dataclasses.replace(
        recipe,
        backbone=tfl.Backbone(str(run.folder)),
        head=tfl.Head(taps=("unit1_out", "unit2_out")),
        stages=(tfl.Stage("head", epochs=1),),
        export=(),
    )
    assert run_recipe(second, out=tmp_path / "second", console=quiet).manifest["status"] == "done"


@pytest.mark.slow
def test_a_run_that_flattens_trains_from_stored_vectors_exports_and_explains(
    tmp_path: Path, small_network: str, pictures: None
) -> None:
    from rich.console import Console

    from tfl.job import run_recipe

    recipe = tfl.Recipe(
        name="flat",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("0", "3", "8")),
        backbone=tfl.Backbone(small_network),
        head=tfl.Head(pooling="flatten", hidden=(16, 8), dropout=0.0),
        stages=(
            tfl.Stage("head", epochs=8, learning_rate=3e-3),
            tfl.Stage("upper", train="top:2", epochs=1, learning_rate=1e-4),
        ),
        export=("saved_model", "onnx"),
    )
    run = run_recipe(recipe, out=tmp_path / "run", console=Console(quiet=True))
    assert not any(run.stage_state(name)["unstored"] for name in ("head", "upper"))
    assert run.read_json("metrics.json")["test"]["accuracy"] > 0.6
    assert all(row["holds"] for row in run.manifest["parity"].values()) and len(run.manifest["parity"]) == 2
    assert run.read_json("report/album.json")["feature_layer"] == "unit4_out"
    model = keras.models.load_model(run.path("model.keras"))
    assert model.get_layer("head_dense1").kernel.shape == (4 * 4 * 24, 16)
