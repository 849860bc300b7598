"""Learning curves: parts that are nested and apart, forecasts that are monotone and cover, and a handful of examples."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from tfl.advice.learning_curve import learning_curve, probe_strength
from tfl.advice.power_law import power_laws
from tfl.errors import DataError
from tfl.probes.linear import fitted_probe


def problem(count, width=8, classes=3, *, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = apart * np.random.default_rng(100 + seed).normal(size=(classes, width))
    return rng.normal(size=(count, width)) + centres[labels], labels


class Recorder:
    """A probe that keeps the examples it saw, which carry their number as their only feature."""

    def __init__(self):
        self.trained, self.tested = [], []

    def __call__(self, features, labels):
        self.trained.append((features[:, 0].astype(int), labels))

        def predict(given):
            self.tested.append(given[:, 0].astype(int))
            return np.zeros(len(given), int)

        return predict


def recorded(labels, **options):
    recorder = Recorder()
    curve = learning_curve(np.arange(len(labels), dtype=float)[:, None], labels, fit=recorder, **options)
    return recorder, curve


@pytest.fixture(scope="module")
def curve():
    return learning_curve(*problem(160))


def test_parts_are_nested_and_stratified_and_share_nothing_with_what_they_are_tested_on():
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    recorder, curve = recorded(labels)
    assert len(recorder.trained) == 8 * len(curve.sizes)
    for split in range(8):
        parts = recorder.trained[split * len(curve.sizes) : (split + 1) * len(curve.sizes)]
        for (part, given), size, tested in zip(parts, curve.sizes, recorder.tested[split * len(curve.sizes) :], strict=False):
            assert len(set(part)) == size == len(part)
            assert set(given) == {0, 1, 2} and not set(part) & set(tested)
            np.testing.assert_allclose(np.bincount(given) / size, [0.625, 0.3125, 0.0625], atol=2 / size)
        assert all(set(small[0]) <= set(large[0]) for small, large in itertools.pairwise(parts))
    assert sorted(np.concatenate(recorder.tested[:: len(curve.sizes)])) == list(range(64))


def test_examples_of_one_unit_are_on_one_side():
    labels, units = np.arange(80) % 2, np.arange(80) // 4 * 2 + np.arange(80) % 2
    recorder, curve = recorded(labels, units=units)
    largest = recorder.trained[len(curve.sizes) - 1 :: len(curve.sizes)]
    for (part, _), tested in zip(largest, recorder.tested[:: len(curve.sizes)], strict=True):
        assert not set(units[part]) & set(units[tested])


def test_a_class_with_one_example_is_always_in_training():
    labels = np.repeat([0, 1, 2], [10, 10, 1])
    recorder, _ = recorded(labels)
    assert all(20 in part for part, _ in recorder.trained) and not any(20 in tested for tested in recorder.tested)


def test_means_are_accuracies_and_means_over_classes_if_asked():
    """The recorder says class 0 always."""
    labels = np.repeat([0, 1], [48, 16])
    assert recorded(labels)[1].means == pytest.approx([0.75] * 4)
    assert recorded(labels, balanced=True)[1].means == pytest.approx([0.5] * 4)


def test_a_forecast_never_falls_and_never_leaves_the_range(curve):
    forecasts = [curve.at(count) for count in (1, 2, 5, 20, 80, 160, 320, 1000, 10**6)]
    means = [forecast.mean for forecast in forecasts]
    assert means == sorted(means) and means[0] < means[-1]
    assert all(0 <= forecast.low <= forecast.mean <= forecast.high <= 1 for forecast in forecasts)


def test_the_curve_passes_by_what_was_measured(curve):
    for size, mean, (low, high) in zip(curve.sizes, curve.means, curve.intervals, strict=True):
        assert low <= mean <= high
        assert curve.at(size).mean == pytest.approx(mean, abs=0.04)


def test_a_gain_is_the_difference_with_a_band_of_its_own(curve):
    gain, now, then = curve.gain(160), curve.at(160), curve.at(320)
    assert gain.mean == pytest.approx(then.mean - now.mean)
    assert gain.low < gain.mean < gain.high < then.high - now.low
    assert curve.gain(10).high - curve.gain(10).low < gain.high - gain.low
    assert dataclasses.astuple(curve.gain(0)) == (0, 0, 0)


def test_a_known_curve_is_continued():
    """Errors of 2 n^-0.5, without noise: forecasts of twice as many are near."""
    sizes = np.array([50.0, 100, 200, 400])
    errors = np.repeat([2 * sizes**-0.5], 1000, axis=0)
    floor, scale, exponent = power_laws(errors, sizes, np.random.default_rng(0)).T
    found = np.mean(1 - 1 / (1 + floor + scale * 800**-exponent))
    assert found == pytest.approx(2 * 800**-0.5, abs=0.008)


@pytest.mark.slow
def test_more_examples_make_narrower_bands():
    widths = [(forecast := learning_curve(*problem(count)).at(2 * count)).high - forecast.low for count in (24, 160, 1000)]
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_it_is_plain_data_and_the_same_for_a_seed(curve):
    document = json.loads(json.dumps(curve.as_json()))
    assert document == json.loads(json.dumps(learning_curve(*problem(160)).as_json()))
    assert document["sizes"] == [20, 38, 73, 140] and document["level"] == 0.9
    assert [row["examples"] for row in document["forecasts"]] == [160, 320, 640]
    assert [row["more"] for row in document["gains"]] == [160, 480]
    assert learning_curve(*problem(160), seed=1).means != curve.means


@pytest.mark.parametrize("counts", [(2, 1), (2, 2), (1, 1, 2), (3, 1, 1, 1), (4, 4), (4,) * 10, (2,) * 30, (1, 40)], ids=str)
@pytest.mark.parametrize("balanced", [False, True])
def test_a_handful_of_examples_has_a_wide_band(counts, balanced):
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(0).normal(size=(len(labels), 20)).astype(np.float16)
    forecast = learning_curve(features, labels, balanced=balanced).at(2 * len(labels))
    assert 0 <= forecast.low <= forecast.mean <= forecast.high <= 1
    assert len(labels) > 12 or forecast.high - forecast.low > 0.15


def test_no_errors_are_no_certainty():
    features, labels = problem(40, 8, 2, apart=20)
    curve = learning_curve(features, labels)
    assert curve.means == (1.0,) * len(curve.sizes)
    assert curve.at(40).low < 0.99 and curve.at(80).mean > 0.97


def test_sizes_may_be_given():
    assert learning_curve(*problem(60), sizes=[40, 20, 20]).sizes == (20, 40)
    for sizes in ([], [2, 40], [20, 60]):
        with pytest.raises(DataError, match="from 3, the number of classes, to 52"):
            learning_curve(*problem(60), sizes=sizes)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"repeats": 1}, "`repeats`"), ({"test_share": 0.0}, "`test_share`"), ({"test_share": 0.6}, "`test_share`")],
)
def test_arguments_are_checked(options, match):
    with pytest.raises(DataError, match=match):
        learning_curve(*problem(60), **options)


def test_what_has_no_curve_is_an_error(curve):
    features, labels = problem(12)
    with pytest.raises(DataError, match="nothing to tell apart"):
        learning_curve(features, np.zeros(12, int))
    with pytest.raises(DataError, match="No class has two examples"):
        learning_curve(features, np.arange(12))
    with pytest.raises(DataError, match="do not fit together"):
        learning_curve(features, labels[1:])
    for ask in (lambda: curve.at(0), lambda: curve.gain(-1)):
        with pytest.raises(DataError, match="out of range"):
            ask()
    features[3, 3] = np.inf
    with pytest.raises(DataError, match="1 of 12 examples"):
        learning_curve(features, labels)


@pytest.mark.slow
def test_bands_cover_the_accuracy_that_twice_as_many_examples_bring():
    inside, errors = [], []
    for seed in range(12):
        count, classes = (24, 60, 120, 240)[seed % 4], (2, 4, 8)[seed % 3]
        rng = np.random.default_rng(seed)
        centres = rng.uniform(0.4, 1.5) * rng.normal(size=(classes, 16))
        labels = np.arange(2 * count + 4000) % classes
        features = rng.normal(size=(len(labels), 16)) + centres[labels]
        forecast = learning_curve(features[:count], labels[:count], seed=seed).at(2 * count)
        strength = probe_strength(features[: 2 * count], labels[: 2 * count], np.arange(2 * count), seed=seed)
        probe = fitted_probe(features[: 2 * count], labels[: 2 * count], strength)
        accuracy = (probe.predict(features[2 * count :]) == labels[2 * count :]).mean()
        inside.append(forecast.low <= accuracy <= forecast.high)
        errors.append(forecast.mean - accuracy)
    assert np.mean(inside) >= 0.75
    assert abs(np.mean(errors)) < 0.03
