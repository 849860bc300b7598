"""Image transformers of KerasHub, small and random, from preset folders: the same answers, a block for each transformer layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.blocks import find_blocks, find_cut_points
from tfl.errors import BackboneError
from tfl.modalities.image.encoders import ENCODERS, build_encoder, class_of, lay_out_flat, size_of

pytest.importorskip("keras_hub")

SIDE, PATCHES = 32, 16
SMALL = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
VISION = {**SMALL, "patch_size": 8, "image_shape": (SIDE, SIDE, 3)}
TEXT = {**SMALL, "vocabulary_size": 20, "embedding_dim": 16, "intermediate_dim": 32, "max_sequence_length": 8}
TOKENS = {
    "CLIPBackbone": 1,
    "DINOV2Backbone": 5,
    "DINOV3Backbone": 5,
    "DeiTBackbone": 2,
    "MetaCLIP2Backbone": 1,
    "ViTBackbone": 1,
}
"""Tokens before those of the patches; SigLIP has none."""


def small_encoders() -> dict[str, Callable[[], Any]]:
    from keras_hub import models

    def two_parts(kind: str, **options: Any) -> Any:
        name = kind.removesuffix("Backbone")
        vision = getattr(models, f"{name}VisionEncoder")(intermediate_dim=32, **VISION)
        return getattr(models, kind)(vision, getattr(models, f"{name}TextEncoder")(**TEXT), **options)

    dino = {"intermediate_dim": 32, "num_register_tokens": 4}
    return {
        "CLIPBackbone": lambda: two_parts("CLIPBackbone", projection_dim=16),
        "DINOV2Backbone": lambda: models.DINOV2Backbone(position_embedding_shape=(40, 40, 3), **dino, **VISION),
        "DINOV3Backbone": lambda: models.DINOV3Backbone(**dino, **VISION),
        "DeiTBackbone": lambda: models.DeiTBackbone(intermediate_dim=32, **VISION),
        "MetaCLIP2Backbone": lambda: two_parts("MetaCLIP2Backbone", projection_dim=16),
        "SigLIPBackbone": lambda: two_parts("SigLIPBackbone"),
        "ViTBackbone": lambda: models.ViTBackbone(mlp_dim=32, **VISION),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, str]]:
    """A function from the name of a class to a network of it and its preset folder, made once."""
    from keras_hub import layers

    made: dict[str, tuple[Any, str]] = {}

    def of(kind: str) -> tuple[Any, str]:
        if kind not in made:
            keras.utils.set_random_seed(0)
            raw, path = small_encoders()[kind](), str(tmp_path_factory.mktemp(kind))
            raw.save_to_preset(path)
            converter = getattr(layers, kind.replace("Backbone", "ImageConverter"))
            converter(image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0).save_to_preset(path)
            made[kind] = raw, path
        return made[kind]

    return of


def pixels(side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype("float32")


def directly(raw: Any, images: np.ndarray) -> np.ndarray:
    """What KerasHub's own network makes of the images."""
    seen = getattr(raw, "vision_encoder", raw)
    return np.asarray(seen({seen.inputs[0].name: images / 127.5 - 1.0} if isinstance(seen.input, dict) else images / 127.5 - 1.0))


def test_every_class_that_is_accepted_is_tried() -> None:
    assert sorted(small_encoders()) == sorted(ENCODERS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_the_flat_network_answers_as_keras_hubs_own_and_loads_again(kind: str, folder: Any, tmp_path: Path) -> None:
    raw, path = folder(kind)
    expected, count = directly(raw, pixels()), TOKENS[kind]
    whole = build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE), pooling="first")
    np.testing.assert_allclose(np.asarray(whole(pixels())), expected, atol=1e-5)
    patches = build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE), pooling="avg")
    np.testing.assert_allclose(np.asarray(patches(pixels())), expected[:, count:], atol=1e-5)
    assert patches.output_shape == (None, PATCHES, 16)
    for number in range(2):  # what was loaded is saved and loaded as well
        patches.save(tmp_path / f"{number}.keras")
        again = keras.models.load_model(tmp_path / f"{number}.keras")
        np.testing.assert_array_equal(again(pixels()), patches(pixels()))
        patches = again


@pytest.mark.slow
def test_siglip_has_a_pooled_output_and_no_class_token(folder: Any) -> None:
    raw, path = folder("SigLIPBackbone")
    pooled = build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE), pooling="pooled")
    np.testing.assert_allclose(np.asarray(pooled(pixels())), directly(raw, pixels()), atol=1e-5)
    assert len(find_blocks(pooled)) == 3
    assert build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE)).output_shape == (None, PATCHES, 16)
    with pytest.raises(BackboneError, match="no class token"):
        build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE), pooling="first")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "policy"),
    [*((kind, "float32") for kind in ENCODERS), ("DINOV3Backbone", "mixed_bfloat16"), ("SigLIPBackbone", "mixed_bfloat16")],
)
def test_one_block_for_the_embeddings_and_one_for_each_transformer_layer(kind: str, policy: str, folder: Any) -> None:
    _, path = folder(kind)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_encoder(tfl.Backbone(path), image_size=(SIDE, SIDE))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("scale_pixels").compute_dtype == "float32"
    assert model.outputs[0].dtype == ("float32" if policy == "float32" else "bfloat16")
    blocks = find_blocks(model)
    layers = [layer for block in blocks for layer in block.layers]
    assert len(blocks) == 3 and blocks[0].layers[0] == "scale_pixels"
    assert sorted(layers) == sorted(operation.name for operation in model.operations if operation.name != "pixels")
    assert sum(block.parameters for block in blocks) == model.count_params()
    tokens = blocks[1].output_shape[0]
    assert blocks[0].flops == 2 * PATCHES * 8 * 8 * 3 * 16  # the convolution of the patches
    assert blocks[1].flops == 2 * tokens * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * tokens**2 * 16


