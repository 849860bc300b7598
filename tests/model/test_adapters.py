"""Residual adapters: the network starts as it was, bit for bit, with the same blocks; what they learn loads with Keras alone."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

import tfl
from tfl.backbones.adapters import adapter_layers
from tfl.backbones.blocks import Block, find_blocks
from tfl.errors import BackboneError, RecipeError
from tfl.features.cut import cut
from tfl.features.identity import graph_hash
from tfl.features.pooled import pooled_models
from tfl.job import run_recipe
from tfl.model.assemble import Assembled, assemble
from tfl.model.freeze import Ledger, make_plan
from tfl.strategies import with_strategy
from tfl.train.stage_plan import plan_stage

WIDTH = 4
STAGE = tfl.Stage("s", train="top:2", weights="adapters")


def recipe_for(name: str, width: int = WIDTH, **parts: Any) -> tfl.Recipe:
    data = tfl.Sample("reviews", input=tfl.Text(length=8)) if name == "tiny" else tfl.Sample("strawberry", image_size=(64, 64))
    return tfl.Recipe(name="t", data=data, backbone=tfl.Backbone(name, weights=None, adapter_width=width), **parts)


def build(name: str = "mini", width: int = WIDTH, **parts: Any) -> Assembled:
    return assemble(recipe_for(name, width, **parts), ["a", "b"])


def examples(assembled: Assembled) -> Any:
    random = np.random.default_rng(0)
    if len(assembled.model.inputs) == 1:
        return random.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    mask = np.array([[1] * 8, [1] * 5 + [0] * 3], "int32")
    tokens = random.integers(1, 50, (2, 8)).astype("int32")
    made = {"token_ids": tokens, "padding_mask": mask, "segment_ids": 0 * mask}
    return {name: tf.constant(value) for name, value in made.items()}


def own_layers(block: Block) -> list[str]:
    return [name for name in block.layers if name not in block.adapter]


def learn(assembled: Assembled) -> None:
    """Gives every `up` weights, as training does."""
    for block in assembled.blocks:
        up = assembled.model.get_layer(adapter_layers(block.name)[2])
        up.kernel.assign(np.random.default_rng(0).normal(0, 0.1, up.kernel.shape))


@pytest.mark.parametrize("name", ["mini", "tiny", pytest.param("ResNet50V2", marks=pytest.mark.slow)])
def test_the_network_starts_as_it_was_with_the_same_blocks(name: str) -> None:
    if name == "tiny":
        pytest.importorskip("keras_hub")
    plain, adapted = build(name, 0), build(name)
    np.testing.assert_array_equal(adapted.model(examples(adapted)), plain.model(examples(plain)))
    assert [(one.name, own_layers(one), one.output_shape) for one in adapted.blocks] == [
        (one.name, list(one.layers), one.output_shape) for one in plain.blocks
    ]
    for before, after in zip(plain.blocks, adapted.blocks, strict=True):
        width = before.output_shape[-1]
        assert after.adapter == adapter_layers(before.name)
        assert after.parameters - before.parameters == 2 * width + (width * WIDTH + WIDTH) + (WIDTH * width + width)
        assert after.flops > before.flops
    learn(adapted)
    assert not np.allclose(adapted.model(examples(adapted)), plain.model(examples(plain)))
    whole = adapted.model(examples(adapted))
    for index, under_adapter in ((0, True), (1, False), (1, True), (len(adapted.blocks) - 1, True)):
        prefix, suffix = cut(adapted, index, under_adapter=under_adapter)
        made = prefix(examples(adapted))
        given = made if len(suffix.inputs) == 1 else {"features": made, "padding_mask": examples(adapted)["padding_mask"]}
        np.testing.assert_array_equal(suffix(given), whole)
        names = {layer.name for layer in prefix.layers}
        assert [adapter_layers(block.name)[0] in names for block in adapted.blocks] == [
            place < index for place in range(len(adapted.blocks))
        ]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_nothing_is_rounded_on_the_way_past_an_adapter(policy: str) -> None:
    plain, adapted = (assemble(recipe_for("mini", width), ["a", "b"], precision=policy) for width in (0, WIDTH))
    np.testing.assert_array_equal(adapted.model(examples(adapted)), plain.model(examples(plain)))
    assert adapted.model.get_layer("unit1_out_adapter").compute_dtype == policy.removeprefix("mixed_")


@pytest.mark.slow
def test_the_seed_decides_the_first_weights() -> None:
    first, same, other = (build(seed=seed).model.get_layer("unit1_out_adapter_down") for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.kernel, same.kernel)
    assert not np.allclose(first.kernel, other.kernel)


@pytest.mark.slow
def test_what_the_head_and_probes_read_is_behind_the_adapter() -> None:
    adapted = build(head=tfl.Head(taps=("unit2_out", "unit6_out"), dropout=0.0))
    learn(adapted)
    tapped = keras.Model(adapted.model.input, [tap.vector for tap in adapted.taps])(examples(adapted))
    models = pooled_models(adapted)
    names = [block.name for block in adapted.blocks]
    for vector, name in zip(tapped, ("unit2_out", "unit6_out"), strict=True):
        sums = keras.Model(adapted.model.input, adapted.model.get_layer(f"{name}_adapter").output)(examples(adapted))
        pooled = np.mean(sums, axis=(1, 2))
        np.testing.assert_allclose(models[names.index(name)](examples(adapted)), pooled, rtol=1e-4, atol=1e-5)
        of_one_length = pooled / np.sqrt(np.mean(pooled**2, axis=1, keepdims=True))
        np.testing.assert_allclose(vector, of_one_length, rtol=1e-4, atol=1e-5)
    prefix, suffix = cut(adapted, 4, under_adapter=True)
    assert set(prefix.output) == {"features", "tap_unit2_out"}
    np.testing.assert_array_equal(suffix(prefix(examples(adapted))), adapted.model(examples(adapted)))


def test_features_under_the_first_adapter_are_those_of_the_network_without() -> None:
    plain, adapted = build(width=0), build()
    assert graph_hash(cut(adapted, 0, under_adapter=True)[0]) == graph_hash(cut(plain, 1)[0])
    assert graph_hash(cut(adapted, 1)[0]) != graph_hash(cut(plain, 1)[0])


@pytest.mark.slow
def test_a_stage_trains_the_adapters_of_its_blocks_and_nothing_else_of_them() -> None:
    adapted = build()
    for before in ("all", "biases", "lora"):
        make_plan(adapted, tfl.Stage("s", train="all", weights=before)).apply(adapted)  # type: ignore[arg-type]
        plan = make_plan(adapted, STAGE)
        plan.apply(adapted)
        names = {weight.path.split("/")[0] for weight in adapted.model.trainable_variables}
        wanted = {name for block in ("unit6_out", "unit7_out") for name in adapter_layers(block)[:3]}
        assert names == wanted | {"logits"}
        assert sum(math.prod(weight.shape) for weight in adapted.model.trainable_variables) == plan.trained
    assert plan.first_trainable_block == 6 and plan.under_adapter
    for weights in ("biases", "lora"):
        part = make_plan(adapted, dataclasses.replace(STAGE, weights=weights))
        assert not part.under_adapter
        assert part.trained == make_plan(build(width=0), dataclasses.replace(STAGE, weights=weights)).trained
    everything = dataclasses.replace(STAGE, train="all")
    assert plan_stage(adapted, everything).has_prefix
    assert not plan_stage(adapted, dataclasses.replace(everything, augment=tfl.Augment(flip="horizontal"))).has_prefix
    whole = make_plan(adapted, dataclasses.replace(STAGE, weights="all"))
    assert whole.trained > plan.trained and not whole.under_adapter


@pytest.mark.parametrize(("layer", "group"), [("unit7_out_adapter_up", "adapters"), ("unit7_conv1", "weights")])
def test_the_ledger_tells_adapters_from_kernels(layer: str, group: str) -> None:
    adapted = build()
    before = Ledger.snapshot(adapted)
    kernel = adapted.model.get_layer(layer).kernel
    kernel.assign(kernel + 1e-6)
    after = Ledger.snapshot(adapted)
    assert [name for name in before["unit7_out"] if before["unit7_out"][name] != after["unit7_out"][name]] == [group]


def test_a_network_without_adapters_has_none_to_train() -> None:
    with pytest.raises(RecipeError, match=r"belongs to a residual adapter.*weights=adapters.*adapter_width=16"):
        make_plan(build(width=0), STAGE)


def test_the_classifier_of_the_source_has_no_adapters() -> None:
    backbone, stages = tfl.Backbone("MobileNet", adapter_width=WIDTH), (tfl.Stage("source", epochs=0),)
    with pytest.raises(RecipeError, match="without residual adapters"):
        tfl.Recipe(name="t", data=tfl.Data("x"), backbone=backbone, head=tfl.Head(start="source"), stages=stages)


@pytest.mark.slow
def test_a_saved_network_keeps_its_adapters_and_goes_on_training_them(tmp_path: Path) -> None:
    adapted = build()
    learn(adapted)
    adapted.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    np.testing.assert_array_equal(loaded(examples(adapted)), adapted.model(examples(adapted)))
    backbone = tfl.Backbone(str(tmp_path / "model.keras"))
    again = assemble(dataclasses.replace(recipe_for("mini"), backbone=backbone), ["c", "d", "e"])
    assert [(one.name, one.layers, one.adapter) for one in again.blocks] == [
        (one.name, one.layers, one.adapter) for one in adapted.blocks
    ]
    assert [row.block for row in make_plan(again, STAGE).rows if row.trainable] == ["unit6_out", "unit7_out", "head"]
    with pytest.raises(BackboneError, match=r"asks for further ones.*Leave out `adapter_width`"):
        assemble(dataclasses.replace(recipe_for("mini"), backbone=dataclasses.replace(backbone, adapter_width=2)), ["a", "b"])


def test_foreign_layers_of_such_a_name_are_no_adapter() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="one")(inputs)
    x = keras.layers.Conv2D(4, 3, name="one_adapter")(x)
    blocks = find_blocks(keras.Model(inputs, x))
    assert [block.name for block in blocks] == ["one", "one_adapter"] and not any(block.adapter for block in blocks)


@pytest.mark.slow
def test_a_run_with_adapters_resumes_loads_exports_and_leaves_its_source_as_it_was(tmp_path: Path, small_network: str) -> None:
    quiet = Console(quiet=True)
    low = tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("0", "1", "2"))
    source = tfl.Recipe(name="low", data=low, backbone=tfl.Backbone(small_network), export=(), confidence=None)
    trained = run_recipe(with_strategy(source, "features"), out=tmp_path / "source", console=quiet)
    recipe = tfl.Recipe(
        name="high",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("7", "8", "9")),
        backbone=tfl.Backbone(str(trained.folder), adapter_width=WIDTH),
        stages=(tfl.Stage("s", train="all", weights="adapters", epochs=2),),
        source_data=low,
        confidence=None,
    )
    run = run_recipe(recipe, out=tmp_path / "run", console=quiet)
    rows = run.read_json("ledger.json")["s"]
    assert {tuple(row["moved_weights"]) for row in rows[:-1]} == {("adapters",)}
    assert run.read_json("metrics.json")["source"]["unchanged"]
    again = run_recipe(recipe, out=tmp_path / "run", resume=True, console=quiet, report=False)
    assert again.read_json("metrics.json")["test"] == run.read_json("metrics.json")["test"]
    model, before = keras.models.load_model(run.model_file), keras.models.load_model(trained.model_file)
    np.testing.assert_array_equal(model.get_layer("unit4_conv1").kernel, before.get_layer("unit4_conv1").kernel)
    assert np.any(model.get_layer("unit4_out_adapter_up").kernel)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
    content = tf.io.encode_png(pixels)
    served = tf.saved_model.load(str(run.path("export", "saved_model", "1"))).signatures["serving_default"]
    (tmp_path / "one.png").write_bytes(content.numpy())
    (answer,) = tfl.load_run(run.folder).predict([tmp_path / "one.png"])
    probabilities = served(image_bytes=content[None])["probabilities"].numpy()[0]
    np.testing.assert_allclose(probabilities, model(pixels[None].astype("float32"))[0], atol=1e-5)
    np.testing.assert_allclose(probabilities, list(answer["probabilities"].values()), atol=1e-5)
