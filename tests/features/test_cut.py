"""Prefix and suffix are the whole model, at every block of several families."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError
from tfl.features.cut import cut, tensor_at
from tfl.model.assemble import Assembled, assemble


def build(name: str, taps: tuple[str, ...] = ()) -> Assembled:
    own = name.endswith(".keras")
    data = tfl.Sample("strawberry", image_size=(32, 32) if own else (64, 64))
    backbone = tfl.Backbone(name) if own else tfl.Backbone(name, weights=None)
    return assemble(tfl.Recipe(name="test", data=data, backbone=backbone, head=tfl.Head(taps=taps)), ["a", "b"])


@functools.cache
def plain(name: str) -> Assembled:
    """The network without taps, for tests that only look at it."""
    return build(name)


@pytest.fixture(scope="module", autouse=True)
def _drop_what_was_built() -> Iterator[None]:
    yield
    plain.cache_clear()


def with_taps(name: str, *places: float) -> Assembled:
    """Tapped at these shares of the way up."""
    names = [block.name for block in plain(name).blocks]
    return build(name, tuple(names[round(place * (len(names) - 1))] for place in places))


def pixels(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")


def cuts_of(assembled: Assembled) -> list[int]:
    """Five cuts, of deep networks three."""
    count = len(assembled.blocks)
    return sorted({1, 2, count // 2, count - 1, count} if count < 16 else {1, count // 2, count})


@pytest.mark.parametrize("name", ["mini", "VGG16", "MobileNetV3Small", pytest.param("ConvNeXtTiny", marks=pytest.mark.slow)])
def test_prefix_and_suffix_are_the_whole(name: str) -> None:
    assembled = plain(name)
    whole = assembled.model(pixels())
    for index in cuts_of(assembled):
        prefix, suffix = cut(assembled, index)
        np.testing.assert_array_equal(suffix(prefix(pixels())), whole)
        assert len(prefix.weights) + len(suffix.weights) == len(assembled.model.weights)


def test_the_last_cut_gives_pooled_vectors() -> None:
    prefix, suffix = cut(plain("mini"), 8)
    assert prefix.output_shape == (None, 128)
    assert [layer.name for layer in suffix.layers[1:]] == ["head_dropout1", "logits", "probabilities"]


@pytest.mark.slow
def test_training_the_suffix_trains_the_whole(small_network: str) -> None:
    assembled, images = build(small_network), pixels(32)
    prefix, suffix = cut(assembled, 3)
    before = np.array(assembled.model(images))
    suffix.compile("adam", "categorical_crossentropy")
    suffix.fit(prefix.predict(images, verbose=0), np.eye(2, dtype="float32"), verbose=0)
    after = np.array(assembled.model(images))
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(suffix(prefix(images)), after)


def test_layers_outputs_stay_those_of_the_whole_model() -> None:
    assembled = build("mini")
    cut(assembled, 3)
    inside = keras.Model(assembled.model.input, assembled.model.get_layer("unit4_out").output)
    assert inside(pixels()).shape == (2, 8, 8, 96)


@pytest.mark.parametrize("index", [-1, 0, 9])
def test_cuts_that_are_not_there(index: int) -> None:
    with pytest.raises(BackboneError, match=r"1 .* to 8"):
        cut(plain("mini"), index)


def test_a_layer_inside_a_branch_is_no_cut() -> None:
    with pytest.raises(BackboneError, match="unit1_conv1"):
        tensor_at(plain("mini").model, "unit1_conv1")


FAMILIES = ("mini", "VGG16", "MobileNetV3Small", "DenseNet121")
"""A row of residual units, one without, one with inverted units, and one whose blocks are joined by concatenation."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "places"),
    [(name, (0.0, 0.5, 1.0)) for name in FAMILIES] + [("mini", (0.3, 0.8))],
)
def test_prefix_and_suffix_are_the_whole_with_taps_below_the_cut(name: str, places: tuple[float, ...]) -> None:
    assembled = with_taps(name, *places)
    whole, count = assembled.model(pixels()), len(assembled.blocks)
    for index in cuts_of(assembled):
        prefix, suffix = cut(assembled, index)
        np.testing.assert_array_equal(suffix(prefix(pixels())), whole)
        assert len(prefix.weights) + len(suffix.weights) == len(assembled.model.weights)
        below = {block.name for block in assembled.blocks[: index - 1]}
        tapped = 0 if index == count else sum(tap.block in below for tap in assembled.taps)
        assert len(prefix.outputs) == len(suffix.inputs) == 1 + tapped


@pytest.mark.slow
def test_what_lies_below_the_cut_is_no_part_of_the_suffix() -> None:
    prefix, suffix = cut(build("mini", ("unit1_out", "unit6_out")), 5)
    assert {name: tensor.shape for name, tensor in prefix.output.items()} == {
        "features": (None, 8, 8, 96),
        "tap_unit1_out": (None, 24),
    }
    weighty = [layer.name for layer in suffix.layers if layer.weights]
    assert weighty and not [name for name in weighty if name.startswith(("stem", "unit1", "unit2", "unit3", "unit4"))]


def test_the_cut_at_a_tap_is_its_map_alone() -> None:
    prefix, _ = cut(build("mini", ("unit4_out", "unit7_out")), 5)
    assert prefix.output_shape == (None, 8, 8, 96)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_taps_beside_a_map_lose_nothing_in_mixed_precision(policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assembled = build("mini", ("unit1_out", "unit6_out"))
    finally:
        keras.config.set_dtype_policy(before)
    prefix, suffix = cut(assembled, 4)
    np.testing.assert_array_equal(suffix(prefix(pixels())), assembled.model(pixels()))


@pytest.mark.slow
def test_training_above_a_tap_trains_the_whole_and_saves_it(small_network: str, tmp_path: Path) -> None:
    assembled, images = build(small_network, ("unit1_out", "unit4_out")), pixels(32)
    prefix, suffix = cut(assembled, 3)
    before = np.array(assembled.model(images))
    suffix.compile("adam", "categorical_crossentropy")
    suffix.fit(prefix.predict(images, verbose=0), np.eye(2, dtype="float32"), verbose=0)
    after = np.array(assembled.model(images))
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(suffix(prefix(images)), after)
    assembled.model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), after)
