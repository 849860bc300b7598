"""Prefix and suffix are the whole model, at every block of several families."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError
from tfl.features.cut import cut, tensor_at
from tfl.model.assemble import Assembled, assemble


def build(name: str) -> Assembled:
    data = tfl.Sample("strawberry", image_size=(64, 64))
    return assemble(tfl.Recipe(name="test", data=data, backbone=tfl.Backbone(name, weights=None)), ["a", "b"])


def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")


@pytest.mark.parametrize("name", ["mini", "VGG16", "MobileNetV3Small", pytest.param("ConvNeXtTiny", marks=pytest.mark.slow)])
def test_prefix_and_suffix_are_the_whole(name: str) -> None:
    assembled = build(name)
    whole = assembled.model(pixels())
    for index in sorted({1, 2, len(assembled.blocks) // 2, len(assembled.blocks) - 1, len(assembled.blocks)}):
        prefix, suffix = cut(assembled, index)
        np.testing.assert_array_equal(suffix(prefix(pixels())), whole)
        assert len(prefix.weights) + len(suffix.weights) == len(assembled.model.weights)


def test_the_last_cut_gives_pooled_vectors() -> None:
    prefix, suffix = cut(build("mini"), 8)
    assert prefix.output_shape == (None, 128)
    assert [layer.name for layer in suffix.layers[1:]] == ["head_dropout1", "logits", "probabilities"]


def test_training_the_suffix_trains_the_whole() -> None:
    assembled = build("mini")
    prefix, suffix = cut(assembled, 7)
    before = np.array(assembled.model(pixels()))
    suffix.compile("adam", "categorical_crossentropy")
    suffix.fit(prefix.predict(pixels(), verbose=0), np.eye(2, dtype="float32"), verbose=0)
    after = np.array(assembled.model(pixels()))
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(suffix(prefix(pixels())), after)


def test_layers_outputs_stay_those_of_the_whole_model() -> None:
    assembled = build("mini")
    cut(assembled, 3)
    inside = keras.Model(assembled.model.input, assembled.model.get_layer("unit4_out").output)
    assert inside(pixels()).shape == (2, 8, 8, 96)


@pytest.mark.parametrize("index", [-1, 0, 9])
def test_cuts_that_are_not_there(index: int) -> None:
    with pytest.raises(BackboneError, match=r"1 .* to 8"):
        cut(build("mini"), index)


def test_a_layer_inside_a_branch_is_no_cut() -> None:
    with pytest.raises(BackboneError, match="unit1_conv1"):
        tensor_at(build("mini").model, "unit1_conv1")
