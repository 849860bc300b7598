"""Blocks of every family: natural units, 4 to 40, each layer once, and cuts that change nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.blocks import find_blocks, find_cut_points
from tfl.errors import BackboneError
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone

FAMILIES = {catalog.entry(name).family: name for name in reversed(catalog.names())} | {
    "MobileNetV3": "MobileNetV3Small",
    "ConvNeXt": "ConvNeXtTiny",
    "NASNet": "NASNetMobile",
    "EfficientNetV2": "EfficientNetV2B0",
}
COMPUTED = ("VGG16", "ResNet50", "DenseNet121", "MobileNetV3Small", "ConvNeXtTiny", "NASNetMobile")
"""Those that images go through, which take random weights; of the others only the layers are looked at."""


def build(name: str, side: int = 64) -> keras.Model:
    side = max(catalog.entry(name).minimum_size, side)
    return build_backbone(tfl.Backbone(name, weights=None), image_size=(side, side))


@functools.cache
def built(name: str) -> keras.Model:
    """The network for tests that only look at it."""
    return build(name)


@pytest.fixture(scope="module", autouse=True)
def _drop_what_was_built() -> Iterator[None]:
    yield
    built.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES.values(), "NASNetLarge"])
def test_every_family_has_4_to_40_natural_blocks(name: str, request: pytest.FixtureRequest) -> None:
    if name not in COMPUTED:
        request.getfixturevalue("zero_weights")
    check_blocks(built(name))


def check_blocks(model: keras.Model) -> None:
    blocks = find_blocks(model)
    layers = [layer for block in blocks for layer in block.layers]
    assert 4 <= len(blocks) <= 40
    assert sorted(layers) == sorted(operation.name for operation in model.operations if operation.name != "pixels")
    assert [block.name for block in blocks] == [name for name in layers if name in {block.name for block in blocks}]
    assert all(block.layers[-1] == block.name for block in blocks)
    assert sum(block.parameters for block in blocks) == model.count_params()
    assert sum(block.flops_share for block in blocks) == pytest.approx(1)
    assert blocks[-1].output_shape == model.output_shape[1:]
    assert blocks[0].parameters > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPUTED)
def test_cut_points_are_exact(name: str) -> None:
    model = built(name)
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    whole = model(images)
    cuts = find_cut_points(model)
    assert cuts[-1].tensor is model.output
    for point in (cuts[0], cuts[len(cuts) // 2], cuts[-2]):
        lower, upper = keras.Model(model.input, point.tensor), keras.Model(point.tensor, model.output)
        np.testing.assert_array_equal(upper(lower(images)), whole)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VGG16", ["block1_pool", "block2_pool", "block3_pool", "block4_pool", "block5_pool"]),
        ("MobileNet", ["conv1_relu", *(f"conv_pw_{n}_relu" for n in range(1, 14))]),
        (
            "ResNet50",
            ["pool1_pool", *(f"conv{s}_block{n}_out" for s, c in ((2, 3), (3, 4), (4, 6), (5, 3)) for n in range(1, c + 1))],
        ),
        ("InceptionV3", ["max_pooling2d", "max_pooling2d_1", *(f"mixed{n}" for n in range(11))]),
    ],
)
def test_units_are_those_a_person_would_name(name: str, expected: list[str]) -> None:
    assert [block.name for block in find_blocks(built(name))] == expected


@pytest.mark.slow
def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, again = built("Xception"), build("Xception")
    assert find_blocks(first) == find_blocks(again)
    assert [layer.name for layer in first.layers] == [layer.name for layer in again.layers]


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(("name", "gigaflops"), [("VGG16", 30.7), ("MobileNet", 1.135), ("MobileNetV2", 0.6)])
def test_flops_are_those_of_the_papers(name: str, gigaflops: float) -> None:
    """Twice the multiply-adds that the papers give at 224 px, without the classifier."""
    assert sum(block.flops for block in find_blocks(build(name, 224))) / 1e9 == pytest.approx(gigaflops, rel=0.02)


def test_first_block_holds_the_preprocessing() -> None:
    assert find_blocks(built("ResNet50"))[0].layers[:2] == ("flip", "scale_pixels")


def test_a_small_network_has_as_many_blocks_as_cut_points() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="a")(keras.layers.Rescaling(2.0, name="scale")(inputs))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="b")(x))
    assert [(block.name, block.layers) for block in find_blocks(model)] == [("a", ("scale", "a")), ("b", ("b",))]


def test_a_branch_that_skips_everything_leaves_one_cut() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", name="a")(inputs)
    x = keras.layers.Conv2D(3, 3, padding="same", name="b")(x)
    model = keras.Model(inputs, keras.layers.Add(name="end")([inputs, x]))
    assert [point.name for point in find_cut_points(model)] == ["end"]


def test_the_end_of_a_model_with_two_outputs_is_a_cut() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="a")(inputs)
    left, right = keras.layers.Conv2D(4, 3, name="b")(x), keras.layers.Conv2D(5, 3, name="c")(x)
    model = keras.Model(inputs, {"left": left, "right": right})
    first, end = find_cut_points(model)
    assert first.name == "a" and len(end.nodes) == 2 and end.name in ("b", "c")
    assert sum(block.parameters for block in find_blocks(model)) == model.count_params()


def test_what_is_no_graph_is_refused() -> None:
    class Own(keras.Model):
        def call(self, x):  # type: ignore[no-untyped-def]
            return x

    with pytest.raises(BackboneError, match="not a Functional model"):
        find_cut_points(Own())


def test_the_inputs_of_a_model_with_several_are_not_counted() -> None:
    """A mask goes into every layer; it is given to both sides of a cut."""
    x, mask = keras.Input((6, 4), name="x"), keras.Input((6, 1), name="mask")
    first = keras.layers.Multiply(name="first")([keras.layers.Dense(4, name="a")(x), mask])
    second = keras.layers.Multiply(name="second")([keras.layers.Dense(4, name="b")(first), mask])
    points = find_cut_points(keras.Model({"x": x, "mask": mask}, second))
    assert [point.name for point in points] == ["a", "first", "b", "second"]


def test_a_layer_that_is_called_again_has_a_number() -> None:
    inputs, again = keras.Input((4,)), keras.layers.Dense(4, name="again")
    model = keras.Model(inputs, again(again(again(inputs))))
    assert [point.name for point in find_cut_points(model)] == ["again", "again_2", "again_3"]
    assert [(block.name, block.parameters) for block in find_blocks(model)] == [("again", 20), ("again_2", 0), ("again_3", 0)]
