"""Layers that take over weights of another network: which do, which do not and why, and that nothing is taken by chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.matching import HOW, Matching, common_subsequence, import_weights, match_weights, matching_of
from tfl.backbones.weight_hash import weights_fingerprint, weights_hash
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities.image.backbones.available import check_available
from tfl.modalities.image.backbones.build import build_backbone

Layers = keras.layers


def network(
    widths: Sequence[int] = (4, 6, 6, 8),
    *,
    names: str = "block{}",
    size: int = 32,
    top: int = 5,
    seed: int = 1,
    norm: bool = True,
) -> keras.Model:
    """Convolutions with BatchNorm, each three and then a pool, with a classifier; `names` is empty for those that Keras gives."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((size, size, 3))
    x = Layers.Rescaling(1 / 255)(pixels)
    for number, width in enumerate(widths, start=1):
        named = {"name": names.format(number)} if names else {}
        x = Layers.Conv2D(width, 3, padding="same", activation="relu", bias_initializer="normal", **named)(x)
        if norm:
            options = {"gamma_initializer": "normal", "moving_mean_initializer": "normal"}
            x = Layers.BatchNormalization(**options, **({"name": f"{named['name']}_bn"} if names else {}))(x)
        x = Layers.MaxPooling2D()(x)
    return keras.Model(pixels, Layers.Dense(top, name="classes")(Layers.GlobalAveragePooling2D()(x)))


def save(model: keras.Model, file: Path) -> Path:
    (model.save_weights if file.name.endswith(".weights.h5") else model.save)(file)
    return file


def pairs(found: Matching) -> dict[str | None, str | None]:
    return {row.layer: row.source for row in found.rows if row.by is not None}


def reasons(found: Matching) -> dict[str | None, str]:
    return {row.layer or f"({row.source})": row.reason for row in found.rows if row.by is None}


