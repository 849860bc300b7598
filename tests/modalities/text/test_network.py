"""KerasHub's encoders laid out flat: the same answers, one block for each transformer layer, saved and loaded again."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tests.modalities.text.conftest import small_backbones
from tfl.backbones.blocks import find_blocks, find_cut_points
from tfl.backbones.flat import lay_out_above
from tfl.backbones.inputs import inputs_of
from tfl.errors import BackboneError
from tfl.modalities.text.network import build_backbone, lay_out_flat

pytest.importorskip("keras_hub")

NAMES = sorted(small_backbones())
TOKENS = np.array([[2, 5, 6, 7, 3, 0, 0], [2, 9, 8, 7, 6, 5, 3]], "int32")


@functools.cache
def flat(name: str) -> keras.Model:
    """A network laid out flat, for tests that only look at it."""
    return lay_out_flat(small_backbones()[name]())


def fed(model: keras.Model) -> dict[str, np.ndarray]:
    given = {"token_ids": TOKENS, "padding_mask": (TOKENS != 0).astype("int32"), "segment_ids": np.zeros_like(TOKENS)}
    return {tensor.name: given[tensor.name] for tensor in model.inputs}


def answer(model: Any) -> np.ndarray:
    found = model(fed(model), training=False)
    found = found["sequence_output"] if isinstance(found, dict) else found
    return np.asarray(keras.ops.cast(found, "float32"))


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def policy(request: pytest.FixtureRequest) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_flat_network_answers_as_keras_hubs_own_and_loads_again(name: str, policy: str, tmp_path: Path) -> None:
    raw = small_backbones()[name]()
    expected = answer(raw)
    model = lay_out_flat(raw)
    np.testing.assert_array_equal(answer(model), expected)
    assert type(model) is keras.Model.__mro__[0] or type(model).__name__ == "Functional"
    assert {tensor.name for tensor in model.inputs} >= {"token_ids", "padding_mask"}
    model.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(answer(again), expected)
    again.save(tmp_path / "again.keras")
    np.testing.assert_array_equal(answer(keras.models.load_model(tmp_path / "again.keras")), expected)


@pytest.mark.parametrize("name", NAMES)
def test_one_block_for_the_embeddings_and_one_for_each_transformer_layer(name: str) -> None:
    model = flat(name)
    embeddings, first, second = find_blocks(model, length=7)
    layers = [layer for block in (embeddings, first, second) for layer in block.layers]
    assert sorted(layers) == sorted({operation.name for operation in model.operations} - {one.name for one in model.inputs})
    assert sum(block.parameters for block in (embeddings, first, second)) == model.count_params()
    assert first.flops == second.flops > embeddings.flops
    assert embeddings.output_shape == second.output_shape == (None, 16)


def test_flops_of_a_layer_are_those_counted_by_hand() -> None:
    """Four projections of 16 × 16 and two of 16 × 32 at each of 7 positions; 7 × 7 products of queries with keys, and values."""
    for name in ("BertBackbone", "DistilBertBackbone", "RobertaBackbone"):
        blocks = find_blocks(flat(name), length=7)
        assert blocks[1].flops == 2 * 7 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 7 * 7 * 16
    assert blocks[1].parameters == 4 * (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 2 * 2 * 16
    default = find_blocks(flat("BertBackbone"))
    assert default[1].flops == 2 * 128 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 128 * 128 * 16


def test_flops_agree_with_the_profiler_of_tensorflow() -> None:
    """Its count has the softmax, the normalisation and the activation as well, which the network's own size makes small."""
    import tensorflow as tf
    from keras_hub import models

    settings = {"num_layers": 2, "num_heads": 4, "hidden_dim": 128, "intermediate_dim": 512}
    model = lay_out_flat(models.BertBackbone(vocabulary_size=60, max_sequence_length=64, **settings))
    specs = {one.name: tf.TensorSpec((1, 64), "int32") for one in model.inputs}
    traced = tf.function(lambda given: model(given, training=False)).get_concrete_function(specs)
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(traced.graph, options=options).total_float_ops
    assert sum(block.flops for block in find_blocks(model, length=64)) == pytest.approx(counted, rel=0.05)


