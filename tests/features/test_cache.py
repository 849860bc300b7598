"""Features are computed once, served under a key that fits, and never half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import DataError, StorageError
from tfl.features.cache import cached_features, feature_key
from tfl.storage import cache_home


@pytest.fixture
def prefix() -> keras.Model:
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    return tmp_path / "features"


IMAGES = np.random.default_rng(0).uniform(0, 255, (10, 4, 4, 3)).astype("float32")
LABELS = np.eye(3, dtype="float32")[np.arange(10) % 3]


class Pass:
    """A pass over the images that counts how often it was made."""

    def __init__(self, dies_after: int = 99) -> None:
        self.made, self.dies_after = 0, dies_after

    def __call__(self) -> Iterator[tuple[Any, Any]]:
        self.made += 1
        for number, start in enumerate(range(0, 10, 4)):
            if number >= self.dies_after:
                raise KeyboardInterrupt
            yield IMAGES[start : start + 4], LABELS[start : start + 4]


def test_the_second_reader_computes_nothing(prefix: keras.Model) -> None:
    images, seen = Pass(), []
    features, labels = cached_features(prefix, images, key=feature_key(a=1), count=10, progress=seen.append)
    again, _ = cached_features(prefix, images, key=feature_key(a=1), count=10)
    np.testing.assert_allclose(features, prefix(IMAGES), atol=1e-3)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(again, features)
    assert isinstance(features, np.memmap) and not features.flags.writeable
    assert images.made == 1 and seen == [4, 8, 10]


def test_another_key_is_another_pass(prefix: keras.Model) -> None:
    images = Pass()
    for view in range(3):
        cached_features(prefix, images, key=feature_key(view=view), count=10)
    assert images.made == 3


def test_a_pass_that_dies_leaves_nothing_whole(prefix: keras.Model, store: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_features(prefix, Pass(dies_after=1), key=feature_key(a=1), count=10)
    assert list(store.iterdir()) == []
    images = Pass()
    cached_features(prefix, images, key=feature_key(a=1), count=10)
    assert images.made == 1


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_images_is_an_error(prefix: keras.Model, count: int, store: Path) -> None:
    with pytest.raises(DataError, match="Received: 10"):
        cached_features(prefix, Pass(), key=feature_key(a=1), count=count)
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("harm", ["cut features", "no labels", "cut meta", "changed meta", "moved"])
def test_a_damaged_store_is_computed_again(prefix: keras.Model, store: Path, harm: str) -> None:
    images, key = Pass(), feature_key(a=1)
    cached_features(prefix, images, key=key, count=10)
    folder = store / key
    if harm == "cut features":
        (folder / "features.npy").write_bytes((folder / "features.npy").read_bytes()[:-8])
    elif harm == "no labels":
        (folder / "labels.npy").unlink()
    elif harm == "cut meta":
        (folder / "meta.json").write_text((folder / "meta.json").read_text()[:-30])
    elif harm == "changed meta":
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | {"dtype": "float16"}))
    else:
        key = feature_key(a=2)
        folder.rename(store / key)
    features, _ = cached_features(prefix, images, key=key, count=10)
    assert images.made == 2
    np.testing.assert_allclose(features, prefix(IMAGES), atol=1e-3)


def test_half_precision_is_another_store(prefix: keras.Model) -> None:
    features, _ = cached_features(prefix, Pass(), key=feature_key(dtype="float16"), count=10, dtype="float16")
    assert features.dtype == np.float16


def test_bfloat16_features_are_stored_exactly() -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, dtype="mixed_bfloat16")(inputs))
    features, _ = cached_features(model, Pass(), key=feature_key(a="bf16"), count=10)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, keras.ops.cast(model(IMAGES), "float32"), rtol=0.02, atol=1)


def test_a_full_disk_is_one_error_and_leaves_nothing(prefix: keras.Model, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfl.features.cache._write_header", full)
    with pytest.raises(StorageError, match="no space"):
        cached_features(prefix, Pass(), key=feature_key(a=1), count=10)
    assert list(store.iterdir()) == []


def test_the_store_follows_the_cache_folder(tmp_path: Path, store: Path) -> None:
    assert cache_home() / "features" == store


def test_every_part_counts_and_their_order_does_not() -> None:
    parts: dict[str, Any] = {"images": ["a", "b"], "size": (96, 96), "augment": tfl.Augment(crop=0.5), "view": 0, "cut": "x"}
    changed = {"images": ["b", "a"], "size": (96, 97), "augment": tfl.Augment(crop=0.6), "view": 1, "cut": None}
    keys = {feature_key(**parts), *(feature_key(**(parts | {name: value})) for name, value in changed.items())}
    assert len(keys) == 6
    assert feature_key(**dict(reversed(parts.items()))) == feature_key(**parts)


@pytest.mark.parametrize("part", [np.zeros(2), object(), {1, 2}, float("nan")])
def test_parts_without_an_exact_text_are_refused(part: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        feature_key(part=part)
