"""The probe finds the block that knows, in one stored pass, and never looks at a test image."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.advice.probe import probe, probe_recipe
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.features.cut import cut
from tfl.features.extract import Extractor
from tfl.features.pooled import pooled_models
from tfl.model.assemble import assemble
from tfl.probes.folds import make_folds

SIZE, COUNT = 16, 120


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network whose second block keeps red apart from blue, and whose third lets blue alone through."""
    mixed, keeps = np.zeros((1, 1, 3, 4), np.float32), np.eye(4, dtype=np.float32)[None, None]
    mixed[0, 0, :, :3] = np.eye(3) / 255
    loses = np.zeros((1, 1, 4, 4), np.float32)
    loses[0, 0, 2] = 1
    x = inputs = keras.Input((SIZE, SIZE, 3))
    for name, kernel in (("sees", mixed), ("keeps", keeps), ("loses", loses), ("last", keeps)):
        layer = keras.layers.Conv2D(4, 1, use_bias=False, name=name)
        x = layer(x)
        layer.set_weights([kernel])
    file = tmp_path_factory.mktemp("network") / "loses.keras"
    keras.Model(inputs, x).save(file)
    return str(file)


def coloured(*, seed: int = 0, groups: bool = False) -> Bundle:
    """The class is in how red an image is; blue is noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(COUNT, dtype=np.int32) % 3
    images = rng.integers(0, 255, (COUNT, SIZE, SIZE, 3)).astype(np.uint8)
    images[..., 0] = (40 + 60 * labels)[:, None, None] + rng.integers(0, 40, (COUNT, SIZE, SIZE))
    examples = Examples(
        class_names=("a", "b", "c"),
        labels=labels,
        arrays=images,
        groups=np.arange(COUNT) // 6 if groups else None,
        source="colours",
    )
    order = np.random.default_rng(1).permutation(COUNT // 6)
    of_group = np.isin(np.arange(COUNT) // 6, order[:4])
    parts = Split(
        train=np.flatnonzero(~of_group & (np.arange(COUNT) % 5 > 0)),
        val=np.flatnonzero(~of_group & (np.arange(COUNT) % 5 == 0)),
        test=np.flatnonzero(of_group),
    )
    prints = [examples.fingerprint_of(index) for index in range(COUNT)]
    return Bundle(examples=examples, split=parts, data=data(), seed=0, fingerprints=prints)


def data() -> tfl.Data:
    return tfl.Data("colours", image_size=(SIZE, SIZE))


def recipe(network: str, **options: Any) -> tfl.Recipe:
    return tfl.Recipe(name="colours", data=data(), backbone=tfl.Backbone(network, preprocessing="none"), **options)


@pytest.fixture(scope="module")
def profile(network: str):
    return probe_recipe(recipe(network), coloured())


def test_the_block_that_knows_is_found(profile) -> None:
    assert [row.block for row in profile.rows] == ["sees", "keeps", "loses", "last"]
    assert profile.best.block == "sees" and profile.best.accuracy > 0.95
    assert {row.block for row in profile.rows if row.accuracy < 0.6} == {"loses", "last"}
    assert profile.tied_with_best == ("keeps",)
    assert "--set head.taps=sees" in " ".join(profile.advice)


def test_it_says_what_it_saw(profile) -> None:
    assert (profile.examples, profile.classes, profile.folds) == (COUNT - 24, 3, 5)
    assert [row.features for row in profile.rows] == [4] * 4
    assert profile.rows[0].output_shape == (SIZE, SIZE, 4)
    assert [round(row.compute, 2) for row in profile.rows] == pytest.approx([0.2, 0.47, 0.73, 1.0], abs=0.02)
    assert profile.together.features == 12 and len(profile.together.taps) == 3
    assert set(profile.seconds) == {"features", "probes"}


def test_test_images_have_no_say(network: str, profile) -> None:
    bundle = coloured()
    images, labels, prints = bundle.examples.arrays.copy(), bundle.examples.labels.copy(), list(bundle.fingerprints)
    for index in bundle.split.test:
        images[index], labels[index], prints[index] = 0, (labels[index] + 1) % 3, f"{index:064d}"
    others = dataclasses.replace(bundle.examples, arrays=images, labels=labels)
    again = probe_recipe(recipe(network), dataclasses.replace(bundle, examples=others, fingerprints=prints))
    assert dataclasses.replace(again, seconds={}) == dataclasses.replace(profile, seconds={})


def test_test_images_are_not_even_read(network: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    bundle, read = coloured(), []
    run = Extractor.run

    def watched(self: Extractor, part: Any, **options: Any) -> Any:
        read.extend(np.asarray(part).tolist())
        return run(self, part, **options)

    monkeypatch.setattr(Extractor, "run", watched)
    probe_recipe(recipe(network), bundle)
    assert sorted(read) == sorted([*bundle.split.train, *bundle.split.val])


def test_a_second_probe_and_a_head_stage_compute_nothing(network: str, profile) -> None:
    bundle = coloured()
    indices = np.concatenate([bundle.split.train, bundle.split.val])
    assembled = assemble(recipe(network), bundle.examples.class_names)
    assert Extractor(pooled_models(assembled), bundle, features=tfl.Features()).missing(indices) == 0
    prefix, _ = cut(assembled, len(assembled.blocks))
    assert Extractor([prefix], bundle, features=tfl.Features()).missing("train") == 0


def test_the_recipes_taps_hide_no_block(network: str, profile) -> None:
    again = probe_recipe(recipe(network, head=tfl.Head(taps=("sees",))), coloured())
    assert dataclasses.replace(again, seconds={}) == dataclasses.replace(profile, seconds={})


def test_the_network_may_have_one_block(network: str) -> None:
    bundle = coloured()
    assembled = assemble(recipe(network, head=tfl.Head(taps=("sees",))), bundle.examples.class_names)
    found = probe(assembled, bundle)
    assert found.together is None and [row.block for row in found.rows] == ["sees"]
    assert found.best.p_best == 1


def test_the_recipe_decides_pooling_weights_and_what_is_best(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("tfl.advice.probe.probe", lambda assembled, bundle, **options: asked.update(options))
    monitored = tfl.Monitor("val_macro_f1")
    features = tfl.Features(dtype="float32")
    probe_recipe(
        recipe(network, head=tfl.Head(pooling="max"), class_weight="balanced", monitor=monitored, features=features), coloured()
    )
    expected = {"pooling": "max", "class_weight": "balanced", "metric": "macro_f1", "features": features}
    assert {name: asked[name] for name in expected} == expected


def test_groups_stay_together_and_are_resampled_together(network: str, profile) -> None:
    grouped = probe_recipe(recipe(network), coloured(groups=True))
    assert (profile.units, grouped.units) == (COUNT - 24, (COUNT - 24) // 6)


def test_max_pooling_is_of_the_maximum(network: str) -> None:
    assembled = assemble(recipe(network), ["a", "b", "c"])
    images = coloured().examples.arrays[:2].astype("float32")
    found = pooled_models(assembled, "max")[0](images)
    np.testing.assert_allclose(found[:, 0], images[..., 0].max(axis=(1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_folds_tear_nothing_and_are_stratified(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, units = rng.integers(0, 4, 300), np.concatenate([np.arange(200), 200 + rng.integers(0, 20, 100)])
    units = np.unique(units, return_inverse=True)[1]
    folds = make_folds(labels, units, most=5, seed=seed)
    assert all(len(np.unique(folds[units == unit])) == 1 for unit in range(units.max() + 1))
    shares = np.array([np.bincount(labels[folds == fold], minlength=4) for fold in range(5)])
    assert shares.min() > 0.4 * shares.mean() and shares.sum() == 300


def test_few_images_of_a_class_make_fewer_folds() -> None:
    labels = np.array([0] * 20 + [1] * 3)
    assert make_folds(labels, np.arange(23), most=5, seed=0).max() + 1 == 3
