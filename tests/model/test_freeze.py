"""The plan says what trains, and the ledger that nothing else moved."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.errors import FrozenMovedError, RecipeError
from tfl.model.assemble import Assembled, assemble
from tfl.model.freeze import Ledger, Plan, make_plan
from tfl.model.lora import LORA, lora
from tfl.model.multipliers import make_optimizer

UNITS = ["stem_out", *(f"unit{number}_out" for number in range(1, 8))]


@pytest.fixture(scope="module")
def mini() -> Assembled:
    return build()


def build() -> Assembled:
    data = tfl.Sample("strawberry", image_size=(32, 32))
    recipe = tfl.Recipe(name="test", data=data, backbone=tfl.Backbone("mini", weights=None), head=tfl.Head(dropout=0.0))
    return assemble(recipe, ["a", "b"])


def live(plan: Plan) -> list[str]:
    return [row.block for row in plan.rows if row.trainable]


@pytest.mark.parametrize(
    ("train", "expected", "first"),
    [
        ("head", ["head"], 8),
        ("top:1", ["unit7_out", "head"], 7),
        (tfl.top_blocks(8), [*UNITS, "head"], 0),
        ("all", [*UNITS, "head"], 0),
        (tfl.blocks("unit[56]_out", "stem_out"), ["stem_out", "unit5_out", "unit6_out", "head"], 0),
        ("blocks:unit6*", ["unit6_out", "head"], 6),
    ],
)
def test_what_a_stage_trains(mini: Assembled, train: str, expected: list[str], first: int) -> None:
    plan = make_plan(mini, tfl.Stage("s", train=train))
    assert live(plan) == expected
    assert plan.first_trainable_block == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "top:9"}, "top:8"),
        ({"train": "blocks:unit9_out"}, "unit7_out"),
        ({"train": "all", "multipliers": {"nothing*": 0.5}}, "stem_out"),
        ({"train": "head", "multipliers": {"head": 0.0}}, "Nothing trains"),
        ({"train": "head", "multipliers": {"logits": 0.0}}, "Nothing trains"),
        ({"train": "head", "multipliers": {"head_dense1": 0.5}}, "logits"),
        ({"train": "unmatched"}, "matches no layers of a weights file"),
    ],
)
def test_blocks_that_are_not_there(mini: Assembled, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_plan(mini, tfl.Stage("s", **options))


def test_layer_decay_counts_from_the_head_and_globs_overrule_it(mini: Assembled) -> None:
    plan = make_plan(mini, tfl.Stage("s", train="all", layer_decay=0.5, multipliers={"unit*": 0.9, "unit[12]*": 0.0}))
    assert [row.multiplier for row in plan.rows] == [0.5**8, 0, 0, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0]
    assert live(plan) == ["stem_out", *UNITS[3:], "head"]
    by_decay = make_plan(mini, tfl.Stage("s", train="top:2", layer_decay=0.5))
    assert [row.multiplier for row in by_decay.rows][-4:] == [0.0, 0.25, 0.5, 1.0]
    assert make_plan(mini, tfl.Stage("s", train="all", layer_decay=0.0)).first_trainable_block == 8


def test_apply_sets_every_layer_and_batchnorm_by_its_own_rule(mini: Assembled) -> None:
    make_plan(mini, tfl.Stage("s", train="top:1")).apply(mini)
    trainable = {weight.path for weight in mini.model.trainable_variables}
    assert {path.split("/")[0] for path in trainable} == {"unit7_conv1", "unit7_conv2", "logits"}
    make_plan(mini, tfl.Stage("s", train="top:1", batchnorm="train")).apply(mini)
    assert mini.model.get_layer("unit7_conv1_bn").trainable
    assert not mini.model.get_layer("unit6_conv1_bn").trainable


def test_multipliers_reach_each_weight(mini: Assembled) -> None:
    found = make_plan(mini, tfl.Stage("s", train="top:1", layer_decay=0.5)).multipliers(mini)
    assert found["logits/kernel"] == 1.0
    assert found["unit7_conv1/kernel"] == 0.5
    assert found["unit6_conv1/kernel"] == 0.0


@pytest.mark.slow
def test_layers_of_the_head_have_rates_of_their_own() -> None:
    recipe = tfl.Recipe(
        name="test",
        data=tfl.Sample("strawberry", image_size=(32, 32)),
        backbone=tfl.Backbone("mini", weights=None),
        head=tfl.Head(hidden=(8, 8)),
    )
    assembled = assemble(recipe, ["a", "b"])
    plan = make_plan(assembled, tfl.Stage("s", multipliers={"head_dense*": 0.5, "head_dense1": 0.0, "logits": 2.0}))
    assert plan.row("head").layer_multipliers == {"head_dense1": 0.0, "head_dense2": 0.5, "logits": 2.0}
    found = plan.multipliers(assembled)
    factors = {"head_dense1": 0.0, "head_dense2": 0.5, "logits": 2.0}
    assert {name: found[f"{name}/{part}"] for name in factors for part in ("kernel", "bias")} == factors
    plan.apply(assembled)
    assert {path.split("/")[0] for path in (weight.path for weight in assembled.model.trainable_variables)} == {
        "head_dense2",
        "logits",
    }
    assert plan.as_json()["rows"][-1]["layer_multipliers"] == factors
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(plan.table())
    assert "1, head_dense1 0, head_dense2 0.5, logits 2" in console.export_text()
    last = make_plan(assembled, tfl.Stage("s", multipliers={"head_dense1": 0.5, "head": 0.25}))
    assert last.row("head").layer_multipliers == {} and last.row("head").multiplier == 0.25  # the last that fits counts
    only = make_plan(assembled, tfl.Stage("s", multipliers={"head": 0.0, "logits": 1.0}))
    assert only.row("head").trainable and only.multipliers(assembled)["head_dense1/kernel"] == 0.0
    images, before = np.zeros((4, 32, 32, 3), "float32"), [layer.get_weights() for layer in assembled.layers_of("head")]
    assembled.model.compile(make_optimizer(tfl.Stage("s", optimizer="sgd"), found, 0.1), "categorical_crossentropy")
    assembled.model.fit(images, np.eye(2, dtype="float32")[[0, 1, 0, 0]], epochs=1, verbose=0)
    moved = {
        layer.name
        for layer, old in zip(assembled.layers_of("head"), before, strict=True)
        if any(not np.array_equal(now, then) for now, then in zip(layer.get_weights(), old, strict=True))
    }
    assert moved == {"head_dense2", "logits"}


@pytest.mark.slow
def test_what_was_not_imported_trains(tmp_path: Path) -> None:
    mini = build()
    cut = keras.Model(mini.model.input, mini.model.get_layer("unit5_out").output)
    cut.save_weights(tmp_path / "cut.weights.h5")
    backbone = tfl.Backbone("mini", weights=str(tmp_path / "cut.weights.h5"), match="name")
    data = tfl.Sample("strawberry", image_size=(32, 32))
    assembled = assemble(tfl.Recipe(name="test", data=data, backbone=backbone), ["a", "b"])
    assert assembled.unmatched_blocks() == ["unit6_out", "unit7_out"]
    plan = make_plan(assembled, tfl.Stage("s", train="unmatched", layer_decay=0.5))
    assert live(plan) == ["unit6_out", "unit7_out", "head"] and plan.first_trainable_block == 6
    assert [row.multiplier for row in plan.rows][-3:] == [0.25, 0.5, 1.0]
    mini.model.save(tmp_path / "whole.keras")
    whole = assemble(
        tfl.Recipe(name="test", data=data, backbone=dataclasses.replace(backbone, weights=str(tmp_path / "whole.keras"))), ["a"]
    )
    assert live(make_plan(whole, tfl.Stage("s", train="unmatched"))) == ["head"]


def test_the_plan_prints_and_serialises(mini: Assembled) -> None:
    plan = make_plan(mini, tfl.Stage("finetune", train="top:1"))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(plan.table())
    text = console.export_text()
    assert "finetune" in text and "unit7_out" in text and "frozen" in text
    document = plan.as_json()
    assert document["first_trainable_block"] == 7
    assert document["rows"][-1] == {
        "block": "head",
        "trainable": True,
        "multiplier": 1.0,
        "batchnorm": "inference",
        "layers": 3,
        "parameters": 258,
        "flops_share": 0.0,
        "weights": "all",
        "trained": 258,
    }


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({}, 128 * 128 * 9 + 128 * 128 * 9 + 258),
        ({"batchnorm": "train"}, 2 * (128 * 128 * 9 + 2 * 128) + 258),
        ({"weights": "biases"}, 2 * 128 + 258),
        ({"weights": "lora", "lora_rank": 2}, 2 * 2 * (128 * 9 + 128) + 258),
    ],
)
def test_the_plan_counts_what_trains_whatever_was_set_before(options: dict[str, Any], trained: int) -> None:
    mini = build()
    for before in ({"weights": "biases"}, {"batchnorm": "train"}, {"weights": "lora"}):
        make_plan(mini, tfl.Stage("s", train="all", **before)).apply(mini)  # type: ignore[arg-type]
        plan = make_plan(mini, tfl.Stage("s", train="top:1", **options))
        plan.apply(mini)
        with lora(plan.lora_layers(mini), rank=2, seed=0):
            assert sum(math.prod(weight.shape) for weight in mini.model.trainable_variables) == plan.trained == trained


def test_biases_train_while_batchnorm_runs_with_its_statistics(mini: Assembled) -> None:
    make_plan(mini, tfl.Stage("s", train="top:1", weights="biases")).apply(mini)
    trainable = {weight.path for weight in mini.model.trainable_variables}
    assert trainable == {"unit7_conv1_bn/beta", "unit7_conv2_bn/beta", "logits/kernel", "logits/bias"}
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(mini.model(images, training=True), mini.model(images, training=False))


@pytest.mark.parametrize("weights", ["biases", "lora"])
def test_layers_within_a_transformer_layer_train_by_the_same_rule(weights: str) -> None:
    pytest.importorskip("keras_hub")
    data = tfl.Sample("reviews", input=tfl.Text(length=8))
    assembled = assemble(tfl.Recipe(name="t", data=data, backbone=tfl.Backbone("tiny", weights=None)), ["a", "b"])
    plan = make_plan(assembled, tfl.Stage("s", train="all", weights=weights))  # type: ignore[arg-type]
    plan.apply(assembled)
    with lora(plan.lora_layers(assembled), rank=8, seed=0):
        backbone = [weight for weight in assembled.model.trainable_variables if not weight.path.startswith("logits")]
        names = {weight.name for weight in backbone}
        assert sum(math.prod(weight.shape) for weight in assembled.model.trainable_variables) == plan.trained
    assert names == ({"bias", "beta"} if weights == "biases" else set(LORA))


@pytest.mark.parametrize(("weights", "message"), [("biases", "has a bias"), ("lora", "takes LoRA, which Dense")])
def test_blocks_without_such_weights_are_refused(tmp_path: Path, weights: str, message: str) -> None:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, activation="relu", name="first")(inputs)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, activation="relu", name="second")(x)
    keras.Model(inputs, x).save(tmp_path / "own.keras")
    backbone = tfl.Backbone(str(tmp_path / "own.keras"), preprocessing="none")
    recipe = tfl.Recipe(name="test", data=tfl.Sample("strawberry", image_size=(16, 16)), backbone=backbone)
    with pytest.raises(RecipeError, match=message):
        make_plan(assemble(recipe, ["a", "b"]), tfl.Stage("s", train="all", weights=weights))  # type: ignore[arg-type]


def test_a_block_without_such_weights_is_frozen(tmp_path: Path) -> None:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="second")(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="third")(x)
    keras.Model(inputs, x).save(tmp_path / "own.keras")
    backbone = tfl.Backbone(str(tmp_path / "own.keras"), preprocessing="none")
    recipe = tfl.Recipe(name="test", data=tfl.Sample("strawberry", image_size=(16, 16)), backbone=backbone)
    assembled = assemble(recipe, ["a", "b"])
    assert make_plan(assembled, tfl.Stage("s", train="all")).first_trainable_block == 0
    assert make_plan(assembled, tfl.Stage("s", train="all", weights="lora")).first_trainable_block == 1


def train(assembled: Assembled, stage: tfl.Stage, epochs: int = 2) -> Plan:
    plan = make_plan(assembled, stage)
    plan.apply(assembled)
    assembled.model.compile(make_optimizer(stage, plan.multipliers(assembled), 1e-2), "categorical_crossentropy")
    images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype("float32")
    assembled.model.fit(images, np.eye(2, dtype="float32")[[0, 1] * 4], epochs=epochs, verbose=0)
    return plan


@pytest.mark.slow
@pytest.mark.parametrize("batchnorm", ["inference", "train"])
def test_training_moves_what_the_plan_says_and_nothing_else(batchnorm: str) -> None:
    assembled = build()
    before = Ledger.snapshot(assembled)
    plan = train(assembled, tfl.Stage("s", train="top:2", batchnorm=batchnorm))  # type: ignore[arg-type]
    rows = Ledger.compare(before, Ledger.snapshot(assembled), plan)
    assert [row["moved"] for row in rows] == [row["was_to_move"] for row in rows] == [False] * 6 + [True] * 3
    assert [row["batchnorm_moved"] for row in rows[-3:]] == [batchnorm == "train"] * 2 + [False]


@pytest.mark.parametrize(("layer", "weight"), [("unit1_conv1", 0), ("unit1_conv1_bn", 2), ("unit7_conv1_bn", 3)])
def test_the_ledger_finds_what_moved_in_secret(layer: str, weight: int) -> None:
    assembled = build()
    plan = make_plan(assembled, tfl.Stage("s", train="top:1"))
    before = Ledger.snapshot(assembled)
    variable = assembled.model.get_layer(layer).weights[weight]
    variable.assign(variable + 1e-6)
    with pytest.raises(FrozenMovedError, match=layer.split("_")[0]):
        Ledger.compare(before, Ledger.snapshot(assembled), plan)


def test_a_live_block_may_stand_still() -> None:
    assembled = build()
    before = Ledger.snapshot(assembled)
    rows = Ledger.compare(before, Ledger.snapshot(assembled), make_plan(assembled, tfl.Stage("s")))
    assert rows[-1]["was_to_move"] and not rows[-1]["moved"]


def test_batchnorm_in_inference_ignores_the_batch() -> None:
    assembled = build()
    make_plan(assembled, tfl.Stage("s", train="all")).apply(assembled)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(assembled.model(images, training=True), assembled.model(images, training=False))
    assert isinstance(assembled.model.get_layer("stem_conv_bn"), keras.layers.BatchNormalization)


@keras.saving.register_keras_serializable("tfl_test")
class Normalised(keras.layers.Layer):
    """A layer that has BatchNorm within."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.conv, self.norm = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()

    def build(self, shape: Any) -> None:
        self.conv.build(shape)
        self.norm.build(self.conv.compute_output_shape(shape))

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.norm(self.conv(x), training=training)


