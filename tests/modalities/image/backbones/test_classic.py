"""LeNet, AlexNet, ResNet18 and ResNet34: the published counts, the shapes, and what is said where weights are asked for."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.blocks import find_blocks
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities.base import check_available
from tfl.modalities.image.backbones import catalog, classic
from tfl.modalities.image.backbones.build import build_backbone


def build(name: str, side: int | None = None) -> keras.Model:
    size = side or catalog.entry(name).native_size
    return build_backbone(tfl.Backbone(name, weights=None), image_size=(size, size))


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def dense(*widths: int) -> int:
    """Parameters of dense layers with biases, one after the other."""
    return sum(inputs * outputs + outputs for inputs, outputs in itertools.pairwise(widths))


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("AlexNet", 61_100_840 - dense(256 * 6 * 6, 4096, 4096, 1000)),
        ("ResNet18", 11_689_512 - dense(512, 1000)),
        ("ResNet34", 21_797_672 - dense(512, 1000)),
    ],
)
def test_parameters_are_those_of_torchvision_without_the_dense_layers(name: str, published: int) -> None:
    """Of its documentation, `num_params` of each network's weights (https://pytorch.org/vision/stable/models.html)."""
    assert trainable(build(name)) == published


def test_parameters_of_lenet_are_those_of_the_paper() -> None:
    """C1 156 and C5 48,120 as printed; C3 has 2,416 where each of its 16 maps reads all 6, 1,516 by the table of the paper."""
    layers = {layer.name: layer.count_params() for layer in build("LeNet").layers}
    gray_to_color = 2 * 6 * 5 * 5
    assert (layers["c1"] - gray_to_color, layers["c3"], layers["c5"]) == (156, 1516 + (16 * 6 - 60) * 25, 48_120)


@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("name", "gigaflops"), [("AlexNet", 2 * (0.71 - 0.0586)), ("ResNet18", 2 * 1.81), ("ResNet34", 2 * 3.66)]
)
def test_flops_are_twice_the_published_multiply_adds(name: str, gigaflops: float) -> None:
    """Of torchvision's documentation (`GFLOPS`, which are multiply-adds), AlexNet's without its 58.6 million of dense layers."""
    assert sum(block.flops for block in find_blocks(build(name))) / 1e9 == pytest.approx(gigaflops, rel=0.01)


@pytest.mark.parametrize(
    ("name", "side", "map_"),
    [
        ("LeNet", 32, (1, 1, 120)),
        ("AlexNet", 63, (1, 1, 256)),
        ("AlexNet", 224, (6, 6, 256)),
        ("ResNet18", 32, (1, 1, 512)),
        ("ResNet34", 224, (7, 7, 512)),
    ],
)
def test_maps_have_the_sizes_of_the_papers(name: str, side: int, map_: tuple[int, ...]) -> None:
    model = build(name, side)
    assert model.output_shape[1:] == map_
    assert 4 <= len(find_blocks(model)) <= 40


def test_units_of_resnet18() -> None:
    assert [block.name for block in find_blocks(build("ResNet18", 64))] == [
        "pool1_pool",
        *(f"conv{stage}_block{unit}_out" for stage in (2, 3, 4, 5) for unit in (1, 2)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", tuple(classic.BUILDERS))
def test_they_scale_pixels_themselves(name: str) -> None:
    model = build(name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    scaled = keras.Model(model.input, model.get_layer("scale_pixels").output)(pixels)
    if name == "LeNet":
        expected = pixels / 127.5 - 1
    else:
        expected = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    assert np.isfinite(np.asarray(model(pixels))).all()


@pytest.mark.parametrize("name", tuple(classic.BUILDERS))
def test_pretrained_weights_are_refused_before_tensorflow_is_needed(name: str) -> None:
    recipe = tfl.Recipe(name="a", data=tfl.Data("photos"), backbone=tfl.Backbone(name))
    with pytest.raises(WeightsNotFoundError, match=r"no pretrained weights.*weights=None.*weights=PATH"):
        check_available(recipe)
    with pytest.raises(WeightsNotFoundError, match="no pretrained weights"):
        build_backbone(tfl.Backbone(name, weights="imagenet"), image_size=(224, 224))
    check_available(tfl.Recipe(name="a", data=tfl.Data("photos"), backbone=tfl.Backbone(name, weights=None)))


def test_a_weights_file_is_loaded(tmp_path: Path) -> None:
    source = classic.build_lenet((64, 64, 3))
    source.save_weights(tmp_path / "lenet.weights.h5")
    model = build_backbone(tfl.Backbone("LeNet", weights=str(tmp_path / "lenet.weights.h5")), image_size=(32, 32))
    np.testing.assert_array_equal(model.get_layer("c3").kernel, source.get_layer("c3").kernel)


@pytest.mark.parametrize(("build_it", "shape"), [(classic.build_lenet, (31, 32, 3)), (classic.build_resnet18, (64, 64, 1))])
def test_other_shapes_are_refused(build_it, shape) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BackboneError, match=r"each side at least 32 px"):
        build_it(shape)


def test_another_preprocessing_is_refused() -> None:
    with pytest.raises(BackboneError, match="ResNet18 scales the pixels itself"):
        build_backbone(tfl.Backbone("ResNet18", weights=None, preprocessing="caffe"), image_size=(64, 64))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "export"), [("LeNet", ("saved_model",)), ("ResNet18", ())])
def test_they_train_and_are_exported(name: str, export: tuple[str, ...], tmp_path: Path) -> None:
    recipe = tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=6),
        backbone=tfl.Backbone(name, weights=None),
        stages=(tfl.Stage("all", train="all", epochs=1, learning_rate=1e-3, batchnorm="train"),),
        export=export,
    )
    run = tfl.run(recipe, out=tmp_path / "run")
    assert (tmp_path / "run" / "export" / "saved_model" / "1").is_dir() == bool(export)
    assert json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert 0 <= run.metrics["test"]["accuracy"] <= 1
