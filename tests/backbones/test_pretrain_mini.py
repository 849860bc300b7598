"""The recipe behind mini's weights: targets of unit size, batches that go on where they were, a card with its scores."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    file = Path(__file__).parents[2] / "recipes" / "pretrain_mini.py"
    spec = importlib.util.spec_from_file_location("pretrain_mini", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shards(recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipe, "SHARD", 96)
    monkeypatch.setattr(recipe, "BATCH", 32)
    rng = np.random.default_rng(0)
    for number in range(2):
        pictures = rng.integers(0, 255, (96, 192, 192, 3), dtype=np.uint8)
        maps = (rng.random((96, 6, 6, 384), np.float32), rng.random((96, 6, 6, 768), np.float32))
        recipe.keep_shard(tmp_path, number, recipe.shrink(pictures), maps)
    return tmp_path


def test_projected_targets_have_mean_variance_one(recipe: ModuleType) -> None:
    rng = np.random.default_rng(0)
    maps = (rng.normal(size=(64, 6, 6, 300)) @ rng.normal(size=(300, 300)) * 5 + 3).astype("float32")
    fitted = recipe.fit_projection(maps)
    projected = (maps - fitted["mean"]) @ fitted["matrix"]
    assert projected.shape == (64, 6, 6, recipe.COMPONENTS)
    assert projected.var((0, 1, 2)).mean() == pytest.approx(1, rel=0.02)
    assert np.abs(np.corrcoef(projected.reshape(-1, recipe.COMPONENTS).T) - np.eye(recipe.COMPONENTS)).max() < 0.02


def test_shrinking_takes_means_of_four(recipe: ModuleType) -> None:
    assert recipe.shrink(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, -1))[0, :, :, 0].tolist() == [
        [2, 4],
        [10, 12],
    ]


@pytest.mark.slow
def test_batches_go_on_where_they_were(recipe: ModuleType, shards: Path) -> None:
    whole = list(itertools.islice(recipe.batches(shards, 2, first_step=0), 15))
    rest = list(itertools.islice(recipe.batches(shards, 2, first_step=8), 7))
    for expected, found in zip(whole[8:], rest, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_an_epoch_shows_every_picture_once(recipe: ModuleType, shards: Path) -> None:
    epoch = list(itertools.islice(recipe.batches(shards, 2, first_step=0), 6))
    means = np.concatenate([batch[3] for batch in epoch])
    stored = np.concatenate([np.load(shards / f"00{number}-pool.npy") for number in range(2)])
    np.testing.assert_array_equal(np.sort(means.sum(1)), np.sort(stored.astype("float32").sum(1)))


@pytest.mark.slow
def test_pictures_and_maps_are_mirrored_together(recipe: ModuleType, shards: Path) -> None:
    images, middle, _, pool = next(recipe.batches(shards, 1, first_step=0))
    stored = {name: np.load(shards / f"000-{name}.npy") for name in ("images", "middle", "pool")}
    mirrored = 0
    for image, target, mean in zip(images, middle, pool, strict=True):
        row = int(np.flatnonzero((stored["pool"] == mean.astype("float16")).all(1))[0])
        turned = not np.array_equal(image, stored["images"][row])
        mirrored += turned
        expected = stored["middle"][row][:, ::-1] if turned else stored["middle"][row]
        np.testing.assert_array_equal(target, expected.astype("float32"))
    assert 0 < mirrored < len(images)


def test_scores_go_on_the_card(recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mini.json").write_text(json.dumps({"command": "a command", "sha256": "0" * 64}))
    figure = {"name": "flowers: ahead by", "value": 0.07, "unit": "accuracy", "reach": 0.0, "holds": True}
    document = {"benchmark": "mini_transfer", "command": "python b.py", "machine": "2 cores", "figures": [figure], "rounds": []}
    (tmp_path / "scores.json").write_text(json.dumps(document))
    arguments = ["pretrain_mini.py", "--out", str(tmp_path / "mini.npz"), "--scores", str(tmp_path / "scores.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    recipe.main()
    card = (tmp_path / "mini.md").read_text()
    assert "| flowers: ahead by | 0.070 | above 0: yes |" in card
    assert "0" * 64 in card
    assert json.loads((tmp_path / "mini.json").read_text())["scores"]["figures"] == [figure]