@pytest.mark.parametrize(("weights", "trained"), [("all", {"kernel", "bias"}), ("biases", {"bias", "beta"})])
def test_batchnorm_within_a_layer_keeps_the_rule(tmp_path: Path, weights: str, trained: set[str]) -> None:
    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, Normalised(name="first")(inputs)).save(tmp_path / "own.keras")
    backbone = tfl.Backbone(str(tmp_path / "own.keras"), preprocessing="none")
    data = tfl.Sample("strawberry", image_size=(16, 16))
    assembled = assemble(tfl.Recipe(name="test", data=data, backbone=backbone), ["a", "b"])
    plan = make_plan(assembled, tfl.Stage("s", train="all", weights=weights))  # type: ignore[arg-type]
    plan.apply(assembled)
    own = [weight for weight in assembled.model.trainable_variables if not weight.path.startswith("logits")]
    assert {weight.name for weight in own} == trained
    assert sum(math.prod(weight.shape) for weight in assembled.model.trainable_variables) == plan.trained
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
    before = Ledger.snapshot(assembled)
    assembled.model(images, training=True)
    assert before == Ledger.snapshot(assembled)


def test_batchnorm_that_trains_keeps_up_with_few_steps(mini: Assembled) -> None:
    make_plan(mini, tfl.Stage("finetune", train="top:1", batchnorm="train")).apply(mini)
    momenta = {
        block.name: {layer.momentum for layer in mini.layers_of(block.name) if isinstance(layer, keras.layers.BatchNormalization)}
        for block in mini.blocks
    }
    assert momenta["unit7_out"] == {0.9}
    assert all(momentum > 0.9 for momentum in momenta["unit6_out"])