def same_weights(first: Any, second: Any) -> bool:
    return all(np.array_equal(one, two) for one, two in zip(first.get_weights(), second.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.weights.h5"])
@pytest.mark.parametrize("match", HOW)
def test_what_fits_is_taken_over_and_the_rest_stays(name: str, match: Any, tmp_path: Path) -> None:
    source, target = network((4, 6, 7, 8)), network((4, 6, 6, 8), size=48, top=3, seed=2)
    before = {layer.name: layer.get_weights() for layer in target.layers}
    found = import_weights(target, save(source, tmp_path / name), match=match)
    assert found.imported == ("block1", "block1_bn", "block2", "block2_bn", "block4_bn")
    assert found.unmatched == ("block3", "block3_bn", "block4", "classes")
    for layer in found.imported:
        assert same_weights(target.get_layer(layer), source.get_layer(layer))
    for layer in found.unmatched:
        for now, then in zip(target.get_layer(layer).get_weights(), before[layer], strict=True):
            np.testing.assert_array_equal(now, then)
    why = reasons(found)
    if match == "order":
        assert why["block3"] == "no layer of this kind and shapes at its place in the file"
        assert why["(block3)"] == "no layer of the network takes it"
    else:
        assert why["block3"] == "other shapes: 3×3×6×7, 7 in the file" and why["block4"] == "other shapes: 3×3×7×8, 8 in the file"
        assert why["classes"] == "other shapes: 8×5, 5 in the file"
        assert not any(layer.startswith("(") for layer in why)  # a layer that was compared is not told of twice
    assert matching_of(target) == found and matching_of(source) is None


def test_renamed_layers_match_by_order_and_not_by_name(tmp_path: Path) -> None:
    file = save(network(names="conv{}"), tmp_path / "renamed.keras")
    found = match_weights(network(), file, match="order")
    assert pairs(found) == {f"block{n}{end}": f"conv{n}{end}" for n in range(1, 5) for end in ("", "_bn")} | {
        "classes": "classes"
    }
    by_name = match_weights(network(), file, match="name")
    assert by_name.imported == ("classes",) and reasons(by_name)["block1"] == "no layer of this name in the file"
    both = match_weights(network(), file, match="auto")
    assert {row.by for row in both.rows if row.layer != "classes"} == {"order"} and both.rows[-1].by == "name"
    assert both.sentence().endswith("renamed.keras: 1 by name, 8 by order")


def test_order_fills_in_between_names_and_never_across_them(tmp_path: Path) -> None:
    """Two layers of equal shapes: the renamed one goes where the names around it say, not to the first that fits."""
    source, target = network((6, 6, 6, 6), norm=False), network((6, 6, 6, 6), norm=False, seed=2)
    source.get_layer("block2").name = "renamed"
    found = import_weights(target, save(source, tmp_path / "own.keras"), match="auto")
    assert pairs(found) == {"block1": "block1", "block2": "renamed", "block3": "block3", "block4": "block4", "classes": "classes"}
    for old, new in (("block3", "new"), ("block2", "block3")):  # here the layer without a name in the file is on the other side
        target.get_layer(old).name = new
    found = match_weights(target, tmp_path / "own.keras", match="auto")
    assert found.unmatched == ("new",) and "renamed" in {row.source for row in found.rows if row.layer is None}


def test_a_name_with_other_shapes_is_not_matched_by_order_either(tmp_path: Path) -> None:
    file = save(network((4, 6, 7, 6)), tmp_path / "own.keras")
    found = match_weights(network((4, 6, 6, 6)), file, match="auto")
    assert "block3_bn" in found.unmatched and reasons(found)["block3_bn"].startswith("other shapes: 7")


def test_another_kind_under_the_same_name_is_told(tmp_path: Path) -> None:
    inputs = keras.Input((8,))
    keras.Model(inputs, Layers.Dense(8, use_bias=False, name="one")(inputs)).save(tmp_path / "own.keras")
    other = keras.Model(inputs, Layers.Dense(3, name="two")(Layers.EinsumDense("ab,bc->ac", 8, name="one")(inputs)))
    assert other.get_layer("one").kernel.shape == (8, 8)
    for match in HOW:
        found = match_weights(other, tmp_path / "own.keras", match=match)
        assert not found.imported
        assert match == "order" or reasons(found)["one"] == "other kind: dense in the file"


def test_names_by_counting_match_where_both_have_as_many(tmp_path: Path) -> None:
    for _ in range(3):
        Layers.Conv2D(4, 3)  # the counter goes on
    file = save(network(names="", top=3), tmp_path / "own.keras")
    assert len(match_weights(network(names=""), file, match="name").imported) == 8
    deeper = network((4, 6, 6, 6, 8), names="")
    by_name = match_weights(deeper, file, match="name")
    assert not by_name.imported
    counted = {reason for reason in reasons(by_name).values() if "counting" in reason}
    assert counted == {"Keras made its name by counting, and the file has 4 such layers instead of 5"}
    by_order = match_weights(deeper, file, match="auto")
    assert len(by_order.imported) == 8 and len(by_order.unmatched) == 3  # one convolution, its BatchNorm, the classes


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.weights.h5"])
def test_layers_of_nested_models_are_found(name: str, tmp_path: Path) -> None:
    base = network((4, 6), top=3)
    file = save(keras.Sequential([keras.Input((32, 32, 3)), base, Layers.Dense(7, name="classes_of_seven")]), tmp_path / name)
    target = network((4, 6, 6), seed=2)
    found = import_weights(target, file, match="name")
    assert found.imported == ("block1", "block1_bn", "block2", "block2_bn")
    assert same_weights(target.get_layer("block2_bn"), base.get_layer("block2_bn"))
    within = keras.Sequential([keras.Input((32, 32, 3)), network((4, 6), top=3, seed=5)])  # a network with a nested model itself
    import_weights(within, file, match="auto")
    assert same_weights(within.layers[0], base)


def test_a_frozen_base_of_keras_2_files_keeps_its_order(tmp_path: Path) -> None:
    """Such files have the weights that train first: a frozen layer's come behind those of layers above it."""
    base = network((4, 6), top=3)
    base.get_layer("block1").trainable = False
    file = save(keras.Sequential([keras.Input((32, 32, 3)), base]), tmp_path / "own.h5")
    target = network((4, 6), top=3, names="other{}", seed=2)
    found = import_weights(target, file, match="order")
    assert pairs(found) == {"other1": "block1", "other1_bn": "block1_bn", "other2": "block2", "other2_bn": "block2_bn"} | {
        "classes": "classes"
    }
    assert same_weights(target, base)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_layers_made_of_layers_and_states_come_whole(suffix: str, tmp_path: Path) -> None:
    def model(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        x = inputs = keras.Input((5, 8))
        x = Layers.Dropout(0.2)(Layers.MultiHeadAttention(2, 4, name="attention")(x, x))
        return keras.Model(inputs, Layers.Dense(3, name="top")(Layers.Normalization(name="norm")(Layers.LSTM(4, name="m")(x))))

    source, target = model(1), model(2)
    source.get_layer("norm").adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, 4)))
    found = import_weights(target, save(source, tmp_path / f"own{suffix}"), match="auto")
    assert set(found.imported) == {"attention", "m", "norm", "top"}
    batch = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    np.testing.assert_array_equal(target.predict(batch, verbose=0), source.predict(batch, verbose=0))


