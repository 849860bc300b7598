"""What a tapping head reads has mean 0 and deviation 1 over the training images, and over nothing else."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.data.bundle import Bundle
from tfl.features.cut import cut
from tfl.features.standardise import moments, set_moments, standardise
from tfl.job import prepare_data
from tfl.model.assemble import Assembled, assemble
from tfl.model.head import STANDARD


def recipe(*taps: str) -> tfl.Recipe:
    return tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=10),
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(taps=taps),
    )


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return prepare_data(recipe(), Console(quiet=True))[0]


def built(bundle: Bundle, *taps: str) -> Assembled:
    return assemble(recipe(*taps), bundle.examples.class_names)


def standardised(assembled: Assembled, bundle: Bundle, part: str) -> np.ndarray:
    tensor = assembled.model.get_layer(STANDARD).output
    model = keras.Model(assembled.model.input, tensor)
    assert bundle.cached is not None
    return np.asarray(model(bundle.cached[bundle.indices(part)].astype("float32")))


@pytest.mark.slow
@pytest.mark.parametrize("taps", [("unit3_out",), ("unit1_out", "unit6_out")])
def test_the_training_images_decide(bundle: Bundle, taps: tuple[str, ...]) -> None:
    assembled = built(bundle, *taps)
    standardise(assembled, bundle, features=tfl.Features(dtype="float32"))
    train = standardised(assembled, bundle, "train")
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-3)
    assert 0.99 < np.median(train.std(axis=0)) < 1.01 and train.std(axis=0).max() < 1.01
    assert np.abs(standardised(assembled, bundle, "val").mean(axis=0)).max() > 0.05


def test_a_head_without_taps_stays_as_it_is(bundle: Bundle) -> None:
    assembled = built(bundle)
    before = [np.array(weight) for weight in assembled.model.weights]
    standardise(assembled, bundle, features=tfl.Features())
    for weight, old in zip(assembled.model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.slow
def test_whole_suffix_and_saved_model_know_it(bundle: Bundle, tmp_path: Path) -> None:
    assembled = built(bundle, "unit1_out", "unit4_out")
    pixels = bundle.cached[:4].astype("float32")  # type: ignore[index]
    before = np.array(assembled.model(pixels))
    prefix, suffix = cut(assembled, 4)
    standardise(assembled, bundle, features=tfl.Features())
    after = np.array(assembled.model(pixels))
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(suffix(prefix(pixels)), after)
    assembled.model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(pixels), after)
    assembled.model.save_weights(tmp_path / "all.weights.h5")
    again = built(bundle, "unit1_out", "unit4_out")
    again.model.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(again.model(pixels), after)


@pytest.mark.parametrize(("deviations", "largest"), [((1.0, 2.0, 0.0), 100.0), ((0.0, 0.0, 0.0), 1.0)])
def test_a_number_that_hardly_changes_is_not_blown_up(deviations: tuple[float, ...], largest: float) -> None:
    layer = keras.layers.Normalization()
    layer(np.zeros((1, 3), np.float32))
    set_moments(layer, np.zeros(3), np.square(deviations))
    found = np.asarray(layer(np.array([[1.0, 2.0, 1.0]], np.float32)))[0]
    np.testing.assert_allclose(found, [1, 1, largest] if any(deviations) else [1, 2, 1], rtol=1e-5)


def test_moments_are_those_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfl.features.standardise._ROWS", 7)
    rows = np.random.default_rng(0).normal(1000, 0.1, (30, 4)).astype(np.float32)
    mean, variance = moments(rows)
    np.testing.assert_allclose(mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(variance, rows.var(axis=0, dtype=np.float64), rtol=1e-6)
