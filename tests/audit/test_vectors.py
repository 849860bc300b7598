"""The features of an audit are those of a run of the same recipe, so that they are computed once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scenes import folder_of_scenes, recipe_of

from tfl.audit.vectors import _last_blocks, vectors_of
from tfl.features.extract import extract
from tfl.features.pooled import pooled_models
from tfl.model.assemble import assemble_for
from tfl.prepare import prepare
from tfl.strategies import with_strategy


def stored(cache: Path) -> set[Path]:
    return {path.relative_to(cache) for path in cache.rglob("*") if path.is_file() and path.stat().st_size}


@pytest.mark.slow
def test_they_have_the_keys_of_the_run_under_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    recipe = dataclasses.replace(
        recipe_of(folder_of_scenes(tmp_path / "data", {"ant": 6, "bee": 6})), precision="mixed_bfloat16"
    ).override("features.engine", "keras")
    bundle = prepare(recipe, Console(quiet=True)).bundle
    vectors_of(recipe, bundle)
    known = stored(tmp_path / "cache")
    assert known
    for precision, is_known in (("mixed_bfloat16", True), ("float32", False)):
        models = _last_blocks(pooled_models(assemble_for(recipe, bundle, precision=precision), recipe.head.pooling))
        extract(models, bundle, np.arange(len(bundle.examples)), features=recipe.features)
        assert (stored(tmp_path / "cache") == known) == is_known


@pytest.mark.slow
def test_the_head_of_the_recipe_is_none_of_their_business(tmp_path: Path) -> None:
    recipe = recipe_of(folder_of_scenes(tmp_path / "data", {"ant": 6, "bee": 6}))
    bundle = prepare(recipe, Console(quiet=True)).bundle
    neighbours = with_strategy(recipe, "knn")
    flattened = neighbours.override("head.pooling", "flatten")
    np.testing.assert_array_equal(vectors_of(neighbours, bundle), vectors_of(recipe, bundle))
    np.testing.assert_array_equal(vectors_of(flattened, bundle), vectors_of(recipe, bundle))