@pytest.mark.parametrize("name", ["own.keras", "own.weights.h5"])
def test_few_layers_of_equal_shapes_are_no_match_by_order(name: str, tmp_path: Path) -> None:
    """Another network has a BatchNorm of the same width somewhere; the way in is common only where it is the first layer."""
    file = save(network((9, 6, 11, 12)), tmp_path / name)
    found = match_weights(network((4, 5, 6, 7), top=2), file, match="order")
    assert not found.imported
    assert reasons(found)["block3_bn"] == "block2_bn fits, but too few layers agree in order for that to be no chance"
    same_start = match_weights(network((9, 5, 4, 7), top=2), file, match="order")
    assert same_start.imported == ("block1", "block1_bn")
    with pytest.raises(BackboneError, match="fits"):
        import_weights(network((4, 5, 6, 7), top=2), file, match="auto")


def test_where_nothing_fits_the_error_shows_both_and_nothing_changes(tmp_path: Path) -> None:
    file, target = save(network((9, 10), names="conv{}"), tmp_path / "own.keras"), network((4, 6), top=3)
    before = weights_fingerprint(target)
    with pytest.raises(BackboneError) as caught:
        import_weights(target, file, match="name")
    for words in ("No layer of", "block1 (3×3×3×4, 4)", "conv1 (3×3×3×9, 9)", "match='auto'", "tfl backbones NAME --weights"):
        assert words in str(caught.value)
    assert weights_fingerprint(target) == before and matching_of(target) is None
    with pytest.raises(BackboneError, match="no such way"):
        match_weights(target, file, match="names")  # type: ignore[arg-type]


def test_the_subsequence_is_the_longest() -> None:
    rng = np.random.default_rng(0)

    def longest(first: list[int], second: list[int]) -> int:
        if not first or not second:
            return 0
        without = max(longest(first[1:], second), longest(first, second[1:]))
        return max(without, 1 + longest(first[1:], second[1:])) if first[0] == second[0] else without

    for _ in range(30):
        first, second = (rng.integers(0, 3, size=rng.integers(0, 8)).tolist() for _ in range(2))
        found = common_subsequence(first, second)
        assert len(found) == longest(first, second) and all(first[i] == second[j] for i, j in found)
        assert all(one[0] < two[0] and one[1] < two[1] for one, two in itertools.pairwise(found))


# as backbones --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mini_takes_layers_of_a_trained_mini_with_another_top(tmp_path: Path) -> None:
    mini = build_backbone(tfl.Backbone("mini"), image_size=(64, 64))
    top = Layers.Dense(2, name="classes")(Layers.GlobalAveragePooling2D()(mini.get_layer("unit5_out").output))
    file = save(keras.Model(mini.input, top), tmp_path / "cut.weights.h5")
    backbone = tfl.Backbone("mini", weights=str(file), match="name")
    keras.utils.set_random_seed(0)
    built = build_backbone(backbone, image_size=(32, 32))
    found = matching_of(built)
    assert found is not None and {name.split("_")[0] for name in found.unmatched} == {"unit6", "unit7"}
    assert all(same_weights(built.get_layer(name), mini.get_layer(name)) for name in found.imported)
    with pytest.raises(BackboneError, match="do not fit mini"):
        build_backbone(tfl.Backbone("mini", weights=str(file)), image_size=(32, 32))  # `exact` stays as it was
    prefixes = [keras.Model(model.input, model.get_layer("unit1_out").output) for model in (built, mini)]
    assert weights_hash(prefixes[0]) == weights_hash(prefixes[1])
    keras.utils.set_random_seed(0)
    random = build_backbone(tfl.Backbone("mini", weights=None), image_size=(32, 32))
    assert weights_hash(keras.Model(random.input, random.get_layer("unit1_out").output)) != weights_hash(prefixes[0])
    assert weights_fingerprint(built) != weights_fingerprint(random)
    keras.utils.set_random_seed(0)
    assert weights_fingerprint(build_backbone(backbone, image_size=(32, 32))) == weights_fingerprint(built)