@pytest.mark.parametrize("kind", ["DINOV2Backbone", "DINOV3Backbone", "SigLIPBackbone", "ViTBackbone"])
def test_prefix_and_suffix_are_the_whole(kind: str, folder: Any) -> None:
    model = build_encoder(tfl.Backbone(folder(kind)[1]), image_size=(SIDE, SIDE))
    ends = {block.name for block in find_blocks(model)}
    points = [point for point in find_cut_points(model) if point.name in ends]
    assert len(points) == 3
    for point in points[:-1]:
        lower, upper = keras.Model(model.input, point.tensor), keras.Model(point.tensor, model.output)
        np.testing.assert_array_equal(upper(lower(pixels())), model(pixels()))


def test_dino_takes_other_sizes_and_the_others_do_not(folder: Any) -> None:
    _, path = folder("DINOV2Backbone")
    assert build_encoder(tfl.Backbone(path), image_size=(48, 48)).output_shape == (None, 36, 16)
    with pytest.raises(BackboneError, match=r"images of one size.*48×48.*32×32 px.*data\.image_size=32,32"):
        build_encoder(tfl.Backbone(folder("ViTBackbone")[1]), image_size=(48, 48))
    assert size_of(path) == size_of(folder("SigLIPBackbone")[1]) == (SIDE, SIDE)


def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, again = (
        find_blocks(lay_out_flat(small_encoders()["DINOV2Backbone"](), (SIDE, SIDE), prepare=lambda x: x)) for _ in range(2)
    )
    assert first == again and first[0].name == "embeddings"


@pytest.mark.slow
def test_what_a_recipe_may_say(folder: Any, tmp_path: Path) -> None:
    raw, path = folder("ViTBackbone")
    given = {"image_size": (SIDE, SIDE)}
    fresh = build_encoder(tfl.Backbone(path, weights=None), **given)
    own = build_encoder(tfl.Backbone(path), **given)
    assert not np.allclose(fresh(pixels()), own(pixels()))
    for backbone, words in (
        (tfl.Backbone(path, weights="imagenet"), "own weights"),
        (tfl.Backbone(path, arguments={"dropout": 0.1}), "Did you mean `dropout_rate`"),
    ):
        with pytest.raises(BackboneError, match=words):
            build_encoder(backbone, **given)
    raw.save_to_preset(str(tmp_path))  # without its image converter
    with pytest.raises(BackboneError, match=r"how pixels are prepared.*backbone\.preprocessing"):
        build_encoder(tfl.Backbone(str(tmp_path)), **given)
    said = build_encoder(tfl.Backbone(str(tmp_path), preprocessing="tf"), **given)
    np.testing.assert_allclose(np.asarray(said(pixels())), np.asarray(own(pixels())), atol=1e-5)


def test_presets_of_other_kinds_are_refused(tmp_path: Path) -> None:
    from keras_hub import models

    assert class_of("dinov2_small") == "DINOV2Backbone"
    with pytest.raises(BackboneError, match="no image encoder"):
        class_of("bert_tiny_en_uncased")
    models.BertBackbone(vocabulary_size=20, intermediate_dim=32, **SMALL).save_to_preset(str(tmp_path))
    with pytest.raises(BackboneError, match=r"no image encoder.*BertBackbone.*DINOv2"):
        class_of(str(tmp_path))


@pytest.mark.slow
def test_a_preset_is_probed_and_tuned(folder: Callable[[str], tuple[Any, str]], tmp_path: Path) -> None:
    recipe = tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", per_class=10, labels=("0", "1")),
        backbone=tfl.Backbone(folder("ViTBackbone")[1]),
        stages=(tfl.Stage("head", epochs=1),),
        export=(),
        search=tfl.Search(algorithm="grid", space={"stages.head.train": tfl.Choice(("head", "top:2"))}, seeds=0),
    )
    rows = tfl.probe(recipe).rows
    assert len(rows) == 3 and all(0 <= row.accuracy <= 1 for row in rows)
    found = tfl.tune(recipe, tmp_path / "search")
    assert [row["status"] for row in found.outcomes()] == ["done", "done"]


@pytest.mark.slow
def test_a_run_freezes_cuts_trains_and_exports_a_preset(folder: Callable[[str], tuple[Any, str]], tmp_path: Path) -> None:
    recipe = tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", per_class=10, labels=("0", "1")),
        backbone=tfl.Backbone(folder("DINOV2Backbone")[1]),
        head=tfl.Head(pooling="first"),
        stages=(tfl.Stage("head", epochs=1), tfl.Stage("finetune", train="top:1", epochs=1)),
        export=("saved_model",),
    )
    run = tfl.run(recipe, out=tmp_path / "run")
    assert run.recipe.data.image_size == (SIDE, SIDE)
    moved = {row["block"] for row in _ledger(run.folder) if row["moved"]}
    assert len(moved) == 2 and "head" in moved
    assert (run.folder / "export" / "saved_model" / "1" / "saved_model.pb").is_file()


def _ledger(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "ledger.json").read_text())["finetune"]
    return rows
