"""Low-rank changes start at nothing, compute as Keras says, and leave the usual layer with their sum."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfl.model.lora import lora, lora_layers, lora_size, merge_lora

LAYERS = {
    "dense": (keras.layers.Dense(5), (7, 3)),
    "einsum": (keras.layers.EinsumDense("abc,cde->abde", (None, 4, 5), bias_axes="de"), (2, 6, 3)),
    "conv1": (keras.layers.Conv1D(4, 3), (2, 9, 3)),
    "conv2": (keras.layers.Conv2D(6, 3, groups=3), (2, 8, 8, 3)),
    "embedding": (keras.layers.Embedding(10, 5), (2, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_merged_a_layer_gives_the_same_and_is_as_if_it_never_had_lora(name: str) -> None:
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 10, shape) if name == "embedding" else rng.normal(size=shape).astype("float32")
    plain = np.array(layer(inputs))
    config, paths = layer.get_config(), [weight.path for weight in layer.weights]
    assert lora_layers([layer]) == [layer]
    with lora([layer], rank=2, seed=0):
        factors = [weight for weight in layer.weights if "lora" in weight.name]
        assert sum(int(np.prod(weight.shape)) for weight in factors) == lora_size(layer, 2)
        assert all(weight.trainable for weight in factors) and not lora_layers([layer])
        np.testing.assert_array_equal(layer(inputs), plain)
        factors[1].assign(rng.normal(size=factors[1].shape))
        changed = np.array(layer(inputs))
        assert np.abs(changed - plain).max() > 0.01
        merge_lora([layer])
        np.testing.assert_allclose(layer(inputs), changed, atol=1e-5)
    assert [weight.path for weight in layer.weights] == paths and layer.get_config() == config
    assert lora_layers([layer]) == [layer]


def test_what_is_not_merged_is_dropped_and_the_seed_decides_the_start() -> None:
    layer = keras.layers.Dense(4)
    layer.build((None, 6))
    before, starts = layer.get_weights(), []
    for seed in (1, 1, 2):
        with lora([layer], rank=3, seed=seed):
            starts.append(np.array(layer.lora_kernel_a))
            layer.lora_kernel_b.assign(np.ones((3, 4)))
    assert all(map(np.array_equal, before, layer.get_weights()))
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])


def test_layers_that_cannot_take_it_are_left_out() -> None:
    kept, own = keras.layers.Dense(4, kernel_constraint="non_neg"), keras.layers.Dense(4, lora_rank=2)
    depthwise, quantised = keras.layers.DepthwiseConv2D(3), keras.layers.Dense(4)
    for layer in (kept, own, quantised):
        layer.build((None, 6))
    quantised.quantize("int8")
    depthwise.build((None, 8, 8, 3))
    assert lora_layers([kept, own, depthwise, quantised]) == []


def test_layers_within_layers_take_it() -> None:
    attention = keras.layers.MultiHeadAttention(2, 4)
    inputs = np.ones((1, 3, 8), "float32")
    attention(inputs, inputs)
    assert [layer.name for layer in lora_layers([attention])] == ["query", "key", "value", "attention_output"]