def test_the_structure_of_an_own_file_with_weights_of_another(tmp_path: Path) -> None:
    source = network((4, 6, 8), top=9)
    own = save(network((4, 6, 10), names="layer{}", size=40, seed=3), tmp_path / "structure.keras")
    backbone = tfl.Backbone(str(own), weights=str(save(source, tmp_path / "trained.h5")), match="order")
    keras.utils.set_random_seed(0)
    built = build_backbone(backbone, image_size=(40, 40))
    found = matching_of(built)
    assert found is not None and pairs(found) == {f"layer{n}{end}": f"block{n}{end}" for n in (1, 2) for end in ("", "_bn")}
    assert found.unmatched == ("layer3", "layer3_bn")  # the top of the structure is cut off, and not told of
    kept = keras.models.load_model(own)
    assert not same_weights(built.get_layer("layer3"), kept.get_layer("layer3"))  # at random, not as the file had it
    assert same_weights(built.get_layer("layer2_bn"), source.get_layer("block2_bn"))


def test_the_model_of_a_mixed_policy_takes_the_same_numbers(tmp_path: Path) -> None:
    mini = build_backbone(tfl.Backbone("mini"), image_size=(32, 32))
    backbone = tfl.Backbone("mini", weights=str(save(mini, tmp_path / "own.keras")), match="auto")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        built = build_backbone(backbone, image_size=(32, 32))
    finally:
        keras.config.set_dtype_policy(before)
    assert same_weights(built, mini) and built.output.dtype == "bfloat16"


def test_what_cannot_be_matched_is_told_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(BackboneError, match=r"none is named.*Received: weights='pretrained'"):
        check_available(tfl.Backbone("mini", match="name"))
    with pytest.raises(BackboneError, match="none is named"):
        build_backbone(tfl.Backbone("mini", weights=None, match="name"), image_size=(32, 32))
    with pytest.raises(WeightsNotFoundError, match="no weights file"):
        check_available(tfl.Backbone("mini", weights=str(tmp_path / "none.keras"), match="name"))
    with pytest.raises(BackboneError, match="another format"):
        check_available(tfl.Backbone("mini", weights=str(tmp_path / "weights.npz"), match="name"))
    with pytest.raises(BackboneError, match="come as a whole"):
        check_available(tfl.Backbone("dinov2_small", weights=str(tmp_path / "weights.npz"), match="auto"))
    network((4,)).save(tmp_path / "efficientnetb0_notop.h5")
    with pytest.raises(BackboneError, match="a layer that Keras adds"):
        check_available(tfl.Backbone("EfficientNetB0", weights=str(tmp_path / "efficientnetb0_notop.h5"), match="auto"))


@pytest.mark.slow
def test_the_textbook_network_takes_layers_of_other_names(tmp_path: Path) -> None:
    """VGG-16 as other programs name its layers, at another size and with its classifier."""
    keras.utils.set_random_seed(0)
    x = pixels = keras.Input((32, 32, 3))
    for number, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for part in range(1, count + 1):
            x = Layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}_{part}")(x)
        x = Layers.MaxPooling2D(name=f"pool{number}")(x)
    faces = keras.Model(pixels, Layers.Dense(16, name="fc8")(Layers.Dense(32, name="fc6")(Layers.Flatten()(x))))
    backbone = tfl.Backbone("VGG16", weights=str(save(faces, tmp_path / "faces.h5")), match="auto")
    built = build_backbone(backbone, image_size=(48, 48))
    found = matching_of(built)
    assert found is not None and len(found.imported) == 13 and not found.unmatched
    assert [row.source for row in found.rows if row.layer is None] == ["fc6", "fc8"]
    assert same_weights(built.get_layer("block5_conv3"), faces.get_layer("conv5_3"))
    other = build_backbone(tfl.Backbone("ResNet50", weights=None), image_size=(32, 32))
    assert not match_weights(other, tmp_path / "faces.h5", match="order").imported  # some of its shapes are there too