def test_a_layer_that_is_shared_counts_once_and_its_calls_have_names_of_their_own() -> None:
    blocks = find_blocks(flat("AlbertBackbone"))
    assert [block.name for block in blocks] == ["embedding_projection", "group_0_inner_layer_0", "group_0_inner_layer_0_2"]
    assert blocks[1].parameters > 0 == blocks[2].parameters and blocks[2].layers == ()


@pytest.mark.parametrize("name", NAMES)
def test_prefix_and_suffix_are_the_whole(name: str) -> None:
    """The suffix takes the one tensor that is alive, and the inputs that it needs again."""
    model = flat(name)
    whole = answer(model)
    ends = {block.name for block in find_blocks(model)[:-1]}
    for point in find_cut_points(model):
        if point.name in ends:
            prefix = keras.Model(inputs_of(model), point.tensor)
            mask = next(one for one in model.inputs if one.name == "padding_mask")
            fresh = {"features": keras.Input(point.tensor.shape[1:], name="features"), "mask": keras.Input((None,), name="mask")}
            output = lay_out_above(model, [(point.tensor, fresh["features"]), (mask, fresh["mask"])])
            suffix, given = keras.Model(fresh, output), fed(model)
            np.testing.assert_array_equal(
                suffix({"features": prefix(given), "mask": keras.ops.convert_to_tensor(given["padding_mask"])}), whole
            )


def test_the_pooled_output_belongs_to_the_last_block() -> None:
    raw = small_backbones()["BertBackbone"]()
    expected = np.asarray(raw(fed(raw))["pooled_output"])
    model = lay_out_flat(raw, pooled=True)
    np.testing.assert_array_equal(np.asarray(model(fed(model))), expected)
    blocks = find_blocks(model)
    assert len(blocks) == 3 and blocks[-1].layers == ("transformer_layer_1", "get_item", "pooled_dense")


def test_keras_hubs_own_networks_have_blocks_as_they_are() -> None:
    raw = small_backbones()["BertBackbone"]()
    assert len(find_blocks(raw)) == 3
    assert sum(block.parameters for block in find_blocks(raw)) == raw.count_params()


def test_padding_changes_nothing() -> None:
    model = flat("BertBackbone")
    short = {name: value[:1, :5] for name, value in fed(model).items()}
    np.testing.assert_allclose(np.asarray(model(short)), answer(model)[:1, :5], atol=1e-6)


@pytest.mark.slow
def test_what_a_recipe_says_of_the_network(bert_folder: Path) -> None:
    name = str(bert_folder)
    first, second = build_backbone(tfl.Backbone(name)), build_backbone(tfl.Backbone(name))
    np.testing.assert_array_equal(answer(first), answer(second))
    fresh = build_backbone(tfl.Backbone(name, weights=None, arguments={"dropout": 0.0}))
    assert not np.allclose(answer(fresh), answer(first))
    for backbone, words in (
        (tfl.Backbone(name, preprocessing="tf"), "tokenizer"),
        (tfl.Backbone(name, arguments={"dtype": "float16"}), "dtype"),
        (tfl.Backbone(name, arguments={"wings": 2}), "wings"),
        (tfl.Backbone(name, weights="imagenet"), "own weights"),
    ):
        with pytest.raises(BackboneError, match=words):
            build_backbone(backbone)


def test_only_some_have_a_pooled_output(tmp_path: Path) -> None:
    from keras_hub import models

    small_backbones()["DistilBertBackbone"]().save_to_preset(str(tmp_path))
    models.DistilBertTokenizer(vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]).save_to_preset(str(tmp_path))
    with pytest.raises(BackboneError, match="no pooled output"):
        build_backbone(tfl.Backbone(str(tmp_path)), pooled=True)
